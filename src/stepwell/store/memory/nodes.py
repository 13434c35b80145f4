"""Nodes and the ownership of shards, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from stepwell.base.errors import FenceLost
from stepwell.ports.records import Attendance, FreeShard, Lease, Presence


class Ownership(msgspec.Struct):
    """Who owns a shard; nobody when `owner` is None."""

    fence: int = 0
    owner: str | None = None
    expires_at: int = 0

    def is_alive(self, now: int) -> bool:
        return self.owner is not None and self.expires_at > now

    def own(self, shard: int, owner: str, now: int, ttl: int) -> Lease:
        """Give it to an owner, under the next number."""
        self.fence, self.owner, self.expires_at = self.fence + 1, owner, now + ttl
        return Lease(shard=shard, fence=self.fence, expires_at=self.expires_at)


class Cluster:
    """Which nodes there are, and who owns which shard.

    Attributes:
        shards: every shard that was ever owned.
        listeners: told, with the name of a node, when it came or went, or gave shards up.
    """

    def __init__(self) -> None:
        self.shards: dict[int, Ownership] = {}
        self.listeners: list[Callable[[str], None]] = []
        self._nodes: dict[str, tuple[Presence, int]] = {}

    def held(self, shard: int, fence: int) -> Ownership | None:
        """What is known of the shard, while it is owned under this number."""
        known = self.shards.get(shard)
        return known if known is not None and known.owner is not None and known.fence == fence else None

    def check(self, fences: Mapping[int, int]) -> None:
        """Raises: FenceLost: shards are owned under other numbers, or not at all."""
        lost = tuple(shard for shard, fence in fences.items() if self.held(shard, fence) is None)
        if lost:
            said = ", ".join(f"shard {shard} is no longer owned under the number {fences[shard]}" for shard in lost)
            raise FenceLost(said, shards=lost)

    def owned(self, now: int) -> Collection[int]:
        """The shards with a living owner."""
        return {shard for shard, known in self.shards.items() if known.is_alive(now)}

    def attend(self, presence: Presence, leases: Sequence[Lease], now: int, ttl: int) -> Attendance:
        """See `ports.Store.attend`."""
        known = self._nodes.get(presence.name)
        self._nodes = {name: node for name, node in self._nodes.items() if node[1] > now}
        self._nodes[presence.name] = presence, now + ttl
        lost = []
        for lease in leases:
            held = self.held(lease.shard, lease.fence)
            if held is None:
                lost.append(lease.shard)
            else:
                held.expires_at = now + ttl
        if known is None or known[1] <= now or known[0].leaving != presence.leaving:
            self.tell(presence.name)
        nodes = sorted((node for node, _ in self._nodes.values()), key=lambda node: (node.since, node.name))
        return Attendance(nodes=nodes, lost=lost, free=self._free(presence.shards, now))

    def _free(self, shared: int, now: int) -> list[FreeShard]:
        free = []
        for shard in sorted({*range(shared), *self.shards}):
            known = self.shards.get(shard) or Ownership()
            if not known.is_alive(now):
                free.append(FreeShard(shard, known.fence, released=known.owner is None))
        return free

    def claim(self, shards: Sequence[int], owner: str, now: int, ttl: int) -> Sequence[Lease]:
        """See `ports.Store.claim`."""
        found = ((shard, self.shards.setdefault(shard, Ownership())) for shard in sorted(shards))
        return [known.own(shard, owner, now, ttl) for shard, known in found if not known.is_alive(now)]

    def depart(self, name: str) -> None:
        """See `ports.Store.depart`."""
        owned = [known for known in self.shards.values() if known.owner == name]
        for known in owned:
            known.owner = None
        if self._nodes.pop(name, None) is not None or owned:
            self.tell(name)

    def give_up(self, leases: Mapping[int, int]) -> None:
        """Free shards that are owned under these numbers."""
        held = [(known, known.owner) for item in leases.items() if (known := self.held(*item)) is not None]
        for known, _ in held:
            known.owner = None
        for owner in {owner for _, owner in held if owner is not None}:
            self.tell(owner)

    def tell(self, name: str) -> None:
        """Something changed with this node."""
        for listener in list(self.listeners):
            listener(name)
