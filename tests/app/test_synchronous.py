"""Engines for callers without an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stepwell import InvalidDefinition, WorkflowEngine, WorkflowExecutionEngine, task
from stepwell.base.errors import UsageError
from tests.app.test_workflow_engine import ADD, MEMORY, add, document
from tests.dialects.step_map.documents import SIMPLE


def test_a_workflow_is_run_again_and_again() -> None:
    engine = WorkflowEngine(MEMORY, tasks=[add])
    assert [engine.run(ADD, {"a": number})["output"]["sum"] for number in range(3)] == [2, 3, 4]
    assert not [thread for thread in threading.enumerate() if thread.name == "stepwell"]


def test_a_step_map_is_run_and_remembered() -> None:
    engine = WorkflowExecutionEngine(config=MEMORY)
    assert engine.run(SIMPLE)["status"] == "completed"
    assert engine.get_execution_status("simple_workflow")["completed_steps"] == ["collect_data", "process_data"]


def test_several_threads_run_workflows_on_one_engine() -> None:
    together = threading.Barrier(4, timeout=30)

    @task
    def meet(n: int) -> int:
        together.wait()
        return n

    flow = document({"name": "m", "type": "meet", "config": {"n": "{{ input.n }}"}})
    engine = WorkflowEngine(MEMORY, tasks=[meet])
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda n: engine.run(flow, {"n": n}), range(4)))
    assert [report["steps"][0]["output"] for report in reports] == [0, 1, 2, 3]


def test_threads_come_and_go_on_one_engine() -> None:
    engine = WorkflowEngine(MEMORY, tasks=[add])
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda n: engine.run(ADD, {"a": n}), range(40)))
    assert [report["output"]["sum"] for report in reports] == [n + 2 for n in range(40)]


def test_errors_come_through() -> None:
    engine = WorkflowEngine(MEMORY)
    with pytest.raises(InvalidDefinition):
        engine.run(document({"name": "a", "type": "noop", "depends_on": "b"}))
    assert engine.run(document({"name": "a", "type": "noop"}))["status"] == "completed"


async def test_inside_an_event_loop_the_call_is_refused_with_what_to_do() -> None:
    for engine in (WorkflowEngine(MEMORY), WorkflowExecutionEngine(config=MEMORY)):
        with pytest.raises(UsageError, match=r"await engine\.execute_workflow") as caught:
            engine.run(SIMPLE)
        assert caught.value.code == "inside-event-loop"


async def test_a_thread_runs_workflows_on_the_loop_that_the_engine_is_open_on() -> None:
    where: list[Any] = []

    @task
    async def note() -> None:
        where.append(asyncio.get_running_loop())

    async with WorkflowEngine(MEMORY, tasks=[note]) as engine:
        flow = document({"name": "n", "type": "note", "config": {}})
        report = await asyncio.to_thread(engine.run, flow)
        assert report["status"] == "completed"
        assert (await engine.execute_workflow(flow))["status"] == "completed"
    assert where == [asyncio.get_running_loop()] * 2


async def test_an_engine_stays_on_the_loop_that_it_was_opened_on() -> None:
    async with WorkflowEngine(MEMORY) as engine:

        def elsewhere() -> None:
            asyncio.run(engine.execute_workflow(document({"name": "a", "type": "noop"})))

        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(elsewhere)
