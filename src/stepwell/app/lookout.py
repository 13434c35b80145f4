"""Looking now and then at what other processes may have changed in the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND
from stepwell.base.errors import StoreError
from stepwell.engine.alarm import Alarm
from stepwell.ports.ledger import Ledger

LOOK_EVERY: Final = 5 * SECOND
"""What was changed elsewhere is known here after about this, in microseconds."""
LOOK_SELDOM: Final = MINUTE
"""Where the store tells of changes: in case that it could not."""

_log = logging.getLogger(__name__)


class Lookout:
    """Calls `look` when opened, and then whenever documents of a kind were changed; where the store does not tell of
    that, every `LOOK_EVERY`. A store that cannot be read is looked at again."""

    def __init__(self, look: Callable[[], Awaitable[None]], ledger: Ledger, kind: str, clock: Clock) -> None:
        self._look = look
        self._ledger = ledger
        self._kind = kind
        self._clock = clock
        self._pause = LOOK_EVERY
        self._rung = asyncio.Event()
        self._alarm = Alarm(clock, self._rung.set)
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look, and go on looking.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._ledger.listen_to_documents([self._kind], self._rung.set):
            self._pause = LOOK_SELDOM
        await self._look()
        self._alarm.set(self._clock.now() + self._pause)
        self._looking = asyncio.create_task(self._go_on())

    async def close(self) -> None:
        """Look no more."""
        self._alarm.clear()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            pause = self._pause
            try:
                await self._look()
            except StoreError as error:
                _log.warning("%s; it is tried again", error)
                pause = LOOK_EVERY
            self._alarm.set(self._clock.now() + pause)
