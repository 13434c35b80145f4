"""Events from outside, and the inboxes of shards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import apsw
import msgspec

from stepwell.execution.event import Event
from stepwell.execution.matching import match_keys_of_event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import InboxItem, Published
from stepwell.store.event_index import filing_keys
from stepwell.store.ledger_rules import check_texts
from stepwell.store.placing import placed
from stepwell.store.sqlite.append import post as post_items
from stepwell.store.sqlite.ledger import note, write_documents
from stepwell.store.sqlite.rows import SQL, RowStatement, select
from stepwell.store.sqlite.shards import Shard, all_shards
from stepwell.store.sqlite.thread import transaction

FORGET_AT_ONCE: Final = 1_000
"""How many events are deleted in one transaction, so that appends do not wait long."""

_FILE: Final = RowStatement("file_event")
_encode_event: Final = msgspec.msgpack.Encoder().encode
_encode_keys: Final = msgspec.json.Encoder().encode


class Handed(NamedTuple):
    """What became of an event, and the owners of the shards concerned."""

    published: Published
    owners: Sequence[Shard]


def publish(
    connection: apsw.Connection,
    event: Event,
    now: int,
    keep_until: int,
    posts: Sequence[InboxItem] = (),
    entries: Sequence[JournalEntry] = (),
    writes: Sequence[Write] = (),
) -> Handed:
    """See `ports.Store.publish`. Within a transaction."""
    check_texts(writes, entries)
    keys = match_keys_of_event(event.data)
    connection.execute(SQL["store_event"], (event.source, event.id, now, keep_until, _encode_event(event)))
    if connection.changes() == 0:
        return Handed(Published(True, 0, any(shard.is_owned(now) for shard in all_shards(connection))), [])
    number = connection.last_insert_rowid()
    _FILE.run(connection, [value for key in filing_keys(keys) for value in (event.type, key, now, number)])
    filed = {"event": number, "type": event.type, "keys": _encode_keys(sorted(set(keys))).decode()}
    connection.execute(SQL["hand_to_waits"], filed)
    waits = connection.changes()
    concerned = {shard for (shard,) in select(connection, "shards_of_event", (number,))}
    shards = all_shards(connection)
    owned = {shard.shard for shard in shards if shard.is_owned(now)}
    if posts:
        items = placed(posts, owned, {shard.shard for shard in shards})
        post_items(connection, items)
        concerned |= {item.shard for item in items}
    note(connection, entries)
    write_documents(connection, writes, now)
    engine_present = concerned <= owned if concerned else bool(owned)
    owners = [shard for shard in shards if shard.shard in concerned]
    return Handed(Published(False, waits, engine_present), owners)


def post(connection: apsw.Connection, items: Sequence[InboxItem]) -> Sequence[Shard]:
    """See `ports.Store.post`; the owners of the shards concerned."""
    with transaction(connection):
        post_items(connection, items)
        return owners_of(connection, {item.shard for item in items})


def owners_of(connection: apsw.Connection, shards: Collection[int]) -> Sequence[Shard]:
    """What is known of these shards; of all, when one of them is an inbox that belongs to no shard, for anybody may be
    the one who looks into it."""
    if not shards:
        return []
    is_anybody = min(shards) < 0
    return [shard for shard in all_shards(connection) if is_anybody or shard.shard in shards]


def forget(connection: apsw.Connection, now: int) -> int:
    """Delete at most `FORGET_AT_ONCE` events whose time has passed; returns how many."""
    with transaction(connection):
        connection.execute(SQL["keep_payloads"], (now,))
        connection.execute(SQL["forget_events"], (now, FORGET_AT_ONCE))
        return connection.changes()


def inboxes(connection: apsw.Connection, after: Mapping[int, int], limit: int) -> Sequence[InboxItem]:
    """See `ports.Store.inboxes`."""
    items = [item for shard, behind in after.items() for item in inbox(connection, shard, behind, limit)]
    return sorted(items, key=lambda item: item.id)[:limit]


def inbox(connection: apsw.Connection, shard: int, after: int, limit: int) -> Sequence[InboxItem]:
    """See `ports.Store.inbox`."""
    return [
        InboxItem(id=number, shard=of, kind=kind, payload=payload, execution=execution, step=step)
        for number, of, kind, payload, execution, step in select(connection, "inbox", (shard, after, limit))
    ]
