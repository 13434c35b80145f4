"""What happens when a step fails. Written once, here.

Retry, then `on_failure` or `on_timeout`, then failure edges, then the workflow's strategy (`ending`).
"""

from __future__ import annotations

from typing import assert_never

from stepwell.base.errors import ErrorInfo
from stepwell.decider.plan import Node
from stepwell.decider.run import is_taken
from stepwell.decider.scope import error_names, failed_outcome
from stepwell.decider.turn import Turn
from stepwell.execution.commands import ForgetWait, StopStep
from stepwell.execution.history import AttemptFailed, StepCancelled, StepFailed
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, PARKED_STEP, StepStatus
from stepwell.expression.errors import ExpressionError


def fail_or_retry(turn: Turn, node: Node, error: ErrorInfo, started_at: int) -> None:
    """An attempt failed: try again when the policy says so, else the step has failed."""
    step = turn.state.steps[node.name]
    if not _wants_retry(turn, node, step, error):
        fail(turn, node, error, started_at)
        return
    delay = node.retry_for(error.type).policy.delay_after(step.attempts, turn.state.seed, node.name)
    turn.emit(AttemptFailed(turn.at, node.name, step.attempts, started_at, error, turn.at + delay))
    turn.run.arm(turn.at + delay, node.name)


def _wants_retry(turn: Turn, node: Node, step: StepState, error: ErrorInfo) -> bool:
    retry = node.retry_for(error.type)
    if step.attempts >= retry.policy.max_attempts or turn.run.is_stopping():
        return False
    if retry.when is None:
        return error.retryable
    names = error_names(error, step.attempts)
    try:
        return retry.when.holds(turn.scope(node, f"retry/{step.attempts}", names, failed_outcome(error)))
    except ExpressionError:
        return False  # a condition that cannot be evaluated asks for no retry


def fail(turn: Turn, node: Node, error: ErrorInfo, started_at: int) -> None:
    """The step has failed for good; say how that was handled."""
    turn.emit(StepFailed(turn.at, node.name, started_at, error, _handling(node, error)))


def _handling(node: Node, error: ErrorInfo) -> str:
    action = node.action_for(error.type)
    if action is not None:
        match action.action:
            case "continue" | "skip":
                return "continue"
            case "compensate":
                return "compensate"
            case "terminate" | "retry" | "fallback" | "pause":
                pass
            case _:
                assert_never(action.action)
    failed = StepState(status=StepStatus.FAILED, error=error)
    return "edge" if any(is_taken(link, failed) for link in node.links) else ""


def withdraw_waits(turn: Turn, reason: str) -> None:
    """Cancel every step that waits for an event, a timer or its next attempt."""
    for name, step in turn.state.steps.items():
        if step.status in PARKED_STEP:
            _cancel(turn, name, step, reason)


def stop_everything(turn: Turn, reason: str) -> None:
    """Cancel what waits and what is in flight, have its work stopped, and start nothing that is due."""
    turn.run.ready.clear()
    for name, step in turn.state.steps.items():
        if step.status not in ENDED_STEP:
            _cancel(turn, name, step, reason)


def _cancel(turn: Turn, name: str, step: StepState, reason: str) -> None:
    if step.status is StepStatus.RUNNING:
        turn.command(StopStep(f"{turn.state.id}/{name}/{step.attempts}"))
    elif step.event_type is not None:
        turn.command(ForgetWait(name, step.event_type, step.filter))
    turn.emit(StepCancelled(turn.at, name, reason))
