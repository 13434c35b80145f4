"""The shapes in which users of step maps see an execution, made from the engine's report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

STATUSES: Final[Mapping[str, str]] = {
    "pending": "pending",
    "running": "running",
    "waiting": "running",
    "paused": "paused",
    "retrying": "retrying",
    "compensating": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What a status of an execution or a step is called in step maps. One that they do not have is called as it is."""

Report = Mapping[str, Any]


def result_of(report: Report) -> dict[str, Any]:
    """The result of an execution that has ended.

    `{status: completed, results, execution_time}`; when it did not complete, `failed_steps` and `errors` (by step:
    `{error, type, attempts}`) stand in it too, and `error` when it was not a step that ended it. `results` are those of
    the steps that completed. `execution_time` is in seconds.
    """
    status = STATUSES.get(report["status"], report["status"])
    made = {"results": results_of(report), "execution_time": seconds(report["duration_ms"])}
    if status == "completed":
        return {"status": status, **made}
    failed = {step["name"]: step for step in report["steps"] if step["error"] is not None and _is_failed(step)}
    result = {"status": status, "failed_steps": list(failed), "errors": {name: _error(failed[name]) for name in failed}}
    if not failed and report["error"] is not None:
        result["error"] = report["error"]["message"]
    return {**result, **made}


def results_of(report: Report) -> dict[str, Any]:
    """The results of the steps that completed, by name."""
    return {step["name"]: step["output"] for step in report["steps"] if step["status"] == "completed"}


def status_of(report: Report, identifier: str, at_work: int) -> dict[str, Any]:
    """How far an execution has come.

    Args:
        identifier: the workflow's `id` as the caller has it.
        at_work: how many of its steps are being done at this moment.
    """
    results = results_of(report)
    return {
        "workflow_id": identifier,
        "completed_steps": list(results),
        "active_executions": at_work,
        "step_results": results,
    }


def metrics_of(report: Report, limit: int) -> dict[str, Any]:
    """How it went, in numbers. Times are in seconds; of an execution that still runs, what is known so far. The report
    also says how long the execution was active (`active_ms`).

    `total_time`; `step_times`, `retry_counts` and `failure_rates` by step (failed tries among all, 0 to 1) of the steps
    that were tried; `failure_rate` of all; `resource_utilization`: how many steps were at work on average while any was
    (`parallelism`), and which part of what the engine allows that is (`utilization`, 0 to 1).
    """
    tried = [step for step in report["steps"] if step["attempts"]]
    attempts, failures = sum(step["attempts"] for step in tried), sum(map(_failures, tried))
    busy = sum(step["duration_ms"] or 0.0 for step in tried)
    parallelism = round(busy / report["active_ms"], 3) if report["active_ms"] else None
    return {
        "total_time": seconds(report["duration_ms"]),
        "step_times": {step["name"]: seconds(step["duration_ms"]) for step in tried},
        "retry_counts": {step["name"]: step["attempts"] - 1 for step in tried},
        "failure_rates": {step["name"]: round(_failures(step) / step["attempts"], 4) for step in tried},
        "failure_rate": round(failures / attempts, 4) if attempts else None,
        "resource_utilization": {
            "parallelism": parallelism,
            "limit": limit,
            "utilization": round(parallelism / limit, 4) if parallelism is not None else None,
        },
    }


def seconds(milliseconds: float | None) -> float | None:
    """The same time in seconds; None stays None."""
    return round(milliseconds / 1_000, 6) if milliseconds is not None else None


def _is_failed(step: Report) -> bool:
    return bool(step["status"] == "failed")


def _failures(step: Report) -> int:
    attempts: int = step["attempts"]
    return attempts if step["status"] in ("failed", "retrying") else attempts - 1


def _error(step: Report) -> dict[str, Any]:
    error = step["error"]
    return {"error": _message(error), "type": error["type"], "attempts": step["attempts"]}


def _message(error: Report) -> str:
    """The message; of data that does not fit a schema `Field [path]: message` for all that is wrong."""
    wrong = error["details"].get("errors") if error["type"] == "validation_error" else None
    if not wrong or any(each.get("rule") != "schema" for each in wrong):
        return str(error["message"])
    return "; ".join(f"Field [{each['field']}]: {each['message']}" for each in wrong)
