"""Steps that are made while a workflow runs: data that says the same as steps of a document, and holds no expressions.

Every text in them is taken as it is: what a task or a service returned must not be evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from stepwell.base.spans import Source
from stepwell.definition.building_bodies import Around
from stepwell.definition.building_steps import build_steps
from stepwell.definition.context import Context, Known
from stepwell.definition.findings import Findings
from stepwell.definition.graph import StepGraph, cycles
from stepwell.definition.model import BLOCK_TYPES, Step

ALLOWED: Final = frozenset(
    {"name", "type", "config", "with", "depends_on", "join", "retry", "timeout", "delay", "on_failure", "compensate"}
)
"""Keys of a generated step: those that say what to do, without conditions and nested steps."""

MAX_GENERATED: Final = 10_000
"""Steps that one dynamic step may make."""


def generated_steps(made: Any) -> tuple[tuple[Step, ...], str | None]:
    """The steps that `made` says, and what is wrong with it (then there are no steps)."""
    problem = _shape_problem(made)
    if problem is not None or not made:
        return (), problem
    findings = Findings(Source("<generated>", ""))
    written = [{key: _plain(value) if key in _DATA else value for key, value in step.items()} for step in made]
    steps = build_steps(written, ("steps",), Context(findings, Known()), Around())
    found = [f"steps{_where(each.path)}: {each.message}" for each in findings.sorted() if each.severity == "error"]
    problem = found[0] if found else _graph_problem(steps)
    return ((), problem) if problem is not None else (steps, None)


_DATA: Final = frozenset({"config", "with", "on_failure", "compensate"})
"""Keys whose values may hold data."""


def _shape_problem(made: Any) -> str | None:
    if not isinstance(made, list):
        return f"it must give a list of steps, not {type(made).__name__}"
    if len(made) > MAX_GENERATED:
        return f"it gives {len(made):,} steps; at most {MAX_GENERATED:,} are allowed"
    for position, step in enumerate(made):
        if not isinstance(step, dict):
            return f"steps[{position}] must be a mapping, not {type(step).__name__}"
        extra = sorted(set(step) - ALLOWED)
        if extra:
            known = ", ".join(sorted(ALLOWED))
            return f"steps[{position}] has {extra[0]!r}, which a generated step cannot have; it can have {known}"
        if step.get("type") in BLOCK_TYPES:
            return f"steps[{position}] is of type {step['type']!r}, which a generated step cannot be"
    return None


def _graph_problem(steps: tuple[Step, ...]) -> str | None:
    names = [step.name for step in steps]
    known = set(names)
    twice = next((name for name in names if names.count(name) > 1), None) if len(known) < len(names) else None
    if twice is not None:
        return f"two steps are called {twice!r}"
    for step in steps:
        for dependency in step.depends_on:
            if dependency.step not in known:
                return f"step {step.name!r} depends on {dependency.step!r}, which is not among the generated steps"
            if dependency.step == step.name:
                return f"step {step.name!r} depends on itself"
        if step.edges:
            return f"step {step.name!r} names steps to go on with, which a generated step cannot"
    circle = next(iter(cycles(StepGraph(steps))), None)
    return f"the steps run in a circle: {' -> '.join(circle)}" if circle is not None else None


def _plain(value: Any) -> Any:
    """The value with every text written so that reading it gives that text, whatever stands in it."""
    if isinstance(value, str):
        return "{{ " + json.dumps(value) + " }}" if "{{" in value else value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _where(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[1:])
