"""The graph of a workflow as text that other programs draw: Mermaid, Graphviz (dot), JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, assert_never

from stepwell.definition.model import Step, WorkflowDefinition

_PLAIN: Final = frozenset({"satisfied", "success"})
"""Edges that need no label: the usual way."""


class Arrow(NamedTuple):
    """From one step to another; `on` says how the first must end."""

    source: str
    target: str
    on: str


_COLOURS: Final[Mapping[str, str]] = {
    "completed": "#b7e4c7",
    "running": "#a9d6f5",
    "waiting": "#ffe8a1",
    "retrying": "#ffd6a5",
    "failed": "#f5b5b5",
    "skipped": "#e5e5e5",
    "cancelled": "#d9d0e3",
}
"""Behind a step that has the status; one that has not begun has none."""

Statuses = Mapping[str, str]
"""What became of each step of an execution, by its name."""


def graph_document(definition: WorkflowDefinition, statuses: Statuses | None = None) -> dict[str, Any]:
    """The graph as JSON values; with the `status` of each step where there is an execution."""
    nodes: list[dict[str, Any]] = [
        {"name": step.name, "type": step.type, "join": step.join} for step in definition.steps
    ]
    if statuses is not None:
        nodes = [{**node, "status": statuses.get(node["name"], "pending")} for node in nodes]
    return {
        "workflow": definition.name,
        "version": definition.version,
        "nodes": nodes,
        "edges": [{"from": arrow.source, "to": arrow.target, "on": arrow.on} for arrow in _arrows(definition.steps)],
        "compensation": [{"name": step.name, "type": step.type} for step in definition.compensation.steps],
    }


def graph_text(
    definition: WorkflowDefinition, form: Literal["mermaid", "dot"], statuses: Statuses | None = None
) -> str:
    """The graph as text that Mermaid or Graphviz draws; coloured by status where there is an execution."""
    arrows = list(_arrows(definition.steps))
    match form:
        case "mermaid":
            lines = _mermaid(definition, arrows, statuses or {})
        case "dot":
            lines = _dot(definition, arrows, statuses or {})
        case _:
            assert_never(form)
    return "".join(f"{line}\n" for line in lines)


def _arrows(steps: tuple[Step, ...]) -> Iterator[Arrow]:
    """Pulled and pushed edges alike, each once."""
    pulled = [Arrow(each.step, step.name, each.on) for step in steps for each in step.depends_on]
    pushed = [Arrow(step.name, to, edge.on) for step in steps for edge in step.edges for to in edge.to]
    yield from dict.fromkeys([*pulled, *pushed])


def _mermaid(definition: WorkflowDefinition, arrows: list[Arrow], statuses: Statuses) -> Iterator[str]:
    ids = {step.name: f"s{number}" for number, step in enumerate(definition.steps)}
    yield "flowchart TD"
    for step in definition.steps:
        left, right = ('{{"', '"}}') if step.when is not None else ('(["', '"])') if _waits(step) else ('["', '"]')
        yield f"    {ids[step.name]}{left}{step.name}<br/><small>{_escaped(step.type)}</small>{right}"
    for arrow in arrows:
        line = "-->" if arrow.on in _PLAIN else f"-. {arrow.on} .->"
        yield f"    {ids[arrow.source]} {line} {ids[arrow.target]}"
    undoing = definition.compensation.steps
    if undoing:
        yield '    subgraph compensation["compensation"]'
        for number, step in enumerate(undoing):
            yield f'        c{number}["{step.name}<br/><small>{_escaped(step.type)}</small>"]'
        for number in range(len(undoing) - 1):
            yield f"        c{number} --> c{number + 1}"
        yield "    end"
    for name, step_id in ids.items():
        colour = _COLOURS.get(statuses.get(name, ""))
        if colour:
            yield f"    style {step_id} fill:{colour}"


def _dot(definition: WorkflowDefinition, arrows: list[Arrow], statuses: Statuses) -> Iterator[str]:
    yield f"digraph {_quoted(definition.name)} {{"
    yield "    node [shape=box, style=rounded, fontname=sans-serif];"
    for step in definition.steps:
        shape = ", shape=hexagon" if step.when is not None else ", shape=oval" if _waits(step) else ""
        colour = _COLOURS.get(statuses.get(step.name, ""))
        filled = f', style="rounded,filled", fillcolor="{colour}"' if colour else ""
        yield f"    {_quoted(step.name)} [label={_label(step)}{shape}{filled}];"
    for arrow in arrows:
        style = "" if arrow.on in _PLAIN else f" [label={_quoted(arrow.on)}, style=dashed]"
        yield f"    {_quoted(arrow.source)} -> {_quoted(arrow.target)}{style};"
    undoing = definition.compensation.steps
    if undoing:
        yield '    subgraph "cluster compensation" {'
        yield "        label=compensation; style=dashed;"
        for step in undoing:
            yield f"        {_quoted(step.name)} [label={_label(step)}];"
        for first, second in pairwise(undoing):
            yield f"        {_quoted(first.name)} -> {_quoted(second.name)};"
        yield "    }"
    yield "}"


def _waits(step: Step) -> bool:
    return step.type in ("wait", "wait_for_event", "approval")


def _label(step: Step) -> str:
    return _quoted(f"{step.name}\\n{step.type}")


def _escaped(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _quoted(text: str) -> str:
    """A dot string; `\\n` in it stays a line break."""
    return '"' + text.replace('"', '\\"') + '"'
