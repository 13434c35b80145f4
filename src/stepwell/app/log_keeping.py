"""The logs of executions: what their tasks log, and what goes wrong with them, is kept in the journal.

Lines come from any thread, at any rate; they are written in batches, behind the work and never in its way. When more
come than can be written, lines are dropped and counted. What goes well needs no line: the history tells it already, and
`log_reading` shows it among the lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from stepwell.app.telemetry import SEVERE, lifecycle_line
from stepwell.base.clock import Clock
from stepwell.base.durations import HOUR, MILLISECOND
from stepwell.base.errors import StepwellError
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.alarm import Alarm
from stepwell.execution.history import HistoryEvent
from stepwell.ports.ledger import JournalEntry, Ledger
from stepwell.ports.work import Observer
from stepwell.telemetry.logs import LONGEST, LogLine, TaskLines, level_name, level_number

KIND: Final = "log"
"""Of journal entries; their subject is the id of the execution."""

MOST: Final = 10_000
"""So many lines may wait to be written."""
BATCH: Final = 500
FLUSH_AFTER: Final = 200 * MILLISECOND
"""A line waits no longer for others."""
FORGET_EVERY: Final = HOUR

_log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode


class LogKeeper(Observer):
    """Keeps lines.

    Args:
        level: from which on lines of tasks are kept.
        keep_for: how long lines are kept, in microseconds.

    Attributes:
        dropped: lines that were not kept, because there were too many or the store could not be written.
    """

    def __init__(self, store: Ledger, clock: Clock, level: str, keep_for: int) -> None:
        self._store = store
        self._clock = clock
        self._keep_for = keep_for
        self._level = level_number(level)
        self._lines: deque[JournalEntry] = deque()
        self._wake = asyncio.Event()
        self._flush_alarm = Alarm(clock, self._wake.set)
        self._forget_alarm = Alarm(clock, self._forget_soon)
        self._is_armed = False
        self._forgets = False
        self._told = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self.dropped = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LogKeeper]:
        """Keep what is logged, until the end; then write what is left."""
        self._loop = asyncio.get_running_loop()
        root, handler = logging.getLogger(), TaskLines(self._level, self.keep, self._clock.now)
        before = root.level
        root.addHandler(handler)
        root.setLevel(min(before, self._level))
        self._forget_soon()
        self._running = asyncio.create_task(self._run(), name="stepwell log keeper")
        try:
            yield self
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
            self._flush_alarm.clear()
            self._forget_alarm.clear()
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            while self._lines:
                await self._write()

    def keep(self, execution: str, at: int, line: LogLine) -> None:
        """Have a line written soon. From any thread."""
        if len(self._lines) >= MOST:
            self.dropped += 1
            return
        self._lines.append(JournalEntry(kind=KIND, subject=execution, at=at, body=_encode(line).decode()))
        if not self._is_armed:
            self._is_armed = True
            self._call(self._arm)
        elif len(self._lines) == BATCH:
            self._call(self._wake.set)

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        """Keep what went wrong, so that it is found among the lines of all executions."""
        for event in events:
            if type(event) in SEVERE and (said := lifecycle_line(event)) is not None:
                of, level, text = said
                error = getattr(event, "error", None)
                line = LogLine(
                    level=level_name(level),
                    component="worker" if of == "step" else "engine",
                    workflow=definition.name,
                    message=text[:LONGEST],
                    step=getattr(event, "step", ""),
                    attempt=getattr(event, "attempt", 0),
                    error=error.type if error is not None else "",
                    is_lifecycle=True,
                )
                self.keep(execution, event.at, line)

    def _call(self, callback: object) -> None:
        loop = self._loop
        if loop is not None and callable(callback):
            with contextlib.suppress(RuntimeError):  # the loop is closed: what is left was written before
                loop.call_soon_threadsafe(callback)

    def _arm(self) -> None:
        self._flush_alarm.set(self._clock.now() + FLUSH_AFTER)

    def _forget_soon(self) -> None:
        self._forget_alarm.set(self._clock.now() + FORGET_EVERY)
        self._forgets = True
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._forgets:
                self._forgets = False
                await self._forget()
            while self._lines:
                await self._write()

    async def _write(self) -> None:
        self._is_armed = False  # what comes from now on arms the alarm anew
        entries = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
        now = self._clock.now()
        if self.dropped > self._told:
            entries.append(_note_of_dropped(self.dropped - self._told, now))
        told = self.dropped
        try:
            await self._store.write((), now, entries=entries)
        except StepwellError as error:
            self.dropped += len(entries)
            _log.warning("%d lines of executions' logs could not be kept: %s", len(entries), error)
        else:
            self._told = told

    def problem(self) -> str | None:
        """Why nothing is kept; None when it is."""
        return "nobody keeps what is logged" if self._running is None or self._running.done() else None

    async def _forget(self) -> None:
        try:
            await self._store.forget_journal(KIND, self._clock.now() - self._keep_for)
        except StepwellError as error:
            _log.warning("old lines of executions' logs could not be deleted, and are the next time: %s", error)


def _note_of_dropped(count: int, now: int) -> JournalEntry:
    line = LogLine(
        level="warning", component="app", workflow="", message=f"{count} lines were dropped: too many came at once"
    )
    return JournalEntry(kind=KIND, subject="-", at=now, body=_encode(line).decode())
