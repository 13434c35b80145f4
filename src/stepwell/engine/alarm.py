"""One timer for everything that is due."""

from __future__ import annotations

from collections.abc import Callable

from stepwell.base.clock import Clock, Timer


class Alarm:
    """Calls back at the earliest instant it was set to."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._due: int | None = None
        self._timer: Timer | None = None

    def set(self, due: int | None) -> None:
        """Ring at `due`, unless it is set to ring before that."""
        if due is None or (self._due is not None and self._due <= due):
            return
        self.clear()
        self._due = due
        self._timer = self._clock.call_at(due, self._ring)

    def clear(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due = None

    def _ring(self) -> None:
        self._timer = None
        self._due = None
        self._callback()
