"""`plan`: how a workflow would run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from stepwell.app.definitions import read_file
from stepwell.cli.documents import emit
from stepwell.cli.figures import figures_of
from stepwell.cli.findings import write_findings
from stepwell.cli.opening import catalogue_for_checking, checked
from stepwell.cli.options import Setup
from stepwell.cli.streams import output_kept_clean
from stepwell.cli.tables import facts, has_room, rendered, table
from stepwell.cli.words import count, took_ms
from stepwell.decider.plan import Plan

Figures = Mapping[str, Any]
_ROOM_FOR_TYPES: Final = 100


def show_plan(file: Path, setup: Setup, output: str) -> int:
    """Print what can be said of the workflow before it runs."""
    with output_kept_clean():
        catalogue = catalogue_for_checking(setup)
    source = read_file(file)
    definition, loaded = checked(source, catalogue)
    write_findings(loaded.diagnostics, source, sys.stderr)
    figures = figures_of(Plan(definition))
    emit(figures, output, lambda: rendered(*_parts(figures)))
    return 0


def _parts(figures: Figures) -> Iterator[RenderableType]:
    yield Text(f"{figures['workflow']} {figures['version']}: {count(len(figures['steps']), 'step')}", "bold")
    yield ""
    rows: list[Sequence[RenderableType]] = [*_rows(figures)]
    headings: Sequence[str] = ("batch", "step", "type", "after", "tries", "backoff", "timeout")
    if not has_room(_ROOM_FOR_TYPES):
        headings, rows = _without(2, headings), [_without(2, row) for row in rows]
    yield table(*headings, fold="after", rows=rows)
    yield ""
    yield facts(_facts(figures))


def _without(position: int, values: Sequence[Any]) -> Sequence[Any]:
    return [*values[:position], *values[position + 1 :]]


def _rows(figures: Figures) -> Iterator[tuple[RenderableType, ...]]:
    """The steps in the order in which they can run."""
    steps = {step["name"]: step for step in figures["steps"]}
    joins = {join["step"]: join["join"] for join in figures["joins"]}
    sources = {join["step"]: join["from"] for join in figures["joins"]}
    longest = set(figures["critical_path"])
    for number, batch in enumerate(figures["batches"], start=1):
        for position, name in enumerate(batch):
            step = steps[name]
            after = ", ".join(sources.get(name, step["depends_on"]))
            yield (
                str(number) if position == 0 else "",
                Text(name, "bold" if name in longest else ""),
                step["type"],
                f"{after} ({joins[name]})" if name in joins else after,
                str(step["max_attempts"]) if step["max_attempts"] > 1 else "",
                took_ms(step["max_backoff_ms"]) if step["max_backoff_ms"] else "",
                _timeout(step["timeout"]),
            )


def _timeout(timeout: Any) -> str:
    if timeout is None:
        return ""
    return took_ms(timeout) if isinstance(timeout, float) else str(timeout)


def _facts(figures: Figures) -> Iterator[tuple[str, RenderableType]]:
    path = figures["critical_path"]
    yield "longest chain", f"{count(len(path), 'step')}: {' > '.join(path)}"
    tries = count(figures["worst_case_attempts"], "attempt")
    backoff = took_ms(figures["worst_case_backoff_ms"]) if figures["worst_case_backoff_ms"] else "no waiting"
    yield "at worst", f"{tries}, {backoff} between attempts on the longest way"
    yield "workflow timeout", took_ms(figures["timeout_ms"]) or "none"
    yield "without timeout", ", ".join(figures["without_timeout"]) or "none"
    yield "not undone", ", ".join(figures["without_compensation"]) or "nothing"
