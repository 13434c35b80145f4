"""YAML text to a tree with positions.

The events of the parser are read one by one: nothing is composed before its depth and number are known, so a hostile
document is refused before it costs anything.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.scalars import WORDS, BadNumber, number, plain_scalar
from stepwell.definition.text import LONE_SURROGATE, Lines, shortened
from stepwell.definition.tree import MAX_ALIASED, MAX_DEPTH, MAX_PARTS, MAX_VALUES, WEIGHT, Entry, Node, Place
from stepwell.definition.yaml_syntax import syntax_finding

_MERGE_KEY = "<<"
_STANDARD = "tag:yaml.org,2002:"
_LETTERS = frozenset(string.ascii_letters)
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""Only its events are used; the C library is ten times faster."""


class _Ended(Exception):
    """The document is read."""


class _Refused(Exception):
    """The document breaks a rule after which reading on makes no sense; the finding is recorded already."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet, or (outermost) the list that the whole document is put into.

    Attributes:
        key: in a mapping, the key whose value comes next, which begins at `key_start` (-1 for a merge key).
        expression: it is the inner mapping of `{{ ... }}` written without quotes.
    """

    value: Any
    start: int
    end: int
    parts: list[Node | Place]
    entries: dict[str, tuple[int, int, Node] | Entry] | None
    flow: bool = False
    anchor: str | None = None
    before: int = 0
    key: str | None = None
    key_start: int = 0
    key_end: int = 0
    merges: list[Node] = field(default_factory=list)
    expression: bool = False


def read_yaml(text: str, lines: Lines, findings: Findings, *, several: bool = False) -> Node | None:
    """The root of the document in `text`, or None when it cannot be read; why is in `findings`.

    Args:
        several: the root is the list of the documents in the text.
    """
    loader = _LOADER(text)
    try:
        return _Reader(text, lines, findings, several).root(loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: an escape beyond Unicode, in Python
        syntax_finding(error, text, lines, findings)
        return None
    except _Refused:
        return None
    finally:
        loader.dispose()


class _Reader:
    def __init__(self, text: str, lines: Lines, findings: Findings, several: bool) -> None:
        self._text = text
        self._lines = lines
        self._findings = findings
        self._several = several
        self._open = [_Open([], 0, 0, [], None)]
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._aliased = 0
        self._muted = 0

    def root(self, loader: Any) -> Node | None:
        """What the document holds; None when it is empty."""
        try:
            self._read(loader)
        except _Ended:
            root = Node(self._open[0].value, 0, len(self._text), self._open[0].parts)
            return root if self._several and root.parts else root.child(0)

    def _read(self, loader: Any) -> NoReturn:
        """Read every event. Scalars, which most are, are put in their place here: a call for each would take longer."""
        next_event: Callable[[], Any] = loader.get_event
        scalar: Any = yaml.ScalarEvent
        frame = self._open[0]
        while True:
            event = next_event()
            if event.__class__ is not scalar:
                frame = self._structure(event, frame)
                continue
            self._count += 1
            if self._count > MAX_VALUES:
                self._too_many(event)
            value = event.value
            start, end = event.start_mark.index, event.end_mark.index
            is_plain = event.implicit[0] and event.tag is None
            if not is_plain or value[:1] not in _LETTERS or value in WORDS:
                value = self._scalar_value(event)
            if event.anchor is not None or len(event.value) >= WEIGHT:
                self._remember(event, Node(value, start, end))
            entries = frame.entries
            if entries is None:
                if len(frame.parts) >= MAX_PARTS:
                    self._crowded(event)
                frame.value.append(value)
                frame.parts.append((start, end))
            elif frame.key is None:
                if value.__class__ is str and not (is_plain and value == _MERGE_KEY):
                    frame.key, frame.key_start, frame.key_end = value, start, end
                else:
                    self._odd_key(frame, Node(value, start, end), plain=is_plain)
                continue
            elif len(entries) >= MAX_PARTS or frame.key_start < 0 or frame.key in entries:
                self._put(frame, Node(value, start, end), event)
            else:
                frame.value[frame.key] = value
                entries[frame.key] = (frame.key_start, frame.key_end, start, end)
                frame.key = None
            if end > frame.end:
                frame.end = end

    def _structure(self, event: Any, frame: _Open) -> _Open:
        """A part of the structure. Gives the list or mapping that is open afterwards."""
        kind = event.__class__
        if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            return self._begin(event, frame)
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            return self._end(event)
        if kind is yaml.AliasEvent:
            self._alias(event, frame)
        elif kind is yaml.DocumentStartEvent and frame.parts and not self._several:
            message = "a second document begins here; a file holds one workflow"
            self._report("several-documents", message, event, hint="put each workflow into a file of its own")
            raise _Ended
        elif kind is yaml.StreamEndEvent:
            raise _Ended
        return frame

    # Values

    def _remember(self, event: Any, node: Node) -> None:
        """A scalar that is long, or that aliases may repeat."""
        weight = len(event.value) // WEIGHT
        self._count += weight
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1 + weight)

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

    def _alias(self, event: Any, frame: _Open) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            inside = any(around.anchor == event.anchor for around in self._open)
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
        if len(self._open) - 1 + _height(node, {}) > MAX_DEPTH:
            self._too_deep(event)
        end = event.end_mark.index
        if frame.entries is not None and frame.key is None:
            self._odd_key(frame, Node(node.value, event.start_mark.index, end), plain=False)
        else:
            self._attach(frame, node, node.end if _is_container(node) else end, event)

    # Lists and mappings

    def _begin(self, event: Any, parent: _Open) -> _Open:
        self._count += 1
        if self._count > MAX_VALUES:
            self._too_many(event)
        if len(self._open) > MAX_DEPTH:
            self._too_deep(event)
        mapping, flow, start = isinstance(event, yaml.MappingStartEvent), bool(event.flow_style), event.start_mark.index
        self._check_tag(event, "map" if mapping else "seq")
        if mapping and flow and _is_expression(parent, start):
            parent.expression = True
            self._muted += 1
        frame = _Open({} if mapping else [], start, start, [], {} if mapping else None, flow, event.anchor, self._count)
        self._open.append(frame)
        return frame

    def _end(self, event: Any) -> _Open:
        frame = self._open.pop()
        parent = self._open[-1]
        end = event.end_mark.index if frame.flow else frame.end
        if frame.merges:
            self._merge(frame)
        node = Node(frame.value, frame.start, end, None if frame.entries is not None else frame.parts, frame.entries)
        if frame.expression:
            node = self._unquoted(node, event)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (node, self._count - frame.before + 1)
        if parent.entries is not None and parent.key is None:
            self._odd_key(parent, node, plain=False)
        else:
            self._attach(parent, node, node.end, event)
        return parent

    def _unquoted(self, node: Node, event: Any) -> Node:
        self._muted -= 1
        written = self._text[node.start : event.end_mark.index]
        shown = shortened(written)
        message = f"{shown} without quotes is a mapping to YAML, not an expression"
        span = self._lines.span(node.start, event.end_mark.index)
        quote = "'" if '"' in written else '"'
        self._add("unquoted-expression", message, span, hint=f"quote it: {quote}{shown}{quote}")
        return Node(written, node.start, event.end_mark.index)

    def _odd_key(self, frame: _Open, node: Node, *, plain: bool) -> None:
        """A key that is none, or that merges."""
        if plain and node.value == _MERGE_KEY:
            frame.key, frame.key_start = _MERGE_KEY, -1
            return
        key = node.value
        if not isinstance(key, str):
            key = self._text[node.start : node.end].strip()
            message = f"the key {shortened(key)} is {'a list or a mapping' if _is_container(node) else 'not a text'}"
            span = self._lines.span(node.start, node.end)
            self._add("bad-key", message, span, self._path(), hint=f'keys are text; quote it: "{shortened(key)}"')
        frame.key, frame.key_start, frame.key_end = key, node.start, node.end

    def _attach(self, frame: _Open, node: Node, end: int, event: Any) -> None:
        """Put a value, which ends at `end`, into the list or mapping that is open."""
        frame.end = max(frame.end, end)
        self._put(frame, node, event)

    def _put(self, frame: _Open, node: Node, event: Any) -> None:
        if len(frame.value) >= MAX_PARTS:
            self._crowded(event)
        if frame.entries is None:
            frame.value.append(node.value)
            frame.parts.append(node if _is_container(node) else (node.start, node.end))
            return
        key, start, end = frame.key, frame.key_start, frame.key_end
        assert key is not None
        frame.key = None
        if start < 0:
            self._collect_merge(frame, node, event)
        elif key in frame.entries:
            first, _ = self._lines.position(frame.entries[key][0])
            message = f"the key {shortened(key)!r} is here twice; the first is in line {first}"
            self._add("duplicate-key", message, self._lines.span(start, end), (*self._path(), key))
        else:
            frame.value[key] = node.value
            frame.entries[key] = (start, end, node) if _is_container(node) else (start, end, node.start, node.end)

    # Merge keys: `<<: *defaults`

    def _collect_merge(self, frame: _Open, node: Node, event: Any) -> None:
        merged = [node] if node.parts is None else [child for _, child in node.inner()]
        if all(part.entries is not None for part in merged):
            frame.merges.extend(merged)
            return
        message = "`<<` takes a mapping or a list of mappings, usually an alias"
        self._report("bad-merge", message, event, hint="for instance `<<: *defaults`; quote the key to mean the text")

    def _merge(self, frame: _Open) -> None:
        """Add what is merged in: a key written here wins over a merged one, an earlier merge over a later one."""
        assert frame.entries is not None
        for merged in frame.merges:
            for key, entry in (merged.entries or {}).items():
                if key not in frame.entries:
                    frame.entries[key] = entry
                    frame.value[key] = merged.value[key]

    # Limits and findings

    def _too_many(self, event: Any) -> NoReturn:
        message = f"the document has more than {MAX_VALUES:,} values"
        self._report("too-large", message, event, hint="split it into several workflows, or make the steps in a loop")
        raise _Refused

    def _crowded(self, event: Any) -> NoReturn:
        message = f"a list or mapping has more than {MAX_PARTS:,} parts"
        self._report("too-large", message, event, hint="split it, or read it from a file in a step")
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

    def _path(self) -> Path:
        """Of the value that comes next."""
        around = self._open if self._several else self._open[1:]
        found = [len(each.parts) if each.entries is None else each.key for each in around]
        return tuple(part for part in found if part is not None)

    def _report(self, code: str, message: str, event: Any, *, hint: str | None = None) -> None:
        span = self._lines.span(event.start_mark.index, event.end_mark.index)
        self._add(code, message, span, self._path(), hint=hint)

    def _add(self, code: str, message: str, span: Any, path: Path = (), *, hint: str | None = None) -> None:
        if not self._muted:
            self._findings.add_at(code, message, span, path, hint=hint)


def _is_container(node: Node) -> bool:
    return node.entries is not None or node.parts is not None


def _is_expression(parent: _Open, start: int) -> bool:
    """Whether a flow mapping that begins at `start` makes `{{` together with the one it is the first key of."""
    return parent.flow and parent.key is None and parent.entries == {} and parent.start == start - 1


def _height(node: Node, known: dict[int, int]) -> int:
    """How many levels of lists and mappings `node` has; each shared part is measured once."""
    if not _is_container(node):
        return 0
    if id(node) not in known:
        inner: Iterable[Any] = node.parts or (entry[-1] for entry in (node.entries or {}).values())
        known[id(node)] = 1 + max((_height(part, known) for part in inner if isinstance(part, Node)), default=0)
    return known[id(node)]
