"""Counting where branches are separate (`config.branches: separate`): what follows from what, and which variables it
sees.

A step to which several edges lead, and that does not join them, runs once for each of them, and so does everything
behind it: it begins a *lane*. A join counts the steps of its own lane that lead to it. What an edge publishes is seen
by what follows from it, and by nothing else.

No path is dead before the end: only when nothing is running or due any more is it known what was never reached, and
which joins were reached by too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stepwell.decider.keys import instance_key
from stepwell.execution.state import published_key
from stepwell.execution.status import StepStatus

if TYPE_CHECKING:
    from stepwell.decider.graph import Graph, Link, Node
    from stepwell.decider.region import Region
    from stepwell.execution.state import ExecutionState

Lane = tuple[str, ...]
"""The instances that began it, from the outermost; empty where none did."""

Following = tuple["Node", Literal["run", "dead", "unreached"], int, int]
"""As `joins.Outcome`."""


class Way(NamedTuple):
    """How an instance was reached: its lane, and the keys of what was published on the way, as it came."""

    lane: Lane = ()
    published: tuple[str, ...] = ()


class _Waiting:
    """A join in one lane: by which steps it was reached, and what they bring."""

    __slots__ = ("delay", "instances", "published", "settled", "sources")

    def __init__(self) -> None:
        self.instances: list[str] = []
        self.sources: set[str] = set()
        self.published: tuple[str, ...] = ()
        self.delay = 0
        self.settled = False


class Branches:
    """What is counted in a region whose branches are separate.

    Attributes:
        ways: of every instance that was made due; instances: the same by the names of their steps.
        followers: by instance, those that its edges have made due.
        missed: the joins that were reached by too few steps.
        running: how many instances are due or running.
    """

    __slots__ = ("_merged", "_waiting", "followers", "instances", "missed", "running", "visits", "ways")

    def __init__(self, visits: dict[str, int]) -> None:
        self.visits = visits
        self.ways: dict[str, Way] = {}
        self.instances: dict[str, list[str]] = {}
        self.followers: dict[str, list[str]] = {}
        self.missed: dict[str, tuple[int, int]] = {}
        self.running = 0
        self._waiting: dict[tuple[str, Lane], _Waiting] = {}
        self._merged: dict[tuple[str, ...], dict[str, Any]] = {}

    def waiting(self, node: Node, lane: Lane) -> _Waiting:
        """The join of that step in that lane."""
        return self._waiting.setdefault((node.name, lane), _Waiting())

    def waits(self) -> Iterable[tuple[str, _Waiting]]:
        """Every join that was reached."""
        return [(name, waiting) for (name, _), waiting in self._waiting.items()]

    def seen_from(self, reader: str, name: str) -> str | None:
        """The latest instance of a step in the lane of the reader, or in the innermost one around that has any."""
        lane = self.ways[reader].lane if reader in self.ways else ()
        found = [key for key in self.instances.get(name, ()) if self.ways[key].lane == lane[: len(self.ways[key].lane)]]
        return max(reversed(found), key=lambda key: len(self.ways[key].lane), default=None)

    def forget(self, names: frozenset[str], lane: Lane) -> None:
        """A loop begins anew: the joins in it wait again."""
        for name in names:
            self._waiting.pop((name, lane), None)

    def merged(
        self, published: tuple[str, ...], first: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The variables with all that was published on a way, in order. What has ended publishes nothing more."""
        found = self._merged.get(published)
        if found is None:
            found = {}
            for key in published:
                found.update(values.get(key, _NOTHING))
            self._merged[published] = found
        return {**first, **found}


_ENDED_WAYS: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.COMPENSATED})
_NOTHING: Final[Mapping[str, Any]] = {}


def own_key(region: Region, node: Node, visit: int) -> str:
    """Under which the state keeps what an instance publishes itself."""
    return node.name if not region.path and visit == 1 else instance_key(node.name, region.path, visit)


def begin(region: Region, node: Node) -> int:
    """A step that nothing leads to is due: the number of its visit."""
    return _reach(region, _counted(region), node, Way())


def note(region: Region, node: Node, visit: int) -> None:
    """A step has run, or counts as if, that nothing has made due: an operator had it so."""
    branches = _counted(region)
    branches.visits[node.name] = max(visit, branches.visits.get(node.name, 0))
    branches.ways.setdefault(own_key(region, node, visit), Way())
    branches.running += 1


def follow(region: Region, node: Node, visit: int, taken: list[Link]) -> Iterator[Following]:
    """What follows from the end of an instance of which these edges are taken."""
    branches = _counted(region)
    key = own_key(region, node, visit)
    way = branches.ways.get(key, Way())
    if node.sets_variables:
        way = Way(way.lane, (*way.published, key))
    branches.running -= 1
    for links in _by_target(taken).values():
        yield from _lead_to(region, branches, key, links, [_along(way, key, link) for link in links])
    yield from rest(region)


def final(region: Region, state: ExecutionState) -> tuple[str, ...]:
    """What was published on the ways that have ended, in the order in which their last instances did. What is published
    along an edge that leads nowhere is the end of a way, whatever else follows from the instance."""
    branches = _counted(region)
    own: dict[str, list[str]] = {}
    for each in state.published:
        own.setdefault(each.partition(">")[0], []).append(each)
    names = {key: name for name, keys in branches.instances.items() for key in keys}
    ended: list[tuple[int, str, tuple[str, ...]]] = []
    for key, way in branches.ways.items():
        step = state.steps.get(key)
        if step is None or step.status not in _ENDED_WAYS:
            continue
        published = (*way.published, *own.get(key, ()))
        if any(_has_begun(state, each) for each in branches.followers.get(key, ())):
            alone = _leading_nowhere(region.graph.nodes[names[key]], key) if key in names and key in own else ()
            published = tuple(each for each in own.get(key, ()) if each in alone)
        ended.append((step.order, key, published))
    return tuple(dict.fromkeys(each for _, _, published in sorted(ended) for each in published))


def _leading_nowhere(node: Node, key: str) -> frozenset[str]:
    """The keys of what an instance publishes along its edges that lead nowhere."""
    return frozenset(published_key(key, edge.position) for edge in node.pushed if edge.ends)


def _has_begun(state: ExecutionState, key: str) -> bool:
    step = state.steps.get(key)
    return step is not None and step.status is not StepStatus.CANCELLED


def rest(region: Region) -> Iterator[Following]:
    """When nothing is running or due: what was never reached, and what was reached by too few."""
    branches = _counted(region)
    if branches.running:
        return
    for name, waiting in branches.waits():
        node = region.graph.nodes[name]
        if not waiting.settled and name not in branches.missed:
            branches.missed[name] = (len(waiting.sources), _wanted(node))
            yield node, "dead", 1, 0
    for node in region.graph.nodes.values():
        if node.name not in branches.visits and node.name not in branches.missed:
            yield node, "unreached", 1, 0


def withdraw(region: Region) -> Iterator[Following]:
    """An instance that was made due will not run after all."""
    _counted(region).running -= 1
    yield from rest(region)


def _counted(region: Region) -> Branches:
    assert region.branches is not None, "asked only where branches are separate"
    return region.branches


def _by_target(taken: list[Link]) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = {}
    for link in taken:
        found.setdefault(link.target.name, []).append(link)
    return found


def _along(way: Way, key: str, link: Link) -> Way:
    """The way that goes on along an edge."""
    return Way(way.lane, (*way.published, published_key(key, link.position))) if link.publishes else way


def _lead_to(
    region: Region, branches: Branches, source: str, links: list[Link], ways: list[Way]
) -> Iterator[Following]:
    """What follows from these edges of the instance `source`, all to the same step, being taken."""
    target = links[0].target
    if target.join == "each" and target.tangle is None:
        for link, way in zip(links, ways, strict=True):
            yield target, "run", _split(region, branches, target, way, source), link.delay
        return
    published: tuple[str, ...] = ()
    for way in ways:
        published = _joined(published, way.published)
    lane, delay = ways[0].lane, max(link.delay for link in links)
    body = next((link.body for link in links if link.body is not None), None)
    if body is not None:
        branches.forget(body, lane)
    if body is not None or not _is_join(target):
        yield target, "run", _reach(region, branches, target, Way(lane, published), [source]), delay
        return
    waiting = branches.waiting(target, lane)
    waiting.sources.add(links[0].source.name)
    waiting.instances.append(source)
    waiting.published = _joined(waiting.published, published)
    waiting.delay = max(waiting.delay, delay)
    if not waiting.settled and len(waiting.sources) >= _wanted(target):
        waiting.settled = True
        reached = _reach(region, branches, target, Way(lane, waiting.published), waiting.instances)
        yield target, "run", reached, waiting.delay


def _is_join(node: Node) -> bool:
    return node.join == "all" or isinstance(node.join, int)


def _wanted(node: Node) -> int:
    """From how many steps a join waits to be reached; no join waits for an edge that leads back."""
    return node.join if isinstance(node.join, int) else node.sources


def _split(region: Region, branches: Branches, node: Node, way: Way, source: str) -> int:
    visit = branches.visits.get(node.name, 0) + 1
    lane = (*way.lane, own_key(region, node, visit))
    return _reach(region, branches, node, Way(lane, way.published), [source])


def _reach(region: Region, branches: Branches, node: Node, way: Way, sources: Iterable[str] = ()) -> int:
    visit = branches.visits[node.name] = branches.visits.get(node.name, 0) + 1
    key = own_key(region, node, visit)
    branches.ways[key] = way
    branches.instances.setdefault(node.name, []).append(key)
    branches.running += 1
    for source in sources:
        branches.followers.setdefault(source, []).append(key)
    return visit


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Both, each key once."""
    if not one:
        return other
    known = frozenset(one)
    return one + tuple(key for key in other if key not in known)


def sources_of(graph: Graph) -> None:
    """Note for every step of how many steps an edge leads to it; of those that lead back none counts."""
    leading: dict[str, set[str]] = {}
    for node in graph.nodes.values():
        for link in node.links:
            if link.body is None:
                leading.setdefault(link.target.name, set()).add(node.name)
    for name, names in leading.items():
        graph.nodes[name].sources = len(names)
