"""A document as a tree: plain JSON values, and for every value and key the place where it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from stepwell.base.spans import Span
from stepwell.definition.model import Path
from stepwell.definition.text import Lines

MAX_DEPTH = 64
"""Levels of lists and mappings. Real documents have under 20; deeper ones would exhaust the stack further on."""

MAX_VALUES = 1_000_000
"""Values in one document, those repeated by aliases counted again: bounds memory at some hundred megabytes."""

MAX_PARTS = 100_000
"""Values directly in one list or mapping; twice as many as a workflow may have steps."""

MAX_ALIASED = 100_000
"""Values that exist only because an alias repeats them: room for shared settings in every step, none for a bomb.

A text counts once more for every hundred characters.
"""

WEIGHT = 100
"""Characters of a text that count like a value."""


def is_moderate(value: Any, *, weight: int = 0) -> bool:
    """Whether a document of this value keeps to the limits; `weight`: what its long texts count like at most."""
    level, depth, count = [value], 0, 1 + weight
    while level := [part for part in level if part.__class__ is dict or part.__class__ is list]:
        sizes = [len(part) for part in level]
        depth, count = depth + 1, count + sum(sizes)
        if depth > MAX_DEPTH or count > MAX_VALUES or max(sizes) > MAX_PARTS:
            return False
        level = [inner for part in level for inner in (part.values() if part.__class__ is dict else part)]
    return True


Place = tuple[int, int]
"""Where something begins and ends, as indices into the text."""

Entry = tuple[int, int, int, int]
"""The places of a key and of the scalar behind it."""


class Node(msgspec.Struct, gc=False):
    """One value of a document.

    A tree has no circles (an alias cannot stand inside its own anchor), so the garbage collector need not walk it; with
    hundreds of thousands of values that would take longer than reading the document. For the same reason scalars, which
    most values are, have no node of their own until one is asked for.

    Attributes:
        value: the plain value; a mapping's or list's own parts are in it.
        start: the index of its first character in the text; `end` is one after its last.
        parts: of a list, each part: its node, or for a scalar its place. None for a scalar.
        entries: of a mapping, each part by key: the place of the key and the node, or for a scalar an `Entry`.
    """

    value: Any
    start: int
    end: int
    parts: list[Node | Place] | None = None
    entries: dict[str, tuple[int, int, Node] | Entry] | None = None

    def child(self, key: str | int) -> Node | None:
        """The part under `key`, or None."""
        if isinstance(key, str):
            entry = self.entries.get(key) if self.entries is not None else None
            if entry is None:
                return None
            return Node(self.value[key], entry[2], entry[3]) if len(entry) == 4 else entry[2]
        if self.parts is None or not 0 <= key < len(self.parts):
            return None
        part = self.parts[key]
        return part if isinstance(part, Node) else Node(self.value[key], *part)

    def key_place(self, key: str | int) -> Place | None:
        """Where the key stands, in a mapping that has it."""
        found = self.entries.get(key) if self.entries is not None and isinstance(key, str) else None
        return found[:2] if found is not None else None

    def inner(self) -> Iterator[tuple[str | int, Node]]:
        """The parts of a list or mapping, each with its position or key."""
        for key in self.entries if self.entries is not None else range(len(self.parts or ())):
            child = self.child(key)
            assert child is not None
            yield key, child


class Tree:
    """A whole document: its value, its text, and positions by path.

    Args:
        read: gives the root node. It is called when a position is first asked for.
    """

    def __init__(self, value: Any, text: str, lines: Lines, read: Callable[[], Node]) -> None:
        self.value = value
        self.text = text
        self.lines = lines
        self._read = read

    @cached_property
    def root(self) -> Node:
        """The root node."""
        return self._read()

    def nearest(self, path: Path) -> tuple[Node, int]:
        """The node at `path`, or the nearest one around it, and how many parts of the path lead to it."""
        node = self.root
        for depth, key in enumerate(path):
            child = node.child(key)
            if child is None:
                return node, depth
            node = child
        return node, len(path)

    def at(self, path: Path) -> Any:
        """The value at `path`; `...` when the document has none there."""
        value: Any = self.value
        for key in path:
            known: Any = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if key not in known:
                return ...
            value = value[key]
        return value

    def source_path(self, path: Path) -> Path:
        """Where in the source that stands which the value at `path` was made from: the same path."""
        return path

    def node(self, path: Path) -> Node | None:
        """The node at `path`, or None when the document has none there."""
        node, depth = self.nearest(path)
        return node if depth == len(path) else None

    def span(self, path: Path) -> Span:
        """Where the value at `path` stands, or the nearest part around it that the document has."""
        node, _ = self.nearest(path)
        return self.lines.span(node.start, node.end)

    def key_span(self, path: Path) -> Span:
        """Where the key that `path` ends with stands; the value's own span when it is not under a key."""
        parent = self.node(path[:-1]) if path else None
        key = path[-1] if path else None
        place = parent.key_place(key) if parent is not None and key is not None else None
        return self.lines.span(*place) if place is not None else self.span(path)

    def offset_span(self, path: Path, offset: int) -> Span:
        """Where the character number `offset` (from 0) of the text value at `path` stands."""
        node = self.node(path)
        if node is None or not isinstance(node.value, str):
            return self.span(path)
        at = node.start + _raw_offset(self.text[node.start : node.end], node.value, offset)
        return self.lines.span(at, at + 1)


def _raw_offset(raw: str, value: str, offset: int) -> int:
    """The index in `raw` (a value as it was written, quotes and escapes included) of character `offset` of `value`.

    Quoting, escapes, indentation and folding all leave `{{` alone: the n-th one written is the n-th one read. From
    there on characters are counted, as long as both texts agree; where they do not, the last agreement is the answer.
    """
    opening = value.rfind("{{", 0, offset + 2)
    at = _nth(raw, "{{", value.count("{{", 0, opening + 1) + 1) if opening >= 0 else raw.find(value[:1])
    if at < 0:
        return 0
    position = max(opening, 0)
    while position < offset and at + 1 < len(raw) and raw[at] == value[position]:
        position, at = position + 1, at + 1
    return at


def _nth(text: str, part: str, number: int) -> int:
    at = -1
    for _ in range(number):
        at = text.find(part, at + len(part) if at >= 0 else 0)
        if at < 0:
            return -1
    return at
