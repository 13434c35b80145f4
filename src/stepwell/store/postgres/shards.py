"""Who owns which shard, and which nodes share them out among them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.base.durations import HOUR
from stepwell.base.errors import Conflict, FenceLost
from stepwell.base.instants import to_rfc3339
from stepwell.ports.records import Attendance, FreeShard, Lease, Presence
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL
from stepwell.store.process import Process, is_gone

_ALL: Final = lock_key("shards")
"""Held by whoever gives shards to an owner."""
_FORGOTTEN_AFTER: Final = HOUR


class Shard(NamedTuple):
    """A row of the table of shards. `owner` is None when the shard was given up; `writer` is by whom it is written."""

    shard: int
    fence: int
    owner: str | None
    expires_at: int
    writer: int | None
    process: Process

    def is_owned(self, now: int) -> bool:
        """Whether its owner may still be at work."""
        return self.owner is not None and self.expires_at > now and not is_gone(self.process)


class Claimant(NamedTuple):
    """Who wants shards.

    Attributes:
        writer: the number by which the database knows who will write them.
    """

    owner: str
    process: Process
    writer: int


class Attended(NamedTuple):
    """What a node learns, and whether the others are to be told of it."""

    attendance: Attendance
    is_news: bool


async def all_shards(connection: Connection) -> Sequence[Shard]:
    """Every shard there ever was, in order."""
    return [
        Shard(shard, fence, owner, expires_at, writer, Process(*process))
        for shard, fence, owner, expires_at, writer, *process in await connection.fetch(SQL["all_shards"])
    ]


async def acquire(
    connection: Connection, shard: int | None, claimant: Claimant, now: int, ttl: int, behind: int
) -> Lease:
    """See `ports.Store.acquire`; within a transaction."""
    await hold(connection, [_ALL])
    shards = {known.shard: known for known in await all_shards(connection)}
    if shard is None:
        shard = await _free_shard(connection, shards.values(), now, behind)
    elif shard in shards and shards[shard].is_owned(now):
        raise _owned(shards[shard])
    (lease,) = await _own(connection, [shard], shards, claimant, now + ttl)
    return lease


async def claim(
    connection: Connection, wanted: Sequence[int], claimant: Claimant, now: int, ttl: int
) -> Sequence[Lease]:
    """See `ports.Store.claim`; within a transaction."""
    await hold(connection, [_ALL])
    shards = {known.shard: known for known in await all_shards(connection)}
    free = [number for number in sorted(set(wanted)) if number not in shards or not shards[number].is_owned(now)]
    return await _own(connection, free, shards, claimant, now + ttl)


async def renew(connection: Connection, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
    """See `ports.Store.renew`; within a transaction."""
    rows = await connection.fetch(SQL["renew_leases"], *_columns(leases), now + ttl)
    renewed = {row[0] for row in rows}
    if lost := {lease.shard: lease.fence for lease in leases if lease.shard not in renewed}:
        raise fence_lost(lost)
    return [Lease(shard=lease.shard, fence=lease.fence, expires_at=now + ttl) for lease in leases]


async def release(connection: Connection, leases: Sequence[Lease]) -> None:
    """See `ports.Store.release`."""
    await connection.execute(SQL["release_leases"], *_columns(leases))


async def depart(connection: Connection, name: str) -> None:
    """See `ports.Store.depart`."""
    await connection.execute(SQL["release_all_of"], name)


async def attend(
    connection: Connection, presence: Presence, leases: Sequence[Lease], now: int, ttl: int, process: Process
) -> Attended:
    """See `ports.Store.attend`; one statement, and a second one when a process of this machine is gone."""
    said = (presence.name, presence.shards, presence.since, presence.leaving, presence.about)
    rows = await connection.fetch(
        SQL["attend"], *said, now, now + ttl, now - _FORGOTTEN_AFTER, *_columns(leases), *process
    )
    by_what: dict[str, list[Any]] = {"news": [], "node": [], "lost": [], "free": [], "owner": []}
    for row in rows:
        by_what[row["what"]].append(row)
    nodes = [_presence(row) for row in by_what["node"] if not is_gone(_process(row))]
    free = {row["number"]: FreeShard(row["number"], row["more"], row["flag"]) for row in by_what["free"]}
    if gone := [row["name"] for row in by_what["owner"] if is_gone(_process(row))]:
        for shard, fence in await connection.fetch(SQL["shards_of_owners"], gone):
            free[shard] = FreeShard(shard, fence, released=True)
    attendance = Attendance(
        nodes=sorted([presence, *nodes], key=lambda each: (each.since, each.name)),
        lost=sorted(row["number"] for row in by_what["lost"]),
        free=[free[shard] for shard in sorted(free)],
    )
    return Attended(attendance, bool(by_what["news"][0]["number"]))


def fence_lost(lost: Mapping[int, int]) -> FenceLost:
    """What to raise when shards are written under numbers that are not their own any more."""
    said = ", ".join(f"shard {shard} is no longer owned under the number {fence}" for shard, fence in lost.items())
    return FenceLost(
        f"{said}: another engine took {'it' if len(lost) == 1 else 'them'} over",
        shards=tuple(lost),
        hint="this engine was silent for longer than its lease; what it had not stored, the other one does again",
    )


async def _own(
    connection: Connection,
    wanted: Sequence[int],
    known: Mapping[int, Shard],
    claimant: Claimant,
    expires_at: int,
) -> Sequence[Lease]:
    """Give these shards to an owner, each under its next number."""
    if not wanted:
        return []
    await connection.execute(SQL["keep_writer"], claimant.writer)
    owner = (claimant.owner, expires_at, claimant.writer, *claimant.process)
    rows = await connection.fetch(SQL["own_shards"], wanted, *owner)
    before = {known[shard].writer for shard in wanted if shard in known} - {None}
    await connection.execute(SQL["outdate_writers"], list(before))
    return [Lease(shard=shard, fence=fence, expires_at=expires_at) for shard, fence in sorted(map(tuple, rows))]


async def _free_shard(connection: Connection, shards: Collection[Shard], now: int, behind: int) -> int:
    for shard in shards:
        if shard.shard >= behind and not shard.is_owned(now) and not await _has_unfinished(connection, shard.shard):
            return shard.shard
    new = max((behind, *(shard.shard + 1 for shard in shards)))
    while await _has_unfinished(connection, new):
        new += 1  # something is to be started there, and nobody has been there yet
    return new


async def _has_unfinished(connection: Connection, shard: int) -> bool:
    return bool(await connection.fetchval(SQL["has_unfinished"], shard))


def _columns(leases: Iterable[Lease]) -> tuple[list[int], list[int]]:
    return [lease.shard for lease in leases], [lease.fence for lease in leases]


def _presence(row: Mapping[str, Any]) -> Presence:
    return Presence(name=row["name"], shards=row["more"], since=row["number"], leaving=row["flag"], about=row["about"])


def _process(row: Mapping[str, Any]) -> Process:
    return Process(row["host"], row["machine"], row["pid"], row["started"])


def _owned(shard: Shard) -> Conflict:
    return Conflict(
        f"shard {shard.shard} is owned by {shard.process} until {to_rfc3339(shard.expires_at)}",
        code="shard-owned",
        hint="stop that process, or wait until then",
    )
