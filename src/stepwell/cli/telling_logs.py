"""`execution logs`: what happened in an execution, and what its tasks logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from stepwell.app.log_reading import LogFilter
from stepwell.cli.documents import emit
from stepwell.cli.narration import one_line
from stepwell.cli.options import Setup
from stepwell.cli.subjects.executions import open_executions
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import exact_time

Report = Mapping[str, Any]
_STYLES: Final = {"debug": "dim", "warning": "yellow", "error": "red"}


def show_logs(execution: str, wanted: LogFilter, limit: int, cursor: str | None, setup: Setup, output: str) -> int:
    """Print a page of the lines, oldest first."""
    page = run_in(open_executions(setup), lambda executions: executions.logs(execution, wanted, limit, cursor))
    emit(page, output, lambda: _page_text(page, limit))
    return 0


def _page_text(page: Report, limit: int) -> str:
    items = page["items"]
    if not items:
        return "no lines"
    shown = rendered(table("time", "level", "step", "message", fold="message", rows=map(_row, items)))
    is_cut = page["next"] is not None and len(items) == limit
    return f"{shown}\nmore with --cursor {page['next']}" if is_cut else shown


def _row(line: Report) -> tuple[Any, ...]:
    style = _STYLES.get(line["level"], "")
    return (
        exact_time(line["timestamp"]),
        Text(line["level"], style),
        line["step"] or "",
        Text(one_line(line["message"]), style),
    )
