"""The page about statuses, from the transition tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from markdown import first_line, table
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS

INTRODUCTION = """\
# Statuses

What may happen in which status is a table in the code (`execution/transitions.py`); anything else is a defect, and is
refused instead of recorded. These pages show that table. What happened is a *history event*.
"""
WAITING = """
A running execution that has nothing to do but wait is listed as `waiting`. It takes no memory, only rows in the store.
"""

Status = TypeVar("Status", bound=StrEnum)
Moves = Mapping[tuple[Status, type], Status]


def status_page() -> str:
    """The page."""
    return (
        INTRODUCTION
        + _section("An execution", ExecutionStatus, EXECUTION_TRANSITIONS, ENDED_EXECUTION)
        + WAITING
        + _section("A step", StepStatus, STEP_TRANSITIONS, ENDED_STEP)
    )


def _section(title: str, statuses: type[Status], moves: Moves[Status], ended: frozenset[Status]) -> str:
    meanings = _comments(statuses)
    listed = table(("status", "meaning"), ((f"`{status}`", meanings.get(status.name, "")) for status in statuses))
    happened = dict.fromkeys(event for _, event in moves)
    events = table(
        ("what happens", "meaning"), ((f"`{event.__name__}`", first_line(event.__doc__)) for event in happened)
    )
    return f"\n## {title}\n\n{listed}\n{_diagram(statuses, moves, ended)}\n{events}"


def _diagram(statuses: Iterable[Status], moves: Moves[Status], ended: frozenset[Status]) -> str:
    edges: dict[tuple[Status, Status], list[str]] = {}
    for (source, event), target in moves.items():
        edges.setdefault((source, target), []).append(event.__name__)
    lines = [f"[*] --> {next(iter(statuses))}"]
    lines += [f"{source} --> {target}: {', '.join(events)}" for (source, target), events in edges.items()]
    lines += [f"{status} --> [*]" for status in statuses if status in ended]
    return "".join(["```mermaid\nstateDiagram-v2\n", *(f"    {line}\n" for line in lines), "```\n"])


def _comments(statuses: type[StrEnum]) -> dict[str, str]:
    """The comment behind each member, which says what the status means."""
    found = re.findall(r"^    ([A-Z_]+) = .*?  # (.*)$", inspect.getsource(statuses), re.MULTILINE)
    return {name: f"{comment[0].upper()}{comment[1:]}." for name, comment in found}
