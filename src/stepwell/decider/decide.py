"""`decide`: what follows from what came in. No I/O, no clock, no randomness: given the same, it decides the same."""

from __future__ import annotations

import heapq
from typing import assert_never

from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.decider.control import start_control
from stepwell.decider.ending import conclude, give_up
from stepwell.decider.failure import fail, stop_running, withdraw_waits
from stepwell.decider.joins import follow
from stepwell.decider.leaf import expression_failure, finish_attempt, start_leaf, try_again
from stepwell.decider.plan import Node
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision, Turn
from stepwell.decider.waits import end_wait, take_event
from stepwell.execution.history import ExecutionFailing, ExecutionStarted, StepSkipped
from stepwell.execution.inputs import Begin, EventArrived, Input, QueueTimedOut, TimersDue
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.work import Report
from stepwell.expression.errors import ExpressionError


def decide(run: Run, came_in: Input, at: int) -> Decision:
    """Decide on one input at one instant. The events are folded into `run.state` already.

    An input that means nothing (any more) gives an empty decision.
    """
    turn = Turn(run, at)
    if run.state.status in ENDED_EXECUTION:
        return Decision(turn.events, turn.commands)
    match came_in:
        case Report():
            _take_report(turn, came_in)
        case TimersDue():
            _fire_timers(turn)
        case EventArrived():
            _hand_over_event(turn, came_in)
        case Begin():
            _begin(turn)
        case QueueTimedOut():
            _give_up_queueing(turn, came_in)
        case _:
            assert_never(came_in)
    _settle(turn)
    return Decision(turn.events, turn.commands)


def _take_report(turn: Turn, report: Report) -> None:
    node = turn.run.plan.node(report.step)
    if node is not None and finish_attempt(turn, node, report):
        _after(turn, node)


def _hand_over_event(turn: Turn, arrived: EventArrived) -> None:
    node = turn.run.plan.node(arrived.step)
    if node is not None and take_event(turn, node, arrived):
        _after(turn, node)


def _begin(turn: Turn) -> None:
    if turn.state.status is ExecutionStatus.PENDING:
        turn.emit(ExecutionStarted(turn.at))
        turn.run.ready.extend(turn.run.plan.entries)


def _give_up_queueing(turn: Turn, timed_out: QueueTimedOut) -> None:
    if turn.state.status is ExecutionStatus.PENDING:
        waited = format_duration(timed_out.waited)
        error = ErrorInfo("queue_timeout", f"no place under the limit of workflows was free within {waited}")
        turn.emit(ExecutionFailing(turn.at, error))
        give_up(turn, error)


def _fire_timers(turn: Turn) -> None:
    """Everything whose instant has come: the execution's own bounds first, then its steps in order of their times."""
    if _out_of_time(turn):
        return
    run, at = turn.run, turn.at
    timers = run.timers
    while timers and timers[0][0] <= at:
        due, name = heapq.heappop(timers)
        node = run.plan.node(name)
        if node is None or not run.is_due_at(due, name):
            continue
        if turn.state.steps[name].status is StepStatus.RETRYING:
            try_again(turn, node)
        else:
            end_wait(turn, node)
        _after(turn, node)


def _out_of_time(turn: Turn) -> bool:
    state = turn.state
    if state.status is not ExecutionStatus.RUNNING or state.failure is not None:
        return False
    bound, what = state.deadline, "its deadline"
    if bound is None or turn.at < bound:
        if state.timeout is None or state.active_since is None:
            return False
        bound, what = state.active_since + state.timeout - state.active_before, format_duration(state.timeout)
        if turn.at < bound:
            return False
    message = f"the workflow timed out after {what}" if what != "its deadline" else "the workflow passed its deadline"
    turn.emit(ExecutionFailing(turn.at, ErrorInfo("timeout", message)))
    stop_running(turn, "the workflow ran out of time")
    return True


def _after(turn: Turn, node: Node) -> None:
    """If the step has ended: decide the edges that lead away from it, unless its failure ends the execution."""
    step = turn.state.steps[node.name]
    if step.status not in ENDED_STEP or node.for_compensation:
        return
    if turn.state.failed_step != node.name or not turn.run.is_stopping():
        follow(turn, node)


def _settle(turn: Turn) -> None:
    """Start what is due, until something is in flight or waited for; when nothing is left, end the execution."""
    run, state = turn.run, turn.state
    while state.status in (ExecutionStatus.RUNNING, ExecutionStatus.COMPENSATING):
        if state.status is ExecutionStatus.RUNNING:
            if not run.is_stopping():
                _start_ready(turn)
            if run.is_stopping() and state.waiting:
                withdraw_waits(turn, "the execution has failed")
        if state.in_flight or state.waiting:
            return
        conclude(turn)


def _start_ready(turn: Turn) -> None:
    run, state = turn.run, turn.state
    limit = run.plan.max_parallel_steps
    ready = run.ready
    while ready and (limit is None or state.in_flight < limit):
        node = ready.popleft()
        _start(turn, node)
        _after(turn, node)
        if run.is_stopping():
            return


def _start(turn: Turn, node: Node) -> None:
    if node.when is not None:
        try:
            holds = node.when.holds(turn.scope(node, "when"))
        except ExpressionError as error:
            fail(turn, node, expression_failure(error), turn.at)
            return
        if not holds:
            turn.emit(StepSkipped(turn.at, node.name, "condition", "its condition does not hold"))
            return
    if node.is_control:
        start_control(turn, node)
    else:
        start_leaf(turn, node)
