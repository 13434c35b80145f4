"""Fires schedules when they are due, and keeps those that workflows declare as they are declared.

It waits for the next due time and does not look before; what other processes change it sees by a slow look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from stepwell.app.firings import FIRING
from stepwell.app.schedule_documents import (
    SCHEDULE,
    Schedule,
    declared,
    declared_id,
    declared_timing,
    deleted,
    read_schedule,
    written,
)
from stepwell.app.schedule_firing import ScheduleFiring
from stepwell.app.triggers import ActiveTrigger, ActiveTriggers
from stepwell.base.clock import Clock
from stepwell.base.durations import DAY, MINUTE, SECOND
from stepwell.base.errors import Conflict, StepwellError
from stepwell.engine.alarm import Alarm
from stepwell.ports.ledger import Document, Write
from stepwell.ports.store import Store
from stepwell.triggers.schedules import BadSchedule, Timing, what_is_due

LOOK_EVERY: Final = 2 * SECOND
"""Between two looks at what other processes may have changed."""
LOOK_SELDOM: Final = MINUTE
"""The same where the store tells of changes: in case that it could not."""

AGAIN_AFTER: Final = 30 * SECOND
"""After something went wrong."""

KEEP_FIRINGS: Final = 90 * DAY
_AT_ONCE: Final = 100
"""So many starts are asked for in one transaction."""

_log = logging.getLogger(__name__)


class ScheduleRunner:
    """Runs the schedules of a store, as long as it is entered.

    Args:
        look_every: None where no other process uses the store.
    """

    def __init__(
        self,
        store: Store,
        triggers: ActiveTriggers,
        firing: ScheduleFiring,
        clock: Clock,
        look_every: int | None = LOOK_EVERY,
    ) -> None:
        self._store = store
        self._triggers = triggers
        self._firing = firing
        self._clock = clock
        self._look_every = look_every
        self._rung = asyncio.Event()
        self._alarm = Alarm(clock, self._rung.set)
        self._arranged: Sequence[ActiveTrigger] | None = None
        self._forgets_at = 0
        self._problem: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._look_every is not None and self._store.listen_to_documents((SCHEDULE, "registration"), self.look):
            self._look_every = LOOK_SELDOM
        self._rung.set()
        self._task = asyncio.create_task(self._run(), name="stepwell schedules")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._alarm.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Look at once: a schedule was made or changed."""
        self._rung.set()

    def problem(self) -> str | None:
        """Why schedules could not be fired when that was last tried; None when they could."""
        return self._problem

    async def run_due(self) -> None:
        """Arrange what is declared, and fire everything that is due now.

        Raises:
            StoreError: the store cannot be used.
        """
        await self._arrange()
        await self._forget()
        passed: set[tuple[str, int]] = set()
        while True:
            now = self._clock.now()
            due = await self._store.due_documents(SCHEDULE, now)
            todo = [each for each in due if (each.key, each.revision) not in passed]
            for document in todo:
                passed.add((document.key, document.revision))
                await self._fire(document, now)
            if not todo:
                return

    async def _run(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            now = self._clock.now()
            try:
                await self.run_due()
                wake = await self._store.next_due(SCHEDULE)
                later = now + AGAIN_AFTER if wake is not None and wake <= self._clock.now() else wake
                self._problem = None
            except StepwellError as error:
                _log.warning("schedules cannot be run, and are tried again: %s", error)
                self._problem, later = f"schedules cannot be run ({error.code})", now + AGAIN_AFTER
            except Exception:  # a defect must not end all schedules for good
                _log.exception("schedules cannot be run, and are tried again")
                self._problem, later = "schedules cannot be run (internal-error)", now + AGAIN_AFTER
            self._alarm.set(later)
            self._alarm.set(now + self._look_every if self._look_every is not None else None)

    async def _forget(self) -> None:
        """Forget old firings, once a day."""
        now = self._clock.now()
        if now >= self._forgets_at:
            await self._store.forget_journal(FIRING, now - KEEP_FIRINGS)
            self._forgets_at = now + DAY

    async def _fire(self, document: Document, now: int) -> None:
        """Fire a schedule that is due, as far as one transaction goes."""
        try:
            schedule = read_schedule(document)
        except msgspec.MsgspecError as error:  # written by a newer version
            _log.error("the schedule %s cannot be read, and is not fired: %s", document.key, error)
            return
        if schedule.next is None or not await self._firing.is_declared_so(schedule):
            self._arranged = None  # the registry has changed at this moment
            await self._arrange()
            return
        what = what_is_due(schedule.timing, schedule.id, schedule.next, now)
        due, rest = what.fire[:_AT_ONCE], what.fire[_AT_ONCE:]
        fires = await self._firing.fire(schedule, due, now, missed=what.missed)
        moved = msgspec.structs.replace(fires.schedule, next=rest[0] if rest else what.next)
        try:
            await self._firing.write(document, fires._replace(schedule=moved), now)
        except Conflict:
            _log.debug("the schedule %s was fired, or changed, by another", schedule.id)

    # What workflows declare

    async def _arrange(self) -> None:
        """Have a document for each schedule that an active workflow declares, and for no other."""
        while (triggers := await self._triggers.all()) is not self._arranged:
            try:
                writes = await self._writes([each for each in triggers if each.kind == "schedule"])
                for begin in range(0, len(writes), _AT_ONCE):
                    await self._store.write(writes[begin : begin + _AT_ONCE], self._clock.now())
            except Conflict:
                continue  # another process arranges too, or one fired meanwhile
            self._arranged = triggers

    async def _writes(self, triggers: Sequence[ActiveTrigger]) -> list[Write]:
        wanted = {declared_id(each.workflow, each.compiled.position): each for each in triggers}
        writes: list[Write] = []
        after = ""
        while documents := await self._store.documents(SCHEDULE, after=after):
            for document in documents:
                after = document.key
                before = _known(document)
                active = wanted.pop(document.key, None)
                timing = _timing(active) if active is not None else None
                if active is not None and timing is not None:
                    now_so = declared(active, timing, before)
                    writes += [written(now_so, document.revision)] if now_so != before else []
                elif before is not None and before.is_declared:
                    writes.append(deleted(document))
        for active in wanted.values():
            timing = _timing(active)
            writes += [written(declared(active, timing, None), 0)] if timing is not None else []
        return writes


def _known(document: Document) -> Schedule | None:
    try:
        return read_schedule(document)
    except msgspec.MsgspecError:
        return None


def _timing(active: ActiveTrigger) -> Timing | None:
    """The times that a trigger declares; None when they cannot be read, which the definition's check lets nobody do."""
    try:
        return declared_timing(active.config)
    except BadSchedule as error:
        _log.error("a schedule of %s is left out: %s", active.workflow, error)
        return None
