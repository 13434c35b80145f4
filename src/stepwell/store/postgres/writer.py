"""Write transactions that take effect exactly once, whatever becomes of the connection.

A writer is known to the database by a number, and so is each of its transactions: the first thing that a transaction
does is to note its number in the table `commits`. When the connection breaks and nobody knows whether the transaction
was committed, it is simply run again: if it was, or is still about to be, its number is refused as a duplicate, and
what it gave the first time is the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar

import asyncpg

from stepwell.base.errors import StepwellError
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.errors import is_broken, is_to_be_redone, violated
from stepwell.store.postgres.link import Link
from stepwell.store.postgres.statements import SQL

_Result = TypeVar("_Result")

_BEGIN: Final = "BEGIN; INSERT INTO commits (writer, number) VALUES (%d, %d)"
_SETTINGS: Final = """
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
"""A plan is made once, perhaps while the tables are all but empty; it must be one for large tables, by their indexes.
And what is committed is on the disk."""
_TIDY_EVERY: Final = 128
"""Transactions after which numbers that nobody can ask for any more are deleted."""
KEPT: Final = 64
"""How many of its last numbers a writer keeps: a lost connection may deliver late what was sent over it."""


class Mark(NamedTuple):
    """What a transaction notes in `commits` before anything else."""

    writer: int
    number: int


Attempt = Callable[[Connection, Mark], Awaitable[_Result]]


class _Known(Generic[_Result]):
    """What the last try that may have been committed gave."""

    def __init__(self) -> None:
        self.result: list[_Result] = []


class Writer:
    """One connection for writing, one transaction after another, in the order in which they were asked for.

    Attributes:
        waiting: how many transactions are under way or wait for their turn.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._connection: Connection | None = None
        self._id: int | None = None
        self._number = 0
        self._turn = asyncio.Lock()
        self.waiting = 0

    async def id(self) -> int:
        """The number of this writer, by which the database knows it."""
        async with self._turn:
            while self._id is None:
                connection = await self._connected()
                try:
                    new = await connection.fetchval(SQL["new_writer"])
                    await connection.execute(SQL["take_name"], self._name(new))
                    self._id = new
                except Exception as error:
                    await self._failed(connection, error)
            return self._id

    async def run(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """What `work` gives, once the transaction in which it was run is committed. `work` may be run several times.

        Raises:
            StoreError: the server could not be reached for too long. What `work` raises, errors of PostgreSQL too.
        """
        known = _Known[_Result]()

        async def attempt(connection: Connection, mark: Mark) -> _Result:
            await connection.execute(_BEGIN % mark)
            result = await work(connection)
            known.result = [result]  # from here on it may be committed
            await connection.execute("COMMIT")
            return result

        return await self.run_alone(attempt, lambda: known.result[0])

    async def run_alone(self, attempt: Attempt[_Result], committed: Callable[[], _Result]) -> _Result:
        """What `attempt` gives, which is a transaction by itself that notes its mark.

        Args:
            committed: what to answer when an earlier try turns out to have been committed.
        """
        self.waiting += 1
        try:
            if self._id is None:
                await self.id()
            async with self._turn:
                try:
                    return await self._until_done(attempt, committed)
                finally:
                    self._number += 1  # also after an error: nobody may know whether it was committed
                    if self._number % _TIDY_EVERY == 0:
                        await self._tidy()
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Let the database forget this writer, when it can be reached, and disconnect."""
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute(SQL["forget_writer"], self._id)
            await end(connection)
            self._id, self._number = None, 0

    async def _until_done(self, attempt: Attempt[_Result], committed: Callable[[], _Result]) -> _Result:
        assert self._id is not None, "it was given when it was first asked for"
        mark = Mark(self._id, self._number + 1)
        while True:
            connection = await self._connected()
            try:
                with self._link.watched():
                    return await attempt(connection, mark)
            except asyncpg.UniqueViolationError as error:
                await self._roll_back(connection)
                if violated(error) != "commits_pkey":
                    raise
                return committed()
            except BaseException as error:
                await self._failed(connection, error)

    async def _failed(self, connection: Connection, error: BaseException) -> None:
        """Make ready for another try; raises what cannot be helped by one."""
        if not isinstance(error, Exception):  # cancelled: nobody will ask what became of it
            self._drop(connection, None)
            raise error
        if is_broken(connection, error):
            self._drop(connection, error)
            return
        await self._roll_back(connection)
        if not is_to_be_redone(error):
            raise error

    async def _roll_back(self, connection: Connection) -> None:
        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
        except Exception as error:
            self._drop(connection, error)

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_closed():
            self._drop(self._connection, None)  # some time ago: it may well be there again
        while self._connection is None:
            connection = await self._link.again()
            try:
                await connection.execute(_SETTINGS)
                if self._id is not None:
                    await connection.execute(SQL["take_name"], self._name(self._id))
                self._connection = connection
            except BaseException as error:
                await self._failed(connection, error)
        return self._connection

    def _name(self, id_: int) -> str:
        """By which the server knows the connections of this writer, in all schemas of a database."""
        return f"stepwell writer {self._link.database.schema} {id_}"[-63:]

    def _drop(self, connection: Connection, error: BaseException | None) -> None:
        connection.terminate()
        self._connection = None
        if error is not None:
            self._link.lost(error)

    async def _tidy(self) -> None:
        """Delete old numbers; when it fails, some stay until the next time."""
        connection = self._connection
        if connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute(SQL["forget_commits"], self._id, self._number - KEPT)


async def end(connection: Connection) -> None:
    """Disconnect, politely if the server still listens."""
    try:
        await connection.close(timeout=5)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, StepwellError):
        connection.terminate()
