"""Connections that come back: what a store does while its server cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Final

import asyncpg

from stepwell.base.durations import SECOND
from stepwell.base.errors import StoreError
from stepwell.store.postgres.database import Connection, PostgresDatabase, connect
from stepwell.store.postgres.errors import connection_error, is_broken, is_outage
from stepwell.store.postgres.schema import use

_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries."""


class Link:
    """Makes connections, as long as it takes.

    Args:
        patience: how long an outage may last, in microseconds; whoever asks for a connection then gets an error.

    Attributes:
        problem: what is wrong, while the server cannot be reached; None when all is well.
    """

    def __init__(self, database: PostgresDatabase, patience: int) -> None:
        self.database = database
        self.problem: str | None = None
        self._patience = patience / SECOND
        self._since = 0.0
        self._chance = Random()  # noqa: S311 - spreads tries in time, keeps no secret

    async def first(self) -> Connection:
        """A connection now, or the reason why there is none.

        Raises:
            StoreError, ConfigurationError: see `postgres.database.connect`; (code `store-unavailable`) no answer.
        """
        try:
            return await connect(self.database)
        except Exception as error:
            if is_outage(error):
                raise connection_error(error, self.database.location) from error
            raise

    async def again(self) -> Connection:
        """A connection, as soon as there is one.

        Raises:
            StoreError: it is refused, the outage has lasted for too long (code `store-unavailable`), or the schema is
                not the one that this version knows any more.
        """
        pause = _FIRST_PAUSE
        while True:
            if self.problem is not None:
                await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))
            try:
                connection = await self._connected()
            except Exception as error:
                if not is_outage(error):
                    raise
                self.lost(error)
                if self._lasts_for() > self._patience:
                    raise self._given_up(error) from error
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._back()
            return connection

    async def _connected(self) -> Connection:
        connection = await connect(self.database)
        try:
            await use(connection, self.database)
        except BaseException as error:
            is_lost = is_broken(connection, error)
            connection.terminate()
            if is_lost and not is_outage(error):
                raise ConnectionResetError(_said(error)) from error
            raise
        return connection

    def lost(self, error: BaseException) -> None:
        """Note that a connection is gone, or could not be had. Said in the log once in an outage."""
        if self.problem is None:
            self._since = asyncio.get_running_loop().time()
            _log.warning(
                "the connection to %s is lost (%s); trying again for up to %.0f s",
                self.database.location,
                _said(error),
                self._patience,
            )
        self.problem = _said(error)

    def _back(self) -> None:
        if self.problem is not None:
            _log.warning("%s answers again, after %.1f s", self.database.location, self._lasts_for())
            self.problem = None

    def _lasts_for(self) -> float:
        """Seconds."""
        return asyncio.get_running_loop().time() - self._since

    def _given_up(self, error: Exception) -> StoreError:
        given_up = connection_error(error, self.database.location)
        return StoreError(
            f"{given_up.message}; it was tried for {self._lasts_for():.0f} s",
            code="store-unavailable",
            hint="nothing is lost: start again when the server is back; `state_store.reconnect` says how long to try",
        )


def _said(error: BaseException) -> str:
    if isinstance(error, asyncpg.InternalClientError):  # it was told so while nothing was asked
        return "the server ended it"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
