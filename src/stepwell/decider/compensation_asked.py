"""A sub-workflow that has completed is asked by its parent to undo itself."""

from __future__ import annotations

from stepwell.base.errors import ErrorInfo
from stepwell.decider.compensation import begin_compensation, has_work
from stepwell.decider.compensation_children import ANSWER, answer, asking
from stepwell.decider.keys import split_key
from stepwell.decider.turn import Turn
from stepwell.execution.commands import AnswerParent
from stepwell.execution.inputs import CompensateSelf
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus


def compensate_self(turn: Turn, asked: CompensateSelf) -> None:
    """Begin to undo what was done; or answer at once, when there is nothing to do or all is done already."""
    state = turn.state
    by = asking(asked.parent, asked.step)
    if state.status is ExecutionStatus.COMPLETED:
        _note_latest(turn)
        if has_work(turn.run):
            reason = f"execution {asked.parent} undoes it: {asked.reason}"
            begin_compensation(turn, reason, by=by, then=ANSWER, error=ErrorInfo("undone", reason))
            return
    elif state.compensation_asked == by and state.compensation_then == ANSWER:
        if state.status in ENDED_EXECUTION:
            answer(turn)
        return
    problem = "" if state.status is ExecutionStatus.COMPLETED else f"it is {state.status}"
    turn.command(AnswerParent(asked.parent, asked.step, "nothing", problem))


def _note_latest(turn: Turn) -> None:
    """What has ended is not restored when it is read; the names of its steps must be known again."""
    for key in turn.state.steps:
        name, path, _ = split_key(key)
        turn.run.note_latest(name, key, path)
