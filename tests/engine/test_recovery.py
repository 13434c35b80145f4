"""After a crash at any moment: what was recorded stands, what was at work is done again, the same as before."""

from __future__ import annotations

import itertools

import pytest

from stepwell.base.errors import StoreError
from stepwell.decider.plan import Plan
from stepwell.execution.status import ExecutionStatus
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import step, workflow
from tests.engine.world import BOOM, FLAKY, SECOND, a_world


async def test_work_in_flight_is_dispatched_again_with_the_same_key_and_settings() -> None:
    definition = workflow(
        step("a"), step("b", "a", config={"task": "work", "args": {"token": "{{ uuid() }}", "at": "{{ now() }}"}})
    )
    async with a_world() as world:
        await world.start(definition)
        await world.done("a")
        (before,) = world.work.out.values()
        await world.crash()
        (after,) = world.work.out.values()
        assert after == before


async def test_settings_that_read_variables_are_the_same_after_a_crash() -> None:
    definition = workflow(
        step("reader", config={"task": "work", "args": {"x": "{{ vars.x }}"}}),
        step("writer", publish=(("x", 2),)),
        vars=(("x", 1),),
    )
    async with a_world() as world:
        await world.start(definition)
        await world.done("writer")
        await world.crash()
        (reader,) = world.work.out.values()
        assert reader.config == {"task": "work", "args": {"x": 1}}


async def test_a_recorded_step_does_not_run_again() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("a"), step("b", "a"), step("c", "b")))
        for name in "abc":
            await world.crash()
            assert world.work.steps() == [name]
            await world.done(name)
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_a_pending_retry_survives() -> None:
    policy = RetryPolicy(max_attempts=2, initial_delay=3_600 * SECOND)
    async with a_world() as world:
        await world.start(workflow(step("a", retry=policy)))
        await world.done("a", error=FLAKY)
        await world.crash()
        assert world.work.steps() == []
        await world.clock.advance(3_600 * SECOND)
        (again,) = world.work.out.values()
        assert again.attempt == 2


async def test_a_timer_that_fell_due_while_nothing_ran_fires_on_start() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("nap", type="wait", config={"for": 30})))
        await world.crash()  # more than 30 s pass
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_a_wait_for_an_event_survives() -> None:
    wait = step("w", type="wait_for_event", config={"event_type": "go", "filter": {"n": 1}})
    async with a_world() as world:
        execution = await world.start(workflow(wait))
        await world.crash()
        assert (await world.publish("go", n=2)).waits == 0
        assert (await world.publish("go", id="e2", n=1)).waits == 1
        assert (await world.state(execution)).steps["w"].output == {"event_data": {"n": 1}}


async def test_compensation_goes_on_where_it_was() -> None:
    undo = (step("u1"), step("u2"))
    async with a_world() as world:
        execution = await world.start(workflow(step("a"), step("b", "a"), undo=undo))
        await world.done("a")
        await world.done("b", error=BOOM)
        await world.done("u1")
        await world.crash()
        assert world.work.steps() == ["u2"]
        await world.done("u2")
        state = await world.state(execution)
        assert (state.status, state.compensation) == (ExecutionStatus.FAILED, "done")


async def test_an_execution_that_waits_for_a_place_survives() -> None:
    from stepwell.engine.engine import Limits

    async with a_world(Limits(max_workflows=1)) as world:
        await world.start(workflow(step("a")))
        second = await world.start(workflow(step("b")))
        await world.crash()
        assert world.work.steps() == ["a"]
        await world.done("a")
        await world.done("b")
        assert (await world.state(second)).status is ExecutionStatus.COMPLETED


async def test_a_long_history_is_loaded_from_a_snapshot() -> None:
    names = [f"s{number}" for number in range(700)]
    steps = [step(names[0]), *(step(name, before) for before, name in itertools.pairwise(names))]
    async with a_world() as world:
        execution = await world.start(workflow(*steps))
        for name in names[:-1]:
            await world.done(name)
        stored = await world.store.load(execution)
        assert stored is not None
        assert stored.snapshot_seq >= 600
        assert all(row.seq > stored.snapshot_seq for row in stored.history)
        await world.crash()
        await world.done(names[-1])
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_one_that_cannot_be_run_here_keeps_no_other_from_going_on(caplog: pytest.LogCaptureFixture) -> None:
    waiting = {"event_type": "go", "timeout": 3600}
    lost = workflow(step("a"), name="lost")
    waits = workflow(step("w", type="wait_for_event", config=waiting), step("after", "w"), name="waits")
    times = workflow(step("t", type="wait", config={"for": 90}), step("later", "t"), name="times")
    async with a_world() as world:
        for each in (lost, waits, times):
            await world.start(each)
        other = await world.start(workflow(step("b"), step("c", "b")))
        unknown = {each.digest for each in (lost, waits, times)}
        known = world._plan

        async def plan(digest: str) -> Plan:
            if digest in unknown:
                raise StoreError("it needs a task that nobody knows", code="unusable-definition")
            return await known(digest)

        world._plan = plan  # type: ignore[method-assign]
        await world.crash()
        assert world.work.steps() == ["b"]
        await world.publish("go")
        await world.clock.advance(60 * SECOND)
        assert world.engine.failure is None
        await world.done("b")
        await world.done("c")
        assert (await world.state(other)).status is ExecutionStatus.COMPLETED
        said = [record for record in caplog.records if "does not go on here" in record.message]
        assert len(said) == 3, "once for each"
        unknown.clear()
        await world.crash()
        assert sorted(world.work.steps()) == ["a", "after", "later"], "what came meanwhile has waited"
