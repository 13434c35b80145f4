"""Reading documents of this dialect, for the tests of what they mean and of what is wrong with them."""

from __future__ import annotations

from typing import Any

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.loading import Loaded
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from tests.dialects.execution.running import document
from tests.dialects.meaning import definition_of

W = "execution: {workflow: w, activities: [{name: a}]}\n---\n"
ACTIVITIES = Known(tasks={"notify_team", "assign_agent", "set_sla", "unassign_agent", "clear_sla"})


def loaded(text: str, known: Known | None = None) -> Loaded:
    return load(Source("test.yaml", document(text)), known=known)


def native(text: str) -> dict[str, Any]:
    """The native `spec` that a document means."""
    spec: dict[str, Any] = document_of(definition_of(document(text)))["spec"]
    return spec


def step_of(activity: str, *others: str) -> dict[str, Any]:
    """The native step of the first of the activities, which are written as mappings in flow style."""
    text = "execution:\n  workflow: w\n  activities:\n" + "".join(f"    - {each}\n" for each in (activity, *others))
    step: dict[str, Any] = native(text)["steps"][0]
    return step


def found(text: str, known: Known | None = None) -> list[str]:
    """`line:column code message` of every error."""
    return [_shown(each) for each in loaded(text, known).diagnostics if each.severity == "error"]


def _shown(finding: Diagnostic) -> str:
    return f"{finding.span.line}:{finding.span.column} {finding.code} {finding.message}"


def wrong(activity: str) -> list[str]:
    """The errors in a workflow of one activity, without their lines."""
    text = f"execution:\n  workflow: w\n  activities:\n    - {activity}\n"
    return [each.partition(" ")[2] for each in found(text)]
