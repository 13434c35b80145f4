"""Whatever a document holds, it is read or refused with findings; nothing is raised."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.decider.plan import Plan
from stepwell.definition.context import Known
from stepwell.definition.reading import known_keys
from stepwell.dialects.dialect import Writing
from stepwell.dialects.loading import load
from stepwell.dialects.task_graph.document import DecisionDoc, NextDoc, RetryDoc, TaskDoc, WorkflowDoc
from stepwell.dialects.task_graph.writing import write

WORDS = st.sampled_from([
    "a", "b", "fail", "noop", "retry", "continue", "core.noop", "core.echo message=1", "ops.do x={{ y }}", "{{ a }}",
    "{{ task.a.result }}", "{{ failed() }}", "{{ x ? 1 : 2 }}", "{{", "a, b", "", "1.0.0", "parallel", "workflow",
    "all", "task.a.b.c", "{{ succeeded() and x }}", "$", "{{ [1, 2][0] }}", "{{ 'a' if b }}", "{{ kv.get('x') }}",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-5, 200) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
KEYS = st.sampled_from(sorted({
    key for model in (WorkflowDoc, TaskDoc, NextDoc, DecisionDoc, RetryDoc) for key in known_keys(model)
}))  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=3), max_leaves=6
)


@st.composite
def tasks(draw: st.DrawFn) -> Any:
    task: dict[str, Any] = {
        "name": draw(st.sampled_from("abc")),
        "action": draw(st.sampled_from(["core.noop", "core.ask"])),
    }
    for key in draw(st.lists(st.sampled_from(sorted(known_keys(TaskDoc))), max_size=4)):
        task[key] = draw(VALUES)
    return task


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {"ref": "a.b", "version": "1.0.0", "tasks": draw(st.lists(tasks(), max_size=4))}
    for key in draw(st.lists(st.sampled_from(sorted(known_keys(WorkflowDoc))), max_size=2)):
        document[key] = draw(VALUES)
    return document


@settings(max_examples=200, deadline=None)
@given(documents(), st.booleans())
def test_any_document_is_read_or_refused(document: dict[str, Any], knows: bool) -> None:
    known = Known(tasks=frozenset({"ops.do"}), workflows=frozenset()) if knows else None
    loaded = load(Source("x.json", json.dumps(document), "task-graph"), known=known)
    if loaded.definition is None:
        assert any(finding.severity == "error" for finding in loaded.diagnostics)
        return
    Plan(loaded.definition)
    write(Writing(loaded.definition))
