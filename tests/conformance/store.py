"""What every store must do, whatever keeps the data.

A test module of a store subclasses `StoreConformance`, and the suites of `store_registry`, `store_dead_letters` and
`store_locks`, and says how a store is opened (`place`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import Conflict, FenceLost, StoreError, UsageError
from stepwell.execution.event import Event
from stepwell.execution.matching import match_key_of_filter
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import (
    ANYWHERE,
    Batch,
    Change,
    DuplicateStart,
    Handle,
    HistoryRow,
    InboxItem,
    Lease,
    NewExecution,
    NewVersion,
    StoredDefinition,
    Summary,
    Wait,
)
from stepwell.ports.store import Store

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
TTL = 15 * SECOND
LATER = NOW + 3_600 * SECOND
PATIENCE = 10
"""Seconds after which a test gives up waiting."""

RUNNING = Summary(status="running", hot=True)
WAITING = Summary(status="waiting", hot=False)
COMPLETED = Summary(status="completed", hot=False, started_at=NOW, finished_at=NOW + 1)
DEFINITION = StoredDefinition(
    digest="d1", name="shop", version="1.0.0", dialect="native", source_name="shop.yaml", text="name: shop\n# ü\n"
)

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
"""Opens one more store on the data of the test; it is closed when the test is over."""


def new_execution(**changes: Any) -> NewExecution:
    """What is noted of an execution, with what a test does not care about filled in."""
    fields: dict[str, Any] = {"workflow": "shop", "version": "1.0.0", "digest": "d1", "created_at": NOW}
    return NewExecution(**(fields | changes))


def creation(handle: Handle, summary: Summary = RUNNING, events: bytes = b"created", **changes: Any) -> Change:
    """The first change of an execution."""
    return Change(handle=handle, seq=1, events=events, create=new_execution(**changes), summary=summary)


def change(handle: Handle, seq: int = 2, events: bytes = b"more", **fields: Any) -> Change:
    """A later change of an execution."""
    return Change(handle=handle, seq=seq, events=events, **fields)


def batch(lease: Lease | Sequence[Lease], *changes: Change, **fields: Any) -> Batch:
    """A batch written under the given leases."""
    leases = [lease] if isinstance(lease, Lease) else lease
    return Batch(fences={one.shard: one.fence for one in leases}, changes=changes, **fields)


def event(id_: str = "e1", type_: str = "paid", **data: Any) -> Event:
    """An event with this data."""
    return Event(id=id_, type=type_, source="test", data=data, time=NOW)


def wait(step: str = "payment", type_: str = "paid", since: int = 0, **filter_: Any) -> Wait:
    """A wait with this filter; `__` in a name stands for a dot."""
    paths = {path.replace("__", "."): wanted for path, wanted in filter_.items()}
    return Wait(step, type_, match_key_of_filter(paths), since)


def decoded(item: InboxItem) -> Event:
    """The event in an inbox item."""
    return msgspec.msgpack.decode(item.payload, type=Event)


class Scene:
    """An open store, the lease of a shard, and short ways to say what most tests need."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store = store
        self.lease = lease

    async def create(self, id_: str, summary: Summary = RUNNING, **changes: Any) -> Handle:
        handle = Handle(id_, self.lease.shard)
        await self.store.append(batch(self.lease, creation(handle, summary, **changes)))
        return handle

    async def append(self, *changes: Change, **fields: Any) -> bool:
        return await self.store.append(batch(self.lease, *changes, **fields))

    async def inbox(self) -> Sequence[InboxItem]:
        return await self.store.inbox(self.lease.shard)

    async def received(self) -> list[tuple[str, str | None, str | None, str]]:
        """(kind, execution, step, event id) of what lies in the inbox."""
        return [(item.kind, item.execution, item.step, decoded(item).id) for item in await self.inbox()]


async def scene_on(store: Store, owner: str = "engine") -> Scene:
    """A store with a shard of its own."""
    return Scene(store, await store.acquire(None, owner, NOW, TTL))


class StorePlace(ABC):
    """Where the tests of a suite find stores."""

    @abstractmethod
    def place(self) -> AbstractAsyncContextManager[OpenStore]:
        """A fresh place for data, gone at the end."""

    @pytest.fixture
    async def open_store(self) -> AsyncIterator[OpenStore]:
        async with self.place() as open_store:
            yield open_store

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> Store:
        return await open_store()

    @pytest.fixture
    async def scene(self, store: Store) -> Scene:
        return await scene_on(store)


class StoreConformance(StorePlace):
    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_what_was_appended_is_there_when_the_store_is_opened_again(self, scene: Scene) -> None:
        await scene.create("a")
        await scene.store.close()
        await scene.store.open()
        stored = await scene.store.load("a")
        assert stored is not None
        assert stored.history == [HistoryRow(1, b"created")]

    async def test_opening_and_closing_twice_does_nothing_more(self, store: Store) -> None:
        await store.open()
        await store.close()
        await store.close()

    async def test_a_store_that_is_not_open_says_so(self, scene: Scene) -> None:
        await scene.store.close()
        calls: list[Coroutine[Any, Any, Any]] = [
            scene.store.load("a"),
            scene.append(),
            scene.store.hot(0),
            scene.store.list(ExecutionQuery()),
            scene.store.publish(event(), NOW, LATER),
            scene.store.register(DEFINITION, tags=(), lifecycle="active", at=NOW, by="ada"),
            scene.store.registered("shop"),
            scene.store.dead_letter("x"),
            scene.store.locks(),
            scene.store.acquire(None, "x", NOW, TTL),
        ]
        for call in calls:
            with pytest.raises(StoreError) as raised:
                await call
            assert raised.value.code == "store-closed"

    async def test_closing_finishes_what_was_appended(self, scene: Scene) -> None:
        handle = await scene.create("a")
        appends = [asyncio.ensure_future(scene.append(change(handle, seq))) for seq in range(2, 22)]
        await asyncio.sleep(0)
        await scene.store.close()
        await asyncio.gather(*appends)
        await scene.store.open()
        assert [row.seq for row in await scene.store.history("a")] == list(range(1, 22))

    async def test_closing_gives_the_leases_up(self, scene: Scene, open_store: OpenStore) -> None:
        await scene.store.close()
        other = await open_store()
        assert (await other.acquire(scene.lease.shard, "other", NOW, TTL)).fence > scene.lease.fence

    async def test_closing_one_store_leaves_another_on_the_same_data_alone(self, open_store: OpenStore) -> None:
        first, second = await scene_on(await open_store(), "first"), await scene_on(await open_store(), "second")
        await first.store.close()
        await second.create("a")
        assert await second.store.load("a") is not None

    # ── Ownership ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_the_fence_grows_with_every_owner(self, store: Store) -> None:
        fences = []
        for number in range(4):
            lease = await store.acquire(3, f"engine {number}", NOW, TTL)
            assert (lease.shard, lease.expires_at) == (3, NOW + TTL)
            fences.append(lease.fence)
            await store.release([lease])
        assert fences == sorted(set(fences))

    async def test_a_shard_with_a_living_owner_is_refused(self, scene: Scene, open_store: OpenStore) -> None:
        for store in (scene.store, await open_store()):
            with pytest.raises(Conflict) as raised:
                await store.acquire(scene.lease.shard, "other", NOW + TTL - 1, TTL)
            assert raised.value.code == "shard-owned"
            assert "2023-11-14T22:13:35Z" in raised.value.message  # until when
            assert raised.value.hint

    async def test_a_shard_is_free_when_its_lease_has_expired(self, scene: Scene) -> None:
        taken = await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        assert taken.fence > scene.lease.fence

    async def test_any_shard_means_the_lowest_that_is_free_and_has_nothing_unfinished(self, store: Store) -> None:
        first = await scene_on(store, "first")
        second = await scene_on(store, "second")
        assert (first.lease.shard, second.lease.shard) == (0, 1)
        handle = await first.create("a")
        await store.release([first.lease, second.lease])
        third = await scene_on(store, "third")
        assert third.lease.shard == 1, "shard 0 has work that somebody may want to resume"
        first.lease = await store.acquire(0, "first", NOW, TTL)
        await first.append(change(handle, summary=COMPLETED))
        await store.release([first.lease])
        assert (await scene_on(store, "fourth")).lease.shard == 0

    async def test_renewing_prolongs_a_lease(self, scene: Scene) -> None:
        (renewed,) = await scene.store.renew([scene.lease], NOW + SECOND, TTL)
        assert renewed == Lease(shard=scene.lease.shard, fence=scene.lease.fence, expires_at=NOW + SECOND + TTL)
        with pytest.raises(Conflict):
            await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)

    async def test_a_lease_that_was_taken_over_cannot_be_renewed_and_then_none_is(self, store: Store) -> None:
        kept, lost = await store.acquire(0, "first", NOW, TTL), await store.acquire(1, "first", NOW, TTL)
        await store.acquire(1, "second", NOW + TTL, TTL)
        with pytest.raises(FenceLost):
            await store.renew([kept, lost], NOW + TTL, TTL)
        await store.acquire(0, "second", NOW + TTL, TTL)  # it was not prolonged

    async def test_a_lease_that_was_given_up_cannot_be_renewed(self, scene: Scene) -> None:
        await scene.store.release([scene.lease])
        with pytest.raises(FenceLost):
            await scene.store.renew([scene.lease], NOW, TTL)

    async def test_releasing_a_lost_lease_does_not_touch_its_new_owner(self, scene: Scene) -> None:
        taken = await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        await scene.store.release([scene.lease])
        await scene.store.renew([taken], NOW + TTL, TTL)

    # ── Appending and loading ────────────────────────────────────────────────────────────────────────────────────────

    async def test_an_execution_is_loaded_as_it_was_appended(self, scene: Scene) -> None:
        created = new_execution(
            start_key="order 7 \N{SNOWMAN}", tags=("a", "b c", 'q"uote'), parent="p/call[2]#3", forked_from="f"
        )
        summary = Summary(status="waiting", hot=False, wake_at=1, started_at=2, finished_at=3, error="it's \x00 bad")
        handle = Handle("a", scene.lease.shard)
        first = Change(handle=handle, seq=3, events=b"\x00\xff", create=created, summary=summary)
        assert not await scene.append(first)
        stored = await scene.store.load("a")
        assert stored is not None
        assert (stored.created, stored.summary) == (created, summary)
        assert (stored.handle.id, stored.handle.shard, stored.handle.key) == ("a", handle.shard, handle.key)
        assert handle.key is not None
        assert (stored.history, stored.snapshot_seq, stored.snapshot) == ([HistoryRow(3, b"\x00\xff")], 0, None)

    async def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert await store.load("a") is None
        assert await store.history("a") == []
        assert await store.find_start("a") is None
        assert await store.definition("a") is None

    async def test_every_new_execution_of_a_batch_gets_its_own_key(self, scene: Scene) -> None:
        handles = [Handle(f"e{number}", scene.lease.shard) for number in range(700)]
        changes = [creation(handle, events=handle.id.encode()) for handle in handles]
        await scene.append(*changes)
        await scene.append(*[change(handle, 2, f"{handle.id} again".encode()) for handle in reversed(handles)])
        for handle in handles:
            stored = await scene.store.load(handle.id)
            assert stored is not None
            assert stored.handle.key == handle.key
            assert [row.events for row in stored.history] == [handle.id.encode(), f"{handle.id} again".encode()]

    async def test_an_execution_can_be_created_and_continued_in_one_batch(self, scene: Scene) -> None:
        handle = Handle("a", scene.lease.shard)
        await scene.append(
            creation(handle),
            change(handle, 4, summary=WAITING),
            change(handle, 5),
            change(handle, 6, summary=COMPLETED),
        )
        stored = await scene.store.load("a")
        assert stored is not None
        assert [row.seq for row in stored.history] == [1, 4, 5, 6]
        assert stored.summary == COMPLETED

    async def test_a_summary_stays_until_a_change_brings_another(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, 2))
        assert (await scene.store.load("a")).summary == WAITING  # type: ignore[union-attr]
        await scene.append(change(handle, 3, summary=RUNNING), change(handle, 4, summary=COMPLETED), change(handle, 5))
        assert (await scene.store.load("a")).summary == COMPLETED  # type: ignore[union-attr]

    async def test_a_change_without_events_leaves_no_history(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(change(handle, 1, b"", summary=WAITING))
        assert [row.seq for row in await scene.store.history("a")] == [1]

    async def test_history_is_read_in_order_and_in_parts(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(*[change(handle, seq, str(seq).encode()) for seq in range(3, 30, 3)])
        assert [row.seq for row in await scene.store.history("a", 0, 3)] == [1, 3, 6]
        assert [row.seq for row in await scene.store.history("a", 6, 2)] == [9, 12]
        assert await scene.store.history("a", 24) == [HistoryRow(27, b"27")]
        assert await scene.store.history("a", 27) == []

    async def test_loading_gives_the_latest_snapshot_and_what_came_after_it(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(change(handle, 5, snapshot=b"at 5"), change(handle, 9, snapshot=b"at 9"), change(handle, 10))
        stored = await scene.store.load("a")
        assert stored is not None
        assert (stored.snapshot_seq, stored.snapshot, stored.history) == (9, b"at 9", [HistoryRow(10, b"more")])
        await scene.append(change(handle, 12, snapshot=b"at 12"))
        stored = await scene.store.load("a")
        assert stored is not None
        assert (stored.snapshot_seq, stored.snapshot, stored.history) == (12, b"at 12", [])

    async def test_large_values_are_kept(self, scene: Scene) -> None:
        handle = await scene.create("a", events=b"x" * 1_000_000)
        await scene.append(change(handle, 2, b"", snapshot=b"y" * 3_000_000))
        stored = await scene.store.load("a")
        assert stored is not None
        assert stored.snapshot == b"y" * 3_000_000
        assert (await scene.store.history("a"))[0].events == b"x" * 1_000_000

    async def test_what_is_given_out_is_not_what_is_kept(self, scene: Scene) -> None:
        handle = await scene.create("a")
        stored = await scene.store.load("a")
        assert stored is not None
        stored.handle.shard, stored.summary, stored.history = 99, COMPLETED, []
        handle.id = "b"
        again = await scene.store.load("a")
        assert again is not None
        assert (again.handle.shard, again.summary, len(again.history)) == (scene.lease.shard, RUNNING, 1)

    async def test_an_execution_that_moved_is_of_the_new_version_from_then_on(self, scene: Scene) -> None:
        handle = await scene.create("a", tags=("t",))
        moves = [change(handle, seq, moved_to=NewVersion(f"{seq}.0.0", f"d{seq}")) for seq in (2, 3)]
        await scene.append(*moves, change(handle, 4))
        stored = await scene.store.load("a")
        assert stored is not None
        assert stored.created == new_execution(version="3.0.0", digest="d3", tags=("t",))
        (listed,) = (await scene.store.list(ExecutionQuery(version="3.0.0"))).items
        assert listed.created == stored.created

    async def test_an_execution_may_move_in_the_batch_that_creates_it(self, scene: Scene) -> None:
        handle = Handle("a", scene.lease.shard)
        await scene.append(creation(handle), change(handle, moved_to=NewVersion("2.0.0", "d2")))
        assert (await scene.store.load("a")).created.digest == "d2"  # type: ignore[union-attr]

    async def test_the_children_of_an_execution_are_those_its_steps_started(self, scene: Scene) -> None:
        for name, parent in (("one", "a/call"), ("other", "ab/call"), ("two", "a/call[1]"), ("three", "one/call")):
            await scene.create(name, parent=parent)
        await scene.create("none")
        assert await scene.store.children("a") == ["one", "two"]
        assert await scene.store.children("call") == []

    # ── What append refuses ──────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_lost_fence_is_refused_and_nothing_is_written(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.store.post([InboxItem(shard=scene.lease.shard, kind="event", payload=b"")])
        (item,) = await scene.inbox()
        taken = await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        new = Handle("b", scene.lease.shard)
        with pytest.raises(FenceLost):
            await scene.append(change(handle), creation(new), consumed=[item.id])
        assert new.key is None
        assert await scene.store.load("b") is None
        assert len(await scene.store.history("a")) == 1
        assert await scene.inbox() == [item]
        scene.lease = taken
        await scene.append(change(handle), creation(new), consumed=[item.id])

    async def test_one_lost_fence_among_several_is_enough(self, store: Store) -> None:
        first, second = await scene_on(store), await scene_on(store)
        await store.release([second.lease])
        handle = Handle("a", first.lease.shard)
        with pytest.raises(FenceLost):
            await store.append(batch([first.lease, second.lease], creation(handle)))
        assert await store.load("a") is None

    async def test_a_taken_start_key_is_refused_and_nothing_is_written(self, scene: Scene) -> None:
        handle = await scene.create("a", start_key="order 7")
        second, third = Handle("b", scene.lease.shard), Handle("c", scene.lease.shard)
        with pytest.raises(DuplicateStart) as raised:
            await scene.append(change(handle), creation(second), creation(third, start_key="order 7"))
        assert raised.value.start_key == "order 7"
        assert second.key is third.key is None
        assert await scene.store.load("b") is None
        assert len(await scene.store.history("a")) == 1
        assert await scene.store.find_start("order 7") == "a"
        await scene.append(change(handle), creation(second), creation(third, start_key="order 8"))
        assert await scene.store.find_start("order 8") == "c"

    async def test_a_start_key_cannot_be_used_twice_in_one_batch(self, scene: Scene) -> None:
        handles = [Handle(name, scene.lease.shard) for name in "ab"]
        with pytest.raises(DuplicateStart) as raised:
            await scene.append(*[creation(handle, start_key="twice") for handle in handles])
        assert raised.value.start_key == "twice"
        assert await scene.store.find_start("twice") is None

    async def test_executions_without_a_start_key_do_not_clash(self, scene: Scene) -> None:
        await scene.create("a")
        await scene.create("b")

    @pytest.mark.parametrize("what", ["same id", "same row", "same row at once", "never created", "foreign shard"])
    async def test_a_contradiction_is_refused_and_nothing_is_written(self, scene: Scene, what: str) -> None:
        handle = await scene.create("a")
        shard = scene.lease.shard
        wrong = {
            "same id": [creation(Handle("a", shard))],
            "same row": [change(handle, 1)],
            "same row at once": [change(handle, 7), change(handle, 7)],
            "never created": [change(Handle("x", shard), 2)],
            "foreign shard": [creation(Handle("x", shard + 1))],
        }[what]
        with pytest.raises(StoreError) as raised:
            await scene.append(creation(Handle("b", shard)), change(handle), *wrong)
        assert raised.value.code == "store-conflict"
        assert await scene.store.load("b") is None
        assert len(await scene.store.history("a")) == 1
        await scene.append(change(handle))

    # ── What an owner asks ───────────────────────────────────────────────────────────────────────────────────────────

    async def test_hot_executions_are_those_with_work_in_flight_oldest_first(self, store: Store) -> None:
        here, elsewhere = await scene_on(store), await scene_on(store)
        handles = [await here.create(name) for name in ("d", "b", "c", "a")]
        await here.create("parked", WAITING)
        await elsewhere.create("other")
        await here.append(change(handles[1], summary=COMPLETED))
        assert await store.hot(here.lease.shard) == ["d", "c", "a"]
        await here.append(change(handles[1], 3, summary=RUNNING))
        assert await store.hot(here.lease.shard) == ["d", "b", "c", "a"]
        assert await store.hot(99) == []

    async def test_unfinished_executions_are_counted_by_shard(self, store: Store) -> None:
        assert await store.shards() == []
        here, elsewhere = await scene_on(store), await scene_on(store)
        await elsewhere.create("other", WAITING)
        handles = [await here.create(status, Summary(status=status, hot=False)) for status in ("pending", "waiting")]
        await here.create("done", COMPLETED)
        assert await store.unfinished(here.lease.shard) == 2
        assert await store.shards() == [here.lease.shard, elsewhere.lease.shard]
        for status, handle in zip(("failed", "cancelled"), handles, strict=True):
            await here.append(change(handle, summary=Summary(status=status, hot=False)))
        assert await store.unfinished(here.lease.shard) == 0
        assert await store.shards() == [elsewhere.lease.shard]

    async def test_a_shard_with_an_ended_execution_that_is_still_at_work_is_not_forgotten(self, scene: Scene) -> None:
        handle = await scene.create("a", Summary(status="failed", hot=True))
        assert await scene.store.unfinished(scene.lease.shard) == 0
        assert await scene.store.hot(scene.lease.shard) == ["a"]
        assert await scene.store.shards() == [scene.lease.shard]
        await scene.append(change(handle, summary=Summary(status="failed", hot=False)))
        assert await scene.store.shards() == []

    async def test_a_shard_in_whose_inbox_something_has_to_be_begun_is_not_forgotten(self, scene: Scene) -> None:
        shard = scene.lease.shard
        assert await scene.store.shards() == []
        for kind in ("start", "start_child", "compensate_self"):
            await scene.store.post([InboxItem(shard=shard, kind=kind, payload=b"")])
            assert await scene.store.shards() == [shard]
            await scene.append(consumed=[item.id for item in await scene.inbox()])
            assert await scene.store.shards() == []
        await scene.store.post([InboxItem(shard=shard, kind="answer", payload=b"")])
        assert await scene.store.shards() == []

    async def test_due_executions_are_the_parked_ones_whose_time_has_come(self, store: Store) -> None:
        here, elsewhere = await scene_on(store), await scene_on(store)
        assert await store.next_wake(here.lease.shard) is None
        for name, at in (("late", 50), ("early", 10), ("middle", 30), ("never", None)):
            await here.create(name, Summary(status="waiting", hot=False, wake_at=at))
        await here.create("at work", Summary(status="running", hot=True, wake_at=1))
        await elsewhere.create("other", Summary(status="waiting", hot=False, wake_at=5))
        shard = here.lease.shard
        assert await store.next_wake(shard) == 10
        assert await store.due(shard, 9, 10) == []
        assert await store.due(shard, 10, 10) == ["early"]
        assert await store.due(shard, 99, 10) == ["early", "middle", "late"]
        assert await store.due(shard, 99, 2) == ["early", "middle"]

    async def test_an_execution_that_was_woken_is_no_longer_due(self, scene: Scene) -> None:
        handle = await scene.create("a", Summary(status="waiting", hot=False, wake_at=10))
        await scene.append(change(handle, summary=RUNNING))
        assert await scene.store.due(scene.lease.shard, 99, 10) == []
        assert await scene.store.next_wake(scene.lease.shard) is None

    # ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_executions_are_listed_newest_first(self, scene: Scene) -> None:
        for name, at in (("middle", 20), ("newest", 30), ("oldest", 10), ("second middle", 20)):
            await scene.create(name, created_at=at, tags=("t",))
        page = await scene.store.list(ExecutionQuery())
        assert [item.id for item in page.items] == ["newest", "second middle", "middle", "oldest"]
        assert page.next is None
        assert page.items[0].created == new_execution(created_at=30, tags=("t",))
        assert page.items[0].summary == RUNNING

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (ExecutionQuery(workflow="shop"), "ba"),
            (ExecutionQuery(version="2.0.0"), "cb"),
            (ExecutionQuery(workflow="shop", version="2.0.0"), "b"),
            (ExecutionQuery(statuses=("waiting",)), "b"),
            (ExecutionQuery(statuses=("waiting", "running")), "ba"),
            (ExecutionQuery(tag="red"), "ca"),
            (ExecutionQuery(tag="re"), ""),
            (ExecutionQuery(parent="p"), "b"),
            (ExecutionQuery(parent="p/"), ""),
            (ExecutionQuery(parent=""), ""),
            (ExecutionQuery(created_from=20), "cb"),
            (ExecutionQuery(created_to=20), "a"),
            (ExecutionQuery(created_from=20, created_to=30), "b"),
            (ExecutionQuery(created_from=40), ""),
            (ExecutionQuery(workflow="x' OR 1=1 --"), ""),
            (ExecutionQuery(namespaces=("default",)), "ba"),
            (ExecutionQuery(namespaces=("team", "nobody")), "c"),
            (ExecutionQuery(namespaces=()), ""),
            (ExecutionQuery(text="TEAM.Oth"), "c"),
            (ExecutionQuery(text="lu"), "a"),
            (ExecutionQuery(text="%"), ""),
        ],
    )
    async def test_lists_are_filtered(self, scene: Scene, query: ExecutionQuery, expected: str) -> None:
        await scene.create("a", created_at=10, tags=("red", "blue"))
        await scene.create("b", WAITING, created_at=20, version="2.0.0", parent="p/call")
        await scene.create(
            "c", COMPLETED, created_at=30, version="2.0.0", workflow="team.other", tags=("red",), parent="pp/x"
        )
        assert "".join(item.id for item in (await scene.store.list(query)).items) == expected

    async def test_a_list_is_read_page_by_page_while_executions_are_added(self, scene: Scene) -> None:
        names = [f"e{number}" for number in range(7)]
        for number, name in enumerate(names):
            await scene.create(name, created_at=number // 3)
        seen, query = [], ExecutionQuery(limit=3)
        for turn in range(3):
            page = await scene.store.list(query)
            seen += [item.id for item in page.items]
            await scene.create(f"new{turn}", created_at=100)
            query = ExecutionQuery(limit=3, cursor=page.next)
        assert seen == list(reversed(names))
        assert query.cursor is None

    async def test_a_full_last_page_has_no_next(self, scene: Scene) -> None:
        for name in "abcd":
            await scene.create(name)
        first = await scene.store.list(ExecutionQuery(limit=2))
        second = await scene.store.list(ExecutionQuery(limit=2, cursor=first.next))
        assert first.next is not None
        assert (len(second.items), second.next) == (2, None)

    @pytest.mark.parametrize("cursor", ["", "x", "1", "1.2.3", "9" * 40 + ".1", "1.-2", "\N{ARABIC-INDIC DIGIT ONE}.1"])
    async def test_a_cursor_that_is_none_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(UsageError) as raised:
            await store.list(ExecutionQuery(cursor=cursor))
        assert raised.value.code == "invalid-cursor"

    async def test_a_list_of_nothing_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError):
            await store.list(ExecutionQuery(limit=0))

    # ── Events for waits that are there ──────────────────────────────────────────────────────────────────────────────

    async def test_an_event_is_put_into_the_inbox_of_every_step_that_waits_for_it(self, store: Store) -> None:
        here, elsewhere = await scene_on(store), await scene_on(store)
        a, b = await here.create("a", WAITING), await elsewhere.create("b", WAITING)
        await here.append(change(a, waits_begun=[wait("one", order=7), wait("two", order=7), wait("three", order=8)]))
        await elsewhere.append(change(b, waits_begun=[wait("four", order=7)]))
        sent = event("e1", order=7, note="ü", list=[1, 2.5, None])
        published = await store.publish(sent, NOW, LATER)
        assert (published.duplicate, published.waits, published.engine_present) == (False, 3, True)
        assert await here.received() == [("event", "a", "one", "e1"), ("event", "a", "two", "e1")]
        assert await elsewhere.received() == [("event", "b", "four", "e1")]
        (item,) = await elsewhere.inbox()
        assert (item.shard, decoded(item)) == (elsewhere.lease.shard, sent)

    async def test_only_events_that_could_match_are_handed_over(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        waits = [wait("seven", order=7), wait("any"), wait("nested", who__name="x"), wait("other", "shipped")]
        await scene.append(change(handle, waits_begun=waits))
        await scene.store.publish(event("e1", order=7), NOW, LATER)
        await scene.store.publish(event("e2", order="7"), NOW, LATER)
        await scene.store.publish(event("e3", who={"name": "x"}), NOW, LATER)
        await scene.store.publish(Event(id="e4", type="paid", source="test"), NOW, LATER)
        assert sorted((id_, step) for _, _, step, id_ in await scene.received()) == [
            ("e1", "any"), ("e1", "seven"), ("e2", "any"), ("e3", "any"), ("e3", "nested"), ("e4", "any"),
        ]  # fmt: skip

    async def test_an_event_with_very_many_fields_finds_every_wait(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, waits_begun=[wait("far", field_999=999), wait("any")]))
        published = await scene.store.publish(many_fields("e1"), NOW, LATER)
        assert published.waits == 2

    async def test_a_second_event_with_the_same_source_and_id_is_a_duplicate(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, waits_begun=[wait()]))
        await scene.store.publish(event("e1", first=True), NOW, LATER)
        again = await scene.store.publish(event("e1", first=False), NOW, LATER)
        assert (again.duplicate, again.waits) == (True, 0)
        assert len(await scene.inbox()) == 1
        other = Event(id="e1", type="paid", source="other source")
        assert not (await scene.store.publish(other, NOW, LATER)).duplicate

    async def test_what_is_posted_with_an_event_is_there_with_it_and_not_with_a_duplicate(self, scene: Scene) -> None:
        here = InboxItem(shard=scene.lease.shard, kind="start", payload=b"one")
        anywhere = InboxItem(shard=ANYWHERE, kind="start", payload=b"two")
        published = await scene.store.publish(event("e1"), NOW, LATER, [here, anywhere])
        assert (published.duplicate, published.waits, published.engine_present) == (False, 0, True)
        assert (await scene.store.publish(event("e1"), NOW, LATER, [here])).duplicate
        assert [(item.kind, item.payload) for item in await scene.inbox()] == [("start", b"one"), ("start", b"two")]

    async def test_a_shard_in_which_something_is_to_be_started_is_for_who_takes_over(self, store: Store) -> None:
        anywhere = InboxItem(shard=ANYWHERE, kind="start", payload=b"")
        published = await store.publish(event("e1"), NOW, LATER, [anywhere])
        assert not published.engine_present
        (shard,) = await store.shards()
        assert (await store.acquire(None, "new", NOW, TTL)).shard != shard
        assert len(await store.inbox(shard)) == 1

    async def test_a_wait_that_has_ended_gets_nothing(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, 2, waits_begun=[wait("one"), wait("two")]))
        await scene.append(change(handle, 3, waits_ended=[wait("one"), wait("never begun")]))
        await scene.store.publish(event(), NOW, LATER)
        assert await scene.received() == [("event", "a", "two", "e1")]

    async def test_a_wait_begun_and_ended_in_one_batch_is_none(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.store.publish(event("early"), NOW, LATER)
        assert not await scene.append(change(handle, 2, waits_begun=[wait()]), change(handle, 3, waits_ended=[wait()]))
        assert (await scene.store.publish(event("e1"), NOW, LATER)).waits == 0
        assert await scene.inbox() == []

    async def test_a_wait_that_ends_and_begins_again_is_there(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, 2, waits_begun=[wait()]))
        await scene.append(change(handle, 3, waits_ended=[wait()], waits_begun=[wait()]))
        await scene.append(change(handle, 4, waits_ended=[wait()]), change(handle, 5, waits_begun=[wait()]))
        assert (await scene.store.publish(event("e1"), NOW, LATER)).waits == 1

    async def test_publishing_says_whether_an_engine_will_act(self, store: Store) -> None:
        here, elsewhere = await scene_on(store), await scene_on(store)
        handle = await here.create("a", WAITING)
        await here.append(change(handle, waits_begun=[wait()]))
        assert (await store.publish(event("e1"), NOW, LATER)).engine_present
        await store.release([here.lease])
        assert not (await store.publish(event("e2"), NOW, LATER)).engine_present, "nobody owns the waiting one's shard"
        assert (await store.publish(event("e3", "nobody waits"), NOW, LATER)).engine_present
        assert not (await store.publish(event("e4", "nobody waits"), NOW + TTL, LATER)).engine_present
        assert (await store.publish(event("e4", "nobody waits"), NOW, LATER)).engine_present
        await store.release([elsewhere.lease])
        assert not (await store.publish(event("e4", "nobody waits"), NOW, LATER)).engine_present

    async def test_waits_of_a_type_are_listed_by_execution_and_step_and_the_list_goes_on(self, scene: Scene) -> None:
        for name in "zay":
            handle = await scene.create(name)
            waits = [wait("two", order=name), wait("one.[1,2]", x=1), wait("one.[1,2]", x=2), wait("no", "shipped")]
            await scene.append(change(handle, waits_begun=waits))
        seen, cursor = [], None
        while True:
            page = await scene.store.waiting("paid", limit=4, cursor=cursor)
            seen.append([(one.execution, one.step) for one in page.items])
            cursor = page.next
            if cursor is None:
                break
        assert seen == [
            [("z", "one.[1,2]"), ("z", "two"), ("a", "one.[1,2]"), ("a", "two")],
            [("y", "one.[1,2]"), ("y", "two")],
        ]
        assert (await scene.store.waiting("nothing")).items == []
        for cursor in ("x", "1", "-1.one", "1" * 30 + ".one"):
            with pytest.raises(UsageError, match="is not a cursor"):
                await scene.store.waiting("paid", cursor=cursor)

    async def test_waits_are_listed_by_the_namespaces_of_their_workflows(self, scene: Scene) -> None:
        for name, workflow in (("a", "shop"), ("b", "team.shop"), ("c", "team.other.shop"), ("d", "other.shop")):
            handle = await scene.create(name, workflow=workflow)
            await scene.append(change(handle, waits_begun=[wait()]))
        for namespaces, expected in (
            (None, "abcd"),
            (("default",), "a"),
            (("team",), "bc"),
            (("team", "other", "x"), "bcd"),
            ((), ""),
        ):
            page = await scene.store.waiting("paid", namespaces=namespaces)
            assert "".join(one.execution for one in page.items) == expected
        first = await scene.store.waiting("paid", namespaces=("team",), limit=1)
        second = await scene.store.waiting("paid", namespaces=("team",), limit=1, cursor=first.next)
        assert [one.execution for page in (first, second) for one in page.items] == ["b", "c"]
        assert second.next is None

    # ── Events that came before the wait ─────────────────────────────────────────────────────────────────────────────

    async def test_a_wait_that_begins_later_gets_the_events_that_it_could_want(self, scene: Scene) -> None:
        handle = await scene.create("a")
        for id_, order in (("e1", 7), ("e2", 8), ("e3", 7)):
            await scene.store.publish(event(id_, order=order), NOW, LATER)
        await scene.store.publish(event("e4", "shipped", order=7), NOW, LATER)
        assert await scene.append(change(handle, 2, waits_begun=[wait("one", order=7)]))
        assert await scene.received() == [("early_event", "a", "one", "e1"), ("early_event", "a", "one", "e3")]
        assert decoded((await scene.inbox())[0]) == event("e1", order=7)
        assert not await scene.append(change(handle, 3, waits_begun=[wait("two", order=9)]))
        assert await scene.append(change(handle, 4, waits_begun=[wait("three")]))
        assert [id_ for _, _, step, id_ in await scene.received() if step == "three"] == ["e1", "e2", "e3"]

    async def test_events_received_before_the_wait_counts_them_are_left_out(self, scene: Scene) -> None:
        handle = await scene.create("a")
        for at in (10, 20, 30):
            await scene.store.publish(event(f"at {at}", order=7), at, LATER)
        assert await scene.append(change(handle, waits_begun=[wait("one", since=20, order=7), wait("two", since=30)]))
        assert sorted((step, id_) for _, _, step, id_ in await scene.received()) == [
            ("one", "at 20"), ("one", "at 30"), ("two", "at 30"),
        ]  # fmt: skip

    async def test_an_early_event_with_very_many_fields_is_found_by_every_wait_once(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.store.publish(many_fields("big"), NOW, LATER)
        await scene.store.publish(event("small", field_999=999), NOW, LATER)
        await scene.append(change(handle, waits_begun=[wait("far", field_999=999), wait("any")]))
        assert sorted((step, id_) for _, _, step, id_ in await scene.received()) == [
            ("any", "big"), ("any", "small"), ("far", "big"), ("far", "small"),
        ]  # fmt: skip

    async def test_an_early_event_reaches_an_execution_created_in_the_same_batch(self, scene: Scene) -> None:
        await scene.store.publish(event("e1"), NOW, LATER)
        handle = Handle("a", scene.lease.shard)
        first = creation(handle)
        first.waits_begun = [wait("one")]
        assert await scene.append(first)
        assert await scene.received() == [("early_event", "a", "one", "e1")]

    async def test_an_event_and_a_wait_meet_whichever_comes_first(self, scene: Scene) -> None:
        handles = [await scene.create(f"e{number}", WAITING) for number in range(40)]
        calls: list[Coroutine[Any, Any, Any]] = []
        for number, handle in enumerate(handles):
            pair = [
                scene.append(change(handle, waits_begun=[wait(order=number)])),
                scene.store.publish(event(f"about {number}", order=number), NOW, LATER),
            ]
            calls += pair if number % 2 else reversed(pair)
        await asyncio.gather(*calls)
        received = await scene.received()
        assert sorted(id_ for _, _, _, id_ in received) == sorted(f"about {number}" for number in range(40))
        assert {kind for kind, _, _, _ in received} == {"event", "early_event"}

    # ── Forgetting events ────────────────────────────────────────────────────────────────────────────────────────────

    async def test_events_are_forgotten_when_their_time_has_passed(self, scene: Scene) -> None:
        handle = await scene.create("a", created_at=NOW + 1)
        for number, until in enumerate((10, 20, 30)):
            await scene.store.publish(event(f"e{number}", order=7), NOW, until)
        assert await scene.store.forget_events(9) == 0
        assert await scene.store.forget_events(20) == 2
        assert await scene.store.forget_events(20) == 0
        await scene.append(change(handle, waits_begun=[wait("one", order=7)]))
        assert await scene.received() == [("early_event", "a", "one", "e2")]
        assert not (await scene.store.publish(event("e0"), NOW, 10)).duplicate

    async def test_events_are_kept_as_long_as_an_execution_that_could_want_them(self, scene: Scene) -> None:
        await scene.store.publish(event("before"), NOW, NOW + 1)
        handle = await scene.create("a", created_at=NOW + 2)
        await scene.store.publish(event("after"), NOW + 2, NOW + 3)
        assert await scene.store.forget_events(NOW + 10) == 1
        await scene.append(change(handle, summary=COMPLETED))
        assert await scene.store.forget_events(NOW + 10) == 1

    async def test_many_events_are_forgotten(self, scene: Scene) -> None:
        for number in range(1_050):
            await scene.store.publish(event(f"e{number}"), NOW, NOW)
        assert await scene.store.forget_events(NOW) == 1_050
        assert (await scene.store.status()).events == 0

    async def test_an_inbox_keeps_what_it_needs_of_a_forgotten_event(self, scene: Scene) -> None:
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, 2, waits_begun=[wait()]))
        await scene.store.publish(event("e1", order=7), NOW, NOW)
        await scene.append(change(handle, 3, summary=COMPLETED))
        assert await scene.store.forget_events(NOW + 1) == 1
        (item,) = await scene.inbox()
        assert decoded(item) == event("e1", order=7)

    # ── The inbox ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_what_is_posted_lies_in_the_inbox_of_its_shard_in_order(self, scene: Scene) -> None:
        shard = scene.lease.shard
        items = [InboxItem(shard=shard, kind="cancel", payload=bytes([n]), execution="a", step="s") for n in range(5)]
        await scene.store.post([*items, InboxItem(shard=shard + 1, kind="cancel", payload=b"other")])
        found = await scene.inbox()
        assert [msgspec.structs.replace(item, id=0) for item in found] == items
        assert [item.id for item in found] == sorted({item.id for item in found})
        assert await scene.store.inbox(shard, after=found[1].id, limit=2) == found[2:4]
        assert [item.payload for item in await scene.store.inbox(shard + 1)] == [b"other"]

    async def test_a_batch_deletes_what_it_consumed_and_posts_to_others(self, scene: Scene) -> None:
        shard = scene.lease.shard
        await scene.store.post([InboxItem(shard=shard, kind="cancel", payload=bytes([n])) for n in range(3)])
        first, second, third = await scene.inbox()
        posted = InboxItem(shard=shard + 5, kind="started", payload=b"p")
        await scene.append(consumed=(first.id, third.id, 999_999), posts=[posted])
        assert await scene.inbox() == [second]
        (other,) = await scene.store.inbox(shard + 5)
        assert (other.kind, other.payload, other.execution, other.step) == ("started", b"p", None, None)

    async def test_ids_are_never_given_twice(self, scene: Scene, open_store: OpenStore) -> None:
        seen = set[int]()
        for turn in range(3):
            await scene.store.post([InboxItem(shard=scene.lease.shard, kind="cancel", payload=b"")])
            (item,) = await scene.inbox()
            assert item.id > max(seen, default=0)
            seen.add(item.id)
            await scene.append(consumed=[item.id])
            if turn == 1:
                await scene.store.close()
                await scene.store.open()
                scene.lease = await scene.store.acquire(scene.lease.shard, "again", NOW, TTL)

    async def test_an_owner_is_called_when_somebody_puts_something_into_its_inbox(self, open_store: OpenStore) -> None:
        owner = await scene_on(await open_store(), "owner")
        handle = await owner.create("a", WAITING)
        await owner.append(change(handle, waits_begun=[wait()]))
        called = asyncio.Event()
        owner.store.listen(called.set)
        stranger = await open_store()
        other = await scene_on(stranger, "other")
        item = InboxItem(shard=owner.lease.shard, kind="cancel", payload=b"")

        async def is_called_after(call: Awaitable[Any]) -> None:
            called.clear()
            await call
            await asyncio.wait_for(called.wait(), PATIENCE)

        await is_called_after(stranger.post([item]))
        await is_called_after(stranger.publish(event(), NOW, LATER))
        await is_called_after(other.append(posts=[item]))
        await is_called_after(owner.store.post([item]))

    async def test_many_items_are_few_calls(self, scene: Scene) -> None:
        calls: list[str] = []
        called = asyncio.Event()
        scene.store.listen(lambda: calls.append("called"))
        scene.store.listen(called.set)
        await scene.store.post([InboxItem(shard=scene.lease.shard, kind="cancel", payload=b"")] * 100)
        await asyncio.wait_for(called.wait(), PATIENCE)
        assert calls == ["called"]

    async def test_nobody_is_called_for_the_inbox_of_another_shard(self, open_store: OpenStore) -> None:
        first, second = await scene_on(await open_store(), "first"), await scene_on(await open_store(), "second")
        calls: list[str] = []
        called = asyncio.Event()
        first.store.listen(lambda: calls.append("first"))
        second.store.listen(called.set)
        await first.store.post([InboxItem(shard=second.lease.shard, kind="cancel", payload=b"")])
        await asyncio.wait_for(called.wait(), PATIENCE)
        assert calls == []

    # ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_definition_is_kept_under_its_digest(self, store: Store) -> None:
        await store.put_definition(DEFINITION)
        await store.put_definition(msgspec.structs.replace(DEFINITION, text="changed"))
        assert await store.definition("d1") == DEFINITION

    # ── Care ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_the_status_counts_what_is_there(self, scene: Scene) -> None:
        await scene.create("a")
        await scene.create("b")
        handle = await scene.create("c", WAITING)
        await scene.append(change(handle, waits_begun=[wait("one"), wait("two", order=1)]))
        await scene.store.publish(event(), NOW, LATER)
        status = await scene.store.status()
        assert status.executions == {"running": 2, "waiting": 1}
        assert (status.waits, status.events, status.inbox) == (2, 1, 1)
        assert status.schema_version == status.current_version
        (owner,) = status.owners
        assert (owner["shard"], owner["owner"], owner["expires_at"]) == (scene.lease.shard, "engine", NOW + TTL)

    async def test_a_healthy_store_has_no_problems(self, scene: Scene) -> None:
        await scene.store.put_definition(DEFINITION)
        handle = await scene.create("a", WAITING)
        await scene.append(change(handle, 2, waits_begun=[wait()], snapshot=b"s"), change(handle, 5))
        await scene.store.publish(event(), NOW, LATER)
        assert await scene.store.check() == []

    async def test_all_executions_are_read_with_their_whole_history(self, scene: Scene) -> None:
        handles = [await scene.create(name) for name in "abc"]
        await scene.append(change(handles[1], 4, snapshot=b"at 4"), change(handles[1], 6))
        first = await scene.store.executions_after(0, 2)
        assert [stored.handle.id for stored in first] == ["a", "b"]
        assert (first[1].snapshot_seq, first[1].snapshot) == (4, b"at 4")
        assert [row.seq for row in first[1].history] == [1, 4, 6]
        rest = await scene.store.executions_after(first[1].handle.key or 0, 2)
        assert [stored.handle.id for stored in rest] == ["c"]
        assert await scene.store.executions_after(rest[0].handle.key or 0, 2) == []

    # ── Any history ──────────────────────────────────────────────────────────────────────────────────────────────────

    def test_whatever_is_appended_comes_back(self) -> None:
        @settings(max_examples=20, deadline=None)
        @given(st.data())
        def whatever_is_appended_comes_back(data: st.DataObject) -> None:
            asyncio.run(self._append_anything(data))

        whatever_is_appended_comes_back()

    async def _append_anything(self, data: st.DataObject) -> None:
        async with self.place() as open_store:
            scene = await scene_on(await open_store())
            handles: list[Handle] = []
            expected: dict[str, list[HistoryRow]] = {}
            for turn in range(data.draw(st.integers(1, 6), "batches")):
                changes = _any_changes(data, handles, expected, scene.lease.shard)
                if data.draw(st.booleans(), "refused"):
                    before = dict(expected)
                    with pytest.raises(FenceLost):
                        await scene.store.append(Batch(fences={scene.lease.shard: 10**6}, changes=changes))
                    assert expected == before
                else:
                    await scene.append(*changes)
                    _note(changes, handles, expected)
                if data.draw(st.booleans(), "reopened"):
                    await scene.store.close()
                    await scene.store.open()
                    scene.lease = await scene.store.acquire(scene.lease.shard, f"engine {turn}", NOW, TTL)
            stored = await scene.store.executions_after(0, 10_000)
            assert {one.handle.id: list(one.history) for one in stored} == expected
            for name, rows in expected.items():
                assert await scene.store.history(name, limit=10_000) == rows


def many_fields(id_: str) -> Event:
    """An event with a thousand fields."""
    return Event(id=id_, type="paid", source="test", data={f"field_{number}": number for number in range(1_000)})


def _any_changes(
    data: st.DataObject, handles: Sequence[Handle], expected: dict[str, list[HistoryRow]], shard: int
) -> list[Change]:
    """Changes of some known executions, several of one too, and some new executions."""
    changes, last = [], {name: rows[-1].seq for name, rows in expected.items()}
    for handle in data.draw(st.lists(st.sampled_from(handles), max_size=8) if handles else st.just([]), "continued"):
        last[handle.id] += data.draw(st.integers(1, 5), "events")
        changes.append(change(handle, last[handle.id], data.draw(st.binary(min_size=1, max_size=200), "row")))
    new = data.draw(st.one_of(st.integers(0, 5), st.integers(0, 300)), "new")
    created = [Handle(f"e{len(expected) + number}", shard) for number in range(new)]
    return [*changes, *[creation(handle, events=f"{handle.id}!".encode()) for handle in created]]


def _note(changes: Sequence[Change], handles: list[Handle], expected: dict[str, list[HistoryRow]]) -> None:
    for one in changes:
        if one.create is not None:
            handles.append(one.handle)
        expected.setdefault(one.handle.id, []).append(HistoryRow(one.seq, one.events))
