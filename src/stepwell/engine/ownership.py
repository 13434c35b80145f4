"""The shards this engine may write, and keeping them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict, StepwellError
from stepwell.ports.records import Lease
from stepwell.ports.store import Store

LEASE_TTL: Final = 15 * SECOND
RENEW_EVERY: Final = 5 * SECOND
TAKEN_OVER_WITHIN: Final = LEASE_TTL + RENEW_EVERY
"""A shard whose node dies has another one after so long at most: its lease runs out, and the others look. It may take
one renewal more where the node whose share it is does not come."""
PATIENCE: Final = 10 * SECOND
"""How long somebody who starts an execution waits for a node that owns no shard yet."""


class Ownership:
    """Leases on shards.

    Attributes:
        home: of an engine with a shard of its own, that one: new executions go there. -1 of a node.
        fences: the fencing number of every shard that may be written.
    """

    def __init__(self, store: Store, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._leases: dict[int, Lease] = {}
        self._resting = set[int]()
        self._open: Sequence[int] = ()
        self._last = 0
        self._opened = asyncio.Event()
        self.home = -1
        self.fences: dict[int, int] = {}

    # ── What is owned ────────────────────────────────────────────────────────────────────────────────────────────────

    def shards(self) -> Sequence[int]:
        """The shards owned in which new things are begun, in order."""
        return self._open

    def leases(self) -> Sequence[Lease]:
        """What is owned, also where nothing new is begun."""
        return list(self._leases.values())

    def is_open(self, shard: int) -> bool:
        """Whether the shard is owned, and new things are begun there."""
        return shard in self.fences and shard not in self._resting

    def is_still_open(self, shard: int, fences: Mapping[int, int]) -> bool:
        """Whether new things are begun in the shard, and it is owned as it was when `fences` was noted."""
        return self.fences.get(shard) == fences.get(shard, -1) and shard not in self._resting

    def somewhere(self) -> int | None:
        """A shard for a new execution: each in turn. None when there is none at the moment."""
        if self.home in self.fences and self.home not in self._resting:
            return self.home
        if not self._open:
            return None
        self._last += 1
        return self._open[self._last % len(self._open)]

    async def soon_somewhere(self) -> int:
        """The same, after a while if need be.

        Raises:
            StepwellError: (code `no-shard`) there is still none.
        """
        timer = self._clock.call_at(self._clock.now() + PATIENCE, self._opened.set)
        try:
            while (shard := self.somewhere()) is None:
                self._opened.clear()
                await self._opened.wait()
                if self.somewhere() is None:
                    raise StepwellError(
                        f"this node owns no shard, and got none within {format_duration(PATIENCE)}",
                        code="no-shard",
                        hint="ask another node; `stepwell cluster` shows who owns which",
                    )
        finally:
            timer.cancel()
        return shard

    # ── An engine with a shard of its own ────────────────────────────────────────────────────────────────────────────

    async def take_home(self, shard: int | None, behind: int = 0) -> None:
        """Own this shard, or any that is free from number `behind` on, and put new executions there.

        Raises:
            Conflict: another engine owns it.
        """
        lease = await self._acquire(shard, behind)
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
        leases = await self._store.renew(self.leases(), self._clock.now(), LEASE_TTL)
        self._leases |= {lease.shard: lease for lease in leases if lease.shard in self._leases}

    async def release(self) -> None:
        """Give all shards up."""
        leases = self.part_with(dict(self.fences))
        await self._store.release(leases)

    async def _acquire(self, shard: int | None, behind: int = 0) -> Lease:
        lease = await self._store.acquire(shard, self._owner, self._clock.now(), LEASE_TTL, behind=behind)
        self.own([lease])
        return lease

    # ── Coming and going ─────────────────────────────────────────────────────────────────────────────────────────────

    def own(self, leases: Sequence[Lease], *, at_rest: bool = False) -> None:
        """These were acquired; begin nothing new there yet when `at_rest`."""
        for lease in leases:
            self._leases[lease.shard] = lease
            self.fences[lease.shard] = lease.fence
            if at_rest:
                self._resting.add(lease.shard)
        self._arrange()

    def rest(self, shards: Collection[int]) -> None:
        """Begin nothing new there for now."""
        self._resting |= {shard for shard in shards if shard in self.fences}
        self._arrange()

    def rise(self, shard: int, fence: int) -> None:
        """Begin new things there, if it is still owned under this number."""
        if self.fences.get(shard) == fence:
            self._resting.discard(shard)
            self._arrange()

    def part_with(self, fences: Mapping[int, int]) -> Sequence[Lease]:
        """Those of these shards that are owned under these numbers are so no more; their leases."""
        gone = [lease for shard, fence in fences.items() if (lease := self._leases.get(shard)) and lease.fence == fence]
        for lease in gone:
            del self._leases[lease.shard], self.fences[lease.shard]
            self._resting.discard(lease.shard)
        self._arrange()
        return gone

    def _arrange(self) -> None:
        self._resting &= self.fences.keys()
        self._open = sorted(self.fences.keys() - self._resting)
        if self._open:
            self._opened.set()
