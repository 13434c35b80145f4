"""Threads for functions that block.

Our own, and not `concurrent.futures`, for three reasons: the threads are daemons, so that a function that hangs does
not hold the process when it wants to end; a function that is stopped does not go on behind the back of the engine; and
its thread is given up instead of blocking a place in the pool.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

IDLE_SECONDS: Final = 10.0
"""How long a thread waits for the next function before it ends."""

Call: TypeAlias = Callable[[], Any]


class Stopped(BaseException):
    """Raised inside a function whose attempt was stopped. Not an `Exception`, so that it is not caught by habit."""


class _Job:
    """One call of a function.

    `lock` guards what follows. A job is struck at most once, and its thread serves nothing afterwards: so the exception
    can reach neither other work nor another holder of the lock.

    Attributes:
        thread: the thread that is inside the function, or None.
        stopped: it must not begin any more.
        struck: it was stopped while the function ran, by an exception that may still be on its way.
    """

    __slots__ = ("_call", "_done", "_loop", "lock", "stopped", "struck", "thread")

    def __init__(self, call: Call, done: asyncio.Future[tuple[bool, Any]]) -> None:
        self._call = call
        self._done = done
        self._loop = done.get_loop()
        self.lock = threading.Lock()
        self.thread: int | None = None
        self.stopped = False
        self.struck = False

    def run(self) -> None:
        """In a pool's thread: call the function and hand over how it ended."""
        with self.lock:
            if self.stopped:
                return
            self.thread = threading.get_ident()
        try:
            outcome = (True, self._call())
        except BaseException as error:
            outcome = (False, error)
        with self.lock:
            self.thread = None
        self._hand_over(outcome)

    def stop(self) -> None:
        """On the loop: have the function stop at its next step of Python; it never begins if it has not yet."""
        with self.lock:
            self.stopped = True
            if self.thread is not None:
                self.struck = True
                raise_in(self.thread, Stopped)

    def _hand_over(self, outcome: tuple[bool, Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(self, outcome: tuple[bool, Any]) -> None:
        if not self._done.done():
            self._done.set_result(outcome)


class ThreadPool:
    """Runs functions in daemon threads, made when none is free and ended after `idle_seconds` without work.

    There is no limit of its own: the worker bounds how many attempts run, and each runs one function at a time.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)  # one for every thread that waits and was promised no job
        self._numbers = itertools.count(1)

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function in a thread, with the caller's context variables.

        When the caller is cancelled, `Stopped` is raised inside the function and its thread is abandoned: what it
        returns later is ignored. A function inside a call of C code stops when that call returns.

        Raises:
            BaseException: what the function raises.
        """
        context = contextvars.copy_context()
        done: asyncio.Future[tuple[bool, Any]] = asyncio.get_running_loop().create_future()
        job = _Job(lambda: context.run(function, *args, **kwargs), done)
        self._submit(job)
        try:
            succeeded, value = await done
        except asyncio.CancelledError:
            job.stop()
            raise
        if succeeded:
            return value
        raise value

    def close(self) -> None:
        """Let the free threads end. Those that are busy end with their work, or with the process."""
        while self._free.acquire(blocking=False):
            self._jobs.put(None)

    def _submit(self, job: _Job) -> None:
        if not self._free.acquire(blocking=False):
            # Before the job is put: if no thread is to be had, it must not be done later by another one.
            threading.Thread(target=self._serve, name=f"stepwell-task-{next(self._numbers)}", daemon=True).start()
        self._jobs.put(job)

    def _serve(self) -> None:
        try:
            while (job := self._next()) is not None:
                job.run()
                if job.struck:
                    return
                job = None  # what the function returned must not live on while the thread is idle
                self._free.release()
        except Stopped:
            return  # it struck between two lines of ours, after the function had ended

    def _next(self) -> _Job | None:
        """The next job, or None when the thread must end."""
        while True:
            try:
                return self._jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                if self._free.acquire(blocking=False):
                    return None
                # a job was promised to a free thread in this very moment: it may be for this one


def raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in another thread, at its next step of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
