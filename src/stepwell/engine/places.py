"""Places under the limit of workflows at work at once: who has none waits in line, and is never dropped."""

from __future__ import annotations

from collections import deque
from typing import Final

from stepwell.engine.hot import Hot

NO_LIMIT: Final = 1_000_000_000


class Places:
    """Counts the places taken, and keeps the line.

    An execution holds a place while it has work in flight; a parked one holds none, and stands in line again when it is
    woken with work to do.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit if limit is not None else NO_LIMIT
        self._taken = 0
        self._line: deque[Hot] = deque()

    def load(self) -> dict[str, int | None]:
        """How many places are taken, how many executions stand in line, and how many places there are."""
        waiting = sum(hot.queued_at is not None for hot in self._line)
        return {"at_work": self._taken, "in_line": waiting, "limit": self._limit if self._limit < NO_LIMIT else None}

    def take(self, hot: Hot) -> bool:
        """Give the execution a place. False when none is free."""
        if hot.has_place:
            return True
        if self._taken >= self._limit:
            return False
        self._taken += 1
        hot.has_place = True
        return True

    def give_up(self, hot: Hot) -> None:
        """The execution needs its place no more."""
        if hot.has_place:
            hot.has_place = False
            self._taken -= 1

    def stand_in_line(self, hot: Hot, now: int) -> None:
        """Wait for a place."""
        if hot.queued_at is None:
            hot.queued_at = now
            self._line.append(hot)

    def next_in_line(self) -> Hot | None:
        """The first in line, now with a place; None when nobody waits or no place is free."""
        while self._line and self._taken < self._limit:
            hot = self._line.popleft()
            if hot.queued_at is not None:
                hot.queued_at = None
                self.take(hot)
                return hot
        return None

    def waiting_since(self) -> int | None:
        """Since when the first in line has waited."""
        while self._line and self._line[0].queued_at is None:
            self._line.popleft()
        return self._line[0].queued_at if self._line else None

    def leave_line(self) -> Hot:
        """Take the first out of the line without a place: it has waited too long."""
        hot = self._line.popleft()
        hot.queued_at = None
        return hot
