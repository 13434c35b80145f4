"""Bounds that no simulation comes near: who goes beyond one would go on for ever, and take all time and memory.

They are counts, so that a seed that breaks one breaks it everywhere. A loop in which nothing is counted is ended by the
processor time that it takes.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from stepwell.decider.turn import Turn
from stepwell.execution.commands import Command
from stepwell.execution.history import HistoryEvent
from tests.simulation.invariants import Violation

MOST_EVENTS: Final = 1_000
"""No turn of these small definitions has as many events, nor as many commands."""
MOST_TURNS: Final = 20_000
"""So many inputs no execution gets, not even one that is stuck until patience is over."""
MOST_HISTORY: Final = 20_000
"""No history is as long."""
MOST_CALLBACKS: Final = 100_000
"""So many callbacks the engine never makes at an instant."""
MOST_HAPPENINGS: Final = 200_000
"""So much never happens in a world."""
MOST_SECONDS: Final = 20
"""So much processor time no seed takes: it takes some hundredths of a second."""


class Halt(BaseException):
    """What is asked of the decider would go on for ever: whatever asks ends here."""


def for_ever(what: str) -> Violation:
    """Something does not come to an end."""
    return Violation("nothing_runs_for_ever", what)


class Bounds:
    """Counts what the decider does.

    Args:
        note: takes a violation.
    """

    def __init__(self, note: Callable[[Violation], None]) -> None:
        self._note = note
        self._turns = Counter[str]()
        self._events = self._commands = 0

    def begin_turn(self, execution: str) -> None:
        """Raises: Halt: the execution has had too many turns."""
        self._events = self._commands = 0
        self._turns[execution] += 1
        if self._turns[execution] > MOST_TURNS:
            self._halt(f"an execution goes on after {MOST_TURNS:,} turns")

    def count_event(self, event: HistoryEvent) -> None:
        """Raises: Halt: the turn has had too many events."""
        self._events += 1
        if self._events > MOST_EVENTS:
            self._halt(f"after {MOST_EVENTS:,} events a turn goes on with {event}")

    def count_command(self, command: Command) -> None:
        """Raises: Halt: the turn has had too many commands."""
        self._commands += 1
        if self._commands > MOST_EVENTS:
            self._halt(f"after {MOST_EVENTS:,} commands a turn goes on with {command}")

    def _halt(self, what: str) -> None:
        self._note(for_ever(what))
        raise Halt


@contextmanager
def counted(bounds: Bounds) -> Iterator[None]:
    """Whatever turns record or command is counted meanwhile."""
    emit, command = Turn.emit, Turn.command

    def emit_counted(turn: Turn, event: HistoryEvent) -> None:
        bounds.count_event(event)
        emit(turn, event)

    def command_counted(turn: Turn, one: Command) -> None:
        bounds.count_command(one)
        command(turn, one)

    Turn.emit, Turn.command = emit_counted, command_counted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Turn.emit, Turn.command = emit, command  # type: ignore[method-assign]


@contextmanager
def in_time(note: Callable[[Violation], None], seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Whatever takes so much processor time is ended with `Halt`.

    Only the main thread can be interrupted; in another one nothing is bounded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        note(for_ever(f"it goes on after {seconds} s of processor time, at {where}"))
        raise Halt

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
