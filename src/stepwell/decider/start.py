"""Starting a step that is due: its condition, its settings, and then what its type says."""

from __future__ import annotations

from typing import Any

from stepwell.decider.control import CONTROL
from stepwell.decider.failure import fail
from stepwell.decider.leaf import expression_failure, start_leaf
from stepwell.decider.plan import Node
from stepwell.decider.turn import Turn
from stepwell.execution.history import StepSkipped
from stepwell.expression.errors import ExpressionError, UnavailableOutput


def start_step(turn: Turn, node: Node) -> None:
    """Start the step, or skip it by its condition. When that or its settings cannot be evaluated it has failed.

    A compensation step that reads what never came to be is skipped instead: there is nothing to undo.
    """
    try:
        if node.when is not None and not node.when.holds(turn.scope(node, "when")):
            turn.emit(StepSkipped(turn.at, node.name, "condition", "its condition does not hold"))
        else:
            _start(turn, node, turn.render(node, node.config, "config"))
    except ExpressionError as error:
        if node.for_compensation and isinstance(error, UnavailableOutput):
            turn.emit(StepSkipped(turn.at, node.name, "unavailable", error.message))
        else:
            fail(turn, node, expression_failure(error), turn.at)


def _start(turn: Turn, node: Node, config: dict[str, Any]) -> None:
    if node.is_control:
        CONTROL[node.step.type](turn, node, config)
    else:
        start_leaf(turn, node, config)
