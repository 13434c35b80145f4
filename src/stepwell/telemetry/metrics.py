"""What an engine did and measured, as counts and distributions: the numbers behind `/metrics`.

Counting stands on the hot path, once for every commit of every execution, so it is plain arithmetic on the event loop:
one of these distributions takes a fifth of the time that one of prometheus_client takes, which keeps a lock for each of
its buckets. `exposition` gives the numbers to that library when somebody asks for them.

Series are labelled by namespace, workflow, version, type, status and node, and never by an id. There are at most
`max_workflows` workflows and versions among the labels; all others are counted together as `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from stepwell.base.durations import MILLISECOND, MINUTE, SECOND
from stepwell.base.namespaces import namespace_of
from stepwell.decider.keys import split_key
from stepwell.definition.model import WorkflowDefinition, all_steps
from stepwell.execution.history import (
    AttemptFailed,
    CompensationEnded,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    HistoryEvent,
    StepCancelled,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepSkipped,
)
from stepwell.execution.state import ExecutionState
from stepwell.ports.measures import Measures
from stepwell.ports.work import Observer

OTHER: Final = "other"
"""The label of everything beyond the bound on labels, and the type of steps that no definition names."""

MAX_WORKFLOWS: Final = 100
"""So many workflows and versions have series of their own."""
MAX_EVENT_TYPES: Final = 100
"""So many types of events do."""

LONG: Final = (
    *(n * MILLISECOND for n in (5, 10, 25, 50, 100, 250, 500)),
    *(n * SECOND for n in (1, 2.5, 5, 10, 30)),
    *(n * MINUTE for n in (1, 5, 30, 60, 360, 1_440)),
)
"""Bounds for what may take from milliseconds to a day; in microseconds, as all durations here."""
SHORT: Final = tuple(round(n * MILLISECOND) for n in (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000))
"""Bounds for what should take milliseconds."""
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)

Peek: TypeAlias = Callable[[str], ExecutionState | None]
"""Gives the state of an execution that is in memory."""


class Distribution:
    """How many of the observed values lie up to each bound and above the one before it; and their sum.

    Attributes:
        counts: one more than there are bounds; the last is for what is above all of them.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class WorkflowSeries:
    """What is counted of one version of a workflow.

    Attributes:
        finished: executions by status; `steps`: by type and status; `retries`: by type; `compensations`: by outcome.
        took: how long executions took from their start to their end, by status.
        step_took: how long steps took from the start of their last attempt to their end, by type.
        step_waited: how long first attempts waited from being scheduled to being begun, by type.
    """

    __slots__ = (
        "compensations", "finished", "namespace", "retries", "started", "step_took", "step_waited", "steps", "took",
        "version", "workflow",
    )  # fmt: skip

    def __init__(self, workflow: str, version: str) -> None:
        self.workflow = workflow
        self.version = version
        self.namespace = namespace_of(workflow) if workflow != OTHER else OTHER
        self.started = 0
        self.finished: Counter[str] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[str] = Counter()
        self.compensations: Counter[str] = Counter()
        self.took: dict[str, Distribution] = {}
        self.step_took: dict[str, Distribution] = {}
        self.step_waited: dict[str, Distribution] = {}


class _Watched:
    """A definition: the series it counts for, and the types of its steps by name."""

    __slots__ = ("series", "types")

    def __init__(self, series: WorkflowSeries, definition: WorkflowDefinition) -> None:
        self.series = series
        written = (*definition.steps, *definition.compensation.steps, *definition.config.on_error.steps)
        self.types = {step.name: step.type for step in all_steps(written)}

    def type_of(self, key: str) -> str:
        """The type of the step that an instance belongs to."""
        known = self.types.get(key)
        return known if known is not None else self.types.get(split_key(key)[0], OTHER)


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked up when somebody asks, rather than counted.

    Attributes:
        running: executions that have not ended, by workflow, version and status.
        queues: how many stand in line, by what for: `execution`, `task`.
        breakers: the state of each circuit breaker by name: `closed`, `half_open`, `open`.
        rejected: what each bulkhead has rejected, by name.
        waits: steps that wait for events.
    """

    running: Mapping[tuple[str, str, str], int] = {}
    queues: Mapping[str, int] = {}
    breakers: Mapping[str, str] = {}
    rejected: Mapping[str, int] = {}
    waits: int = 0


class Metrics(Observer, Measures):
    """Counts. Called on the event loop only.

    Args:
        node: what this process is called in labels.

    Attributes:
        gauges: as they were looked up last.
    """

    def __init__(self, node: str, max_workflows: int = MAX_WORKFLOWS, max_event_types: int = MAX_EVENT_TYPES) -> None:
        self.node = node
        self.gauges = Gauges()
        self.commit_took = Distribution(SHORT)
        self.batch_size = Distribution(SIZES)
        self.timer_lag = Distribution(SHORT)
        self.leases_lost = 0
        self.events: Counter[tuple[str, str]] = Counter()
        self._max_workflows = max_workflows
        self._max_event_types = max_event_types
        self._event_types: set[str] = set()
        self._series: dict[tuple[str, str], WorkflowSeries] = {}
        self._watched: dict[str, _Watched] = {}
        self._peek: Peek = lambda execution: None

    def attach(self, peek: Peek) -> None:
        """From now on, look executions up there: what they and their steps waited and took is known only so."""
        self._peek = peek

    def series(self) -> Sequence[WorkflowSeries]:
        """What was counted, by workflow and version."""
        return list(self._series.values())

    def labels_of(self, workflow: str, version: str) -> tuple[str, str]:
        """The labels under which a version of a workflow is counted."""
        if (workflow, version) in self._series or len(self._series) < self._max_workflows:
            return workflow, version
        return OTHER, OTHER

    # What is observed

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        """Count what happened to an execution."""
        watched = self._watched.get(definition.digest) or self._watch(definition)
        for event in events:
            count = _COUNTED.get(type(event))
            if count is not None:
                count(self, watched, event, execution)

    def commit_ended(self, changes: int, took: int) -> None:
        """Count a commit."""
        self.commit_took.observe(took)
        self.batch_size.observe(changes)

    def timer_fired(self, late: int) -> None:
        """Count a timer."""
        self.timer_lag.observe(late)

    def event_received(self, event_type: str, *, duplicate: bool) -> None:
        """Count an event from outside."""
        if event_type not in self._event_types:
            if len(self._event_types) < self._max_event_types:
                self._event_types.add(event_type)
            else:
                event_type = OTHER
        self.events[event_type, "duplicate" if duplicate else "accepted"] += 1

    def lease_lost(self) -> None:
        """Count a shard that another engine took over."""
        self.leases_lost += 1

    # How it is counted

    def _watch(self, definition: WorkflowDefinition) -> _Watched:
        if len(self._watched) >= 10 * self._max_workflows:
            self._watched.clear()  # they are made again when they are needed; the series stay
        labels = self.labels_of(definition.name, definition.version)
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = WorkflowSeries(*labels)
        watched = self._watched[definition.digest] = _Watched(series, definition)
        return watched

    def _execution_started(self, watched: _Watched, event: Any, execution: str) -> None:
        watched.series.started += 1

    def _execution_ended(self, watched: _Watched, event: HistoryEvent, execution: str) -> None:
        status = _ENDS[type(event)]
        watched.series.finished[status] += 1
        state = self._peek(execution)
        if state is not None and state.started_at is not None:
            _distribution(watched.series.took, status).observe(event.at - state.started_at)

    def _step_done(self, watched: _Watched, event: StepCompleted | StepFailed, execution: str) -> None:
        series, kind = watched.series, watched.type_of(event.step)
        series.steps[kind, "completed" if type(event) is StepCompleted else "failed"] += 1
        _distribution(series.step_took, kind).observe(event.at - event.started_at)
        state = self._peek(execution)
        step = state.steps.get(event.step) if state is not None else None
        if step is not None and step.attempts == 1 and step.scheduled_at is not None:
            _distribution(series.step_waited, kind).observe(max(0, event.started_at - step.scheduled_at))

    def _step_left(self, watched: _Watched, event: Any, execution: str) -> None:
        watched.series.steps[watched.type_of(event.step), _LEFT[type(event)]] += 1

    def _retried(self, watched: _Watched, event: AttemptFailed, execution: str) -> None:
        watched.series.retries[watched.type_of(event.step)] += 1

    def _compensated(self, watched: _Watched, event: CompensationEnded, execution: str) -> None:
        watched.series.compensations[event.outcome] += 1


_ENDS: Final[Mapping[type[Any], str]] = {
    ExecutionCompleted: "completed",
    ExecutionFailed: "failed",
    ExecutionCancelled: "cancelled",
}
_LEFT: Final[Mapping[type[Any], str]] = {
    StepSkipped: "skipped",
    StepCancelled: "cancelled",
    StepCompensated: "compensated",
}

_Count: TypeAlias = Callable[[Metrics, _Watched, Any, str], None]

_COUNTED: Final[Mapping[type[Any], _Count]] = {
    ExecutionStarted: Metrics._execution_started,
    **dict.fromkeys(_ENDS, Metrics._execution_ended),
    StepCompleted: Metrics._step_done,
    StepFailed: Metrics._step_done,
    **dict.fromkeys(_LEFT, Metrics._step_left),
    AttemptFailed: Metrics._retried,
    CompensationEnded: Metrics._compensated,
}


def _distribution(of: dict[str, Distribution], kind: str) -> Distribution:
    found = of.get(kind)
    if found is None:
        found = of[kind] = Distribution(LONG)
    return found
