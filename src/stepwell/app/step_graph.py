"""The groups of steps of a workflow (its own, and the blocks of its constructs), and the order within each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stepwell.definition.graph import StepGraph, batches, fallbacks_of, leads_to_itself
from stepwell.definition.model import Dependency, DependencyOn, Edge, Join, Step

TOP: Final = ""
"""The name of the block that is the workflow itself."""


class Arc(NamedTuple):
    """An edge between two steps of a group, by their positions in it. `edge` is set when the source pushes it."""

    source: int
    target: int
    on: DependencyOn
    edge: Edge | None = None

    @property
    def delay(self) -> int:
        """Microseconds between its taking and the start of the target."""
        return self.edge.delay if self.edge is not None else 0


class Group:
    """Steps that stand side by side.

    Attributes:
        parent: the step in whose settings they stand, or None.
        block: the name of the block there (`then`, `steps`, ...).
        inbound: the edges that lead to each step, by position.
        layers: the positions of the steps in the order in which they can run: what stands in one layer can run side by
            side.
        level: the number of each step's layer.
        before: the positions of the steps that each one comes after, with the delay in between: the sources of its
            edges, what it stands in for, and what its milestone waits for. Edges that lead back in a cycle are not
            among them.
        separate: its branches are.
        tangles: the positions of the steps that run in circles with each other, or alone.
    """

    __slots__ = ("before", "block", "inbound", "index", "layers", "level", "parent", "separate", "steps", "tangles")

    def __init__(
        self, steps: Sequence[Step], parent: Step | None = None, block: str = TOP, *, separate: bool = False
    ) -> None:
        self.steps = steps
        self.separate = separate
        self.parent = parent
        self.block = block
        self.index = {step.name: position for position, step in enumerate(steps)}
        self.inbound: list[list[Arc]] = [[] for _ in steps]
        for arc in _arcs(steps, self.index):
            self.inbound[arc.target].append(arc)
        others = _others(steps, self.index)
        self.level = _levels(self.inbound, others) or _levels_of_cyclic(steps, self.index, others)
        self.layers: list[list[int]] = [[] for _ in range(max(self.level, default=-1) + 1)]
        for position, number in enumerate(self.level):
            self.layers[number].append(position)
        self.before = [list(self._before(position, others.get(position, ()))) for position in range(len(steps))]
        self.tangles = list(_tangles(steps))

    def after(self, position: int) -> tuple[str, ...]:
        """The names of the steps whose edges lead to this one, each once."""
        return tuple(dict.fromkeys(self.steps[arc.source].name for arc in self.inbound[position]))

    def join(self, position: int) -> Join:
        """How a step treats the edges that lead to it."""
        step = self.steps[position]
        if step.join is None:
            return "all" if step.depends_on else "each" if self.separate else "sync"
        return step.join

    def _before(self, position: int, others: Sequence[int]) -> Iterator[tuple[int, int]]:
        level = self.level[position]
        for arc in self.inbound[position]:
            if self.level[arc.source] < level:
                yield arc.source, arc.delay
        for other in others:
            if self.level[other] < level:
                yield other, 0


def _tangles(steps: Sequence[Step]) -> Iterator[list[int]]:
    if all(step.max_visits is None for step in steps):  # validation has refused every other cycle
        return
    found = StepGraph(steps).tangles
    yield from found
    together = {position for members in found for position in members}
    yield from ([at] for at, step in enumerate(steps) if at not in together and leads_to_itself(step))


def _arcs(steps: Sequence[Step], index: Mapping[str, int]) -> Iterator[Arc]:
    for position, step in enumerate(steps):
        for dependency in step.depends_on:
            yield Arc(index[dependency.step], position, dependency.on)
        for edge in step.edges:
            for to in edge.to:
                yield Arc(position, index[to], edge.on, edge)


def _others(steps: Sequence[Step], index: Mapping[str, int]) -> dict[int, list[int]]:
    """What steps come after without an edge: a fallback after what it stands in for, a milestone's `after`."""
    others: dict[int, list[int]] = {}
    for position, step in enumerate(steps):
        for name in fallbacks_of(step):
            others.setdefault(index[name], []).append(position)
        if step.milestone is not None:
            others.setdefault(position, []).extend(index[name] for name in step.milestone.after if name in index)
    return others


def _levels(inbound: Sequence[Sequence[Arc]], others: Mapping[int, Sequence[int]]) -> list[int] | None:
    """The number of each step's layer: the first one after all that it comes after. None when there is a cycle."""
    waits = [len(arcs) + len(others.get(position, ())) for position, arcs in enumerate(inbound)]
    leads: list[list[int]] = [[] for _ in inbound]
    for position, arcs in enumerate(inbound):
        for source in (*(arc.source for arc in arcs), *others.get(position, ())):
            leads[source].append(position)
    levels = [0] * len(inbound)
    due = [position for position, number in enumerate(waits) if not number]
    for position in due:  # grows on the way
        for target in leads[position]:
            levels[target] = max(levels[target], levels[position] + 1)
            waits[target] -= 1
            if not waits[target]:
                due.append(target)
    return levels if len(due) == len(inbound) else None


def _levels_of_cyclic(
    steps: Sequence[Step], index: Mapping[str, int], others: Mapping[int, Sequence[int]]
) -> list[int]:
    """The same where steps run in circles: those of a cycle stand in the order in which they are first reached."""
    behind = [
        msgspec.structs.replace(
            step, depends_on=(*step.depends_on, *(Dependency(step=steps[other].name) for other in others[position]))
        )
        if position in others
        else step
        for position, step in enumerate(steps)
    ]
    levels = [0] * len(steps)
    for number, layer in enumerate(batches(behind)):
        for name in layer:
            levels[index[name]] = number
    return levels


def groups_of(steps: Sequence[Step], *, separate: bool = False) -> list[Group]:
    """The group of these steps and all groups inside it, outer before inner, in document order.

    Args:
        separate: the branches of the outermost group are.
    """
    found: list[Group] = []
    pending: list[tuple[Sequence[Step], Step | None, str]] = [(steps, None, TOP)] if steps else []
    while pending:
        group = Group(*pending.pop(), separate=separate and not found)
        found.append(group)
        inner = [(block, step, name) for step in group.steps for name, block in step.blocks if block]
        pending.extend(reversed(inner))
    return found
