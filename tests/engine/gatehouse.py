"""A gatekeeper alone: attempts come, work is done by hand, the clock stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.engine.gatekeeper import Gatekeeper
from stepwell.engine.gates import GateState
from stepwell.execution.work import Assignment, Report
from stepwell.policy.gates import Gates, Named
from stepwell.policy.limits import Bulkhead, CircuitBreaker, RateLimit
from tests.virtual_clock import VirtualClock

DOWN = ErrorInfo("connection_error", "nobody answers", retryable=True)


def gates(*policies: CircuitBreaker | Bulkhead | RateLimit, name: str = "orders/charge") -> Gates:
    """Gates of these policies, at most one of each kind, all of this name."""
    found: dict[str, Any] = {}
    for policy in policies:
        match policy:
            case CircuitBreaker():
                found["circuit_breaker"] = Named(name, policy)
            case Bulkhead():
                found["bulkhead"] = Named(name, policy)
            case RateLimit():
                found["rate_limit"] = Named(name, policy)
    return Gates(**found)


class Gatehouse:
    """One gatekeeper.

    Attributes:
        out: what was dispatched and has not ended, by attempt, in order.
        starts: the instants of dispatching.
        refused: the errors of refused attempts, by step.
        on_dispatch: called with every step that is dispatched, before that returns.
    """

    def __init__(self, service_gates: dict[str, Gates] | None = None) -> None:
        self.clock = VirtualClock()
        self.opened_at = self.clock.now()
        self.out: dict[str, Assignment] = {}
        self.starts: list[int] = []
        self.refused: dict[str, ErrorInfo] = {}
        self.on_dispatch: Callable[[str], None] = lambda step: None
        self.keeper = Gatekeeper(self.clock, self._dispatch, self._refused, service_gates or {})

    def come(self, step: str, at: Gates | None, **settings: Any) -> str:
        """An attempt comes to its gates; returns its id."""
        assignment = Assignment(
            execution="x",
            workflow="orders",
            version=settings.pop("version", "1.0.0"),
            step=step,
            type=settings.pop("type", "python"),
            config=settings.pop("config", {}),
            attempt=1,
            idempotency_key=f"x/{step}",
            scheduled_at=self.clock.now(),
            **settings,
        )
        self.keeper.dispatch(assignment, at)
        return assignment.id

    async def end(self, step: str, error: ErrorInfo | None = None, took: int = 0) -> None:
        """The attempt at work ends, `took` microseconds after it began."""
        del self.out[f"x/{step}/1"]
        now = self.clock.now()
        self.keeper.ended(Report(execution="x", step=step, attempt=1, started_at=now - took, error=error))
        await self.clock.settle()

    async def fail(self, *steps: str) -> None:
        for step in steps:
            await self.end(step, DOWN)

    def at_work(self) -> list[str]:
        return [assignment.step for assignment in self.out.values()]

    def state(self, kind: str, name: str = "orders/charge") -> GateState:
        return next(state for state in self.keeper.states() if (state.kind, state.name) == (kind, name))

    def seconds(self) -> list[float]:
        """When attempts were dispatched, in seconds since the beginning."""
        return [(at - self.opened_at) / 1_000_000 for at in self.starts]

    def _dispatch(self, assignment: Assignment) -> None:
        assert assignment.id not in self.out, "dispatched twice"
        self.out[assignment.id] = assignment
        self.starts.append(self.clock.now())
        self.on_dispatch(assignment.step)

    def _refused(self, report: Report) -> None:
        assert report.error is not None
        assert report.started_at == self.clock.now()
        self.refused[report.step] = report.error
