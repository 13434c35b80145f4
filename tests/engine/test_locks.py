"""Locks that executions share, in an engine: as many of a key as may be, and steps that exclude each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from stepwell.definition.model import Concurrency, Mutex, WorkflowDefinition
from stepwell.engine.engine import Limits
from stepwell.execution.verbs import Cancel, Migrate, Terminate
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import step, workflow
from tests.engine.world import BOOM, FLAKY, SECOND, World, a_world

BY: dict[str, Any] = {"by": "ada"}


def keyed(on_limit: Any = "queue", limit: int = 1, name: str = "sync", **settings: Any) -> WorkflowDefinition:
    """A workflow of which so many executions of a customer may run at once."""
    concurrency = Concurrency(key="{{ input.customer }}", limit=limit, on_limit=on_limit)
    definition = workflow(step("a"), step("b", "a"), concurrency=concurrency, name=name, **settings)
    return replace(definition, digest=f"{definition.digest} {name}")


def locking(name: str, key: str = "till", **settings: Any) -> WorkflowDefinition:
    """A workflow whose step of its own name holds a lock."""
    return workflow(step(name, mutex=Mutex(key=key), **settings), name=name)


async def start(world: World, definition: WorkflowDefinition, customer: str = "ada") -> str:
    return await world.start(definition, {"customer": customer})


async def status(world: World, *executions: str) -> list[str]:
    return [(await world.state(execution)).status.value for execution in executions]


def at_work(world: World) -> list[tuple[str, str]]:
    """Executions and their steps at work, in the order in which they were dispatched."""
    return [(one.execution, one.step) for one in world.work.out.values()]


async def finish(world: World) -> None:
    """Both steps of the one execution at work end."""
    await world.done("a")
    await world.done("b")


# As many of a key as may be: queue


async def test_the_second_execution_of_a_key_begins_when_the_first_ends_in_the_order_of_the_starts() -> None:
    async with a_world() as world:
        executions = [await start(world, keyed()) for _ in range(3)]
        for place, execution in enumerate(executions):
            assert at_work(world) == [(execution, "a")]
            assert await status(world, *executions) == ["completed"] * place + ["running"] + ["pending"] * (2 - place)
            await finish(world)
        assert await status(world, *executions) == ["completed"] * 3
        assert await world.store.locks() == []


async def test_executions_of_other_keys_and_of_other_workflows_do_not_wait() -> None:
    async with a_world() as world:
        executions = [
            await start(world, keyed(), "ada"),
            await start(world, keyed(), "bob"),
            await start(world, keyed(name="other"), "ada"),
        ]
        assert [execution for execution, _ in at_work(world)] == executions


async def test_as_many_run_at_once_as_the_limit_says() -> None:
    async with a_world() as world:
        executions = [await start(world, keyed(limit=2)) for _ in range(4)]
        assert [execution for execution, _ in at_work(world)] == executions[:2]
        await world.done("a")
        await world.done("b")
        assert {execution for execution, _ in at_work(world)} == set(executions[1:3])


async def test_the_order_and_the_limit_outlive_a_crash() -> None:
    async with a_world() as world:
        executions = [await start(world, keyed()) for _ in range(3)]
        await world.crash()
        assert at_work(world) == [(executions[0], "a")]
        await finish(world)
        await world.crash()
        assert at_work(world) == [(executions[1], "a")]
        await finish(world)
        assert at_work(world) == [(executions[2], "a")]
        await world.crash()
        await finish(world)
        assert await status(world, *executions) == ["completed"] * 3
        assert await world.store.locks() == []


async def test_a_grant_that_was_not_seen_before_a_crash_is_seen_after_it() -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed()) for _ in range(2)]
        await world.done("a")
        world.engine._inbox._look = asyncio.Event()  # nobody looks any more
        await world.done("b")
        assert await status(world, first, second) == ["completed", "pending"]
        await world.crash()
        assert at_work(world) == [(second, "a")]


@pytest.mark.parametrize("how", ["failed", "cancelled", "terminated"])
async def test_however_the_first_ends_the_second_begins(how: str) -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed()) for _ in range(2)]
        match how:
            case "failed":
                await world.done("a", error=BOOM)
            case "cancelled":
                await world.engine.operate(first, Cancel(**BY, stop=True))
            case _:
                await world.engine.operate(first, Terminate(**BY))
        await world.clock.settle()
        assert at_work(world) == [(second, "a")]


async def test_one_that_is_cancelled_in_line_never_begins_and_keeps_nobody_waiting() -> None:
    async with a_world() as world:
        first, second, third = [await start(world, keyed()) for _ in range(3)]
        await world.engine.operate(second, Cancel(**BY))
        await finish(world)
        assert at_work(world) == [(third, "a")]
        assert await status(world, first, second, third) == ["completed", "cancelled", "running"]


async def test_who_waits_for_its_key_takes_no_place_under_the_limit_of_the_engine() -> None:
    async with a_world(Limits(max_workflows=2)) as world:
        first, second = [await start(world, keyed()) for _ in range(2)]
        other = await start(world, keyed(), "bob")
        assert [execution for execution, _ in at_work(world)] == [first, other]
        assert await status(world, second) == ["pending"]


async def test_one_that_goes_on_with_a_version_without_a_key_gives_its_place_back_at_its_end() -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed()) for _ in range(2)]
        free = world.plan(replace(workflow(step("a"), step("b", "a"), name="sync"), version="2.0.0", digest="free"))
        await world.engine.operate(first, Migrate(**BY, version="2.0.0", digest=free.digest))
        await finish(world)
        assert at_work(world) == [(second, "a")]


# reject


async def test_one_too_many_fails_at_once_when_it_is_to_be_rejected_and_nothing_of_it_ran() -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed("reject")) for _ in range(2)]
        state = await world.state(second)
        assert (state.status.value, state.error.type if state.error else None) == ("failed", "concurrency_limit")
        assert state.error is not None
        assert "on_limit: reject" in state.error.message
        assert (state.steps, at_work(world)) == ({}, [(first, "a")])
        assert (await world.engine.ended(second)).status is state.status, "who waits for it is told"
        await finish(world)
        third = await start(world, keyed("reject"))
        assert at_work(world) == [(third, "a")]


async def test_one_that_was_let_in_is_not_rejected_after_a_crash() -> None:
    async with a_world() as world:
        first = await start(world, keyed("reject"))
        await world.crash()
        second = await start(world, keyed("reject"))
        await finish(world)
        assert await status(world, first, second) == ["completed", "failed"]


# replace


async def test_the_newest_replaces_the_one_that_runs_once_that_is_cancelled() -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed("replace")) for _ in range(2)]
        assert at_work(world) == [(first, "a")], "what runs may end"
        await world.done("a")
        assert await status(world, first, second) == ["cancelled", "running"]
        assert at_work(world) == [(second, "a")]
        assert (await world.state(first)).steps["a"].status.value == "completed"
        cancelled = await world.state(first)
        assert cancelled.cancel is not None
        assert (cancelled.cancel.by, cancelled.cancel.reason) == ("stepwell", f"replaced by {second}")


async def test_what_runs_is_stopped_when_the_workflow_says_so() -> None:
    definition = keyed("replace", cancellation="cancel_running")
    async with a_world() as world:
        first, second = [await start(world, definition) for _ in range(2)]
        assert await status(world, first, second) == ["cancelled", "running"]
        assert at_work(world) == [(second, "a")]


async def test_of_many_that_replace_each_other_the_newest_runs() -> None:
    async with a_world() as world:
        executions = [await start(world, keyed("replace")) for _ in range(4)]
        assert await status(world, *executions) == ["running", "cancelled", "cancelled", "pending"]
        await world.done("a")
        assert await status(world, *executions) == ["cancelled", "cancelled", "cancelled", "running"]
        await finish(world)
        assert (await status(world, *executions))[-1] == "completed"
        assert await world.store.locks() == []


async def test_replacing_outlives_a_crash() -> None:
    async with a_world() as world:
        first, second = [await start(world, keyed("replace")) for _ in range(2)]
        await world.crash()
        assert at_work(world) == [(first, "a")]
        await world.done("a")
        assert await status(world, first, second) == ["cancelled", "running"]
        await finish(world)
        assert await status(world, second) == ["completed"]


# mutex


async def test_steps_of_different_workflows_that_hold_the_same_lock_run_one_after_another() -> None:
    async with a_world() as world:
        order = []
        for name in "abc":
            await start(world, locking(name))
        for _ in range(3):
            (running,) = at_work(world)
            order.append(running[1])
            await world.done(running[1])
        assert order == ["a", "b", "c"]
        assert await world.store.locks() == []


async def test_steps_of_one_execution_exclude_each_other_as_well() -> None:
    definition = workflow(step("a", mutex=Mutex(key="till")), step("b", mutex=Mutex(key="till")), step("c"))
    async with a_world() as world:
        await start(world, definition)
        assert world.work.steps() == ["c", "a"]
        await world.done("a")
        assert world.work.steps() == ["c", "b"]


async def test_a_lock_may_be_named_by_the_input() -> None:
    async with a_world() as world:
        for name, customer in (("a", "ada"), ("b", "bob"), ("c", "ada")):
            await start(world, locking(name, "till of {{ input.customer }}"), customer)
        assert world.work.steps() == ["a", "b"]


@pytest.mark.parametrize("how", ["failed", "cancelled", "terminated"])
async def test_a_lock_is_free_however_its_step_ends(how: str) -> None:
    async with a_world() as world:
        first = await start(world, locking("a"))
        await start(world, locking("b"))
        assert world.work.steps() == ["a"]
        match how:
            case "failed":
                await world.done("a", error=BOOM)
            case "cancelled":
                await world.engine.operate(first, Cancel(**BY, stop=True))
            case _:
                await world.engine.operate(first, Terminate(**BY))
        await world.clock.settle()
        assert world.work.steps() == ["b"]


async def test_a_step_keeps_its_lock_between_its_tries() -> None:
    policy = RetryPolicy(max_attempts=2, backoff="constant", initial_delay=SECOND)
    async with a_world() as world:
        await start(world, locking("a", retry=policy))
        await start(world, locking("b"))
        await world.done("a", error=FLAKY)
        assert world.work.steps() == []
        await world.clock.advance(SECOND)
        assert world.work.steps() == ["a"]
        await world.done("a")
        assert world.work.steps() == ["b"]


async def test_after_a_crash_the_holder_goes_on_and_the_others_wait_on() -> None:
    async with a_world() as world:
        for name in "abc":
            await start(world, locking(name))
        for name in "abc":
            await world.crash()
            assert world.work.steps() == [name]
            await world.done(name)
        assert await world.store.locks() == []


async def test_who_is_cancelled_in_line_leaves_it() -> None:
    async with a_world() as world:
        _, second, _ = [await start(world, locking(name)) for name in "abc"]
        await world.engine.operate(second, Cancel(**BY))
        await world.done("a")
        assert world.work.steps() == ["c"]


async def test_who_waits_too_long_for_a_lock_fails_and_leaves_the_line() -> None:
    impatient = workflow(step("b", mutex=Mutex(key="till", timeout=SECOND)), name="impatient")
    async with a_world() as world:
        await start(world, locking("a"))
        second = await start(world, impatient)
        await start(world, locking("c"))
        await world.clock.advance(2 * SECOND)
        assert await status(world, second) == ["failed"]
        await world.done("a")
        assert world.work.steps() == ["c"]


async def test_a_lock_that_is_asked_for_and_given_up_in_one_turn_leaves_nobody_in_line() -> None:
    definition = workflow(
        step("begin"),
        step("late", "begin", mutex=Mutex(key="till")),
        step("stop", "begin", type="noop", cancels=("late",)),
        step("on", "stop"),
    )
    async with a_world() as world:
        await start(world, locking("a"))
        execution = await start(world, definition)
        await world.done("begin")
        (change,) = world.gate.batches[-1].changes
        assert (await world.statuses(execution))["late"] == "cancelled"
        assert (list(change.locks_taken), list(change.locks_released)) == ([], [("till", "late")])
        assert [lock.step for lock in await world.store.locks()] == ["a"]
        await world.done("a")
        assert await world.store.locks() == []
        assert world.work.steps() == ["on"]


async def test_without_a_key_all_executions_of_the_workflow_are_counted_together() -> None:
    definition = workflow(step("a"), concurrency=Concurrency(limit=1))
    async with a_world() as world:
        executions = [await world.start(definition) for _ in range(2)]
        assert await status(world, *executions) == ["running", "pending"]
