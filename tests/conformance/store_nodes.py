"""What every store must do for engines that share shards out among them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from stepwell.base.errors import FenceLost
from stepwell.ports.records import Attendance, FreeShard, Handle, InboxItem, Lease, Presence, Summary
from stepwell.ports.store import Store
from tests.conformance.store import NOW, PATIENCE, TTL, OpenStore, StorePlace, batch, change, creation

SHARDS = 4
BOX = -(2**62) - 77
"""An inbox that belongs to no shard."""


def presence(name: str = "one", since: int = NOW, *, leaving: bool = False, about: bytes = b"{}") -> Presence:
    """What a node says of itself."""
    return Presence(name=name, shards=SHARDS, since=since, leaving=leaving, about=about)


async def attend(
    store: Store, name: str = "one", leases: list[Lease] | None = None, at: int = NOW, *, leaving: bool = False
) -> Attendance:
    """A node says that it is there."""
    return await store.attend(presence(name, leaving=leaving), leases or [], at, TTL)


def numbers(free: Attendance) -> list[int]:
    """The shards that are free."""
    return [each.shard for each in free.free]


class NodesConformance(StorePlace):
    """Attending, claiming, departing; being told of it; inboxes of nobody's shard."""

    async def test_a_node_sees_itself_and_every_shard_that_is_shared_out(self, store: Store) -> None:
        said = presence(about=b'{"url": "http://127.0.0.1:1"}')
        assert await store.attend(said, [], NOW, TTL) == Attendance(
            nodes=[said], lost=[], free=[FreeShard(shard, 0, released=True) for shard in range(SHARDS)]
        )

    async def test_nodes_are_in_the_order_in_which_they_came(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await first.attend(presence("b", NOW), [], NOW, TTL)
        await first.attend(presence("c", NOW), [], NOW, TTL)
        seen = await second.attend(presence("a", NOW + 1), [], NOW + 1, TTL)
        assert [node.name for node in seen.nodes] == ["b", "c", "a"]

    async def test_a_node_is_alive_until_its_time_runs_out(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await attend(first, "one")
        assert [node.name for node in (await attend(second, "two", at=NOW + TTL - 1)).nodes] == ["one", "two"]
        assert [node.name for node in (await attend(second, "two", at=NOW + TTL)).nodes] == ["two"]

    async def test_what_a_node_says_of_itself_is_seen_by_others(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await first.attend(presence("one", about=b"old"), [], NOW, TTL)
        await first.attend(presence("one", leaving=True, about=b"new"), [], NOW, TTL)
        one, _ = (await attend(second, "two")).nodes
        assert one == presence("one", leaving=True, about=b"new")

    async def test_claiming_owns_what_has_no_living_owner_and_leaves_out_the_rest(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        taken = await first.claim([3, 1], "one", NOW, TTL)
        assert [lease.shard for lease in taken] == [1, 3]
        others = await second.claim([0, 1, 2, 3], "two", NOW + 1, TTL)
        assert [(lease.shard, lease.expires_at) for lease in others] == [(0, NOW + 1 + TTL), (2, NOW + 1 + TTL)]
        late = await second.claim([1, 3], "two", NOW + TTL, TTL)
        assert [lease.shard for lease in late] == [1, 3]
        assert all(after.fence > before.fence for before, after in zip(taken, late, strict=True))

    async def test_a_claimed_shard_can_be_written_and_its_old_owner_cannot(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        (old,) = await first.claim([2], "one", NOW, TTL)
        handle = Handle("a", 2)
        await first.append(batch(old, creation(handle)))
        (new,) = await second.claim([2], "two", NOW + TTL, TTL)
        with pytest.raises(FenceLost) as lost:
            await first.append(batch(old, change(handle)))
        assert lost.value.shards == (2,)
        stored = await second.load("a")
        assert stored is not None
        await second.append(batch(new, change(stored.handle)))

    async def test_all_lost_shards_of_a_batch_are_named_and_nothing_is_written(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        leases = await first.claim([0, 1, 2], "one", NOW, TTL)
        await second.claim([0, 2], "two", NOW + TTL, TTL)
        with pytest.raises(FenceLost) as lost:
            await first.append(batch(leases, creation(Handle("a", 1))))
        assert sorted(lost.value.shards) == [0, 2]
        assert await first.load("a") is None

    async def test_attending_prolongs_every_lease_that_is_still_there(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        leases = list(await first.claim([0, 1, 2], "one", NOW, TTL))
        await second.claim([1], "two", NOW + TTL, TTL)
        seen = await attend(first, "one", leases, at=NOW + TTL + 1)
        assert list(seen.lost) == [1]
        assert numbers(seen) == [3]
        assert numbers(await attend(second, "two", at=NOW + 2 * TTL)) == [1, 3]

    async def test_a_frozen_owner_keeps_what_nobody_took(self, store: Store) -> None:
        leases = list(await store.claim([0], "one", NOW, TTL))
        assert list((await attend(store, "one", leases, at=NOW + 10 * TTL)).lost) == []
        assert await store.claim([0], "two", NOW + 10 * TTL + 1, TTL) == []

    async def test_a_lease_that_was_given_up_is_lost(self, store: Store) -> None:
        leases = list(await store.claim([0], "one", NOW, TTL))
        await store.release(leases)
        assert list((await attend(store, "one", leases)).lost) == [0]

    async def test_shards_that_were_given_up_can_be_told_from_those_whose_lease_ran_out(
        self, open_store: OpenStore
    ) -> None:
        first, second = await open_store(), await open_store()
        kept, given = await first.claim([0, 1], "one", NOW, TTL)
        await first.release([given])
        assert list((await attend(second, "two", at=NOW + TTL)).free) == [
            FreeShard(0, kept.fence, released=False),
            FreeShard(1, given.fence, released=True),
            FreeShard(2, 0, released=True),
            FreeShard(3, 0, released=True),
        ]

    async def test_shards_beyond_those_shared_out_are_seen_when_they_are_free(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        owned = await first.acquire(None, "alone", NOW, TTL, behind=SHARDS)
        assert owned.shard == SHARDS
        assert numbers(await attend(second, "two")) == [0, 1, 2, 3]
        assert numbers(await attend(second, "two", at=NOW + TTL)) == [0, 1, 2, 3, 4]

    async def test_who_departs_owns_nothing_and_is_not_there(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await attend(first, "one")
        await first.claim([0, 1], "one", NOW, TTL)
        await first.depart("one")
        await first.depart("nobody")
        seen = await attend(second, "two")
        assert [node.name for node in seen.nodes] == ["two"]
        assert all(each.released for each in seen.free)
        assert len(await second.claim([0, 1], "two", NOW, TTL)) == 2

    async def test_the_inboxes_of_several_shards_are_read_at_once(self, store: Store) -> None:
        posted = [
            InboxItem(shard=shard, kind="note", payload=bytes([number])) for number, shard in enumerate((1, 2, 1, 3))
        ]
        await store.post(posted)
        items = await store.inboxes({1: 0, 2: 0})
        assert [(item.shard, item.payload) for item in items] == [(1, b"\0"), (2, b"\1"), (1, b"\2")]
        assert [item.payload for item in await store.inboxes({1: items[0].id, 2: items[1].id})] == [b"\2"]
        assert [item.payload for item in await store.inboxes({1: 0, 2: 0, 3: 0}, limit=2)] == [b"\0", b"\1"]
        assert await store.inboxes({}) == []

    async def test_what_is_due_is_found_for_several_shards_at_once(self, store: Store) -> None:
        leases = await store.claim([0, 1, 2], "one", NOW, TTL)
        for shard, wake_at in ((0, 30), (1, 10), (2, 20)):
            parked = Summary(status="waiting", hot=False, wake_at=wake_at)
            await store.append(batch(leases, creation(Handle(f"due at {wake_at}", shard), parked)))
        assert await store.due([0, 1, 2], 99, 10) == ["due at 10", "due at 20", "due at 30"]
        assert await store.due([0, 2], 20, 10) == ["due at 20"]
        assert await store.due([0, 1, 2], 99, 2) == ["due at 10", "due at 20"]
        assert (await store.next_wake([0, 1, 2]), await store.next_wake([0, 2])) == (10, 20)
        assert (await store.next_wake([]), await store.due([], 99, 10)) == (None, [])

    # Being told

    async def test_nodes_are_told_when_another_comes_gives_up_shards_or_goes(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        await attend(first, "one")
        heard = _ringing(first.listen_to_nodes)
        await attend(second, "two")
        await heard()
        leases = await second.claim([0], "two", NOW, TTL)
        await second.release(leases)
        await heard()
        await attend(second, "two", leaving=True)
        await heard()
        await second.depart("two")
        await heard()

    async def test_who_listens_to_an_inbox_of_no_shard_is_told(self, open_store: OpenStore) -> None:
        first, second = await open_store(), await open_store()
        heard = asyncio.Event()
        is_told = first.listen(heard.set, inbox=BOX)
        await second.post([InboxItem(shard=BOX, kind="answer", payload=b"yes")])
        if is_told:
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
        (item,) = await first.inbox(BOX)
        assert item.payload == b"yes"
        await first.append(batch([], consumed=[item.id]))
        assert await first.inbox(BOX) == []


def _ringing(listen: Callable[[Callable[[], None]], None]) -> Callable[[], Awaitable[None]]:
    """Waits for the next call."""
    rung = asyncio.Event()
    listen(rung.set)

    async def heard() -> None:
        async with asyncio.timeout(PATIENCE):
            await rung.wait()
        await asyncio.sleep(0.01)  # others on their way are part of the same
        rung.clear()

    return heard
