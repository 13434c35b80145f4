"""Step maps run by the real engine, on a clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell import (
    ExecutionContext,
    ExecutionResult,
    InvalidDefinition,
    StepExecutor,
    StepExecutorFactory,
    StepType,
    WorkflowEngine,
    WorkflowExecutionEngine,
    task,
)
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict, InvalidInput, NotFound, StepwellError, StoreError
from tests.dialects.step_map.documents import PARALLEL, SIMPLE, step_map
from tests.virtual_clock import START, VirtualClock

MEMORY = {"state_store": {"type": "memory"}}
ANY = {"type": "input", "input": {"data": {}}}


class Trying(StepExecutor):
    """Raises what it is told to, and notes when it was tried."""

    def __init__(self, clock: VirtualClock, *errors: Exception) -> None:
        self.clock = clock
        self.errors = list(errors)
        self.tries: list[float] = []

    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        self.tries.append((self.clock.now() - START) / SECOND)
        assert context.attempt == len(self.tries)
        if self.errors:
            raise self.errors.pop(0)
        return ExecutionResult(success=True, data="done")


class Holding(StepExecutor):
    """Works until it is let go; counts how many are at work."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.most = 0
        self.go = asyncio.Semaphore(0)

    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        self.at_work.append(context.step_id)
        self.most = max(self.most, len(self.at_work))
        await self.go.acquire()
        self.at_work.remove(context.step_id)
        return ExecutionResult(success=True, data={"from": context.workflow_id})


def engine_with(executor: StepExecutor | None = None, **options: Any) -> WorkflowExecutionEngine:
    return WorkflowExecutionEngine(config=MEMORY, executors={"custom": executor} if executor else {}, **options)


async def result_of(workflow: Any, executor: StepExecutor | None = None, **options: Any) -> dict[str, Any]:
    async with engine_with(executor, **options) as engine:
        return await engine.execute_workflow(workflow)


async def played(workflow: Any, executor: StepExecutor, clock: VirtualClock, **options: Any) -> dict[str, Any]:
    """The result, with the clock moved on whenever nothing else happens."""
    async with engine_with(executor, clock=clock, **options) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(workflow))
        while not work.done():
            await clock.settle()
            if not work.done():
                await clock.jump()
        return work.result()


# The golden values


async def test_the_simple_workflow_gives_its_golden_values() -> None:
    result = await result_of(SIMPLE)
    assert result.keys() == {"status", "results", "execution_time"}
    timestamp = result["results"]["collect_data"]["timestamp"]
    assert result["status"] == "completed"
    assert result["results"] == {
        "collect_data": {"collected_data": {"message": "hello"}, "timestamp": timestamp, "source": "manual"},
        "process_data": {"processed_data": {"message": "HELLO"}},
    }
    assert isinstance(result["execution_time"], float)


async def test_the_parallel_workflow_gives_its_golden_values() -> None:
    result = await result_of(PARALLEL)
    assert result["status"] == "completed"
    results = result["results"]
    assert list(results) == list(PARALLEL["steps"])
    assert results["process_a"] == {"processed_data": {"value": 1}}
    assert results["process_b"] == {"processed_data": {"value": 2}}
    assert results["ai_analysis"].keys() == {"ai_response"}
    assert "context keys: ['value']" in results["ai_analysis"]["ai_response"]
    assert results["output"] == {"delivery_status": "Delivered to default", "destination": "default"}


async def test_of_two_dependencies_the_later_one_wins() -> None:
    steps = {**PARALLEL["steps"], "last": {"depends_on": ["process_a", "process_b"]}}
    assert (await result_of({"id": "w", "steps": steps}))["results"]["last"] == {"processed_data": {"value": 2}}
    steps["last"] = {"depends_on": ["process_b", "process_a"]}
    assert (await result_of({"id": "w", "steps": steps}))["results"]["last"] == {"processed_data": {"value": 1}}


async def test_a_response_is_data_for_the_next_step() -> None:
    ask = {"type": "ai", "input": {"prompt": "p"}}
    result = await result_of(step_map(ask=ask, next={"depends_on": "ask"}))
    response = result["results"]["ask"]["ai_response"]
    assert result["results"]["next"] == {"processed_data": {"ai_response": response}}


async def test_every_engine_gives_step_maps_the_results_that_they_have() -> None:
    async with WorkflowEngine(MEMORY) as engine:
        assert (await engine.execute_workflow(SIMPLE))["status"] == "completed"
        assert (await engine.execute_workflow(json.dumps(SIMPLE)))["results"].keys() == SIMPLE["steps"].keys()
        report = await engine.result(await engine.start_workflow(SIMPLE))
        assert report["completed_steps"] == ["collect_data", "process_data"]
        assert report["output"]["process_data"] == {"processed_data": {"message": "HELLO"}}


# Failures and retries


async def test_a_wrong_value_is_tried_once() -> None:
    clock = VirtualClock()
    executor = Trying(clock, ValueError("wrong"))
    result = await played(step_map(a={"type": "custom"}), executor, clock)
    assert executor.tries == [0]
    assert result == {
        "status": "failed",
        "failed_steps": ["a"],
        "errors": {"a": {"error": "wrong", "type": "ValueError", "attempts": 1}},
        "results": {},
        "execution_time": 0.0,
    }


async def test_a_lost_connection_is_tried_four_times() -> None:
    clock = VirtualClock()
    executor = Trying(clock, *(ConnectionError("gone") for _ in range(4)))
    result = await played(step_map(a={"type": "custom"}), executor, clock)
    assert executor.tries == [0, 1, 3, 7]
    assert result["errors"] == {"a": {"error": "gone", "type": "ConnectionError", "attempts": 4}}


@pytest.mark.parametrize(
    ("keys", "tries"),
    [
        ({"max_retries": 0}, [0]),
        ({"max_retries": 1, "retry": {"base_delay": 0.5}}, [0, 0.5]),
        ({"retry": {"base_delay": 40}}, [0, 40, 100, 160]),
        ({"retry": {"retryable_errors": ["OSError"]}}, [0]),
        ({"retry": {"retryable_errors": ["ConnectionError"]}}, [0, 1, 3, 7]),
    ],
)
async def test_a_step_says_how_it_is_tried_again(keys: dict[str, Any], tries: list[float]) -> None:
    clock = VirtualClock()
    executor = Trying(clock, *(ConnectionError("gone") for _ in range(9)))
    await played(step_map(a={"type": "custom", **keys}), executor, clock)
    assert executor.tries == tries


@pytest.mark.parametrize(("said", "tries"), [({}, [0, 2, 5, 8]), ({"base_delay": 1}, [0, 1, 3, 6])])
async def test_the_engine_says_how_long_it_waits_where_a_workflow_does_not(said: Any, tries: list[float]) -> None:
    clock = VirtualClock()
    executor = Trying(clock, *(ConnectionError("gone") for _ in range(9)))
    workflow = {**step_map(a={"type": "custom"}), "retry": said}
    await played(workflow, executor, clock, base_delay=2, max_delay=3)
    assert executor.tries == tries


async def test_what_works_at_last_completes_the_step() -> None:
    clock = VirtualClock()
    result = await played(step_map(a={"type": "custom"}), Trying(clock, OSError("no"), OSError("no")), clock)
    assert (result["status"], result["results"]) == ("completed", {"a": "done"})
    assert result["execution_time"] == 3.0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "input"}, "Invalid input data format"),
        ({"type": "input", "input": {"source": "x"}}, "Invalid input data format"),
        ({"type": "ai", "input": {"data": 1}}, "Invalid AI input data"),
        ({"type": "process"}, "Invalid process input data"),
        ({"type": "output", "input": {"destination": "mars"}}, "no destination 'mars'"),
    ],
)
async def test_a_step_that_lacks_what_it_needs_fails_when_it_runs(step: dict[str, Any], words: str) -> None:
    result = await result_of(step_map(a=step))
    assert (result["status"], result["failed_steps"]) == ("failed", ["a"])
    assert words in result["errors"]["a"]["error"]
    assert result["errors"]["a"]["attempts"] == 1


async def test_data_that_does_not_fit_its_schema_fails_the_validation() -> None:
    schema = {"required": ["y"], "properties": {"x": {"type": "string"}}}
    check = {"type": "data_validation", "input": {"validation_schema": schema}, "depends_on": "a"}
    result = await result_of(step_map(a={"type": "input", "input": {"data": {"x": 1}}}, check=check))
    error = result["errors"]["check"]
    assert (error["type"], error["attempts"]) == ("validation_error", 1)
    assert error["error"] == ('Field [(the whole)]: "y" is a required property; Field [x]: 1 is not of type "string"')
    assert result["results"]["a"]["collected_data"] == {"x": 1}


async def test_what_is_at_work_ends_and_nothing_more_begins_when_a_step_fails() -> None:
    holding = Holding()
    steps = step_map(bad={"type": "process"}, slow={"type": "custom"}, then={"type": "custom", "depends_on": "slow"})
    async with engine_with(holding) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(steps))
        while not holding.at_work:
            await asyncio.sleep(0)
        holding.go.release()
        result = await work
    assert (result["failed_steps"], list(result["results"])) == (["bad"], ["slow"])


async def test_a_step_that_takes_too_long_has_failed() -> None:
    clock = VirtualClock()
    result = await played(step_map(a={"type": "custom", "timeout": 5, "max_retries": 0}), Holding(), clock)
    assert result["errors"]["a"]["type"] == "timeout"


# Limits


async def test_no_more_steps_run_at_once_than_the_engine_allows() -> None:
    holding = Holding()
    five = step_map(**{f"s{n}": {"type": "custom"} for n in range(5)})
    async with engine_with(holding, max_parallel_steps=2) as engine:
        runs = [asyncio.ensure_future(engine.execute_workflow(five)) for _ in range(2)]
        while len(holding.at_work) < 2:
            await asyncio.sleep(0)
        assert engine.get_execution_status("test")["active_executions"] <= 2
        for _ in range(10):
            holding.go.release()
        results = await asyncio.gather(*runs)
    assert holding.most == 2
    assert [result["status"] for result in results] == ["completed", "completed"]


async def test_no_more_steps_run_at_once_than_the_workflow_allows() -> None:
    holding = Holding()
    five = {**step_map(**{f"s{n}": {"type": "custom"} for n in range(5)}), "max_parallel_steps": 2}
    async with engine_with(holding) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(five))
        while len(holding.at_work) < 2:
            await asyncio.sleep(0)
        for _ in range(5):
            holding.go.release()
        assert (await work)["status"] == "completed"
    assert holding.most == 2


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2", None])
def test_a_limit_that_is_none_is_a_value_error(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_parallel_steps") as caught:
        WorkflowExecutionEngine(max_parallel_steps=limit)
    assert isinstance(caught.value, StepwellError)


@pytest.mark.parametrize("delays", [{"base_delay": -1}, {"max_delay": "1"}, {"base_delay": 5, "max_delay": 1}])
def test_delays_that_are_none_are_value_errors(delays: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="_delay"):
        WorkflowExecutionEngine(**delays)


# What is refused


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        (step_map(a={"depends_on": "b"}, b={"depends_on": "a"}), "a -> b -> a"),
        (step_map(a={"depends_on": ["a"]}), "'a' leads to itself"),
        (step_map(a={**ANY, "depends_on": ["nobody"]}), "no step 'nobody'"),
        (step_map(a={"type": "shout"}), "no step type 'shout'"),
        (step_map(), "no steps"),
        ({"id": "w", "steps": ["a"]}, "expected a mapping, saw a list"),
        ({"id": "w"}, "`steps` is missing"),
        (["a"], "expected a mapping, saw a list"),
        (None, "expected a mapping, saw nothing"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_runs(workflow: Any, words: str) -> None:
    async with engine_with() as engine:
        with pytest.raises(InvalidDefinition, match=words):
            await engine.execute_workflow(workflow)
        with pytest.raises(NotFound):
            engine.get_execution_status("test")


async def test_what_json_cannot_hold_is_refused() -> None:
    async with engine_with() as engine:
        with pytest.raises(StepwellError, match="cannot be written as JSON"):
            await engine.execute_workflow(step_map(a={"input": {"data": object()}}))


async def test_an_engine_that_fails_says_so_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine_with() as engine:

        async def gone(*_: Any) -> Any:
            raise StoreError("the disk is full")

        monkeypatch.setattr(engine, "result", gone)
        assert await engine.execute_workflow(SIMPLE) == {"status": "error", "error": "the disk is full"}

        async def broken(*_: Any) -> Any:
            raise KeyError("/secret/path")

        monkeypatch.setattr(engine, "result", broken)
        result = await engine.execute_workflow(SIMPLE)
        assert result == {"status": "error", "error": "the engine failed unexpectedly (KeyError)"}


# Following


async def test_the_status_is_right_while_it_runs_and_after() -> None:
    holding = Holding()
    steps = step_map(first=ANY, held={"type": "custom", "depends_on": "first"})
    async with engine_with(holding) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(steps))
        while not holding.at_work:
            await asyncio.sleep(0)
        status = engine.get_execution_status("test")
        assert (status["workflow_id"], status["completed_steps"], status["active_executions"]) == ("test", ["first"], 1)
        assert status["step_results"].keys() == {"first"}
        assert engine.get_metrics("test")["retry_counts"] == {"first": 0, "held": 0}
        holding.go.release()
        await work
        status = engine.get_execution_status("test")
    assert (status["completed_steps"], status["active_executions"]) == (["first", "held"], 0)
    assert engine.get_execution_status("test") == status


async def test_two_runs_of_one_workflow_do_not_mix() -> None:
    holding = Holding()
    async with engine_with(holding) as engine:
        first = await engine.start_workflow(step_map(a={"type": "custom"}))
        second = await engine.start_workflow(step_map(a={"type": "custom"}))
        while len(holding.at_work) < 2:
            await asyncio.sleep(0)
        assert engine.get_execution_status(first)["active_executions"] == 1
        holding.go.release()
        await asyncio.wait(
            [asyncio.ensure_future(engine.result(each)) for each in (first, second)], return_when="FIRST_COMPLETED"
        )
        ended = [engine.get_execution_status(each)["completed_steps"] for each in (first, second)]
        assert sorted(ended) == [[], ["a"]]
        assert engine.get_execution_status("test")["completed_steps"] == ended[1]
        holding.go.release()
        await asyncio.gather(engine.result(first), engine.result(second))


async def test_a_workflow_that_never_ran_is_not_found() -> None:
    async with engine_with() as engine:
        with pytest.raises(NotFound, match="'nobody'"):
            engine.get_execution_status("nobody")
        with pytest.raises(NotFound):
            engine.get_metrics("nobody")


async def test_a_workflow_is_found_by_the_id_that_it_was_given() -> None:
    async with engine_with() as engine:
        await engine.execute_workflow({**SIMPLE, "id": "my workflow!"})
        assert engine.get_execution_status("my workflow!")["workflow_id"] == "my workflow!"


async def test_metrics_say_how_it_went() -> None:
    clock = VirtualClock()
    executor = Trying(clock, OSError("no"))
    async with engine_with(executor, clock=clock, max_parallel_steps=4) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(step_map(a={"type": "custom"}, b=ANY)))
        await clock.advance(SECOND // 2)
        metrics = engine.get_metrics("test")
        assert (metrics["total_time"], metrics["failure_rates"]) == (0.5, {"a": 1.0, "b": 0.0})
        await clock.advance(SECOND)
        assert work.done()
        metrics = engine.get_metrics("test")
    assert metrics == {
        "total_time": 1.0,
        "step_times": {"a": 0.0, "b": 0.0},
        "retry_counts": {"a": 1, "b": 0},
        "failure_rates": {"a": 0.5, "b": 0.0},
        "failure_rate": round(1 / 3, 4),
        "resource_utilization": metrics["resource_utilization"],
    }
    assert metrics["resource_utilization"]["limit"] == 4


# Registered types


@pytest.fixture(autouse=True)
def _factory() -> Iterator[None]:
    yield
    for name in StepExecutorFactory.registered():
        StepExecutorFactory.unregister_executor(name)


class CustomExecutor(StepExecutor):
    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        return ExecutionResult(success=True, data={"got": sorted(input_data), "by": context.step_id})


async def test_a_registered_executor_does_steps_of_its_type() -> None:
    StepExecutorFactory.register_executor(StepType.CUSTOM, CustomExecutor)
    steps = step_map(a=ANY, b={"type": "custom", "input": {"n": 1}, "depends_on": ["a"]})
    assert (await result_of(steps))["results"]["b"] == {"got": ["dependency_results", "n"], "by": "b"}


async def test_an_engine_has_what_was_registered_when_it_was_made() -> None:
    async with engine_with() as engine:
        StepExecutorFactory.register_executor("late", CustomExecutor)
        with pytest.raises(InvalidDefinition, match="late"):
            await engine.execute_workflow(step_map(a={"type": "late"}))
    assert (await result_of(step_map(a={"type": "LATE"})))["status"] == "completed"


async def test_a_registered_executor_takes_the_place_of_a_built_in_one() -> None:
    class Upper(StepExecutor):
        def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
            return ExecutionResult(success=True, data={"processed_data": str(input_data["data"]).upper()})

    StepExecutorFactory.register_executor(StepType.PROCESS, Upper)
    steps = step_map(a={"type": "input", "input": {"data": "x"}}, b={"depends_on": "a"})
    assert (await result_of(steps))["results"]["b"] == {"processed_data": "X"}


async def test_a_task_and_an_executor_cannot_have_one_name() -> None:
    @task("custom")
    async def custom() -> None: ...

    with pytest.raises(StepwellError, match="both called 'custom'"):
        async with engine_with(CustomExecutor(), tasks=[custom]):
            pass


async def test_a_task_does_steps_of_its_name() -> None:
    @task
    async def add(a: int, b: int, dependency_results: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"processed_data": {"sum": a + b, "after": sorted(dependency_results or {})}}

    steps = step_map(
        one={"type": "add", "input": {"a": 1, "b": 2}},
        two={"type": "ADD", "input": {"a": 3, "b": 4}, "depends_on": "one"},
        end={"depends_on": "two"},
    )
    result = await result_of(steps, tasks=[add])
    assert result["results"]["one"] == {"processed_data": {"sum": 3, "after": []}}
    assert result["results"]["end"] == {"processed_data": {"sum": 7, "after": ["one"]}}


async def test_a_step_map_takes_an_idempotent_start_and_a_dialect() -> None:
    async with engine_with() as engine:
        first = await engine.start_workflow(SIMPLE, key="once")
        assert await engine.start_workflow(SIMPLE, key="once") == first
        with pytest.raises((Conflict, InvalidInput)):
            await engine.start_workflow(SIMPLE, {"other": 1}, key="once")
        native = {
            "apiVersion": "workflow/v1",
            "kind": "Workflow",
            "metadata": {"name": "n", "version": "1.0.0"},
            "spec": {"steps": [{"name": "a", "type": "noop"}]},
        }
        report = await engine.execute_workflow(native, dialect="native")
        assert report["completed_steps"] == ["a"]
        with pytest.raises(InvalidDefinition):
            await engine.execute_workflow(native)


async def test_a_step_waits_for_a_thousand_others_and_gets_the_data_of_all() -> None:
    many = {f"i{n}": {"type": "input", "input": {"data": {f"x{n}": n}}} for n in range(1_000)}
    result = await result_of(step_map(**many, end={"depends_on": list(many)}))
    assert len(result["results"]["end"]["processed_data"]) == 1_000


async def test_data_that_cannot_be_put_together_fails_the_step() -> None:
    steps = step_map(a=ANY, b={"type": "input", "input": {"data": [1]}}, c={"depends_on": ["a", "b"]})
    result = await result_of(steps)
    assert result["errors"]["c"] == {
        "error": "the data of this process step cannot be put together: number 2 is no object",
        "type": "validation_error",
        "attempts": 1,
    }


async def test_a_hundred_steps_and_more_are_run() -> None:
    chain = {f"s{n}": {"depends_on": f"s{n - 1}"} for n in range(1, 150)}
    result = await result_of(step_map(s0={"type": "input", "input": {"data": {"x": 1}}}, **chain))
    assert result["results"]["s149"] == {"processed_data": {"x": 1}}


# Other endings


async def test_an_execution_that_runs_out_of_time_says_so_and_names_no_step() -> None:
    config = {**MEMORY, "execution": {"default_timeout": "5s"}}
    clock = VirtualClock()
    async with WorkflowExecutionEngine(config=config, executors={"custom": Holding()}, clock=clock) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(step_map(a={"type": "custom"})))
        await clock.advance(10 * SECOND)
        assert await work == {
            "status": "failed",
            "failed_steps": [],
            "errors": {},
            "error": "the workflow timed out after 5s",
            "results": {},
            "execution_time": 5.0,
        }


async def test_an_execution_that_is_cancelled_is_cancelled() -> None:
    holding = Holding()
    async with engine_with(holding) as engine:
        work = asyncio.ensure_future(engine.execute_workflow(step_map(a=ANY, b={"type": "custom"})))
        while not holding.at_work:
            await asyncio.sleep(0)
        (execution,) = engine._following._known
        await engine.handle(execution).cancel("enough", stop_running=True)
        result = await work
    assert (result["status"], result["failed_steps"], list(result["results"])) == ("cancelled", [], ["a"])


async def test_a_step_map_is_a_step_of_another_workflow() -> None:
    parent = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "parent", "version": "1.0.0"},
        "spec": {
            "steps": [{"name": "child", "type": "workflow", "config": {"name": "simple_workflow"}}],
            "output": {"values": {"said": "{{ steps.child.output.process_data.processed_data.message }}"}},
        },
    }
    async with WorkflowEngine(MEMORY) as engine:
        await engine.register_workflow(SIMPLE)
        report = await engine.execute_workflow(parent)
        assert (report["status"], report["output"]) == ("completed", {"said": "HELLO"})
        assert (await engine.execute_workflow("simple_workflow"))["status"] == "completed"


async def test_files_are_delivered_into_the_configured_directory(tmp_path: Path) -> None:
    config = {**MEMORY, "files": {"directory": str(tmp_path)}}
    steps = step_map(a=ANY, out={"type": "output", "input": {"destination": "file:out.json"}, "depends_on": "a"})
    async with WorkflowExecutionEngine(config=config) as engine:
        assert (await engine.execute_workflow(steps))["status"] == "completed"
    assert json.loads((tmp_path / "out.json").read_text())["a"]["collected_data"] == {}


async def test_an_interrupted_execution_goes_on_without_repeating_what_was_done(tmp_path: Path) -> None:
    config = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}
    first, holding = Trying(VirtualClock()), Holding()
    steps = step_map(once={"type": "once"}, then={"type": "custom", "depends_on": "once"})
    async with WorkflowExecutionEngine(config=config, executors={"once": first, "custom": holding}) as engine:
        execution = await engine.start_workflow(steps, key="k")
        while not holding.at_work:
            await asyncio.sleep(0)
    holding.go.release()
    async with WorkflowExecutionEngine(config=config, executors={"once": first, "custom": holding}) as engine:
        assert await engine.start_workflow(steps, key="k") == execution
        report = await engine.result(execution)
    assert (report["status"], len(first.tries)) == ("completed", 1)
    assert report["output"]["once"] == "done"
