"""The closures that compiled expressions are made of: each evaluates its parts and combines them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any, Final

from stepwell.base.values import Sealed
from stepwell.expression.access import plain, sliced, step
from stepwell.expression.compiled import Compiled, Evaluate
from stepwell.expression.data import NUMBERS, SCALARS, a_kind, truthy
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.functions import Function
from stepwell.expression.limits import LARGE
from stepwell.expression.operators import Operator
from stepwell.expression.scope import Scope
from stepwell.expression.sealing import charged, computed, inserted, joined

_SIZED: Final[frozenset[type]] = frozenset({str, list, dict})
_CONTAINERS: Final[frozenset[type]] = frozenset({list, dict})


def list_of(items: tuple[Evaluate, ...]) -> Evaluate:
    """A new list."""
    return lambda scope: [item(scope) for item in items]


def object_of(keys: tuple[Evaluate, ...], values: tuple[Evaluate, ...]) -> Evaluate:
    """A new object."""

    def evaluate(scope: Scope) -> Any:
        made: dict[str, Any] = {}
        for key, value in zip(keys, values, strict=True):
            name = key(scope)
            if not isinstance(name, str):
                raise ExpressionError(f"the key of an object is {a_kind(name)}; expected a string", code="wrong-type")
            made[name] = value(scope)
        return made

    return evaluate


def unary(operate: Callable[[Scope, Any], Any], operand: Evaluate) -> Evaluate:
    """`-a`"""
    return lambda scope: operate(scope, operand(scope))


def binary(operator: Operator, left: Evaluate, right: Evaluate) -> Evaluate:
    """`a + b`, `a == b`"""
    compute, apply = operator.compute, operator.apply
    quick = NUMBERS if operator.grows else SCALARS

    def evaluate(scope: Scope) -> Any:
        one, other = left(scope), right(scope)
        if one.__class__ in quick and other.__class__ in quick:
            return compute(one, other)
        return apply(scope, one, other)

    return evaluate


def comparisons(left: Evaluate, pairs: tuple[tuple[Operator, Evaluate], ...]) -> Evaluate:
    """`a < b < c`: all must hold, each operand is evaluated once, and none after the first that does not hold."""

    def evaluate(scope: Scope) -> Any:
        one, sealed, holds = left(scope), False, True
        for operator, right in pairs:
            other = right(scope)
            result = operator.apply(scope, one, other)
            sealed |= isinstance(result, Sealed)
            holds = truthy(result)
            if not holds:
                break
            one = other
        return Sealed(holds) if sealed else holds

    return evaluate


def negation(operand: Evaluate) -> Evaluate:
    """`not a`"""

    def evaluate(scope: Scope) -> Any:
        value = operand(scope)
        return Sealed(not truthy(value)) if isinstance(value, Sealed) else not truthy(value)

    return evaluate


def conjunction(operands: tuple[Evaluate, ...]) -> Evaluate:
    """`a and b`: the first value that counts as false, else the last."""

    *firsts, last = operands

    def evaluate(scope: Scope) -> Any:
        for operand in firsts:
            value = operand(scope)
            if value is not True and not truthy(value):
                return value
        return last(scope)

    return evaluate


def disjunction(operands: tuple[Evaluate, ...]) -> Evaluate:
    """`a or b`: the first value that counts as true, else the last."""

    *firsts, last = operands

    def evaluate(scope: Scope) -> Any:
        for operand in firsts:
            value = operand(scope)
            if value is not False and truthy(value):
                return value
        return last(scope)

    return evaluate


def conditional(condition: Evaluate, then: Evaluate, otherwise: Evaluate) -> Evaluate:
    """`a if c else b`"""
    return lambda scope: then(scope) if truthy(condition(scope)) else otherwise(scope)


def text(parts: tuple[str | Evaluate, ...]) -> Evaluate:
    """The parts as one text: `a ~ b`, and a string with expressions in it."""
    base = ["" if callable(part) else part for part in parts]
    dynamic = tuple((position, part) for position, part in enumerate(parts) if callable(part))

    def evaluate(scope: Scope) -> Any:
        pieces: list[Any] = base.copy()
        for position, part in dynamic:
            value = part(scope)
            pieces[position] = value if value.__class__ is str and len(value) <= LARGE else inserted(scope, value)
        try:
            whole = "".join(pieces)  # most often all are strings
        except TypeError:
            return joined(scope, pieces)
        return whole if len(whole) <= LARGE else charged(scope, whole)

    return evaluate


def data(record: Evaluate) -> Evaluate:
    """What `record` gives, as data."""
    return lambda scope: plain(record(scope))


def item(base: Evaluate, key: Evaluate, shown: str) -> Evaluate:
    """`a[b]`"""
    return lambda scope: step(base(scope), key(scope), shown)


def slice_of(base: Evaluate, start: Evaluate, end: Evaluate, step_: Evaluate) -> Evaluate:
    """`a[b:c]`"""

    def evaluate(scope: Scope) -> Any:
        operands = (plain(base(scope)), start(scope), end(scope), step_(scope))
        return computed(scope, sliced, operands, inspects=False)

    return evaluate


def definedness(operand: Evaluate, *, expected: bool) -> Evaluate:
    """`a is defined`, or with False as `expected`, `a is undefined`."""

    def evaluate(scope: Scope) -> bool:
        try:
            operand(scope)
        except Undefined:
            return not expected
        return expected

    return evaluate


def predicate(holds: Callable[[Any], bool], operand: Evaluate) -> Evaluate:
    """`a is number`"""

    def evaluate(scope: Scope) -> Any:
        value = operand(scope)
        return holds(value) if value.__class__ in SCALARS else computed(scope, holds, (value,), inspects=False)

    return evaluate


def call(function: Function, arguments: tuple[Evaluate, ...], named: dict[str, Evaluate]) -> Evaluate:
    """`f(a, b)` and `a | f(b)`; the arguments are in the order of the parameters."""
    if function.lazy:
        return _lazy_call(function, arguments)
    if named:
        return _named_call(function, arguments, named)
    if not arguments:
        return function.call if function.takes_scope else lambda scope: function.call()
    if function.takes_scope:
        return _scoped_call(function, arguments)
    return _unary_call(function, arguments[0]) if len(arguments) == 1 else _plain_call(function, arguments)


def _lazy_call(function: Function, arguments: tuple[Evaluate, ...]) -> Evaluate:
    evaluate = function.call
    last = len(function.parameters) - 1
    passed = [(argument, function.parameters[min(n, last)].lazy) for n, argument in enumerate(arguments)]
    return lambda scope: evaluate(scope, *[argument if lazy else argument(scope) for argument, lazy in passed])


def _named_call(function: Function, arguments: tuple[Evaluate, ...], named: dict[str, Evaluate]) -> Evaluate:
    names = tuple(named)
    every = (*arguments, *named.values())
    count = len(arguments)

    def compute(scope: Scope, *values: Any) -> Any:
        return function.checked(scope, *values[:count], **dict(zip(names, values[count:], strict=True)))

    def evaluate(scope: Scope) -> Any:
        values = [argument(scope) for argument in every]
        return computed(scope, partial(compute, scope), values, inspects=function.inspects)

    return evaluate


def _plain_call(function: Function, arguments: tuple[Evaluate, ...]) -> Evaluate:
    """Called at once with scalars and small containers that it may have; all else is looked at first.

    That is: arguments of the wrong type, with something sealed in them, or that cost much.
    """
    compute = function.call
    quick = [(argument, *_quick(function, position)) for position, argument in enumerate(arguments)]

    def evaluate(scope: Scope) -> Any:
        values = []
        at_once = True
        for argument, scalars, sized in quick:
            value = argument(scope)
            values.append(value)
            kind = value.__class__
            at_once = at_once and (kind in scalars or (kind in sized and len(value) <= LARGE))
        if at_once:
            return compute(*values)
        return computed(scope, partial(function.checked, scope), values, inspects=function.inspects)

    return evaluate


def _unary_call(function: Function, argument: Evaluate) -> Evaluate:
    """`_plain_call` for one argument."""
    compute = function.call
    scalars, sized = _quick(function, 0)

    def evaluate(scope: Scope) -> Any:
        value = argument(scope)
        kind = value.__class__
        if kind in scalars or (kind in sized and len(value) <= LARGE):
            return compute(value)
        return computed(scope, partial(function.checked, scope), (value,), inspects=function.inspects)

    return evaluate


def _scoped_call(function: Function, arguments: tuple[Evaluate, ...]) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        return computed(scope, partial(function.checked, scope), values, inspects=function.inspects)

    return evaluate


def _quick(function: Function, position: int) -> tuple[frozenset[type], frozenset[type]]:
    """The types an argument may have for the function to be called at once: whatever its size, and when it is small."""
    accepts = function.parameters[min(position, len(function.parameters) - 1)].accepts
    sized = accepts & (_SIZED - _CONTAINERS if function.inspects else _SIZED)
    return accepts & {int, float, bool, NoneType}, sized


def located(compiled: Compiled) -> Evaluate:
    """One of several expressions in a text: its errors say which one failed."""
    evaluate, source = compiled.evaluate, compiled.source

    def guarded(scope: Scope) -> Any:
        try:
            return evaluate(scope)
        except ExpressionError as error:
            error.locate(source)
            raise

    return guarded
