"""Executors: step types written as Python classes, registered under a name.

    class Shout(StepExecutor):
        async def execute(self, input_data, context):
            return ExecutionResult(success=True, data={"text": input_data["text"].upper()})

    StepExecutorFactory.register_executor(StepType.CUSTOM, Shout)

What is registered is copied by an engine when it is made. Two engines share no executor object.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias

from stepwell.base.errors import ConfigurationError
from stepwell.base.instants import to_rfc3339
from stepwell.definition.model import CONTROL_TYPES
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.conversion import copied


class StepType(StrEnum):
    """The types of steps that have a name here. Any other text can be the name of a type too."""

    INPUT = "input"
    PROCESS = "process"
    AI = "ai"
    OUTPUT = "output"
    DATA_VALIDATION = "data_validation"
    DEFAULT = "default"
    CONDITION = "condition"
    CUSTOM = "custom"


BUILT_IN: Final = (
    StepType.INPUT,
    StepType.PROCESS,
    StepType.AI,
    StepType.OUTPUT,
    StepType.DATA_VALIDATION,
    StepType.DEFAULT,
)
"""The types of step maps that are there without being registered."""


class InvalidExecutor(ConfigurationError, TypeError):
    """What should be an executor is none."""

    code = "invalid-executor"


@dataclass(slots=True)
class ExecutionResult:
    """What came of one try.

    Attributes:
        success: whether it did what it should.
        data: the step's result, a JSON value.
        error: what went wrong, when it did.
        metadata: more about it. Of a failure, `retryable: False` says that another try would end the same way, and
            `type` names the kind of error; the rest is recorded with the error. Of a success the step's `output`
            mapping can read it as `metadata`.
    """

    success: bool
    data: Any = None
    error: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What an executor knows of the try it makes.

    Attributes:
        workflow_id: the workflow.
        step_id: the step.
        timestamp: when the step became due, with its zone (UTC); the same for every try.
        attempt: which try this is; the first is 1.
        execution_id: the execution.
        idempotency_key: the same for every try of this step, and for no other step.
    """

    workflow_id: str
    step_id: str
    timestamp: datetime
    attempt: int
    execution_id: str
    idempotency_key: str


class StepExecutor(ABC):
    """Does the work of one type of step. Both methods may be plain functions, which then run in a thread, or
    coroutines. One object serves all steps of an engine, several at once."""

    @abstractmethod
    def execute(
        self, input_data: dict[str, Any], context: ExecutionContext
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Do the work.

        Args:
            input_data: the step's `input`, and `dependency_results`: the results of the steps it depends on, by name.

        Raises:
            ValueError, TypeError, ...: the input is wrong; it is not tried again. Exception: anything else is.
        """

    def validate_input(self, input_data: dict[str, Any]) -> bool | Awaitable[bool]:
        """Whether the input can be worked with; False fails the step without another try."""
        return True


Executor: TypeAlias = type[StepExecutor] | StepExecutor


class StepExecutorFactory:
    """The executors that engines made from now on have, by the name of their type, in whatever case it is written."""

    _registered: ClassVar[dict[str, Executor]] = {}

    @classmethod
    def register_executor(cls, step_type: StepType | str, executor: Executor) -> None:
        """Let steps of this type be done by an executor: a class, of which each engine makes an object, or an object.

        Raises:
            InvalidExecutor: (a `TypeError`, code `invalid-executor`) it has no `execute`, or the type no name.
        """
        cls._registered[checked_name(step_type)] = checked_executor(executor)

    @classmethod
    def unregister_executor(cls, step_type: StepType | str) -> None:
        """Forget an executor; engines that have it keep it."""
        cls._registered.pop(step_type.lower(), None)

    @classmethod
    def get_supported_types(cls) -> list[str]:
        """The names of all types, the built-in ones first."""
        return list(dict.fromkeys([*map(str, BUILT_IN), *cls._registered]))

    @classmethod
    def registered(cls) -> dict[str, Executor]:
        """A copy of what is registered, by name."""
        return dict(cls._registered)


def checked_name(step_type: Any) -> str:
    """The name under which an executor is known.

    Raises:
        InvalidExecutor: it is no text, or the engine does steps of this type itself.
    """
    if not isinstance(step_type, str) or not step_type.strip():
        raise InvalidExecutor(f"a type of step is a text, such as StepType.CUSTOM; this is {step_type!r}")
    name = str(step_type).strip().lower()
    if name in CONTROL_TYPES:
        raise InvalidExecutor(f"{name!r} is a type of step that the engine does itself, so no executor can have it")
    return name


def checked_executor(executor: Any) -> Executor:
    """The executor, if it is one.

    Raises:
        InvalidExecutor: it has no `execute` that can be called.
    """
    what = executor.__name__ if isinstance(executor, type) else type(executor).__name__
    method = getattr(executor, "execute", None)
    if not callable(method) or getattr(method, "__isabstractmethod__", False):
        raise InvalidExecutor(f"{what} is no executor: it has no method `execute(input_data, context)`")
    if inspect.isabstract(executor):
        missing = ", ".join(sorted(executor.__abstractmethods__))
        raise InvalidExecutor(f"{what} cannot be used as an executor: it is abstract, and lacks {missing}")
    known: Executor = executor
    return known


def handlers_of(executors: Mapping[str, Executor]) -> dict[str, TaskHandler]:
    """A handler for each executor.

    Raises:
        InvalidExecutor: a class cannot be called without arguments.
    """
    return {name: ExecutorHandler(name, _object(name, executor)) for name, executor in executors.items()}


def _object(name: str, executor: Executor) -> StepExecutor:
    if not isinstance(executor, type):
        return executor
    try:
        return executor()
    except TypeError as error:
        raise InvalidExecutor(
            f"the executor of {name!r} cannot be made: {executor.__name__}(): {error}",
            hint="register an object instead of a class that needs arguments",
        ) from None


class ExecutorHandler(TaskHandler):
    """Has an executor do the work."""

    def __init__(self, name: str, executor: StepExecutor) -> None:
        self._name = name
        self._executor = executor

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Validate and execute.

        Raises:
            TaskError: `validation_error` (the executor refuses the input), `execution_failed` or the type that the
                executor gives, `invalid_result`. Exception: whatever the executor raises.
        """
        given = copied(config) if config is not None else {}
        if not await self._valid(given, context):
            raise TaskError("validation_error", f"the executor of {self._name!r} refuses the input of this step")
        result = await _called(context, self._executor.execute, given, _context_of(context))
        if not isinstance(result, ExecutionResult):
            message = f"the executor of {self._name!r} gave {type(result).__name__} instead of an ExecutionResult"
            raise TaskError("invalid_result", message)
        if not result.success:
            raise _failure(self._name, result)
        return TaskResult(result.data, {"metadata": dict(result.metadata)})

    async def _valid(self, given: dict[str, Any], context: TaskContext) -> bool:
        validate = getattr(self._executor, "validate_input", None)
        if validate is None or getattr(validate, "__func__", None) is StepExecutor.validate_input:
            return True
        return await _called(context, validate, given) is not False


async def _called(context: TaskContext, function: Any, *args: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    result = await context.run_sync(function, *args)
    return await result if inspect.isawaitable(result) else result


def _context_of(context: TaskContext) -> ExecutionContext:
    return ExecutionContext(
        workflow_id=context.workflow,
        step_id=context.step,
        timestamp=datetime.fromisoformat(to_rfc3339(context.assignment.scheduled_at)),
        attempt=context.attempt,
        execution_id=context.execution,
        idempotency_key=context.idempotency_key,
    )


def _failure(name: str, result: ExecutionResult) -> TaskError:
    more = dict(result.metadata)
    kind, retryable = more.pop("type", "execution_failed"), more.pop("retryable", True)
    message = result.error or f"the executor of {name!r} says that it failed, and not why"
    return TaskError(str(kind), message, details=more or None, retryable=retryable is not False)
