"""The graph of a workflow as text that other programs draw: Mermaid, Graphviz (dot), JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from stepwell.cli.documents import json_text
from stepwell.definition.model import Step, WorkflowDefinition

_PLAIN: Final = frozenset({"satisfied", "success"})
"""Edges that need no label: the usual way."""


class Arrow(NamedTuple):
    """From one step to another; `on` says how the first must end."""

    source: str
    target: str
    on: str


def drawn(definition: WorkflowDefinition, form: str) -> str:
    """The graph as `mermaid`, `dot` or `json`."""
    arrows = list(_arrows(definition.steps))
    match form:
        case "mermaid":
            return "".join(f"{line}\n" for line in _mermaid(definition, arrows))
        case "dot":
            return "".join(f"{line}\n" for line in _dot(definition, arrows))
        case _:
            return json_text(_json(definition, arrows)) + "\n"


def _arrows(steps: tuple[Step, ...]) -> Iterator[Arrow]:
    """Pulled and pushed edges alike, each once."""
    pulled = [Arrow(each.step, step.name, each.on) for step in steps for each in step.depends_on]
    pushed = [Arrow(step.name, to, edge.on) for step in steps for edge in step.edges for to in edge.to]
    yield from dict.fromkeys([*pulled, *pushed])


def _mermaid(definition: WorkflowDefinition, arrows: list[Arrow]) -> Iterator[str]:
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


def _dot(definition: WorkflowDefinition, arrows: list[Arrow]) -> Iterator[str]:
    yield f"digraph {_quoted(definition.name)} {{"
    yield "    node [shape=box, style=rounded, fontname=sans-serif];"
    for step in definition.steps:
        shape = ", shape=hexagon" if step.when is not None else ", shape=oval" if _waits(step) else ""
        yield f"    {_quoted(step.name)} [label={_label(step)}{shape}];"
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


def _json(definition: WorkflowDefinition, arrows: list[Arrow]) -> dict[str, Any]:
    return {
        "workflow": definition.name,
        "version": definition.version,
        "nodes": [{"name": step.name, "type": step.type, "join": step.join} for step in definition.steps],
        "edges": [{"from": arrow.source, "to": arrow.target, "on": arrow.on} for arrow in arrows],
        "compensation": [{"name": step.name, "type": step.type} for step in definition.compensation.steps],
    }


def _waits(step: Step) -> bool:
    return step.type in ("wait", "wait_for_event", "approval")


def _label(step: Step) -> str:
    return _quoted(f"{step.name}\\n{step.type}")


def _escaped(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _quoted(text: str) -> str:
    """A dot string; `\\n` in it stays a line break."""
    return '"' + text.replace('"', '\\"') + '"'
