"""Moving steps and executions from status to status as the tables allow, and counting who is where."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import InvalidTransition
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import PARKED_STEP, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS


def move_step(state: ExecutionState, event: Any, *, counted: bool = True) -> StepState:
    step = state.steps.get(event.step)
    before = step.status if step is not None else StepStatus.PENDING
    after = _MOVES[type(event)].get(before)
    if after is None:
        raise InvalidTransition(f"{event.step}: {type(event).__name__} while {before}")
    if step is None:
        step = state.steps[event.step] = StepState()
    if after is not before:
        step.status = after
        if before in _COUNTED and (step.block is None or before is not StepStatus.RUNNING):
            _leave(state, before, event.at)
        if after in _COUNTED and counted:
            _enter(state, after, event.at)
    return step


def move_construct(state: ExecutionState, event: Any) -> StepState:
    """The step runs, but is not itself in flight: what is inside it is."""
    before = state.steps.get(event.step)
    was_in_flight = before is not None and before.status is StepStatus.RUNNING and before.block is None
    step = move_step(state, event, counted=False)
    if was_in_flight:
        _leave(state, StepStatus.RUNNING, event.at)
    return step


_MOVES: Final[dict[type, dict[StepStatus, StepStatus]]] = {}
for (_before, _event), _after in STEP_TRANSITIONS.items():
    _MOVES.setdefault(_event, {})[_before] = _after

_COUNTED: Final = frozenset({StepStatus.RUNNING, *PARKED_STEP})
"""The statuses of which the state counts the steps."""


def _enter(state: ExecutionState, status: StepStatus, at: int) -> None:
    if status is StepStatus.RUNNING:
        state.in_flight += 1
        if state.active_since is None:
            state.active_since = at
    else:
        state.waiting += 1


def _leave(state: ExecutionState, status: StepStatus, at: int) -> None:
    if status is StepStatus.RUNNING:
        state.in_flight -= 1
        if state.in_flight == 0 and state.active_since is not None:
            state.active_before += at - state.active_since
            state.active_since = None
    else:
        state.waiting -= 1


def move_execution(state: ExecutionState, event: Any) -> None:
    after = EXECUTION_TRANSITIONS.get((state.status, type(event)))
    if after is None:
        raise InvalidTransition(f"execution {state.id}: {type(event).__name__} while {state.status}")
    state.status = after
