"""What happens when: the clock of a simulation and everything that is due."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Agenda:
    """Instants are microseconds since the simulation began. What is due at one instant happens in the order in which it
    was put here."""

    def __init__(self) -> None:
        self.now = 0
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    def after(self, delay: float, what: Callable[[], None]) -> None:
        """Have something done so many microseconds from now."""
        heapq.heappush(self._due, (self.now + int(delay), next(self._order), what))

    def run(self, until: int) -> None:
        """Let time pass to this instant."""
        while self._due and self._due[0][0] <= until:
            self.now, _, what = heapq.heappop(self._due)
            what()
        self.now = until
