"""Control steps that are over in the turn in which they are due: `set`, `noop`, `fail`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.approval import start_approval
from stepwell.decider.compensation_children import ask_child
from stepwell.decider.failure import fail
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.state_machine import start_waiting
from stepwell.decider.subworkflow import start_child
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.decider.waits import start_wait, start_wait_for_event


def _noop(turn: Turn, one: Instance, config: Mapping[str, Any]) -> None:
    complete(turn, one, None, turn.at)


def _set(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """The settings are the variables' new values."""
    complete(turn, one, storable(config), turn.at, variables=config)


def _fail(turn: Turn, one: Instance, config: Mapping[str, Any]) -> None:
    message = config.get("message")
    text = str(masked(message)) if message is not None else f"step {one.node.name!r} says that this has failed"
    fail(turn, one, ErrorInfo(str(config.get("type") or "failed"), text), turn.at)


CONTROL: Final[Mapping[str, Callable[[Turn, Instance, dict[str, Any]], None]]] = {
    "noop": _noop,
    "checkpoint": _noop,
    "set": _set,
    "fail": _fail,
    "wait": start_wait,
    "wait_for_event": start_wait_for_event,
    "approval": start_approval,
    "workflow": start_child,
    "undo_child": ask_child,
    "machine_wait": start_waiting,
}
"""What does a control step of each type that runs, given its rendered settings; most have ended by that."""
