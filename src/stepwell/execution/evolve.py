"""`evolve(state, event)`: what a history event does to the state. No decisions here: what is folded was decided.

What happens to every step does not store what is there already: storing into a struct takes longer than looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from stepwell.base.errors import InvalidTransition
from stepwell.execution.event import ANSWER
from stepwell.execution.evolve_beside import BESIDE_CHANGES
from stepwell.execution.evolve_verbs import VERB_CHANGES
from stepwell.execution.history import (
    UNHANDLED,
    AnswerRefused,
    ApprovalRequested,
    AttemptFailed,
    BlockEntered,
    BlockStarted,
    BranchPublished,
    ChildStarted,
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    EventIgnored,
    EventLate,
    EventReceived,
    ExecutionAdmitted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionHeld,
    ExecutionStarted,
    FallbackStarted,
    HistoryEvent,
    HooksStarted,
    IterationStarted,
    LateCompletion,
    LockTaken,
    StepCancelled,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepsAdded,
    StepScheduled,
    StepSkipped,
    TimerStarted,
    UndoingAsked,
    VariablesSet,
    WaitStarted,
)
from stepwell.execution.moving import move_construct, move_execution, move_step, moved, next_asked
from stepwell.execution.state import ExecutionState, event_identity, published_key
from stepwell.execution.status import BEFORE_THE_END, StepStatus


def begin(event: ExecutionCreated) -> ExecutionState:
    """The state after the first event of a history."""
    return ExecutionState(
        id=event.id,
        workflow=event.workflow,
        version=event.version,
        digest=event.digest,
        input=event.input,
        seed=event.seed,
        created_at=event.at,
        start_key=event.start_key,
        timeout=event.timeout,
        deadline=event.deadline,
        variables=dict(event.variables),
        parent=event.parent,
        parent_step=event.parent_step,
        depth=event.depth,
        trace=event.trace,
        seq=1,
    )


def fold(events: Iterable[HistoryEvent], state: ExecutionState | None = None) -> ExecutionState:
    """The state after `events`, starting from `state` or from nothing.

    Raises:
        InvalidTransition: the events are not a history: one of them is not legal where it stands.
    """
    for event in events:
        if state is None:
            if not isinstance(event, ExecutionCreated):
                raise InvalidTransition(f"a history begins with ExecutionCreated, not {type(event).__name__}")
            state = begin(event)
        else:
            evolve(state, event)
    if state is None:
        raise InvalidTransition("an empty history has no state")
    return state


def evolve(state: ExecutionState, event: HistoryEvent) -> None:
    """Change `state` by `event`.

    Raises:
        InvalidTransition: the event is not legal in the current status; the state is unchanged.
    """
    CHANGES[type(event)](state, event)
    state.seq += 1


def _created_again(state: ExecutionState, event: ExecutionCreated) -> None:
    raise InvalidTransition(f"execution {state.id}: ExecutionCreated in the middle of its history")


def _started(state: ExecutionState, event: ExecutionStarted) -> None:
    move_execution(state, event)
    state.started_at = event.at


def _scheduled(state: ExecutionState, event: StepScheduled) -> None:
    step = moved(state, event.step, StepScheduled, event.at)
    step.attempts = event.attempt
    if step.due is not None:
        step.due = None
    if step.held:
        step.held = ""
    if step.scheduled_at is not None:
        if step.question is not None:
            step.event_type = step.filter = step.question = None
        return  # a retry runs with the input of the first attempt
    before = state.resets.get(event.step) if state.resets else None
    same = before.scheduled_at if before is not None else None
    step.scheduled_at = event.at if same is None else same
    if event.input is not None:
        step.input = event.input
    if event.attempt > 1:
        step.attempts_before = event.attempt - 1


def _completed(state: ExecutionState, event: StepCompleted) -> None:
    step = moved(state, event.step, StepCompleted, event.at)
    step.started_at = event.started_at
    step.completed_at = event.at
    step.order = state.seq + 1
    if step.taken != event.taken:
        step.taken = event.taken
    if step.due is not None:
        step.due = None
    if step.output is not event.output:
        step.output = event.output
    if step.names is not event.names:
        step.names = event.names
    if step.error is not None:
        step.error = None


def _block_started(state: ExecutionState, event: BlockStarted) -> None:
    step = move_construct(state, event)
    step.attempts = event.attempt
    step.started_at = event.at
    if event.attempt == 1:
        step.scheduled_at = event.at
    if event.attempt > 1 and step.items is not None:
        step.earlier = {**(step.earlier or {}), event.attempt - 1: step.items}
    step.block, step.items, step.due, step.iteration, step.held = event.block, event.items, event.due, -1, ""


def _iteration_started(state: ExecutionState, event: IterationStarted) -> None:
    step = move_step(state, event)
    step.iteration = event.index


def _held(state: ExecutionState, event: StepHeld) -> None:
    step = move_step(state, event)
    step.held, step.due, step.message = event.reason, event.due, event.detail
    if event.reason == "mutex":
        step.since = next_asked(state, event.at)


def _lock_taken(state: ExecutionState, event: LockTaken) -> None:
    step = move_step(state, event)
    step.lock, step.held, step.due = event.name, "nothing", None


def _block_entered(state: ExecutionState, event: BlockEntered) -> None:
    step = move_step(state, event)
    step.block, step.iteration = event.block, event.index
    step.items = [event.event] if event.event is not None else None


def _event_ignored(state: ExecutionState, event: EventIgnored) -> None:
    move_step(state, event)


def _approval_requested(state: ExecutionState, event: ApprovalRequested) -> None:
    before = state.steps.get(event.step)
    by_task = before is not None and before.status is StepStatus.RUNNING
    step = move_step(state, event)
    step.started_at = event.at
    step.event_type, step.filter, step.due, step.held = ANSWER, event.filter, event.due, ""
    step.since = state.seq + 1
    if by_task:  # a further try of its work needs what it was given
        step.question = event.question
        return
    step.attempts += 1
    step.scheduled_at = event.at
    step.input = event.question


def _answer_refused(state: ExecutionState, event: AnswerRefused) -> None:
    move_step(state, event)


def _steps_added(state: ExecutionState, event: StepsAdded) -> None:
    step = move_step(state, event)
    step.items, step.block = event.steps, "steps"


def _child_started(state: ExecutionState, event: ChildStarted) -> None:
    step = move_step(state, event)
    if step.scheduled_at is None:
        step.attempts_before = event.attempt - 1
    step.attempts = event.attempt
    step.scheduled_at = step.started_at = event.at
    step.child, step.due, step.held = event.child, event.due, ""


def _fallback_started(state: ExecutionState, event: FallbackStarted) -> None:
    step = move_construct(state, event)
    step.error, step.started_at, step.due, step.block = event.error, event.started_at, None, "fallback"
    step.held = ""


def _failed(state: ExecutionState, event: StepFailed) -> None:
    step = move_step(state, event)
    step.started_at, step.completed_at, step.due = event.started_at, event.at, None
    step.taken = event.taken
    step.order = state.seq + 1
    step.error = event.error
    step.output = event.output
    step.handled = event.handled
    if event.handled in UNHANDLED and state.failure is None and state.status in BEFORE_THE_END:
        state.failure, state.failed_step = event.error, event.step


def _attempt_failed(state: ExecutionState, event: AttemptFailed) -> None:
    step = move_step(state, event)
    step.started_at = event.started_at
    step.error = event.error
    step.due, step.held = event.retry_at, ""


def _skipped(state: ExecutionState, event: StepSkipped) -> None:
    step = move_step(state, event)
    step.reason, step.message = event.reason, event.message
    step.completed_at, step.taken = event.at, event.taken
    step.order = state.seq + 1


def _cancelled(state: ExecutionState, event: StepCancelled) -> None:
    step = move_step(state, event)
    step.reason = event.reason
    step.completed_at = event.at
    step.due = None
    step.order = state.seq + 1


def _wait_started(state: ExecutionState, event: WaitStarted) -> None:
    step = move_step(state, event)
    step.attempts += 1
    step.scheduled_at = step.started_at = event.at
    step.event_type, step.filter, step.due, step.held = event.event_type, event.filter, event.due, ""
    step.since = state.seq + 1


def _timer_started(state: ExecutionState, event: TimerStarted) -> None:
    step = move_step(state, event)
    step.attempts += 1
    step.scheduled_at = step.started_at = event.at
    step.due, step.held = event.due, ""
    step.short = event.short


def _received(state: ExecutionState, event: EventReceived) -> None:
    move_step(state, event)
    state.consumed.setdefault(event_identity(event.event.source, event.event.id), state.seq + 1)


def _late(state: ExecutionState, event: EventLate) -> None:
    state.consumed.setdefault(event_identity(event.source, event.event_id), state.seq + 1)


def _variables_set(state: ExecutionState, event: VariablesSet) -> None:
    state.variables.update(event.values)


def _branch_published(state: ExecutionState, event: BranchPublished) -> None:
    state.published[published_key(event.step, event.edge)] = event.values


def _failing(state: ExecutionState, event: ExecutionFailing) -> None:
    move_execution(state, event)
    state.failure, state.failed_step = event.error, None


def _execution_held(state: ExecutionState, event: ExecutionHeld) -> None:
    move_execution(state, event)
    state.held_for = event.name
    state.held_since = next_asked(state, event.at)


def _execution_admitted(state: ExecutionState, event: ExecutionAdmitted) -> None:
    move_execution(state, event)
    state.unplaced = False


def _hooks_started(state: ExecutionState, event: HooksStarted) -> None:
    move_execution(state, event)
    state.hooks_began = True
    state.final_error = event.error


def _compensation_awaited(state: ExecutionState, event: CompensationAwaited) -> None:
    move_execution(state, event)
    _compensates(state, event)
    state.compensation_awaited = True


def _compensation_started(state: ExecutionState, event: CompensationStarted) -> None:
    move_execution(state, event)
    _compensates(state, event)
    state.compensation_awaited = False
    state.to_undo = event.steps
    state.compensation_due = event.due
    state.compensation_listed, state.compensation_instead = event.listed, event.instead


def _compensates(state: ExecutionState, event: CompensationAwaited | CompensationStarted) -> None:
    state.compensation = None
    state.compensation_problem = ""
    state.compensation_reason, state.final_error = event.reason, event.error
    state.compensation_then = event.then
    state.compensation_by = state.compensation_asked = event.by


def _step_compensated(state: ExecutionState, event: StepCompensated) -> None:
    move_step(state, event)


def _completed_late(state: ExecutionState, event: LateCompletion) -> None:
    step = move_step(state, event)
    step.started_at, step.completed_at, step.output = event.started_at, event.at, event.output
    step.reason = ""
    step.order = state.seq + 1
    if event.place >= 0:
        state.to_undo = (*state.to_undo[: event.place], event.step, *state.to_undo[event.place :])


def _undoing_asked(state: ExecutionState, event: UndoingAsked) -> None:
    step = move_step(state, event)
    step.attempts = 1
    step.scheduled_at = step.started_at = event.at
    step.block, step.message = "undo", event.execution


def _end_turned(state: ExecutionState, event: EndTurned) -> None:
    move_execution(state, event)
    state.turned, state.compensation_by = event.reason, event.by
    state.compensation_awaited = False


def _compensation_ended(state: ExecutionState, event: CompensationEnded) -> None:
    move_execution(state, event)
    state.compensation, state.compensation_problem = event.outcome, event.reason
    state.compensation_due = None


def _execution_completed(state: ExecutionState, event: ExecutionCompleted) -> None:
    move_execution(state, event)
    state.unplaced = False
    state.output = event.output
    state.completed_at = event.at


def _execution_failed(state: ExecutionState, event: ExecutionFailed) -> None:
    move_execution(state, event)
    state.unplaced = False
    state.error = event.error
    state.output = event.output
    state.completed_at = event.at


def _execution_cancelled(state: ExecutionState, event: ExecutionCancelled) -> None:
    move_execution(state, event)
    state.unplaced = False
    state.cancel_reason = event.reason
    state.completed_at = event.at


CHANGES: Final[dict[type, Callable[[ExecutionState, Any], None]]] = {
    ExecutionCreated: _created_again,
    ExecutionStarted: _started,
    StepScheduled: _scheduled,
    StepCompleted: _completed,
    AttemptFailed: _attempt_failed,
    StepFailed: _failed,
    StepSkipped: _skipped,
    StepCancelled: _cancelled,
    WaitStarted: _wait_started,
    TimerStarted: _timer_started,
    EventReceived: _received,
    EventLate: _late,
    VariablesSet: _variables_set,
    BranchPublished: _branch_published,
    ExecutionFailing: _failing,
    CompensationStarted: _compensation_started,
    CompensationEnded: _compensation_ended,
    ExecutionCompleted: _execution_completed,
    ExecutionFailed: _execution_failed,
    ExecutionCancelled: _execution_cancelled,
    BlockStarted: _block_started,
    IterationStarted: _iteration_started,
    StepHeld: _held,
    FallbackStarted: _fallback_started,
    LockTaken: _lock_taken,
    HooksStarted: _hooks_started,
    BlockEntered: _block_entered,
    EventIgnored: _event_ignored,
    ApprovalRequested: _approval_requested,
    AnswerRefused: _answer_refused,
    StepsAdded: _steps_added,
    CompensationAwaited: _compensation_awaited,
    StepCompensated: _step_compensated,
    LateCompletion: _completed_late,
    UndoingAsked: _undoing_asked,
    EndTurned: _end_turned,
    ChildStarted: _child_started,
    ExecutionHeld: _execution_held,
    ExecutionAdmitted: _execution_admitted,
    **VERB_CHANGES,
    **BESIDE_CHANGES,
}
"""What an event of each type does, but for being counted."""
