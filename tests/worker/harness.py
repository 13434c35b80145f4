"""A local worker on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.ports.work import TaskHandler
from stepwell.worker.local import LocalWorker
from tests.conformance.dispatcher import SECRETS, DispatcherHarness, KnownSecrets, Work, WorkHandler
from tests.virtual_clock import VirtualClock


class LocalHarness(DispatcherHarness):
    """The worker under test."""

    def __init__(self, work: Work, *, handlers: Mapping[str, TaskHandler] | None = None, **options: Any) -> None:
        super().__init__()
        self.clock = VirtualClock()
        known = {"work": WorkHandler(work), **(handlers or {})}
        self.worker = LocalWorker(known, self.take, self.clock, KnownSecrets(SECRETS), **options)
        self.dispatcher = self.worker

    async def advance(self, duration: int) -> None:
        await self.clock.advance(duration)

    async def rest(self) -> None:
        await self.clock.settle()
