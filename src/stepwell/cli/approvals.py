"""`approval list` and `respond`: what executions ask people, and what these answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType

from stepwell.app.approval_care import InboxQuery
from stepwell.cli.documents import emit
from stepwell.cli.given import read_json
from stepwell.cli.narration import one_line
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.subjects.questions import open_questions
from stepwell.cli.tables import facts, rendered
from stepwell.cli.words import local_time

Report = Mapping[str, Any]


def list_approvals(wanted: Mapping[str, Any], setup: Setup, output: str) -> int:
    """Print a page of questions, those of the oldest executions first; `wanted` as `InboxQuery` has it."""
    page = run_in(open_questions(setup), lambda questions: questions.page(InboxQuery(**wanted)))
    emit(page, output, lambda: _page_text(page))
    return 0


def _page_text(page: Report) -> str:
    if not page["items"] and page["next"] is None:
        return "nobody is asked anything"
    parts: list[RenderableType] = []
    for item in page["items"]:
        parts += [facts(_facts(item)), ""]
    more = [f"more with --cursor {page['next']}"] if page["next"] is not None else []
    return rendered(*(*parts, *more) if more else parts[:-1])


def _facts(item: Report) -> Iterator[tuple[str, RenderableType]]:
    status = "" if item["status"] in ("waiting", "running") else f", {item['status']}"
    yield "execution", f"{item['execution_id']} ({item['workflow']} {item['version']}{status})"
    yield "step", item["step"]
    yield "question", one_line(str(item["prompt"]))
    yield "for", ", ".join(one_line(str(name)) for name in item["assigned_to"] or ("anybody",))
    yield "handed on", ", ".join(f"by {one_line(each['of'])} to {one_line(each['to'])}" for each in item["handed_on"])
    yield "escalated", ", ".join(f"to {one_line(name)}" for name in item["escalated_to"])
    yield "claimed", f"by {one_line(item['claimed_by'])}" if item["claimed_by"] is not None else ""
    yield "asked", local_time(item["since"])
    yield "until", local_time(item["due_at"])
    if "default" in item:
        yield "without an answer", one_line(json.dumps(item["default"], ensure_ascii=False))
    if "answered_by" in item:
        yield "answered", f"by {item['answered_by'] or 'somebody'}; it is taken when the execution goes on"
    else:
        yield "answer with", one_line(item["respond"])


def respond_to(execution: str, step: str, given: str, by: str | None, setup: Setup, output: str, *, quiet: bool) -> int:
    """Answer a question, and say what became of the answer.

    Raises:
        UsageError, NotFound, Conflict: see `Approvals.answer`; nothing was sent then.
    """
    response = read_json(given, "the response")
    document = run_in(open_questions(setup), lambda questions: questions.answer(execution, step, response, by))
    emit(document, output, lambda: "" if quiet else f"{execution} has the answer of {document['by']} to step {step}")
    if not document["engine_present"] and not quiet:
        how = f"stepwell run --resume {execution}{setup.same_store()}"
        say(f"no engine is running on this store: the answer is kept, and taken when the execution goes on: {how}")
    return 0
