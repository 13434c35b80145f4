"""Connections that come back: what a store does while its server cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

import asyncpg

from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import StoreError
from stepwell.store.postgres.database import Connection, PostgresDatabase, connect
from stepwell.store.postgres.errors import connection_error, is_broken, is_outage, store_error
from stepwell.store.postgres.schema import use

_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries."""
_TOLD_EVERY: Final = 60.0
"""Seconds between two lines in the log that say that the outage lasts."""
_HASTE: Final = 5 * SECOND
"""How long an outage may last while the process ends."""
_SILENT: Final = 2.0
"""Seconds after which whoever has no answer makes sure that the server is there, and that it has to show that it is."""


class Link:
    """Makes connections, as long as it takes.

    Args:
        patience: how long an outage may last, in microseconds; whoever asks for a connection then gets an error. None
            for as long as it takes.

    Attributes:
        problem: what is wrong, while the server cannot be reached; None when all is well.
    """

    def __init__(self, database: PostgresDatabase, patience: int | None) -> None:
        self.database = database
        self.problem: str | None = None
        self._longest = self._patience = patience
        self._since = 0.0
        self._told_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._chance = Random()  # noqa: S311 - spreads tries in time, keeps no secret

    @property
    def away_for(self) -> float:
        """For how many seconds the server could not be reached; 0 when it can be, as far as is known."""
        return self._lasts_for() if self.problem is not None else 0.0

    def open(self) -> None:
        """Be as patient as it is meant to be."""
        self._patience = self._longest

    def hasten(self) -> None:
        """Be patient no more, until it is opened again."""
        self._patience = _HASTE if self._longest is None else min(self._longest, _HASTE)

    async def first(self, patience: int = 0) -> Connection:
        """A connection, before the store is open; without patience now, or the reason why there is none.

        Args:
            patience: how long a server that cannot be reached is waited for, in microseconds.

        Raises:
            StoreError, ConfigurationError: see `postgres.database.connect`; (code `store-unavailable`) no answer.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                connection = await connect(self.database)
            except Exception as error:
                if not is_outage(error):
                    raise
                if not patience:
                    raise connection_error(error, self.database.location) from error
                self._awaited(error, patience)
                await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._back()
            return connection

    def _awaited(self, error: Exception, patience: int) -> None:
        """The server is not there when the store is opened; said in the log at first, and now and then.

        Raises:
            StoreError: (code `store-unavailable`) it was waited for long enough.
        """
        reason = connection_error(error, self.database.location)
        if self.problem is None:
            self._since = self._now()
        waited = self._lasts_for()
        if waited > patience / SECOND:
            raise self._given_up(error) from error
        if self.problem is None or self._now() - self._told_at >= _TOLD_EVERY:
            self._told_at = self._now()
            _log.warning("%s; waiting for it, for up to %s", reason.message, format_duration(patience))
        self.problem = _said(error)

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
                if self._patience is not None and self._lasts_for() > self._patience / SECOND:
                    raise self._given_up(error) from error
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._back()
            return connection

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Something is asked of the server. When no answer comes for a while, it is looked whether it is there at all:
        a server that is gone without a word would be noticed late."""
        timer = asyncio.get_running_loop().call_later(_SILENT, self._look)
        try:
            yield
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._looked(), name="stepwell postgres look")

    async def _looked(self) -> None:
        """Whether the server answers somebody who comes anew; when not, until it does."""
        if self.problem is None:
            began = self._now() - _SILENT
            try:
                (await connect(self.database, _SILENT)).terminate()
            except (OSError, TimeoutError) as error:
                self.lost(error)
                self._since = min(self._since, began)
            except Exception as error:  # it answers: it is slow, or has no place for one more
                _log.debug("%s answers: %s", self.database.location, error)
        while self.problem is not None:
            try:
                (await self.again()).terminate()
            except StoreError as error:  # everybody who asks for a connection is told so
                _log.debug("%s", error)
                return

    async def _connected(self) -> Connection:
        connection = await connect(self.database)
        try:
            await use(connection, self.database)
        except BaseException as error:
            is_lost = is_broken(connection, error)
            connection.terminate()
            if is_lost and not is_outage(error):
                raise ConnectionResetError(_said(error)) from error
            if isinstance(error, asyncpg.PostgresError) and not is_outage(error):
                raise store_error(error, self.database.location) from error
            raise
        return connection

    def lost(self, error: BaseException) -> None:
        """Note that a connection is gone, or could not be had. Said in the log once in an outage, and every minute
        that it lasts."""
        now, location = self._now(), self.database.location
        if self.problem is None:
            self._since = self._told_at = now
            patience = self._patience
            longest = "as long as it takes" if patience is None else f"for up to {format_duration(patience)}"
            _log.warning("the connection to %s is lost (%s); trying again %s", location, _said(error), longest)
        elif now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            _log.warning("%s cannot be reached for %.0f s now: %s", location, self._lasts_for(), _said(error))
        self.problem = _said(error)
        if self._patience is None:
            self._look()  # whoever was waiting may have gone: somebody has to notice that it is back

    def _back(self) -> None:
        if self.problem is not None:
            _log.warning("%s answers again, after %.1f s", self.database.location, self._lasts_for())
            self.problem = None

    def _lasts_for(self) -> float:
        """Seconds."""
        return self._now() - self._since

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

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
