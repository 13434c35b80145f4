"""What the tasks of a group must satisfy that is said in other words than natively: names, and where it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path

_EDGES = ("next", "on_success", "on_failure", "on_complete", "on_timeout", "decision")


def check_graph(tasks: list[Any], path: Path, findings: Findings) -> None:
    """Check the tasks written at `path`. What is wrong is recorded."""
    if not tasks:
        hint = "give it at least one; core.noop does nothing"
        findings.add("no-steps", "a workflow needs a task", path, hint=hint)
        return
    _check_names(tasks, path, findings, {})
    _check_entry(tasks, path, findings)


def _check_names(tasks: list[Any], path: Path, findings: Findings, first: dict[str, Path]) -> None:
    for position, task in enumerate(tasks):
        if not isinstance(task, dict):
            continue
        place, name = (*path, position, "name"), task.get("name")
        if isinstance(name, str) and name in first:
            message = f"there are two tasks {name!r}; the first is in {findings.place(first[name])}"
            hint = "names are unique in the whole workflow, so that expressions can tell tasks apart"
            findings.add("duplicate-name", message, place, hint=hint)
        elif isinstance(name, str):
            first[name] = place
        if isinstance(task.get("tasks"), list):
            _check_names(task["tasks"], (*path, position, "tasks"), findings, first)


def _check_entry(tasks: list[Any], path: Path, findings: Findings) -> None:
    """That something can start. Where nothing allows cycles, the cycle itself is what is found."""
    graph = [task for task in tasks if isinstance(task, dict) and isinstance(task.get("name"), str)]
    if all(task.get("max_visits") is None for task in graph) or len(graph) < len(tasks):
        return
    named = {name for task in graph for name in _named_by(task)}
    if all(task["name"] in named or task.get("depends_on") is not None for task in graph):
        message = "no task can start: something leads to each of them"
        findings.add("unreachable-step", message, path, hint="let the first task be one that nothing leads to")


def _named_by(task: Mapping[str, Any]) -> Iterator[str]:
    pending = [task.get(key) for key in _EDGES]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield from (name.strip() for name in value.split(","))
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += [value.get(key) for key in ("do", "next", "default")]
