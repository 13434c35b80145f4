"""`execution watch`: following what another process does."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import Any, Final

from stepwell.app.configuration import Configuration
from stepwell.base.durations import format_duration
from stepwell.cli.failures import Stopped, TimedOut
from stepwell.cli.interrupts import Interrupted, Interrupts, OutOfTime
from stepwell.cli.opening import configuration_of, events_of, existing_store, reading_codec, reading_of
from stepwell.cli.options import Setup
from stepwell.cli.progress import Progress
from stepwell.cli.summary import exit_status_of, print_result
from stepwell.execution.history import ExecutionCancelled, ExecutionCompleted, ExecutionFailed, HistoryEvent
from stepwell.ports.store import Store

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the store: what happens in another process does not announce itself here."""


def watch_execution(execution: str, timeout: int | None, setup: Setup, output: str, *, quiet: bool) -> int:
    """Show what happens to an execution until it has ended, and then its result."""
    configuration = configuration_of(setup)
    watch = _Watch(execution, configuration, setup, output, quiet=quiet)
    report = asyncio.run(watch.run(timeout))
    print_result(report, output, quiet=quiet)
    return exit_status_of(report)


class _Watch:
    """One call of `watch`."""

    def __init__(self, execution: str, configuration: Configuration, setup: Setup, output: str, *, quiet: bool) -> None:
        self._execution = execution
        self._configuration = configuration
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
            async with existing_store(self._configuration) as store:
                try:
                    await interrupts.wait_for(self._follow(store), timeout)
                except Interrupted:
                    raise Stopped("watching has ended; the execution has not") from None
                except OutOfTime:
                    raise TimedOut(f"the execution has not ended within {format_duration(timeout or 0)}") from None
                return await reading_of(store).execution(self._execution)

    async def _follow(self, store: Store) -> None:
        progress = await self._progress(store)
        codec, seen, is_over = reading_codec(), 0, False
        with progress.shown() if progress is not None else nullcontext():
            while not is_over:
                news = [event async for event in events_of(store, codec, self._execution, seen)]
                seen += len(news)
                is_over = any(_is_end(event) for event in news)
                if progress is not None and news:
                    progress.take(news)
                if not is_over:
                    await asyncio.sleep(LOOK_EVERY)

    async def _progress(self, store: Store) -> Progress | None:
        definition = await reading_of(store).definition(self._execution)
        return None if self._quiet else Progress(self._execution, definition, self._setup, stream=self._stream)


def _is_end(event: HistoryEvent) -> bool:
    return isinstance(event, (ExecutionCompleted, ExecutionFailed, ExecutionCancelled))
