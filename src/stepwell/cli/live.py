"""Progress as a table that is drawn again and again, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import MILLISECOND
from stepwell.cli.board import Board, Row, rows_with
from stepwell.cli.streams import is_terminal, speaks_unicode
from stepwell.cli.symbols import look_of, symbol_of
from stepwell.cli.tables import console_for
from stepwell.cli.words import count, took
from stepwell.execution.history import HistoryEvent
from stepwell.execution.status import PARKED_STEP, StepStatus

SOONEST: Final = 100 * MILLISECOND
"""Between two drawings when much happens."""
LATEST: Final = 500 * MILLISECOND
"""Between two drawings when nothing happens: the time goes on."""

_AROUND: Final = 5
"""Lines beside the steps: the title, the headings, and room for the prompt."""
_NAME_SHARE: Final = 0.4
_BUSY_SHOWN: Final = 8
_BAR: Final = 30


class LiveTable:
    """Draws the board on standard error while the event loop runs."""

    def __init__(self, board: Board, execution: str, clock: Clock) -> None:
        self._board = board
        self._execution = execution
        self._clock = clock
        self._console = console_for(sys.stderr)
        self._unicode = speaks_unicode(sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._timer: Timer | None = None
        self._is_soon = False

    def open(self) -> None:
        """Draw it for the first time."""
        self._live.start()
        self._draw()

    def changed(self, events: Sequence[HistoryEvent]) -> None:
        """Have it drawn again, soon."""
        if not self._is_soon and self._timer is not None:
            self._is_soon = True
            self._timer.cancel()
            self._timer = self._clock.call_at(self._clock.now() + SOONEST, self._draw)

    def tell(self, message: str) -> None:
        """Write a message above the table; it is not broken over lines, so that it can be copied."""
        self._console.print(message, soft_wrap=True)

    def close(self) -> None:
        """Draw it for the last time and leave it standing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        says_the_same = self._board.is_over() and is_terminal(sys.stdout)  # the summary, which follows
        self._live.update(self.picture(titled=not says_the_same), refresh=True)
        self._live.stop()

    def _draw(self) -> None:
        self._is_soon = False
        self._live.update(self.picture(), refresh=True)
        self._timer = self._clock.call_at(self._clock.now() + LATEST, self._draw)

    def picture(self, *, titled: bool = True) -> RenderableType:
        """What is drawn: every step, or a digest when there are more than the terminal is high."""
        now = self._clock.now()
        title = [self._title(now)] if titled else []
        if len(self._board.rows) + _AROUND > self._console.height:
            return Group(*title, *self._digest(now))
        return Group(*title, self._steps(list(self._board.rows.values()), now))

    def _title(self, now: int) -> Text:
        board = self._board
        title = Text(no_wrap=True, overflow="ellipsis")
        title.append(f"{board.definition.name} {board.definition.version}", "bold")
        title.append(f"  {board.status}", look_of(board.status).style)
        title.append(f"  {took(board.lasted(now))}")
        title.append(f"  {self._execution}", "dim")
        if board.note:
            title.append(f"  {board.note}", "yellow")
        return title

    def _steps(self, rows: Sequence[Row], now: int) -> Table:
        """The narrow columns are as wide as they must be, the note takes what is left."""
        widest = max(12, round(self._console.width * _NAME_SHARE))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        table.add_column("", no_wrap=True)
        table.add_column("step", no_wrap=True, overflow="ellipsis", max_width=widest)
        table.add_column("status", no_wrap=True, min_width=9)
        table.add_column("tries" if any(row.attempts > 1 for row in rows) else "", no_wrap=True, justify="right")
        table.add_column("time", no_wrap=True, justify="right", min_width=7)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        undoing = {step.name for step in self._board.definition.compensation.steps}
        for position, row in enumerate(rows):
            if row.name in undoing and (position == 0 or rows[position - 1].name not in undoing):
                table.add_row("", Text("compensation", "dim"))
            table.add_row(*self._cells(row, now))
        return table

    def _cells(self, row: Row, now: int) -> Iterator[RenderableType]:
        style = look_of(row.status).style
        lasted = row.lasted(now)
        yield Text(symbol_of(row.status, unicode=self._unicode), style)
        yield Text(row.name, "dim" if row.status is StepStatus.PENDING else "")
        yield Text(row.status, style)
        yield str(row.attempts) if row.attempts > 1 else ""
        yield took(lasted) if lasted is not None and row.status is not StepStatus.SKIPPED else ""
        yield Text(row.note, "red" if row.status is StepStatus.FAILED else "dim")

    def _digest(self, now: int) -> Iterator[RenderableType]:
        """A bar, what is going on, and what failed last."""
        yield self._bar()
        shown = min(_BUSY_SHOWN, max(1, self._console.height - 10))
        busy = rows_with(self._board, (StepStatus.RUNNING, *PARKED_STEP))[:shown]
        if busy:
            yield self._steps(busy, now)
        if len(self._board.active) > len(busy):
            yield Text(f"and {count(len(self._board.active) - len(busy), 'more', 'more')}", "dim")
        if self._board.failures:
            yield Text("last failures:", "bold")
            for row in list(self._board.failures)[-max(1, self._console.height - shown - 7) :]:
                symbol = symbol_of("failed", unicode=self._unicode)
                yield Text(f"{symbol} {row.name}: {row.note}", "red", no_wrap=True, overflow="ellipsis")

    def _bar(self) -> Text:
        counts, total = self._board.counts, len(self._board.rows)
        ended = total - sum(counts[status] for status in _UNENDED)
        filled = _BAR * ended // max(total, 1)
        full, empty = ("█", "░") if self._unicode else ("#", ".")
        bar = Text(no_wrap=True, overflow="ellipsis")
        bar.append(full * filled, "green").append(empty * (_BAR - filled), "dim")
        bar.append(f" {ended:,} of {count(total, 'step')}")
        for status in (StepStatus.RUNNING, *PARKED_STEP, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED):
            if counts[status]:
                bar.append(f"  {counts[status]:,} {status}", look_of(status).style)
        return bar


_UNENDED: Final = (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.WAITING)
