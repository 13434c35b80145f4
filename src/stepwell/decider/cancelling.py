"""`cancels`: a step that completes withdraws others that have not ended, and with them all that is inside them."""

from __future__ import annotations

from stepwell.decider.advance import act_on, cancel, ended, note_through
from stepwell.decider.joins import after_dead
from stepwell.decider.keys import instance_key
from stepwell.decider.region import Instance, Region
from stepwell.decider.turn import Turn
from stepwell.execution.history import StepCancelled


def cancel_named(turn: Turn, one: Instance) -> None:
    """Cancel the steps that this one names, in the region in which they stand."""
    for name in one.node.step.cancels:
        region: Region | None = one.region
        while region is not None and name not in region.graph.nodes:
            region = region.owner.region if region.owner is not None else None
        if region is not None:
            _cancel_step(turn, region, name, f"step {one.node.name!r} has completed")


def _cancel_step(turn: Turn, region: Region, name: str, reason: str) -> None:
    begun = [other for other in region.open.values() if other.node.name == name]
    for other in begun:
        cancel(turn, other, reason)
        ended(turn, other)
    in_line = () if region.stopped else turn.run.ready  # nothing of a stopped region is in line any more
    due = [one for *_, one in in_line if one.in_line and one.region is region and one.node.name == name]
    for other in due:
        other.in_line = False
        region.due -= 1
        turn.emit(StepCancelled(turn.at, other.key, reason))
        ended(turn, other)
    key = instance_key(name, region.path)
    if not begun and not due and key not in turn.state.steps:
        turn.emit(StepCancelled(turn.at, key, reason))
        turn.run.note_latest(name, key, region.path)
        act_on(turn, region, after_dead(region, region.graph.nodes[name]))
        note_through(turn, region)
