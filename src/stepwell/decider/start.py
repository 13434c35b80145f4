"""Starting a step that is due: what holds it back, its condition, its settings, and then what its type says."""

from __future__ import annotations

from typing import Final

from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import ended, hold
from stepwell.decider.constructs import CONSTRUCTS
from stepwell.decider.control import CONTROL
from stepwell.decider.edges import record_published, taken_edges
from stepwell.decider.failure import end_failed, fail
from stepwell.decider.leaf import settings_of, start_leaf
from stepwell.decider.locks import lock_name
from stepwell.decider.region import Instance, Region
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure
from stepwell.execution.commands import TakeLock
from stepwell.execution.history import StepSkipped
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, StepStatus
from stepwell.expression.errors import ExpressionError, UnavailableOutput
from stepwell.expression.scope import Outcome

_MISSED: Final = ENDED_STEP - {StepStatus.COMPLETED}


def start_step(turn: Turn, one: Instance) -> None:
    """Start the step, or skip it by its condition. When that or its settings cannot be evaluated it has failed.

    A compensation step that reads what never came to be is skipped instead: there is nothing to undo.
    """
    node = one.node
    try:
        if not node.is_plain and not _is_retried(turn, one) and not _may_start(turn, one):
            return
        if node.kind == "leaf":
            start_leaf(turn, one, settings_of(turn, one))
        else:
            _start_control(turn, one)
    except ExpressionError as error:
        if node.for_compensation and isinstance(error, UnavailableOutput):
            skip(turn, one, "unavailable", error.message)
        else:
            fail(turn, one, expression_failure(error), turn.at)


def _skip_by_condition(turn: Turn, one: Instance) -> None:
    """Its own condition does not hold; edges may ask for that.

    Raises:
        ExpressionError: one of them cannot be decided.
    """
    skipped = StepState(status=StepStatus.SKIPPED, reason="condition")
    taken = taken_edges(turn, one, skipped, Outcome(skipped=True), {"error": None})
    turn.emit(StepSkipped(turn.at, one.key, "condition", "its condition does not hold", taken.numbers))
    record_published(turn, one, {}, taken)
    ended(turn, one)


def skip(turn: Turn, one: Instance, reason: str, message: str) -> None:
    """The step will not run."""
    turn.emit(StepSkipped(turn.at, one.key, reason, message))
    ended(turn, one)


def _start_control(turn: Turn, one: Instance) -> None:
    kind = one.node.kind
    control = CONTROL.get(kind)
    if control is not None:
        control(turn, one, settings_of(turn, one))
    else:
        CONSTRUCTS[kind].start(turn, one)


def _is_retried(turn: Turn, one: Instance) -> bool:
    """Whether it has begun before: then nothing is asked again."""
    return turn.step(one.key).status is StepStatus.RETRYING


def _may_start(turn: Turn, one: Instance) -> bool:
    """Whether nothing holds the step back, too many visits, a milestone, a lock, and its condition holds.

    Raises:
        ExpressionError: one of them cannot be evaluated.
    """
    limit = one.node.step.max_visits
    if limit is not None and one.visit > limit:
        message = f"step {one.node.name!r} was visited {limit} times, which is its max_visits"
        handled = "continue" if _goes_on(one) else ""
        end_failed(turn, one, ErrorInfo("max_visits", message), turn.at, handled)
        return False
    if not _is_at_milestone(turn, one) or not _has_lock(turn, one):
        return False
    if one.node.when is None or one.node.when.holds(turn.scope(one, "when")):
        return True
    _skip_by_condition(turn, one)
    return False


def _goes_on(one: Instance) -> bool:
    action = one.node.action_for("max_visits")
    return action is not None and action.action in ("continue", "skip")


def _is_at_milestone(turn: Turn, one: Instance) -> bool:
    """Whether all that must be over is over, and none of what must not be has ended."""
    milestone = one.node.step.milestone
    if milestone is None:
        return True
    passed = next((name for name in milestone.before if _status(turn, one, name) in ENDED_STEP), None)
    if passed is not None:
        skip(turn, one, "milestone", f"step {passed!r} has ended")
        return False
    statuses = {name: _status(turn, one, name) for name in milestone.after}
    if all(status is StepStatus.COMPLETED for status in statuses.values()):
        return True
    missed = next((name for name, status in statuses.items() if status in _MISSED), None)
    if missed is not None:
        skip(turn, one, "milestone", f"step {missed!r} has ended without completing")
        return False
    if turn.step(one.key).held != "milestone":
        hold(turn, one, "milestone", detail=", ".join(milestone.after))
    else:
        turn.run.begin(one)
    turn.run.held = {**turn.run.held, one.key: one}
    return False


def _status(turn: Turn, one: Instance, name: str) -> StepStatus:
    region: Region | None = one.region
    while region is not None and name not in region.graph.nodes:
        region = region.owner.region if region.owner is not None else None
    return turn.step(region.key_of(name) if region is not None else name).status


def _has_lock(turn: Turn, one: Instance) -> bool:
    mutex = one.node.step.mutex
    if mutex is None or turn.step(one.key).lock:
        return True
    assert one.node.lock_name is not None, "compiled with the mutex"
    name = lock_name(turn.render(one, one.node.lock_name, "mutex"))
    hold(turn, one, "mutex", turn.at + mutex.timeout if mutex.timeout is not None else None, name)
    turn.command(TakeLock(name, one.key, at=turn.step(one.key).since))
    return False
