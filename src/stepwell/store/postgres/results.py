"""The cache of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stepwell.ports.records import Change, KeptResult
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL, columns, count_of

FORGET_AT_ONCE: Final = 1_000
"""How many results the statement deletes in one transaction, so that others do not wait long."""


async def apply(connection: Connection, changes: Sequence[Change]) -> None:
    """Put in what the changes keep; of several under one key the last."""
    found = {result.key: result for change in changes for result in change.results_kept}
    if found:  # in order, so that two that write the same wait for each other and do not lock each other out
        rows = [_row(found[key]) for key in sorted(found)]
        await connection.execute(SQL["keep_results"], *columns(rows))


async def kept_result(connection: Connection, key: str, now: int) -> KeptResult | None:
    """See `ports.Store.kept_result`."""
    row = await connection.fetchrow(SQL["kept_result"], key, now)
    return KeptResult(**row) if row is not None else None


async def forget(connection: Connection, now: int) -> int:
    """Delete at most `FORGET_AT_ONCE` results that have expired; returns how many."""
    return count_of(await connection.execute(SQL["forget_results"], now))


def _row(result: KeptResult) -> tuple[object, ...]:
    return result.key, result.execution, result.made_at, result.expires_at, result.value
