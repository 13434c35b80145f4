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
from typing import Any, Final, Literal, TypeAlias

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
    *(round(n * SECOND) for n in (1, 2.5, 5, 10, 30)),
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

    def add(self, other: Distribution) -> None:
        """Count what another one with the same bounds has counted."""
        self.counts = [mine + more for mine, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class StepSeries:
    """What is counted of the steps of one type, of one version of a workflow.

    Attributes:
        finished: those that neither completed nor failed, by status.
        took: from the start of their last attempt to their end.
        waited: from being due to the start of their first attempt.
    """

    __slots__ = ("completed", "failed", "finished", "retries", "took", "waited")

    def __init__(self) -> None:
        self.completed = 0
        self.failed = 0
        self.finished: Counter[str] = Counter()
        self.retries = 0
        self.took = Distribution(LONG)
        self.waited = Distribution(LONG)

    def ended(self) -> Mapping[str, int]:
        """How many ended, by status."""
        counted = {"completed": self.completed, "failed": self.failed, **self.finished}
        return {status: count for status, count in counted.items() if count}


class WorkflowSeries:
    """What is counted of one version of a workflow.

    Attributes:
        finished: executions by status; `compensations`: by outcome; `steps`: by type.
        took: how long executions took from their start to their end, by status.
    """

    __slots__ = ("compensations", "finished", "namespace", "started", "steps", "took", "version", "workflow")

    def __init__(self, workflow: str, version: str) -> None:
        self.workflow = workflow
        self.version = version
        self.namespace = namespace_of(workflow) if workflow != OTHER else OTHER
        self.started = 0
        self.finished: Counter[str] = Counter()
        self.compensations: Counter[str] = Counter()
        self.took: dict[str, Distribution] = {}
        self.steps: dict[str, StepSeries] = {}


class _Watched:
    """A definition: the series it counts for, and those of its steps by name."""

    __slots__ = ("get_step", "series", "steps")

    def __init__(self, series: WorkflowSeries, definition: WorkflowDefinition) -> None:
        self.series = series
        written = (*definition.steps, *definition.compensation.steps, *definition.config.on_error.steps)
        self.steps = {step.name: _of_type(series, step.type) for step in all_steps(written)}
        self.get_step = self.steps.get

    def step(self, key: str) -> StepSeries:
        """The series of an instance of a step."""
        known = self.get_step(key)
        return known or self.get_step(split_key(key)[0]) or _of_type(self.series, OTHER)


def _of_type(series: WorkflowSeries, type_: str) -> StepSeries:
    found = series.steps.get(type_)
    if found is None:
        found = series.steps[type_] = StepSeries()
    return found


class BrokerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of a topic of a broker.

    Attributes:
        counts: messages by what became of them, since this process began.
        lag: how many wait to be read, about; behind: microseconds since the oldest event happened that is not told
            yet. None where that is not known, or another node's matter.
    """

    broker: str
    topic: str
    direction: Literal["in", "out"]
    counts: Mapping[str, int] = {}
    lag: int | None = None
    behind: int | None = None
    is_well: bool = True


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked up when somebody asks, rather than counted.

    Attributes:
        running: executions that have not ended, by workflow, version and status.
        queues: how many stand in line, by what for: `execution`, `task`.
        breakers: the state of each circuit breaker by name: `closed`, `half_open`, `open`.
        rejected: what each bulkhead has rejected, by name.
        waits: steps that wait for events.
        brokers: what is read from brokers, and told to them.
    """

    running: Mapping[tuple[str, str, str], int] = {}
    queues: Mapping[str, int] = {}
    breakers: Mapping[str, str] = {}
    rejected: Mapping[str, int] = {}
    waits: int = 0
    brokers: Sequence[BrokerFigures] = ()


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

    def series_of(self, workflow: str, version: str) -> WorkflowSeries:
        """What is counted of a version of a workflow, or of all those beyond the bound together."""
        series = self._series.get((workflow, version))
        if series is not None:
            return series
        labels = (workflow, version) if len(self._series) < self._max_workflows else (OTHER, OTHER)
        return self._series.setdefault(labels, WorkflowSeries(*labels))

    # What is observed

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        """Count what happened to an execution."""
        watched, peek = self._watched.get(definition.digest) or self._watch(definition), self._peek
        for event in events:
            if isinstance(event, StepCompleted):  # by far the most that count
                step = watched.get_step(event.step) or watched.step(event.step)
                step.completed += 1
                _step_took(step, event, peek(execution))
            elif (count := _COUNTED.get(type(event))) is not None:
                count(watched, event, peek(execution))

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

    def _watch(self, definition: WorkflowDefinition) -> _Watched:
        if len(self._watched) >= 10 * self._max_workflows:
            self._watched.clear()  # they are made again when they are needed; the series stay
        series = self.series_of(definition.name, definition.version)
        watched = self._watched[definition.digest] = _Watched(series, definition)
        return watched


# ── How it is counted ────────────────────────────────────────────────────────────────────────────────────────────────


def _execution_started(watched: _Watched, event: Any, state: ExecutionState | None) -> None:
    watched.series.started += 1


def _execution_ended(watched: _Watched, event: HistoryEvent, state: ExecutionState | None) -> None:
    status = _ENDS[type(event)]
    watched.series.finished[status] += 1
    if state is not None and state.started_at is not None:
        took = watched.series.took.get(status)
        if took is None:
            took = watched.series.took[status] = Distribution(LONG)
        took.observe(event.at - state.started_at)


def _step_failed(watched: _Watched, event: StepFailed, state: ExecutionState | None) -> None:
    step = watched.step(event.step)
    step.failed += 1
    _step_took(step, event, state)


def _step_took(step: StepSeries, event: StepCompleted | StepFailed, state: ExecutionState | None) -> None:
    began = event.started_at
    took = step.took  # not by `observe`: this is done for every step, and calls cost as much as what they do
    took.counts[bisect_left(LONG, event.at - began)] += 1
    took.total += event.at - began
    if state is not None:
        seen = state.steps.get(event.step)
        if seen is not None and seen.attempts == 1 and seen.scheduled_at is not None:
            waited = step.waited
            waited.counts[bisect_left(LONG, began - seen.scheduled_at)] += 1
            waited.total += began - seen.scheduled_at


def _step_left(watched: _Watched, event: Any, state: ExecutionState | None) -> None:
    watched.step(event.step).finished[_LEFT[type(event)]] += 1


def _retried(watched: _Watched, event: AttemptFailed, state: ExecutionState | None) -> None:
    watched.step(event.step).retries += 1


def _compensated(watched: _Watched, event: CompensationEnded, state: ExecutionState | None) -> None:
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

_COUNTED: Final[Mapping[type[Any], Callable[[_Watched, Any, ExecutionState | None], None]]] = {
    ExecutionStarted: _execution_started,
    **dict.fromkeys(_ENDS, _execution_ended),
    StepFailed: _step_failed,
    **dict.fromkeys(_LEFT, _step_left),
    AttemptFailed: _retried,
    CompensationEnded: _compensated,
}
