"""Functions on numbers."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from stepwell.expression.data import NUMBERS, a_kind, kind_of, representable
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.functions import FunctionSet

NUMERIC: Final = FunctionSet()
_DIGITS: Final = 15
_EXACT: Final = Context(prec=400)
"""Room for every digit of every float."""


@NUMERIC.define()
def abs_(value: int | float) -> int | float:
    """The number without its sign. Example: abs(-2) == 2"""
    return representable(abs(value))


@NUMERIC.define()
def floor(value: int | float) -> int | float:
    """The nearest whole number that is not above. Example: floor(1.7) == 1"""
    return representable(math.floor(value))


@NUMERIC.define()
def ceil(value: int | float) -> int | float:
    """The nearest whole number that is not below. Example: ceil(1.2) == 2"""
    return representable(math.ceil(value))


@NUMERIC.define()
def round_(value: int | float, digits: int = 0) -> int | float:
    """The nearest number with so many digits after the point; halves go away from zero. Example: round(2.5) == 3"""
    if not -_DIGITS <= digits <= _DIGITS:
        raise ExpressionError(f"round(): digits is {digits}; expected -15 to 15", code="invalid-argument")
    shifted = Decimal(repr(value)).scaleb(digits, _EXACT)
    rounded = shifted.quantize(Decimal(1), ROUND_HALF_UP, _EXACT).scaleb(-digits, _EXACT)
    return representable(int(rounded) if digits <= 0 else float(rounded))


@NUMERIC.define()
def quotient(value: int | float, by: int | float) -> int | float:
    """The number divided; of whole numbers the whole quotient that is not above. Example: quotient(5, 2) == 2"""
    if by == 0:
        raise ExpressionError("quotient(): division by zero", code="division-by-zero")
    both_whole = isinstance(value, int) and isinstance(by, int)
    return representable(value // by if both_whole else value / by)


@NUMERIC.define()
def min_(*values: int | float | str | list[Any]) -> Any:
    """The least of a list, or of the arguments. Example: min([2, 1]) == 1"""
    return min(_comparable("min", values))


@NUMERIC.define()
def max_(*values: int | float | str | list[Any]) -> Any:
    """The greatest of a list, or of the arguments. Example: max(1, 2) == 2"""
    return max(_comparable("max", values))


@NUMERIC.define()
def sum_(items: list[Any]) -> int | float:
    """The numbers of the list added up. Example: sum([1, 2]) == 3"""
    for item in items:
        if item.__class__ not in NUMBERS:
            raise ExpressionError(f"sum(): an item is {a_kind(item)}; expected numbers", code="wrong-type")
    return representable(sum(items))


def _comparable(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    items = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else list(arguments)
    if not items:
        raise Undefined(f"{name}() of an empty list is not defined", code="undefined-index")
    kinds = {kind_of(item) for item in items}
    if len(kinds) > 1 or not kinds <= {"number", "string"}:
        raise ExpressionError(
            f"{name}(): the items are of the types {', '.join(sorted(kinds))}; expected only numbers or only strings",
            code="wrong-type",
        )
    return items
