"""The control constructs: what begins each of them, what it does when something inside it is through, and what of it is
open after a history has been folded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from stepwell.decider import conditional, dynamic, parallel_group, rounds, state_machine
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.execution.state import StepState


class Construct(NamedTuple):
    """What runs steps of one kind.

    Attributes:
        start: begins it; may raise ExpressionError when its settings cannot be evaluated.
        look: something in a region of it has ended, or all of it.
        reopen: the regions that a construct has open that is in this state.
    """

    start: Callable[[Turn, Instance], None]
    look: Callable[[Turn, Instance, Region], None]
    reopen: Callable[[Run, Instance, StepState], Iterator[Region]]


CONSTRUCTS: Final[Mapping[str, Construct]] = {
    "conditional": Construct(conditional.start, conditional.look, conditional.reopen),
    "parallel_group": Construct(parallel_group.start, parallel_group.look, parallel_group.reopen),
    "loop": Construct(rounds.start, rounds.look, rounds.reopen),
    "for_each": Construct(rounds.start, rounds.look, rounds.reopen),
    "repeat": Construct(rounds.start, rounds.look, rounds.reopen),
    "dynamic": Construct(dynamic.start, dynamic.look, dynamic.reopen),
    "state_machine": Construct(state_machine.start, state_machine.look, state_machine.reopen),
}
"""By kind of node."""
