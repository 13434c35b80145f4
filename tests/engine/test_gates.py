"""The engine with circuit breakers, bulkheads and rate limits before its steps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.durations import MINUTE
from stepwell.base.errors import ErrorInfo, StoreError
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.gates import GateState
from stepwell.execution.history import StepCompleted
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus
from stepwell.policy.limits import Bulkhead, CircuitBreaker, RateLimit
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import on, says, step, workflow
from tests.engine.world import BOOM, FLAKY, SECOND, World, a_world

BREAKER = CircuitBreaker(threshold=5, open_for=300 * SECOND, window=MINUTE)
GUARDED = workflow(step("call", circuit_breaker=BREAKER))
ONE_BY_ONE = Bulkhead(max_concurrent=1, max_queue_size=9)
FIVE = RateLimit(limit=5, per=SECOND)
TEN_HUNDRED = workflow(step("call", bulkhead=Bulkhead(max_concurrent=10, max_queue_size=100, timeout=30 * SECOND)))


async def error_of(world: World, execution: str) -> ErrorInfo:
    error = (await world.state(execution)).steps["call"].error
    assert error is not None
    return error


async def fail_five_times(world: World) -> None:
    for _ in range(5):
        await world.start(GUARDED)
        await world.done("call", error=FLAKY)


def waiting(world: World) -> dict[str, int]:
    return {state.name: state.waiting for state in world.engine.gates()}


def gate(world: World, kind: str = "circuit_breaker") -> GateState:
    (found,) = (state for state in world.engine.gates() if state.kind == kind)
    return found


# ── Circuit breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_sixth_call_fails_fast_and_is_not_made() -> None:
    async with a_world() as world:
        await fail_five_times(world)
        assert gate(world).state == "open"
        assert gate(world).name == "test/call"
        sixth = await world.start(GUARDED)
        assert world.work.steps() == []
        assert (await world.state(sixth)).status is ExecutionStatus.FAILED
        assert (await error_of(world, sixth)).type == "circuit_open"
        assert gate(world).rejected == 1


async def test_after_its_rest_one_call_is_tried_and_its_success_closes_the_circuit() -> None:
    async with a_world() as world:
        await fail_five_times(world)
        await world.clock.advance(300 * SECOND)
        assert gate(world).state == "half_open"
        trial = await world.start(GUARDED)
        beside = await world.start(GUARDED)
        assert world.work.steps() == ["call"]
        assert (await error_of(world, beside)).type == "circuit_open"
        await world.done("call")
        assert (await world.state(trial)).status is ExecutionStatus.COMPLETED
        assert gate(world).state == "closed"
        await world.start(GUARDED)
        await world.start(GUARDED)
        assert world.work.steps() == ["call", "call"]


async def test_every_try_of_a_step_counts_and_a_refused_one_is_not_tried_again() -> None:
    patient = RetryPolicy(max_attempts=9, backoff="constant", initial_delay=SECOND)
    async with a_world() as world:
        execution = await world.start(workflow(step("call", circuit_breaker=BREAKER, retry=patient)))
        for _ in range(5):
            await world.done("call", error=FLAKY)
            await world.clock.advance(SECOND)
        state = await world.state(execution)
        assert state.status is ExecutionStatus.FAILED
        assert state.steps["call"].attempts == 6
        assert (await error_of(world, execution)).type == "circuit_open"


async def test_an_error_of_the_caller_does_not_count() -> None:
    async with a_world() as world:
        for _ in range(6):
            await world.start(GUARDED)
            await world.done("call", error=BOOM)
        assert gate(world).state == "closed"


async def test_a_call_that_was_not_made_is_handled_like_any_failure() -> None:
    definition = workflow(
        step("call", circuit_breaker=BREAKER), step("other", on("call", "failure")), name=GUARDED.name
    )
    async with a_world() as world:
        await fail_five_times(world)
        execution = await world.start(definition)
        assert world.work.steps() == ["other"]
        await world.done("other")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_the_longest_call_bounds_the_attempt() -> None:
    async with a_world() as world:
        await world.start(workflow(step("call", circuit_breaker=CircuitBreaker(call_timeout=60 * SECOND))))
        (assignment,) = world.work.out.values()
        assert assignment.timeout == 60 * SECOND


async def test_counts_start_anew_after_a_crash() -> None:
    async with a_world() as world:
        await fail_five_times(world)
        await world.crash()
        assert world.engine.gates() == []
        await world.start(GUARDED)
        assert world.work.steps() == ["call"]


# ── Bulkhead ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_111_calls_ten_run_a_hundred_wait_and_one_is_rejected_at_once() -> None:
    async with a_world() as world:
        executions = [await world.start(TEN_HUNDRED) for _ in range(111)]
        state = gate(world, "bulkhead")
        assert (state.running, state.waiting, state.rejected) == (10, 100, 1)
        assert len(world.work.out) == 10
        assert (await error_of(world, executions[-1])).type == "bulkhead_full"
        statuses = [(await world.state(execution)).status for execution in executions]
        assert statuses == [ExecutionStatus.RUNNING] * 110 + [ExecutionStatus.FAILED]


async def test_who_waits_for_thirty_seconds_fails_and_was_never_at_work() -> None:
    async with a_world() as world:
        executions = [await world.start(TEN_HUNDRED) for _ in range(11)]
        await world.clock.advance(30 * SECOND - 1)
        assert (await world.state(executions[-1])).status is ExecutionStatus.RUNNING
        await world.clock.advance(1)
        assert (await error_of(world, executions[-1])).type == "bulkhead_timeout"
        assert len(world.work.out) == 10


async def test_free_places_go_to_those_who_have_waited_longest() -> None:
    async with a_world() as world:
        executions = [await world.start(TEN_HUNDRED) for _ in range(13)]
        for _ in range(3):
            await world.done("call")
        assert [assignment.execution for assignment in world.work.out.values()] == executions[3:13]


async def test_a_rejected_call_of_a_step_that_continues_does_not_fail_the_execution() -> None:
    lenient = workflow(step("call", bulkhead=Bulkhead(max_concurrent=1), on_failure=says("continue")))
    async with a_world() as world:
        await world.start(lenient)
        second = await world.start(lenient)
        assert (await error_of(world, second)).type == "bulkhead_full"
        assert (await world.state(second)).status is ExecutionStatus.COMPLETED


async def test_an_execution_whose_time_is_up_leaves_the_line() -> None:
    hasty = workflow(step("call", bulkhead=ONE_BY_ONE, description="hasty"), timeout=5 * SECOND)
    patient = workflow(step("call", bulkhead=ONE_BY_ONE))
    async with a_world() as world:
        first = await world.start(patient)
        late = await world.start(hasty)
        last = await world.start(patient)
        await world.clock.advance(5 * SECOND)
        assert (await world.state(late)).status is ExecutionStatus.FAILED
        assert gate(world, "bulkhead").waiting == 1
        assert list(world.work.out) == [f"{first}/call/1"]
        await world.done("call")
        assert list(world.work.out) == [f"{last}/call/1"]


# ── Rate limit ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_five_a_second_delays_starts_and_drops_none() -> None:
    calls = workflow(*(step(f"c{number:02}", rate_limit="slow") for number in range(12)), policies={"slow": FIVE})
    async with a_world() as world:
        await world.start(calls)
        for at_work in (5, 10, 12):
            assert len(world.work.out) == at_work
            await world.clock.advance(SECOND - 1)
            assert len(world.work.out) == at_work
            await world.clock.advance(1)
        assert world.work.steps() == [f"c{number:02}" for number in range(12)]


async def test_a_rate_limit_with_a_key_counts_every_value_alone_also_after_a_crash() -> None:
    limit = RateLimit(limit=1, per=100 * SECOND, key="{{ input.customer }}")
    async with a_world() as world:
        for customer in ("ada", "bob", "ada"):
            await world.start(workflow(step("call", rate_limit=limit)), {"customer": customer})
        assert len(world.work.out) == 2
        assert waiting(world) == {"test/call:ada": 1, "test/call:bob": 0}
        await world.clock.advance(100 * SECOND)
        assert len(world.work.out) == 3
        await world.crash()
        assert waiting(world) == {"test/call:ada": 1, "test/call:bob": 0}


# ── Before the commit, and after a crash ─────────────────────────────────────────────────────────────────────────────


async def test_nothing_comes_to_its_gates_before_it_is_stored() -> None:
    async with a_world() as world:
        world.gate.open.clear()
        starting = asyncio.create_task(world.engine.start(world.plan(TEN_HUNDRED), None))
        await world.clock.settle()
        assert world.engine.gates() == []
        world.gate.open.set()
        await starting
        assert gate(world, "bulkhead").running == 1


async def test_who_waited_when_the_engine_crashed_comes_to_the_gates_again() -> None:
    narrow = workflow(
        *(step(name, bulkhead="few", rate_limit="slow") for name in "abcdefgh"),
        policies={"few": Bulkhead(max_concurrent=2, max_queue_size=99), "slow": FIVE},
    )
    async with a_world() as world:
        execution = await world.start(narrow)
        await world.done("a")
        assert world.work.steps() == ["b", "c"]
        await world.crash()
        assert world.work.steps() == ["b", "c"]
        while world.work.out:
            assert len(world.work.out) <= 2
            await world.done(world.work.steps()[0])
            await world.clock.advance(SECOND)
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


async def test_after_a_commit_that_failed_nobody_is_let_through() -> None:
    async with a_world() as world:
        for _ in range(2):
            await world.start(workflow(step("call", bulkhead=ONE_BY_ONE)))
        world.gate.error = StoreError("the disk is full", code="disk-full")
        with pytest.raises(StoreError):
            await world.start(GUARDED)
        await world.done("call")
        assert world.work.steps() == []


async def test_closing_the_engine_leaves_who_waits_to_the_next_one() -> None:
    hasty = Bulkhead(max_concurrent=1, max_queue_size=9, timeout=MINUTE)
    one_by_one = workflow(step("a", bulkhead="one"), step("b", bulkhead="one"), policies={"one": hasty})
    async with a_world() as world:
        execution = await world.start(one_by_one)
        await world.engine.close()
        assert world.clock.armed == 0
        world.work = world.new_work()
        world.engine = world.new_engine("second")
        await world.engine.open(take_over=True)
        await world.clock.settle()
        assert world.work.steps() == ["a"]
        await world.done("a")
        await world.done("b")
        assert (await world.state(execution)).status is ExecutionStatus.COMPLETED


MOVES = st.sampled_from(["start", "start", "succeed", "succeed", "fail", "wait", "crash"])


def three_calls(most: int, rate: int) -> WorkflowDefinition:
    """Three steps side by side and one after them, all through the same two gates."""
    policies = {"few": Bulkhead(max_concurrent=most, max_queue_size=99), "slow": RateLimit(limit=rate, per=SECOND)}
    limited: dict[str, Any] = {"bulkhead": "few", "rate_limit": "slow", "on_failure": says("continue")}
    return workflow(
        *(step(name, **limited) for name in "abc"),
        step("d", *(on(name, "complete") for name in "abc"), **limited),
        policies=policies,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.tuples(MOVES, st.integers(0, 99)), max_size=30))
def test_limits_hold_and_nobody_is_lost_whatever_happens(most: int, rate: int, moves: list[tuple[str, int]]) -> None:
    async def whole() -> None:
        async with a_world() as world:
            definition = three_calls(most, rate)
            executions: list[str] = []
            for move, choice in moves:
                if move == "start" and len(executions) < 4:
                    executions.append(await world.start(definition))
                elif move == "wait":
                    await world.clock.advance(SECOND // 2)
                elif move == "crash":
                    await world.crash()
                elif world.work.out:
                    steps = world.work.steps()
                    await world.done(steps[choice % len(steps)], error=FLAKY if move == "fail" else None)
                assert len(world.work.out) <= most
            for _ in range(100):
                for name in world.work.steps():
                    await world.done(name)
                    assert len(world.work.out) <= most
                await world.clock.advance(SECOND)
            for execution in executions:
                assert (await world.state(execution)).status in ENDED_EXECUTION
                history = await world.store.history(execution)
                ends = [event for row in history for event in world.codec.decode_events(row.events)]
                done = [event.step for event in ends if isinstance(event, StepCompleted)]
                assert len(done) == len(set(done)), "a step was recorded twice"

    asyncio.run(whole())
