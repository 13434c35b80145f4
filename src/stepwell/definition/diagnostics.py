"""Findings about a definition: what is wrong, where, and what to do; and how they are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from stepwell.base.errors import StepwellError
from stepwell.base.spans import Source, Span
from stepwell.definition.model import Path
from stepwell.definition.text import Lines

Severity = Literal["error", "warning"]

WIDTH = 100
"""The most columns of a source line that are shown."""

_BEFORE = 60
"""How many of them may stand before the caret."""

_TAB = 4


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a definition.

    Attributes:
        code: a stable, kebab-case name of the kind of finding; see `stepwell.definition.codes`.
        message: what was seen and what was expected.
        span: where in the document.
        hint: what to do about it, or None.
        path: the keys and positions that lead to the value in question.
        source_name: the name of the document, as the user gave it.
    """

    code: str
    message: str
    span: Span
    severity: Severity = "error"
    hint: str | None = None
    path: Path = ()
    source_name: str = "<string>"

    def __str__(self) -> str:
        place = f"{self.source_name}:{self.span.line}:{self.span.column}"
        return f"{place}: {self.severity}[{self.code}]: {printable(self.message)}"

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values; `pointer` is the JSON Pointer (RFC 6901) of the value."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "file": self.source_name,
            "line": self.span.line,
            "column": self.span.column,
            "end_line": self.span.end_line,
            "end_column": self.span.end_column,
            "pointer": "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path),
        }


class InvalidDefinition(StepwellError):
    """A document is not a workflow definition that can be run; `diagnostics` holds all findings about it."""

    code = "invalid-definition"
    exit_status = 2

    def __init__(self, diagnostics: tuple[Diagnostic, ...], source: Source) -> None:
        errors = [finding for finding in diagnostics if finding.severity == "error"]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        first = f"; {errors[0]}" if errors else ""
        super().__init__(f"the definition has {count}{first}")
        self.diagnostics = diagnostics
        self.source = source

    def rendered(self) -> str:
        """Every finding with its source line and a caret, as `render` shows it."""
        return render_all(self.diagnostics, self.source)


def render(diagnostic: Diagnostic, source: Source) -> str:
    """`file:line:col: error[CODE]: message`, the source line with a caret under the place, and the hint."""
    return _render(diagnostic, Lines(source.text))


def render_all(diagnostics: Iterable[Diagnostic], source: Source) -> str:
    """Every finding rendered, with an empty line between two."""
    lines = Lines(source.text)
    return "\n\n".join(_render(diagnostic, lines) for diagnostic in diagnostics)


def _render(diagnostic: Diagnostic, lines: Lines) -> str:
    shown = [str(diagnostic)]
    span = diagnostic.span
    line = lines.line(span.line)
    if line.strip():
        end = span.end_column if span.end_line == span.line else len(line) + 1
        shown += [f"    {part}".rstrip() for part in _excerpt(line, span.column - 1, end - 1)]
    if diagnostic.hint:
        shown.append(f"    hint: {printable(diagnostic.hint)}")
    return "\n".join(shown)


def _excerpt(line: str, start: int, end: int) -> tuple[str, str]:
    """The part of `line` around `start` (an index), and the line to print below it: `^~~~` from `start` to `end`."""
    start = min(start, len(line))
    first = max(0, start - _BEFORE) if len(line) > WIDTH else 0
    last = min(len(line), first + WIDTH)
    before = ("..." if first else "") + _shown(line[first:start])
    marked = _shown(line[start : min(max(end, start + 1), last)])
    after = _shown(line[start:last]) + ("..." if last < len(line) else "")
    underline = "^" + "~" * (_columns(marked.rstrip()) - 1)
    return before + after, " " * _columns(before) + underline


def printable(text: str) -> str:
    """`text` without anything that a terminal would act on instead of showing."""
    return "".join("\ufffd" if unicodedata.category(character) in _UNSHOWABLE else character for character in text)


_UNSHOWABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _shown(text: str) -> str:
    return printable(text.replace("\t", " " * _TAB))


def _columns(text: str) -> int:
    """How many columns of a terminal `text` takes: East Asian wide characters two, combining ones none."""
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
