"""The arithmetic of circuit breakers: when a circuit opens, when calls are tried again, which outcomes count.

Closed, every call is made; `threshold` failures within `window` open it. Open, no call is made until `open_for` has
passed. Half open, `half_open_calls` are made to try: the first that ends decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

from stepwell.base.errors import ErrorInfo
from stepwell.policy.limits import CircuitBreaker


class Circuit(StrEnum):
    """The states of a circuit breaker."""

    CLOSED = "closed"  # calls are made
    OPEN = "open"  # calls fail without being made
    HALF_OPEN = "half_open"  # a few calls are made to try


class Cause(StrEnum):
    """What moves a circuit breaker from one state to another."""

    TOO_MANY_FAILURES = "too_many_failures"  # `threshold` within `window`
    REST_OVER = "rest_over"  # `open_for` has passed
    TRIAL_SUCCEEDED = "trial_succeeded"
    TRIAL_FAILED = "trial_failed"


CIRCUIT_TRANSITIONS: Final[Mapping[tuple[Circuit, Cause], Circuit]] = {
    (Circuit.CLOSED, Cause.TOO_MANY_FAILURES): Circuit.OPEN,
    (Circuit.OPEN, Cause.REST_OVER): Circuit.HALF_OPEN,
    (Circuit.HALF_OPEN, Cause.TRIAL_SUCCEEDED): Circuit.CLOSED,
    (Circuit.HALF_OPEN, Cause.TRIAL_FAILED): Circuit.OPEN,
}
"""The legal moves. There are no others."""


def succeeded(error: ErrorInfo | None) -> bool | None:
    """What an outcome says about whoever was called: True for health, False for trouble, None for neither.

    Trouble is what another try could help (a connection that breaks, status 5xx, 429) and every timeout. An error that
    is the caller's own (status 4xx, a value that does not validate) shows neither: it does not count and heals nothing.
    """
    if error is None:
        return True
    return False if error.retryable or error.type == "timeout" else None


class CircuitState:
    """One circuit breaker at work.

    Calls belong to the period in which they were made, and each move begins a new one: what a call from before says
    comes too late, and does not count.

    Attributes:
        policy: the numbers; may be replaced at any time.
        circuit: the state after the last call of a method.
        opened_at: since when it has been open or half open, an instant; None when it is closed.
        failures: the instants of failures within the window, oldest first; of an open circuit those that opened it.
    """

    __slots__ = ("_calls", "_period", "_trials", "circuit", "failures", "opened_at", "policy")

    def __init__(self, policy: CircuitBreaker) -> None:
        self.policy = policy
        self.circuit = Circuit.CLOSED
        self.opened_at: int | None = None
        self.failures: deque[int] = deque()
        self._calls: dict[str, int] = {}
        self._period = 0
        self._trials = 0

    @property
    def running(self) -> int:
        """Calls that were let through and have not ended."""
        return len(self._calls)

    def next_try_at(self) -> int | None:
        """When an open circuit lets a call through again; None when it is not open."""
        if self.circuit is not Circuit.OPEN or self.opened_at is None:
            return None
        return self.opened_at + self.policy.open_for

    def look(self, now: int) -> None:
        """Note that time has passed."""
        next_try_at = self.next_try_at()
        if next_try_at is not None and next_try_at <= now:
            self._move(Cause.REST_OVER, now)
        if self.circuit is Circuit.CLOSED:
            self._forget(now)

    def admits(self, now: int) -> bool:
        """Whether a call may be made now."""
        self.look(now)
        match self.circuit:
            case Circuit.CLOSED:
                return True
            case Circuit.OPEN:
                return False
            case Circuit.HALF_OPEN:
                return self._trials < self.policy.half_open_calls
            case _:
                assert_never(self.circuit)

    def enter(self, call: str, now: int) -> bool:
        """Let the call through, or not: False."""
        if not self.admits(now):
            return False
        if self.circuit is Circuit.HALF_OPEN:
            self._trials += 1
        self._calls[call] = self._period
        return True

    def leave(self, call: str, success: bool | None, now: int) -> None:
        """The call has ended. One that was not let through, or has ended before, is ignored.

        Args:
            success: see `succeeded`; None also when it was never made, or stopped.
        """
        period = self._calls.pop(call, None)
        self.look(now)
        if period != self._period:
            return
        match self.circuit:
            case Circuit.CLOSED:
                if success is False:
                    self._note_failure(now)
            case Circuit.HALF_OPEN:
                self._trials -= 1
                if success is not None:
                    self._end_trial(success, now)
            case Circuit.OPEN:
                pass  # no call is made in such a period
            case _:
                assert_never(self.circuit)

    def _note_failure(self, now: int) -> None:
        self.failures.append(now)
        self._forget(now)
        if len(self.failures) >= self.policy.threshold:
            self._move(Cause.TOO_MANY_FAILURES, now)

    def _end_trial(self, success: bool, now: int) -> None:
        if success:
            self._move(Cause.TRIAL_SUCCEEDED, now)
        else:
            self.failures.append(now)
            self._forget(now)
            self._move(Cause.TRIAL_FAILED, now)

    def _forget(self, now: int) -> None:
        """Drop failures that have left the window."""
        oldest = now - self.policy.window
        while self.failures and self.failures[0] <= oldest:
            self.failures.popleft()

    def _move(self, cause: Cause, now: int) -> None:
        self.circuit = CIRCUIT_TRANSITIONS[self.circuit, cause]
        self._period += 1
        self._trials = 0
        match self.circuit:
            case Circuit.OPEN:
                self.opened_at = now
            case Circuit.CLOSED:
                self.opened_at = None
                self.failures.clear()
            case Circuit.HALF_OPEN:
                pass
            case _:
                assert_never(self.circuit)
