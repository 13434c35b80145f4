"""Loading a definition: from a text to the canonical model, with everything that was found on the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stepwell.base.derive import digest
from stepwell.base.spans import Source
from stepwell.definition.building import Parts, build
from stepwell.definition.context import Context, Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.findings import Findings
from stepwell.definition.model import SpanIndex, WorkflowDefinition
from stepwell.definition.parsing import DocumentSpans, read_tree
from stepwell.definition.reading import describe
from stepwell.definition.tree import Tree
from stepwell.definition.validation import validate

NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a document.

    Attributes:
        definition: the workflow; None when there is an error among the diagnostics.
        diagnostics: errors and warnings in the order of their places.
    """

    definition: WorkflowDefinition | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What does not keep the definition from being used."""
        return tuple(finding for finding in self.diagnostics if finding.severity == "warning")


def load(source: Source, *, known: Known | None = None) -> Loaded:
    """Read a workflow from YAML or JSON text and check it. Never raises because of what the text holds.

    Args:
        source: the text, and the name it is shown under; one that ends in `.json` means JSON.
        known: what the definition may refer to outside of itself; nothing of that is checked without it.
    """
    with without_collection():
        return _load(source, known or NOTHING_KNOWN)


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep Python from looking for cycles of references meanwhile.

    What is read is kept, and bounded by the limits on documents; looking through it again and again takes a quarter of
    the time of loading 10,000 steps.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(source: Source, known: Known) -> Loaded:
    findings = Findings(source)
    tree = read_tree(source, findings)
    return load_tree(tree, source, findings, known=known) if tree is not None else Loaded(None, findings.sorted())


def load_tree(
    tree: Tree,
    source: Source,
    findings: Findings,
    *,
    known: Known = NOTHING_KNOWN,
    dialect: str = "native",
    spans: SpanIndex | None = None,
    content: str | None = None,
    any_step_name: bool = False,
) -> Loaded:
    """Build a native document that was read, and check it.

    Args:
        tree: the document; its places are those of the source.
        findings: what was found so far.
        dialect: the one that the source is written in.
        spans: the places of the native document's values in the source; those of the source itself when None.
        content: the identity of the content; the digest of the text when None.
        any_step_name: see `Context.any_step_name`.
    """
    other = _not_a_workflow(tree.value)
    if other is not None:
        alone = Findings(source)
        alone.tree = tree
        alone.add("not-a-workflow", other, hint=_NATIVE)
        return Loaded(None, alone.sorted())
    findings.tree = tree
    context = Context(findings, known, any_step_name=any_step_name)
    parts = build(tree.value, context)
    validate(parts, context)
    if findings.has_errors():
        return Loaded(None, findings.sorted())
    spans = spans or SpanIndex(DocumentSpans(source))
    content = content or digest(source.text.encode())
    return Loaded(_definition(parts, source, dialect, spans, content), findings.sorted())


def _definition(parts: Parts, source: Source, dialect: str, spans: SpanIndex, content: str) -> WorkflowDefinition:
    return WorkflowDefinition(
        name=parts.name,
        version=parts.version,
        description=parts.description,
        tags=parts.tags,
        steps=parts.steps,
        source=source,
        spans=spans,
        digest=content,
        dialect=dialect,
        config=parts.config,
        input_schema=parts.input_schema,
        vars=parts.vars,
        triggers=parts.triggers,
        compensation=parts.compensation,
        output_schema=parts.output_schema,
        output_values=parts.output_values,
        output_on_failure=parts.output_on_failure,
    )


def _not_a_workflow(document: Any) -> str | None:
    """Why a document is not meant to be a native workflow, or None. Other findings about it would say nothing."""
    if not isinstance(document, dict):
        return f"a workflow is a mapping; this is {describe(document)}"
    like = None if "apiVersion" in document or "kind" in document else _looks_like(document)
    return f"this looks like {like}, not like a native workflow" if like is not None else None


_NATIVE = "a native workflow begins with `apiVersion: workflow/v1` and `kind: Workflow`"


def _looks_like(document: Mapping[str, Any]) -> str | None:
    steps, tasks = document.get("steps"), document.get("tasks")
    if "workflowDefinition" in document:
        return "an activities workflow (`workflowDefinition`)"
    for key in ("execution", "saga"):
        if key in document:
            return f"an activities workflow (`{key}`)"
    if isinstance(tasks, list) or ("ref" in document and tasks is not None):
        return "a task graph (`ref`, `tasks`)"
    if isinstance(tasks, dict):
        return "an Orquesta workflow (`version`, `tasks`)"
    if isinstance(steps, dict) and "spec" not in document:
        return "a step map (`id`, `steps`)"
    return None
