"""`conditional`: the first block whose condition holds runs; the others are skipped."""

from __future__ import annotations

from collections.abc import Iterator

from stepwell.decider.advance import open_region
from stepwell.decider.blocks import began_at, begin, outputs, went_wrong
from stepwell.decider.inner import Branches
from stepwell.decider.keys import instance_key
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.execution.history import StepSkipped
from stepwell.execution.state import StepState


def start(turn: Turn, one: Instance) -> None:
    """Choose the block.

    Raises:
        ExpressionError: a condition cannot be evaluated.
    """
    node = one.node
    assert isinstance(node.inner, Branches), "compiled for this type"
    chosen = next(
        name for name, condition in node.inner.branches if condition is None or condition.holds(turn.scope(one, name))
    )
    step = begin(turn, one, chosen)
    path = one.inner_path(step.attempts)
    for name, graph in node.blocks.items():
        if name != chosen:
            for untaken in graph.nodes:
                turn.emit(StepSkipped(turn.at, instance_key(untaken, path), "not_taken", "another branch was taken"))
    if chosen in node.blocks:
        open_region(turn, Region(node.blocks[chosen], one, path, holds_on=turn.run.plan.drains))
    else:
        complete(turn, one, {}, turn.at)


def look(turn: Turn, one: Instance, region: Region) -> None:
    """The block is through: its steps' outputs by name are the result."""
    if region.is_through and not went_wrong(turn, one, region):
        complete(turn, one, outputs(turn, region), began_at(turn, one))


def reopen(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    """The block that was chosen."""
    graph = one.node.blocks.get(step.block or "")
    if graph is not None:
        yield Region(graph, one, one.inner_path(step.attempts), holds_on=run.plan.drains)
