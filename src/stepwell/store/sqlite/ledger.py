"""Documents, the journal, and what was committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import apsw

from stepwell.ports.ledger import Chain, Document, FeedRow, JournalEntry, JournalQuery, JournalRow, Write
from stepwell.ports.records import InboxItem
from stepwell.store.cursors import check_limit
from stepwell.store.ledger_rules import (
    carried_on,
    check_question,
    check_texts,
    end_of_prefix,
    lowered,
    rewritten,
)
from stepwell.store.placing import placed
from stepwell.store.sqlite.append import post
from stepwell.store.sqlite.rows import SQL, RowStatement, select
from stepwell.store.sqlite.shards import Shard, all_shards
from stepwell.store.sqlite.thread import transaction

FORGET_AT_ONCE: Final = 1_000
"""How many entries are deleted in one transaction, so that appends do not wait long."""

_NOTE: Final = RowStatement("note")
_FIRST, _LAST = -(2**63), 2**63 - 1
_BEHIND_ALL_TEXTS: Final = b""
"""In the order of SQLite every BLOB stands behind every TEXT."""
_ORDER, _REVERSED = "ORDER BY number", "ORDER BY number DESC"


class Written(NamedTuple):
    """The answer of `ports.Ledger.write`, and the owners of the inboxes that it put something into."""

    revisions: Sequence[int]
    owners: Sequence[Shard]


def write(
    connection: apsw.Connection,
    writes: Sequence[Write],
    now: int,
    posts: Sequence[InboxItem],
    entries: Sequence[JournalEntry],
) -> Written:
    """See `ports.Ledger.write`."""
    check_texts(writes, entries)
    with transaction(connection):
        revisions = write_documents(connection, writes, now)
        note(connection, entries)
        return Written(revisions, _post(connection, posts, now) if posts else ())


def write_documents(connection: apsw.Connection, writes: Sequence[Write], now: int) -> Sequence[int]:
    """Change documents within a transaction; their revisions."""
    return [_write_one(connection, each, now) for each in writes]


def note(connection: apsw.Connection, entries: Sequence[JournalEntry]) -> None:
    """Add to the journal and carry the chains on, within a transaction, whose rows SQLite numbers one after another."""
    if not entries:
        return
    values: list[Any] = []
    ends: dict[str, Chain] = {}  # numbered by their places among the entries
    for place, entry in enumerate(entries):
        hash_ = None
        if entry.chained:
            before = ends.get(entry.kind) or _end_of_chain(connection, entry.kind)
            end = ends[entry.kind] = carried_on(before, entry, place)
            hash_ = end.hash
        values += (entry.kind, entry.subject, entry.at, entry.body, hash_)
    _NOTE.run(connection, values)
    first = connection.last_insert_rowid() - len(entries) + 1
    for end in ends.values():
        connection.execute(SQL["write_chain"], (end.kind, end.length, first + end.number, end.hash))


def document(connection: apsw.Connection, kind: str, key: str) -> Document | None:
    """See `ports.Ledger.document`."""
    check_question(kind, key)
    return next(iter(_documents(connection, "document", (kind, key))), None)


def documents(connection: apsw.Connection, kind: str, prefix: str, after: str, limit: int) -> Sequence[Document]:
    """See `ports.Ledger.documents`."""
    check_limit(limit, "documents")
    check_question(kind, prefix, after)
    end = end_of_prefix(prefix)
    where = {
        "kind": kind,
        "first": max(prefix, after),
        "end": _BEHIND_ALL_TEXTS if end is None else end,
        "after": after,
        "limit": limit,
    }
    return _documents(connection, "documents", where)


def due_documents(connection: apsw.Connection, kind: str, now: int, limit: int) -> Sequence[Document]:
    """See `ports.Ledger.due_documents`."""
    check_limit(limit, "documents")
    return _documents(connection, "due_documents", (kind, now, limit))


def journal(connection: apsw.Connection, query: JournalQuery) -> Sequence[JournalRow]:
    """See `ports.Ledger.journal`."""
    check_limit(query.limit, "journal entries")
    check_question(query.kind, query.subject, query.text)
    where = {
        "kind": query.kind,
        "subject": query.subject,
        "after": query.after,
        "before": query.before if query.before is not None else _LAST,
        "since": query.since if query.since is not None else _FIRST,
        "until": query.until if query.until is not None else _LAST,
        "text": lowered(query.text) if query.text is not None else None,
        "limit": query.limit,
    }
    text = SQL[statement_for(query)]
    rows = connection.execute(text.replace(_ORDER, _REVERSED) if query.newest_first else text, where)
    return [
        JournalRow(number=number, kind=kind, subject=subject, at=at, body=body, hash=hash_)
        for number, kind, subject, at, body, hash_ in rows
    ]


def statement_for(query: JournalQuery) -> str:
    """The name of the statement that reads least for the query."""
    if query.subject is not None:
        return "journal_of_subject"
    return "journal" if query.since is None and query.until is None else "journal_between"


def forget_journal(connection: apsw.Connection, kind: str, before: int) -> int:
    """Delete at most `FORGET_AT_ONCE` entries; returns how many."""
    with transaction(connection):
        connection.execute(SQL["forget_journal"], (kind, before, FORGET_AT_ONCE))
        return connection.changes()


def chains(connection: apsw.Connection) -> Sequence[Chain]:
    """See `ports.Ledger.chains`."""
    return [_chain(row) for row in select(connection, "chains")]


def feed(connection: apsw.Connection, after: int, limit: int) -> Sequence[FeedRow]:
    """See `ports.Ledger.feed`."""
    check_limit(limit, "rows of history")
    return [
        FeedRow(number=number, execution=execution, workflow=workflow, seq=seq, events=events)
        for number, execution, workflow, seq, events in select(connection, "feed", (after, limit))
    ]


def _write_one(connection: apsw.Connection, write: Write, now: int) -> int:
    """The revision of the document after it."""
    known = document(connection, write.kind, write.key)
    after = rewritten(write, known, _deleted(connection, write.kind) if known is None else 0, now)
    if after is not None:
        row = (after.kind, after.key, after.revision, after.body, after.due_at, after.updated_at)
        connection.execute(SQL["write_document"], row)
        return after.revision
    if known is None:
        return 0
    connection.execute(SQL["delete_document"], (known.kind, known.key))
    connection.execute(SQL["note_deleted_revision"], (known.kind, known.revision))
    return known.revision


def _deleted(connection: apsw.Connection, kind: str) -> int:
    """The highest revision of a document of this kind that was deleted."""
    rows = select(connection, "deleted_revision", (kind,))
    return int(rows[0][0]) if rows else 0


def _end_of_chain(connection: apsw.Connection, kind: str) -> Chain | None:
    for row in select(connection, "chain", (kind,)):
        return _chain(row)
    return None


def _chain(row: tuple[Any, ...]) -> Chain:
    kind, length, number, hash_ = row
    return Chain(kind=kind, length=length, number=number, hash=hash_)


def _post(connection: apsw.Connection, posts: Sequence[InboxItem], now: int) -> Sequence[Shard]:
    """Put the items into inboxes; the owners of these."""
    shards = all_shards(connection)
    owned = {shard.shard for shard in shards if shard.is_owned(now)}
    items = placed(posts, owned, {shard.shard for shard in shards})
    post(connection, items)
    concerned = {item.shard for item in items}
    return [shard for shard in shards if shard.shard in concerned]


def _documents(
    connection: apsw.Connection, statement: str, values: Sequence[Any] | Mapping[str, Any]
) -> Sequence[Document]:
    return [
        Document(kind=kind, key=key, revision=revision, body=body, due_at=due_at, updated_at=updated_at)
        for kind, key, revision, body, due_at, updated_at in select(connection, statement, values)
    ]
