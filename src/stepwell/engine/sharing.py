"""Who of the nodes owns which shards: plain functions, from which every node draws its own conclusion.

Nobody hands shards out. Each node knows who is alive, counts how many shards are its fair share, gives up what it has
beyond that, and takes free ones as long as it has less. That two reach for the same one does no harm: the store gives
it to one of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from stepwell.base.durations import MILLISECOND, SECOND
from stepwell.engine.ownership import RENEW_EVERY
from stepwell.ports.records import Attendance, FreeShard

SETTLED_AFTER: Final = RENEW_EVERY + 2 * SECOND
"""By then every node that lives has renewed its leases after an outage: that is done every so often, and a store that
was lost is tried again every 2 seconds at least."""

LOOKS_SPREAD: Final = 2 * MILLISECOND
"""Looks after a notice are spread over so much for each node."""


class Share(NamedTuple):
    """What a node is to do: shards to reach for, and shards to give up."""

    claim: Sequence[int]
    give_up: Sequence[int]


def fair_share(me: str, nodes: Sequence[str], shards: int) -> int:
    """How many of the shards are those of one node. What is left of the division goes to those who came first.

    Args:
        nodes: those that take part, in the order in which they came; without `me` there is nothing for it.
    """
    if me not in nodes:
        return 0
    whole, left = divmod(shards, len(nodes))
    return whole + (nodes.index(me) < left)


def share(me: str, nodes: Sequence[str], owned: Collection[int], free: Sequence[int], shards: int) -> Share:
    """What a node is to do about the shards that are shared out. Costs what it owns and what is free.

    Args:
        nodes: see `fair_share`. owned: its shards. free: those that it may take; numbers from `shards` on do not count.
    """
    mine = sorted(shard for shard in owned if shard < shards)
    surplus = len(mine) - fair_share(me, nodes, shards)
    if surplus > 0:
        return Share((), sorted(mine, key=lambda shard: _liking(me, shard))[:surplus])
    wanted = sorted((shard for shard in free if shard < shards), key=lambda shard: _liking(me, shard), reverse=True)
    return Share(wanted[:-surplus] if surplus else (), ())


def orphans(me: str, nodes: Sequence[str], free: Sequence[int], shards: int) -> Sequence[int]:
    """Of free shards that are not shared out, those that this node is to look after: each has one node that is."""
    return [shard for shard in free if shard >= shards and max(nodes, key=lambda node: _liking(node, shard)) == me]


def takeable(attendance: Attendance, in_touch_for: int) -> Sequence[FreeShard]:
    """The free shards that may be claimed.

    After the store was out of reach for everybody, all leases have run out, and whoever comes back first must not take
    the shards of all the others, who are about to renew them. So a lease that merely ran out counts only for a node
    that has been in touch with the store for `SETTLED_AFTER`, without a gap as long as a lease.

    Args:
        in_touch_for: for how long, in microseconds, the node has been.
    """
    return [each for each in attendance.free if each.released or in_touch_for >= SETTLED_AFTER]


def delay_of_look(me: str, nodes: int, now: int) -> int:
    """How long a node waits, in microseconds, before it looks at what another one told all: so that not all do at once.
    The more nodes there are the longer; two or three hardly wait."""
    return zlib.crc32(f"{me}/{now}".encode()) % max(1, nodes * LOOKS_SPREAD)


def _liking(node: str, shard: int) -> int:
    """How much the node is inclined to a shard, so that not all reach for the same one."""
    return zlib.crc32(f"{node}/{shard}".encode())
