"""What is seen of an engine from outside: traces, metrics, and lines of the log about what it does."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.app.configuration import Configuration
from stepwell.base.values import masked
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import (
    AttemptFailed,
    CompensationEnded,
    CompensationStarted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    HistoryEvent,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepSkipped,
    VariablesSet,
)
from stepwell.ports.work import Observer
from stepwell.telemetry.logs import JsonFormatter, about
from stepwell.telemetry.tracing import COMPONENTS, Component, Tracing, exporting

_log = logging.getLogger(__name__)

_EXECUTION: Final = frozenset({"execution"})
_WORK: Final = frozenset({"step", "attempt"})
_STATE: Final = frozenset({"state"})
_MEANT: Final[Mapping[str, frozenset[str]]] = {
    "workflow": _EXECUTION,
    "workflow_engine": _EXECUTION,
    "activity": _WORK,
    "activity_executor": _WORK,
    "state_manager": _STATE,
}
"""What other names of components of traces mean."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def node_name() -> str:
    """What this process is called in labels and lines: the name of the machine."""
    return socket.gethostname()


def tracing_of(configuration: Configuration) -> Tracing | None:
    """The traces that are configured; None when nothing is traced.

    Raises:
        ConfigurationError: (code `missing-library`) the library for it is not installed.
    """
    section = configuration.tracing
    if not section.enabled:
        return None
    if section.endpoint is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        _log.warning("tracing is enabled, but there is no tracing.endpoint to send traces to: none are made")
        return None
    components: set[Any] = {meant for name in section.components for meant in _MEANT.get(name, frozenset({name}))}
    chosen: frozenset[Component] = frozenset(components) or COMPONENTS
    return Tracing(section.sampling_rate, chosen, exporting(section.endpoint), node_name())


def show_traces(tracing: Tracing) -> None:
    """Have lines of the log in JSON name the traces of the executions they are about."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            handler.formatter.trace_id = tracing.trace_id


class Observers(Observer):
    """Several observers, told one after the other."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for observer in self._observers:
            observer.committed(execution, definition, events)


def together(*observers: Observer | None) -> Observer | None:
    """The observers that there are, as one; None when there are none."""
    present = [each for each in observers if each is not None]
    return Observers(present) if len(present) > 1 else present[0] if present else None


class LifecycleLines(Observer):
    """Writes what happens to executions into the log of the process."""

    def __init__(self) -> None:
        loggers = {logging.getLogger(f"stepwell.lifecycle.{of}") for of in ("execution", "step", "state")}
        least = logging.INFO if any(logger.isEnabledFor(logging.INFO) for logger in loggers) else logging.WARNING
        self._said = {kind: said for kind, said in _LINES.items() if said[1] >= least}

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for event in events:
            if type(event) in self._said:
                of, level, text = self._said[type(event)]
                subject = about(execution, definition.name, getattr(event, "step", ""), getattr(event, "attempt", 0))
                logging.getLogger(f"stepwell.lifecycle.{of}").log(level, "%s", line_of(text, event), extra=subject)


def lines_of(configuration: Configuration) -> LifecycleLines | None:
    """Writes what happens to executions into the log, where the configuration asks for more than warnings."""
    return LifecycleLines() if configuration.logging.level in ("debug", "info") else None


def line_of(text: str, event: HistoryEvent) -> str:
    """What is said of an event; with the error, where it tells of one."""
    error = getattr(event, "error", None)
    return f"{text}: {error.type}: {masked(error.message)}" if error is not None else text


_LINES: Final[Mapping[type[Any], tuple[str, int, str]]] = {
    ExecutionStarted: ("execution", logging.INFO, "started"),
    ExecutionCompleted: ("execution", logging.INFO, "completed"),
    ExecutionFailed: ("execution", logging.ERROR, "failed"),
    ExecutionCancelled: ("execution", logging.WARNING, "cancelled"),
    StepScheduled: ("step", logging.INFO, "started"),
    StepCompleted: ("step", logging.INFO, "completed"),
    AttemptFailed: ("step", logging.WARNING, "failed, and is tried again"),
    StepFailed: ("step", logging.ERROR, "failed"),
    StepSkipped: ("step", logging.INFO, "skipped"),
    StepCancelled: ("step", logging.WARNING, "cancelled"),
    VariablesSet: ("state", logging.INFO, "variables were set"),
    ExecutionPaused: ("state", logging.WARNING, "paused"),
    ExecutionResumed: ("state", logging.INFO, "resumed"),
    CompensationStarted: ("state", logging.WARNING, "compensation started"),
    CompensationEnded: ("state", logging.WARNING, "compensation ended"),
}
"""What is said of an event, how severe it is, and under which logger."""


SEVERE: Final = frozenset(kind for kind, (_, level, _) in _LINES.items() if level >= logging.WARNING)
"""The kinds of events that tell of something that went wrong, or that somebody stepped in."""


def lifecycle_line(event: HistoryEvent) -> tuple[str, int, str] | None:
    """The logger (`execution`, `step`, `state`), the level and the text of an event that there is a line for."""
    said = _LINES.get(type(event))
    return (said[0], said[1], line_of(said[2], event)) if said is not None else None
