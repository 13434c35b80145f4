"""An event loop without time, threads and input: it does what is ready, in order, and stops when nothing is."""

from __future__ import annotations

import asyncio
import inspect
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from tests.simulation.bounds import MOST_CALLBACKS, for_ever


class Loop(asyncio.AbstractEventLoop):
    """Runs tasks until all of them wait for something that the simulation has to give.

    It can be abandoned between any two callbacks, as a process is when the power fails.

    Attributes:
        defects: what was raised where nobody could take it.
        abandoned: nothing of it runs any more.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self.defects: list[str] = []
        self.abandoned = False

    def drain(self) -> None:
        """Do everything that can be done now.

        Raises:
            Violation: there is no end of it.
        """
        ready, left = self._ready, MOST_CALLBACKS
        _set_running_loop(self)
        try:
            while ready and not self.abandoned:
                left -= 1
                if left < 0:
                    raise for_ever(f"the engine goes on after {MOST_CALLBACKS:,} callbacks at one instant")
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            _set_running_loop(None)

    def abandon(self) -> None:
        """Never run anything again; what is under way is not even told."""
        self.abandoned = True
        for handle in self._ready:
            for argument in handle._args:
                if isinstance(argument, asyncio.Future):  # it has ended, and who waits for it would have been told now
                    argument._log_traceback = False
        self._ready.clear()
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            work = task.get_coro()
            if inspect.iscoroutine(work) and inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()  # it had not begun
        self._tasks.clear()

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin the work and do what can be done now; it need not be done by then."""
        task = self.create_task(work)
        self.drain()
        return task

    # ── What asyncio asks of a loop ──────────────────────────────────────────────────────────────────────────────────

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.abandoned

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.defects.append(f"{context.get('message')}: {context.get('exception')!r}")


def new_loop() -> Loop:
    """A loop. (What else asyncio's loops can do is not needed here, and not there.)"""
    return Loop()  # type: ignore[abstract]
