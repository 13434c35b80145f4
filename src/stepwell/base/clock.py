"""Time as an argument. The only module that reads the machine's clock.

An instant is an integer number of microseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that was asked for and can still be withdrawn."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Tells the time and calls back later."""

    def now(self) -> int:
        """The current instant, in microseconds since the Unix epoch. Never goes back within one process."""
        ...

    def call_at(self, instant: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running event loop at `instant`, or at once when that has passed."""
        ...


class SystemClock:
    """The machine's clock, made monotonic: a wall clock that is set back does not reorder history."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        now = time.time_ns() // 1_000  # noqa: TID251 - this is the one place
        if now < self._last:
            return self._last
        self._last = now
        return now

    def call_at(self, instant: int, callback: Callable[[], None]) -> Timer:
        delay = max(0.0, (instant - self.now()) / 1_000_000)
        return asyncio.get_running_loop().call_later(delay, callback)
