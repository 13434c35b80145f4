"""Secrets that a store keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from stepwell.app.audit import local_doer
from stepwell.app.secret_store import SecretStore, keys_of
from stepwell.base.clock import SystemClock
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import OpenStore, Served, opened

Report = Mapping[str, Any]


class Secrets(Protocol):
    """What commands ask about secrets. Their values are never told."""

    async def set(self, name: str, value: str, namespaces: Sequence[str] | None) -> Report:
        """Keep one."""
        ...

    async def list(self) -> Sequence[Report]:
        """All, in order of name."""
        ...

    async def delete(self, name: str) -> None:
        """Forget one. Raises NotFound: code `unknown-secret`."""
        ...


def open_secrets(setup: Setup, *, make: bool = False) -> AbstractAsyncContextManager[Secrets]:
    """Those of the store or the server that the user named; with `make`, the store is made when it is not there."""
    return opened(setup, StoredSecrets, ServedSecrets, make=make)


class StoredSecrets:
    """Those in a store."""

    def __init__(self, at: OpenStore) -> None:
        self._secrets = SecretStore(at.store, keys_of(at.configuration.state_store.url, say), SystemClock())

    async def set(self, name: str, value: str, namespaces: Sequence[str] | None) -> Report:
        return await self._secrets.set(name, value, namespaces, local_doer())

    async def list(self) -> Sequence[Report]:
        return await self._secrets.list()

    async def delete(self, name: str) -> None:
        await self._secrets.delete(name, local_doer())


class ServedSecrets:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def set(self, name: str, value: str, namespaces: Sequence[str] | None) -> Report:
        body = {"value": value, "namespaces": namespaces}
        made: Report = (await self._client.send("PUT", f"/secrets/{quoted(name)}", body)).document
        return made

    async def list(self) -> Sequence[Report]:
        found: Sequence[Report] = (await self._client.page("/secrets"))["items"]
        return found

    async def delete(self, name: str) -> None:
        await self._client.send("DELETE", f"/secrets/{quoted(name)}")
