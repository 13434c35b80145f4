"""What the joins of steps say, worked out anew from all of their edges: a part of the witness."""

from __future__ import annotations

from collections.abc import Mapping

from stepwell.execution.history import StepCancelled, StepCompleted, StepSkipped
from tests.simulation.book import Line, Way
from tests.simulation.things import Ended, Thing, parts


class Verdicts:
    """Says of a step whether its edges let it run.

    Args:
        book: where steps stand, by name; it may grow.
        things: what has happened, by key; it changes.

    Attributes:
        loose: an operator has had steps run again; less is known of how often edges were taken.
    """

    def __init__(self, book: Mapping[str, Line], things: Mapping[str, Thing]) -> None:
        self._book = book
        self._things = things
        self.loose = False

    def of(self, thing: Thing, line: Line) -> str:
        """What the join of a step says, from all its edges: `run`, `dead` or `open`."""
        if not line.inbound:
            return "run"
        edges = [self._edge(way, thing) for way in line.inbound]
        if line.winding == "cycle" or line.join == "each":
            return self._loose_verdict(thing, line, edges)
        taken, dead, count = edges.count("taken"), edges.count("dead"), len(edges)
        if line.join == "all":
            return "run" if taken == count else ("dead" if dead else "open")
        if line.join == "sync":
            return "open" if taken + dead < count else ("run" if taken else "dead")
        wanted = 1 if line.join == "any" else int(line.join)
        return "run" if taken >= wanted else ("dead" if count - dead < wanted else "open")

    def _loose_verdict(self, thing: Thing, line: Line, edges: list[str]) -> str:
        """It runs at most as often as edges were taken; it may be dead when too few ever were."""
        wanted = {"all": len(edges), "sync": 1, "any": 1, "each": 1}.get(line.join, line.join)
        if line.winding != "cycle" and edges.count("taken") < wanted and thing.visit == 1:
            return "dead"
        times = sum(self._times_taken(way, thing) for way in line.inbound)
        return "run" if times >= thing.visit or (times and self.loose) else "dead"

    def _sources(self, way: Way, thing: Thing) -> list[Thing]:
        """The runs of an edge's source beside this step."""
        return [one for one in self._things.values() if one.name == way.source and one.path == thing.path]

    def _times_taken(self, way: Way, thing: Thing) -> int:
        return sum(one.end is not None and self._is_taken(way, one.end) for one in self._sources(way, thing))

    def _edge(self, way: Way, thing: Thing) -> str:
        """An edge whose source runs more than once is taken when one of its runs takes it."""
        if self._times_taken(way, thing):
            return "taken"
        return "dead" if any(one.end is not None for one in self._sources(way, thing)) else "open"

    def _is_taken(self, way: Way, end: Ended) -> bool:
        if way.number is not None and way.number not in getattr(end, "taken", ()):
            return False
        return way.on in self._outcomes(end)

    def _outcomes(self, end: Ended) -> set[str]:
        if isinstance(end, StepCompleted):
            return {"satisfied", "success", "complete"}
        if isinstance(end, StepSkipped):
            return {"satisfied", "skipped"} if end.reason in ("condition", "operator") else set()
        if isinstance(end, StepCancelled):
            return set()
        if end.handled == "fallback":
            return {"satisfied", "success", "complete"}
        continued = {"satisfied"} if end.handled == "continue" else set[str]()
        if end.error.type == "max_visits":
            return continued
        if end.error.type != "timeout":
            return {"failure", "complete"} | continued
        name = parts(end.step)[0]
        has_timeout_edge = any(
            (way.source, way.on) == (name, "timeout") for line in self._book.values() for way in line.inbound
        )
        return {"timeout" if has_timeout_edge else "failure", "complete"} | continued
