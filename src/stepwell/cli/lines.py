"""Progress as lines: one for every event that matters to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import SECOND
from stepwell.cli.board import Board, Row, rows_with
from stepwell.cli.narration import told
from stepwell.cli.streams import write
from stepwell.cli.words import time_of_day, took
from stepwell.execution.history import HistoryEvent
from stepwell.execution.status import StepStatus

REMIND_AFTER: Final = 10 * SECOND
"""A step that runs for this long is mentioned, and again whenever it has taken twice as long."""

_WIDEST_NAME: Final = 32
_WHOLE: Final = "execution"
"""What stands in the place of a step's name when the execution as a whole is meant."""


class Lines:
    """Writes `10:00:01 create_account  completed in 12 ms` and the like.

    Args:
        stream: where they go.
    """

    def __init__(self, board: Board, stream: TextIO, clock: Clock) -> None:
        self._board = board
        self._stream = stream
        self._clock = clock
        self._width = min(max(len(name) for name in (_WHOLE, *board.rows)), _WIDEST_NAME)
        self._reminded: dict[str, int] = {}
        self._timer: Timer | None = None

    def open(self) -> None:
        """Begin to mention what takes long."""
        self._timer = self._clock.call_at(self._clock.now() + REMIND_AFTER // 2, self._remind)

    def changed(self, events: Sequence[HistoryEvent]) -> None:
        """Write a line for each event that deserves one, all at once."""
        text = "".join(self._line(event) for event in events)
        if text:
            write(text, self._stream)

    def tell(self, message: str) -> None:
        """Write a message between the lines."""
        write(message + "\n", self._stream)

    def close(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _line(self, event: HistoryEvent) -> str:
        told_of = told(event)
        if not told_of:
            return ""
        name = getattr(event, "step", None) or _WHOLE
        return f"{time_of_day(event.at)} {name:<{self._width}}  {told_of}\n"

    def _remind(self) -> None:
        now = self._clock.now()
        for row in rows_with(self._board, (StepStatus.RUNNING,)):
            if self._is_overdue(row, now):
                lasted = row.lasted(now) or 0
                self._reminded[row.name] = lasted
                text = f"{time_of_day(now)} {row.name:<{self._width}}  has been running for {took(lasted)}\n"
                write(text, self._stream)
        self.open()

    def _is_overdue(self, row: Row, now: int) -> bool:
        return (row.lasted(now) or 0) >= max(REMIND_AFTER, 2 * self._reminded.get(row.name, 0))
