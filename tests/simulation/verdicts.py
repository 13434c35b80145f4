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
        separate: the branches of the outermost steps are.
        loose: an operator has had steps run again; less is known of how often edges were taken.
    """

    def __init__(self, book: Mapping[str, Line], things: Mapping[str, Thing], *, separate: bool = False) -> None:
        self._book = book
        self._things = things
        self.loose = False
        self.separate = separate

    def of(self, thing: Thing, line: Line) -> str:
        """What the join of a step says, from all its edges: `run`, `dead` or `open`."""
        if self.is_separate(thing):
            return self._separate_verdict(thing, line)
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

    def is_separate(self, thing: Thing) -> bool:
        """Whether branches are separate where the step stands."""
        return self.separate and thing.owner is None and not thing.path

    def _separate_verdict(self, thing: Thing, line: Line) -> str:
        """It runs at most as often as so many steps as its join waits for have led to it; once when nothing can."""
        if not line.inbound:
            return "run" if thing.visit == 1 or self.loose else "dead"
        led = self.times_led(thing, line)
        wanted = line.step.join if isinstance(line.step.join, int) else 1
        if line.join == "all" and line.winding != "cycle" and line.step.join is not None:
            wanted = len({way.source for way in line.inbound})
        wanted = 1 if line.winding == "cycle" else wanted  # an edge that leads back is waited for by no join
        return "run" if led >= wanted * thing.visit or (led and self.loose) else "dead"

    def times_led(self, thing: Thing, line: Line) -> int:
        """How often runs of other steps have led to it: of one that starts anew with each edge, by each edge."""
        each = line.winding != "cycle" and (line.step.join == "each" or (line.step.join is None and starts_lane(line)))
        led = 0
        for source in {way.source: None for way in line.inbound}:
            ways = [way for way in line.inbound if way.source == source]
            for run in self._sources(ways[0], thing):
                taken = sum(run.end is not None and self._is_taken(way, run.end) for way in ways)
                led += taken if each else min(taken, 1)
        return led

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


def starts_lane(line: Line) -> bool:
    """Whether a step without a join of its own runs once for each edge, where branches are separate."""
    return not line.step.depends_on and len(line.inbound) > 1
