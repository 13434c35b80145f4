"""JSON text to a tree with positions, strictly by RFC 8259: no comments, no trailing commas, no NaN."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Any, NoReturn

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.scalars import BadNumber, finite, integer
from stepwell.definition.text import LONE_SURROGATE, Lines, shortened
from stepwell.definition.tree import MAX_DEPTH, MAX_PARTS, MAX_VALUES, Entry, Node, Place, is_moderate

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_0-9$.+-]+")
_LONE_ESCAPE = re.compile(
    r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]|\\\\u[dD][89a-fA-F]"
)
"""What may be half of a surrogate pair: without its other half, or (surely looked at by the exact reader) behind a
backslash that may be escaped itself."""
_WORDS: dict[str, Any] = {"null": None, "true": True, "false": False}


class _Refused(Exception):
    """Reading cannot go on; the finding is recorded already."""


def quick_json(text: str) -> Any:
    """The value of a document by Python's own reader, which knows no places; `...` when anything is wrong with it."""
    if _LONE_ESCAPE.search(text):
        return ...
    try:
        value = _QUICK.decode(text)
    except (ValueError, RecursionError):
        return ...
    return value if is_moderate(value) else ...


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(text: str) -> Any:
    raise BadNumber(text)


_QUICK = JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_int=lambda digits: integer(digits, 10),
    parse_float=finite,
    parse_constant=_no_number,
)


def read_json(text: str, lines: Lines, findings: Findings) -> Node | None:
    """The root of the document in `text`, or None when it cannot be read; why is in `findings`."""
    try:
        return _Reader(text, lines, findings).read()
    except _Refused:
        return None


class _Reader:
    def __init__(self, text: str, lines: Lines, findings: Findings) -> None:
        self._text = text
        self._lines = lines
        self._findings = findings
        self._at = 0
        self._count = 0

    def read(self) -> Node:
        root = self._value((), 0)
        self._skip_space()
        if self._at < len(self._text):
            self._wrong("something follows after the end of the document", "a file holds one document")
        return root

    def _value(self, path: Path, depth: int) -> Node:
        self._skip_space()
        self._count += 1
        if self._count > MAX_VALUES:
            self._refuse("too-large", f"the document has more than {MAX_VALUES:,} values", "split it into several")
        start = self._at
        match self._text[start : start + 1]:
            case "{":
                return self._object(path, depth)
            case "[":
                return self._array(path, depth)
            case '"':
                return Node(self._string(), start, self._at)
            case _:
                return Node(self._number_or_word(), start, self._at)

    def _object(self, path: Path, depth: int) -> Node:
        entries: dict[str, tuple[int, int, Node] | Entry] = {}
        value: dict[str, Any] = {}
        node = Node(value, self._at, self._at, None, entries)
        self._enter(depth)
        while not self._closed("}", parts=len(entries)):
            start = self._at
            if self._text[start : start + 1] != '"':
                self._wrong("expected a key in double quotes", "keys are written in double quotes")
            key = self._string()
            end = self._at
            self._expect(":", "expected `:` after the key")
            child = self._value((*path, key), depth + 1)
            if key in entries:
                self._duplicate(key, (start, end), entries[key][0], path)
                continue
            entries[key], value[key] = (start, end, child), child.value
        node.end = self._at
        return node

    def _array(self, path: Path, depth: int) -> Node:
        parts: list[Node | Place] = []
        value: list[Any] = []
        node = Node(value, self._at, self._at, parts)
        self._enter(depth)
        while not self._closed("]", parts=len(parts)):
            child = self._value((*path, len(parts)), depth + 1)
            parts.append(child)
            value.append(child.value)
        node.end = self._at
        return node

    def _enter(self, depth: int) -> None:
        if depth >= MAX_DEPTH:
            self._refuse("too-deep", f"lists and objects are nested more than {MAX_DEPTH} deep", "use inner workflows")
        self._at += 1

    def _closed(self, bracket: str, *, parts: int) -> bool:
        """Step over `bracket` and say True, or over the `,` before the next part and say False."""
        self._skip_space()
        found = self._text[self._at : self._at + 1]
        if found == bracket:
            self._at += 1
            return True
        if not parts:
            return False
        if parts >= MAX_PARTS:
            self._refuse("too-large", f"a list or object has more than {MAX_PARTS:,} parts", "split it")
        if found != ",":
            self._wrong(f"expected `,` or `{bracket}`", None)
        self._at += 1
        self._skip_space()
        if self._text[self._at : self._at + 1] == bracket:
            self._wrong(f"a `,` stands before `{bracket}`", "JSON has no comma after the last part; remove it")
        return False

    def _string(self) -> str:
        try:
            text, end = scanstring(self._text, self._at + 1, True)
        except JSONDecodeError as error:
            self._at = min(error.pos, len(self._text))
            self._wrong(_string_problem(error.msg), None)
        if LONE_SURROGATE.search(text):
            self._refuse("unreadable-text", "the text holds half of a surrogate pair", "write both halves, or neither")
        self._at = end
        return str(text)

    def _number_or_word(self) -> Any:
        found = _NUMBER.match(self._text, self._at)
        word = _WORD.match(self._text, self._at)
        if word is None:
            self._wrong("expected a value", "text is written in double quotes")
        if found is not None and found.end() == word.end():
            return self._number(found)
        if word.group() in _WORDS:
            self._at = word.end()
            return _WORDS[word.group()]
        if word.group() in ("NaN", "Infinity", "-Infinity"):
            self._refuse(
                "bad-number", f"{word.group()} is not a number that can be stored", "leave it out, or use null"
            )
        return self._wrong(f"{shortened(word.group())!r} is not a JSON value", "text is written in double quotes")

    def _number(self, found: re.Match[str]) -> int | float:
        text = found.group()
        try:
            value: int | float = finite(text) if found.group(1) or found.group(2) else integer(text, 10)
        except BadNumber as error:
            span = self._lines.span(found.start(), found.end())
            self._findings.add_at("bad-number", str(error), span, hint="quote it if it is meant as text")
            value = 0
        self._at = found.end()
        return value

    def _expect(self, character: str, message: str) -> None:
        self._skip_space()
        if self._text[self._at : self._at + 1] != character:
            self._wrong(message, None)
        self._at += 1

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _duplicate(self, key: str, span: Place, first: int, path: Path) -> None:
        line, _ = self._lines.position(first)
        message = f"the key {shortened(key)!r} is here twice; the first is in line {line}"
        self._findings.add_at("duplicate-key", message, self._lines.span(*span), (*path, key))

    def _wrong(self, message: str, hint: str | None) -> NoReturn:
        seen = "the document ends here" if self._at >= len(self._text) else message
        if seen != message:
            hint = message
        self._refuse("json-syntax", f"not JSON: {seen}", hint)

    def _refuse(self, code: str, message: str, hint: str | None) -> NoReturn:
        self._findings.add_at(code, message, self._lines.span(self._at, self._at + 1), hint=hint)
        raise _Refused


def _string_problem(message: str) -> str:
    if "Unterminated" in message:
        return "a text in double quotes is not closed"
    if "control character" in message:
        return "a line break or tab stands inside a text; write it as \\n or \\t"
    return "a text has an escape that JSON does not know; a backslash is written as two"
