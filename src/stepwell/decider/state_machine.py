"""`state_machine`: states, and events that lead from one to another.

On the way into a state the actions of the transition run, then what the state does when it is entered; then the machine
waits for the events that it knows, until it comes to a final state. Every change of place is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import cancel_all, open_region
from stepwell.decider.blocks import began_at, begin, went_wrong, withdraw
from stepwell.decider.failure import fail, fail_or_retry
from stepwell.decider.inner import Machine
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure
from stepwell.execution.commands import AwaitEvent
from stepwell.execution.event import Event
from stepwell.execution.history import BlockEntered, EventIgnored, WaitStarted
from stepwell.execution.state import StepState
from stepwell.execution.status import StepStatus
from stepwell.expression.errors import ExpressionError


def start(turn: Turn, one: Instance) -> None:
    """Enter the first state."""
    machine = _machine(one)
    begin(turn, one)
    _enter(turn, one, f"states.{machine.initial}.on_enter", 0, None)


def _machine(one: Instance) -> Machine:
    machine = one.node.inner
    assert isinstance(machine, Machine), "compiled for this type"
    return machine


def _enter(turn: Turn, one: Instance, block: str, index: int, event: Mapping[str, Any] | None) -> None:
    """Go on to a block; one without steps is over at once."""
    turn.emit(BlockEntered(turn.at, one.key, block, index, dict(event) if event is not None else None))
    region = _region(turn.run, one, turn.state.steps[one.key])
    if region is not None:
        open_region(turn, region)
    else:
        _after_block(turn, one)


def _region(run: Run, one: Instance, step: StepState) -> Region | None:
    """The region of the block that the machine is in."""
    block = step.block or ""
    graph = one.node.blocks["waits"] if block.endswith(".waiting") else one.node.blocks.get(block)
    if graph is None:
        return None
    names = {"event": step.items[0]} if step.items else {"event": None}
    region = Region(graph, one, one.inner_path(step.attempts, step.iteration), names, holds_on=run.plan.drains)
    region.watched = graph.name == "waits"
    return region


def look(turn: Turn, one: Instance, region: Region) -> None:
    """An event has come, or the steps of a block are through."""
    if region.graph.name == "waits":
        _look_at_waits(turn, one, region)
    elif region.is_through and not went_wrong(turn, one, region):
        assert one.regions is not None, "it had this one"
        del one.regions[region.path]
        _after_block(turn, one)


def _after_block(turn: Turn, one: Instance) -> None:
    step, machine = turn.state.steps[one.key], _machine(one)
    event = step.items[0] if step.items else None
    _, state, kind, *number = (step.block or "").split(".")
    if kind != "transitions" and state in machine.final:
        complete(turn, one, {"state": state}, began_at(turn, one))
    elif one.region.stopped:
        withdraw(turn, one)
    elif kind == "transitions":
        to = machine.transitions[state][int(number[0])].to
        _enter(turn, one, f"states.{to}.on_enter", step.iteration, event)
    elif not machine.transitions[state] and (one.node.timeout is None or not machine.event_types):
        message = f"state {state!r} is not final, and no transition leads out of it"
        fail(turn, one, ErrorInfo("stuck", message), began_at(turn, one))
    else:
        _enter(turn, one, f"states.{state}.waiting", step.iteration, event)


def _look_at_waits(turn: Turn, one: Instance, region: Region) -> None:
    if region.stopped:
        if region.is_through:
            withdraw(turn, one)
        return
    came = next((node for name, node in region.graph.nodes.items() if _has_come(turn, region, name)), None)
    if came is None:
        return
    event: dict[str, Any] = turn.state.steps[region.key_of(came.name)].output["event"]
    cancel_all(turn, region, "another event came first")
    one.regions = None
    try:
        _follow(turn, one, event)
    except ExpressionError as error:
        fail(turn, one, expression_failure(error), began_at(turn, one))


def _has_come(turn: Turn, region: Region, name: str) -> bool:
    return turn.step(region.key_of(name)).status is StepStatus.COMPLETED


def _follow(turn: Turn, one: Instance, event: dict[str, Any]) -> None:
    """Take the first transition of the present state that the event allows."""
    machine, step = _machine(one), turn.state.steps[one.key]
    state = (step.block or "").split(".")[1]
    for transition in machine.transitions[state]:
        if transition.event_type == event["type"] and (
            transition.when is None
            or transition.when.holds(turn.scope(one, f"{transition.block}.when", {"event": event}))
        ):
            _enter(turn, one, transition.block, step.iteration + 1, event)
            return
    if machine.strict:
        message = f"event {event['type']!r} has no transition in state {state!r} (strict)"
        fail_or_retry(turn, one, ErrorInfo("unexpected_event", message), began_at(turn, one))
        return
    turn.emit(EventIgnored(turn.at, one.key, state, Event.from_dict(event)))
    _enter(turn, one, f"states.{state}.waiting", step.iteration + 1, step.items[0] if step.items else None)


def start_waiting(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """Wait for an event of one of the machine's types, for as long as it takes."""
    turn.emit(WaitStarted(turn.at, one.key, config["event_type"], None, None))
    turn.run.begin(one)
    turn.command(AwaitEvent(one.key, config["event_type"], None))


def reopen(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    """The block that it is in."""
    region = _region(run, one, step)
    if region is not None:
        yield region
