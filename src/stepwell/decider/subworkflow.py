"""`workflow`: another workflow as a step: an execution of its own, for whose end the step waits."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.derive import derived_bytes
from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.ids import execution_id
from stepwell.decider.failure import fail, fail_or_retry
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.execution.commands import StartChild, TellChild
from stepwell.execution.history import ChildStarted
from stepwell.execution.inputs import ChildEnded
from stepwell.execution.status import StepStatus

MAX_DEPTH: Final = 32
"""Executions above each other. A workflow that starts itself without end is stopped here."""


def start_child(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """`workflow {name, version, input, wait}`.

    Raises:
        ExpressionError: the input cannot be stored.
    """
    name, version, given = config.get("name"), config.get("version"), storable(config.get("input") or {})
    wait = config.get("wait", True)
    problem = _problem(name, version, given, wait)
    if problem is not None:
        fail(turn, one, ErrorInfo("invalid_config", f"workflow: {problem}"), turn.at)
        return
    depth = turn.state.depth + 1
    if depth > MAX_DEPTH:
        message = f"workflow {name!r} would be the {depth}th below each other; at most {MAX_DEPTH} are allowed"
        fail(turn, one, ErrorInfo("too_deep", message), turn.at)
        return
    attempt = turn.attempts(one.key) + 1
    child = execution_id(derived_bytes(turn.state.seed, "child", turn.state.id, one.key, attempt))
    due = turn.at + one.node.timeout if one.node.timeout is not None and wait else None
    turn.emit(ChildStarted(turn.at, one.key, attempt, child, str(name), version, wait, due))
    turn.run.begin(one)
    turn.command(StartChild(one.key, child, str(name), version, given, depth))
    if not wait:
        complete(turn, one, {"execution_id": child}, turn.at)
    elif due is not None:
        turn.run.arm(due, one.key)


def _problem(name: Any, version: Any, given: Any, wait: Any) -> str | None:
    if not isinstance(name, str) or not name:
        return f"name must be text, not {name!r}"
    if version is not None and not isinstance(version, str):
        return f"version must be text, not {version!r}"
    if not isinstance(given, dict):
        return f"input must be an object, not {type(given).__name__}"
    return None if isinstance(wait, bool) else f"wait must be true or false, not {wait!r}"


def take_child(turn: Turn, one: Instance, ended: ChildEnded) -> None:
    """The sub-workflow has ended: its output is the step's result, its failure the step's."""
    step = turn.state.steps[one.key]
    if step.status is not StepStatus.WAITING or step.child != ended.child:
        return
    began = step.started_at if step.started_at is not None else turn.at
    if ended.status == "completed":
        complete(turn, one, ended.output, began, {"execution_id": ended.child})
        return
    error = ended.error or ErrorInfo("workflow_cancelled", "it was cancelled")
    kind = error.type if error.type in _NOT_STARTED else f"workflow_{'failed' if ended.error else 'cancelled'}"
    what = "could not be started" if kind in _NOT_STARTED else ended.status
    message = f"sub-workflow {ended.child} {what}: {error.message}"
    details = {"execution": ended.child, "error": error.as_dict()}
    fail_or_retry(turn, one, ErrorInfo(kind, message, details, retryable=error.retryable), began)


_NOT_STARTED: Final = frozenset(
    {"unknown_workflow", "unknown_version", "invalid_input", "version_draft", "version_retired"} | {"workflow_disabled"}
)
"""Errors of a sub-workflow that never began."""


def end_waiting_for_child(turn: Turn, one: Instance) -> None:
    """The time of the step is up: the sub-workflow is cancelled."""
    step = turn.state.steps[one.key]
    began = step.started_at if step.started_at is not None else turn.at
    allowed = format_duration(one.node.timeout or 0)
    turn.command(TellChild(step.child, "cancel", "stepwell", f"step {one.key!r} of {turn.state.id} timed out"))
    error = ErrorInfo("timeout", f"sub-workflow {step.child} did not end within {allowed}", retryable=True)
    fail_or_retry(turn, one, error, began)
