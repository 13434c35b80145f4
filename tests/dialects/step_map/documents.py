"""Step maps for tests."""

from __future__ import annotations

import json
from typing import Any

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.loading import Loaded
from stepwell.definition.model import Step, WorkflowDefinition
from stepwell.dialects.loading import load

KNOWN = Known(step_types={"custom"}, tasks={"MyTask"}, services=set(), rules={"required"})

SIMPLE: dict[str, Any] = {
    "id": "simple_workflow",
    "steps": {
        "collect_data": {"type": "input", "input": {"data": {"message": "hello"}}, "depends_on": []},
        "process_data": {
            "type": "process",
            "input": {"rules": [{"type": "transform", "field": "message", "operation": "uppercase"}]},
            "depends_on": ["collect_data"],
        },
    },
}

PARALLEL: dict[str, Any] = {
    "id": "parallel_workflow",
    "steps": {
        "input_a": {"type": "input", "input": {"data": {"value": 1}}, "depends_on": []},
        "input_b": {"type": "input", "input": {"data": {"value": 2}}, "depends_on": []},
        "process_a": {"type": "process", "depends_on": ["input_a"]},
        "process_b": {"type": "process", "depends_on": ["input_b"]},
        "ai_analysis": {"type": "ai", "input": {"prompt": "Analyze data"}, "depends_on": ["process_a", "process_b"]},
        "output": {"type": "output", "depends_on": ["ai_analysis"]},
    },
}


def step_map(**steps: Any) -> dict[str, Any]:
    return {"id": "test", "steps": steps}


def loaded(document: Any, known: Known | None = KNOWN, *, lenient: bool = False) -> Loaded:
    text = document if isinstance(document, str) else json.dumps(document, indent=1)
    return load(Source("test.json", text, lenient=lenient), known=known)


def definition_of(document: Any, known: Known | None = KNOWN) -> WorkflowDefinition:
    found = loaded(document, known)
    assert found.definition is not None, [each.message for each in found.diagnostics]
    return found.definition


def only_step(known: Known | None = KNOWN, **written: Any) -> Step:
    """The step of a step map that has no other."""
    (step,) = definition_of(step_map(a=written), known).steps
    return step


def findings(document: Any, known: Known | None = KNOWN) -> list[tuple[str, int, int]]:
    """Code, line and column of everything found."""
    return [(each.code, each.span.line, each.span.column) for each in loaded(document, known).diagnostics]
