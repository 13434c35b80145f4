"""Results from the cache: looked up before the work is dispatched, put in with the completion."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from stepwell.base.errors import StoreError
from stepwell.base.values import Sealed
from stepwell.definition.model import Cache, WorkflowDefinition
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.verbs import Terminate
from stepwell.ports.records import KeptResult
from stepwell.ports.store import Store
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.store import SqliteStore
from tests.decider.story import step, workflow
from tests.engine.world import BOOM, SECOND, World, a_world


def cached(ttl: int | None = None, **more: Any) -> WorkflowDefinition:
    return workflow(step("a", cache=Cache(key="k", ttl=ttl), **more), step("b", "a"))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "x.db")


async def settled(world: World) -> None:
    await world.engine._loop.committer.drained()
    await world.clock.settle()


async def test_another_execution_of_the_definition_reuses_the_result_and_no_worker_is_called(store: Store) -> None:
    async with a_world(store=store) as world:
        definition = cached()
        first = await world.start(definition)
        await settled(world)
        await world.done("a", {"n": 1, "pin": Sealed("1234")})
        await settled(world)
        await world.done("b")
        await world.crash()
        second = await world.start(definition)
        await settled(world)
        assert world.work.steps() == ["b"]
        state = await world.state(second)
        assert state.steps["a"].output == {"n": 1, "pin": Sealed("1234")}
        assert state.cached["a"].execution == first
        await world.done("b")
        await settled(world)
        assert (await world.state(second)).status is ExecutionStatus.COMPLETED


async def test_a_result_is_there_no_longer_than_its_ttl() -> None:
    async with a_world() as world:
        definition = cached(10 * SECOND)
        await world.start(definition)
        await world.done("a", 1)
        await world.clock.advance(9 * SECOND)
        await world.start(definition)
        assert world.work.steps() == ["b", "b"]
        await world.clock.advance(SECOND)
        await world.start(definition)
        assert world.work.steps() == ["b", "b", "a"]


async def test_what_has_failed_is_not_in_the_cache() -> None:
    async with a_world() as world:
        definition = cached()
        await world.start(definition)
        await world.done("a", error=BOOM)
        await world.start(definition)
        assert world.work.steps() == ["a"]


async def test_the_result_is_stored_in_the_commit_of_the_completion() -> None:
    async with a_world() as world:
        definition = cached()
        await world.start(definition)
        await world.done("a", 1)
        (change,) = [change for batch in world.gate.batches for change in batch.changes if change.results_kept]
        kinds = [type(event).__name__ for event in world.codec.decode_events(change.events)]
        assert kinds[0] == "StepCompleted"


async def test_after_a_crash_the_result_is_looked_up_again() -> None:
    async with a_world() as world:
        definition = cached()
        execution = await world.start(definition)
        assert world.work.steps() == ["a"]
        other = await world.start(definition)
        first, _ = world.work.out.values()
        assert first.execution == execution
        await world.done("a", 1)
        await world.crash()
        assert world.work.steps() == ["b", "b"]
        assert (await world.state(other)).cached["a"].execution == execution


class Slow:
    """A store in which looking a result up takes until the test lets it go on, or fails."""

    def __init__(self, world: World) -> None:
        self.go_on = asyncio.Event()
        self.error: Exception | None = None
        world.gate.kept_result = self.kept_result  # type: ignore[attr-defined]
        self._inner = world.store

    async def kept_result(self, key: str, now: int) -> KeptResult | None:
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return await self._inner.kept_result(key, now)


async def test_a_step_that_is_stopped_while_it_is_looked_up_is_not_dispatched() -> None:
    async with a_world() as world:
        slow = Slow(world)
        execution = await world.start(cached())
        assert world.work.steps() == []
        asking = asyncio.create_task(world.engine.operate(execution, Terminate(by="ada")))
        await world.clock.settle()
        await asking
        slow.go_on.set()
        await world.clock.settle()
        assert world.work.steps() == []
        assert (await world.state(execution)).status is ExecutionStatus.CANCELLED


async def test_when_the_cache_cannot_be_read_the_work_is_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with a_world() as world:
        slow = Slow(world)
        slow.error = StoreError("the disk is tired")
        slow.go_on.set()
        await world.start(cached())
        assert world.work.steps() == ["a"]
        assert "the cache of results cannot be read, so the work is done: the disk is tired" in caplog.text


async def test_results_that_have_expired_are_forgotten() -> None:
    async with a_world() as world:
        await world.start(cached(10 * SECOND))
        await world.done("a", 1)
        assert isinstance(world.store, MemoryStore)
        assert len(world.store.content.results) == 1
        await world.clock.advance(3_600 * SECOND)
        assert world.store.content.results == {}


async def test_steps_without_a_cache_are_dispatched_at_once() -> None:
    async with a_world() as world:
        Slow(world)
        await world.start(workflow(step("a")))
        assert world.work.steps() == ["a"]
