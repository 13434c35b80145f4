"""The text of a document: what it may hold, and from a character's index to its line and column."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from stepwell.base.spans import Span

MAX_TEXT = 8 * 1024 * 1024
"""Characters. 20,000 steps of 400 characters each fit; reading that much takes some seconds and no more."""

_QUOTED = 60

_BREAK = re.compile(r"\r\n|\n|\r")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""What no document holds, in either notation: control characters, lone surrogates, non-characters."""

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which an escape can make and nothing can store."""

_UTF16_MARKS = tuple(mark.decode(errors="surrogateescape") for mark in (b"\xff\xfe", b"\xfe\xff"))
_SAVE_AS = "save it with the encoding UTF-8"


class Unreadable(Exception):
    """The characters are not a text; `span` says where the first offence stands."""

    def __init__(self, message: str, span: Span, hint: str, code: str = "unreadable-text") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span
        self.hint = hint


class Lines:
    """Turns an index into a text into a line and a column, both counted from 1."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line begins; worked out when a place is first asked for."""
        return [0, *(found.end() for found in _BREAK.finditer(self._text))]

    def position(self, index: int) -> tuple[int, int]:
        """The (line, column) of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to `end`."""
        return Span(*self.position(start), *self.position(max(start, end)))

    def line(self, number: int) -> str:
        """Line `number` without its line break; empty when there is no such line."""
        if not 1 <= number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self._text)
        return self._text[start:end].rstrip("\r\n")


def without_mark(text: str) -> str:
    """`text` without the byte order mark that some editors put at its start."""
    return text.removeprefix("\ufeff")


def check_characters(text: str) -> None:
    """Refuse what no document can hold.

    Bytes of a file that are not UTF-8 are told as such when it was decoded with Python's `surrogateescape`.

    Raises:
        Unreadable: when `text` is too large or has a control character, a lone surrogate or a non-character in it.
    """
    if len(text) > MAX_TEXT:
        raise _too_large(len(text))
    found = _FORBIDDEN.search(text)
    if found is None:
        return
    span = Lines(text).span(found.start(), found.end())
    character = ord(found.group())
    if text.startswith(_UTF16_MARKS):
        raise Unreadable("the file is UTF-16; expected UTF-8", span, _SAVE_AS)
    if 0xDC80 <= character <= 0xDCFF:
        raise Unreadable(f"the byte 0x{character - 0xDC00:02x} here is not UTF-8 text", span, _SAVE_AS)
    what = "a lone surrogate" if 0xD800 <= character <= 0xDFFF else "a control character"
    message = f"U+{character:04X} is {what}, which a document cannot hold"
    raise Unreadable(message, span, "remove it, or write it as an escape in a quoted text")


def _too_large(size: int) -> Unreadable:
    message = f"the document has {size:,} characters; at most {MAX_TEXT:,} are read"
    hint = "split it into several workflows, or make the steps in a loop"
    return Unreadable(message, Span(1, 1, 1, 1), hint, code="too-large")


def shortened(text: str) -> str:
    """`text` as a message quotes it: its first characters."""
    return text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "..."
