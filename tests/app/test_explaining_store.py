"""Why executions in a store do not move: what only the store knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell import task
from stepwell.app.configuration import configuration_from
from stepwell.app.explaining import Explaining
from stepwell.app.explanation import Explanation, Reason
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.registry import Registry
from stepwell.app.session import Session, open_session
from stepwell.base.clock import SystemClock
from stepwell.base.errors import NotFound
from stepwell.store.memory.store import MemoryStore
from tests.app.test_workflow_engine import document


class House:
    """A store with an engine on it, whose tasks wait at a gate."""

    def __init__(self, session: Session, gate: asyncio.Event) -> None:
        self.session = session
        self.gate = gate

    async def start(self, *steps: dict[str, Any], given: Any = None, **spec: Any) -> str:
        plan = await self.session.definitions.plan_of(document(*steps, **spec))
        return await self.session.engine.start(plan, given)


async def why(session: Session, execution: str) -> Explanation:
    reading = Reading(session.store, session.codec, session.definitions)
    return await Explaining(session.store, reading, SystemClock().now()).explanation(execution)


def the(explanation: Explanation, kind: str) -> Reason:
    (reason,) = [reason for reason in explanation.reasons if reason.kind == kind]
    return reason


@asynccontextmanager
async def a_house(**execution: Any) -> AsyncIterator[House]:
    gate = asyncio.Event()

    @task("at_gate")
    async def at_gate() -> None:
        await gate.wait()

    store = MemoryStore()
    await store.open()
    configuration = configuration_from({"state_store": {"type": "memory"}, "execution": execution})
    registries = Registries([at_gate])
    async with open_session(configuration, registries, store=store) as session:
        yield House(session, gate)


WORK = {"name": "work", "type": "at_gate", "config": {}}


async def test_who_runs_it_is_known() -> None:
    async with a_house() as house:
        execution = await house.start(WORK)
        explanation = await why(house.session, execution)
        assert explanation.engine is not None
        assert [reason.kind for reason in explanation.reasons] == ["attempt"]


async def test_when_its_engine_is_gone_that_comes_first() -> None:
    async with a_house() as house:
        execution = await house.start(WORK)
    explanation = await why(house.session, execution)  # the store outlives its engine
    assert explanation.engine is None
    assert [reason.kind for reason in explanation.reasons] == ["engine", "attempt"]


async def test_executions_in_line_know_their_places() -> None:
    async with a_house(max_workflows=1) as house:
        first, second, third = [await house.start(WORK) for _ in range(3)]
        assert the(await why(house.session, second), "line").text.endswith("(max_workflows), in place 1 of the line")
        assert the(await why(house.session, third), "line").text.endswith("in place 2 of the line")
        house.gate.set()
        await house.session.engine.ended(first)


async def test_an_execution_that_is_not_there_is_an_error() -> None:
    async with a_house() as house:
        with pytest.raises(NotFound):
            await why(house.session, "nope")


async def test_a_lock_that_another_execution_holds_is_looked_up() -> None:
    async with a_house() as house:
        locked = {**WORK, "mutex": "till"}
        holder, waiter = [await house.start(locked) for _ in range(2)]
        reason = the(await why(house.session, waiter), "lock")
        assert reason.text == f"it waits for the lock 'till', which step 'work' of execution {holder} has"
        assert reason.wakes == f"the end of what holds it: stepwell execution why {holder}"
        house.gate.set()
        await house.session.engine.ended(waiter)


async def test_a_sub_workflow_is_explained_below_the_step_that_waits_for_it() -> None:
    async with a_house() as house:
        child = document({**WORK, "name": "inside"})
        child["metadata"]["name"] = "child"
        plan = await house.session.definitions.plan_of(child)
        await Registry(house.session.store).register(plan.definition, draft=False, at=0, by="test")
        execution = await house.start({"name": "sub", "type": "workflow", "config": {"name": "child"}})
        async with asyncio.timeout(10):
            while not await house.session.store.children(execution):
                await asyncio.sleep(0)
        reason = the(await why(house.session, execution), "workflow")
        assert reason.why is not None
        assert (reason.why.workflow, [inner.step for inner in reason.why.reasons]) == ("child", ["inside"])
        house.gate.set()
        await house.session.engine.ended(execution)
