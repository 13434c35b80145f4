"""Reading executions by their ids, and what an engine has to see to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwell.ports.records import HistoryRow, StoredExecution
from stepwell.store.postgres.database import Connection, one_moment
from stepwell.store.postgres.rows import stored_of
from stepwell.store.postgres.statements import SQL


async def load(connection: Connection, execution: str) -> StoredExecution | None:
    """See `ports.Store.load`."""
    async with one_moment(connection):
        row = await connection.fetchrow(SQL["execution"], execution)
        if row is None:
            return None
        stored = stored_of(row)
        if snapshot := await connection.fetchrow(SQL["snapshot"], stored.handle.key):
            stored.snapshot_seq, stored.snapshot = snapshot
        rows = await connection.fetch(SQL["history_rows"], stored.handle.key, stored.snapshot_seq)
        stored.history = [HistoryRow(*each) for each in rows]
        return stored


async def history(connection: Connection, execution: str, after: int, limit: int) -> Sequence[HistoryRow]:
    """See `ports.Store.history`."""
    return [HistoryRow(*row) for row in await connection.fetch(SQL["history_of"], execution, after, limit)]


async def values(connection: Connection, statement: str, *given: Any) -> Sequence[Any]:
    """The first column of what a statement gives."""
    return [row[0] for row in await connection.fetch(SQL[statement], *given)]
