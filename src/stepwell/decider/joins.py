"""What the end of a step means for those that wait for it: pure counting, the same when it happens and when a history
is folded again. `advance` turns what is counted into what happens.

Every edge is (source, predicate, target). When the source ends, each of its edges is taken or dead, and deadness goes
on from step to step (dead-path elimination, as in WS-BPEL 2.0, 11.6.1). Where steps run in circles, an edge that leads
back begins its loop anew when it is taken, and is nothing when it is not; an edge that leads out of a tangle of cycles
is dead only when nothing in the tangle can run any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from stepwell.base.errors import ErrorInfo
from stepwell.decider import branches
from stepwell.decider.branches import begin, follow
from stepwell.decider.graph import Link, Node
from stepwell.decider.region import Arrivals, Region, Rounds
from stepwell.execution.state import StepState
from stepwell.execution.status import StepStatus


class Outcome(NamedTuple):
    """What a step's join says: it is due (`visit`, after `delay` microseconds), or its path is dead.

    `said`: `run`; `dead`, which is recorded and goes on; `passed_by`: dead for this round, which goes on and is not
    recorded; `unreached`: no round ever came to it, which is recorded and has gone on already.
    """

    node: Node
    said: Literal["run", "dead", "passed_by", "unreached"]
    visit: int = 1
    delay: int = 0


def beginning(region: Region, delay: int = 0) -> Iterator[Outcome]:
    """The steps that nothing leads to."""
    for node in region.graph.entries:
        yield _run(region, node, delay) if region.branches is None else Outcome(node, "run", begin(region, node), delay)


def after_end(region: Region, node: Node, step: StepState, visit: int) -> Iterator[Outcome]:
    """What follows from the end of a step."""
    if region.rounds is not None:
        yield from after_end_again(region, region.rounds, node, step, visit)
        return
    for link in node.links:
        yield from after_link(region, link, step)


def after_link(region: Region, link: Link, step: StepState) -> Iterator[Outcome]:
    """What follows for one edge from the end of a step, where no step runs more than once."""
    if link.on != "fallback" or not _stood_in(link, step):
        outcome = _count(region, link, is_taken(link, step))
        if outcome is not None:
            yield outcome


def after_end_again(region: Region, rounds: Rounds, node: Node, step: StepState, visit: int) -> Iterator[Outcome]:
    """What follows from the end of a step where steps may run more than once."""
    if region.branches is not None:
        taken = [link for link in node.links if link.on != "fallback" and is_taken(link, step)]
        yield from (Outcome(*each) for each in follow(region, node, visit, taken))
        return
    rounds.running[node.tangle or node.name] -= 1
    since = rounds.since.get((node.name, visit), rounds.beginnings)
    for link in node.links:
        if (link.on == "fallback" and _stood_in(link, step)) or _is_of_before(rounds, link, since):
            continue
        for outcome in _count_again(region, rounds, link, is_taken(link, step)):
            if outcome.said == "run" and outcome.node.waits_for_one and link.body is None:
                rounds.since[outcome.node.name, outcome.visit] = since
            yield outcome
    yield from _close(region, rounds, node)


def _is_of_before(rounds: Rounds, link: Link, since: int) -> bool:
    """Whether the edge leads to a join of a round that began after what led to it: the join has gone on without it.

    A step that waits for nothing else is not such a join: it runs in whatever round.
    """
    if not rounds.began or link.target.waits_for_one or link.target.join == "each":
        return False
    if link.body is not None or link.leaves is not None:
        return False
    names = {link.source.name, link.target.name}
    return any(since < beginning and names <= body for body, beginning in rounds.began.items())


def after_fallback(region: Region, node: Node, name: str) -> Iterator[Outcome]:
    """The step `name` is to stand in for this one, which has failed."""
    for link in node.links:
        if link.on == "fallback" and link.target.name == name:
            if region.rounds is not None:
                yield from _stand_in_again(region, region.rounds, link)
            else:
                outcome = _count(region, link, taken=True)
                if outcome is not None:
                    yield outcome


def _stand_in_again(region: Region, rounds: Rounds, link: Link) -> Iterator[Outcome]:
    """The same, where steps may run more than once: the stand-in does each time."""
    if _is_decided_at_last(link):
        rounds.taken.add(link)
        yield _run(region, link.target, link.delay)
    else:
        yield from _decided(region, rounds, link, taken=True)


def withdraw(region: Region, node: Node) -> Iterator[Outcome]:
    """A step that was made due will not run after all."""
    if region.branches is not None:
        yield from (Outcome(*each) for each in branches.withdraw(region))
        return
    if region.rounds is not None:
        region.rounds.running[node.tangle or node.name] -= 1
        yield from _close(region, region.rounds, node)


def note_unasked(region: Region, node: Node, visit: int) -> None:
    """A step has run, or counts as if, that no join has made due: an operator had it so."""
    rounds = region.rounds
    if region.branches is not None:
        branches.note(region, node, visit)
    elif rounds is not None:
        rounds.visits[node.name] = max(visit, rounds.visits.get(node.name, 0))
        what = node.tangle or node.name
        rounds.running[what] = rounds.running.get(what, 0) + 1


def keep_open(region: Region, node: Node, by: int) -> None:
    """Count an instance as running (1) until its end is counted (-1): whatever made it due, nothing that waits until
    the step cannot run any more was over before."""
    rounds = region.rounds
    if region.branches is not None:
        region.branches.running += by
    elif rounds is not None:
        what = node.tangle or node.name
        rounds.running[what] = rounds.running.get(what, 0) + by


def after_dead(region: Region, node: Node) -> Iterator[Outcome]:
    """What follows from the path of a step being dead."""
    if region.branches is not None:
        return  # nothing: there no path is dead before the end
    rounds = region.rounds
    if rounds is not None and node.join == "each":
        _arrivals(region, node).settled = True  # what leads to it later changes nothing any more
    for link in node.links:
        if rounds is None:
            outcome = _count(region, link, taken=False)
            if outcome is not None:
                yield outcome
        elif link.leaves is None and link.body is None:
            yield from _decided(region, rounds, link, taken=False)
    if rounds is not None and node.tangle is not None:
        yield from _close_tangle(region, rounds, node.tangle)


def after_passing(region: Region, node: Node) -> Iterator[Outcome]:
    """What follows from a step being passed by in this round."""
    note_passed(region, node)
    yield from after_dead(region, node)


def note_passed(region: Region, node: Node) -> None:
    """It is known what follows from a step being passed by; see `_dead`."""
    assert region.rounds is not None, "only in circles are steps passed by"
    assert node.tangle is not None, "only in circles are steps passed by"
    region.rounds.running[node.tangle] -= 1


def _stood_in(link: Link, step: StepState) -> bool:
    """Whether the edge was taken before its source ended: its target stood in for it."""
    if step.block != "fallback" or step.error is None:
        return False
    fallback = link.source.fallback_for(step.error.type)
    return fallback is not None and fallback.step == link.target.name


_COMPLETED: Final = StepStatus.COMPLETED
_GOOD: Final = frozenset({"satisfied", "success", "complete"})
"""The edges that are taken when a step ended well."""


def is_in_vain(region: Region, node: Node) -> bool:
    """Whether a join that said `dead` got some of the edges that it waits for. That is a failure; where nothing leads
    to a join any more its path is dead, like any."""
    if region.branches is not None:
        return node.name in region.branches.missed
    arrivals = region.arrivals.get(node.name)
    return isinstance(node.join, int) and arrivals is not None and arrivals.taken > 0


def unreachable(region: Region, node: Node) -> ErrorInfo:
    """The error of a join that waits for more edges than can still be taken."""
    if region.branches is not None:
        reached, wanted = region.branches.missed[node.name]
        message = f"step {node.name!r} waits for {wanted} steps, and was reached by {reached}"
        return ErrorInfo("join_unsatisfiable", message)
    arrivals = region.arrivals.get(node.name)
    left = node.inbound - (arrivals.dead if arrivals is not None else node.inbound)
    message = f"step {node.name!r} waits for {node.join} of {node.inbound} edges, and only {left} can be taken"
    return ErrorInfo("join_unsatisfiable", message)


def is_taken(link: Link, step: StepState) -> bool:
    """Whether an edge is taken, once its source has ended."""
    if link.number is not None and (link.number not in step.taken or step.status is StepStatus.SKIPPED):
        return link.number in step.taken
    if step.status is _COMPLETED:  # by far the most
        return link.on in _GOOD
    if step.error is not None and step.error.type == "max_visits" and link.source.tangle and link.leaves is None:
        return False  # it ran as often as it may: whatever is said of its failure, it does not go round again
    return is_outcome(link.on, link.source, step)


def is_outcome(on: str, source: Node, step: StepState) -> bool:
    """Whether a step has ended in the way that an edge asks for."""
    status = step.status
    if status is StepStatus.COMPLETED or status is StepStatus.COMPENSATED:
        return on in _GOOD
    if status is StepStatus.FAILED:
        if step.handled == "fallback":
            return on in _GOOD
        if step.error is not None and step.error.type == "max_visits":
            return on == "satisfied" and step.handled == "continue"
        if is_timeout(step) and source.has_timeout_link and on in ("timeout", "failure"):
            return on == "timeout"
        return on in ("failure", "complete") or (on == "satisfied" and step.handled == "continue")
    if status is StepStatus.SKIPPED and step.reason in ("condition", "action", "operator"):
        return on in ("satisfied", "skipped")
    return False


def is_timeout(step: StepState) -> bool:
    """Whether the step failed by running out of time."""
    return step.error is not None and step.error.type == "timeout"


def _arrivals(region: Region, node: Node) -> Arrivals:
    arrivals = region.arrivals.get(node.name)
    if arrivals is None:
        arrivals = region.arrivals[node.name] = Arrivals(None if region.rounds is None else {})
    return arrivals


def _count(region: Region, link: Link, taken: bool) -> Outcome | None:
    """Count an edge that is decided once and for all."""
    node = link.target
    if node.waits_for_one:  # most steps: no counting
        return _run(region, node, link.delay) if taken else _dead(region, node)
    arrivals = _arrivals(region, node)
    if not arrivals.count(link, taken):
        return None
    if taken:
        arrivals.delay = max(arrivals.delay, link.delay)
    return None if arrivals.settled else _verdict(region, node, arrivals)


def _verdict(region: Region, node: Node, arrivals: Arrivals) -> Outcome | None:
    """What a step's join says, or None as long as it is open.

    `all`: every edge taken. `sync`: none undecided and at least one taken. `any` and a number: at the n-th taken edge;
    whether it is in vain that so many can no longer come is known once one has come, or none.
    """
    undecided = node.inbound - len(arrivals.past) - arrivals.taken - arrivals.dead
    match node.join:
        case "all":
            said = "dead" if arrivals.dead else ("open" if undecided else "run")
        case "sync":
            said = "open" if undecided else ("run" if arrivals.taken else "dead")
        case _:
            wanted = 1 if node.join in ("any", "each") else int(node.join)
            may_come = arrivals.taken + undecided >= wanted or (undecided and not arrivals.taken)
            said = "run" if arrivals.taken >= wanted else ("open" if may_come else "dead")
    if said == "open":
        return None
    arrivals.settled = True
    return _run(region, node, arrivals.delay) if said == "run" else _dead(region, node)


def _run(region: Region, node: Node, delay: int) -> Outcome:
    rounds = region.rounds
    if rounds is None:
        return Outcome(node, "run", 1, delay)
    before = rounds.visits.get(node.name, 0) if node.runs_often else 0  # what led to it may have run again at a wish
    visit = rounds.visits[node.name] = before + 1
    rounds.since[node.name, visit] = rounds.beginnings
    what = node.tangle or node.name
    rounds.running[what] = rounds.running.get(what, 0) + 1
    return Outcome(node, "run", visit, delay)


def _dead(region: Region, node: Node) -> Outcome:
    """The path of a step is dead. In circles it may still be reached: of its tangle something can run until it is known
    what follows."""
    rounds = region.rounds
    if rounds is None or node.tangle is None:
        return Outcome(node, "dead")
    rounds.running[node.tangle] = rounds.running.get(node.tangle, 0) + 1
    return Outcome(node, "passed_by")


# ── Where steps can run more than once ───────────────────────────────────────────────────────────────────────────────


def _count_again(region: Region, rounds: Rounds, link: Link, taken: bool) -> Iterator[Outcome]:
    """Count an edge whose source may run again, or that may itself begin a round anew."""
    if link.body is not None:
        if taken:
            _begin_anew(region, rounds, link.body)
            yield _run(region, link.target, link.delay)
            _arrivals(region, link.target).settled = True
    elif _is_decided_at_last(link):
        if taken and (link.target.join == "each" or link not in rounds.taken):
            rounds.taken.add(link)
            if link.target.join == "each":  # decided once its source cannot run any more: it may be taken again
                yield _run(region, link.target, link.delay)
            elif link.leaves is not None or link.target.join not in ("all", "sync"):
                yield from _decided(region, rounds, link, taken=True)
    else:
        yield from _decided(region, rounds, link, taken)


def _is_decided_at_last(link: Link) -> bool:
    """Whether its source may run again, so that the edge is dead only once that cannot be any more."""
    return link.leaves is not None or (link.source.join == "each" and link.source.tangle is None)


def _begin_anew(region: Region, rounds: Rounds, body: frozenset[str]) -> None:
    """The steps of a loop wait again for those of it; what came from outside of it before has been."""
    rounds.beginnings += 1
    rounds.began[body] = rounds.beginnings
    for name in body:
        before = region.arrivals.pop(name, None)
        if before is not None and before.decided is not None:
            known = (*before.past, *before.decided)
            region.arrivals[name] = Arrivals({}, [link for link in known if link.source.name not in body])


def _decided(region: Region, rounds: Rounds, link: Link, taken: bool) -> Iterator[Outcome]:
    node = link.target
    if node.join == "each":
        if taken:
            yield _run(region, node, link.delay)
        yield from _count_each(region, rounds, link, taken)
    else:
        outcome = _count(region, link, taken)
        if outcome is not None:
            yield outcome
    yield from _enter(region, rounds, link)


def _enter(region: Region, rounds: Rounds, link: Link) -> Iterator[Outcome]:
    """An edge is decided: when it leads into a tangle, one less can still set that going."""
    tangle = link.target.tangle
    if tangle is not None and link.source.tangle is not tangle:
        if link not in rounds.entered:
            rounds.entered.add(link)
            rounds.undecided[tangle] -= 1
        yield from _close_tangle(region, rounds, tangle)


def _count_each(region: Region, rounds: Rounds, link: Link, taken: bool) -> Iterator[Outcome]:
    """Count an edge to a step that runs for each; the step is due for it already, if it is taken."""
    node = link.target
    arrivals = _arrivals(region, node)
    changed = arrivals.count(link, taken)
    if changed and arrivals.dead + len(arrivals.past) == node.inbound:
        arrivals.settled = True
        yield _dead(region, node)
    elif node.tangle is None:
        yield from _close_each(region, rounds, node)


def _close(region: Region, rounds: Rounds, node: Node) -> Iterator[Outcome]:
    """Decide what is decided by nothing of the step, or of its tangle, being able to run any more."""
    if node.tangle is not None:
        yield from _close_tangle(region, rounds, node.tangle)
    elif node.join == "each":
        yield from _close_each(region, rounds, node)


def _close_tangle(region: Region, rounds: Rounds, tangle: frozenset[str]) -> Iterator[Outcome]:
    if rounds.running.get(tangle) or rounds.undecided[tangle] or tangle in rounds.closed:
        return
    rounds.closed.add(tangle)
    for node in region.graph.nodes.values():
        if node.name in tangle and node.name not in rounds.visits:
            yield Outcome(node, "unreached")
    for link in region.graph.exits[tangle]:
        yield from _decided_at_last(region, rounds, link)


def _decided_at_last(region: Region, rounds: Rounds, link: Link) -> Iterator[Outcome]:
    """What could decide the edge cannot run any more."""
    if link not in rounds.taken:
        yield from _decided(region, rounds, link, taken=False)
    elif link.target.join == "each":
        yield from _count_each(region, rounds, link, taken=True)
        yield from _enter(region, rounds, link)
    elif link.leaves is None and link.target.join in ("all", "sync"):
        yield from _decided(region, rounds, link, taken=True)


def _close_each(region: Region, rounds: Rounds, node: Node) -> Iterator[Outcome]:
    arrivals = region.arrivals.get(node.name)
    if arrivals is None or arrivals.settled or arrivals.taken + arrivals.dead < node.inbound:
        return
    if rounds.running.get(node.name):
        return
    arrivals.settled = True
    for link in node.links:
        yield from _decided_at_last(region, rounds, link)
