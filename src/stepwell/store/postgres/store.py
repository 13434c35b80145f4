"""The store in a PostgreSQL database: any number of processes on any number of machines.

Appends have a connection of their own, other writes share a few, reads have some, and one listens for what others put
into inboxes. What happens when connections break is in `postgres.writer`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from stepwell.base.errors import StepwellError
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import (
    Attendance,
    Batch,
    HistoryRow,
    InboxItem,
    Lease,
    Lock,
    Presence,
    Published,
    StoredExecution,
)
from stepwell.ports.store import Store
from stepwell.store.event_writing import EventWriter, Incoming
from stepwell.store.postgres import (
    events as postgres_events,
)
from stepwell.store.postgres import (
    inbox as postgres_inbox,
)
from stepwell.store.postgres import (
    locks as postgres_locks,
)
from stepwell.store.postgres import (
    reads as postgres_reads,
)
from stepwell.store.postgres import (
    shards as postgres_shards,
)
from stepwell.store.postgres.append import Appender, find_start
from stepwell.store.postgres.errors import translated
from stepwell.store.postgres.events import Handed
from stepwell.store.postgres.kept import PostgresKept
from stepwell.store.postgres.shards import Claimant
from stepwell.store.process import this_process

_log = logging.getLogger(__name__)
_OF_ALL: Final = ("store-unavailable", "store-full", "store-read-only", "store-permission")
"""Codes of errors that another transaction would meet as well."""


class PostgresStore(PostgresKept, Store):
    """See `ports.Store`, whose contract this is.

    One object is used on one event loop. `status` and `check` also work before `open`, on any schema. An outage of the
    server is sat out: calls take longer, and nothing is lost or done twice.

    Args:
        url: `postgresql://user:password@host:port/database`, with `?schema=NAME` for another schema than `stepwell`.
        reconnect: how long an outage is sat out, in microseconds; then calls fail with the code `store-unavailable`.
        outlasts: see `postgres.core`: calls never fail so.

    Raises:
        ConfigurationError: (code `invalid-store`) it is not the URL of a PostgreSQL database.
    """

    # ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def acquire(self, shard: int | None, owner: str, now: int, ttl: int, *, behind: int = 0) -> Lease:
        claimant = await self._claimant(owner)
        lease = await self._write(
            lambda connection: postgres_shards.acquire(connection, shard, claimant, now, ttl, behind)
        )
        self._own([lease])
        return lease

    async def claim(self, shards: Sequence[int], owner: str, now: int, ttl: int) -> Sequence[Lease]:
        claimant = await self._claimant(owner)
        leases = await self._write(lambda connection: postgres_shards.claim(connection, shards, claimant, now, ttl))
        self._own(leases)
        return leases

    async def renew(self, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
        return await self._write(lambda connection: postgres_shards.renew(connection, leases, now, ttl))

    async def release(self, leases: Sequence[Lease]) -> None:
        self._disown(lease.shard for lease in leases)
        await self._write(lambda connection: postgres_shards.release(connection, leases))
        self._bell.ring_nodes()

    async def attend(self, presence: Presence, leases: Sequence[Lease], now: int, ttl: int) -> Attendance:
        await self._hear()
        process = this_process()
        attended = await self._read(
            lambda connection: postgres_shards.attend(connection, presence, leases, now, ttl, process)
        )
        self._disown(attended.attendance.lost)
        if attended.is_news:
            self._bell.ring_nodes()
        return attended.attendance

    async def depart(self, name: str) -> None:
        await self._write(lambda connection: postgres_shards.depart(connection, name))
        self._bell.ring_nodes()

    def listen_to_nodes(self, callback: Callable[[], None]) -> None:
        self._bell.listen_to_nodes(callback)
        if self._is_open:
            self._bell.begin()

    async def _claimant(self, owner: str) -> Claimant:
        """The owner of the shards that are to be acquired."""
        await self._hear()
        with translated(self.location):
            return Claimant(owner, this_process(), await self._appender.writer())

    async def _hear(self) -> None:
        """From now on, nothing that concerns the shards and nodes of this store is missed."""
        self._check_open()
        with translated(self.location):
            await self._bell.begin()

    def _own(self, leases: Sequence[Lease]) -> None:
        self._leases |= {lease.shard: lease for lease in leases}
        self._appender.own(leases)

    def _disown(self, shards: Iterable[int]) -> None:
        gone = list(shards)
        for shard in gone:
            self._leases.pop(shard, None)
        self._appender.give_up(gone)

    async def _finish(self) -> None:
        await self._incoming.finish()

    async def _give_up_leases(self) -> None:
        leases, self._leases = list(self._leases.values()), {}
        if not leases:
            return
        if self.outage is not None:  # it may last
            _log.warning("leases were not given up, they will expire: %s", self.outage)
            return
        try:
            with translated(self.location):
                await self._writing[0].run(lambda connection: postgres_shards.release(connection, leases))
            self._bell.ring_nodes()
        except StepwellError as error:
            _log.warning("leases were not given up, they will expire: %s", error)

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._incoming = EventWriter(self._publish)
        self._appender = Appender(self._appending, self._readers)

    # ── Executions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def append(self, batch: Batch) -> bool:
        self._check_open()
        appended = await self._done(self._appender.append(batch))
        if appended.shards:
            self._ring(appended.shards)
        return appended.posted

    async def load(self, execution: str) -> StoredExecution | None:
        return await self._read(lambda connection: postgres_reads.load(connection, execution))

    async def history(self, execution: str, after: int = 0, limit: int = 1_000) -> Sequence[HistoryRow]:
        return await self._read(lambda connection: postgres_reads.history(connection, execution, after, limit))

    async def children(self, execution: str) -> Sequence[str]:
        return await self._read(lambda connection: postgres_reads.values(connection, "children", execution))

    async def find_start(self, start_key: str) -> str | None:
        return await self._read(lambda connection: find_start(connection, start_key))

    async def hot(self, shard: int) -> Sequence[str]:
        return await self._read(lambda connection: postgres_reads.values(connection, "hot", shard))

    async def unfinished(self, shard: int) -> int:
        (count,) = await self._read(lambda connection: postgres_reads.values(connection, "unfinished", shard))
        return int(count)

    async def shards(self) -> Sequence[int]:
        return await self._read(lambda connection: postgres_reads.values(connection, "unfinished_shards"))

    async def due(self, shards: Collection[int], now: int, limit: int) -> Sequence[str]:
        return await self._read(lambda connection: postgres_reads.values(connection, "due", list(shards), now, limit))

    async def next_wake(self, shards: Collection[int]) -> int | None:
        (at,) = await self._read(lambda connection: postgres_reads.values(connection, "next_wake", list(shards)))
        return None if at is None else int(at)

    async def locks(self, name: str | None = None) -> Sequence[Lock]:
        return await self._read(lambda connection: postgres_locks.locks(connection, name))

    # ── Events and the inbox ─────────────────────────────────────────────────────────────────────────────────────────

    async def publish(
        self,
        event: Event,
        now: int,
        keep_until: int,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
        writes: Sequence[Write] = (),
    ) -> Published:
        self._check_open()
        handed = await self._incoming.publish(Incoming(event, now, keep_until, posts, entries, writes))
        self._ring(handed.shards)
        self._announce(write.kind for write in writes)
        return handed.published

    async def _publish(self, incoming: Sequence[Incoming]) -> Sequence[Handed | BaseException]:
        """Store these events in one transaction; when one of them cannot be stored, each in its own."""
        changed = [(write.kind, write.key) for each in incoming for write in each.writes]
        if len(incoming) == 1 or len(set(changed)) == len(changed):  # else some expect what others make of a document
            try:
                with translated(self.location):
                    return await self._least_busy().run(
                        lambda connection: postgres_events.publish(connection, incoming)
                    )
            except StepwellError as error:
                if len(incoming) == 1 or error.code in _OF_ALL:
                    return [error] * len(incoming)
        return [outcome for each in incoming for outcome in await self._publish([each])]

    async def forget_events(self, now: int) -> int:
        forgotten = 0
        while True:
            count = await self._write(lambda connection: postgres_events.forget(connection, now))
            forgotten += count
            if count < postgres_events.FORGET_AT_ONCE:
                return forgotten

    async def post(self, items: Sequence[InboxItem]) -> None:
        await self._write(lambda connection: postgres_inbox.post(connection, items))
        self._ring({item.shard for item in items})

    async def inbox(self, shard: int, after: int = 0, limit: int = 1_000) -> Sequence[InboxItem]:
        return await self.inboxes({shard: after}, limit)

    async def inboxes(self, after: Mapping[int, int], limit: int = 1_000) -> Sequence[InboxItem]:
        return await self._read(lambda connection: postgres_inbox.inboxes(connection, after, limit))

    def listen(self, callback: Callable[[], None], inbox: int | None = None) -> bool:
        self._bell.listen(callback, inbox)
        if self._is_open:
            self._bell.begin()
        return False  # who put something there may have died before it could tell
