"""What happens when a step fails. Written once, here.

Retry, then `on_failure` or `on_timeout`, then failure edges, then the workflow's strategy (`ending`).
"""

from __future__ import annotations

from stepwell.base.errors import ErrorInfo
from stepwell.decider.plan import Node
from stepwell.decider.run import is_taken
from stepwell.decider.scope import error_scope
from stepwell.decider.turn import Turn
from stepwell.execution.commands import ForgetWait, StopStep
from stepwell.execution.history import AttemptFailed, StepCancelled, StepFailed
from stepwell.execution.state import StepState
from stepwell.execution.status import StepStatus
from stepwell.expression.errors import ExpressionError


def fail_or_retry(turn: Turn, node: Node, error: ErrorInfo, started_at: int) -> None:
    """An attempt failed: try again when the policy says so, else the step has failed."""
    step = turn.state.steps[node.name]
    if not _wants_retry(turn, node, step, error):
        fail(turn, node, error, started_at)
        return
    delay = node.retry.delay_after(step.attempts, turn.state.seed, node.name)
    turn.emit(AttemptFailed(turn.at, node.name, step.attempts, started_at, error, turn.at + delay))
    turn.run.arm(turn.at + delay, node.name)


def _wants_retry(turn: Turn, node: Node, step: StepState, error: ErrorInfo) -> bool:
    if step.attempts >= node.retry.max_attempts:
        return False
    if turn.run.is_stopping() and not node.for_compensation:
        return False  # the execution is about to end: nothing new starts
    if node.retry_when is None:
        return error.retryable
    try:
        scope = turn.scope(node, f"retry/{step.attempts}", {**error_scope(error, step.attempts), "result": None})
        return node.retry_when.holds(scope)
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
            case _:
                pass
    failed = StepState(status=StepStatus.FAILED, error=error)
    return "edge" if any(is_taken(link, failed) for link in node.links if link.on != "satisfied") else ""


def withdraw_waits(turn: Turn, reason: str) -> None:
    """Cancel every step that waits for an event, a timer or its next attempt."""
    for name, step in list(turn.state.steps.items()):
        if step.status in (StepStatus.WAITING, StepStatus.RETRYING):
            cancel_step(turn, name, step, reason)


def stop_running(turn: Turn, reason: str) -> None:
    """Cancel every step in flight, and have its work stopped."""
    for name, step in list(turn.state.steps.items()):
        if step.status is StepStatus.RUNNING:
            cancel_step(turn, name, step, reason)


def cancel_step(turn: Turn, name: str, step: StepState, reason: str) -> None:
    """The step ends without a result."""
    if step.status is StepStatus.RUNNING:
        turn.command(StopStep(f"{turn.state.id}/{name}/{step.attempts}"))
    elif step.event_type is not None:
        turn.command(ForgetWait(name, step.event_type, step.filter))
    turn.emit(StepCancelled(turn.at, name, reason))
