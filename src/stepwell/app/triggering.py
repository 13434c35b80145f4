"""What an event starts: the event triggers of the registered workflows.

Of every name the default version counts, as long as it is active. What a trigger starts is asked for in the transaction
that stores the event, so an event that was accepted is never without its starts, and published twice it starts nothing
twice. The start key sees to that too, and lets events with the same `dedupe_key` start one execution.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from stepwell.app.dead_events import dead_event
from stepwell.app.firings import Firings
from stepwell.app.triggers import ActiveTrigger, ActiveTriggers, Fired, Kind, Permit, fire
from stepwell.app.triggers import Firing as Firing
from stepwell.app.triggers import Outcome as Outcome
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.engine import Engine
from stepwell.engine.requests import StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import Published
from stepwell.ports.store import Store


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        duplicate: it was accepted before, and nothing was done.
        waits: so many waiting steps it was handed to.
        engine_present: an engine is there that will act on it.
        firings: what the triggers for its type made of it.
    """

    duplicate: bool
    waits: int
    engine_present: bool
    firings: tuple[Firing, ...] = ()

    @property
    def started(self) -> tuple[str, ...]:
        """The ids of the executions that it started."""
        return tuple(each.execution_id for each in self.firings if each.execution_id and each.outcome == "started")


class Occasion(NamedTuple):
    """What the triggers make of an event."""

    fired: Sequence[Fired]

    @property
    def firings(self) -> Sequence[Firing]:
        """What became of it by each of them."""
        return [each.firing for each in self.fired]

    @property
    def requests(self) -> Sequence[StartRequest]:
        """The starts to ask for when it is stored."""
        return [each.request for each in self.fired if each.request is not None]

    def dead(self, event: Event, now: int, codec: Codec) -> Sequence[Write]:
        """The dead letters that it leaves: one for each trigger that refused it."""
        dead = [dead_event(each, event, now, codec) for each in self.fired]
        return [each.written() for each in dead if each is not None]

    def published(self, published: Published) -> PublishedEvent:
        """The same with what became of the event."""
        return PublishedEvent(
            duplicate=published.duplicate,
            waits=published.waits,
            engine_present=published.engine_present,
            firings=() if published.duplicate else tuple(self.firings),
        )


class Triggering:
    """The triggers of a store's registered workflows.

    Args:
        load: gives a stored definition by its digest; raises NotFound when it cannot be read.
        permit: see `ActiveTriggers`.

    Attributes:
        triggers: those that count.
        firings: what they made of what came.
    """

    def __init__(
        self, store: Store, load: Callable[[str], Awaitable[WorkflowDefinition]], permit: Permit | None = None
    ) -> None:
        self._store = store
        self.triggers = ActiveTriggers(store, load, permit)
        self.firings = Firings(store)

    async def occasion(self, event: Event, trace: str = "") -> Occasion:
        """What the event starts. Nothing is started yet."""
        same = [event.source, event.id]
        return Occasion(
            [
                await fire(self._store, each, event, otherwise=event.data, same=same, trace=trace)
                for each in await self.triggers.of("event")
                if takes(each, event)
            ]
        )

    async def publish_by(
        self,
        engine: Engine,
        event: Event,
        now: int,
        also: Sequence[Fired] = (),
        writes: Sequence[Write] = (),
        *,
        kind: Kind = "webhook",
        trace: str = "",
    ) -> PublishedEvent:
        """Publish the event by an engine: durable when this returns, and so is what it started, and what of it is dead.

        Args:
            also: what the webhook or the topics that it came by made of it; `kind` says which.
            writes: of documents, in the same transaction, unless it is a duplicate.
            trace: the trace that it came in, as the W3C writes it; empty for none.
        """
        occasion = await self.occasion(event, trace)
        entries = [
            *self.entries(kind, [each.firing for each in also], event, now),
            *self.entries("event", occasion.firings, event, now),
        ]
        whole = Occasion([*also, *occasion.fired])
        written = [*writes, *whole.dead(event, now, engine.codec)]
        published = whole.published(await engine.publish(event, whole.requests, entries, written))
        self.firings.count(published.firings)
        return published

    async def publish(
        self,
        event: Event,
        codec: Codec,
        now: int,
        keep_until: int,
        writes: Sequence[Write] = (),
        also: Sequence[Fired] = (),
    ) -> PublishedEvent:
        """Store the event where no engine is at hand, and ask for what it starts; whichever engine there is, or comes,
        begins that.

        Args:
            also: what the topics that it came by made of it.
        """
        by_event = await self.occasion(event)
        entries = [
            *self.entries("topic", [each.firing for each in also], event, now),
            *self.entries("event", by_event.firings, event, now),
        ]
        occasion = Occasion([*also, *by_event.fired])
        posts = [item_of(request, codec) for request in occasion.requests]
        written = [*writes, *occasion.dead(event, now, codec)]
        return occasion.published(await self._store.publish(event, now, keep_until, posts, entries, written))

    def entries(
        self, kind: Kind, firings: Sequence[Firing], event: Event, now: int, about: Mapping[str, Any] | None = None
    ) -> Sequence[JournalEntry]:
        """What is to be noted of what triggers of a kind made of an event, with what else is to be said of it."""
        named = {"event": {"type": event.type, "source": event.source, "id": event.id}, **(about or {})}
        return self.firings.entries(kind, firings, now, named)

    def counts(self) -> list[dict[str, Any]]:
        """How often the triggers of each workflow fired, were filtered and so on, since this was made."""
        return self.firings.counts()


def takes(active: ActiveTrigger, event: Event) -> bool:
    """Whether an event trigger is for events of this type."""
    return _pattern(active.config["event"]).fullmatch(event.type) is not None


@lru_cache(maxsize=1_000)
def _pattern(event: str) -> re.Pattern[str]:
    """Matches the types of event that a trigger names; `*` stands for any characters."""
    return re.compile(".*".join(map(re.escape, event.split("*"))), re.DOTALL)
