"""The arithmetic of rate limits: at most `limit` starts within any `per`; who comes too early waits.

A call gets a *permit*, and uses it when it really starts, which may be later (it may have to wait for a place
elsewhere). A permit counts from when it is given until `per` after the start. So there are never more starts than
`limit` within any stretch of `per`, not even when many that hold one start at the same instant.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from stepwell.policy.limits import RateLimit


class RateLimitState:
    """One rate limit at work.

    Permits that come free are given away by `admit`; whoever keeps the state calls it after `start` and `leave` and
    when `next_at` has come.

    Attributes:
        policy: the numbers; may be replaced at any time.
    """

    __slots__ = ("_line", "_permits", "_starts", "policy")

    def __init__(self, policy: RateLimit) -> None:
        self.policy = policy
        self._permits: set[str] = set()
        self._starts: deque[int] = deque()  # those within the last `per`, oldest first
        self._line: OrderedDict[str, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return len(self._line)

    def is_idle(self, now: int) -> bool:
        """Whether it would be the same made anew: nobody waits, and no permit or start counts."""
        self._forget_starts(now)
        return not (self._line or self._permits or self._starts)

    def enter(self, call: str, now: int) -> bool:
        """Give the call a permit, or put it at the end of the line: False. Nobody overtakes those who wait."""
        if not self._line and self._is_free(now):
            self._permits.add(call)
            return True
        self._line[call] = None
        return False

    def start(self, call: str, now: int) -> None:
        """The call uses its permit. One without is ignored."""
        if call in self._permits:
            self._permits.remove(call)
            self._starts.append(now)

    def leave(self, call: str) -> None:
        """The call does not want to wait any more, or gives its permit back unused. One without is ignored."""
        self._permits.discard(call)
        self._line.pop(call, None)

    def admit(self, now: int) -> list[str]:
        """Give the permits that are free to those who wait, the longest first; returns who got one."""
        admitted: list[str] = []
        while self._line and self._is_free(now):
            call, _ = self._line.popitem(last=False)
            self._permits.add(call)
            admitted.append(call)
        return admitted

    def next_at(self) -> int | None:
        """When the first in line gets a permit if nothing else happens; it may lie in the past.

        None when nobody waits, or when all that count are permits that have not been used: then the use of one, or its
        return, decides.
        """
        if not self._line or len(self._permits) >= self.policy.limit:
            return None
        too_many = len(self._starts) + len(self._permits) - self.policy.limit
        return self._starts[too_many] + self.policy.per if too_many >= 0 else 0

    def _is_free(self, now: int) -> bool:
        self._forget_starts(now)
        return len(self._starts) + len(self._permits) < self.policy.limit

    def _forget_starts(self, now: int) -> None:
        oldest = now - self.policy.per
        while self._starts and self._starts[0] <= oldest:
            self._starts.popleft()
