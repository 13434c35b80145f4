"""`execution list`, `show` and `history`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from stepwell.base.clock import SystemClock
from stepwell.cli.documents import emit, json_text
from stepwell.cli.narration import HANDLED, OUTCOMES, message_of, one_line
from stepwell.cli.options import Setup
from stepwell.cli.subjects.executions import open_executions
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import facts, has_room, rendered, status_text, table
from stepwell.cli.words import day_or_time, exact_time, local_time, took_between, took_ms
from stepwell.execution.event import ANSWER
from stepwell.ports.listings import ExecutionQuery

Report = Mapping[str, Any]
_LONGEST_DETAILS: Final = 300
_ROOM_FOR_ERRORS: Final = 100
_SAID_ELSEWHERE: Final = frozenset({"seq", "at", "event", "step", "id", "workflow", "version", "digest", "started_at"})


def list_executions(query: ExecutionQuery, setup: Setup, output: str) -> int:
    """Print a page of executions, newest first."""
    page = run_in(open_executions(setup), lambda executions: executions.page(query))
    emit(page, output, lambda: _page_text(page))
    return 0


def show_execution(execution: str, setup: Setup, output: str) -> int:
    """Print an execution."""
    report = run_in(open_executions(setup), lambda executions: executions.report(execution))
    emit(report, output, lambda: _execution_text(report))
    return 0


def show_history(execution: str, after: int, setup: Setup, output: str) -> int:
    """Print the history events of an execution numbered greater than `after`."""
    events = run_in(open_executions(setup), lambda executions: executions.history(execution, after))
    emit({"items": events, "next": None}, output, lambda: _history_text(events))
    return 0


def _page_text(page: Report) -> str:
    if not page["items"]:
        return "no executions"
    is_called = any(item["parent"] for item in page["items"])
    headings = ("id", "workflow", "status", "created", "took", *(["started by"] if is_called else []), "error")
    shown, cut = (len(headings), "error") if has_room(_ROOM_FOR_ERRORS) else (4, "workflow")
    rows = [[_cell(item, heading) for heading in headings[:shown]] for item in page["items"]]
    parts: list[RenderableType] = [table(*headings[:shown], cut=cut, rows=rows)]
    if page["next"] is not None:
        parts.append(f"\nmore with --cursor {page['next']}")
    return rendered(*parts)


def _cell(item: Report, heading: str) -> RenderableType:
    match heading:
        case "id":
            return str(item["execution_id"])
        case "workflow":
            return f"{item['workflow']} {item['version']}"
        case "status":
            return status_text(item["status"])
        case "created":
            return day_or_time(item["created_at"], SystemClock().now())
        case "took":
            return took_between(item["created_at"], item["completed_at"])
        case "started by":
            return _short(item["parent"] or "")
        case _:
            return Text(one_line(item["error"] or ""), "red")


def _short(parent: str) -> str:
    """A step of another execution, whose id is cut."""
    execution, _, step = parent.partition("/")
    return f"{step} of {execution[:8]}" if step else ""


def _execution_text(report: Report) -> str:
    parts: list[RenderableType] = [facts(_facts(report)), "", _steps(report["steps"])]
    if report["compensation_steps"]:
        parts += ["", Text("compensation", "bold"), _steps(report["compensation_steps"])]
    if report["notifications"]:
        parts += ["", Text("notifications", "bold"), _notifications(report["notifications"])]
    if report["output"] is not None:
        parts += ["", Text("output", "bold"), json_text(report["output"])]
    return rendered(*parts)


def _facts(report: Report) -> Iterator[tuple[str, RenderableType]]:
    yield "execution", report["execution_id"]
    yield "workflow", f"{report['workflow']} {report['version']}"
    yield "started by", _started_by(report["parent"])
    yield "status", status_text(report["status"])
    yield "paused", _paused(report["paused"])
    yield "created", local_time(report["created_at"])
    yield "started", local_time(report["started_at"])
    yield "ended", local_time(report["completed_at"])
    yield "took", took_ms(report["duration_ms"])
    error, outcome = report["error"], report["compensation"]
    yield "error", Text(_error(error), "red") if error else ""
    yield "compensation", OUTCOMES.get(outcome, str(outcome)) if outcome else ""
    yield "input", json.dumps(report["input"], ensure_ascii=False)


def _started_by(parent: str | None) -> str:
    """Which step of which execution started it as a sub-workflow."""
    if parent is None:
        return ""
    execution, _, step = parent.partition("/")
    return f"step {step} of {execution}"


def _paused(paused: Report | None) -> str:
    """Who halted it, and why."""
    if paused is None:
        return ""
    by = f"by {paused['by']}" if paused["by"] else ""
    return one_line(": ".join(filter(None, (by, paused["reason"]))))


def _steps(steps: list[Report]) -> RenderableType:
    rows = (
        (
            status_text(step["status"], word=False),
            step["name"],
            Text(step["status"], status_text(step["status"]).style),
            str(step["attempts"]) if step["attempts"] > 1 else "",
            took_ms(step["duration_ms"]),
            _note(step),
        )
        for step in steps
    )
    return table("", "step", "status", "tries", "time", "note", cut="step", fold="note", rows=rows)


def _notifications(notifications: list[Report]) -> RenderableType:
    rows = (
        (
            told["title"] if place == 0 else "",
            each["channel"] or "",
            each["recipient"] or "",
            Text(each["status"], "red" if each["status"] == "undelivered" else ""),
            one_line(each["reason"] or ""),
        )
        for told in notifications
        for place, each in enumerate(told["deliveries"])
    )
    return table("what", "channel", "recipient", "status", "reason", cut="what", fold="reason", rows=rows)


def _note(step: Report) -> RenderableType:
    if step["error"]:
        handled = HANDLED.get(step.get("handled", ""), "")
        return Text(f"{_error(step['error'])}{handled}", "red" if step["status"] == "failed" else "yellow")
    parts = [
        _from_cache(step),
        step.get("reason"),
        _waits_for(step),
        f"until {local_time(step['due_at'])}" if step.get("due_at") else "",
    ]
    return one_line(", ".join(part for part in parts if part))


def _from_cache(step: Report) -> str:
    cached = step.get("from_cache")
    return f"from the cache, of execution {cached['execution_id']}" if cached else ""


def _waits_for(step: Report) -> str:
    """The event, the answer or the execution that a step waits for; of one that has ended, the execution it started."""
    if step.get("waits_for"):
        return "for an answer" if step["waits_for"] == ANSWER else f"for {step['waits_for']}"
    if step.get("child"):
        return f"{'for ' if step['status'] == 'waiting' else ''}execution {step['child']}"
    return ""


def _error(error: Report) -> str:
    return one_line(message_of(error["type"], error["message"]))


def _history_text(events: Sequence[Report]) -> str:
    rows = (
        (str(event["seq"]), exact_time(event["at"]), event["event"], event.get("step", ""), _details(event))
        for event in events
    )
    return rendered(table("#", "time", "event", "step", "details", cut="details", rows=rows))


def _details(event: Report) -> str:
    """What else the event says, in short: `-o json` shows everything."""
    said = {name: value for name, value in event.items() if name not in _SAID_ELSEWHERE}
    parts = [f"{name}={_detail(name, value)}" for name, value in said.items() if value not in (None, "", [], {})]
    text = one_line("  ".join(parts))
    return text if len(text) <= _LONGEST_DETAILS else text[:_LONGEST_DETAILS] + "..."


def _detail(name: str, value: Any) -> str:
    if name == "error":
        return _error(value)
    if name in ("due", "retry_at", "deadline"):
        return local_time(value)
    return json.dumps(value, ensure_ascii=False)
