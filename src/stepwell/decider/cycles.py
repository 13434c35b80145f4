"""Steps that run in circles: which they are, which edges lead back, and which lead out.

A tangle is a strongly connected component of a graph (R. E. Tarjan, "Depth-first search and linear graph algorithms",
1972). In it, an edge leads back when its target was entered before its source and is not yet left, going through the
graph depth first in the order of the definition; what begins anew when such an edge is taken is its natural loop: the
steps from which its source can be reached without passing its target (Aho, Sethi, Ullman, "Compilers", 1986, 10.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepwell.decider.graph import Link, Node


def tangles(nodes: Mapping[str, Node]) -> list[frozenset[str]]:
    """The sets of steps that can be reached from each other; a step with an edge to itself is one too."""
    if not any(node.step.max_visits is not None for node in nodes.values()):
        return []  # validation has refused every cycle
    found: list[frozenset[str]] = []
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: dict[str, None] = {}
    for root in nodes.values():
        if root.name in order:
            continue
        pending = [(root, iter(root.links))]
        _enter(root, order, low, stack)
        while pending:
            node, links = pending[-1]
            target = next((link.target for link in links), None)
            if target is None:
                pending.pop()
                if pending:
                    above = pending[-1][0].name
                    low[above] = min(low[above], low[node.name])
                if low[node.name] == order[node.name]:
                    found.extend(_popped(stack, node))
            elif target.name not in order:
                _enter(target, order, low, stack)
                pending.append((target, iter(target.links)))
            elif target.name in stack:
                low[node.name] = min(low[node.name], order[target.name])
    return found


def _enter(node: Node, order: dict[str, int], low: dict[str, int], stack: dict[str, None]) -> None:
    order[node.name] = low[node.name] = len(order)
    stack[node.name] = None


def _popped(stack: dict[str, None], node: Node) -> Iterator[frozenset[str]]:
    members: set[str] = set()
    while node.name not in members:
        members.add(stack.popitem()[0])
    if len(members) > 1 or any(link.target is node for link in node.links):
        yield frozenset(members)


def untangle(nodes: Mapping[str, Node], tangle: frozenset[str]) -> list[Link]:
    """Mark the edges of the tangle that lead back and those that lead out, and return the latter."""
    for link in _leading_back(nodes, tangle):
        link.body = _natural_loop(nodes, tangle, link)
        link.target.inbound -= 1  # no join waits for it
    exits: list[Link] = []
    for name in sorted(tangle, key=lambda one: nodes[one].position):
        node = nodes[name]
        node.tangle = tangle
        for link in node.links:
            if link.target.name not in tangle:
                link.leaves = tangle
                exits.append(link)
    return exits


def _leading_back(nodes: Mapping[str, Node], tangle: frozenset[str]) -> list[Link]:
    members = sorted((nodes[name] for name in tangle), key=lambda node: node.position)
    entered_from_outside = {
        link.target.name for node in nodes.values() if node.name not in tangle for link in node.links
    }
    members.sort(key=lambda node: node.name not in entered_from_outside)
    back: list[Link] = []
    entered: set[str] = set()
    on_way: set[str] = set()
    for root in members:
        if root.name in entered:
            continue
        entered.add(root.name)
        on_way.add(root.name)
        pending = [(root, iter(root.links))]
        while pending:
            node, links = pending[-1]
            link = next(links, None)
            if link is None:
                pending.pop()
                on_way.discard(node.name)
            elif link.target.name in on_way:
                back.append(link)
            elif link.target.name in tangle and link.target.name not in entered:
                entered.add(link.target.name)
                on_way.add(link.target.name)
                pending.append((link.target, iter(link.target.links)))
    return back


def _natural_loop(nodes: Mapping[str, Node], tangle: frozenset[str], back: Link) -> frozenset[str]:
    sources: dict[str, list[str]] = {name: [] for name in tangle}
    for name in tangle:
        for link in nodes[name].links:
            if link.target.name in tangle:
                sources[link.target.name].append(name)
    body = {back.target.name, back.source.name}
    pending = [back.source.name] if back.source is not back.target else []
    while pending:
        for name in sources[pending.pop()]:
            if name not in body:
                body.add(name)
                pending.append(name)
    return frozenset(body)
