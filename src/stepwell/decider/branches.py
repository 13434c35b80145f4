"""Counting where branches are separate (`config.branches: separate`): what follows from what, and which variables it
sees.

A step to which several edges lead, and that does not join them, runs once for each of them, and so does everything
behind it: it begins a *lane*. A join counts the steps of its own lane that lead to it. What an edge publishes is seen
by what follows from it, and by nothing else.

No path is dead before the end: only when nothing is running or due any more is it known what was never reached, and
which joins were reached by too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stepwell.decider.keys import instance_key
from stepwell.execution.state import published_key
from stepwell.execution.status import StepStatus

if TYPE_CHECKING:
    from stepwell.decider.graph import Graph, Link, Node, PushedEdge
    from stepwell.decider.region import Region
    from stepwell.execution.state import ExecutionState, StepState

Lane = tuple[str, ...]
"""The instances that began it, from the outermost; empty where none did."""

Following = tuple["Node", Literal["run", "dead", "unreached"], int, int]
"""As `joins.Outcome`."""


class Way(NamedTuple):
    """How an instance was reached: its lane, and the keys of what was published on the way, as it came."""

    lane: Lane = ()
    published: tuple[str, ...] = ()


class _Waiting:
    """A join in one lane: by which steps it was reached, and what they bring.

    It goes on once. Only steps that run in circles, and are counted anew, have it go on again.
    """

    __slots__ = ("counted", "delay", "published", "settled", "sources")

    def __init__(self) -> None:
        self.sources: set[str] = set()
        self.counted: set[str] = set()
        self.published: tuple[str, ...] = ()
        self.delay = 0
        self.settled = False

    def reach(self, source: str, published: tuple[str, ...], delay: int, wanted: int) -> bool:
        """A step has come to it: whether it goes on."""
        is_late = self.settled and source not in self.counted
        self.sources.add(source)
        self.counted.add(source)
        if is_late:
            return False
        self.published = _joined(self.published, published)
        self.delay = max(self.delay, delay)
        if len(self.sources) < wanted:
            return False
        self.settled = True
        return True


class Branches:
    """What is counted in a region whose branches are separate.

    Attributes:
        ways: of every instance that was made due; instances: the same by the names of their steps.
        ended: by instance that has ended, how many had been made due by then.
        missed: the joins that were reached by too few steps.
        running: how many instances are due or running.
    """

    __slots__ = ("_merged", "_waiting", "ended", "instances", "missed", "running", "visits", "ways")

    def __init__(self, visits: dict[str, int]) -> None:
        self.visits = visits
        self.ways: dict[str, Way] = {}
        self.instances: dict[str, list[str]] = {}
        self.ended: dict[str, int] = {}
        self.missed: dict[str, tuple[int, int]] = {}
        self.running = 0
        self._waiting: dict[tuple[str, Lane], _Waiting] = {}
        self._merged: dict[tuple[str, ...], _Together] = {}

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

    def begin_again(self, name: str, lane: Lane) -> None:
        """A step runs once more: the joins that it had come to wait for it again."""
        for (_, of), waiting in self._waiting.items():
            if of == lane:
                waiting.sources.discard(name)

    def merged(
        self, published: tuple[str, ...], first: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The variables with all that was published on a way, in order: a mapping goes into the mapping that was there
        before, key by key; anything else takes the place of what was there. What has ended publishes nothing more."""
        known = self._merged.get(published)
        if known is None:
            known = self._merged[published] = _put_together(published, values)
        found = dict(first)
        for name, value in known.alone.items():
            if name in known.anew:
                found[name] = value
            else:
                _merge(found, {name: value})
        return found

    def gathered(
        self, ways: Sequence[tuple[str, ...]], first: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The variables with all that was published on several ways, each put together by itself before."""
        found = self.merged(ways[0] if ways else (), first, values)
        for way in ways[1:]:
            _merge(found, _put_together(way, values).alone)
        return found


class _Together(NamedTuple):
    """What was published on a way, put together; `anew`: what does not go into what was there before."""

    alone: dict[str, Any]
    anew: frozenset[str]


def _put_together(published: tuple[str, ...], values: Mapping[str, Mapping[str, Any]]) -> _Together:
    alone: dict[str, Any] = {}
    anew: set[str] = set()
    for key in published:
        found = values.get(key, _NOTHING)
        _merge(alone, found)
        anew.update(name for name, value in found.items() if not isinstance(value, dict))
    return _Together(alone, frozenset(anew))


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Put values into a mapping; what was in it is left as it was for whoever else has it."""
    for name, value in values.items():
        before = into.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = dict(before)
            _merge(inner, value)
            into[name] = inner
        else:
            into[name] = value


_ENDED_WAYS: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.COMPENSATED})
_NOTHING: Final[Mapping[str, Any]] = {}
_NEVER: Final = 2**63


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
    branches.ended[key] = len(branches.ways)
    way = branches.ways.get(key, Way())
    if node.sets_variables:
        way = Way(way.lane, (*way.published, key))
    branches.running -= 1
    for links in _by_target(taken).values():
        yield from _lead_to(region, branches, links, [_along(way, key, link) for link in links])
    yield from rest(region)


def final(region: Region, state: ExecutionState) -> list[tuple[str, ...]]:
    """What was published on each way that has ended: as its last step began, or its step came to an edge where it ends.

    A way ends in a step that leads nowhere, and along an edge that does, whatever else follows from its step. When the
    execution has failed, it ends in whatever ended since; and in what ended last in any case.
    """
    branches = _counted(region)
    nodes = {key: region.graph.nodes[name] for name, keys in branches.instances.items() for key in keys}
    ended = {key: step for key in branches.ways if (step := state.steps.get(key)) and step.status in _ENDED_WAYS}
    failed = state.steps.get(state.failed_step or "")
    last = max((step.order for key, step in ended.items() if key in nodes), default=0)
    over = min(last, failed.order if failed is not None else _NEVER)
    ways: list[tuple[int, int, tuple[str, ...]]] = []
    for number, key in enumerate(branches.ways, 1):
        if key not in ended or key not in nodes or (nodes[key].step.type == "fail" and nodes[key].inbound):
            continue  # what led to a step that fails counts where it did
        node, step, way = nodes[key], ended[key], branches.ways[key].published
        taken = {edge.position: edge for edge in node.pushed if _is_taken(edge, step)}
        failing = {link.position for link in node.links if link.target.step.type == "fail"}.intersection(taken)
        if step.order >= over or not node.pushed or failing:
            ways.append((number, 0, way))
        # Of one step those come first that leave its failure as it is, then those that fail, then the others.
        ending = [edge for edge in taken.values() if edge.ends or edge.position in failing]
        for edge in sorted(ending, key=lambda each: (each.handles, each.position not in failing)):
            ways.append((branches.ended.get(key, number), step.order, (*way, published_key(key, edge.position))))  # noqa: PERF401
    return [way for _, _, way in sorted(ways, key=lambda each: each[:2])]


def _is_taken(edge: PushedEdge, step: StepState) -> bool:
    """Whether an edge was taken when its step ended so."""
    if edge.number is not None:
        return edge.number in step.taken
    return edge.on == "complete" or edge.on == ("failure" if step.status is StepStatus.FAILED else "success")


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


def _lead_to(region: Region, branches: Branches, links: list[Link], ways: list[Way]) -> Iterator[Following]:
    """What follows from these edges of the instance `source`, all to the same step, being taken."""
    target = links[0].target
    if target.join == "each" and target.tangle is None:
        for link, way in zip(links, ways, strict=True):
            yield target, "run", _split(region, branches, target, way), link.delay
        return
    published: tuple[str, ...] = ()
    for way in ways:
        published = _joined(published, way.published)
    lane, delay = ways[0].lane, max(link.delay for link in links)
    body = next((link.body for link in links if link.body is not None), None)
    if body is not None:
        branches.forget(body, lane)
    if body is not None or not _is_join(target):
        yield target, "run", _reach(region, branches, target, Way(lane, published)), delay
        return
    waiting = branches.waiting(target, lane)
    if waiting.reach(links[0].source.name, published, delay, _wanted(target)):
        yield target, "run", _reach(region, branches, target, Way(lane, waiting.published)), waiting.delay
        waiting.published, waiting.delay = (), 0


def _is_join(node: Node) -> bool:
    return node.join == "all" or isinstance(node.join, int)


def _wanted(node: Node) -> int:
    """From how many steps a join waits to be reached; no join waits for an edge that leads back."""
    return node.join if isinstance(node.join, int) else node.sources


def _split(region: Region, branches: Branches, node: Node, way: Way) -> int:
    visit = branches.visits.get(node.name, 0) + 1
    lane = (*way.lane, own_key(region, node, visit))
    return _reach(region, branches, node, Way(lane, way.published))


def _reach(region: Region, branches: Branches, node: Node, way: Way) -> int:
    visit = branches.visits[node.name] = branches.visits.get(node.name, 0) + 1
    key = own_key(region, node, visit)
    branches.ways[key] = way
    branches.instances.setdefault(node.name, []).append(key)
    branches.running += 1
    if visit > 1:
        branches.begin_again(node.name, way.lane)
    return visit


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Both, each key where it comes last."""
    if not one:
        return other
    later = frozenset(other)
    return tuple(key for key in one if key not in later) + other


def entries_of(graph: Graph) -> list[Node]:
    """The steps that begin a graph: those that nothing leads to, edges that lead back among it.

    Of how many steps an edge leads to each step is noted with it; of those that lead back, and of steps that nothing
    ever starts, none counts.
    """
    led_to = {link.target.name for node in graph.nodes.values() for link in node.links}
    entries = [node for node in graph.nodes.values() if node.name not in led_to]
    leading: dict[str, set[str]] = {}
    reached, pending = set(entries), list(entries)
    while pending:
        node = pending.pop()
        for link in node.links:
            if link.body is None:
                leading.setdefault(link.target.name, set()).add(node.name)
            if link.target not in reached:
                reached.add(link.target)
                pending.append(link.target)
    for name, names in leading.items():
        graph.nodes[name].sources = len(names)
    return entries
