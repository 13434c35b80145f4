"""Locks that executions share: taking, giving back and granting them, within the transaction of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import apsw

from stepwell.ports import Change, InboxItem, Lock
from stepwell.store.locking import granted, lock_changes, touches_locks
from stepwell.store.sqlite_rows import SQL, RowStatement, select

_REQUEST: Final = RowStatement("request_locks")
_RELEASE: Final = RowStatement("release_locks")
_HOLD: Final = RowStatement("hold_locks")


class _Waiting(NamedTuple):
    """Who stands in line; the fields in the order of the statement's."""

    number: int
    execution: str
    shard: int
    step: str


def apply(connection: apsw.Connection, changes: Sequence[Change], keys: Mapping[str, int]) -> Sequence[InboxItem]:
    """Take and give back what the changes say; what is to be posted to those who get a lock by it, lock by lock.

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
    _RELEASE.run(
        connection,
        [value for claim in released for value in (claim.name, keys[claim.execution], claim.holder)],
    )
    _REQUEST.run(
        connection,
        [
            value
            for claim, request in taken.items()
            for value in (claim.name, keys[claim.execution], claim.holder, request.limit, request.at)
        ],
    )
    return [item for name in sorted(names) for item in _grant(connection, name)]


def locks(connection: apsw.Connection, name: str | None) -> Sequence[Lock]:
    """See `ports.Store.locks`."""
    return [
        Lock(name=of, execution=execution, step=step, limit=limit, since=since, held=bool(held))
        for of, execution, step, limit, since, held in select(connection, "locks", {"name": name})
    ]


def _grant(connection: apsw.Connection, name: str) -> Sequence[InboxItem]:
    ((holders,),) = select(connection, "count_holders", (name,))
    line = connection.execute(SQL["lock_line"], (name,))
    now = list(granted(holders, ((limit, _Waiting(*waiting)) for limit, *waiting in line)))
    line.close()  # who is not granted was not read
    _HOLD.run(connection, [waiting.number for waiting in now])
    payload = name.encode()
    return [
        InboxItem(
            shard=waiting.shard, kind="lock_granted", payload=payload, execution=waiting.execution, step=waiting.step
        )
        for waiting in now
    ]
