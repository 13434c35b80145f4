"""Runs the step maps of this folder, and prints how each ended, its results and its timings.

python greetings.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stepwell import (
    ExecutionContext,
    ExecutionResult,
    StepExecutor,
    StepExecutorFactory,
    StepType,
    WorkflowExecutionEngine,
)

HERE = Path(__file__).parent


class WordCount(StepExecutor):
    """A step type of our own: counts the words of its dependencies' texts."""

    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        texts = [str(result) for result in input_data["dependency_results"].values()]
        return ExecutionResult(success=True, data={"words": sum(len(text.split()) for text in texts)})


def main() -> None:
    StepExecutorFactory.register_executor(StepType.CUSTOM, WordCount)
    engine = WorkflowExecutionEngine(max_parallel_steps=10, config={"state_store": {"type": "memory"}})
    for name in ("greeting", "analysis"):
        workflow = json.loads((HERE / f"{name}.json").read_text("utf-8"))
        last = list(workflow["steps"])[-1]
        workflow["steps"]["count"] = {"type": "custom", "depends_on": [last]}
        show(engine, name, engine.run(workflow))


def show(engine: WorkflowExecutionEngine, name: str, result: dict[str, Any]) -> None:
    print(f"{name}: {result['status']} after {result['execution_time']:.3f} s")
    for step, seconds in engine.get_metrics(name)["step_times"].items():
        print(f"  {step} ({seconds:.3f} s): {json.dumps(result['results'].get(step))}")


if __name__ == "__main__":
    main()
