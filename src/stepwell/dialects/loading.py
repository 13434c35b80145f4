"""Loading a workflow written in any dialect."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.base.derive import digest
from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.findings import Findings
from stepwell.definition.loading import NOTHING_KNOWN, Loaded, load_tree, without_collection
from stepwell.definition.model import SpanIndex, WorkflowDefinition
from stepwell.definition.parsing import DocumentSpans, has_several_documents, read_tree
from stepwell.definition.tree import Tree
from stepwell.dialects.dialect import Dialect, Document, Reading
from stepwell.dialects.native.dialect import NATIVE
from stepwell.dialects.origin import SettledSpans, SettledTree, settle
from stepwell.dialects.table import dialect_of


def load(
    source: Source,
    *,
    known: Known | None = None,
    dialect: str | None = None,
    lenient: bool = False,
    content: str | None = None,
) -> Loaded:
    """Read a workflow from YAML or JSON text, in whichever dialect it is written, and check it.

    Never raises because of what the text holds.

    Args:
        source: the text, and the name it is shown under; one that ends in `.json` means JSON.
        known: what the definition may refer to outside of itself; nothing of that is checked without it.
        dialect: the name of the dialect; told from the document when None.
        lenient: keys that mean nothing are warnings, not errors.
        content: the identity that the content is known by; see `content_digest` for the one it has otherwise.
    """
    with without_collection():
        return _load(source, known or NOTHING_KNOWN, dialect, lenient, content or content_digest(source, dialect))


def load_or_raise(source: Source, *, known: Known | None = None, dialect: str | None = None) -> WorkflowDefinition:
    """As `load`, for callers that can do nothing with findings.

    Raises:
        InvalidDefinition: with all findings, when there is an error among them.
    """
    loaded = load(source, known=known, dialect=dialect)
    if loaded.definition is None:
        raise InvalidDefinition(loaded.diagnostics, source)
    return loaded.definition


def content_digest(source: Source, dialect: str | None = None) -> str:
    """The identity of a definition's content: its text, and the dialect when that was said and not told from it."""
    text = source.text if dialect is None else f"{dialect}\0{source.text}"
    return digest(text.encode("utf-8", errors="surrogatepass"))


def _load(source: Source, known: Known, named: str | None, lenient: bool, content: str) -> Loaded:
    findings = Findings(source, lenient=lenient)
    several = has_several_documents(source)
    tree = read_tree(source, findings, several=several)
    if tree is None:
        return Loaded(None, findings.sorted())
    alone = Findings(source, lenient=lenient)
    alone.tree = tree
    dialect = dialect_of(_documents(tree, several), named, alone)
    if dialect is None:
        return Loaded(None, alone.sorted())
    if several and not dialect.several:
        message = f"a second document begins here; a file holds one workflow of the dialect {dialect.name}"
        alone.add("several-documents", message, (1,), hint="put each workflow into a file of its own")
        return Loaded(None, alone.sorted())
    if dialect is NATIVE and "dialect" not in tree.value:
        return load_tree(tree, source, findings, known=known, content=content)
    return _translated(dialect, Reading(source, tree, _documents(tree, several), findings, known), content)


def _documents(tree: Tree, several: bool) -> Sequence[Document]:
    return [((number,), value) for number, value in enumerate(tree.value)] if several else [((), tree.value)]


def _translated(dialect: Dialect, reading: Reading, content: str) -> Loaded:
    """The native document that a dialect makes of the source, built and checked with the source's places."""
    findings, source = reading.findings, reading.source
    document = dialect.read(reading)
    if document is None or findings.has_errors():
        return Loaded(None, findings.sorted())
    settled = settle(document)
    return load_tree(
        SettledTree(settled, reading.tree),
        source,
        findings,
        known=reading.known,
        dialect=dialect.name,
        spans=SpanIndex(SettledSpans(settled.origins, DocumentSpans(source, several=len(reading.documents) > 1))),
        content=content,
    )
