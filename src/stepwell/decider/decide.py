"""`decide`: what follows from what came in. No I/O, no clock, no randomness: given the same, it decides the same."""

from __future__ import annotations

import heapq
from typing import assert_never

from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.decider.ending import conclude, give_up
from stepwell.decider.failure import stop_everything, withdraw_waits
from stepwell.decider.joins import follow
from stepwell.decider.leaf import finish_attempt, try_again
from stepwell.decider.plan import Node
from stepwell.decider.run import Run
from stepwell.decider.start import start_step
from stepwell.decider.turn import Decision, Turn
from stepwell.decider.waits import end_wait, take_event
from stepwell.execution.history import ExecutionFailing, ExecutionStarted
from stepwell.execution.inputs import Begin, EventArrived, Input, QueueTimedOut, TimersDue
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.work import Report


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
        for node in turn.run.plan.entries:
            turn.run.make_ready(node)


def _give_up_queueing(turn: Turn, timed_out: QueueTimedOut) -> None:
    if turn.state.status is ExecutionStatus.PENDING:
        waited = format_duration(timed_out.waited)
        error = ErrorInfo("queue_timeout", f"no place under the limit of workflows was free within {waited}")
        turn.emit(ExecutionFailing(turn.at, error))
        give_up(turn, error)


def _fire_timers(turn: Turn) -> None:
    """Everything whose instant has come: the execution's own bounds first, then its steps in order of their times."""
    problem = _out_of_time(turn)
    if problem is not None:
        earlier = turn.state.failure
        problem += f"; before that: {earlier.message}" if earlier is not None else ""
        turn.emit(ExecutionFailing(turn.at, ErrorInfo("timeout", problem)))
        stop_everything(turn, "the workflow ran out of time")
        return
    run, timers = turn.run, turn.run.timers
    while timers and timers[0][0] <= turn.at and not run.is_stopping():
        due, name = heapq.heappop(timers)
        node = run.plan.node(name)
        if node is not None and run.is_due_at(due, name):
            _fire(turn, node)


def _out_of_time(turn: Turn) -> str | None:
    """Which bound of the execution as a whole is passed, in words."""
    state, active_until = turn.state, turn.run.active_until()
    if state.status is not ExecutionStatus.RUNNING:
        return None
    if state.deadline is not None and turn.at >= state.deadline:
        return "the workflow passed its deadline"
    if active_until is not None and turn.at >= active_until:
        return f"the workflow timed out after {format_duration(state.timeout or 0)}"
    return None


def _fire(turn: Turn, node: Node) -> None:
    if turn.state.steps[node.name].status is StepStatus.WAITING:
        end_wait(turn, node)
        _after(turn, node)
    elif node.for_compensation:
        try_again(turn, node)
    else:
        turn.run.make_ready(node)


def _after(turn: Turn, node: Node) -> None:
    """If the step has ended: decide the edges that lead away from it."""
    if turn.state.steps[node.name].status in ENDED_STEP and not node.for_compensation:
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
        _, node = heapq.heappop(ready)
        if node.name in state.steps:
            try_again(turn, node)  # its next try was due
        else:
            start_step(turn, node)
            _after(turn, node)
        if run.is_stopping():
            return
