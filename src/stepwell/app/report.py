"""An execution as users see it: the same keys on the command line, in Python and over HTTP. Secrets are masked."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import to_rfc3339
from stepwell.base.sensitive import hide_by_name
from stepwell.base.values import masked
from stepwell.decider.keys import INSTEAD, UNDO, split_key, undo_key
from stepwell.decider.plan import Plan, outermost
from stepwell.decider.scope import Names
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import CachedResult, ExecutionState, Notification, StepState
from stepwell.execution.status import WAITING, ExecutionStatus, StepStatus
from stepwell.expression.errors import ExpressionError


def execution_report(plan: Plan, state: ExecutionState) -> dict[str, Any]:
    """What became of an execution, as JSON values: instants RFC 3339 text, durations in milliseconds."""
    steps = _in_order(plan, state)
    names = Names(plan, state)
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
        "duration_ms": milliseconds(state.started_at, state.completed_at),
        "input": masked(state.input),
        "variables": masked(_variables(state)),
        "steps": [_with_input(plan, names, name, step, state.cached.get(name)) for name, step in steps.items()],
        "completed_steps": _with_status(steps, StepStatus.COMPLETED),
        "failed_steps": _with_status(steps, StepStatus.FAILED),
        "skipped_steps": _with_status(steps, StepStatus.SKIPPED),
        "compensation": WAITING if state.compensation_awaited else state.compensation,
        "compensation_reason": state.compensation_reason or None,
        "compensation_problem": state.compensation_problem or None,
        "compensation_steps": [_with_input(plan, names, name, step) for name, step in _undoing(plan, state).items()],
        "paused": {"by": state.paused_by or None, "reason": state.pause_reason or None}
        if state.status is ExecutionStatus.PAUSED
        else None,
        "checkpoints": list(state.checkpoints),
        "parent": f"{state.parent}/{state.parent_step}" if state.parent is not None else None,
        "children": [{"step": key, "execution_id": step.child} for key, step in state.steps.items() if step.child],
        "forked_from": state.forked_from,
        "notifications": [_notification(each) for each in state.notifications],
        "figures": figures_of(plan, state),
    }


def _variables(state: ExecutionState) -> dict[str, Any]:
    """Their values; where branches are separate, those that were published last."""
    found = dict(state.variables)
    for values in state.published.values():
        found.update(values)
    return found


def _notification(notification: Notification) -> dict[str, Any]:
    """Who was told something, or is to be: each delivery is `pending`, `delivered`, `undelivered`, or `elsewhere` (the
    execution that this one was forked from sees to it)."""
    return {
        "at": to_rfc3339(notification.at),
        "about": notification.about,
        "step": notification.step or None,
        "title": notification.title,
        "deliveries": [
            {
                "channel": each.channel or None,
                "recipient": each.recipient or None,
                "status": each.outcome,
                "reason": each.reason or None,
                "at": _instant(each.at),
            }
            for each in notification.deliveries
        ],
    }


_UNTOUCHED = StepState()


def _in_order(plan: Plan, state: ExecutionState) -> dict[str, StepState]:
    """Every step of the definition in its order, and behind each what ran inside it, in the order in which it began."""
    inside: dict[str, list[str]] = {}
    for key in state.steps:
        name = outermost(plan, key)
        if key not in plan.nodes and name is not None and not _undoes(key):
            inside.setdefault(name, []).append(key)
    keys = [key for name in plan.nodes for key in (name, *inside.get(name, ()))]
    return {key: state.steps.get(key, _UNTOUCHED) for key in keys}


def _undoing(plan: Plan, state: ExecutionState) -> dict[str, StepState]:
    """What undoes, in the order in which it begins, with what has not run; nothing as long as nothing is undone."""
    if not state.compensation_reason:
        return {}
    if state.compensation_instead:
        keys = [key for key in state.steps if _undoes(key)]
    else:
        listed = plan.compensation if state.compensation_listed else ()
        keys = [*map(undo_key, state.to_undo), *(node.name for node in listed)]
    return {key: state.steps.get(key, _UNTOUCHED) for key in keys}


def _undoes(key: str) -> bool:
    """Whether the instance undoes another, or compensates because another failed."""
    return split_key(key)[1].rpartition(",")[2] in (UNDO, INSTEAD)


def shown_status(state: ExecutionState) -> str:
    """The status, or `waiting` when a running execution has nothing to do but wait."""
    parked = state.status is ExecutionStatus.RUNNING and not state.in_flight and state.waiting
    return WAITING if parked else state.status.value


def figures_of(plan: Plan, state: ExecutionState) -> dict[str, Any]:
    """How it went, in numbers; of an execution that still runs, up to now. Only what workers did counts.

    `attempts` of all steps, `retries` among them, `failed_attempts` and their share (`failure_rate`, 0 to 1; null
    before the first attempt), the time that all steps took together (`busy_ms`), and how many were at work on average
    while any was (`parallelism`; null before the first has ended).
    """
    steps = [step for name, step in state.steps.items() if step.attempts and not _is_control(plan, name)]
    attempts = sum(step.attempts for step in steps)
    failed = sum(step.attempts - (step.status not in (StepStatus.FAILED, StepStatus.RETRYING)) for step in steps)
    times = [(step.started_at, step.completed_at) for step in steps]
    busy = sum(ended - started for started, ended in times if started is not None and ended is not None)
    active = state.active_before
    return {
        "attempts": attempts,
        "retries": sum(step.attempts - 1 for step in steps),
        "failed_attempts": failed,
        "failure_rate": round(failed / attempts, 4) if attempts else None,
        "busy_ms": round(busy / 1_000, 3),
        "parallelism": round(busy / active, 3) if active else None,
    }


def _is_control(plan: Plan, name: str) -> bool:
    node = plan.node(name)
    return node is not None and node.is_control


def _with_input(
    plan: Plan, names: Names, name: str, step: StepState, cached: CachedResult | None = None
) -> dict[str, Any]:
    """The report of a step with the settings it was run with: recorded, or derived as a recovery would derive them; and
    with where its result came from, if that was the cache (`from_cache`)."""
    report = step_report(name, step)
    node = plan.node(name)
    settings = step.input
    if settings is None and step.attempts and node is not None and step.scheduled_at is not None:
        try:
            settings = node.config.render(names.scope(step.scheduled_at, name, "config"))
        except ExpressionError:
            settings = None
    report["input"] = hide_by_name(masked(settings))
    if cached is not None and cached.execution:
        report["from_cache"] = {"execution_id": cached.execution, "made_at": to_rfc3339(cached.made_at)}
    return report


def step_report(name: str, step: StepState) -> dict[str, Any]:
    """What became of a step; how its failure was handled (see `StepFailed.handled`), why it was skipped or cancelled,
    what it waits for, and the id of its latest sub-workflow (`child`), where that applies."""
    report = {
        "name": name,
        "status": step.status.value,
        "attempts": step.attempts,
        "started_at": _instant(step.started_at),
        "completed_at": _instant(step.completed_at),
        "duration_ms": milliseconds(step.started_at, step.completed_at),
        "output": masked(step.output),
        "error": _error(step.error),
    }
    if step.handled:
        report["handled"] = step.handled
    if step.child:
        report["child"] = step.child
    if step.reason:
        report["reason"] = step.message or step.reason
    if step.status in (StepStatus.WAITING, StepStatus.RETRYING):
        report["due_at"] = _instant(step.due)
        report["waits_for"] = step.event_type
    return report


def event_report(seq: int, event: HistoryEvent) -> dict[str, Any]:
    """A history event: its number, its time, what it is called, and what it says. An event from outside that is part of
    it is called `received`."""
    fields = {name: masked(getattr(event, name)) for name in event.__struct_fields__ if name not in ("at", "seed")}
    shown = {
        name: _instant(value) if name in _INSTANTS else hide_by_name(_plain(value)) for name, value in fields.items()
    }
    if "event" in shown:
        shown["received"] = shown.pop("event")
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


def milliseconds(start: int | None, end: int | None) -> float | None:
    """The time between two instants; None while one of them is not known."""
    return round((end - start) / 1_000, 3) if start is not None and end is not None else None
