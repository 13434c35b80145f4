"""Traces by OpenTelemetry: one for each execution, with a span for it, for its steps and for their attempts.

Spans are made of history events when these are committed. The ids of traces and spans are derived from the ids of
executions, steps and attempts, so that any process which goes on with an execution goes on with its trace, and a worker
anywhere can say in which span it calls a service. An execution that was started by somebody who is himself traced
belongs to that trace.

Whether an execution is traced is derived from its id too, and so decided once. The library (the extra `otel`) is
imported when a `Tracing` is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stepwell.base.errors import ConfigurationError, ErrorInfo
from stepwell.base.namespaces import namespace_of
from stepwell.decider.keys import split_key
from stepwell.definition.model import CONTROL_TYPES, WorkflowDefinition, all_steps
from stepwell.execution.history import (
    AttemptFailed,
    CompensationEnded,
    CompensationStarted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    HistoryEvent,
    RolledBack,
    StepCancelled,
    StepCompleted,
    StepFailed,
)
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.work import Assignment
from stepwell.ports.work import Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

Component = Literal["execution", "step", "attempt", "state"]
"""What has spans: executions, steps, attempts, and what changes the course of an execution (pauses, compensations)."""

COMPONENTS: Final[frozenset[Component]] = frozenset({"execution", "step", "attempt", "state"})

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_REMEMBERED: Final = 4_096


class TraceParent(NamedTuple):
    """Where in which trace somebody is: the ids of the trace and of the span, each 0 for none."""

    trace: int
    span: int

    def header(self, *, sampled: bool) -> str:
        """As the header `traceparent` has it."""
        return f"00-{self.trace:032x}-{self.span:016x}-{int(sampled):02x}"


def parsed(header: str) -> TraceParent | None:
    """What a header `traceparent` says; None when it is not one (W3C Trace Context, 3.2)."""
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5] is not None):
        return None
    place = TraceParent(int(found[2], 16), int(found[3], 16))
    return place if place.trace and place.span else None


def trace_of(execution: str, trace: str) -> TraceParent:
    """The trace of an execution, and the span that its own hangs under: of whoever asked for it, where it was started
    within a trace."""
    parent = parsed(trace) if trace else None
    return parent or TraceParent(_number(execution, 16), 0)


def span_of(execution: str, *parts: object) -> int:
    """The id of the span of an execution, or of what is named by `parts` in it."""
    return _number("/".join(map(str, (execution, "span", *parts))), 8)


def is_sampled(execution: str, rate: float) -> bool:
    """Whether an execution is among the share `rate` (0 to 1) of those that are traced."""
    return _number(f"{execution}/sampled", 8) < round(rate * 2**64)


def _number(text: str, size: int) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:size]) or 1  # 0 stands for none


class Tracing(Observer):
    """Makes spans of what is committed.

    Args:
        sampling_rate: the share of executions that are traced, 0 to 1.
        components: what has spans.
        processor: takes the spans; see `exporting`.
        node: what this process is called.
    """

    def __init__(
        self, sampling_rate: float, components: Collection[Component], processor: SpanProcessor, node: str
    ) -> None:
        from stepwell.telemetry.spans import Spans

        self._components = frozenset(components)
        self._spans = Spans(processor, node)
        self._peek: Callable[[str], ExecutionState | None] = lambda execution: None
        self._is_sampled = lru_cache(_REMEMBERED)(lambda execution: is_sampled(execution, sampling_rate))
        self._types: dict[str, Mapping[str, str]] = {}

    def attach(self, peek: Callable[[str], ExecutionState | None]) -> None:
        """From now on, look executions up there."""
        self._peek = peek

    def close(self) -> None:
        """Send what is left, for at most a few seconds. Blocks."""
        self._spans.close()

    def traceparent(self, assignment: Assignment) -> str | None:
        """The place of an attempt, for the header `traceparent` of what it calls."""
        execution = assignment.execution
        place = self._place(execution, self._peek(execution))
        span = self._parent_span(execution, assignment.step, assignment.attempt)
        return TraceParent(place.trace, span).header(sampled=self._is_sampled(execution))

    def trace_id(self, execution: str) -> str:
        """The id of the trace of an execution in memory, 32 hexadecimal digits."""
        return f"{self._place(execution, self._peek(execution)).trace:032x}"

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        """Make the spans that end with these events."""
        if not self._is_sampled(execution):
            return
        for event in events:
            make = _MADE.get(type(event))
            if make is not None:
                make(self, _Seen(execution, definition, self._peek(execution)), event)

    # What is made of events

    def execution_ended(self, seen: _Seen, event: Any) -> None:
        """The span of an execution."""
        state = seen.state
        if "execution" not in self._components or state is None:
            return
        place = self._place(seen.execution, state)
        self._spans.add(
            name=f"execution {seen.definition.name}",
            trace=place.trace,
            span=span_of(seen.execution),
            parent=place.span,
            started_at=state.started_at or state.created_at,
            ended_at=event.at,
            attributes={**_attributes(seen), "stepwell.status": state.status.value},
            error=event.error if isinstance(event, ExecutionFailed) else None,
            linked=self._parent_execution(state),
        )

    def step_ended(self, seen: _Seen, event: StepCompleted | StepFailed) -> None:
        """The spans of a step and of its last attempt."""
        step, kind = self._step(seen, event.step)
        error = event.error if isinstance(event, StepFailed) else None
        if kind not in CONTROL_TYPES and step.attempts:
            self._attempt(seen, event.step, step.attempts, event.started_at, event.at, error)
        scheduled = step.scheduled_at if step.scheduled_at is not None else event.started_at
        self._whole_step(seen, event.step, min(scheduled, event.started_at), event.at, "completed", error)

    def step_cancelled(self, seen: _Seen, event: StepCancelled) -> None:
        """The span of a step that was stopped."""
        step, _ = self._step(seen, event.step)
        began = step.started_at if step.scheduled_at is None else step.scheduled_at
        self._whole_step(seen, event.step, began if began is not None else event.at, event.at, "cancelled", None)

    def attempt_failed(self, seen: _Seen, event: AttemptFailed) -> None:
        """The span of an attempt after which another one is made."""
        self._attempt(seen, event.step, event.attempt, event.started_at, event.at, event.error)

    def state_changed(self, seen: _Seen, event: Any) -> None:
        """A span without length for what changed the course of an execution."""
        if "state" in self._components:
            name = _CHANGES[type(event)]
            place = self._place(seen.execution, seen.state)
            self._spans.add(
                name=name,
                trace=place.trace,
                span=span_of(seen.execution, name, event.at),
                parent=self._root(seen.execution, place),
                started_at=event.at,
                ended_at=event.at,
                attributes=_attributes(seen),
            )

    def _whole_step(self, seen: _Seen, key: str, began: int, ended: int, status: str, error: ErrorInfo | None) -> None:
        if "step" not in self._components:
            return
        place = self._place(seen.execution, seen.state)
        attributes = {**_attributes(seen, key, self._type(seen, key)), "stepwell.status": "failed" if error else status}
        self._spans.add(
            name=f"step {split_key(key)[0]}",
            trace=place.trace,
            span=span_of(seen.execution, key),
            parent=self._root(seen.execution, place),
            started_at=began,
            ended_at=ended,
            attributes=attributes,
            error=error,
        )

    def _attempt(self, seen: _Seen, key: str, attempt: int, began: int, ended: int, error: ErrorInfo | None) -> None:
        if "attempt" not in self._components:
            return
        place = self._place(seen.execution, seen.state)
        step = span_of(seen.execution, key) if "step" in self._components else self._root(seen.execution, place)
        self._spans.add(
            name=f"attempt {split_key(key)[0]}",
            trace=place.trace,
            span=span_of(seen.execution, key, attempt),
            parent=step,
            started_at=began,
            ended_at=ended,
            attributes={**_attributes(seen, key, self._type(seen, key)), "stepwell.attempt": attempt},
            error=error,
        )

    # Where it stands

    def _place(self, execution: str, state: ExecutionState | None) -> TraceParent:
        return trace_of(execution, state.trace if state is not None else "")

    def _root(self, execution: str, place: TraceParent) -> int:
        """The span under which those of steps hang."""
        return span_of(execution) if "execution" in self._components else place.span

    def _parent_span(self, execution: str, step: str, attempt: int) -> int:
        """The span in which an attempt calls others."""
        if "attempt" in self._components:
            return span_of(execution, step, attempt)
        return span_of(execution, step) if "step" in self._components else span_of(execution)

    def _parent_execution(self, state: ExecutionState) -> TraceParent | None:
        """The step that started a sub-workflow."""
        if state.parent is None:
            return None
        place = self._place(state.parent, self._peek(state.parent))
        return TraceParent(place.trace, span_of(state.parent, state.parent_step))

    def _step(self, seen: _Seen, key: str) -> tuple[StepState, str]:
        known = seen.state.steps.get(key) if seen.state is not None else None
        return known or StepState(), self._type(seen, key)

    def _type(self, seen: _Seen, key: str) -> str:
        types = self._types.get(seen.definition.digest)
        if types is None:
            if len(self._types) >= _REMEMBERED:
                self._types.clear()
            types = self._types[seen.definition.digest] = _types_of(seen.definition)
        return types.get(split_key(key)[0], "other")


class _Seen(NamedTuple):
    """What a span is made from, beside its event."""

    execution: str
    definition: WorkflowDefinition
    state: ExecutionState | None


_CHANGES: Final[Mapping[type[Any], str]] = {
    ExecutionPaused: "paused",
    ExecutionResumed: "resumed",
    CompensationStarted: "compensation started",
    CompensationEnded: "compensation ended",
    RolledBack: "rolled back",
    ExecutionMigrated: "migrated",
}

_MADE: Final[Mapping[type[Any], Callable[[Tracing, _Seen, Any], None]]] = {
    ExecutionCompleted: Tracing.execution_ended,
    ExecutionFailed: Tracing.execution_ended,
    ExecutionCancelled: Tracing.execution_ended,
    StepCompleted: Tracing.step_ended,
    StepFailed: Tracing.step_ended,
    StepCancelled: Tracing.step_cancelled,
    AttemptFailed: Tracing.attempt_failed,
    **dict.fromkeys(_CHANGES, Tracing.state_changed),
}


def exporting(endpoint: str | None) -> SpanProcessor:
    """Sends spans in batches, from a thread of its own, to an OTLP endpoint over HTTP; None for what the environment
    variables of OpenTelemetry name. What cannot be sent is dropped.

    Raises:
        ConfigurationError: (code `missing-library`) the library is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            "tracing is enabled, but OpenTelemetry is not installed",
            code="missing-library",
            hint="pip install 'stepwell[otel]', or set tracing.enabled to false",
        ) from None
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


def _types_of(definition: WorkflowDefinition) -> dict[str, str]:
    written = (*definition.steps, *definition.compensation.steps, *definition.config.on_error.steps)
    return {step.name: step.type for step in all_steps(written)}


def _attributes(seen: _Seen, key: str | None = None, type_: str | None = None) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "stepwell.execution_id": seen.execution,
        "stepwell.workflow": seen.definition.name,
        "stepwell.version": seen.definition.version,
        "stepwell.namespace": namespace_of(seen.definition.name),
    }
    if key is not None and type_ is not None:
        attributes |= {"stepwell.step": key, "stepwell.type": type_}
    return attributes
