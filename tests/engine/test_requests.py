"""Executions that are asked for with an event: begun once, whatever happens in between."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.base.errors import StepwellError, StoreError
from stepwell.decider.plan import Plan
from stepwell.engine.requests import REQUEST, StartRequest, item_of
from stepwell.execution.event import Event
from stepwell.ports.listings import ExecutionQuery
from tests.decider.story import step, workflow
from tests.engine.world import World, a_world

PAID = Event(id="e1", type="paid", source="shop")
WORK = workflow(step("a"))


def request(world: World, execution: str = "x1", key: str = "k") -> StartRequest:
    return StartRequest(execution, world.plan(WORK).digest, {"n": 1}, key)


async def executions(world: World) -> list[str]:
    return [item.id for item in (await world.store.list(ExecutionQuery())).items]


async def test_what_is_asked_for_has_begun_when_the_event_is_accepted() -> None:
    async with a_world() as world:
        assert not (await world.engine.publish(PAID, [request(world)])).duplicate
        assert (await world.state("x1")).input == {"n": 1}
        assert world.work.steps() == ["a"]
        assert await world.store.inbox(0) == []


async def test_a_duplicate_starts_nothing_and_neither_does_a_key_that_was_used() -> None:
    async with a_world() as world:
        await world.engine.publish(PAID, [request(world)])
        assert (await world.engine.publish(PAID, [request(world, "x2", "other")])).duplicate
        other = Event(id="e2", type="paid", source="shop")
        await world.engine.publish(
            other, [request(world, "x3"), request(world, "x4", "new"), request(world, "x5", "new")]
        )
        assert sorted(await executions(world)) in (["x1", "x4"], ["x1", "x5"])
        assert await world.store.inbox(0) == []


@pytest.mark.parametrize("asked_first", [False, True])
async def test_who_starts_with_the_key_of_a_request_at_the_same_time_gets_the_one_execution(asked_first: bool) -> None:
    async with a_world() as world:
        start = world.engine.start(world.plan(WORK), {"n": 1}, start_key="k")
        publish = world.engine.publish(PAID, [request(world)])
        if asked_first:
            _, started = await asyncio.gather(publish, start)
        else:
            started, _ = await asyncio.gather(start, publish)
        assert await executions(world) == [started]
        assert (await world.store.inbox(0), world.engine._beginning._turns) == ([], {})


async def test_a_crash_before_it_is_begun_loses_nothing_and_begins_nothing_twice() -> None:
    async with a_world() as world:
        world.gate.error = StoreError("the disk is full")
        with pytest.raises(StepwellError):
            await world.engine.publish(PAID, [request(world)])
        assert await executions(world) == []
        world.gate.error = None
        await world.crash()
        assert await executions(world) == ["x1"]
        assert (await world.engine.publish(PAID, [request(world, "x2")])).duplicate
        assert await executions(world) == ["x1"]


async def test_what_cannot_be_run_here_stays_for_an_engine_that_can(caplog: pytest.LogCaptureFixture) -> None:
    async with a_world() as world:

        async def unusable(digest: str) -> Plan:
            raise StoreError("it needs a task that nobody knows", code="unusable-definition")

        known, world.engine._incoming.requests._plans = world.engine._incoming.requests._plans, unusable
        await world.engine.publish(PAID, [request(world)])
        (item,) = await world.store.inbox(0)
        assert item.kind == REQUEST
        assert "it needs a task that nobody knows" in caplog.text
        del known
        await world.crash()
        assert await executions(world) == ["x1"]


async def test_an_input_that_is_refused_is_said_and_done_with(caplog: pytest.LogCaptureFixture) -> None:
    async with a_world() as world:
        wrong = StartRequest("x1", world.plan(WORK).digest, [1], "k")
        await world.engine.publish(PAID, [wrong])
        await world.clock.settle()
        assert (await executions(world), await world.store.inbox(0)) == ([], [])
        assert "the input must be a JSON object" in caplog.text


async def test_another_process_may_ask_for_a_start() -> None:
    async with a_world() as world:
        now = world.clock.now()
        published = await world.store.publish(PAID, now, now + 1, [item_of(request(world), world.codec)])
        assert published.engine_present
        await world.clock.settle()
        assert await executions(world) == ["x1"]
