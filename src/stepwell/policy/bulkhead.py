"""The arithmetic of bulkheads: so many calls run, so many wait in the order they came in, one more is rejected."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, TypeAlias

from stepwell.policy.limits import Bulkhead

Place: TypeAlias = Literal["running", "waiting", "rejected"]


class BulkheadState:
    """One bulkhead at work.

    A place that comes free is given away by `admit`, and a wait that was too long ended by `expire`; whoever keeps the
    state calls both, `expire` first, after `leave` and when `next_expiry` has come.

    Attributes:
        policy: the numbers; may be replaced at any time. Who runs goes on running.
    """

    __slots__ = ("_line", "_running", "policy")

    def __init__(self, policy: Bulkhead) -> None:
        self.policy = policy
        self._running: set[str] = set()
        self._line: OrderedDict[str, int] = OrderedDict()  # since when each waits

    @property
    def running(self) -> int:
        """Calls that have a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Calls that wait for one."""
        return len(self._line)

    def enter(self, call: str, now: int) -> Place:
        """Give the call a place, put it at the end of the line, or reject it. Nobody overtakes those who wait."""
        if not self._line and self._has_room():
            self._running.add(call)
            return "running"
        if len(self._line) < self.policy.max_queue_size:
            self._line[call] = now
            return "waiting"
        return "rejected"

    def leave(self, call: str) -> None:
        """The call has ended, or does not want to wait any more. One that is not here is ignored."""
        self._running.discard(call)
        self._line.pop(call, None)

    def admit(self) -> list[str]:
        """Give free places to those who wait, the longest first; returns who got one."""
        admitted: list[str] = []
        while self._line and self._has_room():
            call, _ = self._line.popitem(last=False)
            self._running.add(call)
            admitted.append(call)
        return admitted

    def expire(self, now: int) -> list[str]:
        """Take out of the line who has waited for `timeout`; returns them, the longest first."""
        expired: list[str] = []
        while (due := self.next_expiry()) is not None and due <= now:
            call, _ = self._line.popitem(last=False)
            expired.append(call)
        return expired

    def next_expiry(self) -> int | None:
        """When the first in line will have waited too long; None when nobody waits, or waiting has no bound."""
        if not self._line or self.policy.timeout is None:
            return None
        return next(iter(self._line.values())) + self.policy.timeout

    def _has_room(self) -> bool:
        return len(self._running) < self.policy.max_concurrent
