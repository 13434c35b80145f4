"""`wait` and `wait_for_event`: steps that hold no worker, only a due time or a place in the list of waits."""

from __future__ import annotations

from typing import Any

from stepwell.base.durations import format_duration, parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import from_rfc3339
from stepwell.decider.failure import fail
from stepwell.decider.leaf import complete, expression_failure, storable
from stepwell.decider.plan import DEFAULT_EVENT_TIMEOUT, Node
from stepwell.decider.turn import Turn
from stepwell.execution.commands import AwaitEvent, ForgetWait
from stepwell.execution.event import Event
from stepwell.execution.history import EventLate, EventReceived, TimerStarted, WaitStarted
from stepwell.execution.inputs import EventArrived
from stepwell.execution.matching import filter_problem, matches
from stepwell.execution.state import StepState, event_identity
from stepwell.execution.status import StepStatus
from stepwell.expression.errors import ExpressionError, UnavailableOutput, Undefined


def start_wait(turn: Turn, node: Node, config: dict[str, Any]) -> None:
    """`wait {for | until}`."""
    try:
        due = _due(config, turn.at)
    except ValueError as error:
        fail(turn, node, ErrorInfo("invalid_config", f"wait: {error}"), turn.at)
        return
    turn.emit(TimerStarted(turn.at, node.name, due))
    turn.run.arm(due, node.name)


def _due(config: dict[str, Any], at: int) -> int:
    if config.get("until") is not None:
        until = config["until"]
        if not isinstance(until, str):
            raise ValueError(f"until must be a time such as 2026-11-20T10:00:00Z, not {until!r}")
        return from_rfc3339(until)
    return at + parse_duration(config.get("for"))


def start_wait_for_event(turn: Turn, node: Node, config: dict[str, Any]) -> None:
    """`wait_for_event {event_type, filter, timeout}`. Only the filter may hold secrets: the rest is stored readable."""
    event_type: Any = config.get("event_type")
    filter_ = storable(config.get("filter"))
    problem = filter_problem(filter_)
    if not isinstance(event_type, str) or not event_type:
        problem = f"event_type must be text, not {event_type!r}"
    try:
        timeout = parse_duration(config["timeout"] if config.get("timeout") is not None else DEFAULT_EVENT_TIMEOUT)
    except ValueError as error:
        problem = f"timeout: {error}"
    if problem is not None:
        fail(turn, node, ErrorInfo("invalid_config", f"wait_for_event: {problem}"), turn.at)
        return
    due = turn.at + timeout
    turn.emit(WaitStarted(turn.at, node.name, event_type, filter_, due))
    turn.run.arm(due, node.name)
    turn.command(AwaitEvent(node.name, event_type, filter_))


def take_event(turn: Turn, node: Node, arrived: EventArrived) -> bool:
    """An event came for a wait: it wakes it (or fails it), or it came too late, or it was another one.

    True when the wait has ended by it.
    """
    event, step = arrived.event, turn.step(node.name)
    seen = event_identity(event.source, event.id) in turn.state.consumed
    if step.event_type != event.type or (seen and (arrived.early or step.status is not StepStatus.WAITING)):
        return False
    try:
        wanted = matches(step.filter, event.data) and _condition_holds(turn, node, event)
    except ExpressionError as error:
        return _fail_filter(turn, node, step, error)
    if not wanted:
        return False
    if step.status is StepStatus.WAITING:
        _wake(turn, node, step, event)
        return True
    if is_timed_out(step):
        turn.emit(EventLate(turn.at, node.name, event.source, event.id))
    return False


def _fail_filter(turn: Turn, node: Node, step: StepState, error: ExpressionError) -> bool:
    if step.status is not StepStatus.WAITING or step.event_type is None:
        return False
    turn.command(ForgetWait(node.name, step.event_type, step.filter))
    fail(turn, node, expression_failure(error), _began(turn, step))
    return True


def is_timed_out(step: StepState) -> bool:
    """Whether the wait ended because its time was up."""
    return step.status is StepStatus.FAILED and step.error is not None and step.error.type == "timeout"


def _condition_holds(turn: Turn, node: Node, event: Event) -> bool:
    """Whether the filter that is an expression holds; it does not when the event lacks what it reads."""
    if node.event_filter is None:
        return True
    try:
        return node.event_filter.holds(turn.scope(node, f"filter/{event.id}", {"event": event.as_dict()}))
    except UnavailableOutput:
        raise
    except Undefined:
        return False


def _wake(turn: Turn, node: Node, step: StepState, event: Event) -> None:
    turn.command(ForgetWait(node.name, event.type, step.filter))
    turn.emit(EventReceived(turn.at, node.name, event))
    extra = {"event": event.as_dict()}
    complete(turn, node, {"event_data": event.data}, _began(turn, step), extra)


def _began(turn: Turn, step: StepState) -> int:
    return step.started_at if step.started_at is not None else turn.at


def end_wait(turn: Turn, node: Node) -> None:
    """The time of a waiting step has come: a timer ends well, a wait for an event has timed out."""
    step = turn.state.steps[node.name]
    started = _began(turn, step)
    if step.event_type is None:
        complete(turn, node, None, started)
        return
    waited = format_duration(turn.at - started if step.due is None else step.due - started)
    turn.command(ForgetWait(node.name, step.event_type, step.filter))
    fail(turn, node, ErrorInfo("timeout", f"no event {step.event_type!r} came within {waited}"), started)
