"""Steps that a Dask cluster does."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine, task
from stepwell.base.durations import SECOND
from stepwell.base.errors import ConfigurationError
from stepwell.base.values import Sealed
from stepwell.ports.work import TaskContext
from stepwell.worker.dask_call import Call, carry_out
from stepwell.worker.dask_cluster import DaskCluster, DaskOptions
from tests.conformance.dispatcher import (
    PATIENCE,
    DispatcherConformance,
    DispatcherHarness,
    OpenHarness,
    Work,
    assignment,
    echo,
)
from tests.worker.dask_harness import DaskHarness, slow, started_cluster


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    cluster = started_cluster()
    yield cluster.scheduler_address
    cluster.close()


@pytest.fixture
async def open_harness(address: str) -> AsyncIterator[OpenHarness]:
    opened: list[DaskHarness] = []

    async def open_one(work: Work) -> DispatcherHarness:
        opened.append(DaskHarness(address, work))
        return opened[-1]

    yield open_one
    for harness in opened:
        await harness.worker.close()


class Gate:
    """Work that waits until it is let go. What has begun on a Dask worker goes on there, whatever becomes of it."""

    def __init__(self) -> None:
        self.begun, self.open, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(self, config: Any, context: TaskContext) -> Any:
        self.begun.set()
        await self.open.wait()
        self.ended.set()
        return "done"


class TestConformance(DispatcherConformance):
    """A thread of a Dask worker cannot be stopped: what it gives is not waited for any more."""

    async def test_work_that_takes_too_long_is_stopped(self, open_harness: OpenHarness) -> None:
        gate = Gate()
        harness = await open_harness(gate.work)
        harness.dispatcher.dispatch(assignment("slow", timeout=5 * SECOND))
        await asyncio.wait_for(gate.begun.wait(), PATIENCE)
        await harness.advance(4_900_000)
        assert harness.reports == []
        await harness.advance(200_000)
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.message, error.retryable) == ("timeout", "step 'slow' timed out after 5s", True)
        gate.open.set()
        await asyncio.wait_for(gate.ended.wait(), PATIENCE)
        await harness.rest()
        assert len(harness.reports) == 1

    async def test_stopped_work_is_cancelled_and_not_reported(self, open_harness: OpenHarness) -> None:
        gate = Gate()
        harness = await open_harness(gate.work)
        harness.dispatcher.dispatch(assignment())
        await asyncio.wait_for(gate.begun.wait(), PATIENCE)
        harness.dispatcher.stop(assignment().id)
        gate.open.set()
        await asyncio.wait_for(gate.ended.wait(), PATIENCE)
        await harness.rest()
        assert harness.reports == []

    async def test_closing_stops_everything_without_a_report(self, open_harness: OpenHarness) -> None:
        gate = Gate()
        harness = await open_harness(gate.work)
        harness.dispatcher.dispatch(assignment())
        await asyncio.wait_for(gate.begun.wait(), PATIENCE)
        await harness.dispatcher.close()
        await harness.dispatcher.close()
        gate.open.set()
        await asyncio.wait_for(gate.ended.wait(), PATIENCE)
        assert harness.reports == []

    async def test_the_task_sees_the_attempt_it_serves(self, open_harness: OpenHarness) -> None:
        async def tell(config: Any, context: TaskContext) -> Any:
            seen = [context.execution, context.workflow, context.step, context.attempt, context.idempotency_key]
            return [*seen, context.assignment.config, await context.run_sync(lambda: 5)]

        harness = await open_harness(tell)
        harness.dispatcher.dispatch(assignment("pay", {"card": "4111"}, attempt=3))
        assert (await harness.report()).result == ["e1", "shop", "pay", 3, "e1/pay", None, 5]


async def test_work_that_has_not_begun_is_stopped_for_good() -> None:
    cluster = started_cluster(threads=1)
    done: list[str] = []
    gate = Gate()

    async def work(config: Any, context: TaskContext) -> Any:
        if context.step == "first":
            return await gate.work(config, context)
        done.append(context.step)
        return None

    harness = DaskHarness(cluster.scheduler_address, work)
    for step in ("first", "second", "third"):
        harness.dispatcher.dispatch(assignment(step))
    await asyncio.wait_for(gate.begun.wait(), PATIENCE)
    harness.dispatcher.stop(assignment("second").id)
    await harness.rest()
    gate.open.set()
    await harness.report(2)
    await harness.worker.close()
    await asyncio.to_thread(cluster.close)
    assert done == ["third"]


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A scheduler and a worker in another process, and their address."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.worker.dask_harness"]
    started = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert started.stdout is not None
    yield started, started.stdout.readline().strip()
    started.kill()
    started.communicate(timeout=PATIENCE)


async def test_a_scheduler_that_is_lost_is_an_error_that_may_pass(
    process: tuple[subprocess.Popen[str], str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.worker.dask_cluster.CONNECT_SECONDS", 0.3)
    started, address = process
    harness = DaskHarness(address, echo, function=slow)
    harness.dispatcher.dispatch(assignment("quick", 0.0))
    assert (await harness.report()).result == "slept"
    harness.dispatcher.dispatch(assignment("slow", 30.0))
    await harness.rest()
    started.kill()
    report = await harness.report(2)
    assert report.error is not None
    assert (report.error.type, report.error.retryable) == ("compute_lost", True)
    assert harness.cluster.problem() is not None
    harness.dispatcher.dispatch(assignment("slow", 0.0, attempt=2))
    report = await harness.report(3)
    assert report.error is not None
    assert (report.error.type, report.error.retryable) == ("compute_unavailable", True)
    said = [record.getMessage() for record in caplog.records if record.name == "stepwell.worker"]
    assert len(said) == 1
    await harness.worker.close()


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, GeneratorExit])
async def test_a_task_that_wants_to_end_its_process_only_fails(address: str, kind: type[BaseException]) -> None:
    def ends(config: Any) -> Any:
        raise kind("bye")

    harness = DaskHarness(address, echo, function=ends)
    harness.dispatcher.dispatch(assignment("a"))
    error = (await harness.report()).error
    assert error is not None
    assert (error.type, error.message) == (kind.__name__, "bye")
    await harness.worker.close()


async def test_a_scheduler_that_cannot_be_reached_is_an_error_that_may_pass(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.worker.dask_cluster.CONNECT_SECONDS", 0.3)
    harness = DaskHarness("tcp://127.0.0.1:1", echo)
    for number in range(5):
        harness.dispatcher.dispatch(assignment(f"s{number}"))
    await harness.report(5)
    errors = [report.error for report in harness.reports]
    assert {(error.type, error.retryable) for error in errors if error is not None} == {("compute_unavailable", True)}
    said = [record for record in caplog.records if record.name == "stepwell.worker"]
    assert len(said) == 1
    assert harness.cluster.problem() is not None
    await harness.worker.close()


def test_a_missing_library_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError) as raised:
        DaskCluster(DaskOptions(scheduler="tcp://x:1")).check()
    assert (raised.value.code, raised.value.hint) == ("missing-library", "pip install 'stepwell[dask]'")


def test_a_worker_without_the_task_says_so() -> None:
    pickled = pickle.dumps(Call(len, ((),), {})).replace(b"builtins", b"nowhere_").replace(b"len", b"abc")
    error = carry_out(pickled, assignment(), ()).error
    assert error is not None
    assert (error.type, error.retryable) == ("unknown_task", False)
    assert "nowhere_" in error.message


def test_what_is_secret_is_hidden_in_errors_on_the_worker() -> None:
    def fail() -> None:
        raise RuntimeError("no entry for hunter22")

    cloudpickle: Any = importlib.import_module("cloudpickle")
    error = carry_out(cloudpickle.dumps(Call(fail, (), {})), assignment(), ("hunter22",)).error
    assert error is not None
    assert (error.type, error.message, error.retryable) == ("RuntimeError", "no entry for ***", True)


async def test_secrets_reach_the_task(open_harness: OpenHarness) -> None:
    async def tell(config: Any, context: TaskContext) -> Any:
        return [config["password"] == "hunter22", context.hide("hunter22")]

    harness = await open_harness(tell)
    harness.dispatcher.dispatch(assignment(config={"password": Sealed("hunter22")}))
    assert (await harness.report()).result == [True, "***"]


# Through an engine


@task
def total(numbers: list[int]) -> dict[str, Any]:
    import threading

    return {"sum": sum(numbers), "thread": threading.current_thread().name}


@task
async def squared(number: int, context: TaskContext) -> int:
    assert context.attempt == 1
    await asyncio.sleep(0)
    return number * number


@task
def where() -> str:
    import threading

    return threading.current_thread().name


WORKFLOW = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: numbers, version: "1.0.0"}
spec:
  steps:
    - {name: total, type: python, config: {task: total, args: {numbers: [1, 2, 3]}}}
    - {name: squared, type: squared, depends_on: total, config: {number: "{{ steps.total.output.sum }}"}}
  output:
    values: {squared: "{{ steps.squared.output }}", thread: "{{ steps.total.output.thread }}"}
"""


async def test_python_steps_of_a_workflow_are_done_by_the_cluster(address: str, tmp_path: Path) -> None:
    settings = {"state_store": {"type": "memory"}, "compute": {"dask": address}}
    async with WorkflowEngine(settings, tasks=[total, squared, where]) as engine:
        handle = engine.handle(await engine.start_workflow(WORKFLOW, {}))
        result = (await handle.result())["output"]
    assert result["squared"] == 36
    assert "Dask" in result["thread"]


async def test_only_the_steps_of_a_queue_are_when_it_is_named(address: str) -> None:
    settings = {"state_store": {"type": "memory"}, "compute": {"dask": {"scheduler": address, "queue": "heavy"}}}
    text = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: places, version: "1.0.0"}
spec:
  steps:
    - {name: here, type: where}
    - {name: there, type: where, queue: heavy}
  output: {values: {here: "{{ steps.here.output }}", there: "{{ steps.there.output }}"}}
"""
    async with WorkflowEngine(settings, tasks=[where]) as engine:
        result = (await engine.handle(await engine.start_workflow(text, {})).result())["output"]
    assert "Dask" not in result["here"]
    assert "Dask" in result["there"]
