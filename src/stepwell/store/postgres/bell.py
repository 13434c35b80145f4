"""Waking the owners of inboxes in other processes, without polling: LISTEN and NOTIFY.

What is notified is only that there is something for some shards. It is sent after the commit, so that no commit waits
for another one's notification; what gets lost with a process that dies in between is found when the owner of the shard
renews its leases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Set
from contextlib import suppress
from typing import Any, Final

import asyncpg

from stepwell.base.errors import StepwellError
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.link import Link
from stepwell.store.postgres.statements import SQL
from stepwell.store.postgres.writer import end

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 1_000
"""Shards in one notification: PostgreSQL takes less than 8,000 bytes."""
_LAST_WORDS: Final = 2.0
"""Seconds in which what is to be notified must be sent when the store is closed."""
_PAUSE: Final = 2.0
"""Seconds between two tries after the outage has lasted for too long."""
_KIND: Final = "kind:"
NODES: Final = "nodes"
"""What is notified when nodes come or go."""

Run = Callable[[Callable[[Connection], Awaitable[None]]], Awaitable[None]]


class Bell:
    """Rings for others, and is rung.

    Args:
        send: runs what sends notifications, on any connection.
        owned: the inboxes that are looked after here.
    """

    def __init__(self, link: Link, send: Run, owned: Callable[[], Collection[int]]) -> None:
        self._link = link
        self._send = send
        self._owned = owned
        self._listeners: list[tuple[Callable[[], None], int | None]] = []
        self._node_callbacks: list[Callable[[], None]] = []
        self._document_listeners: list[tuple[Callable[[], None], Collection[str]]] = []
        self._due: set[Callable[[], None]] = set()
        self._told: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._broken = asyncio.Event()

    def listen(self, callback: Callable[[], None], inbox: int | None) -> None:
        """Call `callback`, on the event loop, when there may be something in this inbox, or in an owned one; many at
        once are one call."""
        self._listeners.append((callback, inbox))

    def listen_to_nodes(self, callback: Callable[[], None]) -> None:
        """Call `callback`, on the event loop, when nodes may have come or gone."""
        self._node_callbacks.append(callback)

    def listen_to_documents(self, kinds: Collection[str], callback: Callable[[], None]) -> None:
        """Call `callback`, on the event loop, when documents of these kinds may have changed."""
        self._document_listeners.append((callback, kinds))

    @property
    def is_listened_to(self) -> bool:
        """Whether anybody wants to be called."""
        return bool(self._listeners or self._node_callbacks or self._document_listeners)

    def begin(self) -> asyncio.Future[None]:
        """Begin to listen, unless that was done; the future says when nothing is missed any more, or why it cannot be
        done (`StoreError`). Listeners are called then: what they listen for may have come before."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
            self._listening = asyncio.create_task(self._keep_listening(self._ready), name="stepwell postgres listener")
        return self._ready

    async def close(self) -> None:
        """Send what is to be sent, and stop listening."""
        if (telling := self._telling) is not None:
            await asyncio.wait([telling], timeout=_LAST_WORDS)
            telling.cancel()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._listening = self._ready = None

    def ring(self, shards: Collection[int]) -> None:
        """Wake the owners of these inboxes: this process without the server, others through it."""
        here = {*self._owned(), *(inbox for _, inbox in self._listeners)}
        self._heard(set(shards))
        self._tell([str(shard) for shard in shards if shard not in here])

    def ring_nodes(self) -> None:
        """Tell the other nodes that one has come or goes."""
        self._tell([NODES])

    def ring_documents(self, kinds: Collection[str]) -> None:
        """Tell everybody that documents of these kinds have changed."""
        self._heard_of(kinds)
        self._tell([f"{_KIND}{kind}" for kind in kinds])

    def _tell(self, what: Collection[str]) -> None:
        self._told.update(what)
        if self._told and self._telling is None:
            self._telling = asyncio.create_task(self._tell_others(), name="stepwell postgres notifier")

    async def _tell_others(self) -> None:
        try:
            while told := list(self._told):
                self._told.clear()
                for start in range(0, len(told), _AT_ONCE):
                    await self._notify(",".join(told[start : start + _AT_ONCE]))
        finally:
            self._telling = None

    async def _notify(self, payload: str) -> None:
        async def notify(connection: Connection) -> None:
            await connection.execute(SQL["notify"], self._link.database.channel, payload)

        try:
            await self._send(notify)
        except (StepwellError, asyncpg.PostgresError) as error:
            _log.warning("others will notice late that there is something for them: %s", error)

    async def _keep_listening(self, ready: asyncio.Future[None]) -> None:
        """Listen, and come back when the connection is lost; something may have been missed then."""
        connection: Connection | None = None
        try:
            while True:
                try:
                    connection = await self._connected()
                except StepwellError as error:
                    if not ready.done():
                        ready.set_exception(error)
                        self._ready = None
                        return
                    await asyncio.sleep(_PAUSE)
                    continue
                if not ready.done():
                    ready.set_result(None)
                self._call(callback for callback, _ in self._listeners)
                self._call(self._node_callbacks)
                self._call(callback for callback, _ in self._document_listeners)
                await self._broken.wait()
        finally:
            if connection is not None:
                connection.remove_termination_listener(self._on_end)
                await end(connection)

    async def _connected(self) -> Connection:
        while True:
            connection = await self._link.again()
            self._broken.clear()
            connection.add_termination_listener(self._on_end)
            try:
                await connection.add_listener(self._link.database.channel, self._on_notification)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                connection.terminate()
                self._link.lost(error)
                continue
            return connection

    def _on_end(self, _: Any) -> None:
        self._broken.set()
        self._link.lost(ConnectionError("closed by the server"))

    def _on_notification(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        told = set(str(payload).split(","))
        if NODES in told:
            self._call(self._node_callbacks)
        kinds = {each for each in told if each.startswith(_KIND)}
        self._heard_of({each.removeprefix(_KIND) for each in kinds})
        with suppress(ValueError):  # not from us
            self._heard({int(shard) for shard in told - kinds - {NODES}})

    def _heard(self, shards: Set[int]) -> None:
        owned = not shards.isdisjoint(self._owned())
        self._call(callback for callback, inbox in self._listeners if (owned if inbox is None else inbox in shards))

    def _heard_of(self, kinds: Collection[str]) -> None:
        self._call(callback for callback, wanted in self._document_listeners if not set(kinds).isdisjoint(wanted))

    def _call(self, callbacks: Iterable[Callable[[], None]]) -> None:
        for callback in callbacks:
            if callback not in self._due:
                self._due.add(callback)
                asyncio.get_running_loop().call_soon(self._call_one, callback)

    def _call_one(self, callback: Callable[[], None]) -> None:
        self._due.discard(callback)
        callback()
