"""How much each of many callers may ask for: one number a caller, whatever the limit (GCRA, as ATM networks had it).

The number is the instant at which everything that was taken would have been allowed one by one. It may lie ahead of now
by at most the period of the limit.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

MOST_CALLERS: Final = 100_000
"""Callers that are remembered; the one that was not seen for longest is forgotten first."""


class Taken(NamedTuple):
    """The answer to one request.

    Attributes:
        allowed: it may go on, and was counted.
        remaining: so many more would be allowed at once.
        wait: microseconds until the next one is allowed.
    """

    allowed: bool
    remaining: int
    wait: int


class RequestRates:
    """At most `limit` requests of one caller at once, and from then on one every `per / limit`.

    Args:
        limit: of requests.
        per: in microseconds.
        most: so many callers are remembered.
    """

    def __init__(self, limit: int, per: int, most: int = MOST_CALLERS) -> None:
        self.limit = limit
        self.per = per
        self._interval = per / limit
        self._most = most
        self._used_up_to: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str, now: int) -> Taken:
        """Count a request, if it is allowed."""
        after = max(self._used_up_to.get(caller, now), now) + self._interval
        taken = self._answer(after, now)
        if taken.allowed:
            self._used_up_to[caller] = after
            self._used_up_to.move_to_end(caller)
            if len(self._used_up_to) > self._most:
                self._used_up_to.popitem(last=False)
        return taken

    def look(self, caller: str, now: int) -> Taken:
        """Whether a request would be allowed; it is not counted."""
        return self._answer(max(self._used_up_to.get(caller, now), now) + self._interval, now)

    def _answer(self, after: float, now: int) -> Taken:
        ahead = after - now - self.per
        if ahead > 0.5:  # less than a microsecond is what was lost in rounding
            return Taken(False, 0, math.ceil(ahead))
        remaining = int(-ahead / self._interval + 1e-6)
        return Taken(True, remaining, 0 if remaining else max(0, math.ceil(ahead + self._interval)))
