"""Moving steps and executions from status to status as the tables allow, and counting who is where."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import InvalidTransition
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import PARKED_STEP, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS


def move_step(state: ExecutionState, event: Any) -> StepState:
    """Move the step of the event; one that nothing happened to yet gets a state."""
    return moved(state, event.step, type(event), event.at)


def moved(state: ExecutionState, key: str, what: type, at: int, counted: bool = True) -> StepState:
    """Move a step because `what` happened to it.

    Two of three events of a history come this way, so what happens most is done here, and nothing is stored into a
    struct that stands there already: storing takes longer than looking. The event itself is not asked for, since the
    interpreter is quick only where what it looks at is always of one type.

    Args:
        counted: whether a step that runs after this is in flight itself.
    """
    step = state.steps.get(key)
    before = step.status if step is not None else _PENDING
    after = _MOVES[what].get(before)
    if after is None:
        raise InvalidTransition(f"{key}: {what.__name__} while {before}")
    if step is None:
        step = state.steps[key] = StepState(after)
    elif after is before:
        return step
    else:
        step.status = after
        if before is _RUNNING:
            if step.block is None:
                _end_flight(state, at)
        elif before in PARKED_STEP:
            state.waiting -= 1
    if after is _RUNNING:
        if counted:
            state.in_flight += 1
            if state.active_since is None:
                state.active_since = at
    elif after in PARKED_STEP:
        state.waiting += 1
    return step


def move_construct(state: ExecutionState, event: Any) -> StepState:
    """The step runs, but is not itself in flight: what is inside it is."""
    before = state.steps.get(event.step)
    was_in_flight = before is not None and before.status is StepStatus.RUNNING and before.block is None
    step = moved(state, event.step, type(event), event.at, False)
    if was_in_flight:
        _end_flight(state, event.at)
    return step


_PENDING: Final = StepStatus.PENDING
_RUNNING: Final = StepStatus.RUNNING

_MOVES: Final[dict[type, dict[StepStatus, StepStatus]]] = {}
for (_before, _event), _after in STEP_TRANSITIONS.items():
    _MOVES.setdefault(_event, {})[_before] = _after


def _end_flight(state: ExecutionState, at: int) -> None:
    """A step is no longer in flight."""
    state.in_flight -= 1
    if state.in_flight == 0 and state.active_since is not None:
        state.active_before += at - state.active_since
        state.active_since = None


def move_execution(state: ExecutionState, event: Any) -> None:
    after = EXECUTION_TRANSITIONS.get((state.status, type(event)))
    if after is None:
        raise InvalidTransition(f"execution {state.id}: {type(event).__name__} while {state.status}")
    state.status = after


def next_asked(state: ExecutionState, at: int) -> int:
    """The instant as which a lock that is asked for now is known: another one each time."""
    state.asked = max(at, state.asked + 1)
    return state.asked
