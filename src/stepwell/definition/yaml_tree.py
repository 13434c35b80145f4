"""YAML text to a tree with positions.

The events of the parser are read one by one: nothing is composed before its depth and number are known, so a hostile
document is refused before it costs anything.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.scalars import WORDS, BadNumber, number, plain_scalar
from stepwell.definition.text import LONE_SURROGATE, Lines, shortened
from stepwell.definition.tree import MAX_ALIASED, MAX_DEPTH, MAX_PARTS, MAX_VALUES, WEIGHT, Node
from stepwell.definition.yaml_syntax import syntax_finding

_MERGE_KEY = "<<"
_STANDARD = "tag:yaml.org,2002:"
_LETTERS = frozenset(string.ascii_letters)
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""Only its events are used; the C library is ten times faster."""


class _Refused(Exception):
    """The document breaks a rule after which reading on makes no sense; the finding is recorded already."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Node
    path: Path
    flow: bool
    anchor: str | None
    before: int
    key: tuple[str, int, int] | None = None
    merges: list[Node] = field(default_factory=list)
    expression: bool = False


def read_yaml(text: str, lines: Lines, findings: Findings) -> Node | None:
    """The root of the document in `text`, or None when it cannot be read; why is in `findings`."""
    loader = _LOADER(text)
    try:
        return _Reader(text, lines, findings).read(loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: an escape beyond Unicode, in Python
        syntax_finding(error, text, lines, findings)
        return None
    except _Refused:
        return None
    finally:
        loader.dispose()


class _Reader:
    def __init__(self, text: str, lines: Lines, findings: Findings) -> None:
        self._text = text
        self._lines = lines
        self._findings = findings
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._aliased = 0
        self._muted = 0

    def read(self, loader: Any) -> Node | None:
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }
        while True:
            event = loader.get_event()
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                return self._second_document(event)
            elif isinstance(event, yaml.StreamEndEvent):
                return self._root

    def _second_document(self, event: Any) -> Node | None:
        message = "a second document begins here; a file holds one workflow"
        self._report("several-documents", message, event, hint="put each workflow into a file of its own")
        return self._root

    # Values

    def _scalar(self, event: Any) -> None:
        text: str = event.value
        self._count += 1
        if self._count > MAX_VALUES:
            self._too_many(event)
        plain = event.tag is None and event.implicit[0]
        value = text if plain and text[:1] in _LETTERS and text not in WORDS else self._scalar_value(event)
        node = Node(value, event.start_mark.index, event.end_mark.index)
        weight = len(text) // WEIGHT
        self._count += weight
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1 + weight)
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.key is None and parent.node.keys is not None:
            self._key(parent, node, plain=plain)
        else:
            self._attach(node, node.end, event)

    def _scalar_value(self, event: Any) -> Any:
        tag: str | None = event.tag
        try:
            if tag is None and event.implicit[0]:
                return plain_scalar(event.value)
            if tag is None:
                return self._quoted(event)
            return self._tagged(tag, event)
        except BadNumber as error:
            self._report("bad-number", str(error), event, hint="quote it if it is meant as text")
            return 0

    def _quoted(self, event: Any) -> str:
        text: str = event.value
        if not text.isascii() and LONE_SURROGATE.search(text):
            message = "the text holds half of a surrogate pair"
            self._report("unreadable-text", message, event, hint="write the character itself")
            return ""
        return text

    def _tagged(self, tag: str, event: Any) -> Any:
        text: str = event.value
        kind = tag.removeprefix(_STANDARD) if tag.startswith(_STANDARD) else None
        value = text if kind == "str" or tag == "!" else plain_scalar(text)
        accepted = {"str": str, "int": int, "bool": bool, "null": type(None)}
        if kind == "float" and isinstance(number(text), (int, float)):
            return float(number(text))
        if tag == "!" or (kind in accepted and type(value) is accepted[kind]):
            return value
        known = kind in accepted or kind == "float"
        message = (
            f"{text[:40]!r} is not a value of the tag !!{kind}" if known else f"the tag {shortened(tag)} is not known"
        )
        self._report("unknown-tag", message, event, hint="leave the tag out, or quote the value to make it text")
        return text

    def _alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            inside = any(frame.anchor == event.anchor for frame in self._open)
            problem = "stands inside the value it repeats" if inside else "repeats an anchor that does not exist"
            self._report("bad-alias", f"the alias *{event.anchor} {problem}", event)
            raise _Refused
        node, size = found
        self._aliased += size
        self._count += size
        if self._aliased > MAX_ALIASED:
            message = f"aliases repeat more than {MAX_ALIASED:,} values"
            self._report("too-many-aliases", message, event, hint="repeat less, or use a loop in the workflow")
            raise _Refused
        if self._count > MAX_VALUES:
            self._too_many(event)
        if len(self._open) + _height(node, {}) > MAX_DEPTH:
            self._too_deep(event)
        end = event.end_mark.index
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.key is None and parent.node.keys is not None:
            self._key(parent, Node(node.value, event.start_mark.index, end), plain=False)
        else:
            self._attach(node, end if node.children is None else node.end, event)

    # Lists and mappings

    def _begin(self, event: Any) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            self._too_many(event)
        if len(self._open) >= MAX_DEPTH:
            self._too_deep(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        start = event.start_mark.index
        self._check_tag(event, "map" if mapping else "seq")
        parent = self._open[-1] if self._open else None
        if parent is not None and mapping and _is_expression(parent, start) and event.flow_style:
            parent.expression = True
            self._muted += 1
        node = Node({}, start, start, {}, {}) if mapping else Node([], start, start, [])
        path = self._next_path()
        self._open.append(_Open(node, path, bool(event.flow_style), event.anchor, self._count))

    def _end(self, event: Any) -> None:
        frame = self._open.pop()
        node = frame.node
        node.end = event.end_mark.index if frame.flow else max(node.end, node.start)
        if frame.merges:
            self._merge(frame)
        if frame.expression:
            node = self._unquoted(node, event)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (node, self._count - frame.before + 1)
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.key is None and parent.node.keys is not None:
            self._key(parent, node, plain=False)
        else:
            self._attach(node, event.end_mark.index if node.children is None else node.end, event)

    def _unquoted(self, node: Node, event: Any) -> Node:
        self._muted -= 1
        written = self._text[node.start : event.end_mark.index]
        shown = shortened(written)
        message = f"{shown} without quotes is a mapping to YAML, not an expression"
        span = self._lines.span(node.start, event.end_mark.index)
        quote = "'" if '"' in written else '"'
        self._add("unquoted-expression", message, span, hint=f"quote it: {quote}{shown}{quote}")
        return Node(written, node.start, event.end_mark.index)

    def _key(self, parent: _Open, node: Node, *, plain: bool) -> None:
        if plain and node.value == _MERGE_KEY:
            parent.key = (_MERGE_KEY, -1, -1)
            return
        key = node.value
        if not isinstance(key, str):
            key = self._text[node.start : node.end].strip()
            message = f"the key {shortened(key)} is {'not a text' if node.children is None else 'a list or a mapping'}"
            span = self._lines.span(node.start, node.end)
            self._add("bad-key", message, span, parent.path, hint=f'keys are text; quote it: "{shortened(key)}"')
        parent.key = (key, node.start, node.end)

    def _attach(self, node: Node, end: int, event: Any) -> None:
        """Put a value, which ends at `end`, into the list or mapping that is open."""
        if not self._open:
            self._root = node
            return
        frame = self._open[-1]
        into = frame.node
        if end > into.end:
            into.end = end
        if len(into.value) >= MAX_PARTS:
            message = f"a list or mapping has more than {MAX_PARTS:,} parts"
            self._report("too-large", message, event, hint="split it, or read it from a file in a step")
            raise _Refused
        if isinstance(into.children, list):
            into.children.append(node)
            into.value.append(node.value)
            return
        assert frame.key is not None
        key, start, key_end = frame.key
        frame.key = None
        if start < 0:
            self._collect_merge(frame, node, event)
        else:
            self._put(frame, key, start, key_end, node)

    def _put(self, frame: _Open, key: str, start: int, end: int, node: Node) -> None:
        into = frame.node
        assert isinstance(into.children, dict)
        assert into.keys is not None
        if key in into.children:
            first, _ = self._lines.position(into.keys[key][0])
            message = f"the key {shortened(key)!r} is here twice; the first is in line {first}"
            self._add("duplicate-key", message, self._lines.span(start, end), (*frame.path, key))
            return
        into.children[key] = node
        into.keys[key] = (start, end)
        into.value[key] = node.value

    # Merge keys: `<<: *defaults`

    def _collect_merge(self, frame: _Open, node: Node, event: Any) -> None:
        merged = node.children if isinstance(node.children, list) else [node]
        if all(isinstance(part.children, dict) for part in merged):
            frame.merges.extend(merged)
            return
        message = "`<<` takes a mapping or a list of mappings, usually an alias"
        self._report("bad-merge", message, event, hint="for instance `<<: *defaults`; quote the key to mean the text")

    def _merge(self, frame: _Open) -> None:
        """Add what is merged in: a key written here wins over a merged one, an earlier merge over a later one."""
        into = frame.node
        for merged in frame.merges:
            assert isinstance(merged.children, dict)
            assert isinstance(into.children, dict)
            assert into.keys is not None
            assert merged.keys is not None
            for key, node in merged.children.items():
                if key not in into.children:
                    into.children[key] = node
                    into.keys[key] = merged.keys[key]
                    into.value[key] = node.value

    # Limits and findings

    def _too_many(self, event: Any) -> NoReturn:
        message = f"the document has more than {MAX_VALUES:,} values"
        self._report("too-large", message, event, hint="split it into several workflows, or make the steps in a loop")
        raise _Refused

    def _too_deep(self, event: Any) -> NoReturn:
        message = f"lists and mappings are nested more than {MAX_DEPTH} deep"
        self._muted = 0
        self._report("too-deep", message, event, hint="give inner parts a workflow of their own")
        raise _Refused

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _STANDARD + kind):
            self._report(
                "unknown-tag", f"the tag {shortened(event.tag)} is not known here", event, hint="leave the tag out"
            )

    def _next_path(self) -> Path:
        if not self._open:
            return ()
        frame = self._open[-1]
        if isinstance(frame.node.children, list):
            return (*frame.path, len(frame.node.children))
        return (*frame.path, frame.key[0]) if frame.key is not None else frame.path

    def _report(self, code: str, message: str, event: Any, *, hint: str | None = None) -> None:
        span = self._lines.span(event.start_mark.index, event.end_mark.index)
        self._add(code, message, span, self._next_path(), hint=hint)

    def _add(self, code: str, message: str, span: Any, path: Path = (), *, hint: str | None = None) -> None:
        if not self._muted:
            self._findings.add_at(code, message, span, path, hint=hint)


def _is_expression(parent: _Open, start: int) -> bool:
    """Whether a flow mapping that begins at `start` makes `{{` together with the one it is the first key of."""
    node = parent.node
    return parent.flow and parent.key is None and node.children == {} and node.start == start - 1


def _height(node: Node, known: dict[int, int]) -> int:
    """How many levels of lists and mappings `node` has; each shared part is measured once."""
    if node.children is None:
        return 0
    if id(node) not in known:
        parts = node.children.values() if isinstance(node.children, dict) else node.children
        known[id(node)] = 1 + max((_height(part, known) for part in parts), default=0)
    return known[id(node)]
