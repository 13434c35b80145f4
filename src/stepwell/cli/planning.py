"""`plan`: how a workflow would run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from stepwell.app.planning import StepFigures, WorkflowFigures, figures_document, figures_of
from stepwell.app.worst_case import Bound
from stepwell.cli.columns import columns
from stepwell.cli.documents import emit
from stepwell.cli.findings import write_findings
from stepwell.cli.narration import one_line
from stepwell.cli.opening import catalogue_for_checking, configuration_of
from stepwell.cli.options import Setup
from stepwell.cli.sources import source_of
from stepwell.cli.streams import output_kept_clean
from stepwell.cli.tables import facts, has_room, rendered
from stepwell.cli.words import count, took
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.loading import Loaded
from stepwell.dialects.loading import load

_ROOM_FOR_TYPES: Final = 100
_NAMES_SHOWN: Final = 12
_NO_BOUND: Final = "any"


def show_plan(given: str, setup: Setup, output: str) -> int:
    """Print what can be said of the workflow before it runs.

    What this version does not run can be planned as well: whether it runs is for `validate` to say.
    """
    with output_kept_clean():
        configuration = configuration_of(setup)
        known = catalogue_for_checking(setup).known()
    source = source_of(given, configuration, setup)
    loaded = load(source, known=known)
    if loaded.definition is None:
        raise InvalidDefinition(loaded.diagnostics, source)
    write_findings(loaded.diagnostics, source, sys.stderr)
    services = {name: service.timeout for name, service in configuration.services.items()}
    figures = figures_of(loaded.definition, services, configuration.execution.default_timeout)
    document = _document(figures, loaded) if output != "table" else None
    emit(document, output, lambda: _text(figures))
    return 0


def _document(figures: WorkflowFigures, loaded: Loaded) -> dict[str, Any]:
    return {**figures_document(figures), "warnings": [finding.as_dict() for finding in loaded.warnings]}


def _text(figures: WorkflowFigures) -> str:
    head = f"{figures.workflow} {figures.version}: {count(len(figures.steps), 'step')}"
    parts = [head, _table(figures.steps, figures.critical_path)]
    if figures.compensation:
        parts += ["compensation", _table(figures.compensation, ())]
    return "\n\n".join([*parts, rendered(facts(_facts(figures)))])


# The steps


def _table(steps: Sequence[StepFigures], longest: Sequence[str]) -> str:
    headings = ["batch", "step", "type", "after", "runs", "tries", "timeout", "at worst"]
    marked, rows, bold = set(longest), [], []
    for number, (line, name) in enumerate(_lines(steps)):
        rows.append(line)
        if name in marked:
            bold.append(number)
    if not has_room(_ROOM_FOR_TYPES):
        headings, rows = _without(2, headings), [_without(2, row) for row in rows]
    return columns(headings, rows, cut="after", bold=bold)


def _without(position: int, values: Sequence[str]) -> list[str]:
    return [*values[:position], *values[position + 1 :]]


def _lines(steps: Sequence[StepFigures]) -> Iterator[tuple[list[str], str]]:
    """The steps in the order in which they can run, nested ones below the step that they are nested in; each with its
    name. A line of its own says which block they stand in, where there may be several."""
    inside: dict[str | None, dict[str | None, list[StepFigures]]] = {}
    for step in steps:
        inside.setdefault(step.parent, {}).setdefault(step.block, []).append(step)
    pending: list[tuple[StepFigures | str, str, str]] = [(step, "", "") for step in _ordered(inside[None][None])]
    previous = ""
    while pending:
        line, indent, outer = pending.pop()
        if isinstance(line, str):
            yield ["", f"{indent}{line}:", "", "", "", "", "", ""], ""
            continue
        batch = f"{outer}{line.batch}"
        yield [batch if batch != previous else "", f"{indent}{line.name}", *_cells(line)], line.name
        previous = batch
        for block, nested in reversed(inside.get(line.name, {}).items()):
            labelled = block != "steps"
            deeper = indent + ("    " if labelled else "  ")
            pending += [(step, deeper, f"{batch}.") for step in _ordered(nested)]
            if labelled:
                pending.append((str(block), f"{indent}  ", ""))


def _ordered(steps: Sequence[StepFigures]) -> list[StepFigures]:
    """By batch, the last one first."""
    return sorted(steps, key=lambda step: step.batch)[::-1]


def _cells(step: StepFigures) -> list[str]:
    after = ", ".join(step.after)
    return [
        one_line(step.type),
        f"{after} ({step.join})" if step.join is not None else after,
        _bound(step.runs) if step.runs != 1 else "",
        f"{step.tries:,}" if step.tries > 1 else "",
        took(step.timeout) if step.timeout else "",
        (took(step.duration) if step.duration else "") if step.duration is not None else _NO_BOUND,
    ]


def _bound(bound: Bound) -> str:
    return f"{bound:,}" if bound is not None else _NO_BOUND


# The whole


def _facts(figures: WorkflowFigures) -> Iterator[tuple[str, str]]:
    path = figures.critical_path
    yield "longest chain", f"{_chain(path)} ({count(len(path), 'step')}, by {_BY[figures.critical_path_by]})"
    yield "at worst", _at_worst(figures)
    yield "unbounded", _reasons(figures)
    yield "workflow timeout", took(figures.timeout) if figures.timeout is not None else "none"
    yield "deadline", took(figures.deadline) if figures.deadline is not None else ""
    yield "not undone", _names(figures.without_compensation) or "nothing"
    if figures.compensation_attempts != 0:
        tries = _attempts(figures.compensation_attempts)
        yield "undoing", f"{tries}, {_time(figures.compensation_duration)}"


_BY: Final = {"duration": "time", "steps": "number"}
_ENDED_BY: Final = {"steps": "", "timeout": ", ended by the workflow's timeout", "deadline": ", ended by its deadline"}


def _at_worst(figures: WorkflowFigures) -> str:
    ended = _ENDED_BY[figures.ended_by] if figures.duration is not None else ""
    return f"{_attempts(figures.attempts)}, {_time(figures.duration)}{ended}"


def _attempts(attempts: Bound) -> str:
    return count(attempts, "attempt") if attempts is not None else "any number of attempts"


def _time(duration: Bound) -> str:
    if duration == 0:
        return "at once"
    return took(duration) if duration is not None else "any time"


def _reasons(figures: WorkflowFigures) -> str:
    """The steps without a bound, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for each in figures.unbounded:
        by_reason.setdefault(each.reason, []).append(each.step)
    return "\n".join(f"{_names(steps)}: {reason}" for reason, steps in by_reason.items()) or "nothing"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _chain(names: Sequence[str]) -> str:
    if len(names) > _NAMES_SHOWN:
        names = [*names[: _NAMES_SHOWN // 2], "...", *names[-(_NAMES_SHOWN // 2) :]]
    return " > ".join(names)
