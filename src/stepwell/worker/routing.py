"""One dispatcher out of several, and the one whose work is fetched by workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stepwell.base.clock import Clock
from stepwell.execution.work import Assignment, Report
from stepwell.ports.services import SecretSource
from stepwell.ports.work import Dispatcher, ReportCallback, TaskHandler
from stepwell.worker.local import LocalWorker
from stepwell.worker.queues import Queues
from stepwell.worker.reports import Recorded, Reports

MOST_FETCHED: Final = 1_000_000
"""So many attempts may stand in queues or be with workers; more wait in line behind them."""


async def _nowhere(execution: str) -> None:
    """Nobody records it."""


class QueueDispatcher(Dispatcher):
    """Puts every assignment into its queue.

    It is a local worker whose handler waits for somebody elsewhere: so secrets are opened, results checked and sealed,
    and attempts stopped as everywhere. The time of an attempt begins when a worker takes it, so the queues watch it.

    Args:
        traceparent: see `Equipment`.
        recorded: waits until what was reported of an execution so far is durable; the default is for reports that
            nobody records.

    Attributes:
        queues: what workers ask.
        reports: what they report to.
    """

    def __init__(
        self,
        on_report: ReportCallback,
        clock: Clock,
        secrets: SecretSource,
        traceparent: Callable[[Assignment], str | None] | None = None,
        recorded: Recorded = _nowhere,
    ) -> None:
        self._timeouts: dict[str, int] = {}
        self.queues = Queues(clock, lambda id_: self._timeouts.pop(id_, None))
        self.reports = reports = Reports(self.queues, recorded)

        def ended(report: Report) -> None:
            on_report(report)
            reports.taken(report)

        self._worker = LocalWorker(
            AnyType(self.queues),
            ended,
            clock,
            secrets,
            max_concurrent=MOST_FETCHED,
            traceparent=traceparent,
        )

    def dispatch(self, assignment: Assignment) -> None:
        if assignment.timeout is not None:
            self._timeouts[assignment.id] = assignment.timeout
            assignment = msgspec.structs.replace(assignment, timeout=None)
        self._worker.dispatch(assignment)

    def stop(self, assignment_id: str) -> None:
        self._timeouts.pop(assignment_id, None)
        self._worker.stop(assignment_id)
        self.reports.stopped(assignment_id)

    def leave(self, assignment_id: str) -> None:
        self.queues.leave(assignment_id)
        self.stop(assignment_id)

    def outlives(self, assignment_id: str) -> bool:
        return self.queues.outlives(assignment_id)

    async def close(self) -> None:
        self.queues.leave_all()
        self.reports.close()
        await self._worker.close()


class RoutingDispatcher(Dispatcher):
    """Gives each assignment to one of several dispatchers.

    Args:
        choose: says to which.
        all_: every one of them.
    """

    def __init__(self, choose: Callable[[Assignment], Dispatcher], all_: Sequence[Dispatcher]) -> None:
        self._choose = choose
        self._all = tuple(all_)

    def dispatch(self, assignment: Assignment) -> None:
        self._choose(assignment).dispatch(assignment)

    def stop(self, assignment_id: str) -> None:
        for dispatcher in self._all:
            dispatcher.stop(assignment_id)

    def leave(self, assignment_id: str) -> None:
        for dispatcher in self._all:
            dispatcher.leave(assignment_id)

    def outlives(self, assignment_id: str) -> bool:
        return any(dispatcher.outlives(assignment_id) for dispatcher in self._all)

    async def close(self) -> None:
        for dispatcher in self._all:
            await dispatcher.close()


class AnyType(Mapping[str, TaskHandler]):
    """One handler for steps of any type."""

    def __init__(self, handler: TaskHandler) -> None:
        self._handler = handler

    def __getitem__(self, type_: str) -> TaskHandler:
        return self._handler

    def __iter__(self) -> Iterator[str]:  # for who closes all handlers
        return iter(("*",))

    def __len__(self) -> int:
        return 1
