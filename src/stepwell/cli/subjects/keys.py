"""API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from stepwell.app.access import checked_role
from stepwell.app.audit import local_doer
from stepwell.app.keys import ApiKeys, issued_report, key_report
from stepwell.base.clock import SystemClock
from stepwell.base.durations import SECOND
from stepwell.base.errors import UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.subjects.opening import OpenStore, Served, opened

Report = Mapping[str, Any]


class Keys(Protocol):
    """What commands ask about API keys. An id that there is not: NotFound, code `unknown-key`."""

    async def create(self, name: str, role: str, namespaces: Sequence[str] | None, expires_at: int | None) -> Report:
        """Make one; the report has its `token`."""
        ...

    async def list(self) -> Sequence[Report]:
        """All, the newest first."""
        ...

    async def revoke(self, id_: str) -> Report:
        """Have it open nothing from now on."""
        ...

    async def rotate(self, id_: str, overlap: int) -> Report:
        """Make one with the same rights in its place; the report has its `token`. `overlap` in microseconds."""
        ...


def open_keys(setup: Setup, *, make: bool = False) -> AbstractAsyncContextManager[Keys]:
    """The keys of the store or the server that the user named; with `make`, the store is made when it is not there."""
    return opened(setup, StoredKeys, ServedKeys, make=make)


class StoredKeys:
    """Those in a store."""

    def __init__(self, at: OpenStore) -> None:
        self._clock = SystemClock()
        self._keys = ApiKeys(at.store, self._clock)

    async def create(self, name: str, role: str, namespaces: Sequence[str] | None, expires_at: int | None) -> Report:
        issued = await self._keys.create(name, checked_role(role), namespaces, expires_at, local_doer())
        return issued_report(issued, self._clock.now())

    async def list(self) -> Sequence[Report]:
        now = self._clock.now()
        return [key_report(key, now) for key in await self._keys.list()]

    async def revoke(self, id_: str) -> Report:
        return key_report(await self._keys.revoke(id_, local_doer()), self._clock.now())

    async def rotate(self, id_: str, overlap: int) -> Report:
        return issued_report(await self._keys.rotate(id_, local_doer(), overlap), self._clock.now())


class ServedKeys:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def create(self, name: str, role: str, namespaces: Sequence[str] | None, expires_at: int | None) -> Report:
        ends = to_rfc3339(expires_at) if expires_at is not None else None
        body = {"name": name, "role": role, "namespaces": namespaces, "expires_at": ends}
        made: Report = (await self._client.send("POST", "/api-keys", body)).document
        return made

    async def list(self) -> Sequence[Report]:
        found: Sequence[Report] = (await self._client.page("/api-keys"))["items"]
        return found

    async def revoke(self, id_: str) -> Report:
        revoked: Report = (await self._client.send("DELETE", f"/api-keys/{quoted(id_)}")).document
        return revoked

    async def rotate(self, id_: str, overlap: int) -> Report:
        if overlap % SECOND:
            raise UsageError("--overlap: a server takes whole seconds")
        body = {"overlap_seconds": overlap // SECOND}
        made: Report = (await self._client.send("POST", f"/api-keys/{quoted(id_)}/rotate", body)).document
        return made
