"""Nothing is acknowledged or dispatched before it is committed, and nothing goes on after a commit that failed."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.base.errors import InvalidInput, StoreError
from stepwell.execution.status import ExecutionStatus
from tests.decider.story import step, workflow
from tests.engine.world import a_world

ONE = workflow(step("a"))
TWO = workflow(step("a"), step("b", "a"))


async def test_a_start_is_acknowledged_and_dispatched_only_when_it_is_stored() -> None:
    async with a_world() as world:
        world.gate.open.clear()
        starting = asyncio.create_task(world.engine.start(world.plan(ONE), None))
        await world.clock.settle()
        assert not starting.done()
        assert world.work.steps() == []
        assert world.watcher.seen == []
        world.gate.open.set()
        await world.clock.settle()
        assert starting.done()
        assert world.work.steps() == ["a"]


async def test_what_follows_from_a_result_waits_for_the_result_to_be_stored() -> None:
    async with a_world() as world:
        execution = await world.start(TWO)
        world.gate.open.clear()
        await world.done("a", 1)
        assert world.work.steps() == []
        assert (await world.state(execution)).steps["a"].status == "running"
        world.gate.open.set()
        await world.clock.settle()
        assert world.work.steps() == ["b"]
        assert (await world.state(execution)).steps["a"].output == 1


async def test_many_executions_share_one_commit() -> None:
    async with a_world() as world:
        world.gate.open.clear()
        starts = [asyncio.create_task(world.engine.start(world.plan(ONE), None)) for _ in range(50)]
        await world.clock.settle()
        world.gate.open.set()
        await asyncio.gather(*starts)
        assert [len(batch.changes) for batch in world.gate.batches] == [50]


async def test_a_commit_that_fails_stops_the_engine_and_leaves_nothing_behind() -> None:
    async with a_world() as world:
        world.gate.error = StoreError("the disk is full", code="disk-full")
        with pytest.raises(StoreError, match="disk is full"):
            await world.start(ONE)
        await world.clock.settle()
        assert world.work.steps() == []
        assert world.work.closed
        world.gate.error = None
        with pytest.raises(StoreError, match="disk is full"):
            await world.start(ONE)
        assert world.gate.batches == []


async def test_who_waits_for_an_end_is_told_when_the_engine_stops() -> None:
    async with a_world() as world:
        execution = await world.start(TWO)
        waiting = asyncio.create_task(world.engine.ended(execution))
        await world.clock.settle()
        world.gate.error = StoreError("the disk is full", code="disk-full")
        await world.done("a")
        with pytest.raises(StoreError, match="disk is full"):
            await waiting


async def test_a_commit_that_failed_can_be_made_good_by_resuming() -> None:
    async with a_world() as world:
        execution = await world.start(TWO)
        world.gate.error = StoreError("the disk is full", code="disk-full")
        await world.done("a", "lost")
        world.gate.error = None
        await world.crash()
        assert world.work.steps() == ["a"]
        await world.done("a", "again")
        await world.done("b")
        state = await world.state(execution)
        assert state.status is ExecutionStatus.COMPLETED
        assert state.steps["a"].output == "again"


async def test_a_wrong_input_stores_nothing() -> None:
    async with a_world() as world:
        strict = workflow(step("a"), input_schema={"required": ["x"]})
        with pytest.raises(InvalidInput, match="x"):
            await world.start(strict)
        assert world.gate.batches == []


async def test_waiting_for_the_end_gives_the_recorded_state() -> None:
    async with a_world() as world:
        execution = await world.start(ONE)
        waiting = asyncio.create_task(world.engine.ended(execution))
        await world.done("a", 5)
        assert (await waiting).steps["a"].output == 5
        assert (await world.engine.ended(execution)).status is ExecutionStatus.COMPLETED
        assert world.engine._loop.ends._waiters._waiting == {}
