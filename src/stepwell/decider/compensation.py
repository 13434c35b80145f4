"""Undoing: `compensation.steps`, one after the other."""

from __future__ import annotations

from stepwell.decider.control import start_control
from stepwell.decider.failure import fail
from stepwell.decider.leaf import expression_failure, start_leaf
from stepwell.decider.plan import Node
from stepwell.decider.turn import Turn
from stepwell.execution.history import CompensationEnded, StepSkipped
from stepwell.execution.status import ENDED_STEP, StepStatus
from stepwell.expression.errors import ExpressionError, UnavailableOutput


def continue_compensation(turn: Turn) -> None:
    """Start the next compensation step, or record that all are through. Called when nothing is in flight."""
    run = turn.run
    nodes = run.plan.compensation
    while run.compensated < len(nodes):
        node = nodes[run.compensated]
        if node.name not in turn.state.steps:
            _start(turn, node)
        if turn.state.steps[node.name].status not in ENDED_STEP:
            return
        run.compensated += 1
    turn.emit(CompensationEnded(turn.at, _outcome(turn)))


def _start(turn: Turn, node: Node) -> None:
    """Start it, or skip it: by its condition, or because it refers to what never came to be."""
    try:
        if node.when is not None and not node.when.holds(turn.scope(node, "when")):
            turn.emit(StepSkipped(turn.at, node.name, "condition", "its condition does not hold"))
            return
        node.config.render(turn.scope(node, "config"))
    except UnavailableOutput as error:
        turn.emit(StepSkipped(turn.at, node.name, "unavailable", error.message))
        return
    except ExpressionError as error:
        fail(turn, node, expression_failure(error), turn.at)
        return
    if node.is_control:
        start_control(turn, node)
    else:
        start_leaf(turn, node)


def _outcome(turn: Turn) -> str:
    statuses = [turn.state.steps[node.name].status for node in turn.run.plan.compensation]
    if StepStatus.FAILED in statuses:
        return "failed"
    return "done" if StepStatus.COMPLETED in statuses else "nothing"
