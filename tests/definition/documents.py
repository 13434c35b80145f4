"""Documents for tests: whole workflows made from the part that a test is about."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.loading import Loaded, load
from stepwell.definition.model import Step, WorkflowDefinition

HEAD = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: example, version: "1.0.0"}
"""


def steps(text: str, spec: str = "") -> str:
    """A workflow whose `spec.steps` is `text`, and whose `spec` has the keys in `spec` beside it."""
    more = textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ")
    return f"{HEAD}spec:\n{more}\n  steps:\n{textwrap.indent(textwrap.dedent(text).strip(chr(10)), '    ')}\n"


def spec(text: str) -> str:
    """A workflow with one step that does nothing, whose `spec` has the keys in `text` beside it."""
    return steps("- {name: only, type: noop}", text)


def loaded(text: str, name: str = "w.yaml", known: Known | None = None) -> Loaded:
    return load(Source(name, text), known=known)


def found(text: str, name: str = "w.yaml", known: Known | None = None) -> list[Diagnostic]:
    return list(loaded(text, name, known).diagnostics)


def codes(text: str, name: str = "w.yaml", known: Known | None = None) -> list[str]:
    return [finding.code for finding in found(text, name, known)]


def the(text: str, code: str, known: Known | None = None) -> Diagnostic:
    """The only finding about `text`, which must be of this code."""
    findings = found(text, known=known)
    assert [finding.code for finding in findings] == [code], [str(finding) for finding in findings]
    return findings[0]


def definition(text: str, name: str = "w.yaml", known: Known | None = None) -> WorkflowDefinition:
    """The workflow in `text`, in which nothing but warnings may be found."""
    result = loaded(text, name, known)
    assert result.definition is not None, [str(finding) for finding in result.diagnostics]
    return result.definition


def step(text: str, spec: str = "") -> Step:
    """The first step of the workflow with these steps."""
    return definition(steps(text, spec)).steps[0]


def marked(text: str, finding: Diagnostic) -> str:
    """What stands at the place of a finding, up to the end of its line or of its span."""
    line = text.splitlines()[finding.span.line - 1]
    end = finding.span.end_column - 1 if finding.span.end_line == finding.span.line else len(line)
    return line[finding.span.column - 1 : end]


def content(workflow: WorkflowDefinition) -> dict[str, Any]:
    """Everything that a definition says, without where it was read from."""
    said: dict[str, Any] = msgspec.structs.asdict(workflow)
    for name in ("source", "spans", "digest"):
        del said[name]
    return said
