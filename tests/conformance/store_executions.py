"""What every store does with executions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import FenceLost, StoreError
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import (
    Batch,
    Change,
    DuplicateStart,
    Handle,
    HistoryRow,
    InboxItem,
    NewVersion,
    Summary,
)
from stepwell.ports.store import Store
from tests.conformance.store import (
    COMPLETED,
    NOW,
    RUNNING,
    TTL,
    WAITING,
    Scene,
    StorePlace,
    batch,
    change,
    creation,
    new_execution,
    scene_on,
)


class ExecutionsConformance(StorePlace):
    """What is appended, and what an owner asks."""

    # ── Appending and loading ─────────────────────────────────────────────────────────────────────────────────────────

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

    # ── What append refuses ───────────────────────────────────────────────────────────────────────────────────────────

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

    # ── What an owner asks ────────────────────────────────────────────────────────────────────────────────────────────

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
        assert await store.next_wake([here.lease.shard]) is None
        for name, at in (("late", 50), ("early", 10), ("middle", 30), ("never", None)):
            await here.create(name, Summary(status="waiting", hot=False, wake_at=at))
        await here.create("at work", Summary(status="running", hot=True, wake_at=1))
        await elsewhere.create("other", Summary(status="waiting", hot=False, wake_at=5))
        shard = here.lease.shard
        assert await store.next_wake([shard]) == 10
        assert await store.due([shard], 9, 10) == []
        assert await store.due([shard], 10, 10) == ["early"]
        assert await store.due([shard], 99, 10) == ["early", "middle", "late"]
        assert await store.due([shard], 99, 2) == ["early", "middle"]

    async def test_an_execution_that_was_woken_is_no_longer_due(self, scene: Scene) -> None:
        handle = await scene.create("a", Summary(status="waiting", hot=False, wake_at=10))
        await scene.append(change(handle, summary=RUNNING))
        assert await scene.store.due([scene.lease.shard], 99, 10) == []
        assert await scene.store.next_wake([scene.lease.shard]) is None

    # ── Any history ───────────────────────────────────────────────────────────────────────────────────────────────────

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
