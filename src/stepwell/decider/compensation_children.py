"""A sub-workflow is undone by its own definition: the execution that started it asks, and it answers at the end."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.decider.failure import fail
from stepwell.decider.keys import split_key
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.execution.commands import AnswerParent, CompensateChild, EndExecution
from stepwell.execution.history import UndoingAsked
from stepwell.execution.inputs import ChildCompensated
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import StepStatus

ANSWER: Final = "answer"
"""What follows the compensation of a sub-workflow that was asked for by its parent."""


# ── In the execution that asks ───────────────────────────────────────────────────────────────────────────────────────


def ask_child(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """Have the sub-workflow of the step that this instance undoes undo itself."""
    undone = one.region.owner
    assert undone is not None, "it undoes a step"
    child = turn.state.steps[undone.key].child
    turn.emit(UndoingAsked(turn.at, one.key, child))
    turn.run.begin(one)
    turn.command(CompensateChild(one.key, child, turn.state.compensation_reason))


def take_answer(turn: Turn, came_in: ChildCompensated) -> None:
    """The sub-workflow is through; nothing happens when nobody waits for that (any more)."""
    one = turn.run.open_instance(came_in.step)
    step = turn.state.steps.get(came_in.step)
    if one is None or step is None or step.status is not StepStatus.WAITING or step.block != "undo":
        return
    began = step.started_at if step.started_at is not None else turn.at
    if came_in.outcome == "failed":
        message = f"sub-workflow {step.message} could not undo everything"
        message += f": {came_in.message}" if came_in.message else ""
        fail(turn, one, ErrorInfo("compensation_failed", message, {"execution": step.message}), began)
    else:
        said = {"compensation": came_in.outcome, "execution": step.message}
        complete(turn, one, {**said, "message": came_in.message} if came_in.message else said, began)


# ── In the sub-workflow ──────────────────────────────────────────────────────────────────────────────────────────────


def asking(parent: str, step: str) -> str:
    """Who asks, as `CompensationStarted.by` says it."""
    return f"{parent}/{step}"


def answer(turn: Turn) -> None:
    """Tell who asked how it ended."""
    state = turn.state
    parent, _, step = state.compensation_asked.partition("/")
    turn.command(AnswerParent(parent, step, state.compensation or "failed", _problem(state)))


def answer_at_the_end(turn: Turn) -> None:
    """Answer when the execution ends in this turn, however it does."""
    if any(isinstance(command, EndExecution) for command in turn.commands):
        answer(turn)


def _problem(state: ExecutionState) -> str:
    if state.compensation is None:
        return "it was cancelled before that was started"
    if state.compensation != "failed" or state.compensation_problem:
        return state.compensation_problem
    failed = [key for key, step in state.steps.items() if step.status is StepStatus.FAILED and _undoes(key)]
    return f"failed: {', '.join(failed)}" if failed else ""


def _undoes(key: str) -> bool:
    return split_key(key)[1].rpartition(",")[2] == "undo"
