"""The groups of steps of a document, one inside the other, and where each step stands among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property

from stepwell.definition.building import Parts
from stepwell.definition.graph import StepGraph
from stepwell.definition.model import Path, Step, all_steps


class Group:
    """Steps that stand side by side; only within one do edges lead from step to step.

    Attributes:
        parent: the step that they are nested in, or None.
        outer: the group of that step, or None.
    """

    def __init__(self, steps: tuple[Step, ...], parent: Step | None = None, outer: Group | None = None) -> None:
        self.steps = steps
        self.parent = parent
        self.outer = outer

    @cached_property
    def graph(self) -> StepGraph:
        """What follows what."""
        return StepGraph(self.steps)

    @cached_property
    def by_name(self) -> dict[str, Step]:
        """The steps by name; the first one where two have the same."""
        return {step.name: step for step in reversed(self.steps)}

    @cached_property
    def entered_from(self) -> dict[str, str]:
        """By the name of each step that an edge leads to, the name of one that it comes from."""
        found = {step.name: each.step for step in self.steps for each in step.depends_on}
        found |= {to: step.name for step in self.steps for edge in step.edges for to in edge.to}
        return found

    @cached_property
    def answered(self) -> dict[tuple[str, str], str]:
        """By (step, outcome) a step that an edge leads to whenever it ends so: `failure`, `timeout` or `complete`."""
        found: dict[tuple[str, str], str] = {}
        for step in self.steps:
            for each in step.depends_on:
                found[each.step, each.on] = step.name
            for edge in step.edges:
                if edge.to and edge.when is None and edge.decision is None:
                    found[step.name, edge.on] = edge.to[0]
        return found


class Groups:
    """All groups of a document, those of the compensation and of `on_error` too.

    Attributes:
        everything: every step, outer before inner.
        of: the group of each step by its name; the first one where two steps have the same.
    """

    def __init__(self, parts: Parts) -> None:
        tops = (parts.steps, parts.compensation.steps, parts.config.on_error.steps)
        self.everything = [step for top in tops for step in all_steps(top)]
        self.all: list[Group] = []
        self.of: dict[str, Group] = {}
        pending = deque(Group(top) for top in tops)
        while pending:
            group = pending.popleft()
            self.all.append(group)
            for step in group.steps:
                self.of.setdefault(step.name, group)
                pending.extend(Group(block, step, group) for _, block in step.blocks)

    def chain(self, name: str) -> Iterator[tuple[Group, str]]:
        """The step and those it is nested in, inside out, each with its group."""
        group: Group | None = self.of[name]
        while group is not None:
            yield group, name
            name = group.parent.name if group.parent is not None else name
            group = group.outer

    def shared(self, one: str, other: str) -> tuple[Group, str, str] | None:
        """The innermost group that both steps are in, and the steps of it that they are or are nested in."""
        inside = dict(self.chain(one))
        return next(((group, inside[group], name) for group, name in self.chain(other) if group in inside), None)


def name_path(step: Step) -> Path:
    """Where the name of a step stands."""
    return (*step.path, "name") if is_listed(step) else step.path


def is_listed(step: Step) -> bool:
    """Whether the step is an entry of a list, and not of a mapping by name."""
    return isinstance(step.path[-1], int)
