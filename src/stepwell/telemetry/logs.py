"""Log lines: which are written, and as what.

In the form `json` a line is an object with `timestamp`, `level`, `component`, `workflow_id` (the name of the workflow),
`activity` (the name of the step), `message`, `execution`, `step`, `attempt`, `node` and `trace_id`; what does not apply
is null. A line belongs to an attempt when its task wrote it, or when whoever wrote it said so (`extra=about(...)`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.base.instants import to_rfc3339
from stepwell.base.sensitive import hide_in_text
from stepwell.decider.keys import split_key
from stepwell.ports.attempts import CURRENT

COMPONENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "engine": ("stepwell.engine", "stepwell.decider", "stepwell.lifecycle.execution"),
    "worker": ("stepwell.worker", "stepwell.lifecycle.step"),
    "tasks": ("stepwell.tasks",),
    "store": ("stepwell.store", "stepwell.lifecycle.state"),
    "api": ("stepwell.api", "uvicorn"),
    "notifications": ("stepwell.notifications", "stepwell.alerts"),
    "triggers": ("stepwell.triggers",),
    "app": ("stepwell.app", "stepwell.services", "stepwell.cli", "stepwell.dialects", "stepwell.telemetry"),
}
"""The loggers of each component; those of tasks are also all that log while a task runs."""

OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "workflow_engine": ("engine",),
    "activity_executor": ("worker", "tasks"),
    "state_manager": ("store",),
}

LONGEST: Final = 4_000
"""Characters of a message that are kept; secrets are masked before it is cut."""

_ABOUT: Final = "stepwell_about"
_RESERVED: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", _ABOUT}


class About(msgspec.Struct, frozen=True):
    """What a line is about; empty, or 0, for what does not apply."""

    execution: str = ""
    workflow: str = ""
    step: str = ""
    attempt: int = 0


_NOTHING: Final = About()


def about(execution: str, workflow: str, step: str = "", attempt: int = 0) -> dict[str, About]:
    """For `extra=` of a call of a logger: what the line is about."""
    return {_ABOUT: About(execution, workflow, step, attempt)}


def about_of(record: logging.LogRecord) -> About:
    """What a line is about."""
    said: About | None = getattr(record, _ABOUT, None)
    if said is not None:
        return said
    attempt = CURRENT.get()
    if attempt is None:
        return _NOTHING
    return About(attempt.execution, attempt.workflow, attempt.step, attempt.attempt)


def component_of(record: logging.LogRecord) -> str:
    """Which part of the program wrote a line."""
    for component, loggers in COMPONENTS.items():
        if record.name.startswith(loggers) and (component != "tasks" or not _is_of_task(record)):
            return component
    return "tasks" if _is_of_task(record) else "app"


def message_of(record: logging.LogRecord) -> str:
    """The message with what is secret to the attempt that wrote it masked, and then cut."""
    text = record.getMessage()
    attempt = CURRENT.get()
    if attempt is not None:
        text = attempt.hide(text)
    text = hide_in_text(text)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return text if text.isascii() else text.encode(errors="replace").decode()  # half surrogates cannot be stored


def _is_of_task(record: logging.LogRecord) -> bool:
    return CURRENT.get() is not None and not record.name.startswith("stepwell.")


class Wanted(logging.Filter):
    """Lets through what is severe enough and comes from one of the components.

    Of other programs' libraries only warnings are wanted, unless a task calls them.

    Args:
        level: the least level, as `logging` numbers them.
        components: of `COMPONENTS` or `OTHER_NAMES`; all when empty.
    """

    def __init__(self, level: int, components: Collection[str] = ()) -> None:
        super().__init__()
        self._level = level
        self._components = {known for name in components for known in OTHER_NAMES.get(name, (name,))}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        ours = record.name.startswith("stepwell") or CURRENT.get() is not None
        if record.levelno < (self._level if ours else max(self._level, logging.WARNING)):
            return False
        return not self._components or component_of(record) in self._components


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Args:
        node: what this process is called.
        trace_id: gives the id of the trace of an execution; None when nothing is traced.
    """

    def __init__(self, node: str, trace_id: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._node = node
        self.trace_id = trace_id

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        subject = about_of(record)
        line: dict[str, Any] = {
            "timestamp": to_rfc3339(round(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "component": component_of(record),
            "workflow_id": subject.workflow or None,
            "activity": split_key(subject.step)[0] if subject.step else None,
            "message": message_of(record),
            "execution": subject.execution or None,
            "step": subject.step or None,
            "attempt": subject.attempt or None,
            "node": self._node,
            "trace_id": self.trace_id(subject.execution) if self.trace_id is not None and subject.execution else None,
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _RESERVED and key not in line}
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["exception"] = _hidden(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def _hidden(text: str) -> str:
    attempt = CURRENT.get()
    return attempt.hide(text) if attempt is not None else text


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the log that is kept of an execution, as the journal holds it.

    Attributes:
        type: of the step.
        error: the type of the error that it tells of.
    """

    level: str
    component: str
    workflow: str
    message: str
    step: str = ""
    type: str = ""
    attempt: int = 0
    error: str = ""
    is_lifecycle: bool = False


class TaskLines(logging.Handler):
    """Gives what tasks log to whoever keeps it. Works from any thread.

    Args:
        keep: takes the id of the execution, the instant and the line.
        now: the time as the history has it, so that lines and events are in one order.
    """

    def __init__(self, level: int, keep: Callable[[str, int, LogLine], None], now: Callable[[], int]) -> None:
        super().__init__(level)
        self._keep = keep
        self._now = now

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, if it belongs to an attempt."""
        attempt = CURRENT.get()
        if attempt is None or not _is_of_task(record):
            return
        error = record.exc_info[0].__name__ if record.exc_info is not None and record.exc_info[0] is not None else ""
        line = LogLine(
            level=level_name(record.levelno),
            component="tasks",
            workflow=attempt.workflow,
            message=message_of(record),
            step=attempt.step,
            type=attempt.assignment.type,
            attempt=attempt.attempt,
            error=error,
        )
        self._keep(attempt.execution, self._now(), line)


LEVELS: Final[Sequence[str]] = ("debug", "info", "warning", "error")
"""From the least to the most severe."""


def level_name(number: int) -> str:
    """The level that a number of `logging` belongs to; what is above errors is an error."""
    return LEVELS[min(max(number // 10 - 1, 0), 3)]


def level_number(name: str) -> int:
    """The number that `logging` has for a level."""
    return 10 * (LEVELS.index(name) + 1)
