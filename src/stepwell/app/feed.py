"""Everything that happens, as it is committed, for many readers at once.

A reader has a place in the feed of the store and takes pages from there, at its own pace: one that is slow holds no
memory, and one that comes back goes on where it was. A page is read, decoded and encoded once for all readers that are
at the same place. They are woken together, and not more often than that reading takes a small part of the time: under
load the feed falls behind, and the work does not.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import msgspec

from stepwell.app.lifecycle import Bell
from stepwell.app.outgoing import lifecycle_events
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import FeedRow
from stepwell.ports.store import Store

PAGE: Final = 50
"""Rows that are read at once."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the store: what other processes commit does not announce itself here."""
PAUSE_IDLE: Final = 6.0
PAUSE_BUSY: Final = 25.0
"""So many times as long as giving everybody his text took, nobody is given another: while this thread has nothing else
to do, and while it has all hands full."""
COST: Final = 100e-6
COST_OF_BYTE: Final = 6e-9
"""Seconds that giving a text to one reader takes, about: so many, and so many for each byte."""
_KEPT: Final = 16

_encode: Final = msgspec.json.Encoder().encode


class FeedEvent(msgspec.Struct, frozen=True, gc=False):
    """A lifecycle event in the feed.

    Attributes:
        place: a reader that has seen this event may go on from here. Of several events of one commit only the last
            has the place behind it: whoever breaks off between them sees the others again.
        workflow: the name of what the execution runs.
        cloud_event: as CloudEvents has it, in JSON.
    """

    place: int
    workflow: str
    type: str
    cloud_event: bytes


class FeedPage(msgspec.Struct, frozen=True):
    """A part of the feed.

    Attributes:
        end: the place behind it.
        is_last: nothing was behind it.
        texts: what was made of it for readers; see `LifecycleFeed.text`.
    """

    events: Sequence[FeedEvent]
    end: int
    is_last: bool
    texts: dict[Hashable, bytes]


class LifecycleFeed:
    """The feed of one store."""

    def __init__(self, store: Store, codec: Codec, bell: Bell) -> None:
        self._store = store
        self._codec = codec
        self._bell = bell
        self._pages: OrderedDict[int, asyncio.Task[FeedPage]] = OrderedDict()
        self._turn = asyncio.Event()
        self._readers = 0
        self._wanted = asyncio.Event()
        self._rung = asyncio.Event()
        self._spent = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Wake readers as long as this lasts."""
        waking = asyncio.create_task(self._wake())
        try:
            yield self
        finally:
            waking.cancel()
            await asyncio.gather(waking, *self._pages.values(), return_exceptions=True)

    async def end(self) -> int:
        """The place behind everything that has happened."""
        return await self._store.feed_end()

    async def pages(self, after: int) -> AsyncGenerator[FeedPage]:
        """What happened after that place, and then what happens, without end; an empty page now and then.

        Raises:
            StoreError: the store cannot be read.
        """
        self._readers += 1
        self._wanted.set()
        try:
            while True:
                page = await asyncio.shield(self._page(after))
                after = page.end
                yield page
                if not page.is_last:
                    self._rung.set()
                await self._turn.wait()
        finally:
            self._readers -= 1

    def text(self, page: FeedPage, wanted: Hashable, make: Callable[[FeedPage], bytes]) -> bytes:
        """What a reader is given of a page; made once for all who want the same of it.

        Args:
            wanted: equal for readers who get the same.
        """
        text = page.texts.get(wanted)
        if text is None:
            began = time.perf_counter()
            text = page.texts[wanted] = make(page)
            self._spent += time.perf_counter() - began
        self._spent += COST + COST_OF_BYTE * len(text)
        return text

    def _page(self, after: int) -> asyncio.Task[FeedPage]:
        """The page after that place; read once for all who ask for it in the same turn."""
        page = self._pages.get(after)
        if page is None:
            page = self._pages[after] = asyncio.create_task(self._read(after))
            if len(self._pages) > _KEPT:
                self._pages.popitem(last=False)
        return page

    async def _read(self, after: int) -> FeedPage:
        rows = await self._store.feed(after, PAGE)
        began = time.perf_counter()
        events = [event for row in rows for event in self._events(row)]
        self._spent += time.perf_counter() - began
        return FeedPage(events, rows[-1].number if rows else after, len(rows) < PAGE, {})

    def _events(self, row: FeedRow) -> Sequence[FeedEvent]:
        found: list[FeedEvent] = []
        for told in lifecycle_events(self._codec, row.execution, row.seq, row.events):
            text = _encode(told.as_cloud_event(row.workflow))
            found.append(FeedEvent(row.number - 1, row.workflow, told.type, text))
        if found:
            found[-1] = msgspec.structs.replace(found[-1], place=row.number)
        return found

    async def _wake(self) -> None:
        """One turn after the other, as long as somebody reads."""
        load = _Load()
        with self._bell.heard() as self._rung:
            while True:
                if not self._readers:
                    self._wanted.clear()
                    await self._wanted.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._rung.wait()
                self._rung.clear()
                self._forget()
                turn, self._turn = self._turn, asyncio.Event()
                turn.set()
                await asyncio.sleep(0.001)  # the readers get their texts
                spent, self._spent = self._spent, 0.0
                await asyncio.sleep(spent * (PAUSE_IDLE + (PAUSE_BUSY - PAUSE_IDLE) * load.without(spent)))

    def _forget(self) -> None:
        """Pages that may have grown are read again."""
        for after, page in list(self._pages.items()):
            if page.done() and (page.exception() is not None or page.result().is_last):
                del self._pages[after]


class _Load:
    """How busy this thread is."""

    def __init__(self) -> None:
        self._worked, self._at = time.thread_time(), time.perf_counter()

    def without(self, spent: float) -> float:
        """The part of the time since the last call, from 0 to 1, in which it worked on other things than for `spent`
        seconds on this one."""
        worked, at = time.thread_time(), time.perf_counter()
        others, passed = worked - self._worked - spent, at - self._at
        self._worked, self._at = worked, at
        return min(1.0, max(0.0, others / passed)) if passed > 0 else 1.0
