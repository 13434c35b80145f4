"""What is due: of executions in memory by a heap, of parked ones by their rows; one alarm for both."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection
from typing import Final

from stepwell.base.durations import SECOND
from stepwell.engine.alarm import Alarm
from stepwell.engine.committer import Committer
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.execution.inputs import TimersDue

PAGE: Final = 500
UNUSABLE_PAUSE: Final = SECOND
"""So long is waited between two looks at what is due, where some of it cannot be run here."""
SMALLEST_COMPACTED: Final = 1_000


class Due:
    """Hands `TimersDue` to every execution whose time has come.

    Args:
        take: decides on an input of an execution in memory.
    """

    def __init__(self, ground: Ground, committer: Committer, take: Callable[[Hot, TimersDue], None]) -> None:
        self._loaded = ground.loaded
        self._store = ground.store
        self._clock = ground.clock
        self._measures = ground.measures
        self._ownership = ground.ownership
        self._committer = committer
        self._take = take
        self._heap: list[tuple[int, str]] = []
        self._compact_at = SMALLEST_COMPACTED
        self._alarm = Alarm(ground.clock, self._ring)
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
            at = await self._store.next_wake(shards)
            if at is not None and self._loaded.unusable:  # these stay due
                at = max(at, self._clock.now() + UNUSABLE_PAUSE)
            self._alarm.set(at)

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
                hot = await self._loaded.load_if_usable(execution)
                if hot is not None and self._ownership.is_still_open(hot.handle.shard, shards):
                    now = self._clock.now()
                    self._measures.timer_fired(max(0, now - (hot.run.next_due() or now)))
                    self._take(hot, TimersDue())
            if not executions:
                return
            handed.update(executions)
            await self._committer.drained()
