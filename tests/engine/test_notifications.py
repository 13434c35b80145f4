"""Notifications: they go on when their execution has ended or waits, and survive a crash."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from stepwell.definition.model import ErrorStrategy, FailureAction, WorkflowDefinition
from stepwell.engine.engine import Limits
from stepwell.engine.telling import PATIENCE
from stepwell.execution.status import ExecutionStatus
from stepwell.ports.store import Store
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.store import SqliteStore
from tests.decider.story import step, workflow
from tests.engine.world import BOOM, World, a_world

DONE = {"deliveries": [{"delivered": True, "reason": None}]}
LOST = {"deliveries": [{"delivered": False, "reason": "nobody is there"}]}


def telling(*more: Any) -> WorkflowDefinition:
    """Two people are told of a failure."""
    return workflow(
        step("a"), *more, on_error=ErrorStrategy(notify={"channels": ["slack"], "recipients": ["ann", "bob"]})
    )


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "x.db")


async def settled(world: World) -> None:
    """What was decided is stored, also where a thread does that."""
    await world.engine._loop.committer.drained()
    await world.clock.settle()


async def outcomes(world: World, execution: str) -> list[str]:
    state = await world.state(execution)
    return [each.outcome for told in state.notifications for each in told.deliveries]


async def test_nothing_is_sent_before_it_is_stored_that_it_will_be() -> None:
    async with a_world() as world:
        await world.start(telling())
        world.gate.open.clear()
        await world.done("a", error=BOOM)
        assert world.work.steps() == []
        world.gate.open.set()
        await world.clock.settle()
        assert world.work.steps() == ["@1.1", "@1.2"]
        await world.done("@1.1", DONE)
        await world.done("@1.2", DONE)


async def test_the_end_does_not_wait_for_deliveries_and_they_do_not_wait_for_a_place() -> None:
    async with a_world(Limits(max_workflows=1)) as world:
        execution = await world.start(telling())
        await world.done("a", error=BOOM)
        assert (await world.engine.ended(execution)).status is ExecutionStatus.FAILED
        await world.start(workflow(step("other")))
        assert world.work.steps() == ["@1.1", "@1.2", "other"]
        await world.done("@1.2", LOST)
        await world.done("@1.1", DONE)
        assert await outcomes(world, execution) == ["delivered", "undelivered"]
        assert world.engine._ground.loaded.get(execution) is None


async def test_after_a_crash_what_was_not_recorded_is_sent_again_with_the_same_key(store: Store) -> None:
    async with a_world(store=store) as world:
        execution = await world.start(telling())
        await world.done("a", error=BOOM)
        await settled(world)
        before = {one.step: one for one in world.work.out.values()}
        assert list(before) == ["@1.1", "@1.2"]
        await world.done("@1.1", DONE)
        await settled(world)
        await world.crash()
        (again,) = world.work.out.values()
        assert again == before["@1.2"]
        assert again.idempotency_key == f"{execution}/@1.2"
        await world.done("@1.2", DONE)
        await settled(world)
        assert await outcomes(world, execution) == ["delivered", "delivered"]
        await world.crash()
        assert world.work.steps() == []


async def test_an_execution_that_waits_stays_until_everybody_was_told() -> None:
    told = FailureAction(action="continue", notify={"channels": ["slack"]})
    wait = step("w", type="wait_for_event", config={"event_type": "go"})
    async with a_world() as world:
        execution = await world.start(workflow(step("a", on_failure=told), wait))
        await world.done("a", error=BOOM)
        assert world.engine._ground.loaded.get(execution) is not None
        await world.crash()
        assert world.work.steps() == ["@1.1"]
        await world.done("@1.1", DONE)
        assert world.engine._ground.loaded.get(execution) is None
        await world.publish("go")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_a_failing_delivery_changes_no_result() -> None:
    told = FailureAction(action="continue", notify={"channels": ["slack"]})
    async with a_world() as world:
        execution = await world.start(workflow(step("a", on_failure=told), step("b", "a")))
        await world.done("a", error=BOOM)
        await world.done("@1.1", error=BOOM)
        await world.done("b")
        state = await world.engine.ended(execution)
        assert state.status is ExecutionStatus.COMPLETED
        assert state.notifications[0].deliveries[0].reason == "it went boom"


async def test_an_engine_that_is_closed_lets_what_is_on_its_way_arrive() -> None:
    async with a_world() as world:
        execution = await world.start(telling())
        await world.done("a", error=BOOM)
        closing = asyncio.create_task(world.engine.close())
        await world.clock.settle()
        assert not closing.done()
        await world.done("@1.1", DONE)
        await world.done("@1.2", DONE)
        await closing
        assert await outcomes(world, execution) == ["delivered", "delivered"]


async def test_an_engine_that_is_closed_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with a_world() as world:
        execution = await world.start(telling())
        await world.done("a", error=BOOM)
        closing = asyncio.create_task(world.engine.close())
        await world.done("@1.1", DONE)
        await world.clock.advance(PATIENCE)
        await closing
        assert "notifications still on their way: 1;" in caplog.text
        assert await outcomes(world, execution) == ["delivered", "pending"]


async def test_who_waits_for_the_deliveries_finds_them_recorded() -> None:
    async with a_world() as world:
        execution = await world.start(telling())
        await world.done("a", error=BOOM)
        waiting = asyncio.create_task(world.engine.told())
        await world.done("@1.1", DONE)
        assert not waiting.done()
        await world.done("@1.2", LOST)
        await waiting
        assert await outcomes(world, execution) == ["delivered", "undelivered"]
        await world.engine.told()


async def test_a_shard_with_nothing_but_deliveries_left_is_taken_over(store: Store) -> None:
    async with a_world(store=store) as world:
        await world.start(telling())
        await world.done("a", error=BOOM)
        await settled(world)
        assert list(await store.shards()) == [world.engine._ground.ownership.home]
        for key in ("@1.1", "@1.2"):
            await world.done(key, DONE)
        await settled(world)
        assert list(await store.shards()) == []
