"""What is due: of executions in memory by a heap, of parked ones by their rows; one alarm for both."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection
from typing import Final

from stepwell.base.clock import Clock
from stepwell.engine.alarm import Alarm
from stepwell.engine.committer import Committer
from stepwell.engine.hot import Hot
from stepwell.engine.loaded import Loaded
from stepwell.engine.ownership import Ownership
from stepwell.execution.inputs import TimersDue
from stepwell.ports.measures import Measures
from stepwell.ports.store import Store

PAGE: Final = 500
SMALLEST_COMPACTED: Final = 1_000


class Due:
    """Hands `TimersDue` to every execution whose time has come.

    Args:
        take: decides on an input of an execution in memory.
    """

    def __init__(
        self,
        loaded: Loaded,
        store: Store,
        clock: Clock,
        committer: Committer,
        ownership: Ownership,
        take: Callable[[Hot, TimersDue], None],
        measures: Measures,
    ) -> None:
        self._loaded = loaded
        self._store = store
        self._clock = clock
        self._committer = committer
        self._ownership = ownership
        self._take = take
        self._measures = measures
        self._heap: list[tuple[int, str]] = []
        self._compact_at = SMALLEST_COMPACTED
        self._alarm = Alarm(clock, self._ring)
        self._rung = asyncio.Event()

    def arm(self, hot: Hot, now: int) -> None:
        """Note when the execution is due next."""
        due = hot.run.next_due()
        if due is not None:
            self.note(hot, due, now)

    def note(self, hot: Hot, due: int, now: int) -> None:
        """Note that the execution is due then."""
        if hot.timer_due is not None and hot.timer_due <= due:
            return
        self._alarm.set(due)
        if not hot.may_leave(now, due):  # else its row says when it is due
            hot.timer_due = due
            heapq.heappush(self._heap, (due, hot.handle.id))
            if len(self._heap) > self._compact_at:
                self._compact()

    async def open(self) -> None:
        """Set the alarm for what is parked."""
        await self.look(self._ownership.shards())

    async def look(self, shards: Collection[int]) -> None:
        """Set the alarm for what is parked in the shards."""
        if shards:
            self._alarm.set(await self._store.next_wake(shards))

    def close(self) -> None:
        """Ring no more."""
        self._alarm.clear()

    async def run(self) -> None:
        """Fire what is due, whenever the alarm rings, until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            self._fire_loaded(self._clock.now())
            await self._fire_parked()
            if self._heap:
                self._alarm.set(self._heap[0][0])
            await self.open()

    def _compact(self) -> None:
        """Forget what ended executions have left in the heap: they are not worth looking for one by one."""
        self._heap[:] = [(hot.timer_due, hot.handle.id) for hot in self._loaded if hot.timer_due is not None]
        heapq.heapify(self._heap)
        self._compact_at = max(SMALLEST_COMPACTED, 2 * len(self._heap))

    def _ring(self) -> None:
        self._rung.set()

    def _fire_loaded(self, now: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, execution = heapq.heappop(heap)
            hot = self._loaded.get(execution)
            if hot is None or hot.timer_due != due:
                continue
            hot.timer_due = None
            self._measures.timer_fired(now - due)
            self._take(hot, TimersDue())
            self.arm(hot, now)

    async def _fire_parked(self) -> None:
        # What was taken must be stored before looking again: its row says until then that it is due.
        await self._committer.drained()
        handed = set[str]()
        while shards := {shard: self._ownership.fences[shard] for shard in self._ownership.shards()}:
            found = await self._store.due(shards, self._clock.now(), PAGE)
            executions = [execution for execution in found if execution not in handed]
            for execution in executions:
                hot = await self._loaded.load(execution)
                if hot is not None and self._ownership.is_still_open(hot.handle.shard, shards):
                    now = self._clock.now()
                    self._measures.timer_fired(max(0, now - (hot.run.next_due() or now)))
                    self._take(hot, TimersDue())
            if not executions:
                return
            handed.update(executions)
            await self._committer.drained()
