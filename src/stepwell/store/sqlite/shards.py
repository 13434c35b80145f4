"""Who owns which shard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import apsw

from stepwell.base.errors import Conflict, FenceLost
from stepwell.base.instants import to_rfc3339
from stepwell.ports.records import Lease
from stepwell.store.process import Process, is_gone
from stepwell.store.sqlite.rows import SQL, select
from stepwell.store.sqlite.thread import transaction


class Shard(NamedTuple):
    """A row of the table of shards. `owner` is None when the shard was given up."""

    shard: int
    fence: int
    owner: str | None
    expires_at: int
    wake_port: int | None
    process: Process

    def is_owned(self, now: int) -> bool:
        """Whether its owner may still be at work."""
        return self.owner is not None and self.expires_at > now and not is_gone(self.process)


def all_shards(connection: apsw.Connection) -> Sequence[Shard]:
    """Every shard there ever was, in order."""
    return [
        Shard(shard, fence, owner, expires_at, wake_port, Process(*process))
        for shard, fence, owner, expires_at, wake_port, *process in select(connection, "all_shards")
    ]


def acquire(
    connection: apsw.Connection,
    shard: int | None,
    owner: str,
    now: int,
    ttl: int,
    process: Process,
    wake_port: int | None,
    behind: int = 0,
) -> Lease:
    """See `ports.Store.acquire`."""
    with transaction(connection):
        shards = {known.shard: known for known in all_shards(connection)}
        if shard is None:
            shard = _free_shard(connection, shards.values(), now, behind)
        elif shard in shards and shards[shard].is_owned(now):
            raise _owned(shards[shard])
        return own(connection, shards.get(shard), shard, owner, now + ttl, process, wake_port)


def own(
    connection: apsw.Connection,
    known: Shard | None,
    shard: int,
    owner: str,
    expires_at: int,
    process: Process,
    wake_port: int | None,
) -> Lease:
    """Give the shard, of which this is known, to an owner, under the next number; within a transaction."""
    row = {"shard": shard, "owner": owner, "expires_at": expires_at, "wake_port": wake_port}
    connection.execute(SQL["own_shard"], row | process._asdict())
    return Lease(shard=shard, fence=known.fence + 1 if known is not None else 1, expires_at=expires_at)


def renew(connection: apsw.Connection, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
    """See `ports.Store.renew`."""
    with transaction(connection):
        check_fences(connection, {lease.shard: lease.fence for lease in leases})
        for lease in leases:
            connection.execute(SQL["renew_lease"], (now + ttl, lease.shard, lease.fence))
    return [Lease(shard=lease.shard, fence=lease.fence, expires_at=now + ttl) for lease in leases]


def release(connection: apsw.Connection, leases: Sequence[Lease]) -> None:
    """See `ports.Store.release`."""
    with transaction(connection):
        for lease in leases:
            connection.execute(SQL["release_lease"], (lease.shard, lease.fence))


def check_fences(connection: apsw.Connection, fences: Mapping[int, int]) -> None:
    """Raises: FenceLost: shards are not owned under these numbers."""
    lost = {shard: fence for shard, fence in fences.items() if select(connection, "has_lost_fence", (shard, fence))}
    if lost:
        raise fence_lost(lost)


def fence_lost(lost: Mapping[int, int]) -> FenceLost:
    """What to raise when shards are written under numbers that are not their own any more."""
    said = ", ".join(f"shard {shard} is no longer owned under the number {fence}" for shard, fence in lost.items())
    return FenceLost(
        f"{said}: another engine took {'it' if len(lost) == 1 else 'them'} over",
        shards=tuple(lost),
        hint="this engine was silent for longer than its lease; what it had not stored, the other one does again",
    )


def _free_shard(connection: apsw.Connection, shards: Collection[Shard], now: int, behind: int) -> int:
    for shard in shards:
        if shard.shard < behind:
            continue
        unfinished = select(connection, "has_unfinished", (shard.shard,))
        if not unfinished and not shard.is_owned(now):
            return shard.shard
    new = max((behind, *(shard.shard + 1 for shard in shards)))
    while select(connection, "has_unfinished", (new,)):
        new += 1  # something is to be started there, and nobody has been there yet
    return new


def _owned(shard: Shard) -> Conflict:
    return Conflict(
        f"shard {shard.shard} is owned by {shard.process} until {to_rfc3339(shard.expires_at)}",
        code="shard-owned",
        hint="stop that process, or wait until then",
    )
