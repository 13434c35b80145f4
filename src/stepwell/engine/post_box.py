"""An inbox of this process's own, that belongs to no shard: answers of engines elsewhere come here.

Somebody else puts an answer there in the transaction of what it says; the store calls, and it is read. Where a call may
be missing, or the store cannot call whoever owns no shard (SQLite), it is looked for too, more and more rarely.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stepwell.base.errors import StepwellError
from stepwell.ports.records import ANYWHERE, Batch, InboxItem
from stepwell.ports.store import Store

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 5.0
"""Seconds between two looks, where it is not sure that somebody calls."""


class PostBox:
    """Gives answers to those who wait for them.

    Attributes:
        number: that of the inbox, for whoever is to answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[InboxItem]]] = {}
        self._rung = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._is_told: bool | None = None
        self.number = ANYWHERE - 1 - secrets.randbits(62)

    @contextmanager
    def answer(self, id_: str) -> Iterator[asyncio.Future[InboxItem]]:
        """The answer with this id (the `step` of the item), once it is there; forgotten when the block is left."""
        future: asyncio.Future[InboxItem] = asyncio.get_running_loop().create_future()
        futures = self._waiting.setdefault(id_, [])
        futures.append(future)
        if self._is_told is None:
            self._is_told = self._store.listen(self._rung.set, self.number)
        self._rung.set()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="stepwell post box")
        try:
            yield future
        finally:
            futures.remove(future)
            if not futures and self._waiting.get(id_) is futures:
                del self._waiting[id_]
            if not self._waiting:
                self._rung.set()

    async def close(self) -> None:
        """Read no more; whoever still waits is told so."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._fail(StepwellError("the engine was closed", code="engine-closed"))

    async def _read(self) -> None:
        """Read what comes, as long as somebody waits."""
        pause = FIRST_PAUSE
        while self._waiting:
            self._rung.clear()
            try:
                if await self._empty():
                    pause = FIRST_PAUSE
                    continue
            except StepwellError as error:
                self._fail(error)
                return
            try:
                async with asyncio.timeout(None if self._is_told else pause):
                    await self._rung.wait()
            except TimeoutError:
                pause = min(1.5 * pause, LONGEST_PAUSE)

    async def _empty(self) -> bool:
        """Hand over what is there; whether anything was."""
        items = await self._store.inbox(self.number)
        if items:
            await self._store.append(Batch(fences={}, changes=[], consumed=[item.id for item in items]))
        for item in items:
            for future in self._waiting.get(item.step or "", ()):
                if not future.done():
                    future.set_result(item)
        return bool(items)

    def _fail(self, error: StepwellError) -> None:
        for future in [future for futures in self._waiting.values() for future in futures]:
            if not future.done():
                future.set_exception(error)
