"""What workers elsewhere report, until it is recorded: nobody is told that his report was taken before that.

Who hears nothing, or that it was not recorded in time, reports again; the same report gets the same answer, and counts
once.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from stepwell.base.derive import digest
from stepwell.base.errors import Conflict, StepwellError, StoreError
from stepwell.execution.work import Report
from stepwell.ports.work import TaskError
from stepwell.worker.queues import Queues, Sees

PATIENCE: Final = 5.0
"""Seconds that a report is waited for to be recorded."""
MOST_KEPT: Final = 50_000
"""So many reports that were recorded are known, for those who did not hear of it."""

Recorded = Callable[[str], Awaitable[None]]
"""Waits until what was reported of an execution, up to the call, is durable; raises what keeps it from being that."""


class _Told(msgspec.Struct, eq=False):
    """A report that a worker has given. `mark` tells it from others on the same attempt."""

    mark: str
    recorded: asyncio.Future[None]
    is_taken: bool = False


class Reports:
    """Takes reports to the queues, and says when they are recorded."""

    def __init__(self, queues: Queues, recorded: Recorded) -> None:
        self._queues = queues
        self._recorded = recorded
        self._told: dict[str, _Told] = {}
        self._kept: OrderedDict[str, _Told] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def knows(self, id_: str) -> bool:
        """Whether somebody here waits for a report on it, or was given one lately."""
        return self._queues.knows(id_) or id_ in self._told or id_ in self._kept

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None, sees: Sees) -> None:
        """See `Queues.complete`; durable when this returns.

        Raises:
            Conflict: (code `not-assigned`) nobody waits for it; (code `shard-lost`) another node does.
            StoreError: (code `not-recorded`) it is not durable yet. StepwellError: the engine has stopped.
        """

        def tell() -> bool:
            self._queues.complete(id_, result, scope, sees)
            return True

        await self._once(id_, _mark("complete", result, scope), tell)

    async def fail(self, id_: str, error: TaskError, sees: Sees) -> None:
        """See `Queues.fail`; durable when this returns. Raises as `complete` does."""
        mark = _mark("fail", error.type, error.message, error.details, error.retryable)
        await self._once(id_, mark, lambda: self._queues.fail(id_, error, sees))

    def taken(self, report: Report) -> None:
        """The engine has taken the report of an attempt, and is about to record what follows from it."""
        id_ = f"{report.execution}/{report.step}/{report.attempt}"
        told = self._told.get(id_)
        if told is not None:
            told.is_taken = True
            task = asyncio.create_task(self._settle(id_, told, self._recorded(report.execution)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stopped(self, id_: str) -> None:
        """Nobody waits for the attempt any more: what was reported in this moment counts no more."""
        told = self._told.get(id_)
        if told is not None and not told.is_taken:
            del self._told[id_]
            message = f"nobody waits for a report on {id_!r}: it was stopped"
            _fail(told, Conflict(message, code="not-assigned", hint="stop the work, and ask for other"))

    def close(self) -> None:
        """The engine takes no more: what it has not taken by now is to be reported to another one."""
        self._is_closed = True
        for told in self._told.values():
            if not told.is_taken:
                _fail(told, _closed())

    async def _once(self, id_: str, mark: str, tell: Callable[[], bool]) -> None:
        told = self._told.get(id_) or self._kept.get(id_)
        if told is None or told.mark != mark:
            if self._is_closed:
                raise _closed()
            if not tell():
                return  # it goes to another worker, and that is recorded nowhere
            told = self._told[id_] = _Told(mark, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(told.recorded)
        except TimeoutError:
            raise StoreError(
                f"the report on {id_!r} was taken, and is not recorded yet",
                code="not-recorded",
                hint="report again in a moment; it counts once",
            ) from None

    async def _settle(self, id_: str, told: _Told, recorded: Awaitable[None]) -> None:
        try:
            await recorded
        except StepwellError as error:
            _fail(told, error)
        else:
            told.recorded.set_result(None)
            self._kept[id_] = told
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        if self._told.get(id_) is told:
            del self._told[id_]


def _closed() -> StepwellError:
    return StepwellError("the engine was closed", code="engine-closed", hint="report again, to whoever comes after it")


def _fail(told: _Told, error: StepwellError) -> None:
    if not told.recorded.done():
        told.recorded.set_exception(error)
        told.recorded.exception()  # it may be that nobody waits for it


def _mark(*parts: Any) -> str:
    return digest(json.dumps(parts, default=str).encode())  # it may hold what other encoders do not take
