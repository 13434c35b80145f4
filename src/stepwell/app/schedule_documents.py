"""Schedules as they are kept: documents of kind `schedule`.

Some are declared by the triggers of registered workflows, and come, change and go with those; the others were made by
somebody. A schedule is in the namespace of its workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stepwell.app.triggers import ActiveTrigger, Firing, Outcome
from stepwell.base.durations import format_duration
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import Document, Write
from stepwell.triggers.schedules import Timing, jittered, next_due, timing_of

SCHEDULE: Final = "schedule"
"""The kind of document."""

MOST_REMEMBERED: Final = 10
"""So many of the last firings stand in the document; all of them are in the journal."""


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule was paused, by whom, and why."""

    at: int
    by: str
    reason: str | None = None


class Last(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A firing that is remembered.

    Attributes:
        due: the time that was due; of one that somebody asked for, when he did.
        at: when it happened.
        by: who asked for it; None for the schedule itself.
    """

    due: int
    at: int
    outcome: Outcome
    execution_id: str | None = None
    reason: str | None = None
    by: str | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule.

    Attributes:
        version: of the workflow; None means its default at the time. Of a declared one, that which declares it.
        trigger: the position of the trigger that declares it; None when somebody made it.
        digest: of the definition that declares it.
        input: what is started with, as the engine's codec encodes it; None for a declared one.
        active: False when its trigger says so.
        next: the next time; None when there is none.
        last: the last firings, the newest first.
        running: the execution that was started last.
    """

    id: str
    workflow: str
    timing: Timing
    version: str | None = None
    trigger: int | None = None
    digest: str | None = None
    input: bytes | None = None
    active: bool = True
    paused: Paused | None = None
    next: int | None = None
    created_at: int = 0
    created_by: str = ""
    last: tuple[Last, ...] = ()
    running: str | None = None

    @property
    def is_declared(self) -> bool:
        """Whether a trigger declares it."""
        return self.trigger is not None

    @property
    def due_at(self) -> int | None:
        """When something is to be done about it."""
        if self.paused is not None or not self.active or self.next is None:
            return None
        return jittered(self.timing, self.id, self.next)

    @property
    def status(self) -> str:
        """`active`, `paused`, `inactive` (its trigger says so) or `done` (it has no next time)."""
        if not self.active:
            return "inactive"
        if self.paused is not None:
            return "paused"
        return "active" if self.next is not None else "done"

    def remembering(self, *firings: Last) -> Schedule:
        """The schedule with firings, in the order in which they happened."""
        started = [each.execution_id for each in firings if each.outcome == "started"]
        return msgspec.structs.replace(
            self,
            last=(*reversed(firings), *self.last)[:MOST_REMEMBERED],
            running=started[-1] if started else self.running,
        )


_decode = msgspec.json.Decoder(Schedule).decode
_encode = msgspec.json.Encoder().encode


def read_schedule(document: Document) -> Schedule:
    """The schedule in a document."""
    return _decode(document.body)


def written(schedule: Schedule, expected: int) -> Write:
    """The write that keeps a schedule, where its document has the expected revision."""
    return Write(kind=SCHEDULE, key=schedule.id, body=_encode(schedule), due_at=schedule.due_at, expected=expected)


def deleted(document: Document) -> Write:
    """The write that deletes a schedule."""
    return Write(kind=SCHEDULE, key=document.key, body=None, expected=document.revision)


def declared_id(workflow: str, position: int) -> str:
    """The id of the schedule that a trigger declares."""
    return f"{workflow}:{position}"


def declared_timing(settings: Mapping[str, Any]) -> Timing:
    """The times that the settings of a trigger declare: as in a definition that was read, where durations are
    microseconds.

    Raises:
        BadSchedule: they cannot be read.
    """
    written = {name: f"{settings[name]}us" for name in ("every", "jitter") if settings.get(name) is not None}
    return timing_of({**settings, **written})


def declared(active: ActiveTrigger, timing: Timing, before: Schedule | None) -> Schedule:
    """The schedule that a trigger declares.

    Its first time is counted from when the version was registered or made the default: what was due since then, and no
    server was there, was missed. As long as its times do not change, the schedule goes on where it was.

    Args:
        before: as it was declared until now.
    """
    registration, trigger = active.registration, active.compiled.trigger
    since = max(deed.at for deed in registration.log)
    fresh = Schedule(
        id=declared_id(registration.name, active.compiled.position),
        workflow=registration.name,
        version=registration.version,
        timing=timing,
        trigger=active.compiled.position,
        digest=registration.digest,
        active=trigger.active,
        next=next_due(timing, since),
        created_at=since,
        created_by=registration.log[0].by,
    )
    if before is None or not before.is_declared:
        return fresh
    same = _times(before.timing) == _times(timing) and before.active
    return msgspec.structs.replace(
        fresh,
        next=before.next if same else fresh.next,
        created_at=before.created_at,
        created_by=before.created_by,
        paused=before.paused,
        last=before.last,
        running=before.running,
    )


def _times(timing: Timing) -> tuple[Any, ...]:
    """What times depend on."""
    return timing.cron, timing.every, timing.at, timing.timezone, timing.anchor


def last_of(firing: Firing, due: int, at: int, by: str | None = None) -> Last:
    """A firing, to be remembered."""
    return Last(due=due, at=at, outcome=firing.outcome, execution_id=firing.execution_id, reason=firing.reason, by=by)


def schedule_report(schedule: Schedule, shown: Callable[[bytes], Any]) -> dict[str, Any]:
    """A schedule as users see it.

    Args:
        shown: the input as it may be shown.
    """
    timing = schedule.timing
    return {
        "id": schedule.id,
        "workflow": schedule.workflow,
        "version": schedule.version,
        "trigger": schedule.trigger,
        "status": schedule.status,
        "cron": timing.cron,
        "every": format_duration(timing.every) if timing.every is not None else None,
        "at": _instant(timing.at),
        "timezone": timing.timezone,
        "anchor": _instant(timing.anchor) if timing.every is not None else None,
        "jitter": format_duration(timing.jitter),
        "catch_up": timing.catch_up,
        "overlap": timing.overlap,
        "input": shown(schedule.input) if schedule.input is not None else None,
        "next_at": _instant(schedule.due_at),
        "paused": _paused(schedule.paused),
        "created_at": to_rfc3339(schedule.created_at),
        "created_by": schedule.created_by,
        "last": [last_report(each) for each in schedule.last],
    }


def _paused(paused: Paused | None) -> Mapping[str, Any] | None:
    if paused is None:
        return None
    return {"at": to_rfc3339(paused.at), "by": paused.by, "reason": paused.reason}


def last_report(last: Last) -> dict[str, Any]:
    """A firing as users see it."""
    return {
        "due_at": to_rfc3339(last.due),
        "at": to_rfc3339(last.at),
        "outcome": last.outcome,
        "execution_id": last.execution_id,
        "reason": last.reason,
        "by": last.by,
    }


def _instant(instant: int | None) -> str | None:
    return to_rfc3339(instant) if instant is not None else None
