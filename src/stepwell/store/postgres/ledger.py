"""Documents and the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.ports.ledger import Chain, Document, JournalEntry, JournalQuery, JournalRow, Write
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
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.inbox import post
from stepwell.store.postgres.shards import all_shards
from stepwell.store.postgres.statements import SQL, chosen, columns, count_of
from stepwell.store.postgres.texts import digest_of, given, kept

FORGET_AT_ONCE: Final = 1_000
"""How many entries the statement deletes in one transaction, so that others do not wait long."""

_ORDER, _REVERSED = "ORDER BY number", "ORDER BY number DESC"


class Written(NamedTuple):
    """The answer of `ports.Ledger.write`, and the shards whose inboxes it put something into."""

    revisions: Sequence[int]
    shards: Collection[int]


async def write(
    connection: Connection,
    writes: Sequence[Write],
    now: int,
    posts: Sequence[InboxItem],
    entries: Sequence[JournalEntry],
) -> Written:
    """See `ports.Ledger.write`; within a transaction."""
    check_texts(writes, entries)
    await hold(connection, locks_of(writes, entries))
    revisions = await write_documents(connection, writes, now)
    await note(connection, entries)
    return Written(revisions, await _post(connection, posts, now) if posts else ())


def locks_of(writes: Iterable[Write], entries: Iterable[JournalEntry]) -> Sequence[int]:
    """What must be held while documents are changed so and these entries are noted, until that is committed.

    So entries of a kind are numbered in the order in which they become visible: whoever reads on behind a number misses
    none, and a chain has one end.
    """
    digests = [digest_of(write.kind, write.key) for write in writes]  # documents share 256 locks: a server has not many
    return [
        *(lock_key("document", digest[0]) for digest in digests),
        *(lock_key("journal", entry.kind) for entry in entries),
    ]


async def note(connection: Connection, entries: Sequence[JournalEntry]) -> None:
    """Add to the journal and carry the chains on, within a transaction that holds `locks_of` the entries."""
    if not entries:
        return
    kinds = {entry.kind for entry in entries if entry.chained}
    rows = await connection.fetch(SQL["ends_of_chains"], sorted(kinds)) if kinds else []
    ends = {end.kind: end for end in map(_chain, rows)}
    hashes: list[bytes | None] = []
    for place, entry in enumerate(entries):  # until they are there, the places among the entries are their numbers
        if entry.chained:
            ends[entry.kind] = carried_on(ends.get(entry.kind), entry, place)
        hashes.append(ends[entry.kind].hash if entry.chained else None)
    values = [
        (each.kind, each.subject, each.at, kept(each.body), hash_) for each, hash_ in zip(entries, hashes, strict=True)
    ]
    numbers = await connection.fetch(SQL["note"], *columns(values))
    if ends:
        moved = [(end.kind, end.length, numbers[end.number][0], end.hash) for end in ends.values()]
        await connection.execute(SQL["write_chains"], *columns(sorted(moved)))


async def document(connection: Connection, kind: str, key: str) -> Document | None:
    """See `ports.Ledger.document`."""
    check_question(kind, key)
    rows = await connection.fetch(SQL["documents_by_digest"], [digest_of(kind, key)])
    return next((Document(**row) for row in rows), None)


async def documents(connection: Connection, kind: str, prefix: str, after: str, limit: int) -> Sequence[Document]:
    """See `ports.Ledger.documents`."""
    check_limit(limit, "documents")
    check_question(kind, prefix, after)
    if "\0" in kind + prefix:
        return []
    first, end = max(prefix, after.split("\0")[0]), end_of_prefix(prefix)
    rows = await connection.fetch(SQL["documents"], kind, first, end, after.split("\0")[0], limit)
    return [Document(**row) for row in rows]


async def due_documents(connection: Connection, kind: str, now: int, limit: int) -> Sequence[Document]:
    """See `ports.Ledger.due_documents`."""
    check_limit(limit, "documents")
    return [Document(**row) for row in await connection.fetch(SQL["due_documents"], kept(kind), now, limit)]


async def next_due(connection: Connection, kind: str) -> int | None:
    """See `ports.Ledger.next_due`."""
    due: int | None = await connection.fetchval(SQL["next_due"], kept(kind))
    return due


async def journal(connection: Connection, query: JournalQuery) -> Sequence[JournalRow]:
    """See `ports.Ledger.journal`."""
    check_limit(query.limit, "journal entries")
    check_question(query.kind, query.subject, query.text)
    values = {
        "kind": kept(query.kind),
        "after": query.after or None,
        "before": query.before,
        "since": query.since,
        "until": query.until,
        "subject": kept(query.subject),
        "text": lowered(kept(query.text)) if query.text is not None else None,
    }
    text, parameters = chosen("journal", values, query.limit)
    rows = await connection.fetch(text.replace(_ORDER, _REVERSED) if query.newest_first else text, *parameters)
    return [
        JournalRow(number=number, kind=kind, subject=subject, at=at, body=given(body), hash=hash_)
        for number, kind, subject, at, body, hash_ in rows[: query.limit]
    ]


async def forget_journal(connection: Connection, kind: str, before: int) -> int:
    """Delete at most `FORGET_AT_ONCE` entries; returns how many."""
    return count_of(await connection.execute(SQL["forget_journal"], kept(kind), before))


async def chains(connection: Connection) -> Sequence[Chain]:
    """See `ports.Ledger.chains`."""
    return [_chain(row) for row in await connection.fetch(SQL["chains"])]


async def write_documents(connection: Connection, writes: Sequence[Write], now: int) -> Sequence[int]:
    """Change documents, one after another, within a transaction that holds `locks_of` them; their revisions."""
    if not writes:
        return []
    places = [(write.kind, write.key) for write in writes]
    rows = await connection.fetch(SQL["documents_by_digest"], [digest_of(*place) for place in set(places)])
    found: dict[tuple[str, str], Document | None] = {(row["kind"], row["key"]): Document(**row) for row in rows}
    kinds = {write.kind for write in writes}
    before: Mapping[str, int] = dict(await connection.fetch(SQL["deleted_revisions"], list(kinds)))
    deleted, revisions = dict(before), []
    for place, write in zip(places, writes, strict=True):
        known = found.get(place)
        after = found[place] = rewritten(write, known, deleted.get(write.kind, 0), now)
        if after is None and known is not None:
            deleted[write.kind] = max(known.revision, deleted.get(write.kind, 0))
        last = after or known
        revisions.append(last.revision if last is not None else 0)
    await _put(connection, found)
    risen = sorted((kind, revision) for kind, revision in deleted.items() if revision != before.get(kind))
    if risen:
        await connection.execute(SQL["note_deleted_revisions"], *columns(risen))
    return revisions


async def _put(connection: Connection, found: Mapping[tuple[str, str], Document | None]) -> None:
    """Make documents what they are to be."""
    gone = [digest_of(*place) for place, document_ in found.items() if document_ is None]
    if gone:
        await connection.execute(SQL["delete_documents"], gone)
    values = [
        (digest_of(each.kind, each.key), each.kind, each.key, each.revision, each.body, each.due_at, each.updated_at)
        for each in found.values()
        if each is not None
    ]
    if values:
        await connection.execute(SQL["write_documents"], *columns(values))


async def _post(connection: Connection, posts: Sequence[InboxItem], now: int) -> Collection[int]:
    """Put the items into inboxes; the shards of these."""
    shards = await all_shards(connection)
    owned = {shard.shard for shard in shards if shard.is_owned(now)}
    items = placed(posts, owned, {shard.shard for shard in shards})
    await post(connection, items)
    return {item.shard for item in items}


def _chain(row: Sequence[Any]) -> Chain:
    kind, length, number, hash_ = row
    return Chain(kind=kind, length=length, number=number, hash=hash_)
