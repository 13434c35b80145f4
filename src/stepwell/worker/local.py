"""A worker in the engine's own process."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from stepwell.base.clock import Clock, Timer
from stepwell.base.errors import ConfigurationError
from stepwell.execution.work import Assignment, Report
from stepwell.ports.services import SecretsByWorkflow, SecretSource
from stepwell.ports.work import Dispatcher, ReportCallback, TaskHandler
from stepwell.worker.attempt import Attempt, Equipment
from stepwell.worker.failures import queue_timeout_of
from stepwell.worker.lanes import Lanes
from stepwell.worker.threads import ThreadPool

CLOSING_SECONDS: Final = 1.0
"""How long `close` waits for cancelled work to clean up."""

_log = logging.getLogger("stepwell.worker")


class LocalWorker(Dispatcher):
    """Does the work on the engine's event loop, and functions that block in threads.

    At most `max_concurrent` attempts run; the others wait in the order they came, for at most `queue_timeout`
    microseconds each (None: as long as it takes).

    Args:
        handlers: who does the steps of a type, by type. They are closed with the worker.
        on_report: called on the event loop, once for every attempt that was not stopped.
        traceparent, is_known: see `Equipment`.

    Raises:
        ConfigurationError: `max_concurrent` is less than 1.
    """

    def __init__(
        self,
        handlers: Mapping[str, TaskHandler],
        on_report: ReportCallback,
        clock: Clock,
        secrets: SecretSource,
        *,
        max_concurrent: int = 100,
        queue_timeout: int | None = None,
        traceparent: Callable[[Assignment], str | None] | None = None,
        is_known: bool = False,
    ) -> None:
        if max_concurrent < 1:
            raise ConfigurationError(f"a worker for {max_concurrent} tasks at once does nothing; allow at least 1")
        self._lanes = Lanes()
        self._abandoned: set[asyncio.Task[None]] = set()
        self._equipment = Equipment(
            handlers,
            clock,
            secrets,
            ThreadPool(),
            self._abandoned,
            self._lanes.spread,
            self._ended,
            traceparent,
            is_known,
            secrets.of if isinstance(secrets, SecretsByWorkflow) else None,
        )
        self._on_report = on_report
        self._clock = clock
        self._max_concurrent = max_concurrent
        self._queue_timeout = queue_timeout
        self._known: dict[str, Attempt] = {}  # queued or running, and not stopped
        self._running: set[Attempt] = set()
        self._queue: OrderedDict[str, Attempt] = OrderedDict()
        self._queue_timer: Timer | None = None
        self._closed = False

    def load(self) -> dict[str, int | None]:
        """Attempts at work, in line, and the limit."""
        return {"at_work": len(self._running), "in_line": len(self._queue), "limit": self._max_concurrent}

    def at_work(self, execution: str) -> int:
        """How many attempts of an execution are at work at this moment."""
        return sum(attempt.assignment.execution == execution for attempt in tuple(self._running))

    def dispatch(self, assignment: Assignment) -> None:
        """Begin the work, or queue it. Ignored when the same assignment is queued or running, or after `close`."""
        id_, known, running = assignment.id, self._known, self._running
        if id_ in known or self._closed:
            return
        attempt = known[id_] = Attempt(assignment, id_, self._equipment)
        if len(running) < self._max_concurrent:
            running.add(attempt)
            self._lanes.put(attempt)
        else:
            self._queue[id_] = attempt
            if self._queue_timeout is not None:
                self._bound(attempt, self._queue_timeout)

    def stop(self, assignment_id: str) -> None:
        """Cancel the work, queued or running; no report follows. Ignored when there is none of this id."""
        attempt = self._known.pop(assignment_id, None)
        if attempt is not None and self._queue.pop(assignment_id, None) is None:
            attempt.stop()

    async def close(self) -> None:
        """Cancel everything, wait briefly for it to end, and close the handlers. May be called twice."""
        self._closed = True
        self._known.clear()
        self._queue.clear()
        if self._queue_timer is not None:
            self._queue_timer.cancel()
        tasks = self._abandoned | {attempt.task for attempt in self._running if attempt.task is not None}
        for attempt in tuple(self._running):
            attempt.stop()
        await self._wait_for(tasks - {asyncio.current_task()})
        self._equipment.threads.close()
        await self._close_handlers()

    async def _close_handlers(self) -> None:
        handlers = {id(handler): handler for handler in self._equipment.handlers.values()}
        # What a plug-in brings need have no more than `run`.
        closings = (handler.close() for handler in handlers.values() if hasattr(handler, "close"))
        for failure in await asyncio.gather(*closings, return_exceptions=True):
            if failure is not None:
                _log.warning("a handler could not be closed: %r", failure)

    async def _wait_for(self, tasks: set[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=CLOSING_SECONDS)
        for task in pending:
            task.cancel()
        if pending:
            _log.warning("%d tasks did not end when they were cancelled", len(pending))

    def _ended(self, attempt: Attempt, report: Report | None) -> None:
        """An attempt is over: its place is free."""
        running, known = self._running, self._known
        running.discard(attempt)
        if known.get(attempt.id) is attempt:
            del known[attempt.id]
        if self._closed:
            return
        if self._queue:
            _, following = self._queue.popitem(last=False)
            running.add(following)
            self._lanes.put(following)
        if report is not None:
            self._on_report(report)

    # The queue

    def _bound(self, attempt: Attempt, timeout: int) -> None:
        """It waits no longer than that."""
        attempt.queue_until = self._clock.now() + timeout
        if self._queue_timer is None:
            self._watch_queue()

    def _watch_queue(self) -> None:
        head = next(iter(self._queue.values()))
        self._queue_timer = self._clock.call_at(head.queue_until, self._expire_queued)

    def _expire_queued(self) -> None:
        """Give up what has waited too long, and watch the new head.

        One timer is enough, since nobody can have to leave before the head; it may fire for a head that is gone.
        """
        self._queue_timer = None
        now = self._clock.now()
        overdue = list(itertools.takewhile(lambda attempt: attempt.queue_until <= now, self._queue.values()))
        for attempt in overdue:
            del self._queue[attempt.id]
            del self._known[attempt.id]
        if self._queue:
            self._watch_queue()
        for attempt in overdue:
            attempt.started_at = now
            self._on_report(attempt.report(queue_timeout_of(attempt.assignment, self._queue_timeout or 0)))
