"""Figures that are not exceeded, and how they add up over the graph of a workflow. Times are in microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stepwell.app.step_graph import Group

Bound = int | None
"""A figure that is not exceeded; None when nothing bounds it."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What something comes to at worst.

    Attributes:
        attempts: tries of the work that workers do.
        span: from when it is due to its end, when there is a place for everything at once.
        parked: the part of the longest chain that is spent waiting, with nothing at work.
        load: the time of all tries together.
    """

    attempts: Bound = 0
    span: Bound = 0
    parked: Bound = 0
    load: Bound = 0


NOTHING: Final = Cost()
UNKNOWN: Final = Cost(attempts=None, span=None, parked=None, load=None)


def work(time: Bound) -> Cost:
    """One try that takes so long."""
    return Cost(attempts=1, span=time, load=time)


def wait(time: Bound) -> Cost:
    """Waiting, with nothing at work."""
    return Cost(span=time, parked=time)


def with_places(cost: Cost, places: int | None) -> Bound:
    """How long it lasts when only so many tries can be made at once (None: any number).

    With m places, work that begins as soon as there is one takes 1/m of all work, and of the longest chain what is left
    of its work after 1/m, and its waits: R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969.
    """
    if places is None or cost.span is None or cost.load is None or cost.parked is None:
        return cost.span
    return cost.span + max(0, -(-(cost.load + cost.parked - cost.span) // places))


# Arithmetic with bounds


def plus(one: Bound, other: Bound) -> Bound:
    """Both together."""
    return None if one is None or other is None else one + other


def total(bounds: Iterable[Bound]) -> Bound:
    """All together."""
    added = 0
    for bound in bounds:
        if bound is None:
            return None
        added += bound
    return added


def largest(bounds: Iterable[Bound]) -> Bound:
    """The largest one; 0 of none."""
    most = 0
    for bound in bounds:
        if bound is None:
            return None
        most = max(most, bound)
    return most


def smallest(bounds: Iterable[Bound]) -> Bound:
    """The one that is reached first; None when none is."""
    return min((bound for bound in bounds if bound is not None), default=None)


def times(count: Bound, bound: Bound) -> Bound:
    """So many times; nothing, however often, is nothing."""
    if count == 0 or bound == 0:
        return 0
    return None if count is None or bound is None else count * bound


# Arithmetic with costs


def repeated(cost: Cost, count: Bound, *, rounds: Bound, pauses: Bound = 0) -> Cost:
    """Doing it `count` times, in so many `rounds` after each other; `pauses`: the time in between, together."""
    if count == rounds == 1:
        return cost
    return Cost(
        attempts=times(count, cost.attempts),
        span=plus(times(rounds, cost.span), pauses),
        parked=plus(times(rounds, cost.parked), pauses),
        load=times(count, cost.load),
    )


def pauses_between(rounds: Bound, pause: Bound) -> Bound:
    """The pauses between so many rounds, together."""
    return times(rounds - 1 if rounds else rounds, pause)


def one_after_the_other(*costs: Cost) -> Cost:
    """Doing all of them in turn."""
    if len(costs) == 1:
        return costs[0]
    return Cost(
        attempts=total(cost.attempts for cost in costs),
        span=total(cost.span for cost in costs),
        parked=total(cost.parked for cost in costs),
        load=total(cost.load for cost in costs),
    )


def one_of(costs: Sequence[Cost]) -> Cost:
    """Doing one of them, whichever it is."""
    return Cost(
        attempts=largest(cost.attempts for cost in costs),
        span=largest(cost.span for cost in costs),
        parked=largest(cost.parked for cost in costs),
        load=largest(cost.load for cost in costs),
    )


def cut_off(cost: Cost, timeout: int | None) -> Cost:
    """The same, ended after this time at the latest."""
    if timeout is None:
        return cost
    span, parked = smallest((cost.span, timeout)), smallest((cost.parked, timeout))
    return msgspec.structs.replace(cost, span=span, parked=parked)


# Over a graph


class Chain(NamedTuple):
    """A longest way through a group: the positions of its steps, and whether it is so `by_duration` or by number."""

    positions: tuple[int, ...]
    by_duration: bool


def visits(group: Group) -> Mapping[int, int]:
    """How often each step of a group may be due, where that is more than once.

    In a cycle, a step without `max_visits` may be due whenever one with it has been, and once before them all. With
    `join: each` a step is due for every edge; where branches are separate, what follows it is due as often.
    """
    often: dict[int, int] = {}
    for tangle in group.tangles:
        allowed = sum(group.steps[position].max_visits or 0 for position in tangle)
        often |= {position: group.steps[position].max_visits or allowed + 1 for position in tangle}
    for layer in group.layers:
        for position in layer:
            before = [often.get(arc.source, 1) for arc in group.inbound[position]]
            if group.join(position) == "each" and position not in often:
                often[position] = max(1, sum(before))
            elif group.separate and max(before, default=1) > 1 and position not in often:
                often[position] = max(before)
    return often


def group_cost(group: Group, costs: Mapping[str, Cost]) -> Cost:
    """What all steps of a group come to, given the cost of each (of all its visits)."""
    own = [costs[step.name] for step in group.steps]
    return Cost(
        attempts=total(cost.attempts for cost in own),
        span=_longest(group, [cost.span for cost in own]),
        parked=_longest(group, [cost.parked for cost in own]),
        load=total(cost.load for cost in own),
    )


def _longest(group: Group, spans: Sequence[Bound]) -> Bound:
    if None in spans:
        return None
    ends = [0] * len(spans)
    for layer in group.layers:
        for position in layer:
            start = 0
            for source, delay in group.before[position]:
                start = max(start, ends[source] + delay)
            ends[position] = start + (spans[position] or 0)
    return max(ends, default=0)


def longest_chain(group: Group, costs: Mapping[str, Cost]) -> Chain:
    """The chain that takes longest at worst, of several the one with most steps; when the time of a step has no bound,
    the other way round."""
    spans = [costs[step.name].span for step in group.steps]
    by_duration = None not in spans
    ends, came_from = _ends(group, spans, by_duration=by_duration)
    at: int | None = max(range(len(ends)), key=ends.__getitem__)
    positions: list[int] = []
    while at is not None:
        positions.append(at)
        at = came_from[at]
    return Chain(tuple(reversed(positions)), by_duration)


End = tuple[int, int]
"""Of a chain: its time, as far as it has a bound, and the number of its steps; what counts first stands first."""


def _ends(group: Group, spans: Sequence[Bound], *, by_duration: bool) -> tuple[list[End], list[int | None]]:
    """For every step the end of the longest chain that leads to it, itself included; and the step before it there."""
    ends = [(0, 0)] * len(spans)
    came_from: list[int | None] = [None] * len(spans)
    for layer in group.layers:
        for position in layer:
            first, second = 0, 0
            for source, delay in group.before[position]:
                one, other = ends[source]
                end = (one + delay, other) if by_duration else (one, other + delay)
                if end > (first, second):
                    (first, second), came_from[position] = end, source
            span = spans[position] or 0
            ends[position] = (first + span, second + 1) if by_duration else (first + 1, second + span)
    return ends, came_from
