"""Graphs at work: a region is one run of a graph, and an instance one run of a step in it.

An execution's steps are its root region. A control construct opens further ones: one for the branch that a condition
chose, one for every item or round of a loop. Which regions are open, and what of them has run, follows from the state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.decider.branches import Branches
from stepwell.decider.graph import Graph, Link, Node
from stepwell.decider.keys import instance_key, round_path

_NO_NAMES: Final[Mapping[str, Any]] = {}


class Instance:
    """One run of a step: due, begun or waiting.

    Attributes:
        regions: those that it has opened, by path, while it has not ended.
        failure: the first error of a region of it, while others are still at work.
        failed_round: of a loop, in which round that was.
        in_line: it is due, and waits for a place to start.
    """

    __slots__ = ("failed_round", "failure", "in_line", "key", "node", "region", "regions", "visit")

    def __init__(self, node: Node, region: Region, visit: int = 1) -> None:
        self.node = node
        self.region = region
        self.visit = visit
        self.key = node.name if not region.path and visit == 1 else instance_key(node.name, region.path, visit)
        self.regions: dict[str, Region] | None = None
        self.failure: ErrorInfo | None = None
        self.failed_round = 0
        self.in_line = False

    def inner_path(self, attempt: int = 1, index: int | None = None) -> str:
        """The path of a region that it opens in that attempt, for that round."""
        return round_path(self.region.path, self.visit, attempt, index)


class Arrivals:
    """How many of a step's inbound edges are decided, and how; and whether its join has spoken.

    Attributes:
        delay: the longest that one of the taken edges asks to wait, in microseconds.
        decided: where steps run more than once, the edges that are decided, with whether they are taken.
        past: those that were decided before this round began, by steps that are not in it: they count no more.
    """

    __slots__ = ("dead", "decided", "delay", "past", "settled", "taken")

    def __init__(self, decided: dict[Link, bool] | None = None, past: Collection[Link] = ()) -> None:
        self.decided = decided
        self.past = past
        self.taken = 0
        self.dead = 0
        self.delay = 0
        self.settled = False

    def count(self, link: Link, taken: bool) -> bool:
        """Count an edge that is decided; False when that changes nothing.

        A step that runs more than once decides its edges more than once: each counts once, and as taken from the first
        time on that it is.
        """
        if self.decided is not None:
            before = self.decided.get(link)
            if before is not None and (before or not taken):
                return False
            self.decided[link] = taken
            self.past = [other for other in self.past if other is not link]
            self.dead -= before is not None
        self.taken += taken
        self.dead += not taken
        return True


class Rounds:
    """What is counted where steps can run more than once: in a graph with cycles or `join: each`.

    Attributes:
        visits: how often each step was made due.
        running: how many instances of each step are due or running; those of a tangle are counted together.
        undecided: of each tangle, how many edges from outside are still undecided.
        entered: the edges from outside into tangles that are decided.
        closed: the tangles of which nothing can run any more.
        taken: edges that were taken at least once although their source may run again.
        began: of each loop that has begun anew, as the how many-th beginning it last did.
        since: of each instance (name, visit), how many beginnings there had been when it became due, or what led to it.
    """

    __slots__ = ("began", "beginnings", "closed", "entered", "running", "since", "taken", "undecided", "visits")

    def __init__(self, graph: Graph) -> None:
        self.visits: dict[str, int] = {}
        self.running: dict[str | frozenset[str], int] = {}
        self.undecided = dict(graph.entering)
        self.entered = set[Link]()
        self.closed = set[frozenset[str]]()
        self.taken = set[Link]()
        self.began: dict[frozenset[str], int] = {}
        self.beginnings = 0
        self.since: dict[tuple[str, int], int] = {}


class Region:
    """One run of a graph.

    Attributes:
        path: sets its instances apart from those of other runs of the graph; empty for the root.
        owner: the instance that opened it, or None.
        names: what its steps' expressions see beside the usual names.
        open: its instances that have begun and not ended, by key.
        due: how many of its instances are in line to begin.
        stopped: nothing of it begins any more.
        failure: the first error in it that nothing inside handled.
        holds_on: a failure in it does not stop the rest.
        branches: what is counted where they are separate, else None.
        watched: what opened it looks at it whenever a step in it has ended.
    """

    __slots__ = (
        "arrivals",
        "branches",
        "due",
        "failure",
        "graph",
        "holds_on",
        "names",
        "open",
        "owner",
        "path",
        "rounds",
        "stopped",
        "watched",
    )

    def __init__(
        self,
        graph: Graph,
        owner: Instance | None = None,
        path: str = "",
        names: Mapping[str, Any] | None = None,
        *,
        holds_on: bool = False,
    ) -> None:
        self.graph = graph
        self.owner = owner
        self.path = path
        outer = owner.region.names if owner is not None else _NO_NAMES
        self.names: Mapping[str, Any] = {**outer, **names} if names else outer
        self.holds_on = holds_on
        self.watched = False
        self.open: dict[str, Instance] = {}
        self.due = 0
        self.stopped = False
        self.failure: ErrorInfo | None = None
        self.arrivals: dict[str, Arrivals] = {}
        self.rounds = Rounds(graph) if graph.is_cyclic else None
        self.branches = Branches(self.rounds.visits) if graph.separate and self.rounds is not None else None

    @property
    def is_through(self) -> bool:
        """Nothing of it is running, waiting or due."""
        return not self.open and not self.due

    def visit_of(self, name: str) -> int:
        """The number of the latest visit of a step here."""
        return self.rounds.visits.get(name, 1) if self.rounds is not None else 1

    def key_of(self, name: str) -> str:
        """The key of the latest instance of a step here."""
        visit = self.visit_of(name)
        return name if not self.path and visit == 1 else instance_key(name, self.path, visit)
