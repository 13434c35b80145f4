"""Whatever is done to a store, the one in memory and the one in SQLite answer the same."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import ErrorInfo, StepwellError
from stepwell.execution.event import Event
from stepwell.execution.matching import match_key_of_filter
from stepwell.ports.ledger import JournalEntry, JournalQuery, Write
from stepwell.ports.listings import DeadLetterQuery, ExecutionQuery
from stepwell.ports.records import (
    Batch,
    Change,
    Discarded,
    Handle,
    InboxItem,
    Lease,
    LockRequest,
    NewVersion,
    Summary,
    Wait,
)
from stepwell.ports.store import Store
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.file import Database, connect
from stepwell.store.sqlite.schema import bring_up_to_date
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.store import SECOND, new_execution
from tests.conformance.store_dead_letters import letter
from tests.conformance.store_registry import definition
from tests.store.postgres_place import InPostgres

STATUSES = ("pending", "running", "waiting", "completed", "failed")
SHARDS = 3

instants = st.integers(0, 12)
shards = st.integers(0, SHARDS - 1)
start_keys = st.sampled_from("abcdefghij")
waits = st.builds(
    lambda step, type_, since, filter_: Wait(step, type_, match_key_of_filter(filter_), since),
    st.sampled_from(("one", "two")),
    st.sampled_from(("paid", "shipped")),
    instants,
    st.sampled_from(({}, {"order": 1}, {"order": 2}, {"who.name": "x"})),
)
events = st.builds(
    lambda number, type_, data: Event(id=str(number), type=type_, source="s", data=data),
    st.integers(0, 9),
    st.sampled_from(("paid", "shipped")),
    st.sampled_from(
        ({}, {"order": 1}, {"order": 2, "who": {"name": "x"}}, {f"f{n}": n for n in range(80)} | {"order": 1})
    ),
)
summaries = st.builds(
    Summary,
    status=st.sampled_from(STATUSES),
    hot=st.booleans(),
    wake_at=st.none() | instants,
    finished_at=st.none() | instants,
    error=st.none() | st.just("no"),
)
lock_names = st.sampled_from(("till", "door"))
lock_requests = st.builds(
    LockRequest,
    lock_names,
    st.integers(1, 3),
    st.sampled_from(("", "pay")),
    instants,
    st.sampled_from(("queue", "queue", "refuse", "replace")),
)
dead_letters = st.builds(
    lambda step, seq, type_: letter(step=step, seq=seq, error=ErrorInfo(type_, "no")),
    st.sampled_from(("pay", "ship")),
    st.integers(1, 3),
    st.sampled_from(("timeout", "http_error")),
)
letter_ids = st.builds(
    "{}/{}/{}".format, st.sampled_from(("e0", "e1", "e2")), st.sampled_from(("pay", "ship")), st.integers(1, 3)
)
executions = st.builds(
    new_execution,
    workflow=st.sampled_from(("shop", "shop", "team.shop")),
    start_key=st.none() | start_keys,
    created_at=instants,
)
changes = st.fixed_dictionaries(
    {
        "which": st.integers(0, 9),
        "delta": st.sampled_from((1, 1, 1, 2, 3, 0)),  # 0 is a history row that is there already
        "events": st.sampled_from((b"", b"row", b"another row")),
        "create": st.none() | executions,
        "summary": summaries,
        "keeps_summary": st.booleans(),
        "waits_begun": st.lists(waits, max_size=2),
        "waits_ended": st.lists(waits, max_size=2),
        "snapshot": st.none() | st.just(b"state"),
        "dead_letters": st.lists(dead_letters, max_size=2),
        "dead_letters_resolved": st.lists(letter_ids, max_size=2),
        "locks_taken": st.lists(lock_requests, max_size=2),
        "locks_released": st.lists(st.tuples(lock_names, st.sampled_from(("", "pay"))), max_size=1),
        "locks_released_all": st.sampled_from((False, False, False, True)),
        "moved_to": st.none() | st.builds(NewVersion, st.sampled_from(("2.0.0", "3.0.0")), st.just("d2")),
    }
)
versions = st.sampled_from(("1.0.0", "1.0.1-rc.1", "1.0.1", "2.0.0"))
items = st.builds(
    InboxItem, shard=shards, kind=st.just("cancel"), payload=st.binary(max_size=3), execution=st.just("e1")
)
queries = st.builds(
    ExecutionQuery,
    statuses=st.just(()) | st.tuples(st.sampled_from(STATUSES)),
    created_from=st.none() | instants,
    created_to=st.none() | instants,
    namespaces=st.none() | st.tuples(st.sampled_from(("default", "team"))),
    text=st.none() | st.sampled_from(("TEAM", "e1", "n")),
    limit=st.integers(1, 3),
)
document_writes = st.builds(
    Write,
    kind=st.sampled_from(("schedule", "key")),
    key=st.sampled_from(("a", "ab", "b", "\N{SNOWMAN}", "no\0")),
    body=st.none() | st.binary(max_size=2),
    due_at=st.none() | instants,
    expected=st.none() | st.none() | st.integers(0, 3),
)
entries = st.builds(
    JournalEntry,
    kind=st.sampled_from(("audit", "log")),
    subject=st.sampled_from(("e0", "e1", "")),
    at=instants,
    body=st.sampled_from(("one", "Two", "ü")),
    chained=st.booleans(),
)
journal_queries = st.builds(
    JournalQuery,
    kind=st.sampled_from(("audit", "log")),
    subject=st.none() | st.just("e1"),
    after=st.integers(0, 4),
    before=st.none() | st.integers(3, 20),
    since=st.none() | instants,
    until=st.none() | instants,
    text=st.none() | st.sampled_from(("O", "Ü", "ü")),
    newest_first=st.booleans(),
    limit=st.integers(1, 4),
)
appends = st.tuples(st.just("append"), st.lists(changes, max_size=4), st.lists(st.integers(1, 9), max_size=2))
deeds = st.one_of(
    appends,
    appends,
    appends,
    st.tuples(st.just("publish"), events, instants),
    st.tuples(st.just("publish"), events, instants),
    st.tuples(st.just("post"), st.lists(items, max_size=3)),
    st.tuples(st.just("list"), queries),
    st.tuples(st.just("forget"), instants),
    st.tuples(st.just("acquire"), st.none() | shards, instants),
    st.tuples(st.just("renew"), shards, instants),
    st.tuples(st.just("release"), shards),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("discard"), letter_ids),
    st.tuples(st.just("letters"), st.none() | st.just("timeout"), st.booleans()),
    st.tuples(st.just("register"), versions, st.sampled_from(("draft", "active", "active")), st.integers(0, 3)),
    st.tuples(st.just("move"), versions, st.sampled_from(("active", "deprecated", "retired"))),
    st.tuples(st.just("default"), versions),
    st.tuples(
        st.just("write"),
        st.lists(document_writes, max_size=3),
        instants,
        st.lists(items, max_size=1),
        st.lists(entries, max_size=3),
    ),
    st.tuples(st.just("journal"), journal_queries),
    st.tuples(st.just("forget_journal"), st.sampled_from(("audit", "log")), instants),
)
Deed: TypeAlias = tuple[Any, ...]


class Actor:
    """Does the same to one of the stores as another one does to the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases: dict[int, Lease] = {}
        self.handles: list[Handle] = []
        self.nobody = Handle("nobody", 0)
        self.last: dict[str, int] = {}

    async def do(self, deed: Deed) -> Any:
        """The answer, as plain data; an error is its type and code."""
        act: Callable[..., Coroutine[Any, Any, Any]] = getattr(self, f"_{deed[0]}")
        try:
            return comparable(msgspec.to_builtins(await act(*deed[1:])))
        except StepwellError as error:
            return type(error).__name__, error.code

    async def everything(self) -> Any:
        """All that can be seen of the store."""
        seen: list[Any] = []
        for stored in await self.store.executions_after(0, 100):
            loaded = await self.store.load(stored.handle.id)
            assert loaded is not None
            for one in (stored, loaded):
                seen.append((one.handle.id, one.handle.shard, one.created, one.summary))
                seen.append((one.snapshot_seq, one.snapshot, one.history))
        for shard in range(SHARDS + 2):
            seen.append(await self.store.inbox(shard))
            seen.append((sorted(await self.store.hot(shard)), await self.store.unfinished(shard)))
            seen.append((await self.store.due([shard], 6, 10), await self.store.next_wake([shard])))
        seen += [await self.store.find_start(name) for name in "abcdefghij"]
        status = await self.store.status()
        seen.append((await self.store.shards(), status.executions, status.waits, status.events, status.inbox))
        seen.append((await self.store.locks(), status.locks, await self.store.dead_letters(DeadLetterQuery())))
        seen.append((status.dead_letters, await self.store.registrations(), status.registered))
        for kind in ("schedule", "key"):
            seen.append((await self.store.documents(kind), await self.store.next_due(kind)))
            seen.append(await self.store.due_documents(kind, 6))
        for kind in ("audit", "log"):
            seen.append(await self.store.journal(JournalQuery(kind=kind)))
        seen.append((await self.store.chains(), status.documents, status.journal))
        fed = await self.store.feed(0)
        numbers = [0, *(row.number for row in fed)]
        seen.append((fed, await self.store.feed(numbers[3 % len(numbers)], 2)))
        assert await self.store.feed_end() == numbers[-1]
        return comparable(msgspec.to_builtins(seen))

    async def _acquire(self, shard: int | None, now: int) -> Lease:
        lease = await self.store.acquire(shard, "engine", now, 4)
        self.leases[lease.shard] = lease
        return lease

    async def _renew(self, shard: int, now: int) -> Any:
        return await self.store.renew([self.leases[shard]] if shard in self.leases else [], now, 4)

    async def _release(self, shard: int) -> None:
        """Mostly it is known afterwards that the lease is gone."""
        await self.store.release([self.leases[shard]] if shard in self.leases else [])
        if shard > 0:
            self.leases.pop(shard, None)

    async def _append(self, given: list[dict[str, Any]], consumed: list[int]) -> Any:
        """With the leases there are; a shard that was given up is taken again now and then. `consumed` are places among
        all items, some of them beyond the last."""
        if not self.leases:
            await self._acquire(0, 0)
        changes = [self._change(dict(one)) for one in sorted(given, key=lambda one: one["create"] is None)]
        fences = {shard: lease.fence for shard, lease in self.leases.items()}
        posts = [InboxItem(shard=4, kind="started", payload=b"p")] if len(given) == 3 else []
        items = sorted([item.id for shard in range(SHARDS + 2) for item in await self.store.inbox(shard)])
        gone = [items[place - 1] if place <= len(items) else 10_000 + place for place in consumed]
        early = await self.store.append(Batch(fences=fences, changes=changes, consumed=gone, posts=posts))
        self.last |= {one.handle.id: one.seq for one in changes if one.events}
        return early, [one.handle.key is not None for one in changes]

    def _change(self, one: dict[str, Any]) -> Change:
        which, delta, keeps_summary = one.pop("which"), one.pop("delta"), one.pop("keeps_summary")
        if one["create"] is not None and (which > 0 or not self.handles):  # 0 is one that is there already
            handle = Handle(f"e{len(self.handles)}", min(self.leases))
            self.handles.append(handle)
        else:
            handle = self.handles[which % len(self.handles)] if self.handles else self.nobody
        if keeps_summary and one["create"] is None:
            one["summary"] = None
        one["dead_letters"] = [msgspec.structs.replace(each, execution=handle.id) for each in one["dead_letters"]]
        return Change(handle=handle, seq=max(self.last.get(handle.id, 0) + delta, 1), **one)

    async def _publish(self, event: Event, now: int) -> Any:
        return await self.store.publish(event, now, now + 3)

    async def _forget(self, now: int) -> int:
        return await self.store.forget_events(now)

    async def _post(self, items: list[InboxItem]) -> None:
        await self.store.post(items)

    async def _list(self, query: ExecutionQuery) -> Any:
        first = await self.store.list(query)
        return first, first.next and await self.store.list(msgspec.structs.replace(query, cursor=first.next))

    async def _discard(self, id_: str) -> Any:
        done = await self.store.discard_dead_letter(id_, Discarded(at=1, by="ada"))
        return done, await self.store.dead_letter(id_)

    async def _letters(self, error_type: str | None, discarded: bool) -> Any:
        query = DeadLetterQuery(error_type=error_type, discarded=discarded, limit=2)
        first = await self.store.dead_letters(query)
        return first, first.next and await self.store.dead_letters(msgspec.structs.replace(query, cursor=first.next))

    async def _register(self, version: str, lifecycle: Any, content: int) -> Any:
        given = definition(version, content="new" if content == 0 else "")
        return await self.store.register(given, tags=("t",), lifecycle=lifecycle, at=1, by="ada")

    async def _move(self, version: str, to: Any) -> Any:
        return await self.store.set_lifecycle("shop", version, to, at=2, by="bob")

    async def _default(self, version: str) -> Any:
        await self.store.set_default("shop", version, at=3, by="bob")
        return await self.store.registered("shop")

    async def _write(
        self, writes: list[Write], now: int, posts: list[InboxItem], noted: list[JournalEntry]
    ) -> Sequence[int]:
        return await self.store.write(writes, now, posts=posts, entries=noted)

    async def _journal(self, query: JournalQuery) -> Any:
        """The query's numbers are places among all entries."""
        rows = [row for kind in ("audit", "log") for row in await self.store.journal(JournalQuery(kind=kind))]
        numbers = [0, *sorted(row.number for row in rows)]
        after, before = (
            None if place is None else numbers[place] if place < len(numbers) else numbers[-1] + place
            for place in (query.after, query.before)
        )
        return await self.store.journal(msgspec.structs.replace(query, after=after, before=before))

    async def _forget_journal(self, kind: str, before: int) -> int:
        return await self.store.forget_journal(kind, before)

    async def _reopen(self) -> None:
        await self.store.close()
        await self.store.open()
        self.leases = {}


def comparable(answer: Any) -> Any:
    """The answer without the numbers that each store gives in its own way; what they number is in their order."""
    match answer:
        case dict():
            return {name: _without_number(name, comparable(value)) for name, value in answer.items()}
        case list() | tuple():
            return [comparable(each) for each in answer]
        case _:
            return answer


def _without_number(name: Any, value: Any) -> Any:
    if name == "next":
        return value is not None
    return None if name in ("id", "number") and isinstance(value, int) else value


@settings(max_examples=60, deadline=None)
@given(st.lists(deeds, min_size=5, max_size=30))
def test_memory_and_sqlite_answer_the_same(given_deeds: list[Deed]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stepwell.db"
        path.write_bytes(_empty_database())
        asyncio.run(_compare(SqliteStore(path), given_deeds))


@settings(max_examples=12, deadline=None)
@given(st.lists(deeds, min_size=5, max_size=30))
def test_memory_and_postgresql_answer_the_same(given_deeds: list[Deed]) -> None:
    async def compare() -> None:
        async with InPostgres().place() as open_store:
            await _compare(await open_store(), given_deeds)

    asyncio.run(compare())


async def _compare(store: Store, given_deeds: list[Deed]) -> None:
    memory, other = Actor(MemoryStore()), Actor(store)
    for actor in (memory, other):
        await actor.store.open()
    try:
        for deed in [("acquire", 0, 0), ("acquire", 1, 0), *given_deeds]:
            assert await other.do(deed) == await memory.do(deed), deed
        assert await other.everything() == await memory.everything()
    finally:
        for actor in (memory, other):
            await actor.store.close()


@functools.cache
def _empty_database() -> bytes:
    """Copying a database is quicker than making one."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "empty.db", SECOND)
        connection = connect(database, create=True)
        bring_up_to_date(connection, database.location, migrate=True)
        connection.close()
        return database.path.read_bytes()
