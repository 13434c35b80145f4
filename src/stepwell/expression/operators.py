"""The operators.

`==` compares as JSON does and is false between values of different types; `<` and the arithmetic are errors there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stepwell.expression.data import (
    NUMBERS,
    SCALARS,
    a_kind,
    check_count,
    check_length,
    representable,
    same,
)
from stepwell.expression.errors import ExpressionError
from stepwell.expression.scope import Scope
from stepwell.expression.sealing import charged, computed

Plain = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator on two values.

    Attributes:
        compute: gives its result for plain values, or raises `ExpressionError`.
        grows: the result is as large as both operands together or larger. Lists are joined without looking into them:
            a sealed item stays what it is.
    """

    compute: Plain
    grows: bool = False

    def apply(self, scope: Scope, left: Any, right: Any) -> Any:
        """The result for all values, plain or sealed."""
        if left.__class__ in SCALARS and right.__class__ in SCALARS:
            return charged(scope, self.compute(left, right))
        return computed(scope, self.compute, (left, right), inspects=not self.grows)


def _wrong_types(symbol: str, left: Any, right: Any, hint: str | None = None) -> ExpressionError:
    message = f"{symbol} cannot be applied to {a_kind(left)} and {a_kind(right)}"
    return ExpressionError(message, code="wrong-type", hint=hint)


def _ordering(symbol: str, compare: Plain) -> Operator:
    def ordered(left: Any, right: Any) -> bool:
        if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
            return bool(compare(left, right))
        if isinstance(left, str) and isinstance(right, str):
            return bool(compare(left, right))
        raise ExpressionError(
            f"{a_kind(left)} and {a_kind(right)} cannot be ordered with {symbol}",
            code="wrong-type",
            hint="two numbers or two strings can; number() and string() convert",
        )

    return Operator(ordered)


def _contains(item: Any, container: Any) -> bool:
    if isinstance(container, list):
        return any(same(item, other) for other in container)
    if isinstance(container, (str, dict)):
        if isinstance(item, str):
            return item in container
        raise _wrong_types("in", item, container, "what is looked for in a string or an object is a string")
    raise _wrong_types("in", item, container, "a string, a list or an object can be looked into")


def _are_numbers(left: Any, right: Any) -> bool:
    return left.__class__ in NUMBERS and right.__class__ in NUMBERS


def _add(left: Any, right: Any) -> Any:
    if _are_numbers(left, right):
        return representable(left + right)
    if isinstance(left, str) and isinstance(right, str):
        check_length(len(left) + len(right))
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        check_count(len(left) + len(right))
        return left + right
    if isinstance(left, dict) and isinstance(right, dict):
        raise _wrong_types("+", left, right, "merge(a, b) joins two objects")
    hint = "~ joins anything as text" if isinstance(left, str) or isinstance(right, str) else None
    raise _wrong_types("+", left, right, hint)


def _multiply(left: Any, right: Any) -> Any:
    if _are_numbers(left, right):
        return representable(left * right)
    if left.__class__ is int and isinstance(right, (str, list)):
        return _multiply(right, left)
    if right.__class__ is int and isinstance(left, str):
        check_length(len(left) * right)
        return left * right
    if right.__class__ is int and isinstance(left, list):
        check_count(len(left) * right)
        return left * right
    raise _wrong_types("*", left, right)


def _arithmetic(symbol: str, compute: Plain) -> Operator:
    def calculated(left: Any, right: Any) -> int | float:
        if left.__class__ not in NUMBERS or right.__class__ not in NUMBERS:
            raise _wrong_types(symbol, left, right, "both must be numbers; number() converts")
        try:
            return representable(compute(left, right))
        except ZeroDivisionError:
            raise ExpressionError(f"division by zero with {symbol}", code="division-by-zero") from None
        except OverflowError:
            raise ExpressionError("the result is too large for a number", code="out-of-range") from None

    return Operator(calculated)


def _power(base: int | float, exponent: int | float) -> Any:
    """Refused by the size of the result before it is computed: `9 ** 9 ** 9` would take all memory there is."""
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        and exponent > 0
        and base.bit_length() > 1
        and (base.bit_length() - 1) * exponent > 64
    ):
        raise OverflowError
    return base**exponent


COMPARISONS: Final[dict[str, Operator]] = {
    "eq": Operator(same),
    "ne": Operator(lambda left, right: not same(left, right)),
    "lt": _ordering("<", operator.lt),
    "lteq": _ordering("<=", operator.le),
    "gt": _ordering(">", operator.gt),
    "gteq": _ordering(">=", operator.ge),
    "in": Operator(_contains),
    "notin": Operator(lambda left, right: not _contains(left, right)),
}
"""By the names that the parser gives them."""

ARITHMETIC: Final[dict[str, Operator]] = {
    "+": Operator(_add, grows=True),
    "-": _arithmetic("-", operator.sub),
    "*": Operator(_multiply, grows=True),
    "/": _arithmetic("/", operator.truediv),
    "//": _arithmetic("//", operator.floordiv),
    "%": _arithmetic("%", operator.mod),
    "**": _arithmetic("**", _power),
}


def negated(scope: Scope, value: Any) -> Any:
    """Unary minus."""
    return computed(scope, _negate, (value,))


def affirmed(scope: Scope, value: Any) -> Any:
    """Unary plus."""
    return computed(scope, _affirm, (value,))


def _negate(value: Any) -> int | float:
    return representable(-_signed("-", value))


def _affirm(value: Any) -> int | float:
    return _signed("+", value)


def _signed(symbol: str, value: Any) -> int | float:
    if value.__class__ is int or value.__class__ is float:
        return representable(value)
    raise ExpressionError(f"{symbol} cannot be applied to {a_kind(value)}", code="wrong-type")
