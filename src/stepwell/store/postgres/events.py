"""Events from outside: they and the waits that want them meet, whichever comes first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.execution.event import Event
from stepwell.execution.matching import match_keys_of_event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import InboxItem, Published
from stepwell.store.event_index import filing_keys
from stepwell.store.ledger_rules import check_texts
from stepwell.store.placing import placed
from stepwell.store.postgres import ledger as postgres_ledger
from stepwell.store.postgres.advisory import hold, share
from stepwell.store.postgres.append import wait_lock
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.inbox import lock_inboxes, post
from stepwell.store.postgres.shards import all_shards
from stepwell.store.postgres.statements import SQL, columns, count_of
from stepwell.store.postgres.texts import digest_of

FORGET_AT_ONCE: Final = 1_000
"""How many events are deleted in one transaction, so that others do not wait long."""
_encode_event: Final = msgspec.msgpack.Encoder().encode


class Handed(NamedTuple):
    """What became of an event, and the shards whose owners are to be woken."""

    published: Published
    shards: Collection[int]


async def publish(
    connection: Connection,
    event: Event,
    now: int,
    keep_until: int,
    posts: Sequence[InboxItem] = (),
    entries: Sequence[JournalEntry] = (),
    writes: Sequence[Write] = (),
) -> Handed:
    """See `ports.Store.publish`; within a transaction."""
    check_texts(writes, entries)
    keys = sorted(set(match_keys_of_event(event.data)))
    await share(connection, {wait_lock(event.type, key) for key in keys})
    number = await _store(connection, event, now, keep_until, keys)
    if number is None:
        owned = [shard for shard in await all_shards(connection) if shard.is_owned(now)]
        return Handed(Published(duplicate=True, waits=0, engine_present=bool(owned)), ())
    if writes or entries:
        await hold(connection, postgres_ledger.locks_of(writes, entries))
        await postgres_ledger.write_documents(connection, writes, now)
        await postgres_ledger.note(connection, entries)
    waits = await connection.fetch(SQL["waits_for_event"], digest_of(event.type), keys)
    return await _hand_over(connection, number, waits, posts, now)


async def _store(connection: Connection, event: Event, now: int, keep_until: int, keys: Sequence[int]) -> int | None:
    """The event's number; None when it is there already."""
    filed: Any = await connection.fetchval(
        SQL["store_event"],
        digest_of(event.source, event.id),
        now,
        keep_until,
        _encode_event(event),
        digest_of(event.type),
        filing_keys(keys),
    )
    return int(filed) if filed is not None else None


async def _hand_over(
    connection: Connection, number: int, waits: Sequence[Any], posts: Sequence[InboxItem], now: int
) -> Handed:
    shards = await all_shards(connection)
    owned = {shard.shard for shard in shards if shard.is_owned(now)}
    items = placed(posts, owned, {shard.shard for shard in shards})
    concerned = {shard for shard, *_ in waits} | {item.shard for item in items}
    if concerned:
        await lock_inboxes(connection, concerned)
    if waits:
        await connection.execute(SQL["post_events"], "event", *columns([(*wait, number) for wait in waits]))
    await post(connection, items)
    engine_present = concerned <= owned if concerned else bool(owned)
    return Handed(Published(duplicate=False, waits=len(waits), engine_present=engine_present), concerned)


async def forget(connection: Connection, now: int) -> int:
    """Delete at most `FORGET_AT_ONCE` events whose time has passed; returns how many. Within a transaction."""
    rows = await connection.fetch(SQL["events_to_forget"], now, FORGET_AT_ONCE)
    numbers = [number for (number,) in rows]
    await connection.execute(SQL["keep_payloads"], numbers)
    return count_of(await connection.execute(SQL["forget_events"], numbers))
