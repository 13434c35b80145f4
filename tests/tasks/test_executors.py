"""Executors: step types written as classes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stepwell import ExecutionContext, ExecutionResult, StepExecutor, StepExecutorFactory, StepType
from stepwell.base.errors import StepwellError
from stepwell.ports.work import TaskError, TaskResult
from stepwell.tasks.executors import ExecutorHandler, InvalidExecutor, handlers_of
from tests.conformance.dispatcher import assignment
from tests.tasks.context import PlainContext


@pytest.fixture(autouse=True)
def _factory() -> Iterator[None]:
    before = StepExecutorFactory.registered()
    yield
    for name in StepExecutorFactory.registered().keys() - before.keys():
        StepExecutorFactory.unregister_executor(name)


class Echo(StepExecutor):
    """Gives what it was given."""

    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        input_data["attempt"] = context.attempt
        return ExecutionResult(success=True, data=input_data, metadata={"seen": 1})


class Answers(StepExecutor):
    """Gives the result it is told to."""

    def __init__(self, result: Any, valid: Any = True) -> None:
        self.result = result
        self.valid = valid

    async def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
        result: ExecutionResult = self.result
        return result

    def validate_input(self, input_data: dict[str, Any]) -> bool:
        valid: bool = self.valid
        return valid


async def run(executor: StepExecutor, config: Any) -> TaskResult:
    return await ExecutorHandler("custom", executor).run(config, PlainContext(work=assignment("call", attempt=2)))


async def failure(executor: StepExecutor) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(executor, {})
    return caught.value


async def test_an_executor_gets_a_copy_of_its_input_and_knows_which_try_it_makes() -> None:
    given = {"x": [1]}
    result = await run(Echo(), given)
    assert (result.value, result.scope) == ({"x": [1], "attempt": 2}, {"metadata": {"seen": 1}})
    assert given == {"x": [1]}
    assert (await run(Echo(), None)).value == {"attempt": 2}


async def test_the_context_tells_what_is_being_done() -> None:
    seen: list[ExecutionContext] = []

    class Notes(StepExecutor):
        def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
            seen.append(context)
            return ExecutionResult(success=True)

    work = assignment("call", attempt=1)
    await ExecutorHandler("custom", Notes()).run({}, PlainContext(work=work))
    (context,) = seen
    assert (context.workflow_id, context.step_id, context.attempt) == (work.workflow, work.step, 1)
    assert (context.execution_id, context.idempotency_key) == (work.execution, work.idempotency_key)
    assert context.timestamp == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=work.scheduled_at)


async def test_plain_functions_run_in_a_thread() -> None:
    class Plain(StepExecutor):
        def execute(self, input_data: dict[str, Any], context: ExecutionContext) -> ExecutionResult:
            return ExecutionResult(True, threading.current_thread() is threading.main_thread())

    assert (await run(Plain(), {})).value is False


async def test_input_that_is_refused_fails_the_step_for_good() -> None:
    error = await failure(Answers(ExecutionResult(True), valid=False))
    assert (error.type, error.retryable) == ("validation_error", False)

    class Coroutine(Answers):
        async def validate_input(self, input_data: dict[str, Any]) -> bool:  # type: ignore[override]
            return False

    assert (await failure(Coroutine(ExecutionResult(True)))).type == "validation_error"


async def test_a_failure_is_tried_again_unless_it_says_otherwise() -> None:
    error = await failure(Answers(ExecutionResult(False, error="no luck", metadata={"seen": 1})))
    assert (error.type, error.message, error.retryable) == ("execution_failed", "no luck", True)
    assert error.details == {"seen": 1}
    error = await failure(Answers(ExecutionResult(False, metadata={"retryable": False, "type": "gone"})))
    assert (error.type, error.retryable, error.details) == ("gone", False, None)
    assert "not why" in error.message


async def test_what_is_no_result_fails_the_step() -> None:
    error = await failure(Answers({"success": True}))
    assert (error.type, error.message) == (
        "invalid_result",
        "the executor of 'custom' gave dict instead of an ExecutionResult",
    )


# The factory


def test_types_are_known_in_whatever_case_they_are_written() -> None:
    built_in = ["input", "process", "ai", "output", "data_validation", "default"]
    assert StepExecutorFactory.get_supported_types() == built_in
    StepExecutorFactory.register_executor(StepType.CUSTOM, Echo)
    StepExecutorFactory.register_executor("Shout", Echo)
    StepExecutorFactory.register_executor("PROCESS", Echo)
    assert StepExecutorFactory.get_supported_types() == [*built_in, "custom", "shout"]
    assert StepExecutorFactory.registered().keys() == {"custom", "shout", "process"}
    StepExecutorFactory.unregister_executor("SHOUT")
    assert "shout" not in StepExecutorFactory.get_supported_types()


class NoExecute:
    """No executor."""


class Half(StepExecutor):
    """Still abstract."""


@pytest.mark.parametrize("wrong", [NoExecute, NoExecute(), Half, 5, None])
def test_what_has_no_execute_is_refused_as_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="execute") as caught:
        StepExecutorFactory.register_executor(StepType.CUSTOM, wrong)
    assert isinstance(caught.value, StepwellError)
    assert StepExecutorFactory.registered() == {}


@pytest.mark.parametrize("name", ["", " ", None, 5, "wait_for_event"])
def test_a_type_needs_a_name_of_its_own(name: Any) -> None:
    with pytest.raises(InvalidExecutor):
        StepExecutorFactory.register_executor(name, Echo)


def test_an_executor_is_a_class_or_an_object() -> None:
    handlers = handlers_of({"a": Echo, "b": Answers(ExecutionResult(True))})
    assert handlers.keys() == {"a", "b"}
    with pytest.raises(InvalidExecutor, match=r"Answers\(\)"):
        handlers_of({"c": Answers})
