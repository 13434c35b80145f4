"""A worker that fetches its work from an engine elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict, ErrorInfo, NotFound, StepwellError
from stepwell.execution.work import Assignment, Report
from stepwell.ports.services import SecretSource
from stepwell.ports.work import TaskHandler
from stepwell.worker.local import LocalWorker
from stepwell.worker.queues import LEASE, NOT_KNOWN, Beat, Handed, Polled

POLL_FOR: Final = 20 * SECOND
"""How long the engine may keep a worker waiting for work."""
BEAT_EVERY: Final = LEASE // 3
FIRST_PAUSE: Final = SECOND // 2
LONGEST_PAUSE: Final = 15 * SECOND
"""How long to wait before asking an engine again that did not answer."""
REFUSED: Final = "report_refused"
"""The type of error of an attempt whose own report the engine does not take: too large, for one."""

_log = logging.getLogger("stepwell.worker")


class Fetching(Protocol):
    """What a worker asks of an engine elsewhere. Each may raise ConnectionError: there is no answer at the moment."""

    async def poll(self, limit: int, wait: int) -> Polled: ...

    async def heartbeat(self, ids: Collection[str]) -> Beat: ...

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None) -> None:
        """Raises: Conflict: nobody waits for it any more."""
        ...

    async def fail(self, id_: str, error: ErrorInfo) -> None:
        """Raises: Conflict: nobody waits for it any more."""
        ...

    async def release(self, ids: Collection[str]) -> None: ...

    def on_stop(self, stop: Callable[[Collection[str]], None]) -> None:
        """Have it called with the ids of work that nobody wants any more, if that is heard of at once."""
        return


class RemoteWorker:
    """Does what it fetches, so many attempts at once.

    Args:
        handlers: who does the steps of a type, by type.
        slots: attempts at once.
    """

    def __init__(self, fetching: Fetching, handlers: Mapping[str, TaskHandler], clock: Clock, slots: int) -> None:
        self._fetching = fetching
        self._clock = clock
        self._slots = slots
        self._traces: dict[str, str | None] = {}
        self._worker = LocalWorker(
            handlers,
            self._ended,
            clock,
            _NoSecrets(),
            max_concurrent=slots,
            traceparent=lambda assignment: self._traces.get(assignment.id),
        )
        self._running: set[str] = set()
        self._reporting: set[asyncio.Task[None]] = set()
        fetching.on_stop(self.stop)
        self._free = asyncio.Event()
        self._draining = asyncio.Event()
        self._giving_up = False
        self._is_cut_off = False
        self._pauses: dict[str, asyncio.Event] = {}
        self._unknown: set[str] = set()

    @property
    def running(self) -> int:
        """Attempts at work, and reports on their way."""
        return len(self._running)

    async def run(self) -> None:
        """Fetch and work until `drain` is called, and then until all is reported.

        Raises:
            StepwellError: the engine refuses this worker.
        """
        beating = asyncio.create_task(self._beat())
        try:
            while not self._draining.is_set():
                await self._fetch()
            while self._running and not self._giving_up:
                await self._changed()
            if self._running:
                await self._give_back()
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self._worker.close()
            for task in tuple(self._reporting):
                task.cancel()
            await asyncio.gather(*self._reporting, return_exceptions=True)

    def drain(self) -> None:
        """Fetch nothing new, and end when all is done."""
        self._draining.set()
        self._free.set()

    def give_up(self) -> None:
        """Stop what runs, give it back for others to do, and end."""
        self._giving_up = True
        self.drain()

    def stop(self, ids: Collection[str]) -> None:
        """Stop these: nobody waits for them any more."""
        for id_ in ids:
            self._stop(id_)

    async def _give_back(self) -> None:
        ids = list(self._running)
        for id_ in ids:
            self._stop(id_)
        try:
            await self._fetching.release(ids)
        except (ConnectionError, StepwellError) as error:
            count = len(ids)
            _log.warning("%d attempts were not given back, and are taken up when their leases end: %s", count, error)

    async def _fetch(self) -> None:
        free = self._slots - len(self._running)
        if free <= 0:
            await self._changed()
            return
        polling = asyncio.create_task(self._polled(free))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((polling, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (polling, draining):
                task.cancel()
            await asyncio.gather(polling, draining, return_exceptions=True)
        if not polling.cancelled():  # also when it was told to drain at the same moment
            polled = polling.result()
            for id_ in polled.stop:
                self._stop(id_)
            for handed in polled.assignments:
                self._take(handed)

    async def _polled(self, limit: int) -> Polled:
        pause = FIRST_PAUSE
        while True:
            try:
                polled = await self._fetching.poll(limit, POLL_FOR)
            except ConnectionError as error:
                self._note_silence("the engine cannot be asked for work", error)
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._is_cut_off = False
                return polled

    def _take(self, handed: Handed) -> None:
        if handed.id in self._running:  # another engine has it now, and is to hear of its end
            if handed.id in self._pauses:
                self._pauses[handed.id].set()
            return
        self._running.add(handed.id)
        self._traces[handed.id] = handed.traceparent
        self._worker.dispatch(
            Assignment(
                execution=handed.execution_id,
                workflow=handed.workflow,
                version=handed.version,
                step=handed.step,
                type=handed.type,
                config=handed.config,
                attempt=handed.attempt,
                idempotency_key=handed.idempotency_key,
                scheduled_at=self._clock.now(),
                timeout=int(handed.timeout * SECOND) if handed.timeout is not None else None,
                queue=handed.queue,
            )
        )

    def _ended(self, report: Report) -> None:
        task = asyncio.create_task(self._report(report))
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)

    async def _report(self, report: Report) -> None:
        id_ = f"{report.execution}/{report.step}/{report.attempt}"
        pause = FIRST_PAUSE
        while id_ in self._running:
            try:
                if report.error is None:
                    await self._fetching.complete(id_, report.result, report.scope)
                else:
                    self._note_unknown(report.error)
                    await self._fetching.fail(id_, report.error)
            except ConnectionError as error:
                self._note_silence(f"{id_} cannot be reported", error)
                self._pauses[id_] = asyncio.Event()
                await self._pause(pause, self._pauses[id_])
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            except Conflict as conflict:
                _log.info("%s was done in vain: %s", id_, conflict)
            except Exception as error:  # whoever waits has to hear of an end, and not take this worker for lost
                _log.error("the report on %s is refused: %s", id_, _said(error))
                if report.error is None or report.error.type != REFUSED:
                    report = _refused(report, error)
                    continue
            self._gone(id_)

    async def _beat(self) -> None:
        while True:
            due = self._clock.now() + BEAT_EVERY
            await self._pause(BEAT_EVERY)
            if not self._running:
                continue
            self._note_delay(self._clock.now() - due)
            try:
                beat = await self._fetching.heartbeat(list(self._running))
            except Exception as error:  # whatever it is, the next one must be given
                self._note_silence("the engine did not take the sign of life", error)
                continue
            for id_ in beat.lost:
                self._stop(id_)

    def _note_silence(self, what: str, error: Exception) -> None:
        """There is no answer: said once, until there is one to a question for work."""
        log = _log.debug if self._is_cut_off else _log.warning
        self._is_cut_off = True
        log("%s: %s; it is tried again", what, _said(error))

    def _note_unknown(self, error: ErrorInfo) -> None:
        """This worker does not know how to do a step: said once for whoever began it with too few modules."""
        if error.type in NOT_KNOWN and error.message not in self._unknown:
            self._unknown.add(error.message)
            _log.warning("%s; other workers are asked", error.message)

    def _note_delay(self, late: int) -> None:
        """A sign of life is given so much later than it should be."""
        if late + BEAT_EVERY > LEASE:
            _log.warning(
                "no sign of life was given for %s: this process was frozen, or a task kept its event loop busy "
                "(a function that blocks must not be `async`); what is at work here may have been given to others",
                format_duration((late + BEAT_EVERY) // SECOND * SECOND),
            )

    def _stop(self, id_: str) -> None:
        self._worker.stop(id_)
        self._gone(id_)

    def _gone(self, id_: str) -> None:
        self._running.discard(id_)
        self._traces.pop(id_, None)
        self._pauses.pop(id_, None)
        self._free.set()

    async def _changed(self) -> None:
        """Until something has ended, or `drain` was called."""
        self._free.clear()
        await self._free.wait()

    async def _pause(self, duration: int, over: asyncio.Event | None = None) -> None:
        """Wait for so long, or until `over` is set."""
        over = over or asyncio.Event()
        timer = self._clock.call_at(self._clock.now() + duration, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def _refused(report: Report, error: Exception) -> Report:
    """What is reported in place of a report that is not taken."""
    what = "result" if report.error is None else f"error {report.error.type!r}"
    said = ErrorInfo(REFUSED, f"its {what} could not be reported: {_said(error)}")
    return msgspec.structs.replace(report, result=None, scope=None, error=said)


def _said(error: Exception) -> str:
    """The error for people: what it says, and what it is when it says nothing."""
    return str(error) or type(error).__name__


class _NoSecrets(SecretSource):
    """The engine has opened everything before."""

    def get(self, name: str) -> str:
        raise NotFound(f"secrets are not looked up here, and {name!r} was not opened before", code="unknown-secret")
