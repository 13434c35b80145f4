"""Locks that executions share: taking, giving back and granting them, within the transaction of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.ports.records import Change, Handle, InboxItem, Lock, LockRequest
from stepwell.store.locking import (
    Claim,
    Notice,
    Settled,
    lock_changes,
    make_room,
    notices,
    settled,
    touches_locks,
)
from stepwell.store.postgres.advisory import lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL, columns
from stepwell.store.postgres.texts import digest_of, given, kept

_FIRST_IN_LINE: Final = 64
"""How much of a line is read at first."""

Keys = Mapping[str, int]
"""The store's numbers of executions, by their ids."""


class _Place(NamedTuple):
    """Where a claim stands, since when, and where its execution is told about it."""

    number: int
    shard: int
    since: int


async def names_of(connection: Connection, changes: Sequence[Change], numbers: Mapping[Handle, int]) -> Collection[str]:
    """The locks that these changes are about, those too that executions have which end: only their owner changes
    these. `numbers` are the store's own of the executions."""
    touching = [change for change in changes if touches_locks(change)]
    if not touching:
        return ()
    ended, released, taken = lock_changes(touching)
    names = {claim.name for claim in (*released, *taken)}
    if ended:
        keys = _keys(touching, numbers)
        rows = await connection.fetch(SQL["lock_names_of"], [keys[execution] for execution in ended])
        names.update(given(name) for (name,) in rows)
    return names


def lock_keys(names: Iterable[str]) -> list[int]:
    """What is to be held while these lines change."""
    return [lock_key("lock", name) for name in names]


async def apply(
    connection: Connection, changes: Sequence[Change], numbers: Mapping[Handle, int], names: Collection[str]
) -> Sequence[InboxItem]:
    """Take and give back what the changes say; what is to be posted to whom by it, lock by lock.

    Args:
        names: what `names_of` gave; the `lock_keys` of these are held.
    """
    touching = [change for change in changes if touches_locks(change)]
    keys = _keys(touching, numbers)
    ended, released, taken = lock_changes(touching)
    if ended:
        await connection.execute(SQL["release_locks_of"], [keys[execution] for execution in ended])
    await _release(connection, list(released), keys)
    impatient = await _request(connection, taken, keys)
    return [item for name in sorted(names) for item in await _settle(connection, name, impatient, keys)]


async def locks(connection: Connection, name: str | None) -> Sequence[Lock]:
    """See `ports.Store.locks`."""
    rows = await connection.fetch(SQL["locks"], digest_of(name) if name is not None else None)
    return [
        Lock(name=given(of), execution=execution, step=given(step), limit=limit, since=since, held=held)
        for of, execution, step, limit, since, held in rows
    ]


async def _release(connection: Connection, claims: Sequence[Claim], keys: Keys) -> None:
    if claims:
        await connection.execute(SQL["release_locks"], *columns([_row(claim, keys) for claim in claims]))


async def _request(connection: Connection, taken: Mapping[Claim, LockRequest], keys: Keys) -> Mapping[Claim, str]:
    """Put them in line; those that were not there before and would not just wait, with what happens otherwise."""
    impatient = {claim: request.otherwise for claim, request in taken.items() if request.otherwise != "queue"}
    if impatient:
        ids = {key: id_ for id_, key in keys.items()}
        asked = await connection.fetch(SQL["asked_for_locks"], *columns([_row(claim, keys) for claim in impatient]))
        for name, execution, step in asked:
            del impatient[Claim(given(name), ids[execution], given(step))]
    if taken:
        rows = [
            (*_row(claim, keys), request.limit, request.at, kept(claim.name), kept(claim.holder))
            for claim, request in taken.items()
        ]
        await connection.execute(SQL["request_locks"], *columns(rows))
    return impatient


def _keys(changes: Sequence[Change], keys: Mapping[Handle, int]) -> Keys:
    return {change.handle.id: keys[change.handle] for change in changes}


def _row(claim: Claim, keys: Keys) -> tuple[bytes, int, bytes]:
    """The claim's row, by its unique columns."""
    return digest_of(claim.name), keys[claim.execution], digest_of(claim.holder)


async def _settle(connection: Connection, name: str, impatient: Mapping[Claim, str], keys: Keys) -> Sequence[InboxItem]:
    refusing = [claim for claim, otherwise in impatient.items() if otherwise == "refuse" and claim.name == name]
    outcome, places = await _settled(connection, name, refusing)
    if outcome.granted:
        await connection.execute(SQL["hold_locks"], [places[claim].number for claim in outcome.granted])
    await _release(connection, outcome.refused, keys)
    told = notices(outcome, lambda claim: places[claim].since)
    items = [
        _item(notice, places[claim].shard)
        for notice, claim in zip(told, (*outcome.granted, *outcome.refused), strict=True)
    ]
    for claim, otherwise in impatient.items():
        if otherwise == "replace" and claim.name == name:
            items += await _make_room(connection, claim, keys)
    return items


async def _settled(
    connection: Connection, name: str, refusing: Collection[Claim]
) -> tuple[Settled, Mapping[Claim, _Place]]:
    """Who gets the lock and who is refused it, and where they stand. No more of the line is read than is needed, or
    not much more."""
    digest = digest_of(name)
    holders: int = await connection.fetchval(SQL["count_holders"], digest)
    most = _FIRST_IN_LINE
    while True:
        line = await connection.fetch(SQL["lock_line"], digest, 0, most)
        places: dict[Claim, _Place] = {}
        outcome = settled(holders, _waiting(name, line, places), refusing)
        if len(line) < most or len(places) < len(line):
            return outcome, places
        most *= 8


def _waiting(name: str, line: Sequence[Any], places: dict[Claim, _Place]) -> Iterable[tuple[int, Claim]]:
    """Those in line as they are read; `places` is filled with where they stand."""
    for limit, number, execution, shard, step, since in line:
        claim = Claim(name, execution, given(step))
        places[claim] = _Place(number, shard, since)
        yield limit, claim


async def _make_room(connection: Connection, replacing: Claim, keys: Keys) -> Sequence[InboxItem]:
    """Nothing when it has the lock already."""
    before = await connection.fetch(SQL["locks_before"], *_row(replacing, keys))
    if not before:
        return ()
    await connection.execute(SQL["tell_locks"], [number for number, *_ in before])
    shards = {execution: shard for _, execution, shard in before}
    return [_item(notice, shards[notice.execution]) for notice in make_room(shards, replacing)]


def _item(notice: Notice, shard: int) -> InboxItem:
    return InboxItem(
        shard=shard, kind=notice.kind, payload=notice.payload, execution=notice.execution, step=notice.step
    )
