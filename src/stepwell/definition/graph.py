"""The graph of a group of steps: what follows what, in which order it can run, and where it runs in circles.

Plain functions of steps, for validation and for showing a plan. Names that no step has are passed over; validation
reports them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from stepwell.definition.model import Step

_CHUNK = 4_096
"""Steps looked up at once in `not_upstream`: bounds memory at half a kilobyte for every step of the graph."""

Adjacency = list[list[int]]


def batches(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """The names of the steps in layers: each step stands in the first layer after all those that lead to it.

    What stands in the same layer can run side by side. The steps of a cycle stand in the order in which they are first
    reached.
    """
    levels = _levels(steps)[0]
    layers: list[list[str]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for step, level in zip(steps, levels, strict=True):
        layers[level].append(step.name)
    return [tuple(layer) for layer in layers]


def critical_path(steps: Sequence[Step]) -> tuple[str, ...]:
    """The names along a longest way through the graph, by number of steps, each step of a cycle counted once."""
    levels, components, component = _levels(steps)
    if not levels:
        return ()
    _, predecessors = _adjacency(steps)
    at = levels.index(max(levels))
    path = [at]
    while levels[at]:
        before = {component[node] for member in components[component[at]] for node in predecessors[member]}
        before.add(component[at])
        at = next(node for number in sorted(before) for node in components[number] if levels[node] == levels[at] - 1)
        path.append(at)
    return tuple(steps[node].name for node in reversed(path))


def cycles(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """A shortest cycle in every tangle that no `max_visits` bounds, as `("a", "b", "a")`.

    A cycle is allowed when one of its steps has `max_visits`. A step that depends on itself alone is not among them.
    """
    successors, _ = _adjacency(steps)
    free = [step.max_visits is None for step in steps]
    bounded = [[to for to in targets if free[to]] if free[node] else [] for node, targets in enumerate(successors)]
    tangles = [tangle for tangle in _components(bounded) if len(tangle) > 1]
    return [tuple(steps[node].name for node in _shortest_cycle(tangle, bounded)) for tangle in tangles]


def unstarted(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """The names of the steps of every tangle of cycles that no other step leads into: nothing ever starts them.

    A step is reached unless it, or one that leads to it, stands in such a tangle.
    """
    successors, predecessors = _adjacency(steps)
    tangles = [set(tangle) for tangle in _components(successors) if len(tangle) > 1]
    closed = [tangle for tangle in tangles if all(tangle.issuperset(predecessors[node]) for node in tangle)]
    return [tuple(steps[node].name for node in sorted(tangle)) for tangle in closed]


def inbound_counts(steps: Sequence[Step]) -> dict[str, int]:
    """How many edges lead to each step, pulled and pushed ones together."""
    counts = {step.name: len(step.depends_on) for step in steps}
    for step in steps:
        for edge in step.edges:
            for to in edge.to:
                if to in counts:
                    counts[to] += 1
    return counts


def not_upstream(steps: Sequence[Step], pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (later, earlier) `pairs` of names where no way leads from the earlier step to the later one."""
    index = _index(steps)
    successors, predecessors = _adjacency(steps)
    components = _components(successors)
    component = _numbers(components)
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


def _index(steps: Sequence[Step]) -> dict[str, int]:
    """The position of each name; the first one where two steps have the same."""
    return {step.name: node for node, step in reversed(list(enumerate(steps)))}


def _adjacency(steps: Sequence[Step]) -> tuple[Adjacency, Adjacency]:
    """Successors and predecessors of each step by position, without edges from a step to itself."""
    index = _index(steps)
    successors: Adjacency = [[] for _ in steps]
    predecessors: Adjacency = [[] for _ in steps]
    for node, step in enumerate(steps):
        pairs: list[tuple[int | None, int | None]] = [(index.get(each.step), node) for each in step.depends_on]
        pairs += [(node, index.get(to)) for edge in step.edges for to in edge.to]
        for source, target in pairs:
            if source is not None and target is not None and source != target:
                successors[source].append(target)
                predecessors[target].append(source)
    return successors, predecessors


def _levels(steps: Sequence[Step]) -> tuple[list[int], list[list[int]], list[int]]:
    """The layer of each step, the strongly connected components, and the number of each step's component.

    A tangle of cycles lies in the layers after everything that leads into it, and before everything after it.
    """
    successors, predecessors = _adjacency(steps)
    components = _components(successors)
    component = _numbers(components)
    levels = [0] * len(steps)
    last = [0] * len(components)
    for number in range(len(components) - 1, -1, -1):
        members = components[number]
        before = [component[node] for member in members for node in predecessors[member]]
        base = max((last[other] + 1 for other in before if other != number), default=0)
        entries = [node for node in members if any(component[other] != number for other in predecessors[node])]
        distances = _distances(entries or members[:1], set(members), successors)
        for node, distance in distances.items():
            levels[node] = base + distance
        last[number] = base + max(distances.values())
    return levels, components, component


def _numbers(components: list[list[int]]) -> list[int]:
    numbers = [0] * sum(map(len, components))
    for number, members in enumerate(components):
        for node in members:
            numbers[node] = number
    return numbers


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
