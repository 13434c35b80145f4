"""A task that asks people, and an engine that dies while they think."""

from __future__ import annotations

from stepwell.execution.event import ANSWER
from tests.decider.story import retries, step, workflow
from tests.engine.world import a_world


async def test_what_a_task_asks_outlasts_the_engine() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("a"), step("b", "a")))
        await world.done("a", {"__inquiry": {"prompt": "Go on?", "timeout_seconds": 3600}})
        await world.crash()
        assert world.work.steps() == []
        assert (await world.state(execution)).steps["a"].question == {"prompt": "Go on?"}
        await world.publish(ANSWER, execution=execution, step="a", by="ada", response=True)
        await world.clock.settle()
        assert (await world.state(execution)).steps["a"].output == {"response": True, "by": "ada"}
        assert world.work.steps() == ["b"]


async def test_a_task_whose_question_nobody_answered_runs_again_after_a_restart() -> None:
    async with a_world() as world:
        execution = await world.start(workflow(step("a", retry=retries(2))))
        await world.done("a", {"__inquiry": {"prompt": "Go on?", "timeout_seconds": 60}})
        await world.crash()
        await world.clock.advance(90_000_000)
        assert world.work.steps() == ["a"]
        assert (await world.state(execution)).steps["a"].attempts == 2
