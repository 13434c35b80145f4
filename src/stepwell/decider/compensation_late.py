"""Late completions: the result of work that was stopped because compensation begins comes all the same.

That its work was stopped is decided before the worker hears of it. When the result comes in between, the step did have
its effect, so it has completed after all, and is undone like the others. Of work whose result never comes nobody knows
whether it had an effect: it stays cancelled, and is not undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.decider.compensation import body_of, first_place, runs_together
from stepwell.decider.compensation_places import node_of, place_of
from stepwell.decider.ending import strategy
from stepwell.decider.region import Instance
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.execution.history import LateCompletion
from stepwell.execution.inputs import ChildEnded
from stepwell.execution.state import StepState
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.execution.work import Report
from stepwell.expression.errors import ExpressionError


def take_late(turn: Turn, report: Report) -> None:
    """A report came for a step that is not running: record what it did, if that can still be undone."""
    step = turn.state.steps.get(report.step)
    if step is None or report.error is not None or step.attempts != report.attempt or not _can_be_undone(turn, step):
        return
    one = place_of(turn.run, report.step)
    if one is not None and one.node.kind == "leaf" and not one.node.for_compensation:
        _record(turn, one, report.result, report.started_at, report.scope or {})


def take_late_child(turn: Turn, end: ChildEnded) -> None:
    """A sub-workflow had completed before it heard that it was cancelled: it can undo itself like others."""
    step = turn.state.steps.get(end.step)
    if step is None or end.status != "completed" or step.child != end.child or not _can_be_undone(turn, step):
        return
    one = place_of(turn.run, end.step)
    if one is not None and one.node.kind == "workflow":
        began = step.started_at if step.started_at is not None else turn.at
        _record(turn, one, end.output, began, {"execution_id": end.child})


def _can_be_undone(turn: Turn, step: StepState) -> bool:
    """Whether the step was stopped, and compensation runs or is to come."""
    state = turn.state
    if step.status is not StepStatus.CANCELLED:
        return False
    if state.status is ExecutionStatus.COMPENSATING:
        return state.compensation is None
    if state.status is not ExecutionStatus.RUNNING or not turn.run.root.stopped:
        return False
    if state.cancel is not None:
        return state.cancel.compensate
    return state.failure is not None and strategy(turn) == "compensate"


def _record(turn: Turn, one: Instance, result: Any, started_at: int, extra: Mapping[str, Any]) -> None:
    try:
        output = result
        if one.node.output is not None:
            output = storable(turn.render(one, one.node.output, "output", {"response": result, **extra}))
    except ExpressionError:
        return  # a step whose output cannot be built has not completed
    place = _place(turn.run, one)
    turn.emit(LateCompletion(turn.at, one.key, started_at, output, place))
    if place >= 0 and runs_together(turn.run):
        turn.run.make_ready(body_of(turn.run, one.key))


def _place(run: Run, one: Instance) -> int:
    """Where among those to undo it comes: it is the last that completed."""
    state = run.state
    if one.node.undo is None or state.status is not ExecutionStatus.COMPENSATING or state.compensation_instead:
        return -1
    if state.compensation_awaited:
        return -1
    begun = first_place(run)
    order = run.plan.definition.compensation.strategy if state.compensation_listed else "reverse"
    match order:
        case "parallel":
            return len(state.to_undo)
        case "forward":
            later = (
                place
                for place in range(begun, len(state.to_undo))
                if (node := node_of(run, state.to_undo[place])) is not None and node.position > one.node.position
            )
            return next(later, len(state.to_undo))
        case _:
            return begun
