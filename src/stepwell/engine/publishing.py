"""What is put into the store beside executions, and starts some with that: events, and documents that change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from stepwell.engine.ground import Ground
from stepwell.engine.inbox import Inbox
from stepwell.engine.requests import Requests, StartRequest, item_of
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import ANYWHERE, InboxItem, Published


class Publishing:
    """Stores events and documents together with requests to start something, and waits for what is started here."""

    def __init__(self, ground: Ground, requests: Requests, inbox: Inbox) -> None:
        self._store = ground.store
        self._codec = ground.codec
        self._clock = ground.clock
        self._measures = ground.measures
        self._ownership = ground.ownership
        self._keep = ground.limits.keep_events
        self._requests = requests
        self._inbox = inbox

    async def publish(
        self,
        event: Event,
        requests: Sequence[StartRequest],
        entries: Sequence[JournalEntry],
        writes: Sequence[Write],
    ) -> Published:
        """See `Engine.publish`."""
        now = self._clock.now()
        posts, begun = self._asked(requests)
        published: Published | None = None
        try:
            published = await self._store.publish(event, now, now + self._keep, posts, entries, writes)
        finally:
            if published is None or published.duplicate:
                self._requests.forget(requests)
        self._measures.event_received(event.type, duplicate=published.duplicate)
        if published.waits or posts:
            self._inbox.look()
        await asyncio.gather(*begun)
        return published

    async def write(
        self, writes: Sequence[Write], requests: Sequence[StartRequest], entries: Sequence[JournalEntry]
    ) -> None:
        """See `Engine.write`."""
        posts, begun = self._asked(requests)
        try:
            await self._store.write(writes, self._clock.now(), posts=posts, entries=entries)
        except BaseException:
            self._requests.forget(requests)
            raise
        self._inbox.look()
        await asyncio.gather(*begun)

    def _asked(self, requests: Sequence[StartRequest]) -> tuple[Sequence[InboxItem], Sequence[Awaitable[None]]]:
        """The requests as inbox items, and what is done once they are dealt with; that is not waited for where this
        engine owns no shard at the moment, and somebody else deals with them."""
        shard = self._ownership.somewhere()
        posts = [item_of(request, self._codec, ANYWHERE if shard is None else shard) for request in requests]
        return posts, self._requests.expect(requests, shard) if shard is not None else ()
