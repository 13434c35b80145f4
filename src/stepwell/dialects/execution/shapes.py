"""What the dialect shows of executions: states, figures, and the records of the product's API.

All are made from what the engine tells anyway: the report of an execution (`stepwell execution show -o json`), and
lines of the list of executions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stepwell.base.durations import DAY, HOUR, SECOND, format_duration
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.execution.attempts import attempts_of
from stepwell.execution.history import HistoryEvent

STATUSES: Final[Mapping[str, str]] = {
    "pending": "pending",
    "running": "running",
    "retrying": "retrying",
    "waiting": "suspended",
    "paused": "suspended",
    "compensating": "compensating",
    "completed": "completed",
    "compensated": "completed",
    "failed": "failed",
    "skipped": "skipped",
    "cancelled": "cancelled",
}
"""The statuses of workflows and activities by the engine's."""

INSTANCE_STATUSES: Final[Mapping[str, str]] = {
    "pending": "PENDING",
    "running": "EXECUTING_ACTIVITIES",
    "retrying": "RETRYING",
    "suspended": "SUSPENDED",
    "compensating": "COMPENSATING",
    "completed": "FINISHED",
    "failed": "FAILED",
    "cancelled": "FAILED",
}
"""The statuses of instances in the API by those of workflows. It has none for what was cancelled."""

TASK_STATUSES: Final[Mapping[str, str]] = {
    "pending": "SCHEDULED",
    "retrying": "SCHEDULED",
    "running": "STARTED",
    "suspended": "STARTED",
    "completed": "FINISHED",
    "skipped": "FINISHED",
    "failed": "FAILED",
    "cancelled": "FAILED",
}
"""The statuses of tasks in the API by those of activities. Beside them stand two that need more than the status:
`AWAITING_USER_INPUT` and `UNAUTHORIZED`, when somebody must agree, and when he did not."""

_AT_WORK: Final = frozenset({"running", "retrying", "suspended"})
_ASKS, _REFUSED = "approve_", "refused_"
_NUMBERED: Final = re.compile(r"step_([0-9]+)")

Report = Mapping[str, Any]
"""The report of an execution."""


# ── One execution ────────────────────────────────────────────────────────────────────────────────────────────────────


def status(report: Report) -> str:
    """The status of a workflow, in the dialect's words."""
    if report["compensation"] == "waiting":
        return "suspended"
    is_under_way = report["status"] in ("running", "waiting")
    retries = is_under_way and any(step["status"] == "retrying" for step in report["steps"])
    return "retrying" if retries else STATUSES[report["status"]]


def state(report: Report) -> dict[str, Any]:
    """`{id, status, started_at, current_activity, variables}`. `current_activity` is a list when there are several."""
    steps = [*report["steps"], *report["compensation_steps"]]
    current = [_activity_of(step["name"]) for step in steps if STATUSES[step["status"]] in _AT_WORK]
    return {
        "id": report["execution_id"],
        "status": status(report),
        "started_at": report["started_at"],
        "current_activity": current if len(current) > 1 else current[0] if current else None,
        "variables": {**(report["input"] or {}), **report["variables"]},
    }


def activity_states(
    report: Report, definition: WorkflowDefinition, history: Iterable[HistoryEvent]
) -> list[dict[str, Any]]:
    """`{id, name, status, started_at, completed_at, input, output, attempts}` of every activity, also of those that
    undo; one whose failure is skipped is `skipped`. `attempts` has a record of each try: see `attempts.attempts_of`."""
    attempts = attempts_of(history)
    skipping = {
        step.name for step in definition.steps if step.on_failure is not None and step.on_failure.action == "skip"
    }
    steps = [step for step in report["steps"] if not _is_question(step["name"], report)]
    return [
        {
            "id": f"{report['execution_id']}/{step['name']}",
            "name": step["name"],
            "status": _activity_status(step, skipping),
            "started_at": step["started_at"],
            "completed_at": step["completed_at"],
            "input": _input(step),
            "output": step["output"],
            "attempts": attempts.get(step["name"], []),
        }
        for step in (*steps, *report["compensation_steps"])
    ]


def instance(report: Report) -> dict[str, Any]:
    """`{id, workflowId, version, status, startedAt, completedAt}` of the API."""
    return {
        "id": report["execution_id"],
        "workflowId": report["workflow"],
        "version": int(str(report["version"]).partition(".")[0]),
        "status": INSTANCE_STATUSES[status(report)],
        "startedAt": report["started_at"],
        "completedAt": report["completed_at"],
    }


def tasks(report: Report) -> list[dict[str, Any]]:
    """The records of the API for every activity that has begun or stands in line: `{id, stepIdentifier, activity,
    status, input, result, isRetry, isCompensation, executionTime, startedAt, lastUpdatedAt}`. `executionTime` is in
    seconds."""
    by_name = {step["name"]: step for step in report["steps"]}
    steps = [step for step in report["steps"] if not _is_question(step["name"], report)]
    return [
        *(_task(report, step, _asked(step, by_name), undoes=False) for step in steps),
        *(_task(report, step, STATUSES[step["status"]], undoes=True) for step in report["compensation_steps"]),
    ]


def _task(report: Report, step: Mapping[str, Any], status_: str, *, undoes: bool) -> dict[str, Any]:
    number = _NUMBERED.fullmatch(step["name"])
    duration = step["duration_ms"]
    return {
        "id": f"{report['execution_id']}/{step['name']}",
        "stepIdentifier": int(number[1]) if number is not None else step["name"],
        "activity": (step["input"] or {}).get("task") or step["name"],
        "status": TASK_STATUSES.get(status_, status_),
        "input": _input(step),
        "result": step["output"],
        "isRetry": step["attempts"] > 1,
        "isCompensation": undoes,
        "executionTime": duration / 1_000 if duration is not None else None,
        "startedAt": step["started_at"],
        "lastUpdatedAt": step["completed_at"] or step["started_at"],
    }


def _asked(step: Mapping[str, Any], steps: Mapping[str, Any]) -> str:
    """The status of an activity for which somebody may have to agree first."""
    asks, refused = steps.get(_ASKS + step["name"]), steps.get(_REFUSED + step["name"])
    if asks is not None and asks["status"] == "waiting":
        return "AWAITING_USER_INPUT"
    if refused is not None and refused["status"] == "failed":
        return "UNAUTHORIZED"
    return STATUSES[step["status"]]


def _is_question(name: str, report: Report) -> bool:
    """Whether the step only asks, or refuses, for an activity."""
    names = {step["name"] for step in report["steps"]}
    return any(name.startswith(prefix) and name.removeprefix(prefix) in names for prefix in (_ASKS, _REFUSED))


def _activity_of(name: str) -> str:
    return name.removeprefix(_ASKS)


def _activity_status(step: Mapping[str, Any], skipping: set[str]) -> str:
    is_skipped = step["status"] == "failed" and step["name"] in skipping
    return "skipped" if is_skipped else STATUSES[step["status"]]


def _input(step: Mapping[str, Any]) -> Any:
    """What an activity is given, without how it is called. For one that takes what it has parameters for, all that it
    could have taken."""
    settings = step["input"]
    if not isinstance(settings, dict):
        return settings
    found = [settings[key] for key in ("args", "available", "body", "query") if settings.get(key) is not None]
    return found[0] if found else settings


# ── Figures over many ────────────────────────────────────────────────────────────────────────────────────────────────


class Ran(msgspec.Struct, frozen=True):
    """An execution in a list: its status, and when it started and ended."""

    status: str
    started_at: int | None = None
    finished_at: int | None = None

    @property
    def took(self) -> int:
        """From its start to its end."""
        return self.finished_at - self.started_at if self.finished_at is not None and self.started_at is not None else 0


def monitoring(runs: Iterable[Ran], now: int, limit: int | None) -> dict[str, Any]:
    """`{active_workflows, completed_today, failed_today, average_duration, current_load}`.

    Today is the day in UTC. The average is over what ended today. The load is what part of the `limit` is active: below
    half of it low, below four fifths medium.
    """
    runs = list(runs)
    ended = [run for run in runs if run.finished_at is not None and run.finished_at >= now - now % DAY]
    counted = [run.took for run in ended if run.status in ("completed", "failed")]
    return today(
        active=sum(run.finished_at is None for run in runs),
        completed=sum(run.status == "completed" for run in ended),
        failed=sum(run.status == "failed" for run in ended),
        average=sum(counted) // len(counted) if counted else 0,
        limit=limit,
    )


def today(*, active: int, completed: int, failed: int, average: int, limit: int | None) -> dict[str, Any]:
    """The same of figures that were counted already; `average` in microseconds."""
    return {
        "active_workflows": active,
        "completed_today": completed,
        "failed_today": failed,
        "average_duration": _shown(average),
        "current_load": load(active, limit),
    }


def load(active: int, limit: int | None) -> Literal["low", "medium", "high"]:
    """How much of what may be active is."""
    used = active / limit if limit else 0.0
    return "low" if used < 0.5 else "medium" if used < 0.8 else "high"


def metrics(runs: Iterable[Ran], now: int, window: int = DAY) -> dict[str, Any]:
    """`{execution_time: {avg, p95, p99}, success_rate, error_rate, throughput}` of what completed or failed within the
    window before `now`: seconds, percent, and executions per hour. Without any, there are no times and no rates."""
    ended = [run for run in runs if run.finished_at is not None and now - window < run.finished_at <= now]
    counted = [run for run in ended if run.status in ("completed", "failed")]
    times = sorted(run.took for run in counted)
    return summary(
        completed=sum(run.status == "completed" for run in counted),
        failed=sum(run.status == "failed" for run in counted),
        took=sum(times),
        p95=_percentile(times, 0.95),
        p99=_percentile(times, 0.99),
        window=window,
    )


def summary(*, completed: int, failed: int, took: int, p95: int | None, p99: int | None, window: int) -> dict[str, Any]:
    """The same of figures that were counted already; `took` is what all took together; in microseconds."""
    count = completed + failed
    errors = round(100 * failed / count, 2) if count else None
    return {
        "execution_time": {
            "avg": _seconds(took / count) if count else None,
            "p95": _seconds(p95),
            "p99": _seconds(p99),
        },
        "success_rate": round(100 - errors, 2) if errors is not None else None,
        "error_rate": errors,
        "throughput": round(count * HOUR / window, 2),
    }


def _seconds(duration: float | None) -> float | None:
    return round(duration / SECOND, 3) if duration is not None else None


def _percentile(ordered: Sequence[int], part: float) -> int | None:
    """The least of the values that so large a part of them does not exceed."""
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else None


def _shown(duration: int) -> str:
    """A duration as people read it: whole seconds, or less when it is shorter."""
    return format_duration(duration // SECOND * SECOND if duration >= SECOND else duration // 1_000 * 1_000)
