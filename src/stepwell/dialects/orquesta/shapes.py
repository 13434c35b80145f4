"""The shapes in which users of Orquesta see an execution, made from the engine's report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Report = Mapping[str, Any]

STATUSES: Final[Mapping[str, str]] = {
    "pending": "requested",
    "running": "running",
    "waiting": "running",
    "retrying": "retrying",
    "compensating": "running",
    "completed": "succeeded",
    "compensated": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
}
"""What a status of an execution or a task is called."""

_GENERATED: Final = re.compile(r".+__(fail_*|delay)")
"""Steps that stand for what a task says: the command `fail`, and a delay that is computed."""

_KEY: Final = re.compile(r"(?P<name>[^\[\]#]+)(?:\[(?P<path>[^\]]*)\])?(?:#(?P<visit>\d+))?")
_AT_WORK: Final = frozenset({"running", "retrying"})


def status_of(report: Report) -> str:
    """The status of an execution: requested, running, pausing, paused, succeeded, failed, timeout or canceled."""
    if report["status"] == "paused":
        return "pausing" if any(step["status"] in _AT_WORK for step in report["steps"]) else "paused"
    if report["status"] == "failed" and _is_timeout(report["error"]) and not report["failed_steps"]:
        return "timeout"
    return STATUSES.get(report["status"], report["status"])


def workflow_of(report: Report) -> dict[str, Any]:
    """The record of an execution: `{id, workflow, status, input, output, errors, start_timestamp, end_timestamp}`."""
    return {
        "id": report["execution_id"],
        "workflow": report["workflow"],
        "status": status_of(report),
        "input": report["input"],
        "output": report["output"],
        "errors": list(_errors(report)),
        "start_timestamp": report["started_at"],
        "end_timestamp": report["completed_at"],
    }


def tasks_of(report: Report) -> list[dict[str, Any]]:
    """The records of the tasks that have begun, one for each time that a task ran: `{task_id, visit, status, result,
    itemized, items, start_timestamp, end_timestamp}`.

    `visit` counts the times of one task from 1 on. Of a task that ran for items `items` has a record of each:
    `{item_id, status, result}`.
    """
    items = _items(report)
    return [_task(step, items.get(step["name"], [])) for step in report["steps"] if _has_begun(step)]


def _errors(report: Report) -> Iterator[dict[str, Any]]:
    for step in report["steps"]:
        key = _KEY.fullmatch(step["name"])
        if step["status"] == "failed" and step["error"] is not None and key is not None and key["path"] is None:
            yield {
                "type": "error",
                "message": step["error"]["message"],
                "task_id": key["name"],
                "result": _result(step),
            }
    if report["error"] is not None and not report["failed_steps"]:
        yield {"type": "error", "message": report["error"]["message"]}


def _task(step: Report, items: list[dict[str, Any]]) -> dict[str, Any]:
    key = _KEY.fullmatch(step["name"])
    assert key is not None, "every instance is named so"
    return {
        "task_id": key["name"],
        "visit": int(key["visit"] or 1),
        "status": _status(step),
        "result": _result(step),
        "itemized": bool(items),
        "items": items,
        "start_timestamp": step["started_at"],
        "end_timestamp": step["completed_at"],
    }


def _items(report: Report) -> dict[str, list[dict[str, Any]]]:
    """The items that tasks ran for, by the instance of the task."""
    found: dict[str, list[dict[str, Any]]] = {}
    for step in report["steps"]:
        key = _KEY.fullmatch(step["name"])
        if key is None or key["path"] is None or not key["path"].rpartition(",")[2].isdigit():
            continue
        round_before = next((part[1:] for part in key["path"].split(",") if part.startswith("#")), "")
        task = f"{key['name']}#{round_before}" if round_before else key["name"]
        number = int(key["path"].rpartition(",")[2])
        found.setdefault(task, []).append({"item_id": number, "status": _status(step), "result": _result(step)})
    return {task: sorted(each, key=lambda item: item["item_id"]) for task, each in found.items()}


def _has_begun(step: Report) -> bool:
    key = _KEY.fullmatch(step["name"])
    is_task = key is not None and key["path"] is None and not _GENERATED.fullmatch(key["name"])
    return is_task and step["status"] not in ("pending", "skipped")


def _status(step: Report) -> str:
    if step["status"] == "failed" and _is_timeout(step["error"]):
        return "timeout"
    return STATUSES.get(step["status"], step["status"])


def _is_timeout(error: Any) -> bool:
    return bool(error is not None and error["type"] == "timeout")


def _result(step: Report) -> Any:
    """What a task gave; of one that failed, what it gave with its error, else the error."""
    error = step["error"]
    if error is None or step["status"] != "failed":
        return step["output"]
    return error["details"] or error
