"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

START = 1_790_000_000_000_000
"""2026-09-21T13:46:40Z, in microseconds."""


class VirtualTimer:
    """A call that is due at an instant of a `VirtualClock`."""

    def __init__(self, instant: int, callback: Callable[[], None]) -> None:
        self.instant = instant
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self.callback()


class VirtualClock:
    """A `Clock` whose time passes only by `advance`, `jump` and `set`."""

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._order = itertools.count()
        self._timers: list[tuple[int, int, VirtualTimer]] = []

    def now(self) -> int:
        return self._now

    def set(self, instant: int) -> None:
        """Change the time and fire nothing, as a clock that is adjusted does."""
        self._now = instant

    def call_at(self, instant: int, callback: Callable[[], None]) -> VirtualTimer:
        timer = VirtualTimer(instant, callback)
        if instant <= self._now:
            asyncio.get_running_loop().call_soon(timer.fire)
        else:
            heapq.heappush(self._timers, (instant, next(self._order), timer))
        return timer

    @property
    def armed(self) -> int:
        """How many timers are waiting."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    async def advance(self, duration: int) -> None:
        """Let `duration` microseconds pass: what falls due is called in order, and everything it causes happens."""
        end = self._now + duration
        await self.settle()
        while (due := self._next_due()) is not None and due <= end:
            self._now = max(self._now, due)
            self._fire_due()
            await self.settle()
        self._now = max(self._now, end)

    async def jump(self) -> bool:
        """Go to the next timer and fire it; False when there is none."""
        await self.settle()
        due = self._next_due()
        if due is None:
            return False
        await self.advance(max(0, due - self._now))
        return True

    async def settle(self) -> None:
        """Let everything happen that waits for neither time nor the outside world."""
        loop = asyncio.get_running_loop()
        for _ in range(10_000):
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("the event loop does not come to rest")

    def _next_due(self) -> int | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _fire_due(self) -> None:
        while (due := self._next_due()) is not None and due <= self._now:
            heapq.heappop(self._timers)[2].fire()
