"""Values written in one line: `core.echo message="hello {{ vars.name }}" times=3`, `greeting=hi count=<% $.n %>`.

A value is text in quotes (which stays text), an expression, a JSON list or object, or a word: a number, a truth value,
null, else text. Pairs stand apart by white space, a comma or a semicolon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NoReturn

from stepwell.base.values import MAX_INTEGER, check_json

_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")
_BETWEEN: Final = re.compile(r"[\s,;]*")
_EQUALS: Final = re.compile(r"\s*=\s*")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_WORD: Final = re.compile(r"[^\s,;]+")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,18})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,99})(?:\.\d{1,99})?(?:[eE][+-]?\d{1,3})?")
_ESCAPED: Final = re.compile(r"\\(['\"\\])")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_DECODER: Final = json.JSONDecoder()

Delimiters = Sequence[tuple[str, str]]
"""Pairs of opening and closing delimiters of expressions."""


class Pair(NamedTuple):
    """`name=value`, and where in the text each of the two begins."""

    name: str
    value: Any
    at: int
    value_at: int


class InlineError(ValueError):
    """The text is not a list of pairs; `offset` says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def split_action(text: str, delimiters: Delimiters) -> tuple[str, list[Pair]]:
    """An action's reference, and the parameters behind it in the same line.

    Raises:
        InlineError: what stands behind the reference is not a list of pairs.
    """
    stripped = text.lstrip()
    start = len(text) - len(stripped)
    for opening, closing in delimiters:
        if stripped.startswith(opening):
            end = text.find(closing, start)
            end = end + len(closing) if end >= 0 else len(text)
            return text[start:end], pairs(text, delimiters, end)
    found = _WORD.match(text, start)
    end = found.end() if found is not None else len(text)
    return text[start:end], pairs(text, delimiters, end)


def pairs(text: str, delimiters: Delimiters, start: int = 0) -> list[Pair]:
    """The pairs of a text from `start` on.

    Raises:
        InlineError: it holds something else.
    """
    found: list[Pair] = []
    position = _skip(text, start)
    while position < len(text):
        name = _NAME.match(text, position)
        equals = _EQUALS.match(text, name.end()) if name is not None else None
        if name is None or equals is None:
            _refuse(f"expected `name=value`, saw {text[position : position + 20]!r}", position)
        value, end = _value(text, equals.end(), delimiters)
        found.append(Pair(name.group(), value, position, equals.end()))
        position = _skip(text, end)
    return found


def _skip(text: str, position: int) -> int:
    between = _BETWEEN.match(text, position)
    return between.end() if between is not None else position


def _value(text: str, start: int, delimiters: Delimiters) -> tuple[Any, int]:
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[1] if quoted[1] is not None else quoted[2]), quoted.end()
    for opening, _ in delimiters:
        if text.startswith(opening, start):
            end = _word_end(text, start, delimiters)
            return text[start:end], end
    if text[start : start + 1] in ("[", "{"):
        return _structure(text, start)
    if text[start : start + 1] in ("'", '"'):
        _refuse("the text that begins here is not closed", start)
    end = _word_end(text, start, delimiters)
    if end == start:
        _refuse("a value is missing behind `=`", start)
    return _scalar(text[start:end]), end


def _word_end(text: str, start: int, delimiters: Delimiters) -> int:
    """The end of a word, whose expressions may hold white space."""
    position = start
    while position < len(text):
        for opening, closing in delimiters:
            if text.startswith(opening, position):
                end = text.find(closing, position)
                if end < 0:
                    _refuse(f"this {opening!r} is not closed", position)
                position = end + len(closing)
                break
        else:
            if text[position].isspace() or text[position] in ",;":
                break
            position += 1
    return position


def _structure(text: str, start: int) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, start)
        check_json(value)
    except (ValueError, RecursionError):
        _refuse("this is neither a JSON list nor a JSON object", start)
    return value, end


def _scalar(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if _INTEGER.fullmatch(word) and abs(int(word)) <= MAX_INTEGER:
        return int(word)
    return float(word) if _NUMBER.fullmatch(word) and not _INTEGER.fullmatch(word) else word


def _refuse(message: str, offset: int) -> NoReturn:
    raise InlineError(message, offset)
