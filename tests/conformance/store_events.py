"""What every store does with events, waits and inboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

import msgspec
import pytest

from stepwell.base.errors import UsageError
from stepwell.execution.event import Event
from stepwell.ports.records import (
    ANYWHERE,
    Handle,
    InboxItem,
)
from stepwell.ports.store import Store
from tests.conformance.store import (
    COMPLETED,
    LATER,
    NOW,
    PATIENCE,
    TTL,
    WAITING,
    OpenStore,
    Scene,
    StorePlace,
    change,
    creation,
    decoded,
    event,
    scene_on,
    wait,
)


class EventsConformance(StorePlace):
    """Events, waits and the inbox."""

    # ── Events for waits that are there ───────────────────────────────────────────────────────────────────────────────

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

    # ── Events that came before the wait ──────────────────────────────────────────────────────────────────────────────

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
        assert {kind for kind, _, _, _ in received} <= {"event", "early_event"}

    # ── Forgetting events ─────────────────────────────────────────────────────────────────────────────────────────────

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

    # ── The inbox ─────────────────────────────────────────────────────────────────────────────────────────────────────

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


def many_fields(id_: str) -> Event:
    """An event with a thousand fields."""
    return Event(id=id_, type="paid", source="test", data={f"field_{number}": number for number in range(1_000)})
