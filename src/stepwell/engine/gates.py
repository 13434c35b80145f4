"""The gates before the dispatcher: a rate limit, a bulkhead or a circuit breaker at work, shared by all who name it.

Each wraps the arithmetic of its policy (`stepwell.policy`) and adds what arithmetic cannot do: timers, error messages,
log lines. Whoever keeps the gates is told who may go on and who is refused.
"""

from __future__ import annotations

import logging
from typing import Literal, Protocol, TypeAlias, assert_never

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import to_rfc3339
from stepwell.engine.alarm import Alarm
from stepwell.policy.bulkhead import BulkheadState
from stepwell.policy.circuit_breaker import Circuit, CircuitState
from stepwell.policy.limits import Bulkhead, CircuitBreaker, Policy, PolicyKind, RateLimit
from stepwell.policy.rate_limit import RateLimitState
from stepwell.policy.recent_calls import RecentCalls

_log = logging.getLogger(__name__)

Verdict: TypeAlias = Literal["passed", "waits"] | ErrorInfo
"""What a gate says to an attempt; an error refuses it."""


class GateState(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of a gate. Instants and durations in microseconds; None where it does not apply.

    Attributes:
        name: see `policy.gates.Named`; `service:{name}` for the gates of a service.
        state: of a circuit breaker.
        failures: those that count now; of an open circuit breaker those that opened it.
        opened_at: since when a circuit breaker has not been closed.
        next_try_at: when an open circuit breaker lets a call through again, or a rate limit the first that waits.
        running: attempts that have passed and not ended; of a rate limit None, since it does not look at ends.
        waiting: attempts that wait at this gate.
        rejected: attempts refused since the engine was opened.
        calls: the calls that the following figures are about: those of a circuit breaker's `window`, at most 1,000.
        error_rate: the share of failures, 0 to 1.
        policy: the numbers in force.
        is_set: they were set at run time, rather than written in a definition or in the configuration.
    """

    name: str
    kind: PolicyKind
    state: Literal["closed", "open", "half_open"] | None = None
    failures: int | None = None
    opened_at: int | None = None
    next_try_at: int | None = None
    running: int | None = None
    waiting: int = 0
    rejected: int = 0
    calls: int | None = None
    error_rate: float | None = None
    latency_mean: int | None = None
    latency_p95: int | None = None
    policy: Policy | None = None
    is_set: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How a call that was made has ended: see `policy.circuit_breaker.succeeded`; and how long it took."""

    success: bool | None
    latency: int


class Keeper(Protocol):
    """Who keeps the gates. What it is told takes effect at the next `settle`, so that gates need not expect calls from
    within their own."""

    def let_in(self, attempt: str) -> None:
        """An attempt that waited has passed."""
        ...

    def refuse(self, attempt: str, error: ErrorInfo) -> None:
        """An attempt that waited waits no more."""
        ...

    def settle(self) -> None:
        """Nothing more follows for now."""
        ...


class Gate(Protocol):
    """What attempts pass, one after the other."""

    @property
    def policy(self) -> Policy:
        """The numbers in force."""
        ...

    def adopt(self, policy: Policy, now: int) -> None:
        """Other numbers are in force from now on."""
        ...

    def enter(self, attempt: str, now: int) -> Verdict:
        """An attempt comes to the gate."""
        ...

    def start(self, attempt: str, now: int) -> None:
        """An attempt that passed has passed all other gates too, and is dispatched."""
        ...

    def leave(self, attempt: str, outcome: Outcome | None, now: int) -> None:
        """An attempt has ended, was stopped, or was refused by another gate. One that is not known is ignored.

        Args:
            outcome: None when it was not dispatched or not let end.
        """
        ...

    def state(self, now: int) -> GateState:
        """What can be seen."""
        ...

    def close(self) -> None:
        """Nobody is told anything any more."""
        ...


class RateLimitGate(Gate):
    """Delays attempts until they may start."""

    def __init__(self, name: str, policy: RateLimit, clock: Clock, keeper: Keeper) -> None:
        self._name = name
        self._clock = clock
        self._keeper = keeper
        self._state = RateLimitState(policy)
        self._alarm = Alarm(clock, self._ring)

    @property
    def policy(self) -> RateLimit:
        return self._state.policy

    def adopt(self, policy: Policy, now: int) -> None:
        assert isinstance(policy, RateLimit)
        self._state.policy = policy
        self._move(now)

    def is_idle(self, now: int) -> bool:
        """Whether it would be the same made anew."""
        return self._state.is_idle(now)

    def enter(self, attempt: str, now: int) -> Verdict:
        if self._state.enter(attempt, now):
            return "passed"
        self._alarm.set(self._state.next_at())
        return "waits"

    def start(self, attempt: str, now: int) -> None:
        self._state.start(attempt, now)
        self._move(now)

    def leave(self, attempt: str, outcome: Outcome | None, now: int) -> None:
        self._state.leave(attempt)
        self._move(now)

    def state(self, now: int) -> GateState:
        state = self._state
        return GateState(name=self._name, kind="rate_limit", waiting=state.waiting, next_try_at=state.next_at())

    def close(self) -> None:
        self._alarm.clear()

    def _move(self, now: int) -> None:
        for attempt in self._state.admit(now):
            self._keeper.let_in(attempt)
        self._alarm.set(self._state.next_at())

    def _ring(self) -> None:
        self._move(self._clock.now())
        self._keeper.settle()


class BulkheadGate(Gate):
    """Lets so many attempts be at work, has so many wait, and refuses the rest."""

    def __init__(self, name: str, policy: Bulkhead, clock: Clock, keeper: Keeper) -> None:
        self._name = name
        self._clock = clock
        self._keeper = keeper
        self._state = BulkheadState(policy)
        self._rejected = 0
        self._alarm = Alarm(clock, self._ring)

    @property
    def policy(self) -> Bulkhead:
        return self._state.policy

    def adopt(self, policy: Policy, now: int) -> None:
        assert isinstance(policy, Bulkhead)
        self._state.policy = policy
        self._move(now)

    def enter(self, attempt: str, now: int) -> Verdict:
        self._expire(now)
        place = self._state.enter(attempt, now)
        match place:
            case "running":
                return "passed"
            case "waiting":
                self._alarm.set(self._state.next_expiry())
                return "waits"
            case "rejected":
                self._rejected += 1
                return self._full()
            case _:
                assert_never(place)

    def start(self, attempt: str, now: int) -> None:
        pass  # its place was taken when it passed

    def leave(self, attempt: str, outcome: Outcome | None, now: int) -> None:
        self._state.leave(attempt)
        self._move(now)

    def state(self, now: int) -> GateState:
        state = self._state
        return GateState(
            name=self._name,
            kind="bulkhead",
            running=state.running,
            waiting=state.waiting,
            rejected=self._rejected,
        )

    def close(self) -> None:
        self._alarm.clear()

    def _move(self, now: int) -> None:
        self._expire(now)
        for attempt in self._state.admit():
            self._keeper.let_in(attempt)
        self._alarm.set(self._state.next_expiry())

    def _expire(self, now: int) -> None:
        for attempt in self._state.expire(now):
            self._rejected += 1
            self._keeper.refuse(attempt, self._timed_out())

    def _ring(self) -> None:
        self._move(self._clock.now())
        self._keeper.settle()

    def _full(self) -> ErrorInfo:
        policy = self.policy
        return ErrorInfo(
            "bulkhead_full",
            f"the bulkhead {self._name!r} is full: {policy.max_concurrent} calls run "
            f"and {policy.max_queue_size} wait, which is all that it allows",
            details={
                "policy": self._name,
                "max_concurrent": policy.max_concurrent,
                "max_queue_size": policy.max_queue_size,
            },
        )

    def _timed_out(self) -> ErrorInfo:
        timeout = format_duration(self.policy.timeout or 0)
        return ErrorInfo(
            "bulkhead_timeout",
            f"no place came free in the bulkhead {self._name!r} within {timeout}; "
            f"it lets {self.policy.max_concurrent} calls run at once",
            details={"policy": self._name, "timeout": timeout},
        )


class CircuitBreakerGate(Gate):
    """Refuses attempts while whoever they call is in trouble."""

    def __init__(self, name: str, policy: CircuitBreaker) -> None:
        self._name = name
        self._state = CircuitState(policy)
        self._recent = RecentCalls()
        self._rejected = 0

    @property
    def policy(self) -> CircuitBreaker:
        return self._state.policy

    def adopt(self, policy: Policy, now: int) -> None:
        assert isinstance(policy, CircuitBreaker)
        self._state.policy = policy

    def reset(self) -> None:
        """Begin anew: closed, with nothing counted. Calls that are under way count no more."""
        was_open = self._state.circuit is not Circuit.CLOSED
        self._state = CircuitState(self._state.policy)
        self._recent = RecentCalls()
        if was_open:
            _log.warning("circuit breaker %s closed: somebody reset it", self._name)

    def refusal(self, now: int) -> ErrorInfo | None:
        """The error of an attempt that comes now, or None when it may be made."""
        if self._state.admits(now):
            return None
        self._rejected += 1
        return self._error()

    def enter(self, attempt: str, now: int) -> Verdict:
        refusal = self.refusal(now)
        if refusal is not None:
            return refusal
        self._state.enter(attempt, now)
        return "passed"

    def start(self, attempt: str, now: int) -> None:
        pass  # it was counted when it passed

    def leave(self, attempt: str, outcome: Outcome | None, now: int) -> None:
        success = None if outcome is None else outcome.success
        if outcome is not None and success is not None:
            self._recent.add(now, outcome.latency, failed=not success)
        before = self._state.circuit
        self._state.leave(attempt, success, now)
        after = self._state.circuit
        if after is not before and after is not Circuit.HALF_OPEN:
            self._tell(after)

    def state(self, now: int) -> GateState:
        state = self._state
        state.look(now)
        figures = self._recent.figures(now, state.policy.window)
        return GateState(
            name=self._name,
            kind="circuit_breaker",
            state=state.circuit.value,
            failures=len(state.failures),
            opened_at=state.opened_at,
            next_try_at=state.next_try_at(),
            running=state.running,
            rejected=self._rejected,
            calls=figures.calls,
            error_rate=figures.error_rate,
            latency_mean=figures.latency_mean,
            latency_p95=figures.latency_p95,
        )

    def close(self) -> None:
        pass  # it has no timer: time is looked at when somebody comes

    def _error(self) -> ErrorInfo:
        state = self._state
        assert state.opened_at is not None, "a closed circuit refuses nobody"
        since = to_rfc3339(state.opened_at)
        next_try_at = state.next_try_at()
        if next_try_at is not None:
            then = f"it lets a call through again at {to_rfc3339(next_try_at)}"
        else:
            then = "a call is being tried, and decides whether others are made again"
        return ErrorInfo(
            "circuit_open",
            f"the circuit breaker {self._name!r} has been open since {since}, after {self._failures()}: "
            f"the call was not made; {then}",
            details={
                "policy": self._name,
                "opened_at": since,
                "failures": len(state.failures),
                "next_try_at": to_rfc3339(next_try_at) if next_try_at is not None else None,
            },
        )

    def _failures(self) -> str:
        count = len(self._state.failures)
        return f"{count} failure{'' if count == 1 else 's'} within {format_duration(self.policy.window)}"

    def _tell(self, circuit: Circuit) -> None:
        if circuit is Circuit.OPEN:
            _log.warning(
                "circuit breaker %s opened after %s; it lets a call through again after %s",
                self._name,
                self._failures(),
                format_duration(self.policy.open_for),
            )
        else:  # as loud as its opening: who has read that is waiting for this
            _log.warning("circuit breaker %s closed: a call succeeded", self._name)


def new_gate(name: str, policy: Policy, clock: Clock, keeper: Keeper) -> Gate:
    """A gate of the policy's kind, with nobody at it."""
    match policy:
        case RateLimit():
            return RateLimitGate(name, policy, clock, keeper)
        case Bulkhead():
            return BulkheadGate(name, policy, clock, keeper)
        case CircuitBreaker():
            return CircuitBreakerGate(name, policy)
        case _:
            assert_never(policy)
