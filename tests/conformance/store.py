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

from stepwell.base.errors import Conflict, FenceLost, StoreError
from stepwell.execution.event import Event
from stepwell.execution.matching import match_key_of_filter
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import (
    Batch,
    Change,
    Handle,
    HistoryRow,
    InboxItem,
    Lease,
    NewExecution,
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
    """Life, ownership, definitions and care."""

    # ── Life ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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

    # ── Ownership ─────────────────────────────────────────────────────────────────────────────────────────────────────

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

    # ── Definitions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_definition_is_kept_under_its_digest(self, store: Store) -> None:
        await store.put_definition(DEFINITION)
        await store.put_definition(msgspec.structs.replace(DEFINITION, text="changed"))
        assert await store.definition("d1") == DEFINITION

    # ── Care ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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
