"""Two executions side by side: in what they were started differently, where they part, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.app.difference import difference
from stepwell.app.recorded import Recorded
from stepwell.app.report import event_report, shown_status
from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.base.values import masked
from stepwell.decider.keys import INSTEAD, UNDO, split_key
from stepwell.definition.model import WorkflowDefinition, all_steps
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import StepStatus

MOST_DIFFERENCES: Final = 100
"""Of the inputs, and of the outputs; more are not looked for."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two values that differ, secrets masked; `path` says where. One that is not there is left out."""

    path: str
    a: Any = msgspec.UNSET
    b: Any = msgspec.UNSET


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two. `duration` in microseconds, up to its end; `error` as users see it."""

    execution: str
    workflow: str
    version: str
    status: str
    created_at: int
    duration: int | None
    attempts: int
    error: dict[str, Any] | None


class StepFate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step in one of the two: of all its instances together.

    Attributes:
        instances: how many have begun or ended, by status.
        duration: what all that ended took together, in microseconds.
        error: the first one's, as users see it.
    """

    instances: Mapping[str, int] = {}
    attempts: int = 0
    duration: int = 0
    error: dict[str, Any] | None = None


class ComparedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step in both.

    Attributes:
        ratio: the time it took in b, as a multiple of that in a; None when it took none in one of them.
        output: the first difference between outputs of the same instance; its path begins with the instance's key.
        differs: in what the two differ: `path`, `attempts`, `output`, `error`.
    """

    name: str
    a: StepFate
    b: StepFate
    ratio: float | None = None
    output: Difference | None = None
    differs: tuple[str, ...] = ()


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ways part: the first history event of each that the other one has no match for; None when all match."""

    a: dict[str, Any] | None
    b: dict[str, Any] | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two executions compared.

    Attributes:
        definition: what their definitions mean differently (see `app.difference`).
        input, output: where these differ.
        parting: None when the same happened to both.
        steps: all steps that something happened to in one of them.
        ratio: the time that b took, as a multiple of that of a; None as long as one of them has not ended.
    """

    a: Side
    b: Side
    definition: dict[str, Any]
    input: tuple[Difference, ...] = ()
    parting: Parting | None = None
    steps: tuple[ComparedStep, ...] = ()
    output: tuple[Difference, ...] = ()
    ratio: float | None = None


def compare(a: Recorded, b: Recorded) -> Comparison:
    """What two executions differ in. Secret values are not looked into."""
    left, right = _side(a), _side(b)
    return Comparison(
        a=left,
        b=right,
        definition=difference(a.definition, b.definition),
        input=_first(differences(masked(a.state.input), masked(b.state.input), "input")),
        parting=_parting(a.events, b.events),
        steps=tuple(_steps(a, b)),
        output=_first(differences(masked(a.state.output), masked(b.state.output), "output")),
        ratio=_ratio(left.duration, right.duration),
    )


def _side(one: Recorded) -> Side:
    state = one.state
    return Side(
        execution=state.id,
        workflow=state.workflow,
        version=state.version,
        status=shown_status(state),
        created_at=state.created_at,
        duration=_between(state.started_at, state.completed_at),
        attempts=sum(step.attempts for step in state.steps.values()),
        error=_error(state.error),
    )


# Values


def differences(a: Any, b: Any, path: str) -> Iterator[Difference]:
    """Where two JSON values differ, in the order in which they are written; `path` is where they stand."""
    pending = [(path, a, b)]
    while pending:
        at, left, right = pending.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            names = [*left, *(name for name in right if name not in left)]
            inner = [(f"{at}.{name}", _get(left, name), _get(right, name)) for name in names]
            pending += reversed(inner)
        elif isinstance(left, list) and isinstance(right, list):
            longest = max(len(left), len(right))
            pending += [(f"{at}[{n}]", _at(left, n), _at(right, n)) for n in range(longest - 1, -1, -1)]
        elif not _alike(left, right):
            yield Difference(path=at, a=left, b=right)


def _get(value: dict[str, Any], name: str) -> Any:
    return value.get(name, msgspec.UNSET)


def _at(value: list[Any], position: int) -> Any:
    return value[position] if position < len(value) else msgspec.UNSET


def _alike(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _first(found: Iterator[Difference]) -> tuple[Difference, ...]:
    return tuple(difference for _, difference in zip(range(MOST_DIFFERENCES), found, strict=False))


# The way


_DECIDING: Final = ("step", "attempt", "handled", "taken", "reason", "block", "index", "outcome", "event_type", "name")
"""The fields of history events that say which way was taken; all others hold data and times."""


def _parting(a: Sequence[HistoryEvent], b: Sequence[HistoryEvent]) -> Parting | None:
    """Events that happened side by side may be recorded in another order: that is no difference."""
    left, right = _unmatched(a, b), _unmatched(b, a)
    return Parting(a=left, b=right) if left is not None or right is not None else None


def _unmatched(events: Sequence[HistoryEvent], others: Sequence[HistoryEvent]) -> dict[str, Any] | None:
    """The first event that has no match among the others."""
    left = Counter(map(_way, others))
    for number, event in enumerate(events, start=1):
        way = _way(event)
        left[way] -= 1
        if left[way] < 0:
            return event_report(number, event)
    return None


def _way(event: HistoryEvent) -> tuple[Any, ...]:
    error: ErrorInfo | None = getattr(event, "error", None)
    return (type(event), error.type if error is not None else None, *(getattr(event, key, None) for key in _DECIDING))


# Steps


def _steps(a: Recorded, b: Recorded) -> Iterator[ComparedStep]:
    left, right = _instances(a.state), _instances(b.state)
    names = [*_names(a.definition), *_names(b.definition), *left, *right]
    for name in dict.fromkeys(names):
        if name in left or name in right:
            yield _compared(name, left.get(name, {}), right.get(name, {}))


def _names(definition: WorkflowDefinition) -> Iterator[str]:
    """Of all steps, in the order of the document."""
    for steps in (definition.steps, definition.compensation.steps, definition.config.on_error.steps):
        yield from (step.name for step in all_steps(steps))


_APART: Final = (UNDO, INSTEAD, "fallback")
"""The last elements of the paths of what belongs to a step, and is no run of it."""


def _instances(state: ExecutionState) -> dict[str, dict[str, StepState]]:
    """The instances of every step by key, by the name of the step. What undoes it or stands in for it goes apart."""
    found: dict[str, dict[str, StepState]] = {}
    for key, step in state.steps.items():
        found.setdefault(_name(key), {})[key] = step
    return found


def _name(key: str) -> str:
    name, path, _ = split_key(key)
    last = path.rpartition(",")[2]
    return f"{name}[{last}]" if last in _APART else name


def _compared(name: str, left: Mapping[str, StepState], right: Mapping[str, StepState]) -> ComparedStep:
    a, b = _fate(left.values()), _fate(right.values())
    output = next(_outputs(left, right), None)
    found = {
        "path": a.instances != b.instances,
        "attempts": a.attempts != b.attempts,
        "output": output is not None,
        "error": a.error != b.error,
    }
    differs = tuple(what for what, is_so in found.items() if is_so)
    return ComparedStep(name=name, a=a, b=b, ratio=_ratio(a.duration, b.duration), output=output, differs=differs)


def _fate(steps: Iterable[StepState]) -> StepFate:
    kept = list(steps)
    lasted = [_between(step.started_at, step.completed_at) or 0 for step in kept]
    return StepFate(
        instances=dict(sorted(Counter(step.status.value for step in kept).items())),
        attempts=sum(step.attempts for step in kept),
        duration=sum(lasted),
        error=next((_error(step.error) for step in kept if step.error is not None), None),
    )


def _outputs(left: Mapping[str, StepState], right: Mapping[str, StepState]) -> Iterator[Difference]:
    """Where outputs differ, of the instances that completed in both."""
    for key, step in left.items():
        other = right.get(key)
        if other is not None and step.status is other.status is StepStatus.COMPLETED:
            yield from differences(masked(step.output), masked(other.output), key)


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    shown: dict[str, Any] | None = masked(error.as_dict()) if error is not None else None
    return shown


def _between(start: int | None, end: int | None) -> int | None:
    return end - start if start is not None and end is not None else None


def _ratio(a: int | None, b: int | None) -> float | None:
    return round(b / a, 3) if a and b else None


# As a document


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values: instants RFC 3339 text, durations in milliseconds."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(comparison))
    for side in (document["a"], document["b"]):
        side["created_at"] = to_rfc3339(side["created_at"])
        side["duration_ms"] = _milliseconds(side.pop("duration"))
    for step in document["steps"]:
        for fate in (step["a"], step["b"]):
            fate["duration_ms"] = _milliseconds(fate.pop("duration"))
    return document


def comparison_of(document: Mapping[str, Any]) -> Comparison:
    """The comparison that a document is of."""
    sides = {name: {**document[name], "created_at": from_rfc3339(document[name]["created_at"])} for name in ("a", "b")}
    steps = [{**step, "a": _in_micros(step["a"]), "b": _in_micros(step["b"])} for step in document["steps"]]
    whole = {**document, **{name: _in_micros(side) for name, side in sides.items()}, "steps": steps}
    return msgspec.convert(whole, Comparison)


def _in_micros(document: Mapping[str, Any]) -> dict[str, Any]:
    lasted = document["duration_ms"]
    return {**document, "duration": round(lasted * 1_000) if lasted is not None else None}


def _milliseconds(micros: int | None) -> float | None:
    return micros / 1_000 if micros is not None else None
