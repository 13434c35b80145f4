"""What is put into the store beside executions, and starts some with that: events, and documents that change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from stepwell.base.clock import Clock
from stepwell.engine.inbox import Inbox
from stepwell.engine.ownership import Ownership
from stepwell.engine.requests import Requests, StartRequest, item_of
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.measures import Measures
from stepwell.ports.records import ANYWHERE, InboxItem, Published
from stepwell.ports.store import Store


class Publishing:
    """Stores events and documents together with requests to start something, and waits for what is started here.

    Args:
        keep: how long events are kept, in microseconds.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock,
        ownership: Ownership,
        requests: Requests,
        inbox: Inbox,
        measures: Measures,
        keep: int,
    ) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock
        self._ownership = ownership
        self._requests = requests
        self._inbox = inbox
        self._measures = measures
        self._keep = keep

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
