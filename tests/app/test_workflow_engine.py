"""The engine as Python programs use it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stepwell import StepwellError, TaskContext, WorkflowEngine, WorkflowStatus, task
from stepwell.base.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from stepwell.definition.diagnostics import InvalidDefinition

MEMORY = {"state_store": {"type": "memory"}}


def document(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "test", "version": "1.0.0"},
        "spec": {"steps": list(steps), **spec},
    }


ADD = document(
    {"name": "sum", "type": "add", "config": {"a": "{{ input.a }}", "b": 2}},
    input={"schema": {"required": ["a"], "properties": {"a": {"type": "integer"}}}},
    output={"values": {"sum": "{{ steps.sum.output }}"}},
)


@task
def add(a: int, b: int) -> int:
    return a + b


async def test_a_workflow_runs_to_its_end() -> None:
    async with WorkflowEngine(MEMORY, tasks=[add]) as engine:
        report = await engine.execute_workflow(ADD, {"a": 40})
        assert (report["status"], report["output"]) == ("completed", {"sum": 42})


async def test_status_can_be_asked_during_and_after_the_run() -> None:
    go = asyncio.Event()

    @task
    async def wait_here() -> None:
        await go.wait()

    async with WorkflowEngine(MEMORY, tasks=[wait_here]) as engine:
        execution = await engine.start_workflow(document({"name": "w", "type": "wait_here", "config": {}}))
        during = await engine.get_workflow_status(execution)
        assert (during.status, during.completed_at) == (WorkflowStatus.RUNNING, None)
        assert await engine.load() == {
            "workflows": {"at_work": 1, "in_line": 0, "limit": 1000},
            "tasks": {"at_work": 1, "in_line": 0, "limit": 100},
        }
        go.set()
        await engine.result(execution)
        after = await engine.get_workflow_status(execution)
        assert (after.status, after.error_message) == (WorkflowStatus.COMPLETED, None)
        with pytest.raises(NotFound):
            await engine.get_workflow_status("nobody")


async def test_the_report_says_what_each_step_was_given_and_how_it_went() -> None:
    @task
    async def flaky(context: TaskContext, secret: str) -> int:
        if context.attempt == 1:
            raise ConnectionError("nobody answers")
        return len(secret)

    flow = document(
        {
            "name": "s",
            "type": "flaky",
            "config": {"secret": "{{ input.password }}"},
            "retry": {"max_attempts": 2, "initial_delay": "1ms"},
        },
        {"name": "hold", "type": "wait", "config": {"for": "1ms"}, "depends_on": "s"},
    )
    async with WorkflowEngine(MEMORY, tasks=[flaky]) as engine:
        report = await engine.execute_workflow(flow, {"password": "correct horse"})
        step = report["steps"][0]
        assert (step["input"], step["output"], step["attempts"]) == ({"secret": "***"}, 13, 2)
        figures = report["figures"]
        assert (figures["attempts"], figures["retries"], figures["failed_attempts"]) == (2, 1, 1)
        assert figures["failure_rate"] == 0.5
        assert "correct horse" not in str(report)


async def test_two_runs_of_one_workflow_do_not_mix() -> None:
    async with WorkflowEngine(MEMORY, tasks=[add]) as engine:
        reports = await asyncio.gather(*(engine.execute_workflow(ADD, {"a": a}) for a in range(20)))
        assert [report["output"]["sum"] for report in reports] == [a + 2 for a in range(20)]


async def test_a_second_engine_goes_on_with_what_the_first_left(tmp_path: Path) -> None:
    config = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}
    hold = document(
        {"name": "w", "type": "wait_for_event", "config": {"event_type": "go"}},
        {"name": "sum", "type": "add", "config": {"a": 1, "b": 1}, "depends_on": "w"},
    )
    async with WorkflowEngine(config, tasks=[add]) as first:
        execution = await first.start_workflow(hold, key="once")
    async with WorkflowEngine(config, tasks=[add]) as second:
        assert await second.start_workflow(hold, key="once") == execution
        published = await second.publish_event("go", {"x": 1})
        assert (published.waits, published.duplicate) == (1, False)
        assert (await second.result(execution))["status"] == "completed"


async def test_what_is_wrong_is_said_before_anything_is_stored() -> None:
    async with WorkflowEngine(MEMORY, tasks=[add]) as engine:
        with pytest.raises(InvalidDefinition, match="unknown-step"):
            await engine.start_workflow(document({"name": "a", "type": "noop", "depends_on": "b"}))
        with pytest.raises(InvalidInput, match="a"):
            await engine.start_workflow(ADD, {"a": "x"})
        await engine.start_workflow(ADD, {"a": 1}, key="k")
        with pytest.raises(Conflict):
            await engine.start_workflow(ADD, {"a": 2}, key="k")
        with pytest.raises(StepwellError, match="cannot be read"):
            await engine.start_workflow("nowhere.yaml")


def test_a_wrong_configuration_names_the_nearest_key() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'execution'"):
        WorkflowEngine({"executoin": {}})
    with pytest.raises(ConfigurationError, match="max_workflows"):
        WorkflowEngine({"execution": {"max_workflows": 0}})


def test_callers_without_an_event_loop() -> None:
    assert WorkflowEngine(MEMORY, tasks=[add]).run(ADD, {"a": 1})["output"] == {"sum": 3}


async def test_limits_of_the_configuration_hold() -> None:
    at_once, most = 0, 0

    @task
    async def count() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1

    flow = document(*({"name": f"s{number}", "type": "count", "config": {}} for number in range(30)))
    config = {**MEMORY, "concurrency": {"max_activities": 3, "max_workflows": 2}}
    async with WorkflowEngine(config, tasks=[count]) as engine:
        reports = await asyncio.gather(*(engine.execute_workflow(flow) for _ in range(4)))
        assert {report["status"] for report in reports} == {"completed"}
        assert most == 3
