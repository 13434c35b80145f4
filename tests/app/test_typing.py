"""What a strict type checker says of programs that use stepwell from the outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RIGHT = """
from __future__ import annotations

import asyncio
from typing import Any

from stepwell import (
    ExecutionContext,
    ExecutionResult,
    LifecycleEvent,
    ModelAnswer,
    ModelProvider,
    ModelQuestion,
    StepExecutor,
    StepExecutorFactory,
    StepType,
    StepwellError,
    TaskContext,
    Workflow,
    WorkflowEngine,
    WorkflowExecution,
    WorkflowExecutionEngine,
    WorkflowStatus,
    rule,
    step,
    task,
)


@task("charge")
async def charge(order: int, context: TaskContext) -> dict[str, int]:
    return {"receipt": order + context.attempt}


@task
def refund(receipt: int) -> None:
    print(receipt)


@rule
def short(value: str) -> bool:
    return len(value) < 9


class Shout(StepExecutor):
    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        return ExecutionResult(success=True, data=input_data, metadata={"attempt": context.attempt})

    def validate_input(self, input_data: dict[str, Any]) -> bool:
        return "text" in input_data


class Whisper(StepExecutor):
    def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        return ExecutionResult(success=context.timestamp.year > 2000)


class Model(ModelProvider):
    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        return ModelAnswer(text=question.prompt, model="mine")


orders = Workflow("orders", version="1.0.0", input={"required": ["order"]})
charged = orders.step(
    "charge", task=charge, args={"order": orders.input.order}, compensate=step(task=refund), retry=3, timeout="5m"
)
orders.step("ship", type="http", config={"url": "http://127.0.0.1"}, after=[charged], when=charged.output.receipt > 7)
StepExecutorFactory.register_executor(StepType.CUSTOM, Shout)


async def main() -> None:
    config = {"state_store": {"type": "memory"}, "execution": {"max_concurrent_tasks": 10, "default_timeout": "30m"}}
    more = {"whisper": Whisper()}
    async with WorkflowEngine(config, tasks=[charge, refund], executors=more, models=Model()) as engine:
        execution_id: str = await engine.start_workflow(orders, {"order": 7}, dialect="native")
        status: WorkflowExecution = await engine.get_workflow_status(execution_id)
        if status.status in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED):
            print(status.output_data, status.error_message)
        handle = engine.handle(execution_id)
        await handle.signal("paid", {"amount": 3})
        event: LifecycleEvent
        async for event in handle.events():
            print(event.type, event.step)
        try:
            await handle.pause("why not")
        except StepwellError as error:
            print(error.code, error.hint)
        report: dict[str, Any] = await handle.result()
        print(report)


asyncio.run(main())
step_maps = WorkflowExecutionEngine(max_parallel_steps=10)
result: dict[str, Any] = step_maps.run({"id": "w", "steps": {}})
print(step_maps.get_execution_status("w"), step_maps.get_metrics("w"), StepExecutorFactory.get_supported_types())
"""

WRONG = {
    'WorkflowEngine(tasks="charge")': "arg-type",
    'WorkflowEngine().start_workflow("w", dialect=5)': "arg-type",
    'WorkflowExecutionEngine(max_parallel_steps="many")': "arg-type",
    'Workflow("w").step("a", taks="t")': "call-arg",
    'Workflow("w").step("a", after=5)': "arg-type",
    "StepExecutorFactory.register_executor(StepType.CUSTOM, int)": "arg-type",
    "StepType.NONE": "attr-defined",
    "WorkflowEngine().nothing()": "attr-defined",
    "Half()": "abstract",
}

WRONG_HEAD = """
from stepwell import StepExecutor, StepExecutorFactory, StepType, Workflow, WorkflowEngine, WorkflowExecutionEngine


class Half(StepExecutor):
    pass


"""


def test_a_strict_type_checker_accepts_a_right_program_and_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG_HEAD + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "right.py", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in found if line.startswith("right.py")] == [], done.stdout
    first = WRONG_HEAD.count("\n") + 1
    expected = [f"wrong.py:{first + number} [{code}]" for number, code in enumerate(WRONG.values())]
    places = [f"{line.split(': error')[0]} [{line.rsplit('[', 1)[1]}" for line in found]
    assert [place for place in expected if place not in places] == [], done.stdout
    assert {place.split(" ")[0] for place in places} == {place.split(" ")[0] for place in expected}
