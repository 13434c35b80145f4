"""What an engine measures of itself."""

from __future__ import annotations

import asyncio

from stepwell.base.errors import FenceLost
from stepwell.ports.measures import Measures
from tests.decider.story import step, workflow
from tests.engine.world import SECOND, a_world


class Measured(Measures):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, int]] = []
        self.lags: list[int] = []
        self.events: list[tuple[str, bool]] = []
        self.lost = 0

    def commit_ended(self, changes: int, took: int) -> None:
        self.commits.append((changes, took))

    def timer_fired(self, late: int) -> None:
        self.lags.append(late)

    def event_received(self, event_type: str, *, duplicate: bool) -> None:
        self.events.append((event_type, duplicate))

    def lease_lost(self) -> None:
        self.lost += 1


async def test_every_commit_is_measured_with_its_size_and_duration() -> None:
    measures = Measured()
    async with a_world(measures=measures) as world:
        world.gate.open.clear()
        plan = world.plan(workflow(step("a")))
        starting = asyncio.gather(*(world.engine.start(plan, None) for _ in range(3)))
        await world.clock.settle()
        world.clock.set(world.clock.now() + 2 * SECOND)
        world.gate.open.set()
        await starting
        assert sum(changes for changes, _ in measures.commits) == 3
        assert measures.commits[0][1] == 2 * SECOND


async def test_a_timer_that_is_fired_late_says_how_late() -> None:
    measures = Measured()
    async with a_world(measures=measures) as world:
        await world.start(workflow(step("w", type="wait", config={"for": "2s"})))
        await world.start(workflow(step("w", type="wait", config={"for": "1h"})))
        await world.clock.advance(2 * SECOND)
        assert measures.lags == [0]
        world.clock.set(world.clock.now() + 3_600 * SECOND)
        await world.clock.advance(SECOND)
        assert len(measures.lags) == 2
        assert measures.lags[1] >= SECOND


async def test_events_are_counted_and_duplicates_apart() -> None:
    measures = Measured()
    async with a_world(measures=measures) as world:
        await world.publish("go")
        await world.publish("go")
        assert measures.events == [("go", False), ("go", True)]


async def test_a_shard_that_was_taken_over_is_counted() -> None:
    measures = Measured()
    async with a_world(measures=measures) as world:
        world.engine._ground.failure.note(FenceLost("taken over"))
        assert measures.lost == 1
        assert world.engine.failure is not None


async def test_an_execution_in_memory_can_be_looked_at() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("a")))
        state = world.engine.peek(execution)
        assert state is not None
        assert state.id == execution
        assert world.engine.peek("nobody") is None
        assert world.engine.shards
