"""Subscriptions to lifecycle events."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.session import cipher_for
from stepwell.app.subscriptions import Subscriptions
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.cli.noting import note
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.execution.codec import Codec

Report = Mapping[str, Any]


class Subscribed(Protocol):
    """What commands ask about subscriptions. An id that there is not: NotFound, code `unknown-subscription`."""

    async def page(self, limit: int, cursor: str | None) -> Report:
        """A page, by id: `items` and `next`."""
        ...

    async def show(self, id_: str) -> Report:
        """One of them."""
        ...

    async def create(self, given: Mapping[str, Any]) -> Report:
        """Make one; the report has its `secret`."""
        ...

    async def change(self, id_: str, given: Mapping[str, Any]) -> Report:
        """Change what is given of it."""
        ...

    async def delete(self, id_: str) -> None:
        """Forget it; its log stays."""
        ...

    async def deliveries(self, id_: str, limit: int, cursor: str | None) -> Report:
        """A page of what was sent, the newest first: `items` and `next`."""
        ...

    async def redeliver(self, id_: str, message: str) -> Report:
        """Send a message again."""
        ...


def open_subscribed(setup: Setup) -> AbstractAsyncContextManager[Subscribed]:
    """The subscriptions of the store or the server that the user named."""
    return opened(setup, StoredSubscriptions, ServedSubscriptions)


class StoredSubscriptions:
    """Those in a store. Servers on it see within seconds what changes."""

    def __init__(self, at: OpenStore) -> None:
        self._store = at.store
        self._clock = SystemClock()
        self._subscriptions = Subscriptions(at.store, Codec(cipher_for(at.configuration, say)))

    async def page(self, limit: int, cursor: str | None) -> Report:
        after = place_in(cursor, str)[0] if cursor is not None else ""
        return _paged(await self._subscriptions.list(limit=limit, after=after))

    async def show(self, id_: str) -> Report:
        return await self._subscriptions.show(id_)

    async def create(self, given: Mapping[str, Any]) -> Report:
        made = await self._subscriptions.create(given, by=this_user(), now=self._clock.now())
        await self._note("create", made["id"])
        return made

    async def change(self, id_: str, given: Mapping[str, Any]) -> Report:
        changed = await self._subscriptions.change(id_, given, now=self._clock.now())
        await self._note("change", id_)
        return changed

    async def delete(self, id_: str) -> None:
        await self._subscriptions.delete(id_, now=self._clock.now())
        await self._note("delete", id_)

    async def deliveries(self, id_: str, limit: int, cursor: str | None) -> Report:
        before = place_in(cursor, int)[0] if cursor is not None else None
        return _paged(await self._subscriptions.deliveries(id_, limit=limit, before=before))

    async def redeliver(self, id_: str, message: str) -> Report:
        again = await self._subscriptions.redeliver(id_, message, now=self._clock.now())
        await self._note("redeliver", id_)
        return again

    async def _note(self, verb: str, id_: str) -> None:
        await note(self._store, f"subscription.{verb}", f"subscription:{id_}")


class ServedSubscriptions:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def page(self, limit: int, cursor: str | None) -> Report:
        return await self._client.page("/subscriptions", {"limit": limit, "cursor": cursor})

    async def show(self, id_: str) -> Report:
        found: Report = await self._client.get(_path(id_), {})
        return found

    async def create(self, given: Mapping[str, Any]) -> Report:
        made: Report = (await self._client.send("POST", "/subscriptions", given)).document
        return made

    async def change(self, id_: str, given: Mapping[str, Any]) -> Report:
        changed: Report = (await self._client.send("PATCH", _path(id_), given)).document
        return changed

    async def delete(self, id_: str) -> None:
        await self._client.send("DELETE", _path(id_))

    async def deliveries(self, id_: str, limit: int, cursor: str | None) -> Report:
        return await self._client.page(f"{_path(id_)}/deliveries", {"limit": limit, "cursor": cursor})

    async def redeliver(self, id_: str, message: str) -> Report:
        path = f"{_path(id_)}/deliveries/{quoted(message)}/redeliver"
        again: Report = (await self._client.send("POST", path)).document
        return again


def _path(id_: str) -> str:
    return f"/subscriptions/{quoted(id_)}"


def _paged(page: Report) -> Report:
    return {**page, "next": cursor_of(page["next"]) if page["next"] is not None else None}
