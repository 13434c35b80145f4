"""What every part of the PostgreSQL store stands on: its connections, reading, writing, and waking others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, TypeVar

from stepwell.base.durations import MINUTE
from stepwell.base.errors import StoreError
from stepwell.ports.records import Lease
from stepwell.store.postgres.bell import Bell
from stepwell.store.postgres.database import Connection, database_of
from stepwell.store.postgres.errors import is_outage, translated
from stepwell.store.postgres.link import Link
from stepwell.store.postgres.readers import Readers
from stepwell.store.postgres.schema import How, bring_up_to_date, use
from stepwell.store.postgres.writer import Writer, end

_Result = TypeVar("_Result")

RECONNECT: Final = 5 * MINUTE
_READERS: Final = 4
_WRITERS: Final = 2
"""Beside the one that appends."""


class PostgresCore:
    """The connections of a store to a PostgreSQL database.

    Args:
        url: see `postgres.database.database_of`.
        reconnect: how long an outage of the server is sat out, in microseconds.
        outlasts: the process is one that outlasts its database: `open` waits for the server for up to `reconnect`,
            and once it is open an outage is sat out as long as it takes.

    Raises:
        ConfigurationError: (code `invalid-store`) it is not the URL of a PostgreSQL database.
    """

    def __init__(self, url: str, *, reconnect: int = RECONNECT, outlasts: bool = False) -> None:
        self._database = database_of(url)
        self._link = Link(self._database, None if outlasts else reconnect)
        self._waits = reconnect if outlasts else 0
        self._is_open = False
        self._jobs: set[asyncio.Task[Any]] = set()
        self._leases: dict[int, Lease] = {}
        self._bell = Bell(self._link, lambda work: self._readers.run(work), lambda: self._leases.keys())
        self._start_afresh()

    @property
    def location(self) -> str:
        """The database, as users know it; without the password."""
        return self._database.location

    @property
    def outage(self) -> str | None:
        """What is wrong, while the server cannot be reached."""
        return self._link.problem

    @property
    def away_for(self) -> float:
        """See `ports.Store.away_for`."""
        return self._link.away_for

    def hasten(self) -> None:
        """See `ports.Store.hasten`."""
        self._link.hasten()

    async def open(self, *, migrate: bool = True) -> None:
        """See `ports.Store.open`."""
        await self._open("when_new" if migrate else "never")

    async def migrate(self) -> None:
        """See `ports.Store.migrate`."""
        await self._open("always")
        await self.close()

    async def close(self) -> None:
        """See `ports.Store.close`."""
        if not self._is_open:
            return
        self._is_open = False
        self._link.hasten()
        await self._finish()
        while self._jobs:
            await asyncio.wait(self._jobs)
        await self._give_up_leases()
        await self._bell.close()
        await self._link.close()
        for writer in (self._appending, *self._writing):
            await writer.close()
        await self._readers.close()
        self._start_afresh()

    async def _open(self, how: How) -> None:
        if self._is_open:
            return
        self._link.open()
        self._readers.add(await self._first(how))
        self._is_open = True
        if self._bell.is_listened_to:
            self._bell.begin()

    async def _first(self, how: How) -> Connection:
        """A connection to a schema that can be used."""
        while True:
            connection = await self._link.first(self._waits)
            try:
                with translated(self.location):
                    await bring_up_to_date(connection, self._database, how)
                    await use(connection, self._database)
                    await self._on_connected(connection)
                return connection
            except BaseException as error:
                await end(connection)
                if not self._waits or error.__cause__ is None or not is_outage(error.__cause__):
                    raise
                self._link.lost(error.__cause__)  # while it was prepared: it is waited for again

    async def _on_connected(self, connection: Connection) -> None:
        """What is to be seen to when the store is opened, before anything else."""

    async def _finish(self) -> None:
        """What was asked for is done before the store is closed."""

    async def _give_up_leases(self) -> None:
        """What is owned is given up when the store is closed."""

    def _start_afresh(self) -> None:
        self._readers = Readers(self._link, _READERS)
        self._appending = Writer(self._link)
        self._writing = [Writer(self._link) for _ in range(_WRITERS)]

    async def _read(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """What `work` gives; it may be run several times, and must not write."""
        self._check_open()
        with translated(self.location):
            return await self._readers.run(work)

    async def _write(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """What `work` gives, once its transaction is committed. It may be run several times, and is done even when
        nobody waits for it any more."""
        self._check_open()
        return await self._done(self._least_busy().run(work))

    def _least_busy(self) -> Writer:
        return min(self._writing, key=lambda each: each.waiting)

    async def _done(self, job: Coroutine[Any, Any, _Result]) -> _Result:
        """What the job gives; it goes on when whoever asked for it is cancelled."""
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._on_done)
        with translated(self.location):
            return await asyncio.shield(task)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked for it may be gone

    def _ring(self, shards: Collection[int]) -> None:
        """Wake the owners of these inboxes."""
        self._bell.ring(shards)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError(f"the store {self.location} is not open", code="store-closed")
