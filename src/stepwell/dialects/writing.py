"""Writing a definition in a dialect: its own, which gives back the very text, or another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import yaml

from stepwell.definition.codes import CODES
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.model import WorkflowDefinition
from stepwell.definition.scalars import BadNumber, plain_scalar
from stepwell.dialects.dialect import Dialect, Unsaid, Writing
from stepwell.dialects.table import DIALECTS

Notation = Literal["yaml", "json"]


class Written(NamedTuple):
    """A definition in a dialect.

    Attributes:
        text: the document.
        unsaid: what the dialect cannot say; without the `lost` ones the workflow does something else.
    """

    text: str
    unsaid: Sequence[Unsaid]

    def findings(self, definition: WorkflowDefinition, dialect: str) -> tuple[Diagnostic, ...]:
        """What cannot be said, each with its place in the definition that was written."""
        return tuple(_finding(each, definition, DIALECTS[dialect]) for each in self.unsaid)


def write(definition: WorkflowDefinition, dialect: str, notation: Notation | None = None) -> Written:
    """The definition in a dialect, as text.

    Written in its own dialect, and in no other notation than it has, it is the source itself, to the byte.

    Args:
        dialect: the name of one of `DIALECTS`.
        notation: YAML when None and the dialect changes.
    """
    if dialect == definition.dialect and notation in (None, _notation_of(definition)):
        return Written(definition.source.text, ())
    writing = Writing(definition)
    document = DIALECTS[dialect].write(writing)
    return Written(as_text(document, notation or "yaml"), writing.unsaid)


def as_text(document: Any, notation: Notation) -> str:
    """A plain document as text, its keys in their order."""
    if notation == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _finding(unsaid: Unsaid, definition: WorkflowDefinition, dialect: Dialect) -> Diagnostic:
    code = "cannot-say" if unsaid.weight == "lost" else "left-out"
    return Diagnostic(
        code=code,
        message=f"{dialect.title} cannot say {unsaid.what}",
        span=definition.spans.at(unsaid.path),
        severity=CODES[code].severity,
        path=unsaid.path,
        source_name=definition.source.name,
    )


def _notation_of(definition: WorkflowDefinition) -> Notation:
    source = definition.source
    return "json" if source.name.lower().endswith(".json") or source.text.lstrip()[:1] == "{" else "yaml"


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, texts of several lines as such, and lists indented as people write them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not text.isspace() else None
    if style is None and not _is_plain(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_plain(text: str) -> bool:
    """Whether the text is one without quotes too: by the rules of this reader, which are those of YAML 1.2."""
    try:
        return bool(plain_scalar(text) == text)
    except BadNumber:
        return False


_Dumper.add_representer(str, _text)
