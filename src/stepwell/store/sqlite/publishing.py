"""Events that come while others are being written are written together: one transaction, and one wait for the disk.

Each has a savepoint of its own, so that one which cannot be stored keeps no other from it. What the disk refuses, it
refuses for all of them, and nothing of any is written then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import apsw

from stepwell.base.errors import StepwellError
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import InboxItem
from stepwell.store.sqlite.events import Handed, publish
from stepwell.store.sqlite.thread import transaction

AT_ONCE: Final = 256
"""So many events are written in one transaction at most, so that appends do not wait long."""


class Incoming(NamedTuple):
    """An event to be stored; see `ports.Store.publish`."""

    event: Event
    now: int
    keep_until: int
    posts: Sequence[InboxItem]
    entries: Sequence[JournalEntry]
    writes: Sequence[Write]


class EventWriter:
    """Stores events.

    Args:
        write: does something on the connection that writes.
    """

    def __init__(self, write: Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]]) -> None:
        self._write = write
        self._waiting: list[tuple[Incoming, asyncio.Future[Handed]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def publish(self, incoming: Incoming) -> Handed:
        """Store an event, after those that came before it; see `ports.Store.publish`."""
        answer: asyncio.Future[Handed] = asyncio.get_running_loop().create_future()
        self._waiting.append((incoming, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        return await answer

    async def finish(self) -> None:
        """Return when all that was asked for was tried."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            outcomes: Sequence[Handed | BaseException]
            try:
                outcomes = await self._write(partial(_published, [incoming for incoming, _ in batch]))
            except BaseException as error:  # nothing of any was written; also when the loop is about to end
                outcomes = [error] * len(batch)
            for (_, answer), outcome in zip(batch, outcomes, strict=True):
                _settle(answer, outcome)
        self._writing = None


def published(connection: apsw.Connection, incoming: Sequence[Incoming]) -> list[Handed | BaseException]:
    """Store them in one transaction: what became of each, or why it could not be stored."""
    outcomes: list[Handed | BaseException] = []
    with transaction(connection):
        for each in incoming:
            connection.execute("SAVEPOINT event")
            try:
                outcomes.append(publish(connection, *each))
            except StepwellError as error:  # it is wrong in itself
                connection.execute("ROLLBACK TO event")
                outcomes.append(error)
            connection.execute("RELEASE event")
    return outcomes


def _published(incoming: Sequence[Incoming], connection: apsw.Connection) -> list[Handed | BaseException]:
    return published(connection, incoming)


def _settle(answer: asyncio.Future[Handed], outcome: Handed | BaseException) -> None:
    if answer.cancelled():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
