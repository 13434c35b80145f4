"""What will happen, and when: the scheduler of the simulation, with the only clock there is.

Of what is due at the same instant, a number made of the seed and of what it is decides what comes first. It does not
depend on what else is on the agenda, so that leaving something out of a failing case leaves the order of the rest.
"""

from __future__ import annotations

import heapq
import itertools
import zlib
from collections.abc import Callable
from random import Random

from tests.virtual_clock import START

SECOND = 1_000_000


class Entry:
    """Something on the agenda."""

    __slots__ = ("action", "cancelled", "what")

    def __init__(self, what: str, action: Callable[[], None]) -> None:
        self.what = what
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """It does not happen."""
        self.cancelled = True


class Agenda:
    """Everything that is to come, by instant.

    Attributes:
        now: the instant of what happens at present, in microseconds.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = itertools.count()
        self._heap: list[tuple[int, int, int, Entry]] = []
        self.now = START

    def number(self, what: str) -> int:
        """A number that depends on the seed and on `what` alone."""
        return ((zlib.crc32(what.encode()) ^ self._seed * 0x9E3779B1) * 0x85EBCA6B >> 7) & 0xFFFFFFFF

    def random(self, what: str) -> Random:
        """Random numbers that depend on the seed and on `what` alone."""
        return Random((self._seed << 32) + self.number(what))

    def at(self, instant: int, what: str, action: Callable[[], None]) -> Entry:
        """Have something happen at an instant, or at once when that has passed."""
        entry = Entry(what, action)
        heapq.heappush(self._heap, (max(instant, self.now), self.number(what), next(self._count), entry))
        return entry

    def after(self, duration: int, what: str, action: Callable[[], None]) -> Entry:
        """Have something happen later."""
        return self.at(self.now + duration, what, action)

    def next(self, until: int) -> Entry | None:
        """Go on to what comes next; None when that lies behind `until`, or nothing comes."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            instant, _, _, entry = heapq.heappop(heap)
            if not entry.cancelled:
                self.now = instant
                return entry
        return None
