"""What can be said of a workflow before it runs: its order, its worst case, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.decider.plan import DEFAULT_EVENT_TIMEOUT, Node, Plan
from stepwell.definition.graph import batches, critical_path
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, Step

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_READING_FILE_OPS: Final = frozenset({"read", "list"})
_EFFECTS: Final = frozenset({"python", "shell", "sql", "notify", "emit_event"})
_BOUNDED: Final = frozenset({"http", "service_call", "validation", "transform", "input", "process", "output"})
"""Types with a time limit of their own (that of the service or the request), or that do nothing but compute."""


def figures_of(plan: Plan) -> dict[str, Any]:
    """Everything that `plan` shows, as JSON values. Durations in milliseconds."""
    definition = plan.definition
    nodes = list(plan.nodes.values())
    steps = [_step(node) for node in nodes]
    return {
        "workflow": definition.name,
        "version": definition.version,
        "timeout_ms": _milliseconds(definition.config.timeout),
        "batches": [list(layer) for layer in batches(definition.steps)],
        "critical_path": list(critical_path(definition.steps)),
        "joins": list(_joins(nodes)),
        "steps": steps,
        "worst_case_attempts": sum(step["max_attempts"] for step in steps),
        "worst_case_backoff_ms": _on_the_way(plan, {step["name"]: step["max_backoff_ms"] for step in steps}),
        "without_timeout": [node.name for node in nodes if not _is_bounded(node)],
        "without_compensation": list(_not_undone(plan)),
    }


def _step(node: Node) -> dict[str, Any]:
    policies = (node.retry.policy, node.timeout_retry.policy)
    return {
        "name": node.name,
        "type": node.step.type,
        "depends_on": list(dict.fromkeys(each.step for each in node.step.depends_on)),
        "max_attempts": max(policy.max_attempts for policy in policies),
        "max_backoff_ms": max(policy.longest_total() for policy in policies) / 1_000,
        "timeout": _timeout(node.step),
    }


def _timeout(step: Step) -> Any:
    """As it is written in the settings, where the step itself has none; milliseconds otherwise."""
    if step.timeout is not None:
        return _milliseconds(step.timeout)
    if step.type == "wait_for_event":
        return step.config.get("timeout") or DEFAULT_EVENT_TIMEOUT
    return step.config.get("timeout")


def _joins(nodes: list[Node]) -> Iterator[dict[str, Any]]:
    """Steps that more than one edge leads to."""
    sources: dict[str, list[str]] = {}
    for node in nodes:
        for link in node.links:
            sources.setdefault(link.target.name, []).append(node.name)
    for node in nodes:
        if node.inbound > 1:
            yield {"step": node.name, "join": node.join, "from": list(dict.fromkeys(sources[node.name]))}


def _on_the_way(plan: Plan, cost: Mapping[str, float]) -> float:
    """The most that a chain of steps adds up to: what runs side by side waits side by side."""
    most: dict[str, float] = {}
    sources: dict[str, list[str]] = {}
    for node in plan.nodes.values():
        for link in node.links:
            sources.setdefault(link.target.name, []).append(node.name)
    for layer in batches(plan.definition.steps):
        for name in layer:
            most[name] = cost[name] + max((most.get(before, 0.0) for before in sources.get(name, ())), default=0.0)
    return max(most.values(), default=0.0)


def _is_bounded(node: Node) -> bool:
    step = node.step
    return node.is_control or step.timeout is not None or "timeout" in step.config or step.type in _BOUNDED


def _not_undone(plan: Plan) -> Iterator[str]:
    """Steps that change something outside, and that neither they themselves nor any compensation step undoes.

    A compensation step undoes what it reads from: the output or the fate of a step.
    """
    mentioned = {name for node in plan.compensation for name in _read_by(node)}
    for node in plan.nodes.values():
        if _has_effect(node.step) and node.step.compensate is None and node.name not in mentioned:
            yield node.name


def _read_by(node: Node) -> Iterator[str]:
    templates = (node.config, node.when, node.output)
    for template in templates:
        for reference in template.references if template is not None else ():
            if reference.path[0] in ("steps", "task", "tasks") and len(reference.path) > 1:
                yield str(reference.path[1])


def _has_effect(step: Step) -> bool:
    """Whether running the step may change something that other people see."""
    match step.type:
        case "http" | "service_call":
            return str(step.config.get("method") or "GET").upper() not in _READING_METHODS
        case "file":
            return step.config.get("op") not in _READING_FILE_OPS
        case kind:
            return kind in _EFFECTS or kind not in LEAF_TYPES | CONTROL_TYPES  # a task of the user's


def _milliseconds(micros: int | None) -> float | None:
    return micros / 1_000 if micros is not None else None
