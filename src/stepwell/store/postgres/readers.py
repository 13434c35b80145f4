"""Connections for reading: a few, each used by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.errors import is_broken, is_to_be_redone
from stepwell.store.postgres.link import Link
from stepwell.store.postgres.writer import end

_Result = TypeVar("_Result")


class Readers:
    """Reads, again if the connection broke meanwhile.

    Args:
        most: how many connections there are at most.
    """

    def __init__(self, link: Link, most: int) -> None:
        self._link = link
        self._idle: list[Connection] = []
        self._is_closed = False
        self._free = asyncio.Semaphore(most)

    def add(self, connection: Connection) -> None:
        """A connection that is there already."""
        self._idle.append(connection)

    async def run(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """What `work` gives; it may be run several times.

        Raises:
            StoreError: the server could not be reached for too long. What `work` raises, errors of PostgreSQL too.
        """
        async with self._free:
            while True:
                connection = await self._take()
                try:
                    with self._link.watched():
                        result = await work(connection)
                except Exception as error:
                    if is_broken(connection, error):
                        connection.terminate()
                        self._link.lost(error)
                        continue
                    await self._give_back(connection)
                    if is_to_be_redone(error):
                        continue
                    raise
                except BaseException:
                    connection.terminate()
                    raise
                await self._give_back(connection)
                return result

    async def close(self) -> None:
        """Disconnect; those that are in use, when they are not any more."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await end(connection)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._link.again()

    async def _give_back(self, connection: Connection) -> None:
        if connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        elif self._is_closed:
            await end(connection)
        else:
            self._idle.append(connection)
