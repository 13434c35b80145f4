"""`execution compare`: two executions side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import RenderableType
from rich.text import Text

from stepwell.app.comparing import ComparedStep, Comparison, Difference, Side, StepFate, comparison_document
from stepwell.base.durations import SECOND
from stepwell.base.instants import to_rfc3339
from stepwell.cli.columns import columns
from stepwell.cli.documents import emit
from stepwell.cli.narration import message_of, one_line
from stepwell.cli.options import Setup
from stepwell.cli.subjects.executions import open_executions
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import rendered, status_text, table
from stepwell.cli.words import local_time, took

_LONGEST_VALUE: Final = 60
_NAMES_SHOWN: Final = 12
_SLOWER: Final = 2.0
_SLOWER_BY_FAR: Final = 10
_LONG: Final = SECOND // 10
"""So many times as long, and at least this long: then the time of a step is worth a word."""


def compare_executions(a: str, b: str, setup: Setup, output: str) -> int:
    """Print in what two executions differ."""
    comparison = run_in(open_executions(setup), lambda executions: executions.comparison(a, b))
    emit(comparison_document(comparison), output, lambda: _text(comparison))
    return 0


def _text(comparison: Comparison) -> str:
    parts: list[RenderableType] = [table("", "a", "b", rows=list(_sides(comparison)))]
    for heading, shown in _sections(comparison):
        parts += ["", Text(heading, "bold"), shown]
    return rendered(*parts)


def _sides(comparison: Comparison) -> Iterator[tuple[RenderableType, ...]]:
    a, b = comparison.a, comparison.b
    yield "execution", a.execution, b.execution
    yield "workflow", f"{a.workflow} {a.version}", f"{b.workflow} {b.version}"
    yield "status", status_text(a.status), status_text(b.status)
    yield "created", _created(a), _created(b)
    yield "took", _took(a), _took(b) + _times(comparison.ratio)
    yield "attempts", f"{a.attempts:,}", f"{b.attempts:,}"
    if a.error is not None or b.error is not None:
        yield "error", _error(a.error), _error(b.error)


def _created(side: Side) -> str:
    return local_time(to_rfc3339(side.created_at))


def _took(side: Side) -> str:
    return took(side.duration) if side.duration is not None else "not ended"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f" ({f'{ratio:,.0f}' if ratio >= _SLOWER_BY_FAR else f'{ratio:.2g}'} times)"


def _sections(comparison: Comparison) -> Iterator[tuple[str, RenderableType]]:
    """What differs, each under its heading."""
    yield "definition", _definition(comparison.definition)
    if comparison.input:
        yield "input", _differences(comparison.input)
    yield "where they part", _parting(comparison)
    steps = [step for step in comparison.steps if step.differs or _is_slower(step)]
    if steps:
        yield "steps", _steps(steps)
    outputs = [step.output for step in comparison.steps if step.output is not None]
    if outputs:
        yield "outputs of steps, the first difference of each", _differences(outputs)
    if comparison.output:
        yield "output", _differences(comparison.output)


def _definition(difference: Mapping[str, Any]) -> str:
    if difference["same"]:
        return "the same"
    steps = difference["steps"]
    lines = [
        ("only in a", [step["name"] for step in steps["removed"]]),
        ("only in b", [step["name"] for step in steps["added"]]),
        ("changed", [f"{step['name']} ({_paths(step['changes'])})" for step in steps["changed"]]),
        ("changed beside the steps", [change["path"] for change in difference["workflow"]]),
    ]
    return "\n".join(f"{heading}: {_names(names)}" for heading, names in lines if names)


def _paths(changes: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(change["path"] for change in changes)


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _differences(found: Sequence[Difference]) -> RenderableType:
    rows = [(one_line(each.path), _value(each.a), _value(each.b)) for each in found]
    return table("path", "a", "b", fold="b", rows=rows)


def _value(value: Any) -> str:
    if value is msgspec.UNSET:
        return "-"
    text = one_line(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _parting(comparison: Comparison) -> str:
    if comparison.parting is None:
        return "nowhere: the same happened to both"
    parting = comparison.parting
    return f"a  {_event(parting.a, comparison.a)}\nb  {_event(parting.b, comparison.b)}"


def _event(event: Mapping[str, Any] | None, side: Side) -> str:
    if event is None:
        ended = "" if side.duration is not None else ", and it has not ended"
        return f"nothing that did not happen to the other{ended}"
    error = f": {_error(event['error'])}" if event.get("error") else ""
    step = f" {event['step']}" if event.get("step") else ""
    return f"#{event['seq']} {event['event']}{step}{error}"


# Steps


def _steps(steps: Sequence[ComparedStep]) -> RenderableType:
    return Text.from_ansi(columns(("step", "a", "b", "tries", "time", "error"), map(_row, steps), cut="error"))


def _row(step: ComparedStep) -> tuple[str, ...]:
    a, b = step.a, step.b
    tries = f"{a.attempts:,} / {b.attempts:,}" if a.attempts != b.attempts else ""
    time = f"{took(a.duration)} / {took(b.duration)}" if _is_slower(step) else ""
    return step.name, _instances(a), _instances(b), tries, time, _errors(a, b)


def _errors(a: StepFate, b: StepFate) -> str:
    if a.error == b.error:
        return ""
    return _error(b.error) if b.error is not None else f"a: {_error(a.error)}"


def _instances(fate: StepFate) -> str:
    """`completed`, or of several instances how many: `3 completed, 1 failed`."""
    if sum(fate.instances.values()) == 1:
        return next(iter(fate.instances))
    return ", ".join(f"{number:,} {status}" for status, number in fate.instances.items()) or "-"


def _is_slower(step: ComparedStep) -> bool:
    """Whether one took much longer than the other."""
    shorter, longer = sorted((step.a.duration, step.b.duration))
    return longer >= _LONG and longer >= _SLOWER * shorter


def _error(error: Mapping[str, Any] | None) -> str:
    return one_line(message_of(error["type"], error["message"])) if error is not None else ""
