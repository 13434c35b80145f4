"""`audit list` and `verify`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.text import Text

from stepwell.app.audit import KIND, AuditQuery
from stepwell.app.chains import broken_chains
from stepwell.base.clock import SystemClock
from stepwell.base.errors import UsageError
from stepwell.base.instants import from_rfc3339
from stepwell.cli.documents import emit
from stepwell.cli.opening import configuration_of, existing_store
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.audit_log import open_audit_log
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import count, day_or_time

Report = Mapping[str, Any]
_OF_THE_LOG = f"journal of {KIND!r}:"
_STYLES = {"done": "green", "refused": "yellow", "failed": "red"}


def list_entries(filters: Mapping[str, Any], setup: Setup, output: str) -> int:
    """Print a page of the log, the newest entry first.

    Args:
        filters: those of `AuditQuery`, instants as text.
    """
    instants = {name: _instant(name, filters[name]) for name in ("since", "until")}
    query = msgspec.convert({**filters, **instants}, AuditQuery)
    page = run_in(open_audit_log(setup), lambda log: log.page(query))
    emit(page, output, lambda: _page_text(page))
    return 0


def verify_log(setup: Setup, output: str) -> int:
    """Print what is wrong with the chain of the log; 1 when anything is."""
    configuration = configuration_of(setup)

    async def verify() -> tuple[int, list[str]]:
        async with existing_store(configuration) as store:
            length = sum(chain.length for chain in await store.chains() if chain.kind == KIND)
            return length, [problem async for problem in broken_chains(store) if problem.startswith(_OF_THE_LOG)]

    length, problems = asyncio.run(verify())
    document = {"ok": not problems, "entries": length, "problems": problems}
    emit(document, output, lambda: "\n".join(problems))
    if output == "table":
        say(count(len(problems), "problem") if problems else f"{count(length, 'entry', 'entries')}: all is well")
    return 1 if problems else 0


def _instant(name: str, text: str | None) -> int | None:
    try:
        return from_rfc3339(text) if text is not None else None
    except ValueError:
        raise UsageError(f"--{name} takes an instant such as 2026-11-20T10:00:00Z, not {text!r}") from None


def _page_text(page: Report) -> str:
    if not page["items"]:
        return "no entries"
    lines = rendered(table("at", "who", "outcome", "what", "on", cut="on", rows=map(_row, page["items"])))
    more = f"\nmore with --cursor {page['next']}\n" if page["next"] is not None else ""
    return lines + more


def _row(item: Report) -> Sequence[Any]:
    return (
        day_or_time(item["at"], SystemClock().now()),
        item["who"],
        Text(item["outcome"], _STYLES[item["outcome"]]),
        item["what"],
        item["on"] or "",
    )
