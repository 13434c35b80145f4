"""Where attempts are done: tasks of the event loop, called lanes.

An attempt that has to wait for something keeps its lane for itself, from its first line to its end. Those that never
wait are done one after another in one lane: making a task for each would cost more than most of them do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context

from stepwell.worker.attempt import Attempt


class Lanes:
    """Begins attempts in the order in which they were put, in the next round of the event loop."""

    def __init__(self) -> None:
        self._ready: deque[Attempt] = deque()
        self._coming = 0  # lanes that have not entered yet
        self._context = copy_context()

    def put(self, attempt: Attempt) -> None:
        """Have the attempt begun."""
        self._ready.append(attempt)
        if not self._coming:
            self._open()

    def spread(self) -> None:
        """An attempt has to wait and keeps its lane. The others may have to wait as well: each gets a lane."""
        for _ in range(len(self._ready) - self._coming):
            self._open()

    def _open(self) -> None:
        self._coming += 1
        # Not through the loop's create_task: naming every task takes longer than making it.
        asyncio.Task(self._run(), loop=asyncio.get_running_loop(), name="stepwell attempt", context=self._context)

    async def _run(self) -> None:
        self._coming -= 1
        task, ready = asyncio.current_task(), self._ready
        assert task is not None, "a lane is a task"
        for _ in range(len(ready)):  # what comes meanwhile is for the next round
            attempt = ready.popleft()
            if attempt.begin(task):
                await attempt.rest()
                return
            if task.cancelling():  # meant for that attempt, and not for those behind it
                self.spread()
                return
