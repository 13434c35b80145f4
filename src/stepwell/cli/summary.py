"""How an execution ended, in a few lines, with its output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from stepwell.cli.documents import emit, json_text
from stepwell.cli.narration import OUTCOMES, attempts_text, message_of, one_line
from stepwell.cli.streams import say, speaks_unicode, takes_colour
from stepwell.cli.symbols import look_of, symbol_of
from stepwell.cli.words import took_ms

FAILURES_SHOWN: Final = 20

Report = Mapping[str, Any]
"""Of an execution; see `stepwell.app.report`."""


def print_result(report: Report, output: str, *, quiet: bool) -> None:
    """Print the report as a document, or the summary and the output; when `quiet`, the output alone."""
    completed = report["status"] == "completed"
    if output == "table" and quiet and not completed:
        say("\n".join(_lines(report)))
    elif output == "table" and quiet:
        emit(report, output, lambda: json_text(report["output"]))
    else:
        emit(report, output, lambda: summary_of(report))


def exit_status_of(report: Report) -> int:
    """0 when it completed, else 1."""
    return 0 if report["status"] == "completed" else 1


def summary_of(report: Report) -> str:
    """How it ended, what failed, what was undone, and the output."""
    lines = list(_lines(report))
    if report["output"] is not None:
        lines.append(json_text(report["output"]))
    return "\n".join(lines)


def _lines(report: Report) -> Iterator[str]:
    yield _headline(report)
    failed = [step for step in report["steps"] if step["status"] == "failed"]
    for step in failed[:FAILURES_SHOWN]:
        yield f"  {_marked('failed', step['name'])}: {_failure(step)}"
    if len(failed) > FAILURES_SHOWN:
        yield f"  and {len(failed) - FAILURES_SHOWN:,} more failed steps"
    if report["compensation"] is not None:
        yield f"  {_compensation(report)}"


def _headline(report: Report) -> str:
    status, lasted = report["status"], took_ms(report["duration_ms"])
    name = f"{report['workflow']} {report['version']}"
    ended = f"{status} {'in' if status == 'completed' else 'after'} {lasted}" if lasted else status
    reason = f": {one_line(report['error']['message'])}" if report["error"] else ""
    return f"{_marked(status, f'{name} {ended}')} ({report['execution_id']}){reason}"


def _failure(step: Report) -> str:
    error, attempts = step["error"] or {}, attempts_text(step["attempts"])
    text = one_line(message_of(error.get("type", ""), error.get("message", "")))
    return f"{text} ({attempts})" if attempts else text


def _compensation(report: Report) -> str:
    outcome = report["compensation"]
    ran = [f"{step['name']} {step['status']}" for step in report["compensation_steps"] if step["status"] != "pending"]
    details = f" ({', '.join(ran)})" if ran else ""
    status = {"done": "completed", "failed": "failed"}.get(outcome, "skipped")
    return f"{_marked(status, 'compensation')} {OUTCOMES.get(outcome, outcome)}{details}"


def _marked(status: str, text: str) -> str:
    """The text after the symbol of the status, in its colour."""
    symbol = symbol_of(status, unicode=speaks_unicode(sys.stdout))
    if takes_colour(sys.stdout):
        symbol = click.style(symbol, fg=look_of(status).style if look_of(status).style != "dim" else None)
    return f"{symbol} {text}"
