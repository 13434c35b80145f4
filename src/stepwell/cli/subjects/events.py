"""Events from outside."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from stepwell.app.session import cipher_for, limits_of
from stepwell.app.triggering import PublishedEvent, Triggering
from stepwell.base.instants import to_rfc3339
from stepwell.cli.noting import note
from stepwell.cli.opening import definitions_of
from stepwell.cli.options import Setup
from stepwell.cli.streams import say
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event


class Taken(NamedTuple):
    """What became of an event, and for how many microseconds it is kept; None when that is not known."""

    published: PublishedEvent
    keep: int | None


class Events(Protocol):
    """Takes events."""

    async def publish(self, event: Event) -> Taken:
        """Store the event, hand it to what waits for it, and have started what it starts."""
        ...


def open_events(setup: Setup) -> AbstractAsyncContextManager[Events]:
    """Takes events for the store or the server that the user named."""
    return opened(setup, StoredEvents, ServedEvents)


class StoredEvents:
    """Takes them into a store."""

    def __init__(self, at: OpenStore) -> None:
        self._at = at

    async def publish(self, event: Event) -> Taken:
        keep = limits_of(self._at.configuration).keep_events
        triggering = Triggering(self._at.store, definitions_of(self._at.store).stored)
        codec = Codec(cipher_for(self._at.configuration, say))
        published = await triggering.publish(event, codec, event.time, event.time + keep)
        await note(self._at.store, "event.publish", f"event:{event.type}")
        return Taken(published, keep)


class ServedEvents:
    """Sends them to a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def publish(self, event: Event) -> Taken:
        sent = {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "time": to_rfc3339(event.time),
            "data": event.data,
            **({"subject": event.subject} if event.subject is not None else {}),
        }
        headers = {"Content-Type": "application/cloudevents+json"}
        document = (await self._client.send("POST", "/events", sent, headers=headers)).document
        named = {name: document[name] for name in PublishedEvent.__struct_fields__}
        return Taken(msgspec.convert(named, PublishedEvent), None)
