"""`execution watch`: following what another process does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

from stepwell.base.durations import format_duration
from stepwell.cli.failures import Stopped, TimedOut
from stepwell.cli.interrupts import Interrupted, Interrupts, OutOfTime
from stepwell.cli.options import Setup
from stepwell.cli.progress import Progress
from stepwell.cli.subjects.executions import Executions, open_executions
from stepwell.cli.summary import exit_status_of, print_result
from stepwell.execution.history import HistoryEvent


def watch_execution(execution: str, timeout: int | None, setup: Setup, output: str, *, quiet: bool) -> int:
    """Show what happens to an execution until it has ended, and then its result."""
    watch = _Watch(execution, setup, output, quiet=quiet)
    report = asyncio.run(watch.run(timeout))
    print_result(report, output, quiet=quiet)
    return exit_status_of(report)


class _Watch:
    """One call of `watch`."""

    def __init__(self, execution: str, setup: Setup, output: str, *, quiet: bool) -> None:
        self._execution = execution
        self._setup = setup
        self._stream = sys.stdout if output == "table" else sys.stderr
        self._quiet = quiet

    async def run(self, timeout: int | None) -> dict[str, Any]:  # noqa: ASYNC109 - a span of waiting, not of the call
        """The report, once the execution has ended.

        Raises:
            Stopped: Ctrl-C. TimedOut: it has not ended in time. NotFound: there is no such execution.
        """
        interrupts = Interrupts()
        with interrupts.listening():
            async with open_executions(self._setup) as executions:
                try:
                    await interrupts.wait_for(self._follow(executions), timeout)
                except Interrupted:
                    raise Stopped("watching has ended; the execution has not") from None
                except OutOfTime:
                    raise TimedOut(f"the execution has not ended within {format_duration(timeout or 0)}") from None
                return await executions.report(self._execution)

    async def _follow(self, executions: Executions) -> None:
        definition = await executions.definition(self._execution)
        progress = None if self._quiet else Progress(self._execution, definition, self._setup, stream=self._stream)
        with progress.shown() if progress is not None else nullcontext():
            await _show(executions.news(self._execution), progress)


async def _show(news: AsyncIterator[Sequence[HistoryEvent]], progress: Progress | None) -> None:
    async for events in news:
        if progress is not None:
            progress.take(events)
