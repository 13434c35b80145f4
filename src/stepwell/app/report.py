"""An execution as users see it: the same keys on the command line, in Python and over HTTP. Secrets are masked."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import masked
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import WAITING, ExecutionStatus, StepStatus


def execution_report(definition: WorkflowDefinition, state: ExecutionState) -> dict[str, Any]:
    """What became of an execution, as JSON values: instants RFC 3339 text, durations in milliseconds."""
    names = [step.name for step in definition.steps]
    steps = {name: state.steps.get(name, _UNTOUCHED) for name in names}
    undoing = {step.name: state.steps.get(step.name, _UNTOUCHED) for step in definition.compensation.steps}
    return {
        "execution_id": state.id,
        "workflow": state.workflow,
        "version": state.version,
        "status": shown_status(state),
        "output": masked(state.output),
        "error": _error(state.error),
        "created_at": to_rfc3339(state.created_at),
        "started_at": _instant(state.started_at),
        "completed_at": _instant(state.completed_at),
        "duration_ms": _milliseconds(state.started_at, state.completed_at),
        "input": masked(state.input),
        "variables": masked(state.variables),
        "steps": [step_report(name, step) for name, step in steps.items()],
        "completed_steps": _with_status(steps, StepStatus.COMPLETED),
        "failed_steps": _with_status(steps, StepStatus.FAILED),
        "skipped_steps": _with_status(steps, StepStatus.SKIPPED),
        "compensation": state.compensation,
        "compensation_reason": state.compensation_reason or None,
        "compensation_steps": [step_report(name, step) for name, step in undoing.items()]
        if state.compensation_reason
        else [],
    }


_UNTOUCHED = StepState()


def shown_status(state: ExecutionState) -> str:
    """The status, or `waiting` when a running execution has nothing to do but wait."""
    parked = state.status is ExecutionStatus.RUNNING and not state.in_flight and state.waiting
    return WAITING if parked else state.status.value


def step_report(name: str, step: StepState) -> dict[str, Any]:
    """What became of a step; why it was skipped or cancelled, and what it waits for, where that applies."""
    report = {
        "name": name,
        "status": step.status.value,
        "attempts": step.attempts,
        "started_at": _instant(step.started_at),
        "completed_at": _instant(step.completed_at),
        "duration_ms": _milliseconds(step.started_at, step.completed_at),
        "output": masked(step.output),
        "error": _error(step.error),
    }
    if step.reason:
        report["reason"] = step.message or step.reason
    if step.status in (StepStatus.WAITING, StepStatus.RETRYING):
        report["due_at"] = _instant(step.due)
        report["waits_for"] = step.event_type
    return report


def event_report(seq: int, event: HistoryEvent) -> dict[str, Any]:
    """A history event: its number, its time, what it is called, and what it says."""
    fields = {name: masked(getattr(event, name)) for name in event.__struct_fields__ if name not in ("at", "seed")}
    shown = {name: _instant(value) if name in _INSTANTS else _plain(value) for name, value in fields.items()}
    return {"seq": seq, "at": to_rfc3339(event.at), "event": type(event).__name__, **shown}


_INSTANTS: Final = frozenset({"started_at", "retry_at", "due", "deadline"})


def _plain(value: Any) -> Any:
    if isinstance(value, ErrorInfo) or hasattr(value, "as_dict"):
        return masked(value.as_dict())
    return list(value) if isinstance(value, tuple) else value


def _with_status(steps: dict[str, StepState], status: StepStatus) -> list[str]:
    return [name for name, step in steps.items() if step.status is status]


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    return masked(error.as_dict()) if error is not None else None


def _instant(instant: int | None) -> str | None:
    return to_rfc3339(instant) if instant is not None else None


def _milliseconds(start: int | None, end: int | None) -> float | None:
    return round((end - start) / 1_000, 3) if start is not None and end is not None else None
