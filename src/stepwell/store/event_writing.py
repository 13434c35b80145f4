"""Events that come while others are being written are written together: one transaction, and one wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import InboxItem

_Handed = TypeVar("_Handed")

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


class EventWriter(Generic[_Handed]):
    """Stores events, each after those that came before it.

    Args:
        write: stores some of them, and says what became of each, or why it could not be stored.
    """

    def __init__(self, write: Callable[[Sequence[Incoming]], Awaitable[Sequence[_Handed | BaseException]]]) -> None:
        self._write = write
        self._waiting: list[tuple[Incoming, asyncio.Future[_Handed]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def publish(self, incoming: Incoming) -> _Handed:
        """Store an event; see `ports.Store.publish`. It is stored even when nobody waits for that any more."""
        answer: asyncio.Future[_Handed] = asyncio.get_running_loop().create_future()
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
            outcomes: Sequence[_Handed | BaseException]
            try:
                outcomes = await self._write([incoming for incoming, _ in batch])
            except BaseException as error:  # nothing of any was written; also when the loop is about to end
                outcomes = [error] * len(batch)
            for (_, answer), outcome in zip(batch, outcomes, strict=True):
                _settle(answer, outcome)
        self._writing = None


def _settle(answer: asyncio.Future[_Handed], outcome: _Handed | BaseException) -> None:
    if answer.cancelled():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
