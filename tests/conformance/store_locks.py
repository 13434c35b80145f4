"""What every store must do with locks that executions share."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from stepwell.base.errors import FenceLost
from stepwell.execution.commands import Otherwise
from stepwell.ports.records import Batch, Change, Handle, InboxItem, Lock, LockGrant, LockRequest
from stepwell.ports.store import Store
from tests.conformance.store import (
    COMPLETED,
    NOW,
    PATIENCE,
    WAITING,
    OpenStore,
    Scene,
    StorePlace,
    batch,
    change,
    creation,
    scene_on,
)


class Runner:
    """An execution that takes locks and gives them back."""

    def __init__(self, scene: Scene, handle: Handle) -> None:
        self.scene = scene
        self.handle = handle
        self.seq = 1

    def change(self, **fields: Any) -> Change:
        self.seq += 1
        return change(self.handle, self.seq, **fields)

    def taking(self, name: str = "till", limit: int = 1, step: str = "pay", otherwise: Otherwise = "queue") -> Change:
        return self.change(locks_taken=[LockRequest(name, limit, step, NOW + self.seq, otherwise)])

    def releasing(self, name: str = "till", step: str = "pay") -> Change:
        return self.change(locks_released=[(name, step)])

    async def take(self, name: str = "till", limit: int = 1, step: str = "pay", otherwise: Otherwise = "queue") -> bool:
        return await self.scene.append(self.taking(name, limit, step, otherwise))

    async def release(self, name: str = "till", step: str = "pay") -> bool:
        return await self.scene.append(self.releasing(name, step))

    async def end(self) -> bool:
        return await self.scene.append(self.change(summary=COMPLETED, locks_released_all=True))


async def runner(scene: Scene, id_: str) -> Runner:
    """A new execution."""
    return Runner(scene, await scene.create(id_, WAITING))


async def runners(scene: Scene, ids: str) -> list[Runner]:
    """An execution for each letter."""
    return [await runner(scene, id_) for id_ in ids]


async def grants(scene: Scene) -> list[str]:
    """What was granted to executions of the scene's shard, in order, and not consumed: `execution/step name`."""
    items = await scene.inbox()
    assert {item.kind for item in items} <= {"lock_granted"}
    return [f"{item.execution}/{item.step} {_grant(item).name}" for item in items]


def _grant(item: InboxItem) -> LockGrant:
    return msgspec.msgpack.decode(item.payload, type=LockGrant)


async def told(scene: Scene) -> list[str]:
    """What executions of the scene's shard were told about locks, in order, and not consumed."""
    return [_told(item) for item in await scene.inbox()]


def _told(item: InboxItem) -> str:
    if item.kind == "tell":
        assert item.step is None
        return f"{item.execution}: {' '.join(msgspec.msgpack.decode(item.payload))}"
    assert item.kind in ("lock_granted", "lock_refused")
    name = _grant(item).name if item.kind == "lock_granted" else item.payload.decode()
    return f"{item.execution} {item.kind.removeprefix('lock_')} {name}"


async def line(store: Store, name: str = "till") -> str:
    """The holders, a bar, and those in line: `ab|cd`."""
    locks = await store.locks(name)
    held, waiting = ["".join(lock.execution for lock in locks if lock.held is wanted) for wanted in (True, False)]
    return f"{held}|{waiting}"


class LocksConformance(StorePlace):
    async def test_a_free_lock_is_granted_at_once_through_the_inbox(self, scene: Scene) -> None:
        a = await runner(scene, "a")
        assert await a.take("till ü", 2, "pay[3]#2")
        (item,) = await scene.inbox()
        assert (item.shard, item.kind, item.execution, item.step) == (a.handle.shard, "lock_granted", "a", "pay[3]#2")
        assert _grant(item) == LockGrant("till ü", NOW + 1)
        assert await scene.store.locks() == [
            Lock(name="till ü", execution="a", step="pay[3]#2", limit=2, since=NOW + 1, held=True)
        ]

    async def test_who_finds_the_lock_taken_stands_in_line(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        assert not await b.take()
        assert await grants(scene) == ["a/pay till"]
        assert await line(scene.store) == "a|b"

    async def test_who_gives_it_back_hands_it_to_the_next_in_line(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        for one in (a, b, c):
            await one.take()
        assert await a.release()
        assert await line(scene.store) == "b|c"
        assert await b.release()
        assert not await c.release()
        assert await grants(scene) == ["a/pay till", "b/pay till", "c/pay till"]
        assert await scene.store.locks() == []

    async def test_as_many_hold_it_as_the_limit_says(self, scene: Scene) -> None:
        everybody = await runners(scene, "abcdef")
        for one in everybody:
            await one.take(limit=3)
        assert await line(scene.store) == "abc|def"
        await everybody[1].release()
        assert await line(scene.store) == "acd|ef"
        await scene.append(everybody[0].releasing(), everybody[3].releasing())
        assert await line(scene.store) == "cef|"

    async def test_nobody_overtakes_one_who_asked_before_whatever_the_limits(self, scene: Scene) -> None:
        a, b, c, d = await runners(scene, "abcd")
        await a.take(limit=3)
        await b.take(limit=1)
        assert not await c.take(limit=3), "b stands before it"
        await d.take(limit=3)
        assert await line(scene.store) == "a|bcd"
        await a.release()
        assert await line(scene.store) == "bcd|", "b finds nobody, and then there is room for two more"
        assert await grants(scene) == ["a/pay till", "b/pay till", "c/pay till", "d/pay till"]

    async def test_different_locks_do_not_meet(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        assert await a.take("one")
        assert await b.take("two")
        assert [(lock.name, lock.execution) for lock in await scene.store.locks()] == [("one", "a"), ("two", "b")]
        assert await scene.store.locks("three") == []

    async def test_steps_of_one_execution_are_different_holders(self, scene: Scene) -> None:
        a = await runner(scene, "a")
        await a.take(step="one")
        assert not await a.take(step="two")
        assert await a.release(step="one")
        assert await grants(scene) == ["a/one till", "a/two till"]

    async def test_an_execution_as_a_whole_can_hold_a_lock(self, scene: Scene) -> None:
        a = await runner(scene, "a")
        await a.take(step="")
        assert [(item.execution, item.step) for item in await scene.inbox()] == [("a", "")]

    # ── Asking twice, and giving up ────────────────────────────────────────────────────────────────────────────────

    async def test_asking_again_changes_nothing_and_keeps_the_place_in_line(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        for one in (a, b, c):
            await one.take()
        before = await scene.store.locks()
        for one in (a, b):
            assert not await one.take(limit=9)
        assert await scene.store.locks() == before
        assert await grants(scene) == ["a/pay till"]

    async def test_who_gives_up_waiting_leaves_the_line(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        for one in (a, b, c):
            await one.take()
        assert not await b.release()
        assert await line(scene.store) == "a|c"
        await a.release()
        assert await line(scene.store) == "c|"

    async def test_when_the_first_in_line_gives_up_who_stood_behind_it_may_go(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        await a.take(limit=2)
        await b.take(limit=1)
        await c.take(limit=2)
        assert await line(scene.store) == "a|bc"
        assert await b.release(), "it kept c from its place"
        assert await line(scene.store) == "ac|"

    async def test_giving_back_what_one_does_not_have_does_nothing(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        assert not await b.release()
        assert not await a.release("other")
        assert not await a.release(step="other step")
        assert await line(scene.store) == "a|"

    async def test_who_gives_it_back_and_takes_it_again_stands_at_the_end_of_the_line(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take()
        again = a.change(locks_released=[("till", "pay")], locks_taken=[LockRequest("till", 1, "pay", NOW + 9)])
        assert await scene.append(again)
        assert await line(scene.store) == "b|a"
        await b.release()
        old, _, new = [_grant(item) for item in await scene.inbox()]
        assert (old.at, new.at) == (NOW + 1, NOW + 9), "the two grants cannot be told apart"

    async def test_what_a_batch_takes_and_gives_back_is_granted_to_nobody_in_between(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        assert await scene.append(a.taking(), b.taking(), a.releasing())
        assert await grants(scene) == ["b/pay till"]
        assert await line(scene.store) == "b|"

    async def test_in_one_batch_the_order_of_the_changes_is_that_of_the_line(self, scene: Scene) -> None:
        a, b, c, d = await runners(scene, "abcd")
        await a.take()
        await scene.append(c.taking(), d.taking(), b.taking(), d.releasing(), d.taking())
        assert await line(scene.store) == "a|cbd"

    async def test_an_execution_may_ask_in_the_batch_that_creates_it(self, scene: Scene) -> None:
        handle = Handle("a", scene.lease.shard)
        first = creation(handle)
        first.locks_taken = [LockRequest("till", 1, "", NOW)]
        assert await scene.append(first)
        assert await grants(scene) == ["a/ till"]

    # ── Not waiting ────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_who_does_not_wait_gets_a_free_lock_like_anybody(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        assert await a.take(limit=2, otherwise="refuse")
        assert await b.take(limit=2, otherwise="replace")
        assert await told(scene) == ["a granted till", "b granted till"]
        assert await line(scene.store) == "ab|"
        await a.release()
        assert await c.take(limit=2, otherwise="replace")
        assert await told(scene) == ["a granted till", "b granted till", "c granted till"], "nobody had to make room"

    async def test_who_does_not_wait_is_refused_a_taken_lock_and_stands_in_no_line(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take("till ü")
        assert await b.take("till ü", step="pay[3]#2", otherwise="refuse")
        _, item = await scene.inbox()
        assert (item.shard, item.kind, item.execution, item.step) == (b.handle.shard, "lock_refused", "b", "pay[3]#2")
        assert item.payload == "till ü".encode()
        assert await line(scene.store, "till ü") == "a|"
        await a.release("till ü")
        assert await scene.store.locks() == []
        assert [item.kind for item in await scene.inbox()] == ["lock_granted", "lock_refused"]

    async def test_who_does_not_wait_is_refused_when_somebody_is_in_line_whatever_the_limits(
        self, scene: Scene
    ) -> None:
        a, b, c = await runners(scene, "abc")
        await a.take(limit=3)
        await b.take(limit=1)
        assert await c.take(limit=3, otherwise="refuse")
        assert (await told(scene))[1:] == ["c refused till"]
        assert await line(scene.store) == "a|b"

    async def test_who_is_refused_may_ask_again(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take(otherwise="refuse")
        await b.take(otherwise="refuse")
        await a.release()
        await b.take(otherwise="refuse")
        assert (await told(scene))[1:] == ["b refused till", "b refused till", "b granted till"]

    async def test_who_stands_in_line_already_is_neither_refused_nor_makes_others_go(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take()
        for otherwise in ("refuse", "replace"):
            assert not await b.take(otherwise=otherwise)
            assert not await a.take(otherwise=otherwise)
        assert await told(scene) == ["a granted till"]
        assert await line(scene.store) == "a|b"

    async def test_of_several_that_do_not_wait_in_one_batch_the_first_gets_the_lock(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        await scene.append(*[one.taking(otherwise="refuse") for one in (b, a, c)])
        assert await told(scene) == ["b granted till", "a refused till", "c refused till"]
        assert await line(scene.store) == "b|"

    async def test_who_is_refused_keeps_nobody_behind_it_waiting(self, scene: Scene) -> None:
        a, b, c, d = await runners(scene, "abcd")
        await a.take(limit=3)
        batch_ = (b.taking(limit=1, otherwise="refuse"), c.taking(limit=3), d.taking(limit=3, otherwise="refuse"))
        await scene.append(*batch_)
        assert (await told(scene))[1:] == ["c granted till", "d granted till", "b refused till"]

    async def test_a_lock_given_back_in_the_same_batch_is_free_for_who_does_not_wait(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await scene.append(b.taking(otherwise="refuse"), a.releasing())
        assert (await told(scene))[1:] == ["b granted till"]

    async def test_who_replaces_waits_and_has_everybody_before_it_told_to_cancel(self, scene: Scene) -> None:
        a, b, c, d = await runners(scene, "abcd")
        await a.take(limit=2)
        await b.take(limit=2)
        await c.take(limit=2)
        assert await d.take(limit=2, otherwise="replace")
        assert await line(scene.store) == "ab|cd"
        assert (await told(scene))[2:] == [f"{one}: cancel stepwell replaced by d" for one in "abc"]
        for one in (a, b, c):
            await one.end()
        assert await line(scene.store) == "d|"

    async def test_everybody_is_told_once_however_many_replace_it(self, scene: Scene) -> None:
        a, b, c, d = await runners(scene, "abcd")
        await a.take()
        await scene.append(b.taking(otherwise="replace"), c.taking(otherwise="replace"))
        await d.take(otherwise="replace")
        assert (await told(scene))[1:] == [
            "a: cancel stepwell replaced by b",
            "b: cancel stepwell replaced by c",
            "c: cancel stepwell replaced by d",
        ]
        await a.end()
        await a.take()
        assert (await told(scene))[4:] == ["b granted till"]
        await b.end()
        await c.end()
        await b.take(otherwise="replace")
        assert (await told(scene))[5:] == [
            "c granted till",
            "d granted till",
            "d: cancel stepwell replaced by b",
            "a: cancel stepwell replaced by b",
        ], "who has asked anew is told anew"

    async def test_an_execution_does_not_replace_itself(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take(step="one")
        await a.take(step="two")
        assert not await a.take(step="three", otherwise="replace")
        await b.take(otherwise="replace")
        assert (await told(scene))[1:] == ["a: cancel stepwell replaced by b"], "once for all its steps"

    async def test_who_gives_up_in_the_same_batch_has_nobody_told(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        assert not await scene.append(b.taking(otherwise="replace"), b.releasing())
        assert await told(scene) == ["a granted till"]

    async def test_who_is_to_make_room_is_told_through_the_inbox_of_its_own_engine(self, open_store: OpenStore) -> None:
        here, there = await scene_on(await open_store(), "here"), await scene_on(await open_store(), "there")
        a, b = await runner(here, "a"), await runner(there, "b")
        await a.take()
        called = asyncio.Event()
        here.store.listen(called.set)
        await b.take(otherwise="replace")
        await asyncio.wait_for(called.wait(), PATIENCE)
        assert await told(here) == ["a granted till", "a: cancel stepwell replaced by b"]
        assert await told(there) == []

    # ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_an_execution_that_ends_gives_back_and_withdraws_everything(self, scene: Scene) -> None:
        a, b, c = await runners(scene, "abc")
        await a.take("one")
        await a.take("two")
        await b.take("two")
        await c.take("three")
        await a.take("three")
        assert await a.end()
        assert await grants(scene) == ["a/pay one", "a/pay two", "c/pay three", "b/pay two"]
        assert [(lock.name, lock.execution) for lock in await scene.store.locks()] == [("three", "c"), ("two", "b")]

    async def test_what_the_last_change_takes_is_not_left_behind(self, scene: Scene) -> None:
        a = await runner(scene, "a")
        last = a.taking()
        last.locks_released_all = True
        assert not await scene.append(last)
        assert await scene.store.locks() == []

    async def test_who_ends_without_locks_disturbs_nobody(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        assert not await b.end()
        assert await line(scene.store) == "a|"

    # ── Several engines, and failures ──────────────────────────────────────────────────────────────────────────────

    async def test_a_lock_goes_from_the_execution_of_one_engine_to_that_of_another(self, open_store: OpenStore) -> None:
        here, there = await scene_on(await open_store(), "here"), await scene_on(await open_store(), "there")
        a, b = await runner(here, "a"), await runner(there, "b")
        await a.take()
        assert not await b.take()
        called = asyncio.Event()
        there.store.listen(called.set)
        assert await a.release()
        await asyncio.wait_for(called.wait(), PATIENCE)
        assert await grants(there) == ["b/pay till"]
        assert await grants(here) == ["a/pay till"]
        assert await line(here.store) == await line(there.store) == "b|"

    async def test_engines_that_ask_at_once_get_the_lock_one_after_another_in_the_order_of_the_line(
        self, open_store: OpenStore
    ) -> None:
        scenes = [await scene_on(await open_store(), f"engine {number}") for number in range(2)]
        everybody = {f"e{n}": await runner(scenes[n % 2], f"e{n}") for n in range(12)}
        await asyncio.gather(*[one.take(limit=2) for one in everybody.values()])
        order = [lock.execution for lock in await scenes[0].store.locks("till")]
        told = dict.fromkeys(everybody, 0)
        served: list[str] = []
        while locks := await scenes[1].store.locks("till"):
            holding = [lock.execution for lock in locks if lock.held]
            assert len(holding) == min(2, len(locks))
            served.append(holding[0])
            await everybody[holding[0]].release()
        for scene in scenes:
            for item in await scene.inbox():
                told[item.execution or ""] += 1
        assert served == order
        assert told == dict.fromkeys(everybody, 1)

    async def test_a_grant_is_delivered_once_and_deleted_with_its_effects(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        (item,) = await scene.inbox()
        await scene.append(a.change(), consumed=[item.id])
        await b.take()
        assert not await a.take()
        assert await scene.inbox() == []

    async def test_a_refused_batch_leaves_the_line_as_it_was_and_grants_nothing(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take()
        before = await scene.store.locks(), await scene.inbox()
        refused = Batch(fences={scene.lease.shard: 10**6}, changes=[a.releasing(), b.taking("other")])
        with pytest.raises(FenceLost):
            await scene.store.append(refused)
        assert (await scene.store.locks(), await scene.inbox()) == before

    async def test_locks_and_grants_outlive_closing(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take()
        before = await scene.store.locks(), await scene.inbox()
        await scene.store.close()
        await scene.store.open()
        assert (await scene.store.locks(), await scene.inbox()) == before
        lease = await scene.store.acquire(scene.lease.shard, "again", NOW, 1)
        assert await scene.store.append(batch(lease, a.releasing()))
        assert await line(scene.store) == "b|"

    async def test_the_status_counts_locks_and_a_line_is_in_order(self, scene: Scene) -> None:
        a, b = await runners(scene, "ab")
        await a.take()
        await b.take()
        assert (await scene.store.status()).locks == 2
        assert [problem for problem in await scene.store.check() if "lock" in problem] == []
