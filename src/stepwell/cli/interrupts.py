"""Ctrl-C and its relatives, while an event loop runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from stepwell.base.durations import SECOND
from stepwell.cli.failures import STOPPED

T = TypeVar("T")
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(Exception):
    """The user, or the system, wants this process to end."""


class OutOfTime(Exception):
    """The wait lasted too long."""


class Interrupts:
    """Ends waits when the process is told to end. Being told twice ends it at once: what is stored is safe.

    Attributes:
        hurry: called instead when it is told for the second time; the third time ends it.
    """

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self.hurry: Callable[[], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while this lasts; one that was ignored before (`nohup`) stays ignored."""
        loop = asyncio.get_running_loop()
        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        taken = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        with suppress(NotImplementedError, RuntimeError):  # not on this system, or not in this thread
            for number in taken:
                loop.add_signal_handler(number, self.tell)
        try:
            yield
        finally:
            with suppress(NotImplementedError, RuntimeError):  # as above: then there is none to take away
                for number in taken:
                    loop.remove_signal_handler(number)
                    if self._told.is_set():
                        signal.signal(number, signal.SIG_DFL)  # nothing is left to do: the next one ends the process

    def tell(self) -> None:
        """The process is to end."""
        if not self._told.is_set():
            self._told.set()
        elif self.hurry is not None:
            hurry, self.hurry = self.hurry, None
            hurry()
        else:
            os._exit(STOPPED)

    async def wait_for(self, work: Coroutine[Any, Any, T], timeout: int | None = None) -> T:  # noqa: ASYNC109
        """The result of `work`.

        Args:
            timeout: the longest wait, in microseconds.

        Raises:
            Interrupted: the process is told to end. OutOfTime: the wait lasted too long. In both cases `work` is
                cancelled.
        """
        task, told = asyncio.create_task(work), asyncio.create_task(self._told.wait())
        seconds = timeout / SECOND if timeout is not None else None
        try:
            await asyncio.wait({task, told}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Interrupted if told.done() else OutOfTime
        finally:
            for each in (task, told):
                each.cancel()
            await asyncio.gather(task, told, return_exceptions=True)
