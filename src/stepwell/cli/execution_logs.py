"""`execution logs`: what happened in an execution, line by line, and what its tasks logged on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from stepwell.app.configuration import Configuration
from stepwell.app.log_reading import LogFilter, Logs
from stepwell.cli.documents import emit
from stepwell.cli.failures import Stopped
from stepwell.cli.interrupts import Interrupted, Interrupts
from stepwell.cli.opening import configuration_of, existing_store, reading_codec, reading_of
from stepwell.cli.options import Setup
from stepwell.cli.streams import write

PAGE: Final = 500
LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the store: what happens in another process does not announce itself here."""


def show_logs(execution: str, wanted: LogFilter, limit: int, setup: Setup, output: str, *, follow: bool) -> int:
    """Print the lines of an execution; with `follow` go on until it has ended.

    Raises:
        NotFound: code `unknown-execution`. Stopped: Ctrl-C.
    """
    configuration = configuration_of(setup)
    if follow:
        lines = asyncio.run(_follow(execution, wanted, configuration, prints=output == "table"))
        if output != "table":
            emit({"items": lines, "next": None}, output, str)
        return 0
    page = asyncio.run(_page(execution, wanted, limit, configuration))
    emit(page, output, lambda: "".join(map(_text, page["items"])) or "no lines")
    return 0


async def _page(execution: str, wanted: LogFilter, limit: int, configuration: Configuration) -> dict[str, Any]:
    async with existing_store(configuration) as store:
        return await Logs(store, reading_of(store), reading_codec()).of_execution(execution, wanted, limit)


async def _follow(
    execution: str, wanted: LogFilter, configuration: Configuration, *, prints: bool
) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    async def read() -> None:
        async with existing_store(configuration) as store:
            logs = Logs(store, reading_of(store), reading_codec())
            async for line in _lines(logs, execution, wanted):
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


async def _lines(logs: Logs, execution: str, wanted: LogFilter) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = await logs.of_execution(execution, wanted, PAGE, cursor)
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
