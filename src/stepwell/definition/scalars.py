"""What an unquoted word of YAML means: the core schema of YAML 1.2, and nothing of YAML 1.1.

So `on`, `yes` and `12:30` are text, `010` is ten, and an unquoted date stays text.
"""

from __future__ import annotations

import math
import re
from typing import Any

from stepwell.base.values import MAX_INTEGER, MIN_INTEGER

WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""Unquoted words that are no text."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o([0-7]+)|0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 20
"""The most digits of a 64-bit integer."""

_NUMERIC_START = frozenset("0123456789+-.")


class BadNumber(ValueError):
    """A number that JSON, and so the history of an execution, cannot carry."""


def plain_scalar(text: str) -> Any:
    """The value of the unquoted word `text`: None, a boolean, a number, or the text itself.

    Raises:
        BadNumber: for infinity, not-a-number, and integers of more than 64 bits.
    """
    if text in WORDS:
        return WORDS[text]
    return number(text) if text[0] in _NUMERIC_START else text


def number(text: str) -> Any:
    """The number that `text` is in YAML's core schema, or `text` itself when it is none.

    Raises:
        BadNumber: as `plain_scalar`.
    """
    if _INTEGER.fullmatch(text):
        return integer(text, 10)
    other = _OTHER_BASE.fullmatch(text)
    if other is not None:
        return integer(other.group(1), 8) if other.group(1) else integer(other.group(2), 16)
    if _FLOAT.fullmatch(text):
        return finite(text)
    if _NOT_FINITE.fullmatch(text):
        raise BadNumber(f"{text} is not a number that can be stored")
    return text


def integer(digits: str, base: int) -> int:
    """The integer written as `digits`.

    Raises:
        BadNumber: when it has more than 64 bits.
    """
    significant = digits.lstrip("+-").lstrip("0")
    value = int(digits, base) if len(significant) <= _DIGITS * 4 else MAX_INTEGER + 1
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        shown = digits if len(digits) <= 2 * _DIGITS else f"{digits[:_DIGITS]}..."
        raise BadNumber(f"{shown} is an integer of more than 64 bits")
    return value


def finite(text: str) -> float:
    """The floating-point number written as `text`.

    Raises:
        BadNumber: when it is too large for one.
    """
    value = float(text)
    if not math.isfinite(value):
        raise BadNumber(f"{text[:40]} is too large for a floating-point number")
    return value
