"""Collects what is found about one document, in one pass over it."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from stepwell.base.spans import Source, Span
from stepwell.base.suggest import hint_for
from stepwell.definition.codes import CODES
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.model import Path
from stepwell.definition.tree import Tree

MAX_FINDINGS = 1_000
"""Nobody reads more; what follows is counted but not kept."""

_MAX_COMPARISONS = 200_000
"""Names compared while looking for the nearest one, for the whole document: some seconds of work."""

_SURELY = 0.75
"""How alike two names are when the one is surely meant by the other: all but a letter in four."""

_LONGEST = 500
"""Characters of a message: one that quotes the document does not repeat all of it."""


class Findings:
    """The findings about one document so far."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: dict[tuple[str, Span, str], Diagnostic] = {}
        self._left_out = 0
        self._errors = 0
        self._comparisons = 0
        self.tree: Tree | None = None

    def add(
        self,
        code: str,
        message: str,
        path: Path = (),
        *,
        hint: str | None = None,
        key: bool = False,
        offset: int | None = None,
    ) -> None:
        """Record a finding about the value at `path`, about its key, or about a character of its text."""
        if self.is_full():
            self._leave_out(code)
            return
        origin = path if self.tree is None else self.tree.source_path(path)
        self.add_at(code, message, self._span(path, key, offset), origin, hint=hint)

    def add_at(self, code: str, message: str, span: Span, path: Path = (), *, hint: str | None = None) -> None:
        """Record a finding at `span`. The same finding at the same place is kept once (an alias repeats values)."""
        message, hint = _cut(message), _cut(hint) if hint is not None else None
        identity = (code, span, message)
        if identity in self._kept:
            return
        if self.is_full():
            self._leave_out(code)
            return
        severity = "warning" if self._source.lenient and code == "unknown-key" else CODES[code].severity
        self._errors += severity == "error"
        self._kept[identity] = Diagnostic(code, message, span, severity, hint, path, self._source.name)

    def is_full(self) -> bool:
        """Whether enough was found: what follows is counted and not kept."""
        return len(self._kept) >= MAX_FINDINGS

    def _leave_out(self, code: str) -> None:
        self._left_out += 1
        self._errors += CODES[code].severity == "error"

    def take(self, other: Findings) -> None:
        """Add what another reading of the same document found."""
        for finding in other.sorted():
            self.add_at(finding.code, finding.message, finding.span, finding.path, hint=finding.hint)

    def place(self, path: Path) -> str:
        """`line N`, for a message that names a second place."""
        return f"line {self._span(path, True, None).line}"

    def entry_path(self, path: Path, position: int) -> Path:
        """The path of entry `position` of what stands at `path`: a list, or its only entry written without one."""
        is_list = self.tree is not None and isinstance(self.tree.at(path), list)
        return (*path, position) if is_list else path

    def hint_for(self, name: str, known: Collection[str]) -> str | None:
        """`did you mean ...?` or the known names; None when the document has made us compare enough names."""
        affordable = self.can_compare(len(known)) and len(name) <= _LONGEST
        return hint_for(name, known) if affordable else None

    def meant(self, name: str, known: Collection[str]) -> str | None:
        """The known name of which this is surely a misspelling; None when there is none, or no more can be compared."""
        if len(name) > _LONGEST or not self.can_compare(len(known)):
            return None
        return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=_SURELY)), None)

    def can_compare(self, names: int) -> bool:
        """Whether one more look at so many names is affordable; it is counted when it is."""
        if self.is_full() or self._comparisons + names > _MAX_COMPARISONS:
            return False
        self._comparisons += names
        return True

    def has(self, code: str) -> bool:
        """Whether there is a finding of this code."""
        return any(finding.code == code for finding in self._kept.values())

    def has_errors(self) -> bool:
        """Whether anything found so far keeps the definition from being used."""
        return self._errors > 0

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All findings in the order of their places; a last one says how many were left out."""
        ordered = sorted(self._kept.values(), key=_order)
        if self._left_out:
            message = f"{self._left_out} more findings are not shown"
            last = ordered[-1].span
            ordered.append(Diagnostic("too-many-findings", message, last, "warning", source_name=self._source.name))
        return tuple(ordered)

    def _span(self, path: Path, key: bool, offset: int | None) -> Span:
        if self.tree is None:
            return Span(1, 1, 1, 1)
        if offset is not None:
            return self.tree.offset_span(path, offset)
        return self.tree.key_span(path) if key else self.tree.span(path)


def _order(finding: Diagnostic) -> tuple[int, int, str, str]:
    return finding.span.line, finding.span.column, finding.code, finding.message


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
