"""From what joins say to what happens: steps become due, dead paths are recorded, and regions come to their ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from stepwell.decider.graph import Node
from stepwell.decider.joins import (
    Outcome,
    after_dead,
    after_end_again,
    after_link,
    after_passing,
    beginning,
    is_in_vain,
    is_taken,
    unreachable,
    withdraw,
)
from stepwell.decider.keys import instance_key
from stepwell.decider.region import Instance, Region
from stepwell.decider.turn import Turn
from stepwell.execution.commands import ForgetWait, ReleaseLock, StopStep, TellChild
from stepwell.execution.history import ExecutionFailing, StepCancelled, StepHeld, StepSkipped
from stepwell.execution.state import StepState
from stepwell.execution.status import BEFORE_THE_END, PARKED_STEP, StepStatus


def open_region(turn: Turn, region: Region, delay: int = 0) -> None:
    """Begin a run of a graph: its entries are due, after `delay` microseconds."""
    owner = region.owner
    if owner is not None:
        if owner.regions is None:
            owner.regions = {}
        owner.regions[region.path] = region
    begin_region(turn, region, delay)
    note_through(turn, region)


def begin_region(turn: Turn, region: Region, delay: int = 0) -> None:
    """What nothing leads to is due, after `delay` microseconds."""
    if region.rounds is not None:
        act_on(turn, region, beginning(region, delay))
    else:  # the same, for most
        for node in region.graph.entries:
            make_due(turn, Instance(node, region), delay)


def ended(turn: Turn, one: Instance) -> None:
    """A step has ended: decide its edges, and, where a join is decided by that, what stands behind it.

    Once nothing new may start, nothing more happens: what stands behind stays as it is. Where steps may run more than
    once it is counted all the same: a step that was to run once more tells that the region was cut short.
    """
    key, node, region, run = one.key, one.node, one.region, turn.run
    if key != node.name and key not in region.open:
        run.note_latest(node.name, key, region.path)  # it has begun and ended at once
    run.end(one)
    one.regions = None
    step = turn.state.steps[key]
    if step.lock:
        turn.command(ReleaseLock(step.lock, key))
    if region.rounds is not None:
        act_on(turn, region, after_end_again(region, region.rounds, node, step, one.visit))
    elif not region.stopped:
        _follow(turn, region, node, step)
    if run.held and not region.stopped:
        _wake_held(turn)
    if node.is_stand_in:
        turn.through.append(one)
    if region.owner is not None:
        note_through(turn, region)


def _follow(turn: Turn, region: Region, node: Node, step: StepState) -> None:
    """The same as acting on `after_end`, for the many steps that have one successor which waits for nothing else."""
    for link in node.links:
        target = link.target
        if region.stopped:
            return  # a join was in vain
        if target.waits_for_one and is_taken(link, step):
            make_due(turn, Instance(target, region), link.delay)
        else:
            act_on(turn, region, after_link(region, link, step))


def note_through(turn: Turn, region: Region) -> None:
    """When nothing of the region is left to run, the construct that opened it will go on."""
    if region.owner is not None and ((not region.open and not region.due) or region.watched):
        turn.through.append(region)


def record_owed(turn: Turn) -> None:
    """Record the dead paths and delays that a fold of the history found unrecorded: steps ended while nothing was
    decided."""
    owed, turn.run.owed = turn.run.owed, []
    for region, node in owed:
        if _is_at_work(region):
            _find_dead(turn, region, node)
            note_through(turn, region)
    delayed, turn.run.delayed = turn.run.delayed, []
    for one, delay in delayed:
        if _is_at_work(one.region):
            one.region.due -= 1
            make_due(turn, one, delay)


def _is_at_work(region: Region) -> bool:
    """Whether something may still begin in it. Rounds that are through are not told when their construct is stopped."""
    owner = region.owner
    return not region.stopped and (owner is None or owner.key in owner.region.open)


def act_on(turn: Turn, region: Region, outcomes: Iterable[Outcome]) -> None:
    """Do what joins say, and what follows from that for the joins behind; where nothing begins any more, only count."""
    pending = deque(outcomes)
    while pending:
        node, said, visit, delay = pending.popleft()
        if said == "passed_by":
            pending.extend(after_passing(region, node))
        elif region.stopped:
            if said == "dead" and _is_dead(turn, region, node):
                pending.extend(after_dead(region, node))
        elif said == "run":
            make_due(turn, Instance(node, region, visit), delay)
        elif said == "unreached":
            _record_dead(turn, region, node)
        elif _find_dead(turn, region, node):
            pending.extend(after_dead(region, node))
    if region.failure is not None and not region.stopped and not region.holds_on:
        stop(turn, region, "a join in it can no longer be met")


def make_due(turn: Turn, one: Instance, delay: int = 0) -> None:
    """The step may start: at once if there is a place for it, or after a while."""
    step = turn.state.steps.get(one.key)
    if step is not None:
        act_on(turn, one.region, withdraw(one.region, one.node))  # it was cancelled, or an operator was quicker
        return
    delay += one.node.delay
    if delay:
        hold(turn, one, "delay", turn.at + delay)
    else:
        turn.run.make_ready(one)


def hold(turn: Turn, one: Instance, reason: str, due: int | None = None, detail: str = "") -> None:
    """The step waits before it may start; see `StepHeld`."""
    turn.emit(StepHeld(turn.at, one.key, reason, due, detail))
    turn.run.begin(one)
    if due is not None:
        turn.run.arm(due, one.key)


def _wake_held(turn: Turn) -> None:
    """Look again at the steps that wait for others without an edge."""
    held, turn.run.held = turn.run.held, {}
    for one in held.values():
        if one.key in one.region.open:
            turn.run.make_ready(one)


def _is_dead(turn: Turn, region: Region, node: Node) -> bool:
    """Whether a step whose path is dead has not ended in another way before."""
    step = turn.state.steps.get(instance_key(node.name, region.path))
    return step is None or step.reason == "dead_path"


def _record_dead(turn: Turn, region: Region, node: Node) -> bool:
    """Record that the step's path is dead. False when it has ended in another way before."""
    key = instance_key(node.name, region.path)
    if key in turn.state.steps:
        return False
    turn.emit(StepSkipped(turn.at, key, "dead_path", "nothing leads here any more"))
    return True


def _find_dead(turn: Turn, region: Region, node: Node) -> bool:
    """The same, of a step whose join has been decided so."""
    if is_in_vain(region, node):
        _fail_unreachable_join(turn, region, node)
    return _record_dead(turn, region, node)


def _fail_unreachable_join(turn: Turn, region: Region, node: Node) -> None:
    error = unreachable(region, node)
    if region.owner is not None:
        region.failure = region.failure or error
    elif turn.state.failure is None and turn.state.status in BEFORE_THE_END:
        turn.emit(ExecutionFailing(turn.at, error))
        if turn.run.is_stopping():
            stop(turn, region, "the execution has failed")


# ── Stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def stop(turn: Turn, region: Region, reason: str) -> None:
    """Start nothing more in the region, and cancel what waits in it; what is in flight may end."""
    region.stopped = True
    region.due = 0
    for one in list(region.open.values()):
        step = turn.state.steps[one.key]
        if (step.status in PARKED_STEP and not works_elsewhere(step)) or _waits_in_vain(step, one):
            cancel(turn, one, reason)
            ended(turn, one)
        else:
            for inner in list((one.regions or {}).values()):
                stop(turn, inner, reason)
    note_through(turn, region)


def works_elsewhere(step: StepState) -> bool:
    """Whether a sub-workflow is at work for it: that is work in flight, which may end."""
    return step.status is StepStatus.WAITING and bool(step.child)


def _waits_in_vain(step: StepState, one: Instance) -> bool:
    """Whether it has failed, and the step that was to stand in for it has not begun and will not."""
    if step.status is not StepStatus.RUNNING or step.block != "fallback" or one.regions or step.error is None:
        return False
    fallback = one.node.fallback_for(step.error.type)
    return fallback is None or not any(other.node.name == fallback.step for other in one.region.open.values())


def cancel(turn: Turn, one: Instance, reason: str) -> None:
    """Cancel a step and all that is inside it, and have its work stopped."""
    if one.in_line:
        one.in_line = False
        one.region.due = max(0, one.region.due - 1)
    for inner in list((one.regions or {}).values()):
        cancel_all(turn, inner, reason)
    one.regions = None
    step = turn.state.steps[one.key]
    if step.status is StepStatus.RUNNING and step.block is None:
        turn.command(StopStep(f"{turn.state.id}/{one.key}/{step.attempts}"))
    elif step.status is StepStatus.WAITING and step.event_type is not None and not step.held:
        turn.command(ForgetWait(one.key, step.event_type, step.filter))
    elif step.status is StepStatus.WAITING and step.child:
        turn.command(TellChild(step.child, "cancel", "stepwell", reason))
    elif step.held == "mutex":
        turn.command(ReleaseLock(step.message, one.key))
    turn.emit(StepCancelled(turn.at, one.key, reason))
    turn.run.end(one)


def tell_children(turn: Turn, verb: Literal["cancel", "terminate", "pause", "resume"], by: str, reason: str) -> None:
    """Have done with the sub-workflows that are waited for what was done with this execution."""
    for step in turn.state.steps.values():
        if step.child and step.status is StepStatus.WAITING:
            turn.command(TellChild(step.child, verb, by, reason))


def cancel_all(turn: Turn, region: Region, reason: str) -> None:
    """Cancel everything in the region, and start nothing more in it."""
    region.stopped = True
    region.due = 0
    for one in list(region.open.values()):
        cancel(turn, one, reason)
        lock = turn.state.steps[one.key].lock
        if lock:
            turn.command(ReleaseLock(lock, one.key))
