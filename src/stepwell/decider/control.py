"""Control steps that are over in the turn in which they are due: `set`, `noop`, `fail`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.failure import fail
from stepwell.decider.leaf import complete, storable
from stepwell.decider.plan import Node
from stepwell.decider.turn import Turn
from stepwell.decider.waits import start_wait, start_wait_for_event
from stepwell.execution.history import VariablesSet


def _noop(turn: Turn, node: Node, config: Mapping[str, Any]) -> None:
    complete(turn, node, None, turn.at)


def _set(turn: Turn, node: Node, config: dict[str, Any]) -> None:
    """The settings are the variables' new values."""
    complete(turn, node, storable(config), turn.at)
    if turn.state.steps[node.name].error is None and config:
        turn.emit(VariablesSet(turn.at, node.name, config))


def _fail(turn: Turn, node: Node, config: Mapping[str, Any]) -> None:
    message = config.get("message")
    text = str(masked(message)) if message is not None else f"step {node.name!r} says that this has failed"
    fail(turn, node, ErrorInfo(str(config.get("type") or "failed"), text), turn.at)


CONTROL: Final[Mapping[str, Callable[[Turn, Node, dict[str, Any]], None]]] = {
    "noop": _noop,
    "set": _set,
    "fail": _fail,
    "wait": start_wait,
    "wait_for_event": start_wait_for_event,
}
"""What does a control step of each type that runs, given its rendered settings; most have ended by that."""
