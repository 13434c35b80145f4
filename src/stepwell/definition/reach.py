"""Which steps of a group can never run, as far as its edges and joins say.

Conditions may go either way, steps may end in every way that is open to them, and where steps run in circles everything
may happen: what is found here is certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from stepwell.definition.graph import StepGraph, fallback_steps
from stepwell.definition.model import DependencyOn, FailureAction, Join, Path, Step

_COMPLETED, _FAILED, _TIMED_OUT, _SKIPPED = 1, 2, 4, 8

_MOST_NEEDS = 32
"""What is remembered of the choices that a step depends on: the nearest ones, so that the work stays linear."""


class Inbound(NamedTuple):
    """An edge as its target sees it.

    Attributes:
        source: the position of the step it comes from.
        on: how that must end.
        outcomes: the same as bits.
        decision: the decision that it is a branch of, and the number of the branch; None for other edges.
    """

    source: int
    on: DependencyOn
    outcomes: int
    decision: tuple[int, int] | None
    path: Path


Cause = Literal["circle", "edge", "excluded", "too_few"]


class Blocked(NamedTuple):
    """A step that can never run, with its cause.

    Attributes:
        cause: `circle`: only steps of its own circle lead to it; `edge`: the first of `edges` is never taken;
            `excluded`: two of `edges` exclude each other, by how the step `at` ends or decides; `too_few`: at most
            `at` of the edges can be taken.
        behind: the names of steps that can never run because of it.
    """

    step: Step
    cause: Cause
    edges: tuple[Inbound, ...] = ()
    at: int = 0
    behind: tuple[str, ...] = ()


Needs = Mapping[tuple[int, int], int]
"""What must have happened for a step to run: by (step, decision) the branches that will do, as bits; by (step, -1) the
outcomes."""

_NOTHING: Needs = {}


def blocked_steps(graph: StepGraph) -> list[Blocked]:
    """The steps that can never run, those left out that only stand behind another one of them."""
    reach = _Reach(graph)
    for members in reversed(graph.components):
        if len(members) > 1:
            reach.enter(members)
        else:
            reach.settle(members[0])
    return reach.found()


def inbound_edges(graph: StepGraph) -> list[list[Inbound]]:
    """The edges that lead to each step, pulled and pushed ones; those that name no step are passed over."""
    steps, index = graph.steps, graph.index
    timed = {index.get(each.step) for step in steps for each in step.depends_on if each.on == "timeout"}
    timed |= {node for node, step in enumerate(steps) if any(edge.on == "timeout" for edge in step.edges)}
    found: list[list[Inbound]] = [[] for _ in steps]
    for node, step in enumerate(steps):
        for each in step.depends_on:
            source = index.get(each.step)
            if source is not None:
                outcomes = _taken_by(each.on, steps[source], source in timed)
                found[node].append(Inbound(source, each.on, outcomes, None, each.path))
        for number, edge in enumerate(step.edges):
            outcomes = _taken_by(edge.on, step, node in timed)
            decision = None if edge.decision is None else (edge.decision, number)
            for target in [index[to] for to in edge.to if to in index]:
                found[target].append(Inbound(node, edge.on, outcomes, decision, edge.path))
    return found


def join_of(step: Step) -> Join:
    """How the step joins: as it says, or by the kind of its edges."""
    return step.join if step.join is not None else "all" if step.depends_on else "sync"


def can_be_skipped(step: Step) -> bool:
    """Whether something in the document can skip the step, which counts as satisfied for those that depend on it.

    The action `skip` is none of that: such a step has failed, and the execution goes on.
    """
    return step.when is not None


def possible_outcomes(step: Step) -> int:
    """The ways in which a step can end by itself, as bits."""
    replaced = any(action is not None and action.fallback for action in (step.on_failure, step.on_timeout))
    always_fails = step.type == "fail" and step.for_each is None and not replaced
    return _FAILED | _TIMED_OUT | (0 if always_fails else _COMPLETED) | (_SKIPPED if can_be_skipped(step) else 0)


def _taken_by(on: DependencyOn, source: Step, has_timeout_edge: bool) -> int:
    """The outcomes of the source that take an edge."""
    match on:
        case "success":
            return _COMPLETED
        case "failure":
            return _FAILED if has_timeout_edge else _FAILED | _TIMED_OUT
        case "timeout":
            return _TIMED_OUT
        case "complete":
            return _COMPLETED | _FAILED | _TIMED_OUT
        case "skipped":
            return _SKIPPED
        case "satisfied":
            failed = _FAILED if _goes_on(source.on_failure) else 0
            timed_out = _TIMED_OUT if _goes_on(source.on_timeout or source.on_failure) else 0
            return _COMPLETED | _SKIPPED | failed | timed_out


def _goes_on(action: FailureAction | None) -> bool:
    return action is not None and action.action in ("continue", "skip")


class _Reach:
    def __init__(self, graph: StepGraph) -> None:
        self._graph = graph
        self._inbound = inbound_edges(graph)
        self._aside = fallback_steps(graph.steps)
        self._possible = [possible_outcomes(step) for step in graph.steps]
        self._choices = self._find_choices()
        self._needs: list[Needs | None] = [_NOTHING] * len(graph.steps)
        self._causes: dict[int, Blocked] = {}
        self._roots: dict[int, int] = {}
        self._behind: dict[int, list[str]] = {}

    def found(self) -> list[Blocked]:
        """What blocks, in the order of the definition."""
        return [self._causes[node]._replace(behind=tuple(self._behind.get(node, ()))) for node in sorted(self._causes)]

    def enter(self, members: list[int]) -> None:
        """Steps that run in circles: all of them can run when one is reached from outside."""
        inside = set(members)
        outer = [edge for node in members for edge in self._inbound[node] if edge.source not in inside]
        if any(self._is_possible(edge) for edge in outer) or any(self._stands_in(node, inside) for node in members):
            return
        if outer:
            self._block(members, outer)
            return
        for node in members:
            self._needs[node] = None
            self._roots[node] = members[0]
        self._cause(members[0], "circle")

    def settle(self, node: int) -> None:
        """A step that runs once at most: whether it can, and what it needs."""
        edges = [edge for edge in self._inbound[node] if edge.source != node]
        step = self._graph.steps[node]
        if step.name in self._aside:
            owners = self._graph.predecessors[node]
            if owners and not edges and all(self._needs[owner] is None for owner in owners):
                self._block([node], ())
            return
        if not edges:
            return
        join = join_of(step)
        possible = [edge for edge in edges if self._is_possible(edge)]
        if not possible or (join == "all" and len(possible) < len(edges)):
            self._block([node], [edge for edge in edges if not self._is_possible(edge)])
        elif join == "all":
            self._needs[node] = self._all_of(node, possible)
        elif isinstance(join, int) and join > 1:
            self._count(node, join, possible)
        else:
            self._needs[node] = self._common(possible)

    def _stands_in(self, node: int, inside: set[int]) -> bool:
        if self._graph.steps[node].name not in self._aside:
            return False
        owners = [owner for owner in self._graph.predecessors[node] if owner not in inside]
        return any(self._needs[owner] is not None for owner in owners)

    # Edges

    def _is_possible(self, edge: Inbound) -> bool:
        return self._needs[edge.source] is not None and bool(self._ways(edge))

    def _ways(self, edge: Inbound) -> int:
        """The outcomes of its source, among those that are possible, that take the edge."""
        by_hand = _SKIPPED if edge.on == "skipped" else 0  # an operator can skip any step
        return edge.outcomes & (self._possible[edge.source] | by_hand)

    def _find_choices(self) -> set[int]:
        """The steps whose end decides between edges: those that run once, with edges that exclude each other."""
        ways: dict[int, set[object]] = {}
        for edges in self._inbound:
            for edge in edges:
                ways.setdefault(edge.source, set()).add(edge.decision or edge.outcomes)
        many = {node for members in self._graph.tangles for node in members}
        steps = self._graph.steps
        return {
            node for node, kinds in ways.items() if len(kinds) > 1 and node not in many and steps[node].join != "each"
        }

    def _needed_by(self, edge: Inbound) -> Needs:
        """What must have happened for the edge to be taken."""
        before = self._needs[edge.source] or _NOTHING
        if edge.source not in self._choices:
            return before
        own: dict[tuple[int, int], int] = {(edge.source, -1): self._ways(edge)}
        if edge.decision is not None:
            own[edge.source, edge.decision[0]] = 1 << edge.decision[1]
        kept = list(before.items())[max(0, len(before) + len(own) - _MOST_NEEDS) :] if before else ()
        return {**dict(kept), **own}

    # Joins

    def _all_of(self, node: int, edges: Sequence[Inbound]) -> Needs | None:
        """What all edges need together; None when they exclude each other."""
        if len(edges) == 1:
            return self._needed_by(edges[0])
        needs: dict[tuple[int, int], int] = {}
        for edge in edges:
            for key, allowed in self._needed_by(edge).items():
                both = needs.get(key, allowed) & allowed
                if not both:
                    against = (one for one in edges if not self._needed_by(one).get(key, allowed) & allowed)
                    self._cause(node, "excluded", (next(against, edges[0]), edge), key[0])
                    return None
                needs[key] = both
        return dict(list(needs.items())[-_MOST_NEEDS:])

    def _common(self, edges: Sequence[Inbound]) -> Needs:
        """What is needed whichever of the edges is taken."""
        needs = self._needed_by(edges[0])
        for edge in edges[1:]:
            if not needs:
                break
            other = self._needed_by(edge)
            needs = {key: allowed | other[key] for key, allowed in needs.items() if key in other}
        return needs

    def _count(self, node: int, wanted: int, edges: Sequence[Inbound]) -> None:
        by_source: dict[int, list[Inbound]] = {}
        for edge in edges:
            by_source.setdefault(edge.source, []).append(edge)
        most = sum(
            max(_together(mine, outcome) for outcome in (_COMPLETED, _FAILED, _TIMED_OUT, _SKIPPED))
            for mine in by_source.values()
        )
        if most < wanted:
            self._needs[node] = None
            if wanted <= len(self._inbound[node]):
                self._cause(node, "too_few", tuple(edges), most)

    # Causes

    def _cause(self, node: int, cause: Cause, edges: tuple[Inbound, ...] = (), at: int = 0) -> None:
        self._causes[node] = Blocked(self._graph.steps[node], cause, edges, at)

    def _block(self, nodes: Sequence[int], edges: Sequence[Inbound]) -> None:
        """None of the edges is ever taken: because of how their sources end, or because those never run themselves."""
        own = tuple(edge for edge in edges if self._needs[edge.source] is not None)
        for node in nodes:
            self._needs[node] = None
        if own:
            self._cause(nodes[0], "edge", own)
            return
        sources = [edge.source for edge in edges] or self._graph.predecessors[nodes[0]]
        root = self._root_of(sources)
        for node in nodes:
            self._roots[node] = root
            self._behind.setdefault(root, []).append(self._graph.steps[node].name)

    def _root_of(self, sources: Sequence[int]) -> int:
        """What blocks the first of the steps that can never run."""
        blocked = next(source for source in sources if self._needs[source] is None)
        return self._roots.get(blocked, blocked)


def _together(edges: Sequence[Inbound], outcome: int) -> int:
    """How many of the edges of one step are taken together when it ends so: of a decision, one."""
    taken = [edge for edge in edges if edge.outcomes & outcome]
    return sum(edge.decision is None for edge in taken) + len({edge.decision[0] for edge in taken if edge.decision})
