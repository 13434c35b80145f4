"""One try of one step, from the moment it may begin to its report.

The way of an attempt: note the time → open what is secret → call the handler, with a timer → check the result → seal
what is secret in it → report. It ends exactly once: with the handler, with the timer, or because it was stopped.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Literal

import msgspec

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import MILLISECOND
from stepwell.base.errors import ErrorInfo
from stepwell.base.suggest import hint_for
from stepwell.execution.work import Assignment, Report
from stepwell.ports.attempts import CURRENT
from stepwell.ports.services import SecretSource
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
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
        traceparent: see `TaskContext.traceparent`; None when nothing is traced.
        is_known: the code of tasks finds its attempt in `ports.attempts.CURRENT`.
        secrets_of: what the workflow of a name may look up; None when that is the same for all.
    """

    handlers: Mapping[str, TaskHandler]
    clock: Clock
    secrets: SecretSource
    threads: ThreadPool
    abandoned: set[asyncio.Task[None]]
    on_wait: Callable[[], None]
    on_end: OnEnd
    traceparent: Callable[[Assignment], str | None] | None = None
    is_known: bool = False
    secrets_of: Callable[[str], SecretSource] | None = None


class Attempt(TaskContext):
    """The work on one assignment; it is also what the handler knows of it.

    Everything but `run_sync`'s function and what a task asks of its context happens on the event loop.

    Attributes:
        queue_until: when it must have begun, once it was queued with such a bound.
        started_at: when it began.
        task: in which it is done, once it has begun.
    """

    __slots__ = (
        "_cut_short", "_equipment", "_phase", "_texts", "_timer", "_wanted", "_within", "_work", "assignment", "id",
        "queue_until", "started_at", "task",
    )  # fmt: skip
    assignment: Assignment
    _wanted: Any  # what the event loop is asked for, while it has to wait
    _within: Callable[..., Any]  # calls a function in its context
    _work: Coroutine[Any, Any, TaskResult]
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

    @property
    def traceparent(self) -> str | None:
        tell = self._equipment.traceparent
        return tell(self.assignment) if tell is not None else None

    def sealed(self) -> Sequence[str]:
        return tuple(self._texts)

    def open(self, value: Any) -> Any:
        return opened(value, self._equipment.secrets, self._texts)

    def hide(self, text: str) -> str:
        return Mask(self._texts).hide(text) if self._texts else text

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._equipment.threads.run(function, *args, **kwargs)

    # Its course

    def begin(self, task: asyncio.Task[None]) -> bool:
        """Do the work in the running task, up to where it first has to wait; whether it has to. If so, `rest` follows.

        What it sets in context variables stays in it. Most attempts end here: hence a call, which takes less than
        waiting for something that never waits.
        """
        if self._phase == "ended":  # stopped before it began
            return False
        equipment, assignment = self._equipment, self.assignment
        self._phase, self.task = "begun", task
        self.started_at = equipment.clock.now()
        within = copy_context().run
        if equipment.is_known:
            within(CURRENT.set, self)
        try:
            handler = equipment.handlers.get(assignment.type)
            if handler is None:
                raise _nobody_does(assignment.type, equipment.handlers)
            source = equipment.secrets
            if equipment.secrets_of is not None:
                source = equipment.secrets_of(assignment.workflow)
            work = handler.run(opened(assignment.config, source, self._texts), self)
            if type(work) is not types.CoroutineType:
                work = _awaited(work)
            try:
                self._wanted = within(work.send, None)
            except StopIteration as ended:
                outcome = ended.value
            else:
                self._work, self._within = work, within
                self._wait()
                return True
            report = self._completed(outcome)
        except BaseException as error:
            report = self._broken_off(error)
        self._end(report)
        return False

    @types.coroutine
    def rest(self) -> Generator[Any, Any, None]:
        """Go on to the end."""
        is_waiting = True
        while is_waiting:
            try:
                answer = yield self._wanted
            except BaseException as error:
                is_waiting = self._go_on(self._work.throw, error)
            else:
                is_waiting = self._go_on(self._work.send, answer)

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

    def _go_on(self, resume: Callable[[Any], Any], value: Any) -> bool:
        """Let the handler go on, to its end or to where it has to wait again; whether it has to."""
        try:
            try:
                self._wanted = self._within(resume, value)
            except StopIteration as ended:
                outcome = ended.value
            else:
                return True
            report = self._completed(outcome)
        except BaseException as error:
            report = self._broken_off(error)
        self._end(report)
        return False

    def _broken_off(self, error: BaseException) -> Report:
        """The report on work that was ended by an exception, unless that means the lane or all of the process.

        Raises:
            BaseException: it does.
        """
        is_for_the_lane = isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling()
        if is_for_the_lane or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            self._end(None)
            raise error
        # Nothing else ends an engine: not a task that calls sys.exit, nor one that waits for something cancelled.
        return self.report(failure_of(error, self.assignment, self._texts))

    def _completed(self, outcome: TaskResult) -> Report:
        result, scope = outcome.value, outcome.scope
        if result is not None or scope is not None:
            try:
                result = normalised(result)
                scope = None if scope is None else normalised(scope, "the scope")
            except ValueError as error:
                raise TaskError("invalid_result", f"{error}") from None
            if self._texts:
                mask = Mask(self._texts)
                result, scope = mask.seal(result), mask.seal(scope)
        return self.report(None, result, scope)

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


async def _awaited(work: Awaitable[TaskResult]) -> TaskResult:
    """What a handler gave that was not written as a coroutine, as one."""
    return await work


def _nobody_does(type_: str, handlers: Mapping[str, TaskHandler]) -> TaskError:
    return TaskError("unknown_type", f"no worker here does steps of type {type_!r} ({hint_for(type_, handlers)})")
