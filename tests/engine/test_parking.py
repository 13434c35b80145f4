"""Executions that only wait: they cost no memory, and wake when their time or their event has come."""

from __future__ import annotations

from typing import Any

from stepwell.engine.engine import Limits
from stepwell.execution.event import Event
from stepwell.execution.status import ExecutionStatus
from tests.decider.story import step, workflow
from tests.engine.world import SECOND, a_world


def waits(name: str = "w", *after: str, **config: Any) -> Any:
    return step(name, *after, type="wait_for_event", config={"event_type": "go", "timeout": 3600, **config})


async def test_a_parked_execution_is_not_in_memory_and_listed_as_waiting() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(waits()))
        assert list(world.engine._ground.loaded) == []
        stored = await world.store.load(execution)
        assert stored is not None
        assert stored.summary.status == "waiting"
        assert stored.summary.wake_at == world.clock.now() + 3600 * SECOND
        assert not stored.summary.hot


async def test_an_event_wakes_it_once() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(waits(), step("next", "w")))
        assert (await world.publish("go")).waits == 1
        assert (await world.publish("go")).duplicate
        assert world.work.steps() == ["next"]
        assert (await world.publish("go", id="other")).waits == 0
        await world.done("next")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_an_event_that_came_before_the_wait_began_still_counts() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("a"), waits("w", "a")))
        await world.publish("go", x=1)
        await world.done("a")
        assert (await world.state(execution)).steps["w"].output == {"event_data": {"x": 1}}


async def test_an_event_that_came_before_the_execution_does_not_count() -> None:
    async with a_world() as world:
        await world.publish("go", x=1)
        await world.clock.advance(SECOND)
        execution = await world.start(workflow(waits()))
        assert (await world.statuses(execution)) == {"w": "waiting"}


async def test_events_are_forgotten_when_nobody_can_want_them_any_more() -> None:
    async with a_world(Limits(keep_events=60 * SECOND)) as world:
        wanted = workflow(waits("w1", event_type="first"), step("a", "w1"), waits("w2", "a", timeout="2d"))
        execution = await world.start(wanted)
        await world.publish("go", id="early")
        await world.publish("first", id="other")
        await world.clock.advance(3_000 * SECOND)
        assert (await world.store.status()).events == 2
        await world.done("a")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED
        await world.clock.advance(700 * SECOND)
        assert (await world.store.status()).events == 0


async def test_two_waits_in_a_row_take_two_events() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(waits("w1"), waits("w2", "w1")))
        await world.publish("go", id="e1")
        assert (await world.statuses(execution)) == {"w1": "completed", "w2": "waiting"}
        await world.publish("go", id="e2")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_one_event_wakes_every_waiter() -> None:
    async with a_world() as world:
        executions = [await world.start(workflow(waits("w1"), waits("w2"))) for _ in range(3)]
        assert (await world.publish("go")).waits == 6
        for execution in executions:
            assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_a_wait_times_out_without_being_in_memory() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(waits()))
        await world.clock.advance(3599 * SECOND)
        assert (await world.statuses(execution)) == {"w": "waiting"}
        await world.clock.advance(SECOND)
        state = await world.state(execution)
        assert state.status is ExecutionStatus.FAILED
        assert state.error is not None
        assert state.error.type == "timeout"


async def test_a_timer_behind_an_earlier_one_fires_too() -> None:
    async with a_world() as world:
        executions = [
            await world.start(workflow(step("nap", type="wait", config={"for": seconds}))) for seconds in (60, 3_600)
        ]
        await world.clock.advance(60 * SECOND)
        assert [(await world.state(one)).status for one in executions] == ["completed", "running"]
        await world.clock.advance(3_540 * SECOND)
        assert [(await world.state(one)).status for one in executions] == ["completed", "completed"]


async def test_many_timers_due_at_once_all_fire() -> None:
    async with a_world() as world:
        nap = workflow(step("nap", type="wait", config={"for": 60}))
        executions = [await world.start(nap) for _ in range(40)]
        await world.clock.advance(61 * SECOND)
        for execution in executions:
            assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_an_event_published_by_another_process_is_found_when_the_inbox_is_looked_into() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(waits()))
        event = Event(id="e1", type="go", source="elsewhere", data={}, time=world.clock.now())
        published = await world.store.publish(event, world.clock.now(), world.clock.now() + 3600 * SECOND)
        assert published.waits == 1
        assert published.engine_present
        await world.clock.advance(10 * SECOND)  # a lease is renewed, at the latest
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED
        assert await world.store.inbox(world.engine._ground.ownership.home) == []
