"""Programs as their users write them: whole, and run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STEP_MAP = """
import asyncio

from stepwell import WorkflowExecutionEngine


async def main():
    engine = WorkflowExecutionEngine(max_parallel_steps=10)

    workflow = {
        "id": "simple_workflow",
        "steps": {
            "collect_data": {
                "type": "input",
                "input": {"data": {"message": "hello"}},
                "depends_on": [],
            },
            "process_data": {
                "type": "process",
                "input": {"rules": [{"type": "transform", "field": "message", "operation": "uppercase"}]},
                "depends_on": ["collect_data"],
            },
        },
    }

    result = await engine.execute_workflow(workflow)
    print(f"Status: {result['status']}")
    print(f"Results: {result['results']['process_data']}")
    print(f"Took {result['execution_time']:.1f} s")

    status = engine.get_execution_status("simple_workflow")
    print(status["workflow_id"], status["completed_steps"], status["active_executions"])


asyncio.run(main())
"""

CUSTOM = """
import asyncio

from stepwell import ExecutionResult, StepExecutor, StepExecutorFactory, StepType, WorkflowExecutionEngine


class CustomExecutor(StepExecutor):
    async def validate_input(self, input_data):
        return "number" in input_data

    async def execute(self, input_data, context):
        doubled = input_data["number"] * 2
        print(context.workflow_id, context.step_id, context.attempt, context.timestamp is not None)
        return ExecutionResult(success=True, data={"doubled": doubled}, metadata={"by": "CustomExecutor"})


StepExecutorFactory.register_executor(StepType.CUSTOM, CustomExecutor)
print("custom" in StepExecutorFactory.get_supported_types())

engine = WorkflowExecutionEngine()
workflow = {"id": "w", "steps": {"a": {"type": "custom", "input": {"number": 4}}}}
print(asyncio.run(engine.execute_workflow(workflow))["results"])
print(asyncio.run(engine.execute_workflow(workflow))["status"])
"""

ORCHESTRATION = '''
import asyncio

from stepwell import WorkflowEngine, WorkflowStatus

WORKFLOW = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: greet, version: "1.0.0"}
spec:
  input: {schema: {type: object, properties: {name: {type: string}}, required: [name]}}
  steps:
    - {name: hello, type: transform, config: {value: "Hello {{ input.name }}"}}
    - {name: pause, type: wait, depends_on: [hello], config: {for: 50ms}}
  output: {values: {text: "{{ steps.hello.output }}"}}
"""

config = {
    "state_store": {"type": "sqlite", "path": "workflows.db"},
    "execution": {"max_concurrent_tasks": 10, "default_timeout": "30m"},
    "events": {"kafka_servers": ["localhost:9092"], "group_id": "workflow-engine"},
}


async def main():
    engine = WorkflowEngine(config)
    execution_id = await engine.start_workflow(WORKFLOW, {"name": "Ada"})

    while True:
        status = await engine.get_workflow_status(execution_id)
        if status.status in [WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED]:
            break
        await asyncio.sleep(0.01)

    if status.status == WorkflowStatus.COMPLETED:
        print(f"Workflow completed: {status.output_data}")
    else:
        print(f"Workflow failed: {status.error_message}")
    await engine.close()


asyncio.run(main())
'''


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program, "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            STEP_MAP,
            [
                "Status: completed",
                "Results: {'processed_data': {'message': 'HELLO'}}",
                "Took 0.0 s",
                "simple_workflow ['collect_data', 'process_data'] 0",
            ],
        ),
        (CUSTOM, ["True", "w a 1 True", "{'a': {'doubled': 8}}", "w a 1 True", "completed"]),
        (ORCHESTRATION, ["Workflow completed: {'text': 'Hello Ada'}"]),
    ],
    ids=["step map", "custom executor", "orchestration"],
)
def test_a_program_runs_as_it_is_written(program: str, expected: list[str], tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert "Traceback" not in done.stderr


ABANDONED = """
import asyncio
import sys

from stepwell import WorkflowExecutionEngine, task


@task
async def endless():
    await asyncio.Event().wait()


async def main():
    engine = WorkflowExecutionEngine(tasks=[endless])
    workflow = {"id": "w", "steps": {"a": {"type": "endless"}, "b": {"type": "input", "input": {"data": 1}}}}
    await engine.start_workflow(workflow)
    while engine.get_execution_status("w")["completed_steps"] != ["b"]:
        await asyncio.sleep(0)
    sys.exit("left")


asyncio.run(main())
"""


def test_a_program_that_ends_without_closing_its_engine_ends_in_good_order(tmp_path: Path) -> None:
    done = run(ABANDONED, tmp_path)
    assert (done.returncode, done.stderr.strip()) == (1, "left")
