"""Schedules: making them, looking at them, and what people may do with them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from stepwell.app.schedule_documents import (
    SCHEDULE,
    Paused,
    Schedule,
    deleted,
    last_report,
    read_schedule,
    schedule_report,
    written,
)
from stepwell.app.schedule_firing import ScheduleFiring
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import DEFAULT, namespace_of
from stepwell.base.values import masked
from stepwell.decider.create import checked_input
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import Document
from stepwell.ports.store import Store
from stepwell.triggers.schedules import BadSchedule, jittered, next_due, times, timing_of

Sees = Callable[[str], bool]
"""Whether the caller may see what belongs to a workflow."""

MOST_BACKFILLED: Final = 1_000
"""So many times may be made up for at once."""

MOST_UPCOMING: Final = 100
_TRIES: Final = 10
_CHUNK: Final = 100
_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}", re.ASCII)


def everybody(workflow: str) -> bool:
    """`Sees` of a caller who may see everything."""
    return True


class Schedules:
    """The schedules of a store.

    Args:
        changed: called when a time may be due earlier than before.
        problem: tells why schedules are not fired at the moment, if they are not.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        firing: ScheduleFiring,
        changed: Callable[[], None] = lambda: None,
        problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._codec = codec
        self._firing = firing
        self._changed = changed
        self.problem = problem

    async def list(
        self, *, sees: Sees = everybody, workflow: str | None = None, limit: int = 50, after: str = ""
    ) -> dict[str, Any]:
        """A page of schedules in order of their ids: `{"items": [...], "next": id or None}`.

        Args:
            after: go on where a page ended: its `next`.
        """
        items: list[dict[str, Any]] = []
        while documents := await self._store.documents(SCHEDULE, after=after):
            for document in documents:
                schedule = read_schedule(document)
                if sees(schedule.workflow) and workflow in (None, schedule.workflow):
                    if len(items) == limit:
                        return {"items": items, "next": after}
                    items.append(self._report(schedule))
                after = document.key
        return {"items": items, "next": None}

    async def show(self, id_: str, sees: Sees = everybody) -> dict[str, Any]:
        """A schedule with its last firings.

        Raises:
            NotFound: (code `unknown-schedule`) there is none, or the caller may not see it.
        """
        return self._report((await self._find(id_, sees))[0])

    async def upcoming(self, id_: str, count: int, now: int, sees: Sees = everybody) -> dict[str, Any]:
        """The next times of a schedule: `due_at`, and `starts_at`, which is later by its jitter.

        Raises:
            NotFound: see `show`.
        """
        schedule, _ = await self._find(id_, sees)
        items = []
        if schedule.due_at is not None and schedule.next is not None:
            later = times(schedule.timing, schedule.next)
            items = [schedule.next, *islice(later, min(count, MOST_UPCOMING) - 1)]
        return {"items": [_time(schedule, due) for due in items], "next": None}

    async def create(self, given: Mapping[str, Any], *, by: str, now: int) -> dict[str, Any]:
        """Make a schedule.

        Args:
            given: `workflow`, `id` (one is made when it is missing), `version`, `input`, `paused`, and the settings of
                a trigger's schedule.

        Raises:
            BadSchedule: its times cannot be read, or the id cannot be one. NotFound, Conflict: the workflow is not
            there, or must not be started. InvalidInput: the workflow does not accept the input. Conflict: (code
            `schedule-exists`) the id is taken.
        """
        timing = timing_of(given)
        first = next_due(timing, now)
        if first is None:
            raise BadSchedule("no time of it is to come", "at" if timing.at is not None else "cron")
        workflow, version = str(given["workflow"]), given.get("version")
        plan = await self._firing.plan(workflow, version)
        sealed = checked_input(plan, given.get("input"))
        schedule = Schedule(
            id=_id(given.get("id"), workflow),
            workflow=workflow,
            version=version,
            timing=timing,
            input=self._codec.encode_value(sealed),
            paused=Paused(at=now, by=by) if given.get("paused") else None,
            next=first,
            created_at=now,
            created_by=by,
        )
        try:
            await self._store.write([written(schedule, 0)], now)
        except Conflict:
            raise Conflict(f"there is a schedule {schedule.id!r} already", code="schedule-exists") from None
        self._changed()
        return self._report(schedule)

    async def pause(
        self, id_: str, *, by: str, now: int, reason: str | None = None, sees: Sees = everybody
    ) -> dict[str, Any]:
        """Have a schedule start nothing until it is resumed. A paused one stays as it is.

        Raises:
            NotFound: see `show`.
        """

        def paused(schedule: Schedule) -> Schedule:
            return msgspec.structs.replace(schedule, paused=schedule.paused or Paused(at=now, by=by, reason=reason))

        return await self._change(id_, sees, paused, now)

    async def resume(self, id_: str, *, now: int, sees: Sees = everybody) -> dict[str, Any]:
        """Have a schedule go on with its next time; those that passed meanwhile were not missed.

        Raises:
            NotFound: see `show`.
        """

        def resumed(schedule: Schedule) -> Schedule:
            if schedule.paused is None:
                return schedule
            return msgspec.structs.replace(schedule, paused=None, next=next_due(schedule.timing, now))

        return await self._change(id_, sees, resumed, now)

    async def delete(self, id_: str, *, now: int, sees: Sees = everybody) -> None:
        """Delete a schedule that somebody made.

        Raises:
            NotFound: see `show`. Conflict: (code `schedule-declared`) a workflow declares it.
        """
        for _ in range(_TRIES):
            schedule, document = await self._find(id_, sees)
            if schedule.is_declared:
                message = f"the schedule {id_!r} is declared by a trigger of {schedule.workflow!r}"
                hint = "pause it, or register a version of the workflow without it"
                raise Conflict(message, code="schedule-declared", hint=hint)
            try:
                await self._store.write([deleted(document)], now)
            except Conflict:
                continue  # it fired at this moment
            return
        raise _busy(id_)

    async def run_now(self, id_: str, *, by: str, now: int, sees: Sees = everybody) -> dict[str, Any]:
        """Fire a schedule at once, whether or not it is paused; its times stay as they are. What became of it, as an
        item of `last`.

        Raises:
            NotFound: see `show`.
        """
        (report,) = await self._fire(id_, [now], by, now, sees, same=["now", secrets.token_hex(16)])
        return report

    async def backfill(
        self, id_: str, since: int, until: int, *, by: str, now: int, sees: Sees = everybody
    ) -> dict[str, Any]:
        """Fire a schedule for all its times from `since` on and before `until`, as if they were due now. A time that
        it has fired for, or that was made up for before, starts nothing again.

        Raises:
            NotFound: see `show`. UsageError: (code `bad-range`) the range is none, in the future, or holds more than
            `MOST_BACKFILLED` times.
        """
        if not since < until <= now:
            raise UsageError("a range begins before it ends, and has passed", code="bad-range")
        schedule, _ = await self._find(id_, sees)
        due = list(islice(times(schedule.timing, since - 1, until - 1), MOST_BACKFILLED + 1))
        if len(due) > MOST_BACKFILLED:
            message = f"the range holds more than {MOST_BACKFILLED} times of {id_!r}"
            raise UsageError(message, code="bad-range", hint="take a shorter one, several times")
        items: list[dict[str, Any]] = []
        for begin in range(0, len(due), _CHUNK):
            items += await self._fire(id_, due[begin : begin + _CHUNK], by, now, sees)
        return {"items": items, "next": None}

    async def _fire(
        self, id_: str, due: Sequence[int], by: str, now: int, sees: Sees, same: Sequence[Any] | None = None
    ) -> Sequence[dict[str, Any]]:
        """Fire for times that somebody asks for, in one transaction."""
        for _ in range(_TRIES):
            schedule, document = await self._find(id_, sees)
            fires = await self._firing.fire(schedule, due, now, by=by, same=same)
            try:
                await self._firing.write(document, fires, now)
            except Conflict:
                continue  # it fired at this moment
            return [last_report(each) for each in fires.made]
        raise _busy(id_)

    async def _change(self, id_: str, sees: Sees, change: Callable[[Schedule], Schedule], now: int) -> dict[str, Any]:
        for _ in range(_TRIES):
            schedule, document = await self._find(id_, sees)
            changed = change(schedule)
            try:
                if changed != schedule:
                    await self._store.write([written(changed, document.revision)], now)
            except Conflict:
                continue  # it fired at this moment
            self._changed()
            return self._report(changed)
        raise _busy(id_)

    async def _find(self, id_: str, sees: Sees) -> tuple[Schedule, Document]:
        document = await self._store.document(SCHEDULE, id_) if id_ and "\0" not in id_ else None
        schedule = read_schedule(document) if document is not None else None
        if document is None or schedule is None or not sees(schedule.workflow):
            hint = "`stepwell schedule list` shows them"
            raise NotFound(f"there is no schedule {id_!r}", code="unknown-schedule", hint=hint)
        return schedule, document

    def _report(self, schedule: Schedule) -> dict[str, Any]:
        return schedule_report(schedule, lambda encoded: masked(self._codec.decode_value(encoded)))


def _id(given: str | None, workflow: str) -> str:
    """The id of a new schedule, which is in the namespace of its workflow.

    Raises:
        BadSchedule: the given one cannot be one.
    """
    namespace = namespace_of(workflow)
    if given is None:
        prefix = f"{namespace}." if namespace != DEFAULT else ""
        return f"{prefix}schedule-{secrets.token_hex(4)}"
    if not _ID.fullmatch(given):
        message = f"{given[:60]!r} cannot be the id of a schedule"
        hint = "letters, digits, '_', '-' and '.', first a letter or '_', at most 200 of them"
        raise BadSchedule(message, "id", hint)
    if namespace_of(given) != namespace:
        message = f"the schedule {given!r} is not in the namespace of its workflow {workflow!r}"
        raise BadSchedule(message, "id", f"call it {namespace}.{given.rpartition('.')[2]}")
    return given


def _time(schedule: Schedule, due: int) -> Mapping[str, Any]:
    starts_at = jittered(schedule.timing, schedule.id, due)
    return {"due_at": to_rfc3339(due), "starts_at": to_rfc3339(starts_at)}


def _busy(id_: str) -> Conflict:
    return Conflict(f"the schedule {id_!r} changes all the time; try again", code="changed-meanwhile")
