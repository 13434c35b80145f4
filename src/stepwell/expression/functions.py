"""How functions are described: a table from which calls are checked and the reference is written.

Every function can be called in two ways that mean the same: `f(x, y)` and `x | f(y)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, TypeVar

from stepwell.expression.compiled import Evaluate
from stepwell.expression.data import a_kind
from stepwell.expression.errors import ExpressionError
from stepwell.expression.scope import Scope

Attempt = Evaluate
"""An argument that the function evaluates itself, as with `Evaluate`, and that may be undefined."""

Each = Evaluate
"""An argument that the function evaluates itself, for every item of a list, which is called `it` there."""

_Call = TypeVar("_Call", bound=Callable[..., Any])

_LAZY: Final = ("Evaluate", "Attempt", "Each")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (float,),
    "bool": (bool,),
    "list[Any]": (list,),
    "dict[str, Any]": (dict,),
    "None": (NoneType,),
    "Any": (str, int, float, bool, NoneType, list, dict),
}
_WORDS: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        lazy: the function is given the compiled argument instead of its value.
        attempted: its argument may be undefined.
        of_items: its argument is evaluated for every item of a list.
        accepts: the types its argument may have; exactly these, so that a boolean does not pass for a number.
        default: the constant it has when it is not given; meaningful only when it is not `required`.
    """

    name: str
    accepts: frozenset[type]
    required: bool
    default: Any = None
    lazy: bool = False
    attempted: bool = False
    of_items: bool = False

    @property
    def expected(self) -> str:
        """What it accepts, in words."""
        accepts = self.accepts - {int} if float in self.accepts else self.accepts
        return " or ".join(word for kind, word in _WORDS.items() if kind in accepts)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language.

    Attributes:
        call: computes it; raises nothing but `ExpressionError`.
        parameters: in order. When `variadic`, the last one may be given any number of times (at least once).
        named: takes any further arguments by name.
        takes_scope: `call` gets the scope before its arguments.
        lazy: some of its parameters are.
        inspects: `call` looks into lists and objects instead of only moving their items about.
        drawn: gives another value at each call, derived from the scope's seed.
        outcome: makes sense only where the outcome of a step is known.
        summary, example: from its docstring; the example is an expression that holds.
    """

    name: str
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    variadic: bool
    named: bool
    takes_scope: bool
    lazy: bool
    inspects: bool
    drawn: bool
    outcome: bool
    summary: str
    example: str

    @property
    def signature(self) -> str:
        """`replace(value, old, new)`."""
        shown = [
            parameter.name if parameter.required else f"{parameter.name}={_shown(parameter.default)}"
            for parameter in self.parameters
        ]
        if self.variadic:
            shown[-1] += ", ..."
        return f"{self.name}({', '.join([*shown, 'name=...'] if self.named else shown)})"

    def checked(self, scope: Scope, *arguments: Any, **named: Any) -> Any:
        """`call` with plain values, after checking their types.

        Raises:
            ExpressionError: an argument is of the wrong type, or from `call`.
        """
        last = len(self.parameters) - 1
        for position, argument in enumerate(arguments):
            parameter = self.parameters[min(position, last)]
            if argument.__class__ not in parameter.accepts:
                raise ExpressionError(
                    f"{self.name}(): {parameter.name} is {a_kind(argument)}; expected {parameter.expected}",
                    code="wrong-type",
                    hint=f"usage: {self.signature}",
                )
        if self.takes_scope:
            return self.call(scope, *arguments, **named)
        return self.call(*arguments, **named)


class FunctionSet(dict[str, Function]):
    """Functions by name. A dialect of the language is given one."""

    def define(self, *, inspects: bool = True, drawn: bool = False, outcome: bool = False) -> Callable[[_Call], _Call]:
        """A decorator that adds a Python function, described by its annotations and its docstring."""

        def add(call: _Call) -> _Call:
            described = _described(call, inspects=inspects, drawn=drawn, outcome=outcome)
            self[described.name] = described
            return call

        return add


def _described(call: Callable[..., Any], *, inspects: bool, drawn: bool, outcome: bool) -> Function:
    parameters = list(inspect.signature(call).parameters.values())
    takes_scope = bool(parameters) and parameters[0].name == "scope"
    if takes_scope:
        parameters = parameters[1:]
    positional = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    summary, _, example = (call.__doc__ or "").partition("Example:")
    return Function(
        name=call.__name__.rstrip("_"),
        call=call,
        parameters=tuple(_parameter(parameter) for parameter in positional),
        variadic=any(parameter.kind is parameter.VAR_POSITIONAL for parameter in positional),
        named=len(positional) < len(parameters),
        takes_scope=takes_scope,
        lazy=any(parameter.annotation in _LAZY for parameter in positional),
        inspects=inspects,
        drawn=drawn,
        outcome=outcome,
        summary=" ".join(summary.split()),
        example=example.strip(),
    )


def _parameter(parameter: inspect.Parameter) -> Parameter:
    annotation = str(parameter.annotation)
    lazy = annotation in _LAZY
    required = parameter.default is parameter.empty
    return Parameter(
        parameter.name.rstrip("_"),
        frozenset(kind for piece in ("Any" if lazy else annotation).split(" | ") for kind in _TYPES[piece]),
        required,
        None if required else parameter.default,
        lazy,
        annotation == "Attempt",
        annotation == "Each",
    )


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return "null" if default is None else repr(default)
