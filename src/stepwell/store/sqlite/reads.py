"""Reading executions and definitions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apsw
import msgspec

from stepwell.ports.listings import ExecutionListing, ExecutionQuery, Page, WaitPage
from stepwell.ports.records import Handle, HistoryRow, NewExecution, StoredDefinition, StoredExecution, Summary, Waiting
from stepwell.store.cursors import cursor_of, place_of, wait_cursor_of, wait_place_of
from stepwell.store.sqlite.rows import select

_ALL: Final = -1
"""As a LIMIT: no limit."""
_EARLIEST: Final = -(2**63)
_LATEST: Final = 2**63 - 1

_decode_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_encode_texts: Final = msgspec.json.Encoder().encode


def load(connection: apsw.Connection, execution: str) -> StoredExecution | None:
    """See `ports.Store.load`."""
    with _one_moment(connection):
        for row in select(connection, "execution", (execution,)):
            stored = _stored(connection, row)
            stored.history = _history(connection, row[0], stored.snapshot_seq)
            return stored
    return None


def executions_after(connection: apsw.Connection, key: int, limit: int) -> Sequence[StoredExecution]:
    """See `ports.Store.executions_after`."""
    found = []
    with _one_moment(connection):
        for row in select(connection, "executions_after", (key, limit)):
            stored = _stored(connection, row)
            stored.history = _history(connection, row[0], 0)
            found.append(stored)
    return found


def history(connection: apsw.Connection, execution: str, after: int, limit: int) -> Sequence[HistoryRow]:
    """See `ports.Store.history`."""
    return [HistoryRow(*row) for row in select(connection, "history_of", (execution, after, limit))]


def page(connection: apsw.Connection, query: ExecutionQuery) -> Page:
    """See `ports.Store.list`."""
    before_created, before_key = place_of(query)
    rows = select(
        connection,
        "list",
        {
            "before_created": before_created,
            "before_key": before_key,
            "created_from": query.created_from if query.created_from is not None else _EARLIEST,
            "created_to": query.created_to if query.created_to is not None else _LATEST,
            "workflow": query.workflow,
            "version": query.version,
            "statuses": _encode_texts(query.statuses).decode() if query.statuses else None,
            "tag": query.tag,
            "parent": query.parent,
            "namespaces": _encode_texts(query.namespaces).decode() if query.namespaces is not None else None,
            "text": query.text,
            "limit": query.limit + 1,
        },
    )
    shown = rows[: query.limit]
    items = [ExecutionListing(id=row[1], created=_created(row), summary=_summary(row)) for row in shown]
    more = len(rows) > query.limit
    return Page(items, cursor_of(items[-1].created.created_at, shown[-1][0]) if more else None)


def waiting(
    connection: apsw.Connection, event_type: str, namespaces: Sequence[str] | None, limit: int, cursor: str | None
) -> WaitPage:
    """See `ports.Store.waiting`."""
    key, step = wait_place_of(limit, cursor)
    rows = select(
        connection,
        "waiting",
        {
            "type": event_type,
            "namespaces": _encode_texts(namespaces).decode() if namespaces is not None else None,
            "execution": key,
            "step": step,
            "limit": limit + 1,
        },
    )
    shown = rows[:limit]
    last = wait_cursor_of(shown[-1][0], shown[-1][2]) if len(rows) > limit else None
    return WaitPage([Waiting(execution, step) for _, execution, step in shown], last)


def definition(connection: apsw.Connection, digest: str) -> StoredDefinition | None:
    """See `ports.Store.definition`."""
    for row in select(connection, "definition", (digest,)):
        return StoredDefinition(**dict(zip(StoredDefinition.__struct_fields__, row, strict=True)))
    return None


def _stored(connection: apsw.Connection, row: tuple[Any, ...]) -> StoredExecution:
    stored = StoredExecution(handle=Handle(row[1], row[2], row[0]), created=_created(row), summary=_summary(row))
    for seq, state in select(connection, "snapshot", (row[0],)):
        stored.snapshot_seq, stored.snapshot = seq, state
    return stored


def _history(connection: apsw.Connection, key: int, after: int) -> Sequence[HistoryRow]:
    return [HistoryRow(*row) for row in select(connection, "history", (key, after, _ALL))]


def _created(row: tuple[Any, ...]) -> NewExecution:
    workflow, version, digest, created_at, start_key, tags, parent, forked_from = row[3:11]
    return NewExecution(
        workflow=workflow,
        version=version,
        digest=digest,
        created_at=created_at,
        start_key=start_key,
        tags=_decode_tags(tags),
        parent=parent,
        forked_from=forked_from,
    )


def _summary(row: tuple[Any, ...]) -> Summary:
    status, hot, wake_at, started_at, finished_at, error = row[11:17]
    return Summary(
        status=status,
        hot=bool(hot),
        wake_at=wake_at,
        started_at=started_at,
        finished_at=finished_at,
        error=error,
    )


@contextmanager
def _one_moment(connection: apsw.Connection) -> Iterator[None]:
    """What several statements read belongs to one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def due(connection: apsw.Connection, shards: Collection[int], now: int, limit: int) -> Sequence[str]:
    """See `ports.Store.due`."""
    found = [row for shard in shards for row in select(connection, "due", (shard, now, limit))]
    if len(shards) > 1:
        found.sort(key=lambda row: row[1:])
    return [row[0] for row in found[:limit]]
