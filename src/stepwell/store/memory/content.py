"""What a store in memory holds, and the changes to it. One call is one transaction: it is refused before it begins.

What is kept is immutable (encoded bytes, frozen structs), so nobody can change what is stored by changing what was
given or got.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from stepwell.base.errors import StoreError
from stepwell.execution.event import Event
from stepwell.execution.matching import match_keys_of_event
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.ledger import FeedRow, JournalEntry, Write
from stepwell.ports.listings import ExecutionListing
from stepwell.ports.records import (
    Batch,
    Change,
    DuplicateStart,
    Handle,
    HistoryRow,
    InboxItem,
    KeptResult,
    NewExecution,
    StoredDefinition,
    StoredExecution,
    Summary,
)
from stepwell.store.cursors import check_limit
from stepwell.store.event_index import filing_keys, lookup_keys
from stepwell.store.ledger_rules import check_texts
from stepwell.store.memory.dead_letters import DeadLetters
from stepwell.store.memory.ledger import Documents, Journal
from stepwell.store.memory.locks import Locks
from stepwell.store.memory.nodes import Cluster
from stepwell.store.memory.registry import Registry
from stepwell.store.placing import placed

_encode_event = msgspec.msgpack.Encoder().encode


class Record:
    """An execution as it is kept."""

    __slots__ = ("created", "handle", "history", "key", "snapshot", "snapshot_seq", "summary")

    def __init__(self, key: int, handle: Handle, created: NewExecution, summary: Summary) -> None:
        self.key = key
        self.handle = Handle(handle.id, handle.shard, key)
        self.created = created
        self.summary = summary
        self.history: dict[int, bytes] = {}
        self.snapshot_seq = 0
        self.snapshot: bytes | None = None

    @property
    def has_ended(self) -> bool:
        return self.summary.status in ENDED_EXECUTION

    def rows(self, after: int) -> list[HistoryRow]:
        """The history behind the event with this number."""
        return [HistoryRow(seq, events) for seq, events in sorted(self.history.items()) if seq > after]

    def stored(self, after: int) -> StoredExecution:
        """A copy, with the history behind the event with this number."""
        return StoredExecution(
            handle=Handle(self.handle.id, self.handle.shard, self.key),
            created=self.created,
            summary=self.summary,
            snapshot_seq=self.snapshot_seq,
            snapshot=self.snapshot,
            history=self.rows(after),
        )

    def listed(self) -> ExecutionListing:
        """Its line in a list."""
        return ExecutionListing(id=self.handle.id, created=self.created, summary=self.summary)

    def inbox_item(self, kind: str, step: str | None, payload: bytes) -> InboxItem:
        """An item for the owner of this execution."""
        return InboxItem(shard=self.handle.shard, kind=kind, payload=payload, execution=self.handle.id, step=step)


class KeptEvent(msgspec.Struct, frozen=True):
    """An event as it is kept; `keys` are those it is filed under."""

    number: int
    type: str
    received_at: int
    keep_until: int
    body: bytes
    keys: Sequence[int]


class Content:
    """What several `MemoryStore`s share, as several processes share a database."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.by_key: dict[int, Record] = {}
        self.start_keys: dict[str, str] = {}
        self.waits: dict[tuple[str, int], dict[tuple[int, str], Record]] = {}
        self.events: dict[tuple[str, str], KeptEvent] = {}
        self.filed: dict[tuple[str, int], dict[int, KeptEvent]] = {}
        self.inbox: dict[int, InboxItem] = {}
        self.definitions: dict[str, StoredDefinition] = {}
        self.registry = Registry()
        self.dead_letters = DeadLetters()
        self.locks = Locks()
        self.results: dict[str, KeptResult] = {}
        self.documents = Documents()
        self.journal = Journal()
        self.committed: list[tuple[Record, int]] = []  # every row of history, as the record's and its seq
        self.cluster = Cluster()
        self.shards = self.cluster.shards
        self.connected: list[Callable[[Collection[int]], None]] = []  # told which shards' inboxes were posted to
        self._events_so_far = 0
        self._items_so_far = 0

    # Executions

    def unfinished(self) -> Iterator[Record]:
        """Executions that have not ended, oldest first."""
        return (record for record in self.by_key.values() if not record.has_ended)

    def append(self, batch: Batch) -> tuple[bool, Sequence[InboxItem]]:
        """See `ports.Store.append`. Also what was put into inboxes that may be those of others: waking their owners is
        left to the caller."""
        self._check(batch)
        begun: dict[tuple[str, int, int, str], int] = {}
        for change in batch.changes:
            self._apply(change)
            key = change.handle.key or 0
            for wait in change.waits_ended:
                begun.pop((wait.event_type, wait.key, key, wait.step), None)
            begun |= {(wait.event_type, wait.key, key, wait.step): wait.since for wait in change.waits_begun}
        for number in batch.consumed:
            self.inbox.pop(number, None)
        early = sorted(found for wait, since in begun.items() for found in self._early_events(*wait, since))
        self.put([self.by_key[key].inbox_item("early_event", step, body) for _, key, step, body in early])
        self.dead_letters.apply(batch.changes)
        told = [
            self.records[notice.execution].inbox_item(notice.kind, notice.step, notice.payload)
            for notice in self.locks.apply(batch.changes)
        ]
        posted = [*told, *batch.posts]
        self.put(posted)
        return bool(early or told), posted

    def _check(self, batch: Batch) -> None:
        self.cluster.check(batch.fences)
        for change in batch.changes:
            if (shard := change.handle.shard) not in batch.fences:
                raise _contradiction(f"execution {change.handle.id} is of shard {shard}, for which no lease was given")
        self._check_start_keys(batch.changes)
        self._check_rows(batch.changes)

    def _check_start_keys(self, changes: Sequence[Change]) -> None:
        taken = set(self.start_keys)
        for change in changes:
            start_key = change.create.start_key if change.create is not None else None
            if start_key in taken:
                raise DuplicateStart(start_key)
            taken |= {start_key} if start_key is not None else set()

    def _check_rows(self, changes: Sequence[Change]) -> None:
        new, rows = set[str](), set[tuple[str, int]]()
        for change in changes:
            name, row = change.handle.id, (change.handle.id, change.seq)
            known = self.records.get(name)
            if change.create is not None:
                if known is not None or name in new:
                    raise _contradiction(f"execution {name} exists already")
                new.add(name)
            elif known is None and name not in new:
                raise _contradiction(f"execution {name} was never created")
            if change.events:
                if row in rows or (known is not None and change.seq in known.history):
                    raise _contradiction(f"execution {name} has a history row {change.seq} already")
                rows.add(row)

    def _apply(self, change: Change) -> None:
        if change.create is not None:
            self._create(change, change.create)
        record = self.records[change.handle.id]
        if change.events:
            record.history[change.seq] = change.events
            self.committed.append((record, change.seq))
        if change.summary is not None:
            record.summary = change.summary
        if change.snapshot is not None:
            record.snapshot_seq, record.snapshot = change.seq, change.snapshot
        if (to := change.moved_to) is not None:
            record.created = replace(record.created, version=to.version, digest=to.digest)
        for result in change.results_kept:
            self.results[result.key] = result
        for wait in change.waits_ended:
            self.waits.get((wait.event_type, wait.key), {}).pop((record.key, wait.step), None)
        for wait in change.waits_begun:
            self.waits.setdefault((wait.event_type, wait.key), {})[record.key, wait.step] = record

    def _create(self, change: Change, created: NewExecution) -> None:
        assert change.summary is not None, "an execution is created with a summary"
        handle = change.handle
        handle.key = len(self.by_key) + 1
        record = Record(handle.key, handle, created, change.summary)
        self.records[handle.id] = self.by_key[handle.key] = record
        if created.start_key is not None:
            self.start_keys[created.start_key] = handle.id

    # The cache of results

    def kept_result(self, key: str, now: int) -> KeptResult | None:
        """See `ports.Store.kept_result`."""
        kept = self.results.get(key)
        return None if kept is None or _has_expired(kept, now) else kept

    def forget_results(self, now: int) -> int:
        """See `ports.Store.forget_results`."""
        gone = [key for key, kept in self.results.items() if _has_expired(kept, now)]
        for key in gone:
            del self.results[key]
        return len(gone)

    # What is kept beside executions

    def write(
        self, writes: Sequence[Write], now: int, posts: Sequence[InboxItem], entries: Sequence[JournalEntry]
    ) -> tuple[Sequence[int], Sequence[InboxItem]]:
        """See `ports.Ledger.write`. Also what was put into inboxes, as it was placed."""
        check_texts(writes, entries)
        revisions = self.documents.write(writes, now)
        self.journal.note(entries)
        items = placed(posts, self.cluster.owned(now), self.shards)
        self.put(items)
        return revisions, items

    def feed(self, after: int, limit: int) -> Sequence[FeedRow]:
        """See `ports.Ledger.feed`."""
        check_limit(limit, "rows of history")
        rows = self.committed[max(after, 0) : max(after, 0) + limit]
        return [
            FeedRow(
                number=number,
                execution=record.handle.id,
                workflow=record.created.workflow,
                seq=seq,
                events=record.history[seq],
            )
            for number, (record, seq) in enumerate(rows, max(after, 0) + 1)
        ]

    # Events and the inbox

    def publish(
        self, event: Event, now: int, keep_until: int, writes: Sequence[Write] = ()
    ) -> Sequence[InboxItem] | None:
        """Keep the event, change documents with it, and put it into inboxes: the items, or None when it is a
        duplicate."""
        if (event.source, event.id) in self.events:
            return None
        self.documents.write(writes, now)
        keys, body = sorted(set(match_keys_of_event(event.data))), _encode_event(event)
        self._events_so_far += 1
        kept = KeptEvent(self._events_so_far, event.type, now, keep_until, body, filing_keys(keys))
        self.events[event.source, event.id] = kept
        for key in kept.keys:
            self.filed.setdefault((event.type, key), {})[kept.number] = kept
        waiting = [(name, record) for key in keys for name, record in self.waits.get((event.type, key), {}).items()]
        waiting.sort(key=lambda entry: entry[0])
        items = [record.inbox_item("event", step, body) for (_, step), record in waiting]
        self.put(items)
        return items

    def forget_events(self, now: int) -> int:
        """See `ports.Store.forget_events`."""
        unfinished = [record.created.created_at for record in self.records.values() if not record.has_ended]
        oldest = min(unfinished, default=now + 1)
        gone = {
            name: kept for name, kept in self.events.items() if kept.keep_until <= now and kept.received_at < oldest
        }
        for name, kept in gone.items():
            del self.events[name]
            for key in kept.keys:
                del self.filed[kept.type, key][kept.number]
        return len(gone)

    def put(self, items: Sequence[InboxItem]) -> None:
        """Number the items and put them into their inboxes."""
        for item in items:
            self._items_so_far += 1
            self.inbox[self._items_so_far] = replace(item, id=self._items_so_far)

    def _early_events(
        self, event_type: str, key: int, execution: int, step: str, since: int
    ) -> Iterator[tuple[int, int, str, bytes]]:
        """The events that came before a wait began: (number, execution, step, body)."""
        for lookup in lookup_keys(key):
            for kept in self.filed.get((event_type, lookup), {}).values():
                if kept.received_at >= since:
                    yield kept.number, execution, step, kept.body

    # Ownership

    def free_shard(self, now: int, behind: int) -> int:
        """The lowest shard, from `behind` on, without a living owner and unfinished executions, or a new one."""
        busy = {record.handle.shard for record in self.unfinished()} | self.to_start()
        for shard, known in sorted(self.shards.items()):
            if shard >= behind and shard not in busy and not known.is_alive(now):
                return shard
        return max((*self.shards, *busy, behind - 1), default=-1) + 1

    def to_start(self) -> set[int]:
        """The shards in whose inbox somebody asks for a start."""
        return {item.shard for item in self.inbox.values() if item.kind == "start"}

    def asked(self) -> set[int]:
        """The shards in whose inbox lies what nobody but their owner will ever act on."""
        kinds = ("start", "start_child", "compensate_self")
        return {item.shard for item in self.inbox.values() if item.kind in kinds}


def _has_expired(kept: KeptResult, now: int) -> bool:
    return kept.expires_at is not None and kept.expires_at <= now


def _contradiction(what: str) -> StoreError:
    return StoreError(f"the batch contradicts what is stored: {what}", code="store-conflict")
