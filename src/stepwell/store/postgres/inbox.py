"""The inboxes of shards, and those that belong to no shard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stepwell.ports.records import InboxItem
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL
from stepwell.store.postgres.texts import given, kept


async def post(connection: Connection, items: Sequence[InboxItem]) -> None:
    """Put items into inboxes, within a transaction: as the last thing that it does, for it holds up others from here
    on to its end."""
    if items:
        await lock_inboxes(connection, {item.shard for item in items})
        await post_locked(connection, items)


async def post_locked(connection: Connection, items: Sequence[InboxItem]) -> None:
    """The same, for who has locked these inboxes."""
    if items:
        await connection.execute(SQL["post"], *inbox_columns(items))


async def lock_inboxes(connection: Connection, shards: Collection[int]) -> None:
    """Have nobody else put anything into these inboxes until the transaction ends: whoever reads one up to an item
    would miss an item with a lower number that comes later."""
    await hold(connection, lock_keys(shards))


def lock_keys(shards: Collection[int]) -> list[int]:
    """What must be held by those who put something into these inboxes, in the order in which it is to be taken."""
    return sorted(lock_key("inbox", shard) for shard in shards)


def inbox_columns(items: Sequence[InboxItem]) -> tuple[list[Any], ...]:
    """Shard, kind, execution, step and payload, each of all items."""
    return (
        [item.shard for item in items],
        [item.kind for item in items],
        [kept(item.execution) for item in items],
        [kept(item.step) for item in items],
        [item.payload for item in items],
    )


async def inboxes(connection: Connection, after: Mapping[int, int], limit: int) -> Sequence[InboxItem]:
    """See `ports.Store.inboxes`."""
    rows = await connection.fetch(SQL["inboxes"], list(after), list(after.values()), limit)
    return [
        InboxItem(id=number, shard=shard, kind=kind, payload=payload, execution=given(execution), step=given(step))
        for number, shard, kind, payload, execution, step in rows
    ]
