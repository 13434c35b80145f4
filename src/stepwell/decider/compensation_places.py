"""Where an instance stood that has ended: the regions around it, and what its expressions saw there.

While a construct runs, its regions are in memory. What is undone later has to be found again from the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from stepwell.decider.graph import REPEATING, Graph, Node
from stepwell.decider.inner import Rounds
from stepwell.decider.keys import UNDO, instance_key, split_key
from stepwell.decider.plan import grown
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.definition.generated import generated_steps
from stepwell.execution.state import StepState

Owner: TypeAlias = tuple[str, int, int, int]
"""The path and visit of the instance that opened a region, its try, and the round; -1 for no round."""


def node_of(run: Run, key: str) -> Node | None:
    """The step that the instance is a run of, generated steps and undoings too."""
    node = run.plan.node_of(key) or _generated(run, key)
    _, path, _ = split_key(key)
    return node.undo if node is not None and path.rpartition(",")[2] == UNDO else node


def place_of(run: Run, key: str) -> Instance | None:
    """The instance, in a region like the one in which it ran; None when there is no such step."""
    _, path, visit = split_key(key)
    node = run.plan.node_of(key) or _generated(run, key)
    if node is None:
        return None
    region = _region(run, node.graph, path)
    recorded = run.state.steps[key].names if key in run.state.steps else None
    if recorded is not None:
        region.names = {**region.names, **recorded}
    return Instance(node, region, visit)


def names_to_record(one: Instance) -> dict[str, Any] | None:
    """What the undoing of an instance that completes now will see, where it cannot be found again later: what a state
    machine was in is known only while it is there."""
    owner = one.region.owner
    while owner is not None:
        if owner.node.kind == "state_machine":
            return dict(one.region.names)
        owner = owner.region.owner
    return None


# ── Regions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _region(run: Run, graph: Graph, path: str) -> Region:
    parent = graph.parent
    if parent is None:
        return _with_visits(run, Region(graph, path=path))
    for owner_path, visit, attempt, index in _owners(path, parent):
        step = run.state.steps.get(instance_key(parent.name, owner_path, visit))
        if step is not None and attempt <= step.attempts:
            owner = Instance(parent, _region(run, parent.graph, owner_path), visit)
            return _with_visits(run, Region(graph, owner, path, _names(owner, step, attempt, index)))
    return _with_visits(run, Region(graph, path=path))


def _owners(path: str, parent: Node) -> Iterator[Owner]:
    """Who may have opened a region of this path: the other way round from `Instance.inner_path`."""
    parts = path.split(",") if path else []
    index = int(parts.pop()) if parent.kind in REPEATING and parts and parts[-1].isdigit() else -1
    for attempt, before in _stripped(parts, "~"):
        for visit, front in _stripped(before, "#"):
            yield ",".join(front), visit, attempt, index


def _stripped(parts: list[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """The number that the last part says, and what stands before it; or 1, and all of them."""
    if parts and parts[-1].startswith(mark):
        yield int(parts[-1][1:]), parts[:-1]
    yield 1, parts


def _names(owner: Instance, step: StepState, attempt: int, index: int) -> Mapping[str, Any] | None:
    rule = owner.node.inner
    if not isinstance(rule, Rounds) or index < 0:
        return None
    return rule.names(_items_of(step, attempt), index)


def _items_of(step: StepState, attempt: int) -> list[Any] | None:
    """What a construct had in that try of it."""
    return step.items if attempt == step.attempts else (step.earlier or {}).get(attempt)


def _with_visits(run: Run, region: Region) -> Region:
    """Let the region know the latest visits of its steps, as long as it ran."""
    if region.rounds is not None:
        for name in region.graph.nodes:
            visit = 1
            while instance_key(name, region.path, visit + 1) in run.state.steps:
                visit += 1
            region.rounds.visits[name] = visit
    return region


# ── Generated steps ──────────────────────────────────────────────────────────────────────────────────────────────────


def _generated(run: Run, key: str) -> Node | None:
    """A step that was made while the workflow ran."""
    name, path, _ = split_key(key)
    if run.generated is None:
        run.generated = _all_generated(run)
    front, _, last = path.rpartition(",")
    return run.generated.get(front if last == UNDO else path, {}).get(name)


def _all_generated(run: Run) -> dict[str, dict[str, Node]]:
    found: dict[str, dict[str, Node]] = {}
    for key, step in run.state.steps.items():
        parent = run.plan.node_of(key)
        if parent is None or parent.kind != "dynamic":
            continue
        _, path, visit = split_key(key)
        one = Instance(parent, Region(parent.graph, path=path), visit)
        for attempt in range(1, step.attempts + 1):
            steps, _ = generated_steps(_items_of(step, attempt) or [])
            found.setdefault(one.inner_path(attempt), {}).update(grown(run.plan, parent, steps).nodes)
    return found
