"""One try of one step, from the moment it may begin to its report.

The way of an attempt: note the time → open what is secret → call the handler, with a timer → check the result → seal
what is secret in it → report. It ends exactly once: with the handler, with the timer, or because it was stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import MILLISECOND
from stepwell.base.errors import ErrorInfo
from stepwell.base.suggest import hint_for
from stepwell.execution.work import Assignment, Report
from stepwell.ports import SecretSource, TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.worker.failures import failure_of, timeout_of
from stepwell.worker.masking import Mask
from stepwell.worker.opening import opened
from stepwell.worker.results import normalised
from stepwell.worker.threads import ThreadPool

GRACE: Final = 250 * MILLISECOND
"""How long a cancelled handler may take to clean up before it is abandoned."""

_log = logging.getLogger("stepwell.worker")


class Equipment(msgspec.Struct, frozen=True):
    """What the attempts of one worker share."""

    handlers: Mapping[str, TaskHandler]
    clock: Clock
    secrets: SecretSource
    threads: ThreadPool


OnEnd = Callable[["Attempt", Report | None], None]
"""Called once when the attempt has ended and its place is free; the report is None when it was stopped."""


class Attempt(TaskContext):
    """The work on one assignment; it is also what the handler knows of it.

    `abandoned` says that it has ended and its task has not.

    Everything but `run_sync`'s function and what a task asks of its context happens on the event loop.
    """

    __slots__ = (
        "_assignment", "_ended", "_entered", "_equipment", "_expired", "_on_end", "_stopped", "_texts", "_timer",
        "abandoned", "id", "queue_until", "started_at", "task",
    )  # fmt: skip

    def __init__(self, assignment: Assignment, id_: str, equipment: Equipment, on_end: OnEnd) -> None:
        self._assignment = assignment
        self.id = id_
        self.started_at = 0
        self.queue_until = 0
        self.task: asyncio.Task[None] | None = None
        self._equipment = equipment
        self._on_end = on_end
        self._texts: list[str] = []
        self._timer: Timer | None = None
        self._entered = False
        self._expired = False
        self._stopped = False
        self._ended = False
        self.abandoned = False

    # What a handler sees

    @property
    def assignment(self) -> Assignment:
        return self._assignment

    def sealed(self) -> Sequence[str]:
        return tuple(self._texts)

    def open(self, value: Any) -> Any:
        return opened(value, self._equipment.secrets, self._texts)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._equipment.threads.run(function, *args, **kwargs)

    # Its course

    def start(self) -> None:
        """Begin the work."""
        clock = self._equipment.clock
        self.started_at = clock.now()
        timeout = self._assignment.timeout
        if timeout is not None:
            self._timer = clock.call_at(self.started_at + timeout, self._expire)
        # Not through the loop's create_task: naming every task takes longer than making it.
        self.task = asyncio.Task(self._run(), loop=asyncio.get_running_loop(), name="stepwell attempt")

    def stop(self) -> None:
        """Cancel the work; no report follows."""
        if not self._ended and not self._stopped:
            self._stopped = True
            self._cancel()

    def report(self, error: ErrorInfo | None = None, result: Any = None, scope: Any = None) -> Report:
        """A report on this attempt."""
        assignment = self._assignment
        return Report(
            execution=assignment.execution,
            step=assignment.step,
            attempt=assignment.attempt,
            started_at=self.started_at,
            result=result,
            error=error,
            scope=scope,
        )

    async def _run(self) -> None:
        self._entered = True
        report = None
        try:
            report = await self._perform()
        except asyncio.CancelledError as cancelled:
            if self.task is not None and self.task.cancelling() > 0:
                raise
            report = self._failed(cancelled)  # not this attempt: something the handler waited for was cancelled
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a task that calls sys.exit must not end the engine
            report = self._failed(error)
        finally:
            self._end(report)

    async def _perform(self) -> Report:
        assignment = self._assignment
        handler = self._equipment.handlers.get(assignment.type)
        if handler is None:
            hint = hint_for(assignment.type, self._equipment.handlers)
            raise TaskError("unknown_type", f"no worker here does steps of type {assignment.type!r} ({hint})")
        config = opened(assignment.config, self._equipment.secrets, self._texts)
        return self._completed(await handler.run(config, self))

    def _completed(self, outcome: TaskResult) -> Report:
        try:
            result = normalised(outcome.value)
            scope = None if outcome.scope is None else normalised(outcome.scope, "the scope")
        except ValueError as error:
            raise TaskError("invalid_result", f"{error}") from None
        if self._texts:
            mask = Mask(self._texts)
            result, scope = mask.seal(result), mask.seal(scope)
        return self.report(None, result, scope)

    def _failed(self, error: BaseException) -> Report:
        return self.report(failure_of(error, self._assignment, self._texts))

    # Its end

    def _expire(self) -> None:
        self._timer = None
        self._expired = True
        self._cancel()

    def _cancel(self) -> None:
        """Cancel the handler, and wait for it no longer than `GRACE`."""
        if self._timer is not None:
            self._timer.cancel()
        assert self.task is not None
        self.task.cancel()
        if self._entered:
            clock = self._equipment.clock
            self._timer = clock.call_at(clock.now() + GRACE, self._abandon)
        else:
            self.abandoned = True
            self._end(None)  # cancelled before its first line, which will never run

    def _abandon(self) -> None:
        _log.warning("%s did not end when it was cancelled, and is abandoned", self.id)
        self.abandoned = True
        self._end(None)

    def _end(self, report: Report | None) -> None:
        if self._ended:
            _log.info("%s ended after it was abandoned; what it returned is ignored", self.id)
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped:
            report = None
        elif self._expired:
            report = self.report(timeout_of(self._assignment))
        self._on_end(self, report)
