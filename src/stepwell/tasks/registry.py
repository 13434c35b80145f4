"""Python functions that workflows call by name: tasks, and rules of validation steps.

`@task` and `@rule` only mark a function; nothing global remembers it. A registry collects what is marked in a module,
so two engines in one process know only what each of them was given.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, Final, TypeVar, cast, overload

from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.base.suggest import hint_for
from stepwell.ports.work import TaskContext, TaskError
from stepwell.tasks.signature import Signature, WrongArguments

Function = TypeVar("Function", bound=Callable[..., Any])

_TASK_MARK: Final = "__stepwell_task__"
_RULE_MARK: Final = "__stepwell_rule__"


@overload
def task(name: Function, /) -> Function: ...
@overload
def task(name: str | None = None) -> Callable[[Function], Function]: ...
def task(name: Any = None) -> Any:
    """Mark a function, sync or async, as a task: `@task("assign_agent")`, or `@task` to use the function's own name.

    The function is returned unchanged. A sync function runs in a thread, an async one on the event loop. Its arguments
    are checked against the signature before every call; a parameter named `context`, or annotated as `TaskContext`, is
    given the context of the attempt. What it returns becomes a JSON value.
    """
    return _marked(_TASK_MARK, name)


@overload
def rule(name: Function, /) -> Function: ...
@overload
def rule(name: str | None = None) -> Callable[[Function], Function]: ...
def rule(name: Any = None) -> Any:
    """Mark a function, sync or async, as a rule of validation steps: `@rule("unique_email")`, or `@rule`.

    It is called with the field's value (None when there is none) and the rule's further keys by name. It returns True
    or None when the value is right, and False or a message ("must be ...") when it is wrong.
    """
    return _marked(_RULE_MARK, name)


def _marked(mark: str, name: Any) -> Any:
    if callable(name):
        return _marked(mark, None)(name)

    def decorate(function: Function) -> Function:
        setattr(function, mark, name or getattr(function, "__name__", None))
        return function

    return decorate


def task_name(function: Callable[..., Any]) -> str | None:
    """The name that a function is registered under as a task: the one it was marked with, else its own."""
    name = getattr(function, _TASK_MARK, None) or getattr(function, "__name__", None)
    return name if isinstance(name, str) else None


class TaskFunction:
    """A registered function: how it is called from a workflow."""

    def __init__(self, name: str, function: Callable[..., Any], *, check_first: bool = True) -> None:
        self.name = name
        self.function = function
        self._check_first = check_first
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
        )

    @cached_property
    def signature(self) -> Signature:
        """Its parameters, read at the first call: annotations may name what is defined after the function."""
        return Signature(self.function, check_first=self._check_first)

    def bound(self, arguments: Mapping[str, Any], context: TaskContext) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """What the function is called with, by position and by name.

        Raises:
            TaskError: (type `invalid_arguments`) listing everything that does not fit the signature.
        """
        try:
            return self.signature.bind(arguments, context)
        except WrongArguments as wrong:
            details = {"problems": [{"argument": each.argument, "message": each.message} for each in wrong.problems]}
            message = f"{self.name!r} cannot be called like this: {wrong}"
            raise TaskError("invalid_arguments", message, details=details) from None

    def call(self, arguments: Mapping[str, Any], context: TaskContext) -> Awaitable[Any]:
        """Call the function with checked arguments; gives what it returns.

        Raises:
            TaskError: (type `invalid_arguments`) listing everything that does not fit the signature.
            Exception: whatever the function raises.
        """
        positional, named = self.bound(arguments, context)
        if self._is_async:
            return cast("Awaitable[Any]", self.function(*positional, **named))
        return _called_in_thread(context, self.function, positional, named)


async def _called_in_thread(
    context: TaskContext, function: Callable[..., Any], positional: Sequence[Any], named: Mapping[str, Any]
) -> Any:
    result = await context.run_sync(function, *positional, **named)
    return await result if inspect.isawaitable(result) else result


class _FunctionRegistry:
    """Functions by name. A name belongs to one function."""

    _word: ClassVar[str]
    _mark: ClassVar[str]
    _check_first: ClassVar[bool]

    def __init__(self) -> None:
        self._functions: dict[str, TaskFunction] = {}

    def register(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Know the function under `name`, or else under the name it was marked with, or else under its own.

        Registering it again under the same name does nothing.

        Raises:
            ConfigurationError: (code `duplicate-name`) another function has the name; (code `invalid-task`) it has no
                name.
        """
        name = name or getattr(function, self._mark, None) or getattr(function, "__name__", None)
        if not isinstance(name, str):
            raise ConfigurationError(f"{function!r} has no name: give one", code="invalid-task")
        known = self._functions.get(name)
        if known is None:
            self._functions[name] = TaskFunction(name, function, check_first=self._check_first)
        elif known.function is not function:
            raise ConfigurationError(
                f"two {self._word}s are called {name!r}: {_place(known.function)} and {_place(function)}",
                code="duplicate-name",
                hint="give one of them another name",
            )

    def collect(self, module: ModuleType) -> list[str]:
        """Register every marked function that the module has at its top level; returns their names.

        Raises:
            ConfigurationError: as `register`.
        """
        names = []
        for value in list(vars(module).values()):
            name = getattr(value, "__dict__", {}).get(self._mark)
            if isinstance(name, str):
                self.register(value)
                names.append(name)
        return names

    def get(self, name: str) -> TaskFunction:
        """The function of this name.

        Raises:
            NotFound: (code `unknown-task` or `unknown-rule`) with the nearest known name.
        """
        known = self._functions.get(name)
        if known is None:
            message = f"no {self._word} {name!r} is registered"
            raise NotFound(message, code=f"unknown-{self._word}", hint=hint_for(name, self._functions))
        return known

    def names(self) -> Iterable[str]:
        """The registered names, in the order they came."""
        return self._functions.keys()


class TaskRegistry(_FunctionRegistry):
    """The tasks of one engine."""

    _word = "task"
    _mark = _TASK_MARK
    _check_first = True


class RuleRegistry(_FunctionRegistry):
    """The validation rules of one engine that are written in Python."""

    _word = "rule"
    _mark = _RULE_MARK
    _check_first = False  # a value of the wrong type is for the rule to refuse


def _place(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", "?")
    name = getattr(function, "__qualname__", repr(function))
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{module}.{name}" + (f" (line {code.co_firstlineno})" if code is not None else "")
