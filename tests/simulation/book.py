"""A definition as the witness sees it: which step stands where, and which edges lead to it.

Made from the definition alone, plainly: nothing of the decider's plan is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stepwell.definition.model import CONTROL_TYPES, FailureAction, Step, WorkflowDefinition

DEFAULT_TRIES = 3
"""What `action: retry` means when nothing says how often."""


class Way(NamedTuple):
    """An edge. `number` is its place among the edges of its source when a condition decides it, or None."""

    source: str
    on: str
    number: int | None = None


class Line(NamedTuple):
    """What the book says of a step.

    Attributes:
        group: `steps`, `compensation` or `on_error`: where it stands, or what it is nested in stands.
        parent: the step that it is nested in, or None.
        block: in which block of that; for the outermost steps the group.
        inbound: the edges that lead to it.
        winding: `cycle` when it leads to itself, `each` where steps beside it can run more than once, else empty.
    """

    step: Step
    group: str
    parent: str | None
    block: str
    inbound: tuple[Way, ...]
    winding: str

    @property
    def join(self) -> Any:
        """Its join, as it is said or by default."""
        return self.step.join if self.step.join is not None else ("all" if self.step.depends_on else "sync")


def book(definition: WorkflowDefinition) -> Mapping[str, Line]:
    """Every step of a definition by name, nested ones too."""
    groups = {
        "steps": definition.steps,
        "compensation": definition.compensation.steps,
        "on_error": definition.config.on_error.steps,
    }
    return {line.step.name: line for group, steps in groups.items() for line in lines(steps, group, None, group)}


def lines(steps: tuple[Step, ...], group: str, parent: str | None, block: str) -> Iterator[Line]:
    """What is to be said of steps that stand together, and of those nested in them."""
    ways = _ways(steps)
    winding = _winding(steps, ways)
    for step in steps:
        yield Line(step, group, parent, block, tuple(ways[step.name]), winding[step.name])
        for name, inner in step.blocks:
            yield from lines(inner, group, step.name, name)


def _ways(steps: tuple[Step, ...]) -> dict[str, list[Way]]:
    ways: dict[str, list[Way]] = {step.name: [] for step in steps}
    for step in steps:
        ways[step.name] += [Way(dependency.step, dependency.on) for dependency in step.depends_on]
        for number, edge in enumerate(step.edges):
            is_recorded = edge.when is not None or edge.decision is not None
            for target in edge.to:
                ways[target].append(Way(step.name, edge.on, number if is_recorded else None))
    return ways


def _winding(steps: tuple[Step, ...], ways: Mapping[str, list[Way]]) -> Mapping[str, str]:
    """For each step: `cycle` when it leads to itself; else `each` where steps beside it can run more than once."""
    sources = {step.name: {way.source for way in ways[step.name]} for step in steps}
    circling = {name for name in sources if name in _before(name, sources)}
    often = "each" if circling or any(step.join == "each" for step in steps) else ""
    return {name: "cycle" if name in circling else often for name in sources}


def _before(name: str, sources: Mapping[str, set[str]]) -> set[str]:
    """All steps that lead to this one, over others too."""
    found: set[str] = set()
    pending = [*sources[name]]
    while pending:
        source = pending.pop()
        if source not in found:
            found.add(source)
            pending += sources[source]
    return found


def synthetic(name: str) -> Line:
    """A wait of a state machine, which stands in no document: `machine:event`."""
    return Line(Step(name=name, type="wait_for_event"), "steps", name.split(":")[0], "waits", (), "")


def kind_of(step: Step) -> str:
    """What it does when it is run as a whole."""
    if step.for_each is not None:
        return "for_each"
    return "repeat" if step.repeat is not None else step.type


def most_attempts(definition: WorkflowDefinition, line: Line, path: str) -> int:
    """How many attempts of a step there may be at most, whatever its errors."""
    step = line.step
    if "undo" in path.split(",") and step.compensate is not None:
        policy = step.compensate.retry or definition.config.retry
        return policy.max_attempts if policy is not None else 1
    if "fallback" in path.split(","):
        bodies = [action.fallback.body for action in _actions(step) if action.fallback is not None]
        policies = [body.retry or definition.config.retry for body in bodies if body is not None]
        return max((policy.max_attempts for policy in policies if policy is not None), default=1)
    if "make" in path.split(","):
        making = definition.config.retry if step.retry is None else None
        return making.max_attempts if making is not None else 1
    is_leaf = step.type not in CONTROL_TYPES
    policy = step.retry or (definition.config.retry if is_leaf else None)
    tries = [policy.max_attempts if policy is not None else 1]
    usual = policy.max_attempts if policy is not None else DEFAULT_TRIES
    tries += [action.max_attempts or usual for action in _actions(step) if action.action == "retry"]
    return max(tries)


def _actions(step: Step) -> list[FailureAction]:
    return [action for action in (step.on_failure, step.on_timeout) if action is not None]
