"""The shards this engine may write, and keeping them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict
from stepwell.ports.records import Lease
from stepwell.ports.store import Store

LEASE_TTL: Final = 15 * SECOND
RENEW_EVERY: Final = 5 * SECOND


class Ownership:
    """Leases on shards. `home` is where new executions go; `fences` holds the fencing number of every shard owned."""

    def __init__(self, store: Store, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._leases: dict[int, Lease] = {}
        self.home = -1
        self.fences: dict[int, int] = {}

    def shards(self) -> Collection[int]:
        """The shards owned."""
        return self.fences

    async def take_home(self, shard: int | None) -> None:
        """Own this shard, or any that is free, and put new executions there.

        Raises:
            Conflict: another engine owns it.
        """
        lease = await self._acquire(shard)
        self.home = lease.shard

    async def take_over_orphans(self) -> list[int]:
        """Own every shard that has unfinished executions and no living owner; returns those."""
        taken = []
        for shard in await self._store.shards():
            if shard in self._leases:
                continue
            try:
                await self._acquire(shard)
            except Conflict:
                continue  # its owner lives
            taken.append(shard)
        return taken

    async def renew(self) -> None:
        """Prolong all leases.

        Raises:
            FenceLost: another engine took a shard over.
        """
        leases = await self._store.renew(list(self._leases.values()), self._clock.now(), LEASE_TTL)
        self._leases = {lease.shard: lease for lease in leases}

    async def release(self) -> None:
        """Give all shards up."""
        leases, self._leases, self.fences = list(self._leases.values()), {}, {}
        await self._store.release(leases)

    async def _acquire(self, shard: int | None) -> Lease:
        lease = await self._store.acquire(shard, self._owner, self._clock.now(), LEASE_TTL)
        self._leases[lease.shard] = lease
        self.fences[lease.shard] = lease.fence
        return lease
