"""A database: so many cores, statements that take them one after the other, and the appends of steps beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from benchmarks.scaling.agenda import Agenda
from stepwell.base.durations import SECOND


class Database:
    """Does statements in the order in which they come.

    Attributes:
        appending: the part of its cores that the appends of steps take at this moment.
        longest: microseconds that a statement took at most, with its waiting.
        per_second: how many statements came in each second.
    """

    def __init__(self, agenda: Agenda, cores: int) -> None:
        self._agenda = agenda
        self._free_at = [0] * cores
        self.is_up = True
        self.appending = 0.0
        self.longest = 0
        self.per_second: Counter[int] = Counter()

    def do(self, cost: float, then: Callable[[], None]) -> None:
        """A statement that takes so many microseconds of a core; what follows is done when it has been carried out."""
        now = self._agenda.now
        core = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        stretched = cost / max(0.05, 1 - self.appending)
        done = max(now, self._free_at[core]) + int(stretched)
        self._free_at[core] = done
        self.per_second[now // SECOND] += 1
        self.longest = max(self.longest, done - now)
        self._agenda.after(done - now, then)

    def most_in_a_second(self, since: int) -> int:
        """Statements in the fullest second from then on."""
        return max((count for second, count in self.per_second.items() if second >= since // SECOND), default=0)
