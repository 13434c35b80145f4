"""The engines that share shards out among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import apsw

from stepwell.ports.records import Attendance, FreeShard, Lease, Presence
from stepwell.store.process import Process, is_gone
from stepwell.store.sqlite.rows import SQL, select
from stepwell.store.sqlite.shards import Shard, all_shards, own
from stepwell.store.sqlite.thread import transaction


class Node(NamedTuple):
    """A row of the table of nodes."""

    presence: Presence
    expires_at: int
    wake_port: int | None
    process: Process

    def is_alive(self, now: int) -> bool:
        """Whether it may still be at work."""
        return self.expires_at > now and not is_gone(self.process)


class Attended(NamedTuple):
    """What a node learns, and where others are to be woken because of it."""

    attendance: Attendance
    ports: Collection[int]


def attend(
    connection: apsw.Connection,
    presence: Presence,
    leases: Sequence[Lease],
    now: int,
    ttl: int,
    process: Process,
    wake_port: int | None,
) -> Attended:
    """See `ports.Store.attend`."""
    with transaction(connection):
        nodes = {node.presence.name: node for node in all_nodes(connection)}
        before = nodes.pop(presence.name, None)
        alive = [node for node in nodes.values() if node.is_alive(now)]
        for node in nodes.values():
            if node not in alive:
                connection.execute(SQL["forget_node"], (node.presence.name,))
        connection.execute(SQL["note_node"], _row(presence, now + ttl, wake_port, process))
        lost = [lease.shard for lease in leases if not _prolonged(connection, lease, now + ttl)]
        shards = {shard.shard: shard for shard in all_shards(connection)}
    present = [presence, *(node.presence for node in alive)]
    present.sort(key=lambda each: (each.since, each.name))
    free = [_free(number, shards.get(number)) for number in sorted({*range(presence.shards), *shards})
            if number not in shards or not shards[number].is_owned(now)]  # fmt: skip
    is_news = before is None or before.presence.leaving != presence.leaving or not before.is_alive(now)
    ports = {node.wake_port for node in alive if node.wake_port is not None} if is_news else set()
    return Attended(Attendance(nodes=present, lost=lost, free=free), ports)


def claim(
    connection: apsw.Connection,
    wanted: Sequence[int],
    owner: str,
    now: int,
    ttl: int,
    process: Process,
    wake_port: int | None,
) -> Sequence[Lease]:
    """See `ports.Store.claim`."""
    with transaction(connection):
        shards = {shard.shard: shard for shard in all_shards(connection)}
        return [
            own(connection, shards.get(number), number, owner, now + ttl, process, wake_port)
            for number in sorted(wanted)
            if number not in shards or not shards[number].is_owned(now)
        ]


def depart(connection: apsw.Connection, name: str) -> Collection[int]:
    """See `ports.Store.depart`; where others are to be woken because of it."""
    with transaction(connection):
        connection.execute(SQL["forget_node"], (name,))
        connection.execute(SQL["release_all"], (name,))
        return all_ports(connection)


def all_ports(connection: apsw.Connection) -> Collection[int]:
    """Where nodes are woken; nobody may listen there any more."""
    return {node.wake_port for node in all_nodes(connection) if node.wake_port is not None}


def all_nodes(connection: apsw.Connection) -> Sequence[Node]:
    """Every node that is known."""
    return [
        Node(Presence(name=name, shards=shards, since=since, leaving=bool(leaving), about=about), expires_at, wake_port,
             Process(*process))
        for name, shards, since, leaving, expires_at, about, wake_port, *process in select(connection, "all_nodes")
    ]  # fmt: skip


def _row(presence: Presence, expires_at: int, wake_port: int | None, process: Process) -> dict[str, Any]:
    return {
        "name": presence.name,
        "shards": presence.shards,
        "since": presence.since,
        "leaving": int(presence.leaving),
        "about": presence.about,
        "expires_at": expires_at,
        "wake_port": wake_port,
    } | process._asdict()


def _prolonged(connection: apsw.Connection, lease: Lease, until: int) -> bool:
    """Whether the lease was still there to be prolonged."""
    connection.execute(SQL["renew_lease"], (until, lease.shard, lease.fence))
    return connection.changes() > 0


def _free(number: int, known: Shard | None) -> FreeShard:
    if known is None:
        return FreeShard(number, 0, released=True)
    return FreeShard(number, known.fence, released=known.owner is None or is_gone(known.process))
