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
from stepwell.base.instants import to_rfc3339
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.subjects.opening import OpenStore, Served, opened

Report = Mapping[str, Any]


class Keys(Protocol):
    """What commands do with API keys. An id that there is not: NotFound, code `unknown-key`."""

    async def create(self, name: str, role: str, namespaces: Sequence[str], expires: int | None) -> Report:
        """Make one that is good for `expires` microseconds; its `token` is in the report."""
        ...

    async def list(self) -> Sequence[Report]:
        """All keys, the newest first."""
        ...

    async def revoke(self, id_: str) -> Report:
        """Have one open nothing from now on."""
        ...

    async def rotate(self, id_: str, overlap: int) -> Report:
        """Make one with the same rights; its `token` is in the report."""
        ...


def open_keys(setup: Setup, *, make: bool = False) -> AbstractAsyncContextManager[Keys]:
    """The keys of the store or the server that the user named.

    Args:
        make: the store is made when it is not there: a server needs its key first.
    """
    return opened(setup, StoredKeys, ServedKeys, make=make)


class StoredKeys:
    """Those of a store."""

    def __init__(self, at: OpenStore) -> None:
        self._clock = SystemClock()
        self._keys = ApiKeys(at.store, self._clock)

    async def create(self, name: str, role: str, namespaces: Sequence[str], expires: int | None) -> Report:
        ends = self._clock.now() + expires if expires is not None else None
        issued = await self._keys.create(name, checked_role(role), namespaces or None, ends, local_doer())
        return issued_report(issued, self._clock.now())

    async def list(self) -> Sequence[Report]:
        return [key_report(key, self._clock.now()) for key in await self._keys.list()]

    async def revoke(self, id_: str) -> Report:
        return key_report(await self._keys.revoke(id_, local_doer()), self._clock.now())

    async def rotate(self, id_: str, overlap: int) -> Report:
        return issued_report(await self._keys.rotate(id_, local_doer(), overlap), self._clock.now())


class ServedKeys:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def create(self, name: str, role: str, namespaces: Sequence[str], expires: int | None) -> Report:
        ends = to_rfc3339(SystemClock().now() + expires) if expires is not None else None
        body = {"name": name, "role": role, "namespaces": list(namespaces) or None, "expires_at": ends}
        return await self._sent("POST", "/api-keys", {key: value for key, value in body.items() if value is not None})

    async def list(self) -> Sequence[Report]:
        items: Sequence[Report] = (await self._client.page("/api-keys"))["items"]
        return items

    async def revoke(self, id_: str) -> Report:
        return await self._sent("DELETE", f"/api-keys/{quoted(id_)}")

    async def rotate(self, id_: str, overlap: int) -> Report:
        body = {"overlap_seconds": -(-overlap // SECOND)}
        return await self._sent("POST", f"/api-keys/{quoted(id_)}/rotate", body)

    async def _sent(self, method: str, path: str, body: Any = None) -> Report:
        report: Report = (await self._client.send(method, path, body)).document
        return report
