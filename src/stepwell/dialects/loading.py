"""Loading a workflow written in any dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stepwell.base.derive import digest
from stepwell.base.spans import Source, Span
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic, InvalidDefinition
from stepwell.definition.findings import Findings
from stepwell.definition.loading import NOTHING_KNOWN, Loaded, load_tree, without_collection
from stepwell.definition.model import SpanIndex, WorkflowDefinition
from stepwell.definition.parsing import DocumentSpans, has_several_documents, read_tree
from stepwell.definition.tree import Tree
from stepwell.dialects.dialect import Dialect, Document, Reading
from stepwell.dialects.native.dialect import NATIVE
from stepwell.dialects.origin import SettledSpans, SettledTree, settle
from stepwell.dialects.table import DIALECTS, KEY, dialect_of

_MISSED: Final = frozenset({"no-steps", "missing-key", "unknown-step", "unreachable-step"})
"""What is found missing when something could not be read."""


def load(source: Source, *, known: Known | None = None) -> Loaded:
    """Read a workflow from YAML or JSON text, in whichever dialect it is written, and check it.

    Never raises because of what the text holds.

    Args:
        source: the text, and the name it is shown under; one that ends in `.json` means JSON.
        known: what the definition may refer to outside of itself; nothing of that is checked without it.
    """
    with without_collection():
        return _load(source, known or NOTHING_KNOWN)


def load_or_raise(source: Source, *, known: Known | None = None) -> WorkflowDefinition:
    """As `load`, for callers that can do nothing with findings.

    Raises:
        InvalidDefinition: with all findings, when there is an error among them.
    """
    loaded = load(source, known=known)
    if loaded.definition is None:
        raise InvalidDefinition(loaded.diagnostics, source)
    return loaded.definition


def settings_in(definition: WorkflowDefinition) -> Mapping[str, Any]:
    """What the document of a definition says about the engine, in the form of the configuration; in most dialects
    nothing."""
    read, source = DIALECTS[definition.dialect].settings, definition.source
    if read is None:
        return {}
    findings, several = Findings(source), has_several_documents(source)
    tree = read_tree(source, findings, several=several)
    assert tree is not None, "a definition was made of it"
    return read(Reading(source, tree, _documents(tree, several), findings, NOTHING_KNOWN))


def _load(source: Source, known: Known) -> Loaded:
    findings = Findings(source)
    several = has_several_documents(source)
    tree = read_tree(source, findings, several=several)
    if tree is None:
        return Loaded(None, findings.sorted())
    alone = Findings(source)
    alone.tree = tree
    dialect = dialect_of(_documents(tree, several), source.dialect, alone)
    if dialect is None:
        return Loaded(None, alone.sorted())
    if several and not dialect.several:
        message = f"a second document begins here; a file holds one workflow of the dialect {dialect.name}"
        alone.add("several-documents", message, (1,), hint="put each workflow into a file of its own")
        return Loaded(None, alone.sorted())
    if dialect is NATIVE and not (isinstance(tree.value, dict) and KEY in tree.value):
        return load_tree(tree, source, findings, known=known)
    return _translated(dialect, Reading(source, tree, _documents(tree, several), findings, known))


def _documents(tree: Tree, several: bool) -> Sequence[Document]:
    return [((number,), value) for number, value in enumerate(tree.value)] if several else [((), tree.value)]


def _translated(dialect: Dialect, reading: Reading) -> Loaded:
    """The native document that a dialect makes of the source, built and checked with the source's places."""
    findings, source = reading.findings, reading.source
    document = dialect.read(reading)
    said = findings.sorted()
    if document is None:
        return Loaded(None, said)
    settled = settle(document)
    loaded = load_tree(
        SettledTree(settled, reading.tree),
        source,
        findings,
        known=reading.known,
        dialect=dialect.name,
        spans=SpanIndex(SettledSpans(settled.origins, DocumentSpans(source, several=len(reading.documents) > 1))),
        content=_content(source, dialect),
        any_step_name=dialect.any_step_name,
    )
    return Loaded(loaded.definition, _in_its_words(dialect, loaded.diagnostics, said))


def _in_its_words(dialect: Dialect, found: Sequence[Diagnostic], said: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """What was found, with the hints of the dialect, and without what only follows from what that has `said`."""
    own, wrong = frozenset(said), [each.span for each in said if each.severity == "error"]
    kept = (each for each in found if each in own or not _follows(each, wrong))
    return tuple(replace(each, hint=dialect.hints.get(each.code, each.hint)) for each in kept)


def _follows(finding: Diagnostic, wrong: Sequence[Span]) -> bool:
    """Whether a native check found it where something is wrong anyway, or missed what could not be read."""
    span = finding.span
    if finding.code in _MISSED:
        return any(_holds(span, each) or _holds(each, span) for each in wrong)
    return span in wrong


def _holds(outer: Span, inner: Span) -> bool:
    begins = (outer.line, outer.column) <= (inner.line, inner.column)
    return begins and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)


def _content(source: Source, dialect: Dialect) -> str:
    """The identity of the content: of the same text in another dialect it is another one."""
    text = source.text if dialect is NATIVE else f"{dialect.name}\0{source.text}"
    return digest(text.encode("utf-8", errors="surrogatepass"))
