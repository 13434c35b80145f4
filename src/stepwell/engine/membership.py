"""A node among others: it says that it is there, sees who else is, and takes and gives up its fair share of shards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from stepwell.base.errors import Conflict, StoreError
from stepwell.engine.alarm import Alarm
from stepwell.engine.ground import Ground
from stepwell.engine.moving import HANDED_OVER_WITHIN, Moving
from stepwell.engine.ownership import LEASE_TTL, RENEW_EVERY
from stepwell.engine.sharing import delay_of_look, orphans, share, takeable
from stepwell.ports.records import Attendance, FreeShard, Presence

MOST_SHARDS: Final = 65_536

_log = logging.getLogger(__name__)


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine joins others on the same store.

    Attributes:
        shards: so many are shared out; the same number for every node.
        about: what else the others, and people, are told about this node, as JSON.
    """

    shards: int
    about: Callable[[], bytes] = lambda: b"{}"


class Membership:
    """One node's part.

    Attributes:
        nodes: those that were alive when this one last attended, in the order in which they came.
        attended_at: when that was, or None.
    """

    def __init__(self, ground: Ground, moving: Moving, name: str, joining: Joining) -> None:
        self._store = ground.store
        self._ownership = ground.ownership
        self._clock = ground.clock
        self._background = ground.background
        self._moving = moving
        self._name = name
        self._joining = joining
        self._alarm = Alarm(ground.clock, self._ring)
        self._since = self._in_touch_since = 0
        self._leaving = False
        self._gone = False
        self._one_at_a_time = asyncio.Lock()
        self._again = False
        self._empty: dict[int, int] = {}
        self._lying: dict[int, tuple[int, int]] = {}
        self._helped_at = -LEASE_TTL
        self._listeners: list[Callable[[], None]] = []
        self.nodes: Sequence[Presence] = ()
        self.attended_at: int | None = None

    async def open(self) -> Collection[int]:
        """Join the others; the shards that are owned from now on, and to be taken up.

        Raises:
            Conflict: (code `cluster-mismatch`) the others share another number of shards out.
        """
        self._since = self._clock.now()
        seen = await self._attend()
        others = [node for node in seen.nodes if node.shards != self._joining.shards]
        if others:
            await self._store.depart(self._name)
            raise Conflict(
                f"the nodes of this cluster share {others[0].shards} shards out, and this one is told to share "
                f"{self._joining.shards}",
                code="cluster-mismatch",
                hint="set cluster.shards to the same number everywhere",
            )
        claimed = await self._claim(seen)
        self._store.listen_to_nodes(self.look)
        return claimed

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time this node has seen how things stand."""
        self._listeners.append(callback)

    def look(self) -> None:
        """Attend at once: something may have changed."""
        now = self._clock.now()
        self._alarm.set(now + delay_of_look(self._name, len(self.nodes), now))

    def _ring(self) -> None:
        if not self._gone:
            self._background.spawn_kept(self.attend)

    async def attend(self) -> None:
        """Say that this node is there, and do what follows from what it sees. One at a time.

        Raises:
            StoreError: the store cannot be reached; nothing has changed.
        """
        self._again = True
        if self._one_at_a_time.locked():
            return
        async with self._one_at_a_time:
            while self._again and not self._gone:
                self._again = False
                await self._attend_once()

    async def leave(self) -> None:
        """Take no more shards, and let the others know."""
        self._leaving = True
        try:
            async with self._one_at_a_time:
                await self._attend()
        except StoreError as error:
            _log.warning("%s; the other nodes are not told that this one leaves", error)

    async def close(self) -> None:
        """This node is there no more; what it still owns is free."""
        self._gone = True
        self._alarm.clear()
        try:
            await self._store.depart(self._name)
        except StoreError as error:
            _log.warning("%s; what this node owned is taken over when its leases have run out", error)

    # ── Attending ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _attend_once(self) -> None:
        claimed = await self._claim(await self._attend())
        if claimed:
            self._background.spawn(self._moving.take_up(claimed))
        for listener in self._listeners:
            listener()

    async def _attend(self) -> Attendance:
        presence = Presence(
            name=self._name,
            shards=self._joining.shards,
            since=self._since,
            leaving=self._leaving,
            about=self._joining.about(),
        )
        leases = {lease.shard: lease for lease in self._ownership.leases()}
        now = self._clock.now()
        seen = await self._store.attend(presence, list(leases.values()), now, LEASE_TTL)
        if self.attended_at is None or now - self.attended_at >= LEASE_TTL:
            self._in_touch_since = now
        self.nodes, self.attended_at = seen.nodes, now
        self._moving.lose({shard: leases[shard].fence for shard in seen.lost})
        return seen

    async def _claim(self, seen: Attendance) -> Collection[int]:
        """Reach for what this node should have, and give up what it should not; what it got."""
        nodes = [node.name for node in seen.nodes if not node.leaving]
        if self._leaving or self._name not in nodes:
            return ()
        now = self._clock.now()
        free = takeable(seen, now - self._in_touch_since)
        lying = [shard for shard in self._left_lying(free, now) if shard < self._joining.shards]
        owned = [shard for shard in self._ownership.fences if shard not in self._moving.leaving]
        mine = share(self._name, nodes, owned, [each.shard for each in free], self._joining.shards)
        if mine.give_up and now - self._helped_at >= LEASE_TTL:
            _log.info("%d shards are handed over to other nodes", len(mine.give_up))
            self._background.spawn(self._moving.hand_over(mine.give_up, HANDED_OVER_WITHIN))
        helping = [shard for shard in lying if shard not in mine.claim]
        wanted = [*mine.claim, *helping, *await self._orphans(nodes, free)]
        if not wanted or self._gone:
            return ()
        leases = await self._store.claim(wanted, self._name, self._clock.now(), LEASE_TTL)
        self._ownership.own(leases, at_rest=True)
        if any(lease.shard in helping for lease in leases):
            self._helped_at = now  # they are given up again, but not at once
        if leases:
            _log.info("%d shards are owned from now on", len(leases))
        return [lease.shard for lease in leases]

    def _left_lying(self, free: Sequence[FreeShard], now: int) -> Sequence[int]:
        """Shards that were free a renewal ago already: whoever should have them does not come, for he is frozen, or has
        only just come back. Anybody may have them meanwhile."""
        before, self._lying = self._lying, {}
        for each in free:
            fence, since = before.get(each.shard, (each.fence, now))
            self._lying[each.shard] = each.fence, since if fence == each.fence else now
        return [shard for shard, (_, since) in self._lying.items() if now - since >= RENEW_EVERY]

    async def _orphans(self, nodes: Sequence[str], free: Sequence[FreeShard]) -> Sequence[int]:
        """Free shards of engines with one of their own that have left work unfinished."""
        new = [
            each for each in free if each.shard >= self._joining.shards and self._empty.get(each.shard) != each.fence
        ]
        mine = orphans(self._name, nodes, [each.shard for each in new], self._joining.shards)
        if not mine:
            return ()
        unfinished = set(await self._store.shards())
        self._empty |= {each.shard: each.fence for each in new if each.shard not in unfinished}
        return [shard for shard in mine if shard in unfinished]
