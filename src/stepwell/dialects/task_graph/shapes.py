"""The shapes in which users of task graphs see an execution, made from the engine's report and the definition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.base.durations import SECOND, format_duration
from stepwell.definition.model import Step, WorkflowDefinition, all_steps
from stepwell.dialects.graphs.commands import failing_step

Report = Mapping[str, Any]

STATUSES: Final[Mapping[str, str]] = {
    "pending": "requested",
    "running": "running",
    "waiting": "running",
    "paused": "running",
    "compensating": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What a status of an execution is called; that it is paused is said beside it."""

TASK_STATUSES: Final[Mapping[str, str]] = {
    "pending": "requested",
    "running": "running",
    "waiting": "running",
    "retrying": "scheduled",
    "completed": "completed",
    "compensated": "completed",
    "failed": "failed",
    "skipped": "skipped",
    "cancelled": "cancelled",
}
"""What a status of a task is called; one that ran out of time has `timeout`."""

_ERRORS: Final[Mapping[str, str]] = {"items_failed": "with_items_error", "group_failed": "parallel_execution_error"}
_ITEM: Final = re.compile(r"(?P<name>[^\[\]#]+)\[(?:.*,)?(?P<index>\d+)\](?:#\d+)?")
_KEY: Final = re.compile(r"[^\[\]#]+")


def status_of(report: Report) -> str:
    """The status of an execution: requested, running, completed, failed, timeout or cancelled."""
    if report["status"] == "failed" and _is_timeout(report["error"]) and not _failed_step(report):
        return "timeout"
    return STATUSES.get(report["status"], report["status"])


def result_of(report: Report) -> dict[str, Any]:
    """The result of an execution that has ended: `{status, output, completed_tasks, failed_tasks, skipped_tasks,
    error_message}`, the tasks as counts."""
    named = _by_status(report)
    return {
        "status": status_of(report),
        "output": report["output"],
        "completed_tasks": len(named["completed"]),
        "failed_tasks": len(named["failed"]),
        "skipped_tasks": len(named["skipped"]),
        "error_message": _message(report["error"]),
    }


def payload_of(report: Report) -> dict[str, Any]:
    """What an execution that has ended hands to whoever started it: its output and `succeeded: true` (unless the output
    says something else of that), or `{error, succeeded: false}`."""
    if report["status"] != "completed":
        return {"error": _message(report["error"]) or report["status"], "succeeded": False}
    output = report["output"]
    return {"succeeded": True, **output} if isinstance(output, dict) else {"succeeded": True, "result": output}


def progress_of(report: Report) -> dict[str, Any]:
    """How far an execution has come: which tasks have ended how, which are at work or in line, how many there are."""
    named = _by_status(report)
    paused = report["paused"]
    return {
        "execution_id": report["execution_id"],
        "workflow_ref": report["workflow"],
        "status": status_of(report),
        "paused": paused is not None,
        "pause_reason": paused["reason"] if paused is not None else None,
        "completed_tasks": named["completed"],
        "failed_tasks": named["failed"],
        "skipped_tasks": named["skipped"],
        "executing_tasks": named["running"],
        "scheduled_tasks": named["scheduled"],
        "total_tasks": len(list(_tasks(report))),
    }


def context_of(report: Report) -> dict[str, Any]:
    """What the expressions of an execution see: `{variables, parameters, task_results, system}`."""
    return {
        "variables": report["variables"],
        "parameters": report["input"],
        "task_results": {step["name"]: step["output"] for step in _tasks(report) if step["status"] == "completed"},
        "system": {"execution_id": report["execution_id"], "workflow_start": report["created_at"]},
    }


def execution_record(report: Report, definition: WorkflowDefinition) -> dict[str, Any]:
    """The record of an execution."""
    progress = progress_of(report)
    return {
        "execution": report["execution_id"],
        "workflow_def": f"{definition.name}@{definition.version}",
        "current_tasks": [*progress["executing_tasks"], *progress["scheduled_tasks"]],
        "completed_tasks": progress["completed_tasks"],
        "failed_tasks": progress["failed_tasks"],
        "skipped_tasks": progress["skipped_tasks"],
        "variables": report["variables"],
        "task_graph": graph_of(definition),
        "status": progress["status"],
        "error_message": _message(report["error"]),
        "paused": progress["paused"],
        "pause_reason": progress["pause_reason"],
    }


def definition_record(definition: WorkflowDefinition) -> dict[str, Any]:
    """The record of a definition."""
    return {
        "ref": definition.name,
        "pack": definition.name.partition(".")[0],
        "label": definition.description.partition("\n")[0] or definition.name,
        "description": definition.description,
        "version": definition.version,
        "param_schema": definition.input_schema,
        "out_schema": definition.output_schema,
        "definition": definition.source.text,
        "tags": list(definition.tags),
        "enabled": definition.config.enabled,
    }


def graph_of(definition: WorkflowDefinition) -> dict[str, Any]:
    """The graph of a definition: `{nodes, edges, entry_points}`; edges are `{from, to, on, when}`."""
    edges = [edge for step in definition.steps for edge in _edges(step)]
    entered = {edge["to"] for edge in edges}
    return {
        "nodes": [{"name": step.name, "type": step.type} for step in definition.steps],
        "edges": edges,
        "entry_points": [step.name for step in definition.steps if step.name not in entered],
    }


def task_records(report: Report, definition: WorkflowDefinition) -> list[dict[str, Any]]:
    """The records of the tasks of an execution, one for each item where a task runs for items."""
    steps = {step.name: step for step in all_steps(definition.steps)}
    return [_record(step, steps.get(_name(step["name"])), report) for step in _tasks(report, items=True)]


def notification_of(report: Report, kind: str, timestamp: str) -> dict[str, Any]:
    """What subscribers are told when something happens to an execution.

    Args:
        kind: what happened, such as `workflow.started`.
        timestamp: when, as RFC 3339 text.
    """
    progress = progress_of(report)
    return {
        "notification_type": kind,
        "entity_type": "workflow_execution",
        "entity_id": report["execution_id"],
        "workflow_ref": report["workflow"],
        "status": progress["status"],
        "current_tasks": [*progress["executing_tasks"], *progress["scheduled_tasks"]],
        "timestamp": timestamp,
    }


def _record(step: Mapping[str, Any], definition: Step | None, report: Report) -> dict[str, Any]:
    item = _ITEM.fullmatch(step["name"])
    each = definition.for_each if definition is not None else None
    index = int(item["index"]) if item is not None and each is not None else None
    timeout = definition.timeout if definition is not None else None
    retries = definition.retry.max_attempts - 1 if definition is not None and definition.retry is not None else 0
    return {
        "task_name": _name(step["name"]),
        "task_index": index,
        "task_batch": index if each is not None and each.batch_size is not None else None,
        "status": _status(step),
        "started_at": step["started_at"],
        "completed_at": step["completed_at"],
        "duration_ms": step["duration_ms"],
        "result": step["output"] if definition is None or index is not None else _result(step, definition, report),
        "error": _error(step["error"], timeout),
        "retry_count": max(step["attempts"] - 1, 0),
        "max_retries": retries,
        "next_retry_at": step.get("due_at") if step["status"] == "retrying" else None,
        "timeout_seconds": timeout / SECOND if timeout is not None else None,
        "timed_out": _is_timeout(step["error"]) and step["status"] == "failed",
    }


def _result(step: Mapping[str, Any], definition: Step, report: Report) -> Any:
    """The result of a task: of one that runs for items, or side by side, what became of all of them."""
    if definition.for_each is not None:
        items = [each for each in _tasks(report, items=True) if _is_item_of(each["name"], definition.name)]
        results = [
            {"index": index, "status": _status(each), "output": each["output"]} for index, each in enumerate(items)
        ]
        return {"results": results, "total": len(results)}
    if definition.type == "parallel_group":
        inner = [each.name for _, block in definition.blocks for each in block]
        found = [each for each in report["steps"] if each["name"] in inner]
        return {
            "results": [{"task": each["name"], "status": _status(each), "output": each["output"]} for each in found]
        }
    return step["output"]


def _is_item_of(key: str, name: str) -> bool:
    item = _ITEM.fullmatch(key)
    return item is not None and item["name"] == name


def _error(error: Mapping[str, Any] | None, timeout: int | None) -> dict[str, Any] | None:
    if error is None:
        return None
    message = error["message"]
    if error["type"] == "timeout" and timeout is not None:
        whole = timeout % SECOND == 0
        message = f"Task timed out after {f'{timeout // SECOND} seconds' if whole else format_duration(timeout)}"
    return {"message": message, "type": _ERRORS.get(error["type"], error["type"]), "details": error["details"]}


def _tasks(report: Report, *, items: bool = False) -> Iterator[Mapping[str, Any]]:
    """The tasks in a report: without what a command made of one, and without the items of one, or with them."""
    names = {step["name"] for step in report["steps"]}
    commands = {failing_step(name, ()) for name in names}
    for step in report["steps"]:
        if step["name"] not in commands and (items or _ITEM.fullmatch(step["name"]) is None):
            yield step


def _by_status(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {
        name: [] for name in ("completed", "failed", "skipped", "running", "scheduled", "requested", "cancelled")
    }
    for step in _tasks(report):
        status = _status(step)
        found["failed" if status == "timeout" else status].append(step["name"])
    return found


def _status(step: Mapping[str, Any]) -> str:
    if step["status"] == "failed" and _is_timeout(step["error"]):
        return "timeout"
    return TASK_STATUSES[step["status"]]


def _edges(step: Step) -> Iterator[dict[str, Any]]:
    for dependency in step.depends_on:
        yield {"from": dependency.step, "to": step.name, "on": dependency.on, "when": None}
    for edge in step.edges:
        for target in edge.to:
            yield {"from": step.name, "to": target, "on": edge.on, "when": edge.when}


def _failed_step(report: Report) -> str | None:
    details = report["error"]["details"] if report["error"] is not None else None
    return details.get("step") if isinstance(details, Mapping) else None


def _is_timeout(error: Mapping[str, Any] | None) -> bool:
    return error is not None and error["type"] == "timeout"


def _message(error: Mapping[str, Any] | None) -> str | None:
    return error["message"] if error is not None else None


def _name(key: str) -> str:
    """The name of the task that an instance is a run of."""
    found = _KEY.match(key)
    return found.group() if found is not None else key
