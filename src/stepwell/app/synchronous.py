"""Engines for callers without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

from stepwell.base.errors import UsageError

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, which is there as long as somebody uses it.

    Args:
        on_end: what is done on the loop when the last user leaves.
    """

    def __init__(self, on_end: Callable[[], Awaitable[None]]) -> None:
        self._on_end = on_end
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop, and wait for it. Ctrl-C cancels it."""
        with self._used() as loop:
            return run_on(loop, work)

    def owns(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is this one's loop, or was: it may have ended since somebody looked."""
        return loop in self._loops

    @contextmanager
    def _used(self) -> Iterator[asyncio.AbstractEventLoop]:
        with self._lock:
            self._users += 1
            loop = self._loop or self._begin()
        try:
            yield loop
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._end(loop)

    def _begin(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.new_event_loop()
        self._loops.add(loop)
        self._thread = threading.Thread(target=_turn, args=(loop,), name="stepwell", daemon=True)
        self._thread.start()
        return loop

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        thread, self._loop, self._thread = self._thread, None, None

        async def ended() -> None:
            await self._on_end()

        try:
            run_on(loop, ended)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not None:
                thread.join()


def run_on(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop that turns in another thread, and wait for it."""
    future = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def refuse_inside_a_loop(name: str, instead: str) -> None:
    """Check that the caller may wait.

    Raises:
        UsageError: an event loop turns in this thread, which would stand still.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"{name} waits, and would stop the event loop that runs in this thread",
        code="inside-event-loop",
        hint=f"write `await {instead}` here",
    )


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
