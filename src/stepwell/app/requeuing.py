"""Trying dead events again: by the trigger that refused it, or, when it came to none, as an event that comes in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from stepwell.app.dead_events import DeadEvents, Kept, opened, unknown
from stepwell.app.triggering import PublishedEvent, Triggering, takes
from stepwell.app.triggers import ActiveTrigger, Fired, fire
from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict, ErrorInfo, UsageError
from stepwell.engine.requests import StartRequest
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event, check_size, reserved_problem
from stepwell.ports.ledger import DEAD_EVENT, JournalEntry, Write
from stepwell.ports.store import Store

Publish = Callable[[Event, Sequence[Write], Sequence[Fired]], Awaitable[PublishedEvent]]
"""Takes an event with what topics made of it, and changes documents in the same transaction, unless it is a duplicate.
"""


Start = Callable[[Sequence[Write], Sequence[StartRequest], Sequence[JournalEntry]], Awaitable[None]]
"""Changes documents and asks for starts with that, in one transaction."""


class Requeued(NamedTuple):
    """What became of a dead event that was tried again: the executions that it started, or had started before."""

    executions: Sequence[str]
    said: str


class Requeuing:
    """Tries dead events again.

    Args:
        publish: used for what came to no trigger; start: for what a trigger refused.
    """

    def __init__(
        self, store: Store, triggering: Triggering, codec: Codec, clock: Clock, publish: Publish, start: Start
    ) -> None:
        self._store = store
        self._triggering = triggering
        self._codec = codec
        self._clock = clock
        self._publish = publish
        self._start = start
        self._dead = DeadEvents(store)

    async def retry(self, id_: str, given: Mapping[str, Any] | None, *, by: str, reason: str) -> Requeued:
        """Try it again, with what is put over its data. Durable when this returns; it is no dead letter any more then.

        Raises:
            NotFound: code `unknown-dead-letter`. Conflict: (code `discarded-dead-letter`) its data is gone; (code
                `unknown-trigger`) there is no such trigger any more; (code `refused-again`) its trigger still does not
                take it; (code `changed-meanwhile`) somebody else has just tried or discarded it. UsageError: it is too
                large, or of a reserved type.
        """
        kept = await self._dead.get(id_)
        if kept is None:
            raise unknown(id_)
        if kept.dead.discarded is not None:
            message = f"dead letter {id_} was discarded, and its data is gone"
            raise Conflict(message, code="discarded-dead-letter", hint="send the event again")
        found, beside = opened(kept.dead, self._codec)
        event = _edited(found, given)
        check_size(event.data)
        if not kept.dead.workflow:
            return await self._published(kept, event, beside)
        return await self._fired(kept, event, {**event.as_dict(), **beside}, {"by": by, "why": reason})

    async def _published(self, kept: Kept, event: Event, beside: Mapping[str, Any]) -> Requeued:
        problem = reserved_problem(event)
        if problem is not None:
            raise UsageError(problem, code="reserved-event")
        done = await self._publish(event, [_gone(kept)], await self._by_topic(kept, event, beside))
        if done.duplicate:
            await self._store.write([_gone(kept)], self._clock.now())
            return Requeued((), f"event {event.id!r} of {event.source!r} had been taken before")
        refused = sum(each.outcome == "refused" for each in done.firings)
        also = f"; {refused} triggers refused it" if refused else ""
        return Requeued(done.started, f"the event was taken: it started {len(done.started)} executions{also}")

    async def _by_topic(self, kept: Kept, event: Event, beside: Mapping[str, Any]) -> Sequence[Fired]:
        """What the triggers make of it that name the topic it was read from."""
        if kept.dead.read_from is None:
            return ()
        broker, topic = kept.dead.read_from
        same, seen = [event.source, event.id], {**event.as_dict(), **beside}
        return [
            await fire(self._store, each, event, otherwise=event.data, same=same, seen=seen)
            for each in await self._triggering.triggers.of("topic")
            if each.config["name"] == topic and each.config.get("broker") in (None, broker)
        ]

    async def _fired(self, kept: Kept, event: Event, seen: Mapping[str, Any], about: Mapping[str, str]) -> Requeued:
        now = self._clock.now()
        active = await self._trigger(kept, event)
        fired = await fire(self._store, active, event, otherwise=event.data, same=[event.source, event.id], seen=seen)
        firing = fired.firing
        if firing.execution_id is None:
            why = firing.reason or "it was refused"
            await self._again(kept, fired.error or ErrorInfo("filtered", why))
            raise Conflict(
                f"trigger {active.compiled.position} of {active.workflow!r} does not take the event: {why}",
                code="refused-again",
                hint="`stepwell dlq retry ID --input JSON` puts other data over it",
            )
        entries = self._triggering.entries(active.kind, [firing], event, now, {"dead_letter": kept.dead.id, **about})
        await self._start([_gone(kept)], [fired.request] if fired.request is not None else [], entries)
        self._triggering.firings.count([firing])
        has = "started" if firing.outcome == "started" else "had started before"
        return Requeued([firing.execution_id], f"what the event {has}")

    async def _trigger(self, kept: Kept, event: Event) -> ActiveTrigger:
        """The trigger that refused it, as it is now."""
        dead = kept.dead
        for each in await self._triggering.triggers.all():
            is_same = (each.workflow, each.compiled.position, each.kind) == (dead.workflow, dead.trigger, dead.kind)
            if is_same and (each.kind != "event" or takes(each, event)):
                return each
        raise Conflict(
            f"no active version of {dead.workflow!r} has a trigger {dead.trigger} that takes {event.type!r}",
            code="unknown-trigger",
            hint="activate a version that has it, or discard the dead letter",
        )

    async def _again(self, kept: Kept, error: ErrorInfo) -> None:
        """Note that it was tried once more, in vain. Its data stays what it was."""
        dead = msgspec.structs.replace(kept.dead, attempts=kept.dead.attempts + 1, error=error)
        await self._store.write([dead.written(expected=kept.revision)], self._clock.now())


def _edited(event: Event, given: Mapping[str, Any] | None) -> Event:
    """The event with that put over its data, key by key; data that has no keys is replaced."""
    if given is None:
        return event
    data = {**event.data, **given} if isinstance(event.data, dict) else dict(given)
    return msgspec.structs.replace(event, data=data)


def _gone(kept: Kept) -> Write:
    return Write(kind=DEAD_EVENT, key=kept.dead.key, body=None, expected=kept.revision)
