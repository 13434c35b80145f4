"""Locks that executions share: taking, giving back and granting them, within the transaction of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import apsw

from stepwell.ports.records import Change, InboxItem, Lock, LockRequest
from stepwell.store.locking import (
    Claim,
    Notice,
    lock_changes,
    make_room,
    notices,
    settled,
    touches_locks,
)
from stepwell.store.sqlite.rows import SQL, RowStatement, select

_REQUEST: Final = RowStatement("request_locks")
_RELEASE: Final = RowStatement("release_locks")
_HOLD: Final = RowStatement("hold_locks")
_TELL: Final = RowStatement("tell_locks")

Keys = Mapping[str, int]
"""The store's numbers of executions, by their ids."""


class _Place(NamedTuple):
    """Where a claim stands, since when, and where its execution is told about it."""

    number: int
    shard: int
    since: int


def apply(connection: apsw.Connection, changes: Sequence[Change], keys: Keys) -> Sequence[InboxItem]:
    """Take and give back what the changes say; what is to be posted to whom by it, lock by lock.

    Args:
        keys: of the executions that the changes are about.
    """
    touching = [change for change in changes if touches_locks(change)]
    if not touching:
        return ()
    ended, released, taken = lock_changes(touching)
    names = {claim.name for claim in (*released, *taken)}
    for execution in ended:
        names.update(name for (name,) in select(connection, "release_locks_of", (keys[execution],)))
    _release(connection, list(released), keys)
    new = _request(connection, taken, keys)
    return [item for name in sorted(names) for item in _settle(connection, name, new, keys)]


def locks(connection: apsw.Connection, name: str | None) -> Sequence[Lock]:
    """See `ports.Store.locks`."""
    return [
        Lock(name=of, execution=execution, step=step, limit=limit, since=since, held=bool(held))
        for of, execution, step, limit, since, held in select(connection, "locks", {"name": name})
    ]


def _release(connection: apsw.Connection, claims: Sequence[Claim], keys: Keys) -> None:
    _RELEASE.run(connection, [value for claim in claims for value in _key(claim, keys)])


def _request(connection: apsw.Connection, taken: Mapping[Claim, LockRequest], keys: Keys) -> Mapping[Claim, str]:
    """Put them in line; those that were not there before and would not just wait, with what happens otherwise."""
    new = {
        claim: request.otherwise
        for claim, request in taken.items()
        if request.otherwise != "queue" and not select(connection, "has_asked_for_lock", _key(claim, keys))
    }
    _REQUEST.run(
        connection,
        [value for claim, request in taken.items() for value in (*_key(claim, keys), request.limit, request.at)],
    )
    return new


def _key(claim: Claim, keys: Keys) -> tuple[str, int, str]:
    """The claim's row, by its unique columns."""
    return claim.name, keys[claim.execution], claim.holder


def _settle(connection: apsw.Connection, name: str, new: Mapping[Claim, str], keys: Keys) -> Iterator[InboxItem]:
    ((holders,),) = select(connection, "count_holders", (name,))
    places: dict[Claim, _Place] = {}
    line = connection.execute(SQL["lock_line"], (name,))
    refusing = [claim for claim, otherwise in new.items() if otherwise == "refuse" and claim.name == name]
    outcome = settled(holders, _waiting(name, line, places), refusing)
    line.close()  # who comes behind was not read
    _HOLD.run(connection, [places[claim].number for claim in outcome.granted])
    _release(connection, outcome.refused, keys)
    told = notices(outcome, lambda claim: places[claim].since)
    for notice, claim in zip(told, (*outcome.granted, *outcome.refused), strict=True):
        yield _item(notice, places[claim].shard)
    for claim, otherwise in new.items():
        if otherwise == "replace" and claim.name == name:
            yield from _make_room(connection, claim, keys)


def _waiting(name: str, line: apsw.Cursor, places: dict[Claim, _Place]) -> Iterator[tuple[int, Claim]]:
    """Those in line as they are read; `places` is filled with where they stand."""
    for limit, number, execution, shard, step, since in line:
        claim = Claim(name, execution, step)
        places[claim] = _Place(number, shard, since)
        yield limit, claim


def _make_room(connection: apsw.Connection, replacing: Claim, keys: Keys) -> Iterator[InboxItem]:
    """Nothing when it has the lock already."""
    before = select(connection, "locks_before", _key(replacing, keys))
    _TELL.run(connection, [number for number, *_ in before])
    shards = {execution: shard for _, execution, shard in before}
    for notice in make_room(shards, replacing):
        yield _item(notice, shards[notice.execution])


def _item(notice: Notice, shard: int) -> InboxItem:
    return InboxItem(
        shard=shard, kind=notice.kind, payload=notice.payload, execution=notice.execution, step=notice.step
    )
