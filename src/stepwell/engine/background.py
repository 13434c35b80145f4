"""What an engine does beside its loop: tasks that nobody waits for, and what has to be done every so often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE
from stepwell.base.errors import FenceLost, StepwellError, StoreError
from stepwell.engine.alarm import Alarm
from stepwell.engine.ownership import RENEW_EVERY
from stepwell.ports.store import Store

FORGET_EVERY: Final = 10 * MINUTE
"""Events whose time has passed are deleted this often."""

_log = logging.getLogger(__name__)


class Background:
    """Tasks that nobody waits for.

    Args:
        on_failure: called when one of them failed.
    """

    def __init__(self, on_failure: Callable[[StepwellError], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Have the work done; the task that does it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def spawn_kept(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[None]:
        """Have work done that is done again before long: when the store cannot do it now, that is no failure."""
        return self.spawn(_tried_again_later(work))

    async def close(self) -> None:
        """Stop everything, and wait until it has ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, StepwellError):
            _log.error("a defect in the engine", exc_info=error)
            error = StepwellError(f"a defect in the engine: {type(error).__name__}: {error}")
        self._on_failure(error)


class Upkeep:
    """Renews the leases and forgets what is not needed any more, every so often.

    Args:
        renew: renews the leases.

    Attributes:
        renewed: called whenever that is done.
    """

    def __init__(
        self,
        store: Store,
        renew: Callable[[], Coroutine[Any, Any, None]],
        clock: Clock,
        background: Background,
    ) -> None:
        self._store = store
        self._renew_leases = renew
        self._clock = clock
        self._background = background
        self.renewed: Callable[[], None] = lambda: None
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._renew_alarm = Alarm(clock, self._renew)
        self._forget_alarm = Alarm(clock, self._forget)

    def open(self) -> None:
        """Begin."""
        now = self._clock.now()
        self._renew_alarm.set(now + RENEW_EVERY)
        self._forget_alarm.set(now + FORGET_EVERY)

    def close(self) -> None:
        """Begin nothing more."""
        self._renew_alarm.clear()
        self._forget_alarm.clear()

    def _renew(self) -> None:
        self._renew_alarm.set(self._clock.now() + RENEW_EVERY)
        self._begin("renew", self._renew_leases)
        self.renewed()

    def _forget(self) -> None:
        now = self._clock.now()
        self._forget_alarm.set(now + FORGET_EVERY)
        self._begin("events", lambda: self._store.forget_events(now))
        self._begin("results", lambda: self._store.forget_results(now))

    def _begin(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Have it done, unless it is being done: in a long outage of the store it would pile up."""
        before = self._under_way.get(name)
        if before is None or before.done():
            self._under_way[name] = self._background.spawn_kept(work)


async def _tried_again_later(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Do what is done every so often anyway: a store that is busy now will do it the next time.

    Raises:
        FenceLost: a shard was taken over; that is for ever.
    """
    try:
        await work()
    except FenceLost:
        raise
    except StoreError as error:
        _log.warning("%s; it is tried again", error)
