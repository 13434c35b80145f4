"""One try of one step, from the moment it may begin to its report.

The way of an attempt: note the time → open what is secret → call the handler, with a timer → check the result → seal
what is secret in it → report. It ends exactly once: with the handler, with the timer, or because it was stopped.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Literal

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


OnEnd = Callable[["Attempt", Report | None], None]
"""Called once when the attempt has ended and its place is free; the report is None when it was stopped."""


class Equipment(msgspec.Struct, frozen=True):
    """What the attempts of one worker share.

    Attributes:
        abandoned: tasks of attempts that have ended, and that have not ended themselves.
        on_wait: called when an attempt has to wait for the first time.
    """

    handlers: Mapping[str, TaskHandler]
    clock: Clock
    secrets: SecretSource
    threads: ThreadPool
    abandoned: set[asyncio.Task[None]]
    on_wait: Callable[[], None]
    on_end: OnEnd


class Attempt(TaskContext):
    """The work on one assignment; it is also what the handler knows of it.

    Everything but `run_sync`'s function and what a task asks of its context happens on the event loop.

    Attributes:
        queue_until: when it must have begun, once it was queued with such a bound.
        started_at: when it began.
        task: in which it is done, once it has begun.
    """

    __slots__ = (
        "_cut_short", "_equipment", "_phase", "_texts", "_timer", "assignment", "id", "queue_until", "started_at",
        "task",
    )  # fmt: skip
    assignment: Assignment
    queue_until: int
    started_at: int

    def __init__(self, assignment: Assignment, id_: str, equipment: Equipment) -> None:
        self.assignment = assignment
        self.id = id_
        self._equipment = equipment
        self._texts: list[str] = []
        self._timer: Timer | None = None
        self.task: asyncio.Task[None] | None = None
        self._phase: Literal["ready", "begun", "ended"] = "ready"
        self._cut_short: Literal["stopped", "expired"] | None = None

    # What a handler sees

    def sealed(self) -> Sequence[str]:
        return tuple(self._texts)

    def open(self, value: Any) -> Any:
        return opened(value, self._equipment.secrets, self._texts)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._equipment.threads.run(function, *args, **kwargs)

    # Its course

    @types.coroutine
    def done_in(self, task: asyncio.Task[None]) -> Generator[Any, Any, bool]:
        """Do the work, from beginning to end, in the running task; whether it had to wait for anything.

        What it sets in context variables stays in it.
        """
        if self._phase == "ended":  # stopped before it began
            return False
        self._phase, self.task = "begun", task
        self.started_at = self._equipment.clock.now()
        course, within = self._course(), copy_context().run
        try:
            wanted = within(course.send, None)
        except StopIteration:
            return False
        self._wait()
        try:
            while True:
                try:
                    answer = yield wanted
                except BaseException as error:
                    wanted = within(course.throw, error)
                else:
                    wanted = within(course.send, answer)
        except StopIteration:
            return True

    def stop(self) -> None:
        """Cancel the work; no report follows."""
        if self._phase != "ended" and self._cut_short != "stopped":
            self._cut_short = "stopped"
            self._cancel()

    def report(self, error: ErrorInfo | None = None, result: Any = None, scope: Any = None) -> Report:
        """A report on this attempt."""
        assignment = self.assignment
        return Report(
            execution=assignment.execution,
            step=assignment.step,
            attempt=assignment.attempt,
            started_at=self.started_at,
            result=result,
            error=error,
            scope=scope,
        )

    async def _course(self) -> None:
        report = None
        try:
            assignment, equipment = self.assignment, self._equipment
            handler = equipment.handlers.get(assignment.type)
            if handler is None:
                raise _nobody_does(assignment.type, equipment.handlers)
            config = opened(assignment.config, equipment.secrets, self._texts)
            report = self._completed(await handler.run(config, self))
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
        return self.report(failure_of(error, self.assignment, self._texts))

    def _wait(self) -> None:
        """It has to wait: from now on it may run out of time."""
        timeout = self.assignment.timeout
        if timeout is not None and self._cut_short is None:
            self._timer = self._equipment.clock.call_at(self.started_at + timeout, self._expire)
        self._equipment.on_wait()

    # Its end

    def _expire(self) -> None:
        self._cut_short = "expired"
        self._cancel()

    def _cancel(self) -> None:
        """Cancel the handler, and wait for it no longer than `GRACE`."""
        if self.task is None:
            self._end(None)  # before its first line, which will never run
            return
        if self._timer is not None:
            self._timer.cancel()
        self.task.cancel()
        clock = self._equipment.clock
        self._timer = clock.call_at(clock.now() + GRACE, partial(self._abandon, self.task))

    def _abandon(self, task: asyncio.Task[None]) -> None:
        _log.warning("%s did not end when it was cancelled, and is abandoned", self.id)
        self._equipment.abandoned.add(task)
        task.add_done_callback(self._equipment.abandoned.discard)
        self._end(None)

    def _end(self, report: Report | None) -> None:
        if self._phase == "ended":
            _log.info("%s ended after it was abandoned; what it returned is ignored", self.id)
            return
        self._phase = "ended"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cut_short is not None:
            report = self.report(timeout_of(self.assignment)) if self._cut_short == "expired" else None
        self._equipment.on_end(self, report)


def _nobody_does(type_: str, handlers: Mapping[str, TaskHandler]) -> TaskError:
    return TaskError("unknown_type", f"no worker here does steps of type {type_!r} ({hint_for(type_, handlers)})")
