"""What was committed, in an order that stays.

Many connections write history at once. A row's number begins with the number of its transaction, and transactions end
in any order; so what is above the first one still under way is not told yet. That one may be somebody else's, of
another database or forgotten by its user, and may go on for hours: when the same one has been in the way for a while,
it is looked up which of those under way have nothing to do with history.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from stepwell.ports.ledger import FeedRow
from stepwell.store.cursors import check_limit
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL

_PATIENCE: Final = 1.0
"""Seconds that a transaction may be in the way before it is looked at."""


class Feed:
    """Reads the feed of a store. See `ports.Ledger.feed`."""

    def __init__(self) -> None:
        self._strangers: Sequence[int] = ()
        self._in_the_way: int | None = None
        self._since = 0.0

    async def after(self, connection: Connection, after: int, limit: int) -> Sequence[FeedRow]:
        """See `ports.Ledger.feed`."""
        check_limit(limit, "rows of history")
        rows = await connection.fetch(SQL["feed"], after, limit, self._strangers)
        oldest = rows[0][0]
        if oldest is None or oldest != self._in_the_way:
            self._in_the_way, self._since = oldest, time.monotonic()
        elif time.monotonic() - self._since > _PATIENCE:
            self._strangers = [xid for (xid,) in await connection.fetch(SQL["strangers"])]
            self._in_the_way = None
        return [
            FeedRow(number=number, execution=execution, workflow=workflow, seq=seq, events=events)
            for _, number, execution, workflow, seq, events in rows
            if number is not None
        ]

    async def end(self, connection: Connection) -> int:
        """See `ports.Ledger.feed_end`."""
        return int(await connection.fetchval(SQL["feed_end"], self._strangers) or 0)


async def shift_numbers(connection: Connection) -> None:
    """Have new rows numbered behind those there are, also after the database came to another server, whose transactions
    are numbered otherwise; before the first is written there."""
    if await connection.fetchval(SQL["numbers_would_go_back"]):
        await connection.execute(SQL["shift_numbers"])
