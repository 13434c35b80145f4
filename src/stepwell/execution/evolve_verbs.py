"""What the events of operators' verbs do to the state; see `evolve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.execution.evolve_beside import leave_notifications
from stepwell.execution.history import (
    CancelRequested,
    CheckpointReached,
    ExecutionForked,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    Intervened,
    RolledBack,
    StepReopened,
    StepReset,
)
from stepwell.execution.moving import move_construct, move_execution, move_step, next_asked
from stepwell.execution.state import Cancellation, Checkpoint, ExecutionState, Reset, StepState
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus


def _paused(state: ExecutionState, event: ExecutionPaused) -> None:
    move_execution(state, event)
    state.pause_reason, state.paused_by = event.reason, event.by
    if event.step:
        state.paused_steps = [*state.paused_steps, event.step]
    _stand_still(state, event.at)


def _resumed(state: ExecutionState, event: ExecutionResumed) -> None:
    move_execution(state, event)
    _go_on(state, event.at)


def _stand_still(state: ExecutionState, at: int) -> None:
    """A paused execution is not active, even while something of it runs."""
    if state.active_since is not None:
        state.active_before += at - state.active_since
        state.active_since = None


def _go_on(state: ExecutionState, at: int) -> None:
    state.pause_reason = state.paused_by = ""
    state.paused_steps = []
    if state.in_flight:
        state.active_since = at


def _cancel_requested(state: ExecutionState, event: CancelRequested) -> None:
    move_execution(state, event)
    if state.pause_reason or state.paused_by:
        _go_on(state, event.at)
    state.cancel = Cancellation(event.by, event.reason, event.stop, event.compensate)


def _intervened(state: ExecutionState, event: Intervened) -> None:
    """What was said about the end is no longer so; an execution that goes on has the time it is allowed once more."""
    had_ended = state.status in ENDED_EXECUTION
    move_execution(state, event)
    state.failure = state.failed_step = state.error = state.final_error = None
    state.hooks_began = False
    state.rolling_back = event.details["checkpoint"] if event.verb == "rollback" else ""
    if had_ended:
        _stand_in_line_again(state, event.at)
        state.completed_at = state.output = state.cancel = None
        state.cancel_reason = ""
        state.active_before = 0
        _forget_compensation(state)


def _stand_in_line_again(state: ExecutionState, at: int) -> None:
    """It goes on without the lock that it had as a whole."""
    state.unplaced = bool(state.held_for)
    if state.held_for:
        state.held_since = next_asked(state, at)


def _forget_compensation(state: ExecutionState) -> None:
    state.compensation = None
    state.compensation_reason = state.compensation_by = state.compensation_problem = state.compensation_instead = ""
    state.compensation_then, state.compensation_listed = "fail", True
    state.to_undo = ()
    state.compensation_due = state.turned = None
    state.compensation_awaited = False


def _step_reset(state: ExecutionState, event: StepReset) -> None:
    step = move_step(state, event)
    del state.steps[event.step]
    state.cached.pop(event.step, None)
    state.rate_values.pop(event.step, None)
    before = state.resets.get(event.step, Reset())
    kept = _numbered_attempts(step) or before.attempts
    state.resets[event.step] = Reset(
        kept,
        before.generation + event.anew,
        None if event.anew else step.input,
        None if event.anew else step.scheduled_at,
        event.settings,
    )
    if any(point.step == event.step for point in state.checkpoints.values()):
        state.checkpoints = {name: point for name, point in state.checkpoints.items() if point.step != event.step}
    if event.step in state.paused_steps:
        state.paused_steps = [key for key in state.paused_steps if key != event.step]


def _numbered_attempts(step: StepState) -> int:
    """The attempts that have a name outside: assignments and sub-workflows. Those of constructs have none."""
    is_wait = step.event_type is not None and step.question is None
    return step.attempts if step.block in (None, "fallback") and not is_wait else 0


def _step_reopened(state: ExecutionState, event: StepReopened) -> None:
    step = move_construct(state, event)
    step.iteration, step.due = event.iteration, event.due
    step.completed_at = step.error = step.output = None
    step.handled = step.reason = step.message = ""
    step.taken = ()
    step.order = 0


def _checkpoint_reached(state: ExecutionState, event: CheckpointReached) -> None:
    state.checkpoints[event.name] = Checkpoint(state.seq + 1, event.step, dict(state.variables))


def _rolled_back(state: ExecutionState, event: RolledBack) -> None:
    """The failure that came before was undone with everything else."""
    move_execution(state, event)
    point = state.checkpoints[event.checkpoint]
    state.variables.clear()
    state.variables.update(point.variables)
    state.rolling_back = ""
    state.checkpoints = {name: one for name, one in state.checkpoints.items() if one.seq <= point.seq}
    state.failure = state.failed_step = state.error = state.final_error = None
    _forget_compensation(state)


def _migrated(state: ExecutionState, event: ExecutionMigrated) -> None:
    move_execution(state, event)
    state.version, state.digest = event.version, event.digest
    state.variables.update(event.variables)
    for key, settings in event.settings.items():
        state.steps[key].input = settings
    if not event.names:
        return
    state.steps = {renamed_key(key, event.names): step for key, step in state.steps.items()}
    state.resets = {renamed_key(key, event.names): reset for key, reset in state.resets.items()}
    state.cached = {renamed_key(key, event.names): cached for key, cached in state.cached.items()}
    state.rate_values = {renamed_key(key, event.names): value for key, value in state.rate_values.items()}
    if state.failed_step is not None:
        state.failed_step = renamed_key(state.failed_step, event.names)


def renamed_key(key: str, names: Mapping[str, str]) -> str:
    """The key of an instance of a step that may have another name now."""
    name = key.partition("[")[0].partition("#")[0]
    return names.get(name, name) + key[len(name) :]


def _forked(state: ExecutionState, event: ExecutionForked) -> None:
    """Another execution, for which the time since the last event has not passed."""
    move_execution(state, event)
    state.id, state.seed, state.forked_from, state.created_at = event.id, event.seed, event.origin, event.at
    state.start_key = state.parent = state.parent_step = None
    state.depth = 0
    state.trace = ""
    if state.status in (ExecutionStatus.RUNNING, ExecutionStatus.PAUSED):
        _stand_in_line_again(state, event.at)
    else:
        state.unplaced = False
    if state.deadline is not None:
        state.deadline += event.passed
    if state.active_since is not None:
        state.active_since += event.passed
    for step in state.steps.values():
        if step.due is not None:
            step.due += event.passed
    leave_notifications(state)


VERB_CHANGES: Final[Mapping[type, Callable[[ExecutionState, Any], None]]] = {
    ExecutionPaused: _paused,
    ExecutionResumed: _resumed,
    CancelRequested: _cancel_requested,
    Intervened: _intervened,
    StepReset: _step_reset,
    StepReopened: _step_reopened,
    CheckpointReached: _checkpoint_reached,
    RolledBack: _rolled_back,
    ExecutionMigrated: _migrated,
    ExecutionForked: _forked,
}
"""By kind of event."""
