"""`decide`: what follows from what came in. No I/O, no clock, no randomness: given the same, it decides the same."""

from __future__ import annotations

import heapq
from typing import Final, assert_never

from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import cancel, cancel_all, ended, record_owed, stop, works_elsewhere
from stepwell.decider.blocks import run_out_of_time
from stepwell.decider.compensation import is_at_rest, is_over_time, note_undone, stop_over_time
from stepwell.decider.compensation_asked import compensate_self
from stepwell.decider.compensation_children import ANSWER, answer_at_the_end, take_answer
from stepwell.decider.compensation_late import take_late, take_late_child
from stepwell.decider.constructs import CONSTRUCTS
from stepwell.decider.ending import cancel_running, conclude
from stepwell.decider.failure import end_fallback, fail, waiting_for
from stepwell.decider.leaf import try_again
from stepwell.decider.locks import begin, give_up, place_asked, refuse_start, take_lock
from stepwell.decider.notifying import is_delivery, settle
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.decider.reports import finish_attempt
from stepwell.decider.reusing import reuse
from stepwell.decider.run import Run
from stepwell.decider.start import start_step
from stepwell.decider.subworkflow import take_child
from stepwell.decider.turn import Decision, Turn
from stepwell.decider.verbs import operate
from stepwell.decider.verbs_fork import fork
from stepwell.decider.verbs_legal import check_legal
from stepwell.decider.verbs_migrate import migrate
from stepwell.decider.waits import end_wait, note_late, take_event
from stepwell.execution.commands import ReleaseLock
from stepwell.execution.history import ExecutionFailing, ExecutionForked, ExecutionResumed
from stepwell.execution.inputs import (
    Begin,
    ChildCompensated,
    ChildEnded,
    CompensateSelf,
    EventArrived,
    Input,
    LockGranted,
    LockRefused,
    QueueTimedOut,
    ResultFound,
    TimersDue,
)
from stepwell.execution.status import BEFORE_THE_END, ENDED_EXECUTION, PARKED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.verbs import Migrate, Verb
from stepwell.execution.work import Report


def decide(run: Run, came_in: Input, at: int, plan: Plan | None = None) -> Decision:
    """Decide on one input at one instant. The events are folded into `run.state` already.

    An input that means nothing (any more) gives an empty decision.

    Args:
        plan: the one that `Migrate` is to lead to.

    Raises:
        Conflict, NotFound: an operator asks for what makes no sense here; nothing has changed.
    """
    state = run.state
    turn = Turn(run, state, at)
    if not isinstance(came_in, Report) and not isinstance(came_in, Begin) and isinstance(came_in, Verb):
        return _carry_out(turn, came_in, plan)
    if state.status in ENDED_EXECUTION:
        return _after_the_end(turn, came_in)
    if isinstance(came_in, Report):  # by far the most; a match would take longer to find it
        one = run.open_instance(came_in.step)
        if one is not None:
            finish_attempt(turn, one, came_in)
        elif is_delivery(came_in.step):
            settle(turn, came_in)
            return _decided(turn)
        else:
            take_late(turn, came_in)
        _settle(turn)
        return _decided(turn)
    match came_in:
        case Begin():
            begin(turn)
        case TimersDue():
            _fire_timers(turn)
        case EventArrived():
            _hand_over_event(turn, came_in)
        case LockGranted():
            had_place = not run.state.unplaced
            take_lock(turn, came_in)
            if not had_place and not run.state.unplaced:
                _fire_timers(turn)  # what was due meanwhile
        case LockRefused():
            refuse_start(turn, came_in)
        case ChildEnded():
            one = run.open_instance(came_in.step)
            if one is not None:
                take_child(turn, one, came_in)
            else:
                take_late_child(turn, came_in)
        case ChildCompensated():
            take_answer(turn, came_in)
        case ResultFound():
            reuse(turn, came_in)
        case CompensateSelf():
            compensate_self(turn, came_in)
        case QueueTimedOut():
            _give_up_queueing(turn, came_in)
        case _:
            assert_never(came_in)
    _settle(turn)
    return _decided(turn)


def _decided(turn: Turn) -> Decision:
    if turn.state.compensation_then == ANSWER:
        answer_at_the_end(turn)
    return Decision(turn.events, turn.commands, turn.said)


def _after_the_end(turn: Turn, came_in: Input) -> Decision:
    """A lock that comes too late is given back, and who was told is noted; nothing else matters any more."""
    if isinstance(came_in, LockGranted):
        turn.command(ReleaseLock(came_in.name, came_in.step))
    elif isinstance(came_in, Report):
        if is_delivery(came_in.step):
            settle(turn, came_in)
    elif isinstance(came_in, CompensateSelf):
        compensate_self(turn, came_in)
        _settle(turn)
    return _decided(turn)


def decide_fork(run: Run, forked: ExecutionForked) -> Decision:
    """How another execution goes on from where this one stands, which it has become then.

    Raises:
        Conflict: there is nothing to go on with; nothing has changed.
    """
    turn = Turn(run, run.state, forked.at)
    fork(turn, forked)
    if turn.state.unplaced:
        turn.command(place_asked(turn.run))
    _settle(turn)
    return Decision(turn.events, turn.commands)


def _carry_out(turn: Turn, verb: Verb, plan: Plan | None) -> Decision:
    """Do what an operator asks for.

    Raises:
        Conflict, NotFound: it makes no sense here; nothing has changed.
    """
    had_place = not turn.state.unplaced
    if isinstance(verb, Migrate):
        assert plan is not None, "an execution is migrated to a plan"
        check_legal(turn.state, "migrate")
        migrate(turn, plan, verb)
    else:
        operate(turn, verb)
    if had_place and turn.state.unplaced:
        turn.command(place_asked(turn.run))
    if turn.state.status is ExecutionStatus.RUNNING and turn.events:
        _fire_timers(turn)
    _settle(turn)
    return _decided(turn)


def _hand_over_event(turn: Turn, arrived: EventArrived) -> None:
    one = turn.run.open_instance(arrived.step)
    if one is not None:
        take_event(turn, one, arrived)
    elif not arrived.early:
        note_late(turn, arrived.step, arrived.event)


def _give_up_queueing(turn: Turn, timed_out: QueueTimedOut) -> None:
    if turn.state.status is ExecutionStatus.PENDING:
        waited = format_duration(timed_out.waited)
        error = ErrorInfo("queue_timeout", f"no place under the limit of workflows was free within {waited}")
        give_up(turn, error)


def _fire_timers(turn: Turn) -> None:
    """Everything whose instant has come: the execution's own bounds first, then its steps in order of their times."""
    if is_over_time(turn):
        stop_over_time(turn)
        return
    problem = _out_of_time(turn)
    if problem is not None:
        _run_out_of_time(turn, problem)
        return
    run, timers = turn.run, turn.run.timers
    kept: list[tuple[int, str]] = []
    while timers and timers[0][0] <= turn.at:
        due, key = heapq.heappop(timers)
        one = run.open_instance(key)
        if one is None or not run.is_due_at(due, key) or _is_withdrawn(turn, one):
            continue
        if run.holds_back() and run.begins_work(key):
            kept.append((due, key))
        else:
            _fire(turn, one)
    for due, key in kept:
        run.arm(due, key)


def _run_out_of_time(turn: Turn, problem: str) -> None:
    """Stop everything. What is being cancelled already is not failed by it: it only ends sooner."""
    state = turn.state
    earlier = state.failure
    problem += f"; before that: {earlier.message}" if earlier is not None else ""
    if state.status is ExecutionStatus.PAUSED:
        turn.emit(ExecutionResumed(turn.at, "", problem))
    if state.cancel is None:
        turn.emit(ExecutionFailing(turn.at, ErrorInfo("timeout", problem)))
    cancel_all(turn, turn.run.root, "the workflow ran out of time")


def _is_withdrawn(turn: Turn, one: Instance) -> bool:
    """Whether the step will be cancelled in this very turn, for the execution has failed in it."""
    step = turn.state.steps[one.key]
    if step.status is StepStatus.RUNNING or works_elsewhere(step):
        return False  # what is at work goes on, at most until its time is up
    return one.region.stopped or (turn.run.is_stopping() and not turn.state.hooks_began)


def _out_of_time(turn: Turn) -> str | None:
    """Which bound of the execution as a whole is passed, in words."""
    state, active_until = turn.state, turn.run.active_until()
    if state.status not in BEFORE_THE_END or state.hooks_began:
        return None
    if state.deadline is not None and turn.at >= state.deadline:
        return "the workflow passed its deadline"
    if active_until is not None and turn.at >= active_until:
        return f"the workflow timed out after {format_duration(state.timeout or 0)}"
    return None


def _fire(turn: Turn, one: Instance) -> None:
    step = turn.state.steps[one.key]
    if step.status is StepStatus.RUNNING:
        run_out_of_time(turn, one, format_duration(one.node.timeout or 0))
    elif step.held == "mutex":
        turn.command(ReleaseLock(step.message, one.key))
        fail(turn, one, ErrorInfo("lock_timeout", f"the lock {step.message!r} was not free in time"), turn.at)
    elif step.held or step.status is StepStatus.RETRYING:
        turn.run.make_ready(one)
    else:
        end_wait(turn, one)


_RUNNING: Final = ExecutionStatus.RUNNING
_COMPENSATING: Final = ExecutionStatus.COMPENSATING
_AT_WORK: Final = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.COMPENSATING})
"""While it is in one of these, steps begin, and the execution may end."""


def _settle(turn: Turn) -> None:
    """Start what is due, until something is in flight or waited for; when nothing is left, end the execution."""
    run, state = turn.run, turn.state
    while True:
        if run.owed or run.delayed:
            record_owed(turn)
        _work_off(turn)
        status = state.status
        if run.root.open and status is _RUNNING and not run.held and state.failure is None and state.cancel is None:
            return  # by far the most: something is at work, and nothing else to be looked at
        if status not in _AT_WORK:
            return
        if run.held and _is_stuck(turn):
            _give_up_milestones(turn)
        elif _is_idle(turn):
            conclude(turn)
        elif not cancel_running(turn):
            return


def _work_off(turn: Turn) -> None:
    """Let constructs go on and start what is due, until neither is left."""
    run, state = turn.run, turn.state
    while True:
        if (state.failure is not None or state.cancel is not None) and not run.root.stopped and run.is_stopping():
            stop(turn, run.root, "the execution has failed")
        elif turn.through:
            _go_on(turn, turn.through.pop(0))
        elif not run.ready or not _start_one(turn):
            return


def _go_on(turn: Turn, what: Region | Instance) -> None:
    """Something is through: whoever waits for it goes on."""
    if isinstance(what, Instance):
        one = waiting_for(turn, what)
        if one is not None:
            end_fallback(turn, one, turn.state.steps[what.key])
        return
    owner = what.owner
    if what.graph.name == "compensate":
        note_undone(turn, what)
        return
    if owner is None or owner.regions is None or owner.regions.get(what.path) is not what:
        return  # it was stopped, or has been seen to
    if what.graph.name == "fallback":
        if what.is_through:
            end_fallback(turn, owner, turn.step(what.key_of(owner.node.name)))
    else:
        CONSTRUCTS[owner.node.kind].look(turn, owner, what)


def _start_one(turn: Turn) -> bool:
    run, state = turn.run, turn.state
    if not run.ready or state.status not in _AT_WORK or (state.unplaced and run.holds_back()):
        return False
    limit = run.plan.max_parallel_steps
    if limit is not None and state.in_flight >= limit:
        return False
    one = run.next_ready()
    if one is None:
        return False
    step = state.steps.get(one.key)
    if step is None:
        start_step(turn, one)
    elif step.status is StepStatus.RETRYING and one.node.kind == "leaf":
        try_again(turn, one)  # its next try was due
    elif step.status in PARKED_STEP:
        start_step(turn, one)
    return True


def _is_stuck(turn: Turn) -> bool:
    """Whether all that the execution waits for are milestones, which only its own steps can reach."""
    run, state = turn.run, turn.state
    if state.in_flight or state.status is not ExecutionStatus.RUNNING:
        return False
    held = [one for one in run.held.values() if one.key in one.region.open and not one.in_line]
    return bool(held) and len(held) == state.waiting


def _give_up_milestones(turn: Turn) -> None:
    """Fail, and cancel what waits in vain: never a silent hang."""
    held = list(turn.run.held.values())
    names = ", ".join(one.key for one in held)
    if turn.state.failure is None:
        message = f"nothing runs, and these steps wait for a milestone that nothing can reach: {names}"
        turn.emit(ExecutionFailing(turn.at, ErrorInfo("stuck", message)))
    for one in held:
        if one.key in one.region.open:
            cancel(turn, one, "its milestone cannot be reached")
            ended(turn, one)


def _is_idle(turn: Turn) -> bool:
    """Whether nothing runs, waits or is due. What has something open must have something to wait for."""
    run, state = turn.run, turn.state
    if state.status is _COMPENSATING:
        return is_at_rest(run)
    return run.root.is_through and (not state.hooks_began or run.hooks.is_through)
