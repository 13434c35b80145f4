"""What a schedule does when a time has come: it asks for an execution, and moves on, in one transaction.

The start key is made of the schedule and the time that is due. So there is one execution for each time, whoever fires
it, and however often.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from stepwell.app.firings import Firings
from stepwell.app.registry import Reference, Registry
from stepwell.app.schedule_documents import Last, Schedule, declared_id, last_of, written
from stepwell.app.triggers import ActiveTrigger, ActiveTriggers, CompiledTrigger, Fired, Firing, fire
from stepwell.base.durations import HOUR
from stepwell.base.errors import Conflict, NotFound
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import unsealed
from stepwell.decider.plan import Plan
from stepwell.definition.model import Trigger, WorkflowDefinition
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.ledger import Document, JournalEntry
from stepwell.ports.store import Store

TYPE: Final = "stepwell.schedule.due"
SOURCE: Final = "stepwell.schedules"

FREE: Final = -1
"""The position, in what is noted, of a schedule that no trigger declares."""

_NEVER_BEGAN: Final = HOUR
"""A start that was asked for so long ago, and of which nothing is to be seen, does not keep others back."""

_MOST_PLANS: Final = 200
_ENDED: Final = frozenset(status.value for status in ENDED_EXECUTION)


class Fires(NamedTuple):
    """What a schedule made of times that were due, not written yet.

    Attributes:
        schedule: as it is afterwards.
        made: what became of each time.
    """

    schedule: Schedule
    made: Sequence[Last]
    firings: Sequence[Firing]
    requests: Sequence[StartRequest]
    entries: Sequence[JournalEntry]


class ScheduleFiring:
    """Fires schedules.

    Args:
        load: gives a stored definition by its digest.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        triggers: ActiveTriggers,
        firings: Firings,
        load: Callable[[str], Awaitable[WorkflowDefinition]],
    ) -> None:
        self._store = store
        self._codec = codec
        self._triggers = triggers
        self._firings = firings
        self._load = load
        self._registry = Registry(store)
        self._plans: dict[str, Plan] = {}

    async def plan(self, workflow: str, version: str | None) -> Plan:
        """The plan of the version that is to be started.

        Raises:
            NotFound: it is not registered. Conflict: it must not be started.
        """
        return (await self._free_trigger(workflow, version)).compiled.plan

    async def fire(
        self,
        schedule: Schedule,
        due: Sequence[int],
        now: int,
        *,
        by: str | None = None,
        same: Sequence[Any] | None = None,
        missed: int = 0,
    ) -> Fires:
        """What the schedule makes of times that are due, in order.

        Args:
            by: who asks for it; None for the schedule itself, which then looks whether what it started still runs.
            same: JSON values in place of the time in the start key.
            missed: so many times before these are not made up for.
        """
        active = await self._active(schedule)
        keeps_apart = by is None and schedule.timing.overlap == "skip"
        running = await self._running(schedule, now) if keeps_apart else None
        fired: list[Fired] = []
        entries = list(self._missed(schedule, active, missed, now)) if missed else []
        for each in due:
            fired.append(await self._fire_at(schedule, active, each, now, same, running))
            firing = fired[-1].firing
            running = firing.execution_id if keeps_apart and firing.outcome == "started" else running
            about = {"schedule": schedule.id, "due_at": to_rfc3339(each), "by": by}
            entries += self._firings.entries("schedule", [firing], now, about)
        made = [last_of(each.firing, time, now, by) for each, time in zip(fired, due, strict=True)]
        return Fires(
            schedule.remembering(*made),
            made,
            [each.firing for each in fired],
            [each.request for each in fired if each.request is not None],
            entries,
        )

    async def write(self, document: Document, fires: Fires, now: int) -> None:
        """Ask for the starts, note the firings, and move the schedule on, or do nothing of it.

        Raises:
            Conflict: (code `changed-meanwhile`) the document has changed: somebody else fired it, or changed it.
        """
        posts = [item_of(request, self._codec) for request in fires.requests]
        await self._store.write([written(fires.schedule, document.revision)], now, posts=posts, entries=fires.entries)
        self._firings.count(fires.firings)

    async def is_declared_so(self, schedule: Schedule) -> bool:
        """Whether a schedule is still what its trigger declares; always, when somebody made it."""
        if not schedule.is_declared:
            return True
        active = await self._declaring(schedule)
        return active is not None and active.registration.digest == schedule.digest

    async def _fire_at(
        self,
        schedule: Schedule,
        active: ActiveTrigger | str,
        due: int,
        now: int,
        same: Sequence[Any] | None,
        running: str | None,
    ) -> Fired:
        if isinstance(active, str):
            return Fired(_none(schedule, active))
        if running is not None:
            reason = f"what it started before still runs: execution {running}"
            return Fired(active.firing("filtered", reason=reason))
        otherwise = unsealed(self._codec.decode_value(schedule.input)) if schedule.input is not None else {}
        key = ["schedule", schedule.id, *(same if same is not None else [due])]
        return await fire(self._store, active, _event(schedule, due, now), otherwise=otherwise, same=key)

    def _missed(self, schedule: Schedule, active: ActiveTrigger | str, missed: int, now: int) -> Sequence[JournalEntry]:
        reason = f"{missed} or more times were missed and are not made up for (catch_up: {schedule.timing.catch_up})"
        firing = _none(schedule, reason) if isinstance(active, str) else active.firing("filtered", reason=reason)
        since = to_rfc3339(schedule.next or now)
        return self._firings.entries("schedule", [firing], now, {"schedule": schedule.id, "due_at": since, "by": None})

    async def _running(self, schedule: Schedule, now: int) -> str | None:
        """The execution that was started last, if it has not ended."""
        if schedule.running is None:
            return None
        stored = await self._store.load(schedule.running)
        if stored is None:
            asked = next((each.at for each in schedule.last if each.execution_id == schedule.running), 0)
            return schedule.running if now - asked < _NEVER_BEGAN else None
        return None if stored.summary.status in _ENDED else schedule.running

    async def _active(self, schedule: Schedule) -> ActiveTrigger | str:
        """The trigger to fire, or why there is none."""
        if schedule.is_declared:
            return await self._declaring(schedule) or "no active workflow declares it any more"
        try:
            return await self._free_trigger(schedule.workflow, schedule.version)
        except (NotFound, Conflict) as error:
            return str(error)

    async def _declaring(self, schedule: Schedule) -> ActiveTrigger | None:
        for each in await self._triggers.of("schedule"):
            if declared_id(each.workflow, each.compiled.position) == schedule.id:
                return each
        return None

    async def _free_trigger(self, workflow: str, version: str | None) -> ActiveTrigger:
        """A trigger without a filter, of a schedule that somebody made."""
        registration = (await self._registry.startable(Reference(workflow, version))).registration
        plan = self._plans.get(registration.digest)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[registration.digest] = Plan(await self._load(registration.digest))
        trigger = Trigger(kind="schedule", config={})
        refused = await self._triggers.refused(registration, plan.definition)
        return ActiveTrigger(registration, CompiledTrigger(FREE, trigger, plan, None, None, None, None), refused)


def _none(schedule: Schedule, reason: str) -> Firing:
    """Of a schedule whose workflow cannot be started."""
    position = schedule.trigger if schedule.trigger is not None else FREE
    return Firing(
        workflow=schedule.workflow,
        version=schedule.version or "",
        trigger=position,
        outcome="refused",
        reason=reason,
    )


def _event(schedule: Schedule, due: int, now: int) -> Event:
    """What expressions of the trigger see."""
    timing = schedule.timing
    kind = "cron" if timing.cron is not None else "interval" if timing.every is not None else "datetime"
    last = next((each.due for each in schedule.last if each.by is None), None)
    data = {
        "schedule": schedule.id,
        "type": kind,
        "due_at": to_rfc3339(due),
        "fired_at": to_rfc3339(now),
        "last_due_at": to_rfc3339(last) if last is not None else None,
    }
    return Event(
        id=f"{schedule.id}/{to_rfc3339(due)}", type=TYPE, source=SOURCE, subject=schedule.id, data=data, time=due
    )
