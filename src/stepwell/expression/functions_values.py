"""Functions on all values: defaults, conversions, digests."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from stepwell.base.values import Sealed, check_json
from stepwell.expression.compiled import Evaluate
from stepwell.expression.data import check_length, kind_of, representable, truthy
from stepwell.expression.errors import ExpressionError, Undefined
from stepwell.expression.functions import Attempt, FunctionSet
from stepwell.expression.scope import Scope
from stepwell.expression.sealing import inserted, weigh

GENERAL: Final = FunctionSet()
_NUMBER: Final = re.compile(r"[+-]?\d{1,400}(?P<fraction>\.\d{1,400})?(?P<exponent>[eE][+-]?\d{1,4})?", re.ASCII)


@GENERAL.define()
def default(scope: Scope, value: Attempt, fallback: Evaluate, falsy: bool = False) -> Any:
    """The value, or `fallback` when it is undefined or null; with `falsy`, also when it counts as false.

    Example: default(missing.field, 1) == 1
    """
    try:
        found = value(scope)
    except Undefined:
        return fallback(scope)
    return fallback(scope) if _is_null(found) or (falsy and not truthy(found)) else found


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, Sealed) and value.value is None)


@GENERAL.define()
def coalesce(scope: Scope, *values: Attempt) -> Any:
    """The first of the values that is defined and not null, else null. Example: coalesce(missing, null, 2) == 2"""
    for value in values:
        try:
            found = value(scope)
        except Undefined:
            continue
        if not _is_null(found):
            return found
    return None


@GENERAL.define()
def type_of(value: Any) -> str:
    """`null`, `boolean`, `number`, `string`, `list` or `object`. Example: type_of([]) == 'list'"""
    return kind_of(value)


@GENERAL.define()
def bool_(value: Any) -> bool:
    """Whether the value would hold as a condition. Example: not bool('no')"""
    return truthy(value)


@GENERAL.define()
def filled(value: Any) -> bool:
    """Whether the value is neither null, false, 0 nor empty. Unlike as a condition, the strings "false", "no" and "0"
    are: they are not empty.

    Example: filled('no') and not filled('')
    """
    return bool(value)


@GENERAL.define()
def literal(value: str | int | float | bool | None) -> str:
    """The value as text: a string as it is, everything else as in JSON. Example: literal(null) == 'null'"""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@GENERAL.define()
def string(scope: Scope, value: Any) -> str:
    """The value as it appears in text: null is empty, lists and objects are JSON. Example: string(1.5) == '1.5'"""
    return str(inserted(scope, value))


@GENERAL.define()
def python_text(scope: Scope, value: Any) -> str:
    """The value as Python writes it into texts: null is None, true is True, lists and objects are Python literals.

    Example: python_text([1, null, 'a']) == "[1, None, 'a']"
    """
    weight = weigh(scope, value)
    check_length(weight.characters + 6 * weight.values)
    return str(value)


@GENERAL.define()
def number(value: int | float | str) -> int | float:
    """The number that a string stands for. Example: number('1.5') == 1.5"""
    if not isinstance(value, str):
        return value
    text = value.strip()
    written = _NUMBER.fullmatch(text)
    if written is None:
        raise ExpressionError(
            "the string is not a number", code="invalid-argument", hint="expected a number such as 12, -0.5 or 1e3"
        )
    return representable(float(text) if written["fraction"] or written["exponent"] else int(text))


@GENERAL.define()
def int_(value: int | float | str | bool) -> int:
    """The whole number without what follows the point; of a boolean, 1 or 0. Example: int('12') == 12"""
    return int(representable(int(value if isinstance(value, bool) else number(value))))


@GENERAL.define()
def float_(value: int | float | str | bool) -> float:
    """The number with a point, so that dividing it is exact. Example: float('5') / 2 == 2.5"""
    return float(representable(float(value if isinstance(value, bool) else number(value))))


@GENERAL.define()
def to_json(scope: Scope, value: Any) -> str:
    """The value as JSON text. Example: to_json({'a': [1, null]}) == '{"a":[1,null]}'"""
    weight = weigh(scope, value)
    check_length(weight.characters + 2 * weight.values)
    return msgspec.json.encode(value).decode()


@GENERAL.define()
def from_json(scope: Scope, value: str) -> Any:
    """The value that JSON text stands for. Example: from_json('[1, null]') == [1, null]"""
    try:
        decoded = msgspec.json.decode(value)
        weigh(scope, decoded)
        check_json(decoded)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise ExpressionError(f"from_json(): the string is not usable JSON: {error}", code="invalid-argument") from None
    return decoded


@GENERAL.define()
def sha256(value: str) -> str:
    """The SHA-256 digest of the string, in hexadecimal. For passwords use `hash`. Example: length(sha256('a')) == 64"""
    return hashlib.sha256(value.encode()).hexdigest()
