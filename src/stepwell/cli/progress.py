"""Showing how an execution gets on, while it does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from stepwell.base.clock import Clock, SystemClock
from stepwell.cli.board import Board
from stepwell.cli.lines import Lines
from stepwell.cli.options import Setup
from stepwell.cli.sending import how_to_answer, how_to_send
from stepwell.cli.streams import is_terminal
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import ApprovalRequested, ExecutionCreated, HistoryEvent, WaitStarted
from stepwell.execution.status import StepStatus


class View(Protocol):
    """Shows a board to a person."""

    def open(self) -> None:
        """Begin; an event loop runs."""
        ...

    def changed(self, events: Sequence[HistoryEvent]) -> None:
        """These events have just been noted on the board."""
        ...

    def tell(self, message: str) -> None:
        """Show a message."""
        ...

    def close(self) -> None:
        """Show how it stands at last; nothing is shown after that."""
        ...


class Progress:
    """One execution on its way, shown as a live table on a terminal and as lines elsewhere.

    Args:
        setup: how to reach the store from another terminal; None when there is no way.
        stream: where lines go; a live table is always on standard error.
    """

    def __init__(
        self,
        execution: str,
        definition: WorkflowDefinition,
        setup: Setup | None,
        *,
        stream: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.board = Board(definition)
        self._setup = setup
        self._on_terminal = is_terminal(sys.stderr)
        self._view = _view(self.board, execution, stream, clock, live=self._on_terminal)
        self._is_open = False
        self._execution = execution
        self._wait: WaitStarted | ApprovalRequested | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while this lasts."""
        self._view.open()
        self._is_open = True
        self._tell_of_wait()
        try:
            yield
        finally:
            self._is_open = False
            self._view.close()

    def recall(self, events: Iterable[HistoryEvent]) -> None:
        """Note what happened before; it is not news."""
        kept = list(events)
        self.board.take(kept)
        self._note_wait(kept)

    def take(self, events: Sequence[HistoryEvent]) -> None:
        """Note what has just happened, and show it."""
        self.recall(events)
        self._view.changed(events)
        self._tell_of_wait()

    def _note_wait(self, events: Sequence[HistoryEvent]) -> None:
        """Keep the first wait that has not ended."""
        for event in events:
            if self._wait is None and isinstance(event, (WaitStarted, ApprovalRequested)) and self._still_waits(event):
                self._wait = event

    def _still_waits(self, event: WaitStarted | ApprovalRequested) -> bool:
        return self.board.rows[event.step].status is StepStatus.WAITING

    def _tell_of_wait(self) -> None:
        """Say once, to somebody at a terminal, how the event or the answer that is waited for can be sent."""
        if self._wait is None or not self._is_open or not self._on_terminal or self._setup is None:
            return
        if isinstance(self._wait, WaitStarted):
            self._view.tell(how_to_send(self._wait, self.board.definition, self._setup))
        else:
            self._view.tell(how_to_answer(self._wait, self._execution, self._setup))
        self._setup = None


def _view(board: Board, execution: str, stream: TextIO | None, clock: Clock, *, live: bool) -> View:
    if not live:
        return Lines(board, stream or sys.stderr, clock)
    from stepwell.cli.live import LiveTable

    return LiveTable(board, execution, clock)


class Watcher:
    """The engine's observer: hands the events of one execution to its progress.

    Attributes:
        created: the executions that were created while it watched.
    """

    def __init__(self) -> None:
        self.created: set[str] = set()
        self._early: list[tuple[str, Sequence[HistoryEvent]]] = []
        self._execution: str | None = None
        self._progress: Progress | None = None

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        """See `ports.Observer`."""
        if events and isinstance(events[0], ExecutionCreated):
            self.created.add(execution)
        if self._execution is None:
            self._early.append((execution, events))
        elif execution == self._execution and self._progress is not None:
            self._progress.take(events)

    def follow(self, execution: str, progress: Progress | None) -> None:
        """Show the events of this execution from now on, those that came before too."""
        self._execution, self._progress = execution, progress
        early, self._early = self._early, []
        for other, events in early:
            if other == execution and progress is not None:
                progress.take(events)
