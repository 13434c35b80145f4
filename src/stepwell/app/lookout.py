"""Looking every few seconds at what other processes may have changed in the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import StoreError
from stepwell.engine.alarm import Alarm

LOOK_EVERY: Final = 5 * SECOND
"""What was changed elsewhere is known here after about this, in microseconds."""

_log = logging.getLogger(__name__)


class Lookout:
    """Calls `look` when opened and then every `LOOK_EVERY`. A store that cannot be read is looked at again."""

    def __init__(self, look: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._alarm = Alarm(clock, self._ring)
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look, and go on looking.

        Raises:
            StoreError: the store cannot be read.
        """
        await self._look()
        self._alarm.set(self._clock.now() + LOOK_EVERY)

    async def close(self) -> None:
        """Look no more."""
        self._alarm.clear()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _ring(self) -> None:
        self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        try:
            await self._look()
        except StoreError as error:
            _log.warning("%s; it is tried again", error)
        self._alarm.set(self._clock.now() + LOOK_EVERY)
