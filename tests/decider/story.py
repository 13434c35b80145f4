"""Telling a decider test: given a workflow, when this comes in, then these events and commands follow.

No clock, no store, no event loop: instants are plain numbers of microseconds.
"""

from __future__ import annotations

from typing import Any

from stepwell.base.derive import digest
from stepwell.base.errors import ErrorInfo
from stepwell.base.spans import Source
from stepwell.decider.create import Start, create
from stepwell.decider.decide import decide
from stepwell.decider.plan import Plan
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.definition.model import (
    Action,
    Compensation,
    Dependency,
    DependencyOn,
    FailureAction,
    SpanIndex,
    Step,
    WorkflowConfig,
    WorkflowDefinition,
)
from stepwell.execution.commands import Command, RunStep
from stepwell.execution.event import Event
from stepwell.execution.evolve import begin
from stepwell.execution.history import HistoryEvent
from stepwell.execution.inputs import Begin, EventArrived, Input, TimersDue
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.work import Report
from stepwell.policy.retry import RetryPolicy

SECOND = 1_000_000
BOOM = ErrorInfo("boom", "it went boom")
FLAKY = ErrorInfo("connection_error", "nobody answers", retryable=True)
TIMEOUT = ErrorInfo("timeout", "it took too long", retryable=True)


def step(name: str, *after: str | Dependency, type: str = "python", **settings: Any) -> Step:  # noqa: A002
    """A step that depends on `after`; a plain name means the default edge."""
    edges = tuple(Dependency(step=one) if isinstance(one, str) else one for one in after)
    settings.setdefault("config", {"task": "work"} if type == "python" else {})
    return Step(name=name, type=type, depends_on=edges, path=("spec", "steps", name), **settings)


def workflow(*steps: Step, undo: tuple[Step, ...] = (), **settings: Any) -> WorkflowDefinition:
    """A definition of these steps; `undo` are its compensation steps. Settings of `config` may be given as they are."""
    if undo:
        settings.setdefault("compensation", Compensation(steps=undo, declared=True))
    config = {key: settings.pop(key) for key in list(settings) if key in WorkflowConfig.__struct_fields__}
    settings.setdefault("config", WorkflowConfig(**config))
    return WorkflowDefinition(
        name=settings.pop("name", "test"),
        version="1.0.0",
        steps=steps,
        source=Source("<test>", ""),
        spans=SpanIndex({}),
        digest=digest(repr(steps).encode()),
        **settings,
    )


def on(name: str, outcome: DependencyOn) -> Dependency:
    """The edge that is taken when the step of that name ends so."""
    return Dependency(step=name, on=outcome)


def says(action: Action, **settings: Any) -> FailureAction:
    """What `on_failure` or `on_timeout` says."""
    return FailureAction(action=action, **settings)


def retries(attempts: int, **settings: Any) -> RetryPolicy:
    """So many tries, a second apart unless said otherwise."""
    return RetryPolicy(max_attempts=attempts, **{"backoff": "constant", **settings})


class Story:
    """One execution, from its start, with everything that was decided about it."""

    def __init__(self, definition: WorkflowDefinition, given: Any = None, at: int = 0) -> None:
        self.plan = Plan(definition)
        self.at = at
        created = create(self.plan, Start(id="x", input=given, seed=b"seed"), at)
        self.history: list[HistoryEvent] = [created]
        self.run = Run(self.plan, begin(created))
        self.commands: list[Command] = []

    @property
    def state(self) -> ExecutionState:
        return self.run.state

    def when(self, came_in: Input, after: int = 0) -> Decision:
        """Something comes in, `after` microseconds later."""
        self.at += after
        decision = decide(self.run, came_in, self.at)
        self.history += decision.events
        self.commands += decision.commands
        return decision

    def begin(self) -> Decision:
        return self.when(Begin())

    def done_all(self, *names: str) -> Decision:
        """The current attempts of these steps succeed, one after the other; the last decision."""
        return [self.done(name) for name in names][-1]

    def done(self, name: str, result: Any = None, after: int = 0, **scope: Any) -> Decision:
        """The step's current attempt succeeds."""
        return self.when(self._report(name, result=result, scope=scope or None), after)

    def failed(self, name: str, error: ErrorInfo = BOOM, after: int = 0) -> Decision:
        """The step's current attempt fails."""
        return self.when(self._report(name, error=error), after)

    def time(self, after: int) -> Decision:
        """Time passes, and timers are looked at."""
        return self.when(TimersDue(), after)

    def event(self, name: str, type: str = "go", id: str = "e1", early: bool = False, **data: Any) -> Decision:  # noqa: A002
        """An event is handed to a waiting step."""
        return self.when(EventArrived(name, Event(id=id, type=type, source="test", data=data), early))

    def crash(self) -> None:
        """All that is in memory is lost; the history is folded again."""
        self.run = replay(self.plan, self.history)

    def _report(self, name: str, **outcome: Any) -> Report:
        attempt = self.step(name).attempts
        return Report(execution="x", step=name, attempt=attempt, started_at=self.at, **outcome)

    def step(self, name: str) -> StepState:
        return self.state.steps.get(name, StepState())

    def status(self, name: str) -> str:
        return self.step(name).status.value

    def statuses(self) -> dict[str, str]:
        return {name: self.status(name) for name in [*self.plan.nodes, *self.plan.undoing.nodes]}


def begun(definition: WorkflowDefinition, given: Any = None) -> Story:
    """A story whose execution has begun."""
    story = Story(definition, given)
    story.begin()
    return story


def kinds(decision: Decision) -> list[str]:
    """The names of the decided events, in order."""
    return [type(event).__name__ for event in decision.events]


def dispatched(decision: Decision) -> list[str]:
    """The steps that the decision dispatches."""
    return [command.assignment.step for command in decision.commands if isinstance(command, RunStep)]


def config_of(decision: Decision, name: str) -> Any:
    """The rendered settings with which the decision dispatches a step."""
    return next(
        command.assignment.config
        for command in decision.commands
        if isinstance(command, RunStep) and command.assignment.step == name
    )
