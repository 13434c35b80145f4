"""The values of the language, JSON values, and what it means for them to be equal, true, or text."""

from __future__ import annotations

import math
from types import NoneType
from typing import Any, Final

import msgspec

from stepwell.base.values import MAX_INTEGER, MIN_INTEGER, Sealed, SecretRef, SecretText
from stepwell.expression.errors import ExpressionError
from stepwell.expression.limits import MAX_ITEMS, MAX_TEXT
from stepwell.expression.scope import Lookup

SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, NoneType})
NUMBERS: Final[frozenset[type]] = frozenset({int, float})
FALSE_TEXTS: Final = frozenset({"", "false", "no", "0"})
_KINDS: Final[dict[type, str]] = {
    NoneType: "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "list",
    dict: "object",
    Sealed: "sealed value",
    SecretRef: "secret",
    SecretText: "secret",
}
_encode: Final = msgspec.json.Encoder().encode


def kind_of(value: Any) -> str:
    """`null`, `boolean`, `number`, `string`, `list` or `object`."""
    kind = _KINDS.get(value.__class__)
    if kind is not None:
        return kind
    return next((name for type_, name in _KINDS.items() if isinstance(value, type_)), "record")


def a_kind(value: Any) -> str:
    """`kind_of` with its article, for messages."""
    kind = kind_of(value)
    return kind if kind == "null" else f"{'an' if kind == 'object' else 'a'} {kind}"


def secret_misuse() -> ExpressionError:
    """The error for computing with a secret that is not known here."""
    return ExpressionError(
        "a secret can only be inserted as it is; nothing can be computed from it",
        code="secret-misuse",
        hint="write {{ secrets.NAME }}, or put it into text such as 'Bearer {{ secrets.NAME }}'",
    )


def truthy(value: Any) -> bool:
    """Whether a condition with this value holds.

    False are: null, false, 0, the empty list and object, and the strings "", "false", "no" and "0". Everything else is
    true. A sealed value is opened.
    """
    if value.__class__ is bool:
        return value is True
    if isinstance(value, Sealed):
        return truthy(value.value)
    if isinstance(value, str):
        return value not in FALSE_TEXTS
    if isinstance(value, (SecretRef, SecretText)):
        raise secret_misuse()
    return bool(value)


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal as JSON: 1 and 1.0 are the same number, but a boolean is not a number."""
    left_type, right_type = left.__class__, right.__class__
    if left_type is right_type and left_type in SCALARS:
        return bool(left == right)
    if left_type in NUMBERS and right_type in NUMBERS:
        return bool(left == right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(item, right[key]) for key, item in left.items())
    return False


def identity_of(value: Any) -> Any:
    """A hashable that is equal for values that are the `same`."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, tuple(identity_of(item) for item in value))
    if isinstance(value, dict):
        return (dict, frozenset((key, identity_of(item)) for key, item in value.items()))
    return value


def text_of(value: Any) -> str:
    """A plain value as it appears in text: null is empty, everything but a string is written as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Lookup):
        value = value.as_data()
    return _encode(value).decode()


def representable(result: Any) -> int | float:
    """`result` of an arithmetic operation, when it is a number that JSON can hold.

    Raises:
        ExpressionError: it is infinite, not a number, or an integer of more than 64 bits.
    """
    if result.__class__ is int:
        if MIN_INTEGER <= result <= MAX_INTEGER:
            return int(result)
        raise ExpressionError("the result is an integer of more than 64 bits", code="out-of-range")
    if result.__class__ is float and math.isfinite(result):
        return float(result)
    raise ExpressionError("the result is not a number", code="out-of-range")


def check_length(length: int) -> None:
    """Refuse to build a string of `length` characters when that is too long.

    Raises:
        ExpressionError: it is.
    """
    if length > MAX_TEXT:
        raise ExpressionError(
            f"this would build a string of {length} characters; at most {MAX_TEXT} are allowed", code="limit-exceeded"
        )


def check_count(count: int) -> None:
    """Refuse to build a list of `count` items when that is too long.

    Raises:
        ExpressionError: it is.
    """
    if count > MAX_ITEMS:
        raise ExpressionError(
            f"this would build a list of {count} items; at most {MAX_ITEMS} are allowed", code="limit-exceeded"
        )
