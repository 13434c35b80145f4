"""Which node does what only one may do at a time: a document with a lease."""

from __future__ import annotations

from typing import Final

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict
from stepwell.ports.ledger import Ledger, Write
from stepwell.store.process import Process, is_gone, this_process

LEASE: Final = 15 * SECOND
"""A node that says nothing for so long has lost what it claimed."""
RENEW_AFTER: Final = LEASE // 3

KIND: Final = "broker-claim"


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who has something, and until when.

    Attributes:
        node: unique text for a process; empty for nobody.
    """

    owner: Process | None = None
    node: str = ""
    until: int = 0

    def is_free(self, node: str, now: int) -> bool:
        """Whether this node may have it."""
        return self.node in ("", node) or self.until <= now or (self.owner is not None and is_gone(self.owner))

    def is_fresh(self, node: str, now: int) -> bool:
        """Whether this node has it, and need not renew it yet."""
        return self.node == node and self.until - now > LEASE - RENEW_AFTER


def claimed(node: str, now: int) -> Claim:
    """That this process has it."""
    return Claim(owner=this_process(), node=node, until=now + LEASE)


class Holding:
    """Something that one node has at a time.

    Args:
        key: what it is.
        node: unique text for this process.
    """

    def __init__(self, ledger: Ledger, key: str, node: str, clock: Clock) -> None:
        self._ledger = ledger
        self._key = key
        self._node = node
        self._clock = clock
        self._known = Claim()

    async def hold(self) -> int | None:
        """Have it, or go on having it: None when that is so, else when to ask again.

        Raises:
            StoreError: that cannot be told.
        """
        now = self._clock.now()
        if self._known.is_fresh(self._node, now):
            return None
        document = await self._ledger.document(KIND, self._key)
        found = msgspec.json.decode(document.body, type=Claim) if document is not None else Claim()
        if not found.is_free(self._node, now):
            self._known = Claim()
            return max(now + SECOND, min(found.until, now + RENEW_AFTER))
        mine = claimed(self._node, now)
        revision = document.revision if document is not None else 0
        try:
            await self._ledger.write([_written(self._key, mine, revision)], now)
        except Conflict:  # somebody else was quicker
            self._known = Claim()
            return now + SECOND
        self._known = mine
        return None

    async def give_up(self) -> None:
        """Let another node have it.

        Raises:
            StoreError: it is free when the lease has run out.
        """
        document = await self._ledger.document(KIND, self._key)
        if document is not None and msgspec.json.decode(document.body, type=Claim).node == self._node:
            await self._ledger.write([_written(self._key, Claim(), document.revision)], self._clock.now())


def _written(key: str, claim: Claim, expected: int) -> Write:
    return Write(kind=KIND, key=key, body=msgspec.json.encode(claim), expected=expected)
