"""Events from outside: they and the waits that want them meet, whichever comes first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.execution.matching import match_keys_of_event
from stepwell.ports.records import Published
from stepwell.store.event_index import filing_keys
from stepwell.store.event_writing import Incoming
from stepwell.store.ledger_rules import check_texts
from stepwell.store.placing import placed
from stepwell.store.postgres import ledger as postgres_ledger
from stepwell.store.postgres.advisory import hold, share
from stepwell.store.postgres.append import wait_lock
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.inbox import lock_inboxes, post_locked
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


class _New(NamedTuple):
    """An event that was not there, its number, and the waits that could want it: shard, execution and step of each."""

    incoming: Incoming
    number: int
    waits: list[Sequence[Any]]


async def publish(connection: Connection, incoming: Sequence[Incoming]) -> Sequence[Handed]:
    """See `ports.Store.publish`: what becomes of each. Within a transaction, of which nothing may stay when this fails.

    Every lock is taken for all of them at once, in one order, so that nobody waits for one who waits for him.
    """
    writes = [write for each in incoming for write in each.writes]
    check_texts(writes, [entry for each in incoming for entry in each.entries])
    keys = [sorted(set(match_keys_of_event(each.event.data))) for each in incoming]
    await share(
        connection, {wait_lock(each.event.type, key) for each, own in zip(incoming, keys, strict=True) for key in own}
    )
    new = await _stored(connection, incoming)
    await _write_beside(connection, [each.incoming for each in new.values()])
    if new:
        await _file(connection, new, {place: keys[place] for place in new})
    return await _hand_over(connection, incoming, new)


async def _stored(connection: Connection, incoming: Sequence[Incoming]) -> Mapping[int, _New]:
    """Those that were not there, by their places: of several with one id the first counts."""
    places: dict[bytes, int] = {}
    for place, each in enumerate(incoming):
        places.setdefault(digest_of(each.event.source, each.event.id), place)
    rows = []
    for digest, place in places.items():
        event, now, keep_until, *_ = incoming[place]
        rows.append((digest, now, keep_until, _encode_event(event)))
    stored = await connection.fetch(SQL["store_events"], *columns(rows))
    numbers = sorted((places[digest], number) for digest, number in stored)
    return {place: _New(incoming[place], number, []) for place, number in numbers}


async def _write_beside(connection: Connection, new: Sequence[Incoming]) -> None:
    """The documents and entries of the journal that belong to them."""
    writes = [write for each in new for write in each.writes]
    entries = [entry for each in new for entry in each.entries]
    if writes or entries:
        await hold(connection, postgres_ledger.locks_of(writes, entries))
        await postgres_ledger.write_documents(connection, writes, max(each.now for each in new))
        await postgres_ledger.note(connection, entries)


async def _file(connection: Connection, new: Mapping[int, _New], keys: Mapping[int, Sequence[int]]) -> None:
    """File each under its keys, for waits that begin later, and find those that have begun."""
    types = {place: digest_of(each.incoming.event.type) for place, each in new.items()}
    filed = [
        (types[place], key, each.incoming.now, each.number)
        for place, each in new.items()
        for key in filing_keys(keys[place])
    ]
    asked = [(place, types[place], key) for place in new for key in keys[place]]
    for place, *wait in await connection.fetch(SQL["file_events"], *columns(filed), *columns(asked)):
        new[place].waits.append(wait)


async def _hand_over(connection: Connection, incoming: Sequence[Incoming], new: Mapping[int, _New]) -> Sequence[Handed]:
    shards, now = await all_shards(connection), max(each.now for each in incoming)
    known = {shard.shard for shard in shards}
    owned = {shard.shard for shard in shards if shard.is_owned(now)}
    items = {place: placed(each.incoming.posts, owned, known) for place, each in new.items()}
    concerned = {
        place: {shard for shard, *_ in each.waits} | {item.shard for item in items[place]}
        for place, each in new.items()
    }
    if of_all := set[int]().union(*concerned.values()):
        await lock_inboxes(connection, of_all)
    if waits := [(*wait, each.number) for each in new.values() for wait in each.waits]:
        await connection.execute(SQL["post_events"], "event", *columns(waits))
    await post_locked(connection, [item for own in items.values() for item in own])
    return [
        Handed(
            Published(
                duplicate=place not in new,
                waits=len(new[place].waits) if place in new else 0,
                engine_present=concerned[place] <= owned if concerned.get(place) else bool(owned),
            ),
            concerned.get(place, ()),
        )
        for place in range(len(incoming))
    ]


async def forget(connection: Connection, now: int) -> int:
    """Delete at most `FORGET_AT_ONCE` events whose time has passed; returns how many. Within a transaction."""
    rows = await connection.fetch(SQL["events_to_forget"], now, FORGET_AT_ONCE)
    numbers = [number for (number,) in rows]
    await connection.execute(SQL["keep_payloads"], numbers)
    return count_of(await connection.execute(SQL["forget_events"], numbers))
