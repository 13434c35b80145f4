"""Lists of executions and of waits."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.ports.listings import ExecutionListing, ExecutionQuery, Page, WaitPage
from stepwell.ports.records import HistoryRow, StoredExecution, Waiting
from stepwell.store.cursors import cursor_of, place_of, wait_cursor_of, wait_place_of
from stepwell.store.ledger_rules import lowered
from stepwell.store.postgres.database import Connection, one_moment
from stepwell.store.postgres.rows import created_of, stored_of, summary_of
from stepwell.store.postgres.statements import SQL, chosen
from stepwell.store.postgres.texts import digest_of, given, kept


async def page(connection: Connection, query: ExecutionQuery) -> Page:
    """See `ports.Store.list`."""
    before_created, before_key = place_of(query)
    parent = kept(query.parent)
    values = {
        "before_created": before_created,
        "before_key": before_key,
        "created_from": query.created_from,
        "created_to": query.created_to,
        "workflow": kept(query.workflow),
        "version": kept(query.version),
        "statuses": query.statuses or None,
        "tag": kept(query.tag),
        "first_child": f"{parent}/" if parent is not None else None,
        "behind_children": f"{parent}0" if parent is not None else None,  # '0' is the character after '/'
        "namespaces": names(query.namespaces),
        "text": lowered(kept(query.text)) if query.text is not None else None,
    }
    text, parameters = chosen("list", values, query.limit + 1)
    rows = await connection.fetch(text, *parameters)
    shown = rows[: query.limit]
    items = [ExecutionListing(id=row[1], created=created_of(row), summary=summary_of(row)) for row in shown]
    more = len(rows) > query.limit
    return Page(items, cursor_of(items[-1].created.created_at, shown[-1][0]) if more else None)


async def waiting(
    connection: Connection, event_type: str, namespaces: Sequence[str] | None, limit: int, cursor: str | None
) -> WaitPage:
    """See `ports.Store.waiting`."""
    key, step = wait_place_of(limit, cursor)
    rows = await connection.fetch(SQL["waiting"], digest_of(event_type), key, kept(step), names(namespaces), limit + 1)
    shown = rows[:limit]
    last = wait_cursor_of(shown[-1][0], given(shown[-1][2])) if len(rows) > limit else None
    return WaitPage([Waiting(execution, given(step)) for _, execution, step in shown], last)


async def executions_after(connection: Connection, key: int, limit: int) -> Sequence[StoredExecution]:
    """See `ports.Store.executions_after`."""
    async with one_moment(connection):
        rows = await connection.fetch(SQL["executions_after"], key, limit)
        found = {row[0]: stored_of(row) for row in rows}
        snapshots = await connection.fetch(SQL["snapshots_of"], list(found))
        histories = await connection.fetch(SQL["histories_of"], list(found))
    for execution, seq, state in snapshots:
        found[execution].snapshot_seq, found[execution].snapshot = seq, state
    told: dict[int, list[HistoryRow]] = {}
    for execution, seq, events in histories:
        told.setdefault(execution, []).append(HistoryRow(seq, events))
    for execution, stored in found.items():
        stored.history = told.get(execution, ())
    return list(found.values())


def names(wanted: Sequence[str] | None) -> Sequence[str] | None:
    """Names to look for, as a parameter; None means any."""
    return [kept(name) for name in wanted] if wanted is not None else None
