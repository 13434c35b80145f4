"""Functions on strings."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Any, Final

from stepwell.expression.data import a_kind, check_count, check_length, text_of
from stepwell.expression.errors import ExpressionError
from stepwell.expression.functions import FunctionSet
from stepwell.expression.limits import MAX_PATTERN, PATTERN_MEMORY
from stepwell.expression.scope import Scope

TEXT: Final = FunctionSet()
_MAX_TRIMMED: Final = 100
_REFERENCE: Final = re.compile(r"\\(\d|\\)")


@TEXT.define()
def upper(value: str) -> str:
    """The string in capital letters. Example: upper('ab') == 'AB'"""
    return value.upper()


@TEXT.define()
def lower(value: str) -> str:
    """The string in small letters. Example: lower('AB') == 'ab'"""
    return value.lower()


@TEXT.define()
def trim(value: str, characters: str | None = None) -> str:
    """The string without white space, or without the given characters, at both ends. Example: trim(' ab ') == 'ab'"""
    if characters is not None and len(characters) > _MAX_TRIMMED:
        raise ExpressionError(
            f"trim(): {len(characters)} different characters; at most {_MAX_TRIMMED} can be trimmed",
            code="limit-exceeded",
        )
    return value.strip(characters or None)


@TEXT.define()
def join(items: list[Any], separator: str = "") -> str:
    """The items as one string. Example: join(['a', 1], '-') == 'a-1'"""
    pieces = [_scalar_text(item) for item in items]
    check_length(sum(map(len, pieces)) + len(separator) * len(pieces))
    return separator.join(pieces)


def _scalar_text(item: Any) -> str:
    if isinstance(item, (list, dict)):
        raise ExpressionError(
            f"join(): an item is {a_kind(item)}; expected strings, numbers, booleans or null",
            code="wrong-type",
            hint="map(items, 'field') takes one field of each",
        )
    return text_of(item)


@TEXT.define()
def split(value: str, separator: str | None = None) -> list[str]:
    """The parts between separators, or between white space. Example: split('a,b', ',') == ['a', 'b']"""
    if separator == "":
        raise ExpressionError(
            "split(): the separator is empty", code="invalid-argument", hint="list() gives characters"
        )
    check_count(value.count(separator) if separator is not None else len(value) // 2)
    return value.split(separator)


@TEXT.define()
def replace(value: str, old: str, new: str) -> str:
    """The string with every `old` replaced by `new`. Example: replace('a-b', '-', '+') == 'a+b'"""
    check_length(len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


@TEXT.define()
def starts_with(value: str, prefix: str) -> bool:
    """Whether the string begins with `prefix`. Example: starts_with('abc', 'ab')"""
    return value.startswith(prefix)


@TEXT.define()
def ends_with(value: str, suffix: str) -> bool:
    """Whether the string ends with `suffix`. Example: ends_with('abc', 'bc')"""
    return value.endswith(suffix)


@TEXT.define()
def match(scope: Scope, value: str, pattern: str) -> bool:
    r"""Whether the regular expression (RE2 syntax) is found anywhere in the string; anchor it with ^ and $ otherwise.

    Example: match('v1.2', '^v[0-9]+')
    """
    compiled = _pattern(pattern)
    scope.charge(_effort(compiled, len(value)))
    return compiled.search(value) is not None


@TEXT.define()
def regex_replace(scope: Scope, value: str, pattern: str, new: str) -> str:
    r"""The string with every match of the regular expression (RE2 syntax) replaced; `\1` in `new` is the first group.

    Example: regex_replace('a1b22', '[0-9]+', '#') == 'a#b#'
    """
    compiled = _pattern(pattern)
    scope.charge(_effort(compiled, len(value)))
    pieces, end, length = [], 0, len(value)
    for found in compiled.finditer(value):
        scope.charge(_effort(compiled, len(value) - end))  # each match may have looked at all that was left
        inserted = _REFERENCE.sub(functools.partial(_group, found), new)
        length += len(inserted)
        check_length(length)
        pieces += [value[end : found.start()], inserted]
        end = found.end()
    return "".join([*pieces, value[end:]])


def _effort(compiled: Any, length: int) -> int:
    """What searching so many characters is charged: at worst, each of them meets every instruction of the pattern."""
    return 1 + (length * int(compiled.programsize) >> 6)


def _group(found: Any, reference: re.Match[str]) -> str:
    if reference[1] == "\\":
        return "\\"
    try:
        return found[int(reference[1])] or ""
    except IndexError:
        raise ExpressionError(f"the pattern has no group {reference[1]}", code="invalid-argument") from None


@functools.lru_cache(maxsize=128)
def _pattern(pattern: str) -> Any:
    """Compiled by an engine that takes linear time whatever the pattern is."""
    import re2  # here, because most definitions use no regular expression

    if len(pattern) > MAX_PATTERN:
        raise ExpressionError(
            f"the regular expression has {len(pattern)} characters; at most {MAX_PATTERN} are allowed",
            code="limit-exceeded",
        )
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ExpressionError(
            f"{pattern!r} is not a regular expression: {_reason(error)}",
            code="invalid-argument",
            hint="RE2 syntax: no look-around, no back-references",
        ) from None


def _reason(error: Exception) -> str:
    reason = error.args[0]
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


@TEXT.define()
def b64encode(value: str) -> str:
    """The string's UTF-8 bytes in Base64. Example: b64encode('hi') == 'aGk='"""
    return base64.b64encode(value.encode()).decode()


@TEXT.define()
def b64decode(value: str) -> str:
    """The UTF-8 string that the Base64 stands for. Example: b64decode('aGk=') == 'hi'"""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        raise ExpressionError("b64decode(): the string is not Base64 of UTF-8 text", code="invalid-argument") from None
