"""`fork`: another execution begins with what has happened in this one."""

from __future__ import annotations

from typing import Final

from stepwell.decider.advance import cancel, ended
from stepwell.decider.turn import Turn
from stepwell.decider.verbs_legal import code_of, refusal
from stepwell.decider.verbs_redo import rebuild, reset_step
from stepwell.execution.history import ExecutionForked
from stepwell.execution.state import StepState
from stepwell.execution.status import BEFORE_THE_END, ENDED_STEP, StepStatus

_STANDS: Final = frozenset({"delay", "milestone"})
"""What holds a step that needs nothing outside."""


def fork(turn: Turn, forked: ExecutionForked) -> None:
    """Go on as another execution: what was under way begins anew under its id.

    Raises:
        Conflict: at that point there is nothing to go on with: it had ended, or undid what it had done.
    """
    state = turn.state
    if state.status not in BEFORE_THE_END:
        raise refusal(state, "fork", code_of(state, "fork"))
    if state.cancel is not None:
        raise refusal(state, "fork", "being-cancelled", "it is being cancelled")
    if turn.run.is_stopping():
        raise refusal(state, "fork", "failing", "it has failed, and only what runs still ends; fork before that")
    turn.emit(forked)
    outside = [key for key, step in state.steps.items() if _is_outside(step)]
    in_vain = [key for key in outside if _is_in_vain(turn, key)]
    for key in outside:
        if key not in in_vain:
            reset_step(turn, key, anew=False)
    rebuild(turn)
    for key in in_vain:
        one = turn.run.open_instance(key)
        if one is not None:
            cancel(turn, one, "it does not begin anew: what it stands in has failed")
            ended(turn, one)
    turn.commands.clear()  # the locks, waits and sub-workflows of the other execution are not this one's


def _is_in_vain(turn: Turn, key: str) -> bool:
    """Whether it would not begin again, because nothing begins any more in what it stands in."""
    one = turn.run.open_instance(key)
    return one is not None and one.region.stopped


def _is_outside(step: StepState) -> bool:
    """Whether something outside was asked for: work, an event, an answer, a lock, a sub-workflow."""
    if step.status in ENDED_STEP or step.status is StepStatus.RETRYING or step.held in _STANDS:
        return False
    return step.block is None
