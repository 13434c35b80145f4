"""Settings of the steps that collect, change and deliver data."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.loading import load
from stepwell.definition.settings import Operation
from stepwell.tasks.process import OPERATIONS

HEAD = 'apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: "1.0.0"}\nspec:\n  steps:\n'


def codes(step: str) -> list[str]:
    return [finding.code for finding in load(Source("w.yaml", f"{HEAD}    - {step}\n")).diagnostics]


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("{name: a, type: input, config: {data: 1, source: web}}", []),
        ("{name: a, type: input, config: {}}", ["missing-key"]),
        ("{name: a, type: process, config: {data_from: [{x: 1}, '{{ input }}']}}", []),
        ("{name: a, type: process, config: {data: 1, data_from: [{}]}}", ["conflicting-keys"]),
        ("{name: a, type: ai, config: {prompt: p, data: 1, data_from: [{}]}}", ["conflicting-keys"]),
        ("{name: a, type: ai, config: {data: 1}}", ["missing-key"]),
        ("{name: a, type: process, config: {data: 1, rules: '{{ input.rules }}'}}", []),
        ("{name: a, type: output, config: {data: 1, destination: 'file:x.json'}}", []),
        ("{name: a, type: output, config: {destination: 5}}", ["wrong-type"]),
    ],
)
def test_what_is_wrong_with_them_is_found(step: str, found: list[str]) -> None:
    assert codes(step) == found


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("{type: transform, field: x, operation: trim}", []),
        ("{type: transform, field: x, operation: '{{ input.o }}', if_missing: fail}", []),
        ("{type: transform, field: x, operation: shout}", ["wrong-value"]),
        ("{type: filter, field: x, operation: trim}", ["wrong-value"]),
        ("{type: transform, field: '', operation: trim}", ["wrong-value"]),
        ("{type: transform, field: x}", ["missing-key"]),
        ("{type: transform, field: x, operation: trim, iff_missing: fail}", ["unknown-key"]),
        ("trim", ["wrong-type"]),
    ],
)
def test_what_is_no_rule_is_found_before_anything_runs(rule: str, found: list[str]) -> None:
    assert codes(f"{{name: a, type: process, config: {{data: 1, rules: [{rule}]}}}}") == found


def test_every_operation_that_a_document_may_name_can_be_done() -> None:
    named: Any = Operation.__args__  # type: ignore[attr-defined]
    assert set(named) == OPERATIONS.keys()
