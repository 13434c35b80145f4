"""The graph of a group of steps: what follows what, in which order it can run, and where it runs in circles.

Plain functions of steps, for validation and for showing a plan. Names that no step has are passed over; validation
reports them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

from stepwell.definition.model import Bulkhead, Step

_CHUNK = 4_096
"""Steps looked up at once in `not_upstream`: bounds memory at half a kilobyte for every step of the graph."""

Adjacency = list[list[int]]


class StepGraph:
    """The graph of a group of steps by their positions; what is asked of it is worked out once.

    A step that stands in for another one follows it, as if an edge led there. Edges from a step to itself are left out.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    @cached_property
    def index(self) -> dict[str, int]:
        """The position of each name; the first one where two steps have the same."""
        return {step.name: node for node, step in reversed(list(enumerate(self.steps)))}

    @cached_property
    def successors(self) -> Adjacency:
        """The steps that each one leads to."""
        found: Adjacency = [[] for _ in self.steps]
        index = self.index
        for node, step in enumerate(self.steps):
            for dependency in step.depends_on:
                source = index.get(dependency.step, node)
                if source != node:
                    found[source].append(node)
            for edge in step.edges:
                found[node] += [index[to] for to in edge.to if index.get(to, node) != node]
            found[node] += [index[name] for name in fallbacks_of(step) if index.get(name, node) != node]
        return found

    @cached_property
    def predecessors(self) -> Adjacency:
        """The steps that lead to each one."""
        found: Adjacency = [[] for _ in self.steps]
        for node, targets in enumerate(self.successors):
            for target in targets:
                found[target].append(node)
        return found

    @cached_property
    def components(self) -> list[list[int]]:
        """The strongly connected components, each before those that lead to it."""
        return _components(self.successors)

    @cached_property
    def component(self) -> list[int]:
        """The number of each step's component."""
        numbers = [0] * len(self.steps)
        for number, members in enumerate(self.components):
            for node in members:
                numbers[node] = number
        return numbers

    @property
    def tangles(self) -> list[list[int]]:
        """The components that are more than one step: where steps run in circles."""
        return [members for members in self.components if len(members) > 1]


def batches(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """The names of the steps in layers: each step stands in the first layer after all those that lead to it.

    What stands in the same layer can run side by side. The steps of a cycle stand in the order in which they are first
    reached.
    """
    levels = _levels(StepGraph(steps))
    layers: list[list[str]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for step, level in zip(steps, levels, strict=True):
        layers[level].append(step.name)
    return [tuple(layer) for layer in layers]


def critical_path(steps: Sequence[Step]) -> tuple[str, ...]:
    """The names along a longest way through the graph, by number of steps, each step of a cycle counted once."""
    graph = StepGraph(steps)
    levels, components, component = _levels(graph), graph.components, graph.component
    if not levels:
        return ()
    at = levels.index(max(levels))
    path = [at]
    while levels[at]:
        before = {component[node] for member in components[component[at]] for node in graph.predecessors[member]}
        before.add(component[at])
        at = next(node for number in sorted(before) for node in components[number] if levels[node] == levels[at] - 1)
        path.append(at)
    return tuple(steps[node].name for node in reversed(path))


def cycles(graph: StepGraph) -> list[tuple[str, ...]]:
    """A shortest cycle in every tangle that no `max_visits` bounds, as `("a", "b", "a")`.

    A cycle is allowed when one of its steps has `max_visits`. A step that leads to itself alone is not among them.
    """
    if not graph.tangles:
        return []
    steps = graph.steps
    free = [step.max_visits is None for step in steps]
    unbounded = [
        [to for to in targets if free[to]] if free[node] else [] for node, targets in enumerate(graph.successors)
    ]
    found = [tangle for tangle in _components(unbounded) if len(tangle) > 1]
    return [tuple(steps[node].name for node in _shortest_cycle(tangle, unbounded)) for tangle in found]


def leads_to_itself(step: Step) -> bool:
    """Whether one of its own edges leads a step back to itself: a cycle of one."""
    return any(step.name in edge.to for edge in step.edges)


def inbound_counts(steps: Sequence[Step]) -> dict[str, int]:
    """How many edges lead to each step, pulled and pushed ones together."""
    counts = {step.name: len(step.depends_on) for step in steps}
    for step in steps:
        for edge in step.edges:
            for to in edge.to:
                if to in counts:
                    counts[to] += 1
    return counts


def fallback_steps(steps: Sequence[Step]) -> frozenset[str]:
    """The names of the steps of this group that only run in place of another one: those named as a fallback.

    They are no entries, although no edge leads to them.
    """
    return frozenset(name for step in steps for name in fallbacks_of(step))


def fallbacks_of(step: Step) -> Iterator[str]:
    """The names of the steps that may run in place of this one: after a failure, a timeout, or a full bulkhead."""
    bulkhead = step.bulkhead if isinstance(step.bulkhead, Bulkhead) else None
    for holder in (step.on_failure, step.on_timeout, bulkhead):
        if holder is not None and holder.fallback is not None and holder.fallback.step is not None:
            yield holder.fallback.step


def not_upstream(graph: StepGraph, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (later, earlier) `pairs` of names where no way leads from the earlier step to the later one."""
    index, predecessors = graph.index, graph.predecessors
    components, component = graph.components, graph.component
    before = {later: set(predecessors[index[later]]) for later in {pair[0] for pair in pairs}}
    asked = [(later, earlier) for later, earlier in pairs if index[earlier] not in before[later]]
    wanted = sorted({component[index[earlier]] for _, earlier in asked})
    missing: set[tuple[str, str]] = set()
    for start in range(0, len(wanted), _CHUNK):
        bits = {number: 1 << bit for bit, number in enumerate(wanted[start : start + _CHUNK])}
        reached = _reached_from(components, predecessors, component, bits)
        for later, earlier in asked:
            bit = bits.get(component[index[earlier]])
            if bit is not None and not reached[component[index[later]]] & bit:
                missing.add((later, earlier))
    return missing


def _reached_from(
    components: list[list[int]], predecessors: Adjacency, component: list[int], bits: dict[int, int]
) -> list[int]:
    """For every component the set, as bits, of those components in `bits` from which a way leads there."""
    reached = [0] * len(components)
    for number in range(len(components) - 1, -1, -1):
        members = components[number]
        found = bits.get(number, 0) if len(members) > 1 else 0
        for node in members:
            for before in predecessors[node]:
                other = component[before]
                if other != number:
                    found |= reached[other] | bits.get(other, 0)
        reached[number] = found
    return reached


def _levels(graph: StepGraph) -> list[int]:
    """The layer of each step.

    A tangle of cycles lies in the layers after everything that leads into it, and before everything after it.
    """
    predecessors, components, component = graph.predecessors, graph.components, graph.component
    levels = [0] * len(graph.steps)
    last = [0] * len(components)
    for number in range(len(components) - 1, -1, -1):
        members = components[number]
        before = [component[node] for member in members for node in predecessors[member]]
        base = max((last[other] + 1 for other in before if other != number), default=0)
        entries = [node for node in members if any(component[other] != number for other in predecessors[node])]
        distances = _distances(entries or members[:1], set(members), graph.successors)
        for node, distance in distances.items():
            levels[node] = base + distance
        last[number] = base + max(distances.values())
    return levels


def _distances(entries: list[int], inside: set[int], successors: Adjacency) -> dict[int, int]:
    """How many edges each node of a component is away from the nearest of its `entries`."""
    distances = dict.fromkeys(entries, 0)
    pending = deque(entries)
    while pending:
        node = pending.popleft()
        for to in successors[node]:
            if to in inside and to not in distances:
                distances[to] = distances[node] + 1
                pending.append(to)
    return distances


def _components(successors: Adjacency) -> list[list[int]]:
    """The strongly connected components (Tarjan's algorithm, without recursion), each before those that lead to it."""
    order: list[int | None] = [None] * len(successors)
    low = [0] * len(successors)
    on_stack = [False] * len(successors)
    stack: list[int] = []
    found: list[list[int]] = []
    count = 0
    for root in range(len(successors)):
        if order[root] is not None:
            continue
        work = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                order[node] = low[node] = count
                count += 1
                stack.append(node)
                on_stack[node] = True
            targets = successors[node]
            if position:
                low[node] = min(low[node], low[targets[position - 1]])
            while position < len(targets):
                to = targets[position]
                position += 1
                if order[to] is None:
                    work += [(node, position), (to, 0)]
                    break
                if on_stack[to]:
                    low[node] = min(low[node], order[to] or 0)
            else:
                if low[node] == order[node]:
                    found.append(_popped(stack, on_stack, node))
    return found


def _popped(stack: list[int], on_stack: list[bool], node: int) -> list[int]:
    at = len(stack) - 1
    while stack[at] != node:
        at -= 1
    members = stack[at:]
    del stack[at:]
    for member in members:
        on_stack[member] = False
    return sorted(members)


def _shortest_cycle(tangle: list[int], successors: Adjacency) -> list[int]:
    """A shortest cycle through the first node of a strongly connected component."""
    start, inside = tangle[0], set(tangle)
    came_from: dict[int, int] = {}
    pending = deque([start])
    while pending:
        node = pending.popleft()
        for to in successors[node]:
            if to == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return [*reversed(path), start]
            if to in inside and to not in came_from:
                came_from[to] = node
                pending.append(to)
    raise AssertionError("a strongly connected component holds a cycle through each of its nodes")
