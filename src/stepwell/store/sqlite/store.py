"""The store in an SQLite file: one machine, any number of processes.

Writes go through one thread, one transaction each; reads by key are done on the event loop with a connection of their
own, since they take microseconds; everything that may take long is done in another thread with a connection opened for
it. In write-ahead logging none of them waits for another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import apsw

from stepwell.base.durations import SECOND
from stepwell.base.errors import StepwellError, StoreError
from stepwell.execution.event import Event
from stepwell.ports.ledger import Chain, Document, FeedRow, JournalEntry, JournalQuery, JournalRow, Write
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery, ExecutionQuery, Page, WaitPage
from stepwell.ports.records import (
    Attendance,
    Batch,
    DeadLetter,
    Deed,
    Discarded,
    HistoryRow,
    InboxItem,
    KeptResult,
    Lease,
    Lifecycle,
    Lock,
    Presence,
    Published,
    Registered,
    Registration,
    StoredDefinition,
    StoredExecution,
    StoreStatus,
)
from stepwell.ports.store import Store
from stepwell.ports.tallies import Census, Ended, EndedQuery
from stepwell.store.event_writing import Incoming
from stepwell.store.lifecycle import found, wanted
from stepwell.store.process import this_process
from stepwell.store.sqlite import (
    append as sqlite_append,
)
from stepwell.store.sqlite import (
    care as sqlite_care,
)
from stepwell.store.sqlite import (
    dead_letters as sqlite_dead_letters,
)
from stepwell.store.sqlite import (
    events as sqlite_events,
)
from stepwell.store.sqlite import (
    ledger as sqlite_ledger,
)
from stepwell.store.sqlite import (
    locks as sqlite_locks,
)
from stepwell.store.sqlite import (
    nodes as sqlite_nodes,
)
from stepwell.store.sqlite import (
    reads as sqlite_reads,
)
from stepwell.store.sqlite import (
    registry as sqlite_registry,
)
from stepwell.store.sqlite import (
    results as sqlite_results,
)
from stepwell.store.sqlite import (
    shards as sqlite_shards,
)
from stepwell.store.sqlite import (
    tallies as sqlite_tallies,
)
from stepwell.store.sqlite.errors import translated
from stepwell.store.sqlite.file import Database, connect, connect_for_reading
from stepwell.store.sqlite.publishing import event_writer
from stepwell.store.sqlite.rows import select
from stepwell.store.sqlite.schema import bring_up_to_date
from stepwell.store.sqlite.shards import Shard
from stepwell.store.sqlite.thread import WriterThread, transaction
from stepwell.store.sqlite.wake import Wake

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

BUSY_TIMEOUT: Final = 10 * SECOND


class SqliteStore(Store):
    """See `ports.Store`, whose contract this is.

    One object is used on one event loop. `status` and `check` also work before `open`, on any schema. When the file is
    deleted or replaced while it is in use, the next write fails with the code `store-gone`. Opening a store shortens
    the interval at which the interpreter lets threads take turns, for the whole process (see `sqlite.thread`).

    Args:
        path: the database file; made, readable by its owner only, when it is first opened with `migrate`.
        busy_timeout: how long to wait for another process that writes, in microseconds; then `StoreError` with the code
            `store-busy`.
        vfs: SQLite's name of the file system layer to use; None for the usual one.
    """

    def __init__(self, path: str | Path, *, busy_timeout: int = BUSY_TIMEOUT, vfs: str | None = None) -> None:
        self._database = Database(Path(path).expanduser(), busy_timeout, vfs)
        self._writer: WriterThread | None = None
        self._reader: apsw.Connection | None = None
        self._wake = Wake()
        self._leases: dict[int, Lease] = {}
        self._attends = False
        self._incoming = event_writer(self._write)

    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, *, migrate: bool = True) -> None:
        if self._writer is not None:
            return
        writing, self._reader = await asyncio.to_thread(self._connect, migrate)
        self._writer = WriterThread(writing, self._database, asyncio.get_running_loop())
        await self._wake.open()

    async def close(self) -> None:
        await self._incoming.finish()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        leases, self._leases = list(self._leases.values()), {}
        try:
            if leases:
                await writer.run(lambda connection: sqlite_shards.release(connection, leases))
        except StepwellError as error:
            _log.warning("leases were not given up, they will expire: %s", error)
        await writer.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        await self._wake.close()

    def _connect(self, migrate: bool) -> tuple[apsw.Connection, apsw.Connection]:
        writing = connect(self._database, create=migrate)
        try:
            with translated(self._database.location, writing):
                bring_up_to_date(writing, self._database.location, migrate=migrate)
            return writing, connect_for_reading(self._database)
        except BaseException:
            writing.close()
            raise

    # ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def acquire(self, shard: int | None, owner: str, now: int, ttl: int, *, behind: int = 0) -> Lease:
        process, port = this_process(), self._wake.port
        lease = await self._write(
            lambda connection: sqlite_shards.acquire(connection, shard, owner, now, ttl, process, port, behind)
        )
        self._leases[lease.shard] = lease
        return lease

    async def renew(self, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
        return await self._write(lambda connection: sqlite_shards.renew(connection, leases, now, ttl))

    async def release(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._leases.pop(lease.shard, None)
        await self._write(lambda connection: sqlite_shards.release(connection, leases))
        if self._attends:
            self._wake_nodes(self._read(lambda connection: sqlite_nodes.all_ports(connection)))

    async def attend(self, presence: Presence, leases: Sequence[Lease], now: int, ttl: int) -> Attendance:
        process, port = this_process(), self._wake.port
        self._attends = True
        attendance, ports = await self._write(
            lambda connection: sqlite_nodes.attend(connection, presence, leases, now, ttl, process, port)
        )
        for shard in attendance.lost:
            self._leases.pop(shard, None)
        self._wake_nodes(ports)
        return attendance

    async def claim(self, shards: Sequence[int], owner: str, now: int, ttl: int) -> Sequence[Lease]:
        process, port = this_process(), self._wake.port
        leases = await self._write(
            lambda connection: sqlite_nodes.claim(connection, shards, owner, now, ttl, process, port)
        )
        self._leases |= {lease.shard: lease for lease in leases}
        return leases

    async def depart(self, name: str) -> None:
        self._wake_nodes(await self._write(lambda connection: sqlite_nodes.depart(connection, name)))

    def listen_to_nodes(self, callback: Callable[[], None]) -> None:
        self._wake.listen(callback)

    def _wake_nodes(self, ports: Iterable[int]) -> None:
        self._wake.ring(port for port in ports if port != self._wake.port)

    # ── Executions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def append(self, batch: Batch) -> bool:
        history = sqlite_append.only_history(batch)
        posted, owners = await self._write(lambda connection: _append(connection, batch, history))
        self._ring(owners)
        return posted

    async def load(self, execution: str) -> StoredExecution | None:
        return self._read(lambda connection: sqlite_reads.load(connection, execution))

    async def history(self, execution: str, after: int = 0, limit: int = 1_000) -> Sequence[HistoryRow]:
        return self._read(lambda connection: sqlite_reads.history(connection, execution, after, limit))

    async def children(self, execution: str) -> Sequence[str]:
        return self._values("children", execution)

    async def find_start(self, start_key: str) -> str | None:
        return next(iter(self._values("find_start", start_key)), None)

    async def hot(self, shard: int) -> Sequence[str]:
        return self._values("hot", shard)

    async def unfinished(self, shard: int) -> int:
        rows = await self._read_aside(lambda connection: select(connection, "unfinished", (shard,)))
        return int(rows[0][0])

    async def shards(self) -> Sequence[int]:
        return self._values("unfinished_shards")

    async def due(self, shards: Collection[int], now: int, limit: int) -> Sequence[str]:
        return self._read(lambda connection: sqlite_reads.due(connection, shards, now, limit))

    async def next_wake(self, shards: Collection[int]) -> int | None:
        found = (at for shard in shards for at in self._values("next_wake", shard))
        return min((at for at in found if at is not None), default=None)

    async def list(self, query: ExecutionQuery) -> Page:
        return await self._read_aside(lambda connection: sqlite_reads.page(connection, query))

    # ── Dead letters and locks ───────────────────────────────────────────────────────────────────────────────────────

    async def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        return await self._read_aside(lambda connection: sqlite_dead_letters.page(connection, query))

    async def dead_letter(self, id_: str) -> DeadLetter | None:
        return self._read(lambda connection: sqlite_dead_letters.dead_letter(connection, id_))

    async def discard_dead_letter(self, id_: str, discarded: Discarded) -> bool:
        return await self._write(lambda connection: sqlite_dead_letters.discard(connection, id_, discarded))

    async def locks(self, name: str | None = None) -> Sequence[Lock]:
        return await self._read_aside(lambda connection: sqlite_locks.locks(connection, name))

    # ── The cache of results ─────────────────────────────────────────────────────────────────────────────────────────

    async def kept_result(self, key: str, now: int) -> KeptResult | None:
        return self._read(lambda connection: sqlite_results.kept_result(connection, key, now))

    async def forget_results(self, now: int) -> int:
        forgotten = 0
        while True:
            count = await self._write(lambda connection: sqlite_results.forget(connection, now))
            forgotten += count
            if count < sqlite_results.FORGET_AT_ONCE:
                return forgotten

    # ── Events and the inbox ─────────────────────────────────────────────────────────────────────────────────────────

    async def waiting(
        self,
        event_type: str,
        *,
        namespaces: Sequence[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WaitPage:
        return await self._read_aside(
            lambda connection: sqlite_reads.waiting(connection, event_type, namespaces, limit, cursor)
        )

    async def publish(
        self,
        event: Event,
        now: int,
        keep_until: int,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
        writes: Sequence[Write] = (),
    ) -> Published:
        handed = await self._incoming.publish(Incoming(event, now, keep_until, posts, entries, writes))
        self._ring(handed.owners)
        return handed.published

    async def forget_events(self, now: int) -> int:
        forgotten = 0
        while True:
            count = await self._write(lambda connection: sqlite_events.forget(connection, now))
            forgotten += count
            if count < sqlite_events.FORGET_AT_ONCE:
                return forgotten

    async def post(self, items: Sequence[InboxItem]) -> None:
        self._ring(await self._write(lambda connection: sqlite_events.post(connection, items)))

    async def inbox(self, shard: int, after: int = 0, limit: int = 1_000) -> Sequence[InboxItem]:
        return self._read(lambda connection: sqlite_events.inbox(connection, shard, after, limit))

    async def inboxes(self, after: Mapping[int, int], limit: int = 1_000) -> Sequence[InboxItem]:
        return self._read(lambda connection: sqlite_events.inboxes(connection, after, limit))

    def listen(self, callback: Callable[[], None], inbox: int | None = None) -> bool:
        self._wake.listen(callback)
        return False  # a datagram may get lost; and who owns no shard is not known to those who put something there

    # ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def put_definition(self, definition: StoredDefinition) -> None:
        await self._write(lambda connection: _put_definition(connection, definition))

    async def definition(self, digest: str) -> StoredDefinition | None:
        return self._read(lambda connection: sqlite_reads.definition(connection, digest))

    async def register(
        self,
        definition: StoredDefinition,
        *,
        tags: Sequence[str],
        lifecycle: Literal["draft", "active"],
        at: int,
        by: str,
        reason: str | None = None,
    ) -> Registered:
        deed = Deed(what=lifecycle, at=at, by=by, reason=reason)
        return await self._write(
            lambda connection: sqlite_registry.register(connection, definition, tags, deed, lifecycle)
        )

    async def registered(self, name: str, version: str | None = None) -> Registration | None:
        return found(self._read(lambda connection: sqlite_registry.versions(connection, name)), version)

    async def registrations(
        self, *, name: str | None = None, tag: str | None = None, lifecycle: Lifecycle | None = None
    ) -> Sequence[Registration]:
        return wanted(await self._read_aside(sqlite_registry.everything), name, tag, lifecycle)

    async def registry_mark(self) -> Any:
        return self._read(sqlite_registry.mark)

    async def set_lifecycle(
        self,
        name: str,
        version: str,
        to: Lifecycle,
        *,
        at: int,
        by: str,
        reason: str | None = None,
        expected: Registration | None = None,
    ) -> Registration:
        deed = Deed(what=to, at=at, by=by, reason=reason)
        return await self._write(
            lambda connection: sqlite_registry.set_lifecycle(connection, name, version, to, deed, expected)
        )

    async def set_default(
        self,
        name: str,
        version: str,
        *,
        at: int,
        by: str,
        reason: str | None = None,
        expected: Registration | None = None,
    ) -> Registration:
        deed = Deed(what="default", at=at, by=by, reason=reason)
        return await self._write(
            lambda connection: sqlite_registry.set_default(connection, name, version, deed, expected)
        )

    # ── What is kept beside executions ───────────────────────────────────────────────────────────────────────────────

    async def write(
        self,
        writes: Sequence[Write],
        now: int,
        *,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
    ) -> Sequence[int]:
        written = await self._write(lambda connection: sqlite_ledger.write(connection, writes, now, posts, entries))
        self._ring(written.owners)
        return written.revisions

    async def document(self, kind: str, key: str) -> Document | None:
        return self._read(lambda connection: sqlite_ledger.document(connection, kind, key))

    async def documents(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = 1_000
    ) -> Sequence[Document]:
        return await self._read_aside(
            lambda connection: sqlite_ledger.documents(connection, kind, prefix, after, limit)
        )

    async def due_documents(self, kind: str, now: int, limit: int = 100) -> Sequence[Document]:
        return self._read(lambda connection: sqlite_ledger.due_documents(connection, kind, now, limit))

    async def next_due(self, kind: str) -> int | None:
        found = self._values("next_due", kind)[0]
        return None if found is None else int(found)

    async def journal(self, query: JournalQuery) -> Sequence[JournalRow]:
        return await self._read_aside(lambda connection: sqlite_ledger.journal(connection, query))

    async def forget_journal(self, kind: str, before: int) -> int:
        forgotten = 0
        while True:
            count = await self._write(lambda connection: sqlite_ledger.forget_journal(connection, kind, before))
            forgotten += count
            if count < sqlite_ledger.FORGET_AT_ONCE:
                return forgotten

    async def chains(self) -> Sequence[Chain]:
        return self._read(sqlite_ledger.chains)

    async def feed(self, after: int, limit: int = 1_000) -> Sequence[FeedRow]:
        return self._read(lambda connection: sqlite_ledger.feed(connection, after, limit))

    async def feed_end(self) -> int:
        return int(self._values("feed_end")[0] or 0)

    # ── Care ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def census(self) -> Census:
        return await self._read_aside(sqlite_tallies.census)

    async def ended(self, query: EndedQuery) -> Sequence[Ended]:
        return await self._read_aside(lambda connection: sqlite_tallies.ended(connection, query))

    async def durations(self, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
        return await self._read_aside(lambda connection: sqlite_tallies.durations(connection, query, parts))

    async def status(self) -> StoreStatus:
        with translated(self._database.location):
            return await asyncio.to_thread(sqlite_care.status, self._database)

    async def check(self) -> Sequence[str]:
        return await asyncio.to_thread(sqlite_care.check, self._database)

    async def executions_after(self, key: int, limit: int) -> Sequence[StoredExecution]:
        return await self._read_aside(lambda connection: sqlite_reads.executions_after(connection, key, limit))

    # ── Where the work is done ───────────────────────────────────────────────────────────────────────────────────────

    def _write(self, work: Callable[[apsw.Connection], _Result]) -> asyncio.Future[_Result]:
        """In the writer's thread, after everything that was asked for before."""
        if self._writer is None:
            raise self._not_open()
        return self._writer.run(work)

    def _read(self, work: Callable[[apsw.Connection], _Result]) -> _Result:
        """Here and now."""
        if self._reader is None:
            raise self._not_open()
        with translated(self._database.location, self._reader):
            return work(self._reader)

    def _values(self, statement: str, *values: Any) -> Sequence[Any]:
        """The first column of what a statement gives, here and now."""
        rows = self._read(lambda connection: select(connection, statement, values))
        return [row[0] for row in rows]

    async def _read_aside(self, work: Callable[[apsw.Connection], _Result]) -> _Result:
        """In a thread, with a connection of its own."""
        if self._writer is None:
            raise self._not_open()
        return await asyncio.to_thread(self._with_own_connection, work)

    def _with_own_connection(self, work: Callable[[apsw.Connection], _Result]) -> _Result:
        connection = connect_for_reading(self._database)
        try:
            with translated(self._database.location, connection):
                return work(connection)
        finally:
            connection.close()

    def _ring(self, owners: Iterable[Shard]) -> None:
        for owner in owners:
            if owner.shard in self._leases:
                self._wake.ring_here()
            elif owner.wake_port is not None:
                self._wake.ring([owner.wake_port])

    def _not_open(self) -> StoreError:
        return StoreError(f"the store {self._database.location} is not open", code="store-closed")


def _append(connection: apsw.Connection, batch: Batch, history: Sequence[Any] | None) -> tuple[bool, Sequence[Shard]]:
    """Write the batch; also the owners of the inboxes that it put something into."""
    posted, shards = sqlite_append.append(connection, batch, history)
    return posted, sqlite_events.owners_of(connection, shards)


def _put_definition(connection: apsw.Connection, definition: StoredDefinition) -> None:
    with transaction(connection):
        sqlite_registry.put_definition(connection, definition)
