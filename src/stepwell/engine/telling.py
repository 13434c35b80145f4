"""Deliveries of notifications on their way.

They belong to no step, take no place under a limit of workflows, pass no gates, and go on when their execution has
ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.execution.work import Assignment, Report

PATIENCE: Final = 5 * SECOND
"""How long an engine that is closed waits for what is on its way."""

_log = logging.getLogger(__name__)


class Telling:
    """Sends deliveries, and knows which have not come back.

    Args:
        dispatch: has the work done.

    Attributes:
        under_way: the ids of their assignments. Empty when there are none: then there is no need to call `ended`.
    """

    def __init__(self, clock: Clock, dispatch: Callable[[Assignment], None]) -> None:
        self._clock = clock
        self._dispatch = dispatch
        self._all_back = asyncio.Event()
        self.under_way: set[str] = set()

    def send(self, assignment: Assignment) -> None:
        """Have the delivery made."""
        self.under_way.add(assignment.id)
        self._dispatch(assignment)

    def ended(self, report: Report) -> None:
        """Some work has ended, perhaps a delivery."""
        self.under_way.discard(f"{report.execution}/{report.step}/{report.attempt}")
        if not self.under_way:
            self._all_back.set()

    def forget(self, assignment_id: str) -> None:
        """Wait for this delivery no more."""
        if assignment_id in self.under_way:
            self.under_way.discard(assignment_id)
            if not self.under_way:
                self._all_back.set()

    async def settle(self) -> None:
        """Wait until all are back, but not for long. The others are sent again by whoever goes on with the shard."""
        if not self.under_way:
            return
        self._all_back.clear()
        timer = self._clock.call_at(self._clock.now() + PATIENCE, self._all_back.set)
        await self._all_back.wait()
        timer.cancel()
        if self.under_way:
            _log.warning(
                "notifications still on their way: %d; they are sent again when an engine next opens this store",
                len(self.under_way),
            )
            self.under_way.clear()
