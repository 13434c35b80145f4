"""Idempotent starts, limits with queueing, and who may write."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.base.errors import Conflict, FenceLost, StepwellError, StoreError
from stepwell.engine.engine import Limits
from stepwell.execution.status import ExecutionStatus
from tests.decider.story import step, workflow
from tests.engine.world import SECOND, a_world

ONE = workflow(step("a"))


async def test_the_same_key_and_input_start_one_execution() -> None:
    async with a_world() as world:
        plan = world.plan(ONE)
        starts = [world.engine.start(plan, {"n": 1}, start_key="k") for _ in range(20)]
        ids = set(await asyncio.gather(*starts))
        assert len(ids) == 1
        assert world.work.steps() == ["a"]
        assert world.engine._beginning._turns == {}


async def test_the_same_key_with_another_input_is_a_conflict() -> None:
    async with a_world() as world:
        await world.start(ONE, {"n": 1}, key="k")
        with pytest.raises(Conflict, match="another input") as caught:
            await world.start(ONE, {"n": 2}, key="k")
        assert caught.value.code == "start-key-reused"


async def test_waiting_for_an_execution_that_another_engine_runs_is_refused() -> None:
    async with a_world() as world:
        execution = await world.start(ONE)
        other = world.new_engine("other")
        await other.open()
        try:
            with pytest.raises(Conflict, match="does not run it"):
                await other.ended(execution)
            await world.done("a")
            assert (await other.ended(execution)).status is ExecutionStatus.COMPLETED
        finally:
            await other.close()


async def test_two_engines_that_start_the_same_key_start_one_execution() -> None:
    async with a_world() as world:
        other = world.new_engine("other")
        await other.open()
        try:
            plan = world.plan(ONE)
            first, second = await asyncio.gather(
                world.engine.start(plan, {}, start_key="k"), other.start(plan, {}, start_key="k")
            )
            assert first == second
        finally:
            await other.close()


async def test_more_than_the_limit_wait_in_the_order_in_which_they_came() -> None:
    async with a_world(Limits(max_workflows=2)) as world:
        executions = [await world.start(workflow(step(f"s{number}"))) for number in range(4)]
        assert world.work.steps() == ["s0", "s1"]
        assert (await world.state(executions[2])).status is ExecutionStatus.PENDING
        await world.done("s1")
        assert world.work.steps() == ["s0", "s2"]
        await world.done("s0")
        assert world.work.steps() == ["s2", "s3"]


async def test_a_parked_execution_holds_no_place_and_waits_for_one_when_it_wakes() -> None:
    wait = step("w", type="wait_for_event", config={"event_type": "go"})
    async with a_world(Limits(max_workflows=1)) as world:
        await world.start(workflow(wait, step("after", "w")))
        await world.start(workflow(step("a")))
        assert world.work.steps() == ["a"]
        await world.publish("go")
        assert world.work.steps() == ["a"]
        await world.done("a")
        assert world.work.steps() == ["after"]


async def test_who_stands_in_line_leaves_nothing_lying_when_a_place_is_free_before_his_turn() -> None:
    """Another execution gives its place up and this one gets more work in one commit."""
    event = step("w", type="wait_for_event", config={"event_type": "go"})
    timer = step("t", type="wait", config={"for": "2s"})
    async with a_world(Limits(max_workflows=1)) as world:
        await world.start(workflow(event, timer, step("a1", "w"), step("a2", "t")))
        await world.start(workflow(step("b")))
        await world.publish("go")
        assert world.work.steps() == ["b"]
        world.gate.open.clear()
        third = asyncio.create_task(world.start(workflow(step("c"))))
        await world.clock.settle()
        await world.done("b")
        await world.clock.advance(2 * SECOND)
        world.gate.open.set()
        await third
        await world.clock.settle()
        assert world.work.steps() == ["a1", "a2"]
        await world.done("a1")
        await world.done("a2")
        assert world.work.steps() == ["c"]


async def test_waiting_too_long_for_a_place_fails_with_its_own_error() -> None:
    async with a_world(Limits(max_workflows=1, queue_timeout=30 * SECOND)) as world:
        await world.start(workflow(step("a")))
        late = await world.start(workflow(step("b")))
        await world.clock.advance(29 * SECOND)
        later = await world.start(workflow(step("c")))
        assert (await world.state(late)).status is ExecutionStatus.PENDING
        await world.clock.advance(SECOND)
        state = await world.state(late)
        assert state.status is ExecutionStatus.FAILED
        assert state.error is not None
        assert state.error.type == "queue_timeout"
        assert (await world.state(later)).status is ExecutionStatus.PENDING
        await world.done("a")
        assert world.work.steps() == ["c"]


async def test_the_default_timeout_bounds_the_active_time() -> None:
    async with a_world(Limits(default_timeout=10 * SECOND)) as world:
        execution = await world.start(ONE)
        await world.clock.advance(10 * SECOND)
        state = await world.state(execution)
        assert state.error is not None
        assert state.error.type == "timeout"
        assert len(world.work.stopped) == 1


async def test_an_engine_that_lost_its_shard_stops_and_writes_nothing_more() -> None:
    async with a_world() as world:
        execution = await world.start(ONE)
        world.clock.set(world.clock.now() + 60 * SECOND)  # it was frozen; its lease has run out
        other = world.new_engine("other")
        await other.open(world.engine._ground.ownership.home)
        try:
            with pytest.raises(StepwellError):
                await asyncio.gather(world.done("a", "stale"), world.engine.ended(execution))
            assert isinstance(world.engine.failure, FenceLost)
            assert (await other.state(execution)).steps["a"].status == "running"
        finally:
            await other.close()


async def test_an_engine_outlives_a_store_that_is_busy_when_leases_are_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_world() as world:
        execution = await world.start(ONE)

        async def busy(*arguments: object) -> None:
            raise StoreError("somebody else writes", code="store-busy")

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "renew", busy)
            patch.setattr(world.store, "forget_events", busy)
            await world.clock.advance(601 * SECOND)
        await world.done("a")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_a_defect_in_deciding_on_one_execution_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_world() as world:
        broken, sound = await world.start(ONE), await world.start(workflow(step("b")))
        waiting = asyncio.create_task(world.engine.ended(broken))
        await world.clock.settle()
        hot = world.engine._ground.loaded.get(broken)
        assert hot is not None
        hot.run.plan = None  # type: ignore[assignment]
        await world.done("a")
        with pytest.raises(StepwellError, match="defect"):
            await waiting
        await world.done("b")
        assert (await world.state(sound)).status is ExecutionStatus.COMPLETED
