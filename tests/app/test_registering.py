"""Workflows by name, in Python: registering them, starting them, and calling one from another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell import WorkflowEngine
from stepwell.base.errors import Conflict, NotFound
from stepwell.definition.diagnostics import InvalidDefinition
from tests.app.test_workflow_engine import MEMORY, document


def named(name: str, *steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**document(*steps, **spec), "metadata": {"name": name, "version": "1.0.0"}}


def value(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "transform", "config": {"value": value}, **more}


DOUBLE = named("double", value("x", "{{ input.n * 2 }}"), output={"values": {"n": "{{ steps.x.output }}"}})
CALLER = named(
    "caller",
    {"name": "call", "type": "workflow", "config": {"name": "double", "input": {"n": "{{ input.n + 1 }}"}}},
    output={"values": {"n": "{{ steps.call.output.n }}"}},
)


@pytest.fixture
async def engine() -> AsyncIterator[WorkflowEngine]:
    async with WorkflowEngine(MEMORY) as engine:
        yield engine


async def test_a_registered_workflow_is_started_by_its_name_and_called_by_others(engine: WorkflowEngine) -> None:
    registered = await engine.register_workflow(DOUBLE, by="ada", reason="the first")
    assert (registered["name"], registered["version"], registered["lifecycle"]) == ("double", "1.0.0", "active")
    assert (registered["registered_by"], registered["log"][0]["reason"]) == ("ada", "the first")
    assert (await engine.execute_workflow("double", {"n": 4}))["output"] == {"n": 8}
    report = await engine.execute_workflow(CALLER, {"n": 4})
    assert report["output"] == {"n": 10}
    (child,) = report["children"]
    status = await engine.get_workflow_status(child["execution_id"])
    assert status.report["parent"] == f"{report['execution_id']}/{child['step']}"


async def test_a_version_says_the_same_for_ever(engine: WorkflowEngine) -> None:
    first = await engine.register_workflow(DOUBLE)
    assert await engine.register_workflow(DOUBLE) == first
    with pytest.raises(Conflict) as raised:
        await engine.register_workflow({**DOUBLE, "spec": {"steps": [value("x", 1)]}})
    assert raised.value.code == "version-exists"
    with pytest.raises(InvalidDefinition):
        await engine.register_workflow(named("wrong"))


async def test_a_draft_is_not_started_by_anybody(engine: WorkflowEngine) -> None:
    await engine.register_workflow(DOUBLE, lifecycle="draft")
    with pytest.raises(Conflict) as raised:
        await engine.start_workflow("double@1.0.0", {"n": 1})
    assert raised.value.code == "version-draft"
    report = await engine.execute_workflow(CALLER, {"n": 1})
    assert report["status"] == "failed"


async def test_a_workflow_that_is_not_registered_fails_the_step_that_calls_it(engine: WorkflowEngine) -> None:
    report = await engine.execute_workflow(CALLER, {"n": 1})
    assert (report["status"], report["steps"][0]["error"]["type"]) == ("failed", "unknown_workflow")
    with pytest.raises(NotFound):
        await engine.start_workflow("double")
