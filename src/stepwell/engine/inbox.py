"""What others put into the inboxes of the shards owned here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import msgspec

from stepwell.engine.children import child_compensated, child_ended, compensate_self
from stepwell.engine.ownership import Ownership
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.inputs import EventArrived, Input, LockGranted, LockRefused
from stepwell.ports.records import InboxItem, LockGrant
from stepwell.ports.store import Store

PAGE = 500
_decode_grant = msgspec.msgpack.Decoder(LockGrant).decode
_LIST = b"\x92"
"""How a list of two begins, which no text does."""
_decode_event = msgspec.msgpack.Decoder(Event).decode


def input_of(item: InboxItem, codec: Codec) -> Input | None:
    """What an inbox item means to the execution it is for; None when it means nothing (any more)."""
    if item.step is None:
        return None
    match item.kind:
        case "event" | "early_event":
            return EventArrived(item.step, _decode_event(item.payload), early=item.kind == "early_event")
        case "lock_granted":
            return _granted(item.step, item.payload)
        case "lock_refused":
            return LockRefused(item.step, item.payload.decode())
        case "child_ended":
            return child_ended(item, codec)
        case "compensate_self":
            return compensate_self(item, codec)
        case "child_compensated":
            return child_compensated(item, codec)
        case _:
            return None


def _granted(step: str, payload: bytes) -> LockGranted:
    if payload.startswith(_LIST):
        granted = _decode_grant(payload)
        return LockGranted(step, granted.name, granted.at)
    return LockGranted(step, payload.decode())  # an earlier version has put it there


HandOver = Callable[[InboxItem], Awaitable[None]]
"""Acts on one item and has it deleted together with its effects."""


class Inbox:
    """Hands every item over once, in order. Looks only when told that there may be something.

    Args:
        ownership: of the shards that are owned, and not at rest.
    """

    def __init__(self, store: Store, ownership: Ownership) -> None:
        self._store = store
        self._ownership = ownership
        self._seen: dict[int, int] = {}
        self._look = asyncio.Event()

    def look(self) -> None:
        """There may be something new."""
        self._look.set()

    def lose(self, shards: Collection[int]) -> None:
        """These are owned no more; when they are again, they are read from the beginning."""
        for shard in shards:
            self._seen.pop(shard, None)

    async def run(self, hand_over: HandOver) -> None:
        """Look whenever told to, until cancelled."""
        while True:
            await self._look.wait()
            self._look.clear()
            await self._empty(hand_over)

    async def _empty(self, hand_over: HandOver) -> None:
        """Hand over what is there, and what comes meanwhile."""
        while fences := {shard: self._ownership.fences[shard] for shard in self._ownership.shards()}:
            items = await self._store.inboxes({shard: self._seen.get(shard, 0) for shard in fences}, PAGE)
            for item in items:
                if self._ownership.is_still_open(item.shard, fences):  # else it was lost, or is handed over
                    self._seen[item.shard] = item.id
                    await hand_over(item)
            if len(items) < PAGE:
                return
