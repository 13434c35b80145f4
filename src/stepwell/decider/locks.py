"""Named locks: a step's `mutex`, and the places of a workflow's `concurrency` key.

The store keeps who holds a lock and who waits for it, in order; what is asked and given back goes there with the
decision that asks it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import SECRETS, transform_leaves
from stepwell.decider.advance import begin_region
from stepwell.decider.notifying import notify_of_error
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.execution.commands import EndExecution, Otherwise, ReleaseLock, TakeLock
from stepwell.execution.history import (
    ExecutionAdmitted,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionHeld,
    ExecutionStarted,
    LockTaken,
)
from stepwell.execution.inputs import LockGranted, LockRefused
from stepwell.execution.status import ExecutionStatus
from stepwell.expression.errors import ExpressionError

_PENDING: Final = ExecutionStatus.PENDING
WHOLE: Final = ""
"""The step by which an execution as a whole holds a lock."""

_OTHERWISE: Final[dict[str, Otherwise]] = {"queue": "queue", "reject": "refuse", "replace": "replace"}


def lock_name(value: Any) -> str:
    """The name of a lock from what its key gives: text as it is, anything else as JSON.

    Raises:
        ExpressionError: it is empty, or holds a secret: names of locks are stored and shown.
    """
    transform_leaves(value, _refuse_secret)
    name = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if not name:
        raise ExpressionError("the name of a lock must not be empty", code="wrong-type")
    return name


def _refuse_secret(leaf: Any) -> Any:
    if isinstance(leaf, SECRETS):
        raise ExpressionError("the name of a lock must not hold a secret", code="wrong-type")
    return leaf


def begin(turn: Turn) -> None:
    """A place under the engine's limit is free: begin, or first ask for one under the workflow's own."""
    state, plan = turn.state, turn.run.plan
    if state.status is not _PENDING:
        return
    if plan.concurrency_key is None:
        if state.held_for:  # it stood in line before it was moved to a version that limits nothing
            turn.command(ReleaseLock(state.held_for, WHOLE))
        start(turn)
        return
    concurrency = plan.definition.config.concurrency
    assert concurrency is not None, "its key is compiled"
    if not state.held_for:
        try:
            key = plan.concurrency_key.render(turn.run.names.scope(turn.at, "", "concurrency"))
            # without a key all executions of the workflow are counted together
            name = f"{state.workflow}:{lock_name(key) if concurrency.key is not None else ''}"
        except ExpressionError as error:
            give_up(turn, ErrorInfo("invalid_config", f"concurrency: the key cannot be computed: {error.message}"))
            return
        turn.emit(ExecutionHeld(turn.at, name))
    otherwise = _OTHERWISE[concurrency.on_limit]
    turn.command(TakeLock(state.held_for, WHOLE, concurrency.limit, otherwise, state.held_since))


def place_asked(run: Run) -> TakeLock:
    """What an execution asks for that goes on after its end: it stands in line again, whatever `on_limit` says."""
    concurrency, state = run.plan.definition.config.concurrency, run.state
    return TakeLock(state.held_for, WHOLE, concurrency.limit if concurrency is not None else 1, at=state.held_since)


def start(turn: Turn) -> None:
    """Begin the execution."""
    turn.emit(ExecutionStarted(turn.at))
    begin_region(turn, turn.run.root)


def take_lock(turn: Turn, granted: LockGranted) -> None:
    """A lock that was asked for is there; one that is wanted no more is given back.

    What was asked for, given up and asked for again may be granted twice: of the first grant nothing is left then.
    """
    state = turn.state
    if granted.step == WHOLE and state.held_for == granted.name:
        if _is_old(granted, state.held_since):
            return
        if state.status is ExecutionStatus.PENDING:
            start(turn)
        elif state.unplaced:
            turn.emit(ExecutionAdmitted(turn.at))
        return
    one = turn.run.open_instance(granted.step)
    step = state.steps.get(granted.step)
    if one is not None and step is not None and step.held == "mutex" and step.message == granted.name:
        if _is_old(granted, step.since):
            return
        turn.emit(LockTaken(turn.at, one.key, granted.name))
        turn.run.make_ready(one)
    elif step is None or step.lock != granted.name:
        turn.command(ReleaseLock(granted.name, granted.step))


def _is_old(granted: LockGranted, asked: int) -> bool:
    return granted.at not in (0, asked)


def refuse_start(turn: Turn, refused: LockRefused) -> None:
    """As many executions of this key as may be are there already, and this one is not to wait."""
    state, concurrency = turn.state, turn.run.plan.definition.config.concurrency
    if state.status is ExecutionStatus.PENDING and state.held_for == refused.name and concurrency is not None:
        message = f"{concurrency.limit} of {refused.name!r} run already, and more are refused (on_limit: reject)"
        give_up(turn, ErrorInfo("concurrency_limit", message))


def give_up(turn: Turn, error: ErrorInfo) -> None:
    """The execution fails before it has begun."""
    turn.emit(ExecutionFailing(turn.at, error))
    notify_of_error(turn, error)
    turn.emit(ExecutionFailed(turn.at, error))
    turn.command(EndExecution())
