"""The one thread that writes: SQLite has one writer anyway, and the event loop must not wait for a disk."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from stepwell.base.errors import StoreError
from stepwell.store.sqlite.errors import translated
from stepwell.store.sqlite.file import Database, identity_of

_Result = TypeVar("_Result")

_SWITCH_INTERVAL: Final = 20e-6
"""In seconds. A thread that wants Python's interpreter lock asks for it only after waiting this long undisturbed. A
busy event loop gives the lock up for an instant in every round, when it looks for I/O, and has it back before the
writer wakes: with the usual 5 ms the writer was seen waiting for 30 seconds. With 20 µs it waits for milliseconds at
most; two busy threads lost 3 to 17 % by it, in one noisy run."""


class _Job(NamedTuple):
    work: Callable[[apsw.Connection], Any]
    answer: asyncio.Future[Any]


class WriterThread:
    """Runs one piece of work after another on a connection that only it uses, and answers on the event loop.

    Args:
        connection: belongs to this thread from now on, and is closed by it.
        loop: the event loop on which `run` is called.
    """

    def __init__(self, connection: apsw.Connection, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._database = database
        self._loop = loop
        self._file = identity_of(database.path)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="stepwell store", daemon=True)
        if sys.getswitchinterval() > _SWITCH_INTERVAL:
            sys.setswitchinterval(_SWITCH_INTERVAL)
        self._thread.start()

    def run(self, work: Callable[[apsw.Connection], _Result]) -> asyncio.Future[_Result]:
        """Have `work` done after everything asked for before. It is done even when nobody waits for it any more.

        The future fails with what `work` raised; errors of SQLite become `StoreError`.
        """
        answer: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs.put(_Job(work, answer))
        return answer

    async def close(self) -> None:
        """Finish what was asked for, and close the connection."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, error = None, None
            try:
                with translated(self._database.location, self._connection):
                    self._check_file()
                    result = job.work(self._connection)
            except Exception as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_settle, job.answer, result, error)
            del job, result, error  # not to keep them until the next one comes
        with suppress(apsw.Error):
            self._connection.close()

    def _check_file(self) -> None:
        """SQLite would go on writing into a file that has lost its name, and all would be gone in the end."""
        if self._file is None or identity_of(self._database.path) != self._file:
            raise StoreError(
                f"{self._database.path} was deleted or replaced while it was in use",
                code="store-gone",
                hint="stop every engine that uses it, put the file back if you can, and start again",
            )


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.cancelled():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Everything inside is written, durably and at once, or nothing is.

    The lock is taken at the beginning: what is read inside cannot be changed by another process before the end.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
