"""The cache of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from stepwell.ports.records import Change, KeptResult
from stepwell.store.sqlite.rows import SQL, RowStatement, select
from stepwell.store.sqlite.thread import transaction

FORGET_AT_ONCE: Final = 1_000
"""How many results are deleted in one transaction, so that appends do not wait long."""

_KEEP: Final = RowStatement("keep_results")


def apply(connection: apsw.Connection, changes: Sequence[Change]) -> None:
    """Put in what the changes keep, within a transaction; of several under one key the last."""
    kept = {result.key: result for change in changes for result in change.results_kept}
    _KEEP.run(connection, [value for result in kept.values() for value in _row(result)])


def kept_result(connection: apsw.Connection, key: str, now: int) -> KeptResult | None:
    """See `ports.Store.kept_result`."""
    for row in select(connection, "kept_result", (key, now)):
        return KeptResult(**dict(zip(KeptResult.__struct_fields__, row, strict=True)))
    return None


def forget(connection: apsw.Connection, now: int) -> int:
    """Delete at most `FORGET_AT_ONCE` results that have expired; returns how many."""
    with transaction(connection):
        connection.execute(SQL["forget_results"], (now, FORGET_AT_ONCE))
        return connection.changes()


def _row(result: KeptResult) -> tuple[object, ...]:
    return result.key, result.execution, result.made_at, result.expires_at, result.value
