"""`execution logs`: what happened in an execution, line by line, and what its tasks logged on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from stepwell.app.log_reading import LogFilter
from stepwell.cli.documents import emit
from stepwell.cli.failures import Stopped
from stepwell.cli.interrupts import Interrupted, Interrupts
from stepwell.cli.options import Setup
from stepwell.cli.streams import write
from stepwell.cli.subjects.executions import Executions, open_executions
from stepwell.cli.subjects.opening import run_in

PAGE: Final = 500
LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the store: what happens in another process does not announce itself here."""


def show_logs(execution: str, wanted: LogFilter, limit: int, setup: Setup, output: str, *, follow: bool) -> int:
    """Print the lines of an execution; with `follow` go on until it has ended.

    Raises:
        NotFound: code `unknown-execution`. Stopped: Ctrl-C.
    """
    if follow:
        lines = asyncio.run(_follow(execution, wanted, setup, prints=output == "table"))
        if output != "table":
            emit({"items": lines, "next": None}, output, str)
        return 0
    page = run_in(open_executions(setup), lambda executions: executions.logs(execution, wanted, limit, None))
    emit(page, output, lambda: "".join(map(_text, page["items"])) or "no lines")
    return 0


async def _follow(execution: str, wanted: LogFilter, setup: Setup, *, prints: bool) -> list[Mapping[str, Any]]:
    lines: list[Mapping[str, Any]] = []

    async def read() -> None:
        async with open_executions(setup) as executions:
            async for line in _lines(executions, execution, wanted):
                lines.append(line)
                if prints:
                    write(_text(line))

    interrupts = Interrupts()
    with interrupts.listening():
        try:
            await interrupts.wait_for(read(), None)
        except Interrupted:
            raise Stopped("following has ended; the execution has not") from None
    return lines


async def _lines(executions: Executions, execution: str, wanted: LogFilter) -> AsyncIterator[Mapping[str, Any]]:
    cursor: str | None = None
    while True:
        page = await executions.logs(execution, wanted, PAGE, cursor)
        for line in page["items"]:
            yield line
        cursor = page["next"]
        if cursor is None:
            return
        if not page["items"]:
            await asyncio.sleep(LOOK_EVERY)


def _text(line: Mapping[str, Any]) -> str:
    about = f"{line['step']}: " if line["step"] else ""
    return f"{line['timestamp']} {line['level']:<7} {about}{line['message']}\n"
