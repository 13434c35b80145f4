"""What is kept open, and the executions that are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stepwell import WorkflowEngine, WorkflowExecutionEngine
from stepwell.app import following
from stepwell.app.keeping import Kept
from stepwell.base.errors import NotFound, StoreError
from tests.dialects.step_map.documents import step_map


class Door:
    """Notes when it is opened and closed."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.problem: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[str]:
        await self.may_open.wait()
        if self.problem is not None:
            raise self.problem
        self.log.append("opened")
        try:
            yield "inside"
        finally:
            await asyncio.sleep(0)
            self.log.append("closed")


async def test_it_is_opened_once_and_closed_once() -> None:
    door = Door()
    kept = Kept(door.enter)
    assert list(await asyncio.gather(kept.open(), kept.open())) == ["inside", "inside"]
    assert (kept.value, kept.loop) == ("inside", asyncio.get_running_loop())
    await asyncio.gather(kept.close(), kept.close())
    await kept.close()
    assert (door.log, kept.value) == (["opened", "closed"], None)
    assert await kept.open() == "inside"
    await kept.close()
    assert door.log == ["opened", "closed"] * 2


async def test_what_cannot_be_opened_is_tried_again_the_next_time() -> None:
    door = Door()
    kept = Kept(door.enter)
    door.problem = OSError("locked")
    for _ in range(2):
        with pytest.raises(OSError, match="locked"):
            await kept.open()
    door.problem = None
    assert await kept.open() == "inside"
    await kept.close()


async def test_who_gives_up_waiting_stops_nobody_else() -> None:
    door = Door()
    kept = Kept(door.enter)
    door.may_open.clear()
    impatient, patient = asyncio.ensure_future(kept.open()), asyncio.ensure_future(kept.open())
    await asyncio.sleep(0)
    impatient.cancel()
    door.may_open.set()
    assert await patient == "inside"
    await kept.close()


def test_it_is_closed_in_good_order_when_the_loop_ends() -> None:
    async def opened(kept: Kept[str]) -> None:
        await kept.open()

    async def make() -> tuple[Door, Kept[str]]:
        door = Door()
        return door, Kept(door.enter)

    with asyncio.Runner() as runner:
        door, kept = runner.run(make())
        runner.run(opened(kept))
        assert door.log == ["opened"]
    assert (door.log, kept.value, kept.loop) == (["opened", "closed"], None, None)


async def test_an_engine_whose_store_cannot_be_opened_says_why_each_time() -> None:
    engine = WorkflowEngine({"state_store": {"type": "sqlite", "path": "/nowhere/at/all/x.db"}})
    for _ in range(2):
        with pytest.raises(StoreError):
            await engine.get_workflow_status("x")


async def test_the_oldest_of_the_executions_that_have_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_ENDED", 2)
    async with WorkflowExecutionEngine(config={"state_store": {"type": "memory"}}) as engine:
        for name in ("one", "two", "three"):
            workflow = {**step_map(a={"type": "input", "input": {"data": 1}}), "id": name}
            await engine.execute_workflow(workflow)
        assert engine.get_execution_status("two")["completed_steps"] == ["a"]
        with pytest.raises(NotFound):
            engine.get_execution_status("one")
