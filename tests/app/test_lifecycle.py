"""Following an execution, and sending signals to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwell import LifecycleEvent, WorkflowEngine
from stepwell.app.lifecycle import TYPES
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.execution import history
from stepwell.execution.event import EventTooLarge
from tests.app.test_handle import Gates
from tests.app.test_workflow_engine import document

MEMORY = {"state_store": {"type": "memory"}}

WAIT = {"name": "w", "type": "wait_for_event", "config": {"event_type": "go"}}


async def followed(engine: WorkflowEngine, execution: str, after: int = 0) -> list[LifecycleEvent]:
    return [event async for event in engine.handle(execution).events(after)]


def names(events: list[LifecycleEvent]) -> list[str]:
    """`step.completed a` and the like."""
    shown = [(event.type.removeprefix("stepwell.").removesuffix(".v1"), event.step) for event in events]
    return [f"{name} {step}" if step is not None else name for name, step in shown]


async def test_an_execution_is_followed_as_it_happens() -> None:
    gates = Gates()
    flow = document(
        {"name": "a", "type": "work", "config": {}, "retry": {"max_attempts": 2, "initial_delay": 0}},
        {"name": "b", "type": "noop", "depends_on": "a"},
    )
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        execution = await engine.start_workflow(flow)
        following = engine.handle(execution).events()
        seen = [await anext(following) for _ in range(3)]
        assert names(seen) == ["execution.created", "execution.started", "step.started a"]
        await gates.go.put(ConnectionError("gone"))
        seen = [await anext(following) for _ in range(2)]
        assert names(seen) == ["step.retrying a", "step.started a"]
        assert seen[0].data["error"]["message"] == "gone"
        await gates.go.put("done")
        rest = [event async for event in following]
        assert names(rest) == ["step.completed a", "step.completed b", "execution.completed"]
        assert rest[0].data["output"] == "done"


async def test_what_has_happened_is_told_again_from_any_point() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        execution = await engine.start_workflow(document({"name": "a", "type": "noop"}))
        await engine.result(execution)
        whole = await followed(engine, execution)
        assert [event.seq for event in whole] == sorted(event.seq for event in whole)
        assert await followed(engine, execution, whole[1].seq) == whole[2:]
        assert await followed(engine, execution, whole[-1].seq) == []
        with pytest.raises(NotFound):
            await followed(engine, "nobody")


async def test_what_another_engine_runs_can_be_followed(tmp_path: Path) -> None:
    config = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}
    async with WorkflowEngine(config) as one, WorkflowEngine(config) as other:
        execution = await one.start_workflow(document(WAIT))
        following = asyncio.ensure_future(followed(other, execution))
        await one.publish_event("go")
        assert names(await following)[-2:] == ["step.completed w", "execution.completed"]


async def test_an_event_is_a_cloud_event() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        execution = await engine.start_workflow(document({"name": "a", "type": "noop"}))
        *_, ended = await followed(engine, execution)
        first = (await followed(engine, execution))[2]
    shown = ended.as_cloud_event()
    assert shown["type"] == "stepwell.execution.completed.v1"
    assert (shown["specversion"], shown["subject"], shown["time"]) == ("1.0", execution, ended.time)
    assert first.as_cloud_event()["subject"] == f"{execution}/a"
    assert ended.at >= first.at


def test_every_kind_of_lifecycle_event_is_one_of_history() -> None:
    assert all(hasattr(history, name) for name in TYPES)


# Signals


async def test_a_signal_reaches_one_execution_only() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        first, second = [await engine.start_workflow(document(WAIT)) for _ in range(2)]
        await engine.handle(first).signal("go", {"n": 1})
        report = await engine.result(first)
        assert report["steps"][0]["output"] == {"event_data": {"n": 1}}
        await engine.publish_event("other")
        assert (await engine.get_workflow_status(second)).report["status"] == "waiting"
        await engine.handle(second).signal("go", {"n": 2})
        assert (await engine.result(second))["steps"][0]["output"] == {"event_data": {"n": 2}}


async def test_a_signal_that_comes_before_the_wait_is_kept_for_it() -> None:
    gates = Gates()
    flow = document({"name": "a", "type": "work", "config": {}}, {**WAIT, "depends_on": "a"})
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        first, second = [await engine.start_workflow(flow) for _ in range(2)]
        await engine.handle(second).signal("go", 2)
        await engine.handle(first).signal("go", 1)
        for _ in range(2):
            await gates.go.put(None)
        for execution, data in ((first, 1), (second, 2)):
            assert (await engine.result(execution))["steps"][1]["output"] == {"event_data": data}


async def test_a_signal_to_what_has_ended_is_refused() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        execution = await engine.start_workflow(document({"name": "a", "type": "noop"}))
        await engine.result(execution)
        with pytest.raises(Conflict, match="has ended"):
            await engine.handle(execution).signal("go")
        with pytest.raises(NotFound):
            await engine.handle("nobody").signal("go")
        with pytest.raises(ValueError, match="data"):
            await engine.handle(execution).signal("go", object())
        with pytest.raises(EventTooLarge):
            await engine.handle(execution).signal("go", "x" * 262_144)


async def test_nobody_else_sends_events_that_look_like_signals() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        with pytest.raises(UsageError, match="signal"):
            await engine.publish_event("go", source="stepwell.signal")
