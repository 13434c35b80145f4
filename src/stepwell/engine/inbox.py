"""What others put into the inboxes of the shards owned here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import msgspec

from stepwell.engine.children import child_compensated, child_ended, compensate_self
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


class Inbox:
    """Hands every item over once, in order. Looks only when told that there may be something.

    Args:
        hand_over: acts on one item and has it deleted together with its effects.
    """

    def __init__(
        self, store: Store, shards: Callable[[], Collection[int]], hand_over: Callable[[InboxItem], Awaitable[None]]
    ) -> None:
        self._store = store
        self._shards = shards
        self._hand_over = hand_over
        self._seen: dict[int, int] = {}
        self._look = asyncio.Event()

    def look(self) -> None:
        """There may be something new."""
        self._look.set()

    async def run(self) -> None:
        """Look whenever told to, until cancelled."""
        while True:
            await self._look.wait()
            self._look.clear()
            for shard in list(self._shards()):
                await self._empty(shard)

    async def _empty(self, shard: int) -> None:
        while items := await self._store.inbox(shard, self._seen.get(shard, 0), PAGE):
            for item in items:
                self._seen[shard] = item.id
                await self._hand_over(item)
