"""From a source text to a tree: which notation it is written in, and what no notation can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from stepwell.base.spans import Source, Span
from stepwell.definition.findings import Findings
from stepwell.definition.json_tree import quick_json, read_json
from stepwell.definition.model import Path
from stepwell.definition.text import Lines, Unreadable, check_characters, without_mark
from stepwell.definition.tree import Node, Tree
from stepwell.definition.yaml_quick import quick_yaml
from stepwell.definition.yaml_tree import read_yaml

NOTHING = Node(None, 0, 0)
_CONTENT = re.compile(r"^(?!---)[^\s#%]", re.MULTILINE)
_NEXT_DOCUMENT = re.compile(r"^---(?:\s|$)", re.MULTILINE)
_LIKELY_JSON = re.compile(r'\s*\{\s*"')


def has_several_documents(source: Source) -> bool:
    """Whether the text is YAML in which a second document begins."""
    text = without_mark(source.text)
    content = _CONTENT.search(text)
    if source.name.lower().endswith(".json") or content is None:
        return False
    return _NEXT_DOCUMENT.search(text, content.end()) is not None


def read_tree(source: Source, findings: Findings, *, several: bool = False) -> Tree | None:
    """The document in `source` as a tree, or None when it cannot be read; what was found is in `findings`.

    A name that ends in `.json` means JSON, and so does a text that begins like JSON and is no YAML either.

    Args:
        several: it is YAML, and the tree is the list of its documents.
    """
    text = without_mark(source.text)
    try:
        check_characters(text)
    except Unreadable as problem:
        findings.add_at(problem.code, problem.message, problem.span, hint=problem.hint)
        return None
    lines = Lines(text)
    if several:
        tree = _tree(read_yaml(text, lines, findings, several=True), text, lines)
    else:
        tree = _read(source, text, lines, findings)
    if tree is None and not findings.has_errors():
        findings.add_at("empty-document", "the document is empty", Span(1, 1, 1, 1))
    findings.tree = tree
    return tree


def _read(source: Source, text: str, lines: Lines, findings: Findings) -> Tree | None:
    if source.name.lower().endswith(".json"):
        return _json(source, text, lines, findings)
    if not _LIKELY_JSON.match(text):
        return _yaml(source, text, lines, findings)
    as_json = Findings(source)
    tree = _json(source, text, lines, as_json)
    if tree is None and as_json.has("json-syntax"):
        as_yaml = Findings(source)
        root = read_yaml(text, lines, as_yaml)
        if root is not None:
            findings.take(as_yaml)
            return _tree(root, text, lines)
    findings.take(as_json)
    return tree


def _json(source: Source, text: str, lines: Lines, findings: Findings) -> Tree | None:
    """JSON that is as it should be is read at once; its positions, when one is needed, and what is wrong, by ours."""
    value = quick_json(text)
    if value is ...:
        return _tree(read_json(text, lines, findings), text, lines)
    return Tree(value, text, lines, lambda: read_json(text, lines, Findings(source)) or NOTHING)


def _yaml(source: Source, text: str, lines: Lines, findings: Findings) -> Tree | None:
    """The same for YAML."""
    value = quick_yaml(text)
    if value is ...:
        return _tree(read_yaml(text, lines, findings), text, lines)
    return Tree(value, text, lines, lambda: read_yaml(text, lines, Findings(source)) or NOTHING)


def _tree(root: Node | None, text: str, lines: Lines) -> Tree | None:
    return Tree(root.value, text, lines, lambda: root) if root is not None else None


class DocumentSpans(Mapping[Path, Span]):
    """The spans of a document by path; it is read again when they are first asked for.

    They are needed for a message now and then, while a definition is kept as long as it is used: holding the positions
    of all values would cost more memory than the definition itself.
    """

    def __init__(self, source: Source, *, several: bool = False) -> None:
        self._source = source
        self._several = several

    @cached_property
    def _tree(self) -> Tree:
        tree = read_tree(self._source, Findings(self._source), several=self._several)
        return tree if tree is not None else Tree(None, "", Lines(""), lambda: NOTHING)

    def __getitem__(self, path: Path) -> Span:
        node = self._tree.node(path)
        if node is None:
            raise KeyError(path)
        return self._tree.lines.span(node.start, node.end)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, tuple) and self._tree.node(path) is not None

    def __iter__(self) -> Iterator[Path]:
        pending: list[tuple[Path, Node]] = [((), self._tree.root)]
        while pending:
            path, node = pending.pop()
            yield path
            pending.extend(((*path, key), child) for key, child in node.inner())

    def __len__(self) -> int:
        return sum(1 for _ in self)
