"""Shards that come to this engine, and leave it, while it runs.

A shard that comes is taken up: what was interrupted there goes on, and only then is its inbox looked into. A shard that
was lost is forgotten at once, with everything in memory, and its work is stopped without a result: whoever has it now
does it again. A shard that is handed over is brought to rest first.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from stepwell.base.durations import SECOND
from stepwell.base.errors import FenceLost, StoreError
from stepwell.engine.ground import Ground
from stepwell.engine.inbox import Inbox
from stepwell.engine.loop import Loop

HANDED_OVER_WITHIN: Final = 5 * SECOND
"""Attempts at work in a shard that another node is to have may take so long to end; then they are stopped, and done
again there."""

_log = logging.getLogger(__name__)


class Holder(Protocol):
    """Keeps something in memory that belongs to shards."""

    def lose(self, shards: Collection[int]) -> None:
        """These are owned no more: keep nothing of them."""
        ...


class Moving:
    """Takes shards up, forgets them, hands them over.

    Args:
        holders: whatever keeps something of a shard, in the order in which it is to forget.

    Attributes:
        leaving: the shards that are handed over just now.
    """

    def __init__(self, ground: Ground, loop: Loop, inbox: Inbox, holders: Sequence[Holder]) -> None:
        self._store = ground.store
        self._clock = ground.clock
        self._measures = ground.measures
        self._ownership = ground.ownership
        self._loop = loop
        self._inbox = inbox
        self._holders = holders
        self.leaving = loop.outgoing.leaving

    # ── Coming ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_up(self, shards: Collection[int]) -> None:
        """Go on with what was interrupted in shards that are owned, and at rest."""
        for shard in shards:
            fence = self._ownership.fences.get(shard)
            if fence is None:
                continue  # lost again
            try:
                await self._loop.recover(shard)
                await self._loop.due.look((shard,))
            except StoreError as error:
                _log.warning("%s; shard %d is given up again", error, shard)
                await self._give_up({shard})
                continue
            if shard not in self.leaving:
                self._ownership.rise(shard, fence)
            self._inbox.look()

    # ── Losing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def lose(self, fences: Mapping[int, int]) -> None:
        """Others own these shards, which were owned here under these numbers."""
        gone = [lease.shard for lease in self._ownership.part_with(fences)]
        if gone:
            _log.warning("shards were taken over by others, and are forgotten here: %s", ", ".join(map(str, gone)))
            self._measures.lease_lost()
            self._forget(gone)

    def _forget(self, shards: Collection[int]) -> None:
        for holder in self._holders:
            holder.lose(shards)

    # ── Handing over ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def hand_over(self, shards: Collection[int], within: int) -> None:
        """Bring shards to rest and give them up, each as soon as nothing is at work in it any more, and all of them
        when `within` microseconds have passed.

        Nothing new is begun there. What an attempt brings is still recorded; what follows from it others do.
        """
        handed = {shard for shard in shards if shard in self._ownership.fences and shard not in self.leaving}
        self._ownership.rest(handed)
        self._loop.retire(handed)
        timer = self._clock.call_at(self._clock.now() + within, lambda: self.leaving.hurry(handed))
        try:
            while quiet := await self.leaving.quiet(handed):
                await self._give_up(quiet)
        finally:
            timer.cancel()

    async def _give_up(self, shards: Collection[int]) -> None:
        await self._loop.committer.drained()
        fences = {shard: fence for shard in shards if (fence := self._ownership.fences.get(shard)) is not None}
        self._forget(shards)
        leases = self._ownership.part_with(fences)
        try:
            await self._store.release(leases)
        except FenceLost:
            raise
        except StoreError as error:
            _log.warning("%s; the shards are taken over when their leases have run out", error)
