"""Shards that are handed over, and the attempts there that are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping


class Leaving:
    """Knows in which of the shards that are handed over something is at work still.

    Attributes:
        awaited: the ids of the attempts that are waited for, by shard. Empty when no shard is handed over: then there
            is no need to call `ended`.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.awaited: dict[int, set[str]] = {}

    def __contains__(self, shard: int) -> bool:
        return shard in self.awaited

    def wait_for(self, awaited: Mapping[int, set[str]]) -> None:
        """These shards are handed over, each once these attempts have ended."""
        self.awaited |= awaited

    async def quiet(self, shards: Collection[int]) -> Collection[int]:
        """Those of the shards in which nothing is waited for any more, as soon as there are any; none when all of them
        have left."""
        while left := [shard for shard in shards if shard in self.awaited]:
            quiet = [shard for shard in left if not self.awaited[shard]]
            if quiet:
                return quiet
            await self._changed.wait()
            self._changed.clear()
        return ()

    def ended(self, attempt: str) -> None:
        """The attempt is at work no more."""
        for awaited in self.awaited.values():
            if attempt in awaited:
                awaited.discard(attempt)
                self._changed.set()

    def hurry(self, shards: Collection[int] | None = None) -> None:
        """Wait for nothing any more, in these shards or in all."""
        for shard, awaited in self.awaited.items():
            if shards is None or shard in shards:
                awaited.clear()
        self._changed.set()

    def lose(self, shards: Collection[int]) -> None:
        """These have left."""
        for shard in shards:
            self.awaited.pop(shard, None)
        self._changed.set()
