"""Checking arguments against a function's signature before it is called."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from stepwell.base.suggest import nearest
from stepwell.ports.work import TaskContext
from stepwell.tasks.conversion import Conversion, Unfit, conversion_to, copied

_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a workflow can give."""

    name: str
    required: bool
    by_position: bool
    convert: Conversion


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one argument."""

    argument: str
    message: str

    def __str__(self) -> str:
        return f"{self.argument!r} {self.message}"


class WrongArguments(ValueError):
    """The arguments do not fit the signature; `problems` holds everything that is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class Signature:
    """The parameters of a function, as far as a workflow gives them.

    Attributes:
        context: the name of the parameter that is given the attempt's context, or None.
        open: whether it takes further arguments by any name.
    """

    def __init__(self, function: Callable[..., Any], *, check_first: bool = True) -> None:
        """Read the signature of `function`; its first parameter's annotation is ignored unless `check_first`."""
        self.context: str | None = None
        self.open = False
        self.parameters: dict[str, Parameter] = {}
        hints = _hints(function)
        for parameter in inspect.signature(function).parameters.values():
            checked = check_first or bool(self.parameters)
            self._add(parameter, hints.get(parameter.name, Any) if checked else Any)

    def bind(self, arguments: Mapping[str, Any], context: TaskContext) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the named arguments to call the function with, converted.

        Raises:
            WrongArguments: with everything that is missing, unexpected or of the wrong type.
        """
        problems = list(self._unexpected(arguments)) if arguments else []
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in self.parameters.values():
            if parameter.name in arguments:
                value = _converted(parameter, arguments[parameter.name], problems)
                if parameter.by_position:
                    positional.append(value)
                else:
                    named[parameter.name] = value
            elif parameter.required:
                problems.append(Problem(parameter.name, "is missing"))
        if problems:
            raise WrongArguments(problems)
        if self.open:
            named |= {name: copied(value) for name, value in arguments.items() if name not in self.parameters}
        if self.context is not None:
            named[self.context] = context
        return positional, named

    def taken_from(self, available: Mapping[str, Any]) -> dict[str, Any]:
        """Of values by name, those that the function takes."""
        if self.open:
            return {name: value for name, value in available.items() if name != self.context}
        return {name: available[name] for name in self.parameters if name in available}

    def _add(self, parameter: inspect.Parameter, annotation: Any) -> None:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            self.open = True
        elif parameter.kind in _NAMED:
            if _is_context(parameter, annotation):
                self.context = parameter.name
                return
            self.parameters[parameter.name] = Parameter(
                parameter.name,
                required=parameter.default is inspect.Parameter.empty,
                by_position=parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
                convert=conversion_to(annotation),
            )

    def _unexpected(self, arguments: Mapping[str, Any]) -> Iterator[Problem]:
        for name in arguments:
            if name == self.context:
                yield Problem(name, "is given by the engine")
            elif name not in self.parameters and not self.open:
                close = nearest(name, self.parameters)
                yield Problem(name, "is unexpected" + (f" (did you mean {close!r}?)" if close is not None else ""))


def _converted(parameter: Parameter, value: Any, problems: list[Problem]) -> Any:
    try:
        return parameter.convert(value)
    except Unfit as unfit:
        problems.extend(Problem(parameter.name + path, message) for path, message in unfit.problems)
        return None


def _is_context(parameter: inspect.Parameter, annotation: Any) -> bool:
    if annotation is TaskContext or TaskContext in get_args(annotation):
        return True
    return parameter.name == "context" and parameter.annotation is inspect.Parameter.empty


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types. One that cannot be resolved, such as a name imported for type checkers only, is left
    out: its argument is not checked."""
    while isinstance(function, functools.partial):
        function = function.func
    plain = inspect.unwrap(function)
    names = getattr(plain, "__globals__", None) or getattr(type(plain).__call__, "__globals__", {})
    hints: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.annotation is not inspect.Parameter.empty:
            holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
            try:
                hints |= get_type_hints(holder, globalns=names, include_extras=True)
            except (NameError, AttributeError, TypeError, SyntaxError):
                continue
    return hints
