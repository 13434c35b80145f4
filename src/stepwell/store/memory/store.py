"""The store in memory: for trying things out, for tests and for simulation. Deterministic, without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from stepwell.base.errors import Conflict, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.execution.event import Event
from stepwell.ports.ledger import DEAD_EVENT, Chain, Document, FeedRow, JournalEntry, JournalQuery, JournalRow, Write
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
    Waiting,
)
from stepwell.ports.store import Store
from stepwell.ports.tallies import Census, Ended, EndedQuery
from stepwell.store.cursors import cursor_of, place_of, wait_cursor_of, wait_place_of
from stepwell.store.ledger_rules import check_texts
from stepwell.store.lifecycle import found, wanted
from stepwell.store.memory import tallies as memory_tallies
from stepwell.store.memory.content import Content, Record
from stepwell.store.memory.nodes import Ownership
from stepwell.store.placing import placed


class MemoryStore(Store):
    """See `ports.Store`, whose contract this is, but for durability: all is gone with the last store on the content.

    Several engines may use one store. `MemoryStore(store.content)` is another store on the same content, as another
    process would have one on the same database: closing one does not touch the other.

    Args:
        content: shared with other stores; new when None.
    """

    def __init__(self, content: Content | None = None) -> None:
        self.content = content if content is not None else Content()
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leases: dict[int, int] = {}
        self._callbacks: list[tuple[int | None, Callable[[], None]]] = []
        self._rung = set[int | None]()
        self._names = set[str]()  # of the nodes that use this store
        self._of_nodes: list[Callable[[], None]] = []

    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, *, migrate: bool = True) -> None:
        if not self._is_open:
            self._is_open = True
            self._loop = asyncio.get_running_loop()
            self.content.connected.append(self._on_posted)
            self.content.cluster.listeners.append(self._on_node)

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.content.connected.remove(self._on_posted)
            self.content.cluster.listeners.remove(self._on_node)
            leases, self._leases = self._leases, {}
            self.content.cluster.give_up(leases)

    def _opened(self) -> Content:
        if not self._is_open:
            raise StoreError("the store in memory is not open", code="store-closed")
        return self.content

    # ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def acquire(self, shard: int | None, owner: str, now: int, ttl: int, *, behind: int = 0) -> Lease:
        content = self._opened()
        if shard is None:
            shard = content.free_shard(now, behind)
        known = content.shards.setdefault(shard, Ownership())
        if known.is_alive(now):
            raise Conflict(
                f"shard {shard} is owned by {known.owner} until {to_rfc3339(known.expires_at)}",
                code="shard-owned",
                hint="stop that engine, or wait until then",
            )
        lease = known.own(shard, owner, now, ttl)
        self._leases[shard] = lease.fence
        return lease

    async def renew(self, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
        content = self._opened()
        content.cluster.check({lease.shard: lease.fence for lease in leases})
        for lease in leases:
            content.shards[lease.shard].expires_at = now + ttl
        return [Lease(shard=lease.shard, fence=lease.fence, expires_at=now + ttl) for lease in leases]

    async def release(self, leases: Sequence[Lease]) -> None:
        content = self._opened()
        for lease in leases:
            self._leases.pop(lease.shard, None)
        content.cluster.give_up({lease.shard: lease.fence for lease in leases})

    async def attend(self, presence: Presence, leases: Sequence[Lease], now: int, ttl: int) -> Attendance:
        attendance = self._opened().cluster.attend(presence, leases, now, ttl)
        self._names.add(presence.name)
        for shard in attendance.lost:
            self._leases.pop(shard, None)
        return attendance

    async def claim(self, shards: Sequence[int], owner: str, now: int, ttl: int) -> Sequence[Lease]:
        leases = self._opened().cluster.claim(shards, owner, now, ttl)
        self._leases |= {lease.shard: lease.fence for lease in leases}
        return leases

    async def depart(self, name: str) -> None:
        self._opened().cluster.depart(name)

    def listen_to_nodes(self, callback: Callable[[], None]) -> None:
        self._of_nodes.append(callback)

    def _on_node(self, name: str) -> None:
        if name not in self._names and self._loop is not None:
            for callback in self._of_nodes:
                self._loop.call_soon(callback)

    # ── Executions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def append(self, batch: Batch) -> bool:
        posted, items = self._opened().append(batch)
        self._ring(items)
        return posted

    async def load(self, execution: str) -> StoredExecution | None:
        record = self._opened().records.get(execution)
        return record.stored(record.snapshot_seq) if record is not None else None

    async def history(self, execution: str, after: int = 0, limit: int = 1_000) -> Sequence[HistoryRow]:
        record = self._opened().records.get(execution)
        return record.rows(after)[:limit] if record is not None else []

    async def children(self, execution: str) -> Sequence[str]:
        return [record.handle.id for record in self._opened().by_key.values() if _is_child(record, execution)]

    async def find_start(self, start_key: str) -> str | None:
        return self._opened().start_keys.get(start_key)

    async def hot(self, shard: int) -> Sequence[str]:
        return [record.handle.id for record in self._of((shard,)) if record.summary.hot]

    async def unfinished(self, shard: int) -> int:
        return sum(not record.has_ended for record in self._of((shard,)))

    async def shards(self) -> Sequence[int]:
        content = self._opened()
        records = content.by_key.values()
        unfinished = {record.handle.shard for record in records if not record.has_ended or record.summary.hot}
        return sorted(unfinished | content.asked())

    async def due(self, shards: Collection[int], now: int, limit: int) -> Sequence[str]:
        due = sorted((at, record.key, record.handle.id) for at, record in self._parked(shards) if at <= now)
        return [id_ for _, _, id_ in due[:limit]]

    async def next_wake(self, shards: Collection[int]) -> int | None:
        return min((at for at, _ in self._parked(shards)), default=None)

    async def list(self, query: ExecutionQuery) -> Page:
        before = place_of(query)
        wanted = [record for record in self._opened().by_key.values() if _is_wanted(record, query)]
        places = sorted(((record.created.created_at, record.key) for record in wanted), reverse=True)
        found = [place for place in places if place < before]
        shown = [self.content.by_key[key] for _, key in found[: query.limit]]
        more = len(found) > query.limit
        return Page([record.listed() for record in shown], cursor_of(*found[query.limit - 1]) if more else None)

    def _of(self, shards: Collection[int]) -> Iterator[Record]:
        return (record for record in self._opened().by_key.values() if record.handle.shard in shards)

    def _parked(self, shards: Collection[int]) -> Iterator[tuple[int, Record]]:
        for record in self._of(shards):
            if not record.summary.hot and record.summary.wake_at is not None:
                yield record.summary.wake_at, record

    # ── Dead letters and locks ───────────────────────────────────────────────────────────────────────────────────────

    async def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        return self._opened().dead_letters.page(query)

    async def dead_letter(self, id_: str) -> DeadLetter | None:
        return self._opened().dead_letters.get(id_)

    async def discard_dead_letter(self, id_: str, discarded: Discarded) -> bool:
        return self._opened().dead_letters.discard(id_, discarded)

    async def locks(self, name: str | None = None) -> Sequence[Lock]:
        return self._opened().locks.listed(name)

    # ── The cache of results ─────────────────────────────────────────────────────────────────────────────────────────

    async def kept_result(self, key: str, now: int) -> KeptResult | None:
        return self._opened().kept_result(key, now)

    async def forget_results(self, now: int) -> int:
        return self._opened().forget_results(now)

    # ── Events and the inbox ─────────────────────────────────────────────────────────────────────────────────────────

    async def waiting(
        self,
        event_type: str,
        *,
        namespaces: Sequence[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WaitPage:
        behind = wait_place_of(limit, cursor)
        waits = [line for (of, _), line in self._opened().waits.items() if of == event_type]
        found = sorted(
            {
                place
                for line in waits
                for place, record in line.items()
                if place > behind and (namespaces is None or namespace_of(record.created.workflow) in namespaces)
            }
        )
        shown = found[:limit]
        items = [Waiting(self.content.by_key[key].handle.id, step) for key, step in shown]
        return WaitPage(items, wait_cursor_of(*shown[-1]) if len(found) > limit else None)

    async def publish(
        self,
        event: Event,
        now: int,
        keep_until: int,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
        writes: Sequence[Write] = (),
    ) -> Published:
        content = self._opened()
        check_texts(writes, entries)
        owned = content.cluster.owned(now)
        items = content.publish(event, now, keep_until, writes)
        if items is None:
            return Published(duplicate=True, waits=0, engine_present=bool(owned))
        posted = placed(posts, owned, content.shards)
        content.put(posted)
        content.journal.note(entries)
        self._ring([*items, *posted])
        concerned = {item.shard for item in (*items, *posted)}
        present = concerned <= set(owned) if concerned else bool(owned)
        return Published(duplicate=False, waits=len(items), engine_present=present)

    async def forget_events(self, now: int) -> int:
        return self._opened().forget_events(now)

    async def post(self, items: Sequence[InboxItem]) -> None:
        self._opened().put(items)
        self._ring(items)

    async def inbox(self, shard: int, after: int = 0, limit: int = 1_000) -> Sequence[InboxItem]:
        items = self._opened().inbox.values()
        return [item for item in items if item.shard == shard and item.id > after][:limit]

    async def inboxes(self, after: Mapping[int, int], limit: int = 1_000) -> Sequence[InboxItem]:
        items = self._opened().inbox.values()
        return [item for item in items if item.id > after.get(item.shard, item.id)][:limit]

    def listen(self, callback: Callable[[], None], inbox: int | None = None) -> bool:
        self._callbacks.append((inbox, callback))
        return True

    def _ring(self, items: Sequence[InboxItem]) -> None:
        concerned = {item.shard for item in items}
        for ring in self.content.connected:
            ring(concerned)

    def _on_posted(self, shards: Collection[int]) -> None:
        if not self._leases.keys().isdisjoint(shards):
            self._call_soon(None)
        for inbox, _ in self._callbacks:
            if inbox is not None and inbox in shards:
                self._call_soon(inbox)

    def _call_soon(self, inbox: int | None) -> None:
        if inbox not in self._rung and self._loop is not None:  # that of this store, whoever rings
            self._rung.add(inbox)
            self._loop.call_soon(self._call, inbox)

    def _call(self, inbox: int | None) -> None:
        self._rung.discard(inbox)
        for listened, callback in self._callbacks:
            if listened == inbox:
                callback()

    # ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def put_definition(self, definition: StoredDefinition) -> None:
        self._opened().definitions.setdefault(definition.digest, definition)

    async def definition(self, digest: str) -> StoredDefinition | None:
        return self._opened().definitions.get(digest)

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
        registered = self._opened().registry.register(definition, tags, deed, lifecycle)
        self.content.definitions.setdefault(definition.digest, definition)
        return registered

    async def registered(self, name: str, version: str | None = None) -> Registration | None:
        return found(self._opened().registry.versions(name), version)

    async def registrations(
        self, *, name: str | None = None, tag: str | None = None, lifecycle: Lifecycle | None = None
    ) -> Sequence[Registration]:
        return wanted(self._opened().registry.everything(), name, tag, lifecycle)

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
        return self._opened().registry.set_lifecycle(name, version, to, deed, expected)

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
        return self._opened().registry.set_default(name, version, deed, expected)

    # ── What is kept beside executions ───────────────────────────────────────────────────────────────────────────────

    async def write(
        self,
        writes: Sequence[Write],
        now: int,
        *,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
    ) -> Sequence[int]:
        revisions, items = self._opened().write(writes, now, posts, entries)
        self._ring(items)
        return revisions

    async def document(self, kind: str, key: str) -> Document | None:
        return self._opened().documents.get(kind, key)

    async def documents(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = 1_000
    ) -> Sequence[Document]:
        return self._opened().documents.listed(kind, prefix, after, limit)

    async def due_documents(self, kind: str, now: int, limit: int = 100) -> Sequence[Document]:
        return self._opened().documents.due(kind, now, limit)

    async def next_due(self, kind: str) -> int | None:
        return self._opened().documents.next_due(kind)

    async def journal(self, query: JournalQuery) -> Sequence[JournalRow]:
        return self._opened().journal.find(query)

    async def forget_journal(self, kind: str, before: int) -> int:
        return self._opened().journal.forget(kind, before)

    async def chains(self) -> Sequence[Chain]:
        return self._opened().journal.chains()

    async def feed(self, after: int, limit: int = 1_000) -> Sequence[FeedRow]:
        return self._opened().feed(after, limit)

    async def feed_end(self) -> int:
        return len(self._opened().committed)

    # ── Care ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def census(self) -> Census:
        status = await self.status()
        return Census(
            unfinished=memory_tallies.unfinished(self._lines()),
            waits=status.waits,
            dead_letters=status.dead_letters,
            inbox=status.inbox,
        )

    async def ended(self, query: EndedQuery) -> Sequence[Ended]:
        return memory_tallies.ended(self._lines(), query)

    async def durations(self, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
        return memory_tallies.durations(self._lines(), query, parts)

    def _lines(self) -> Iterable[memory_tallies.Line]:
        return ((record.created, record.summary) for record in self._opened().by_key.values())

    async def status(self) -> StoreStatus:
        content = self.content
        statuses = [record.summary.status for record in content.by_key.values()]
        return StoreStatus(
            kind="memory",
            location="memory:",
            schema_version=0,
            current_version=0,
            executions={status: statuses.count(status) for status in sorted(set(statuses))},
            waits=sum(map(len, content.waits.values())),
            events=len(content.events),
            inbox=len(content.inbox),
            size_bytes=None,
            owners=[
                {"shard": shard, "owner": known.owner, "expires_at": known.expires_at}
                for shard, known in sorted(content.shards.items())
                if known.owner is not None
            ],
            registered=len(content.registry.everything()),
            dead_letters=content.dead_letters.count() + content.documents.count_of(DEAD_EVENT),
            locks=len(content.locks.listed(None)),
            documents=content.documents.count(),
            journal=content.journal.count(),
        )

    async def check(self) -> Sequence[str]:
        return []  # nothing can be damaged, and no crash leaves anything behind

    async def executions_after(self, key: int, limit: int) -> Sequence[StoredExecution]:
        later = [record for record in self._opened().by_key.values() if record.key > key]
        return [record.stored(0) for record in later[:limit]]


def _is_wanted(record: Record, query: ExecutionQuery) -> bool:
    created = record.created
    return (
        (query.workflow is None or created.workflow == query.workflow)
        and (query.version is None or created.version == query.version)
        and (not query.statuses or record.summary.status in query.statuses)
        and (query.tag is None or query.tag in created.tags)
        and (query.parent is None or _is_child(record, query.parent))
        and (query.created_from is None or created.created_at >= query.created_from)
        and (query.created_to is None or created.created_at < query.created_to)
        and (query.namespaces is None or namespace_of(created.workflow) in query.namespaces)
        and (query.text is None or _contains(record, query.text))
    )


def _contains(record: Record, text: str) -> bool:
    created = record.created
    looked_at = (record.handle.id, created.workflow, record.summary.error or "", *created.tags)
    wanted = text.encode().lower()
    return any(wanted in each.encode().lower() for each in looked_at)


def _is_child(record: Record, execution: str) -> bool:
    return record.created.parent is not None and record.created.parent.startswith(f"{execution}/")
