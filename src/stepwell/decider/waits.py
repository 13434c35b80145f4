"""`wait` and `wait_for_event`: steps that hold no worker, only a due time or a place in the list of waits."""

from __future__ import annotations

from typing import Any

from stepwell.base.durations import format_duration, parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import from_rfc3339
from stepwell.decider.approval import asks, end_approval, sooner, take_answer
from stepwell.decider.failure import fail, fail_or_retry
from stepwell.decider.graph import DEFAULT_EVENT_TIMEOUT
from stepwell.decider.keys import split_key
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.subworkflow import end_waiting_for_child
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.execution.commands import AwaitEvent, ForgetWait
from stepwell.execution.event import ANSWER, Event
from stepwell.execution.history import EventLate, EventReceived, TimerStarted, WaitStarted
from stepwell.execution.inputs import EventArrived
from stepwell.execution.matching import filter_problem, matches
from stepwell.execution.state import StepState, event_identity
from stepwell.execution.status import StepStatus
from stepwell.expression.errors import ExpressionError, UnavailableOutput, Undefined


def start_wait(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """`wait {for | until}`; a `timeout` that is up before lets it fail then."""
    try:
        due = _due(config, turn.at)
    except ValueError as error:
        fail(turn, one, ErrorInfo("invalid_config", f"wait: {error}"), turn.at)
        return
    allowed = one.node.timeout
    is_short = allowed is not None and turn.at + allowed < due
    if allowed is not None and is_short:
        due = turn.at + allowed
    turn.emit(TimerStarted(turn.at, one.key, due, is_short))
    turn.run.begin(one)
    turn.run.arm(due, one.key)


def _due(config: dict[str, Any], at: int) -> int:
    if config.get("until") is not None:
        until = config["until"]
        if not isinstance(until, str):
            raise ValueError(f"until must be a time such as 2026-11-20T10:00:00Z, not {until!r}")
        return from_rfc3339(until)
    return at + parse_duration(config.get("for"))


def start_wait_for_event(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """`wait_for_event {event_type, filter, timeout}`. Only the filter may hold secrets: the rest is stored readable."""
    event_type: Any = config.get("event_type")
    filter_ = storable(config.get("filter"))
    problem = filter_problem(filter_)
    if not isinstance(event_type, str) or not event_type:
        problem = f"event_type must be text, not {event_type!r}"
    try:
        allowed = sooner(one.node.timeout, config.get("timeout"))
        timeout = parse_duration(DEFAULT_EVENT_TIMEOUT) if allowed is None else allowed
    except ValueError as error:
        problem = f"timeout: {error}"
    if problem is not None:
        fail(turn, one, ErrorInfo("invalid_config", f"wait_for_event: {problem}"), turn.at)
        return
    due = turn.at + timeout
    turn.emit(WaitStarted(turn.at, one.key, event_type, filter_, due))
    turn.run.begin(one)
    turn.run.arm(due, one.key)
    turn.command(AwaitEvent(one.key, event_type, filter_))


def take_event(turn: Turn, one: Instance, arrived: EventArrived) -> None:
    """An event came for a wait: it wakes it (or fails it), or it is another one."""
    event, step = arrived.event, turn.state.steps[one.key]
    if step.event_type != event.type or step.status is not StepStatus.WAITING:
        return
    if event.is_for_another_than(turn.state.id):
        return
    seen = turn.state.consumed.get(event_identity(event.source, event.id))
    if seen is not None and (event.type == ANSWER or (arrived.early and seen < step.since)):
        return  # it had woken another step before this one began to wait
    try:
        wanted = matches(step.filter, event.data) and _condition_holds(turn, one, event)
    except ExpressionError as error:
        turn.command(ForgetWait(one.key, event.type, step.filter))
        fail(turn, one, expression_failure(error), _began(turn, step))
        return
    if wanted and event.type == ANSWER and asks(one, step):
        take_answer(turn, one, step, event)
    elif wanted:
        _wake(turn, one, step, event)


def note_late(turn: Turn, key: str, event: Event) -> None:
    """An event came for a step that waits no more: recorded when its time was up, else of no consequence."""
    step = turn.state.steps.get(key)
    if step is None or step.event_type != event.type or not is_timed_out(step):
        return
    if event.is_for_another_than(turn.state.id):
        return
    if event_identity(event.source, event.id) in turn.state.consumed or not matches(step.filter, event.data):
        return
    node = turn.run.plan.node(split_key(key)[0])
    try:
        wanted = node is not None and _condition_holds(turn, Instance(node, turn.run.root), event)
    except ExpressionError:
        return
    if wanted:
        turn.emit(EventLate(turn.at, key, event.source, event.id))


def is_timed_out(step: StepState) -> bool:
    """Whether the wait ended because its time was up."""
    return step.status is StepStatus.FAILED and step.error is not None and step.error.type == "timeout"


def _condition_holds(turn: Turn, one: Instance, event: Event) -> bool:
    """Whether the filter that is an expression holds; it does not when the event lacks what it reads."""
    if one.node.event_filter is None:
        return True
    try:
        return one.node.event_filter.holds(turn.scope(one, f"filter/{event.id}", {"event": event.as_dict()}))
    except UnavailableOutput:
        raise
    except Undefined:
        return False


def _wake(turn: Turn, one: Instance, step: StepState, event: Event) -> None:
    turn.command(ForgetWait(one.key, event.type, step.filter))
    turn.emit(EventReceived(turn.at, one.key, event))
    extra = {"event": event.as_dict()}
    result = extra if one.node.kind == "machine_wait" else {"event_data": event.data}
    complete(turn, one, result, _began(turn, step), extra)


def _began(turn: Turn, step: StepState) -> int:
    return step.started_at if step.started_at is not None else turn.at


def end_wait(turn: Turn, one: Instance) -> None:
    """The time of a waiting step has come: a timer ends well, a wait for an event has timed out."""
    step = turn.state.steps[one.key]
    started = _began(turn, step)
    if one.node.kind == "workflow":
        end_waiting_for_child(turn, one)
        return
    if step.event_type is None:
        _end_timer(turn, one, step, started)
        return
    if asks(one, step) and end_approval(turn, one, step):
        return
    waited = format_duration(turn.at - started if step.due is None else step.due - started)
    turn.command(ForgetWait(one.key, step.event_type, step.filter))
    what = "nobody answered" if asks(one, step) else f"no event {step.event_type!r} came"
    fail_or_retry(turn, one, ErrorInfo("timeout", f"{what} within {waited}", retryable=True), started)


def _end_timer(turn: Turn, one: Instance, step: StepState, started: int) -> None:
    if not step.short:
        complete(turn, one, None, started)
        return
    allowed = format_duration((step.due if step.due is not None else turn.at) - started)
    message = f"step {one.node.name!r} timed out after {allowed}, before its wait was over"
    fail_or_retry(turn, one, ErrorInfo("timeout", message, retryable=True), started)
