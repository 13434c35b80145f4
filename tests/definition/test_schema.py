"""The JSON Schema for editors agrees with the loader about the form of documents."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings

from stepwell.base.spans import Source
from stepwell.definition.document import StepDoc
from stepwell.definition.loading import load
from stepwell.definition.reading import known_keys
from stepwell.definition.schema import workflow_schema
from stepwell.definition.settings import SETTINGS
from tests.definition.documents import HEAD, spec, steps
from tests.definition.test_findings import EXAMPLES
from tests.definition.test_hostile import wrong_documents
from tests.definition.test_model import EDGES, EVERYTHING, WRONG
from tests.definition.trees import read, value


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return workflow_schema()


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema, offline=True)


def test_it_is_a_schema_of_draft_2020_12(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema)


def test_every_key_of_a_step_is_described(schema: dict[str, Any]) -> None:
    properties = schema["$defs"]["StepDoc"]["properties"]
    assert set(properties) == set(known_keys(StepDoc))
    assert all(part["description"] for part in properties.values())
    assert {"when", "condition", "config", "with", "for_each", "with_items"} <= set(properties)


def test_built_in_types_are_offered(schema: dict[str, Any]) -> None:
    offered = schema["$defs"]["StepDoc"]["properties"]["type"]["anyOf"][0]["enum"]
    assert offered == sorted(SETTINGS)


def test_no_name_of_the_code_is_a_title(schema: dict[str, Any]) -> None:
    assert not [title for title in _titles(schema) if title.endswith(("Doc", "Settings"))]


def _titles(part: Any) -> list[str]:
    if isinstance(part, list):
        return [title for each in part for title in _titles(each)]
    if not isinstance(part, dict):
        return []
    own = [part["title"]] if isinstance(part.get("title"), str) else []
    return own + [title for each in part.values() for title in _titles(each)]


WARNED = [text for code, (text, _) in EXAMPLES.items() if load(Source("w.yaml", text)).definition is not None]
FINE = [
    EVERYTHING,
    spec("config: {cancellation: cancel_running}"),
    *WARNED,
    *(
        steps(f"- {{name: a, type: noop, {written}}}\n- {{name: b, type: noop}}\n- {{name: c, type: noop}}")
        for written in EDGES
    ),
    steps("a: {type: noop, with: {}}\nb: {type: custom, config: {anything: 1}, depends_on: a}"),
    steps("- {name: a, config: {service: s, endpoint: /}}"),
    steps("- {name: a, type: http, config: {url: '{{ input.u }}', expect_status: '{{ input.s }}'}}"),
]


@pytest.mark.parametrize("text", FINE)
def test_what_the_loader_accepts_the_schema_accepts(text: str, validator: Any) -> None:
    assert load(Source("w.yaml", text)).definition is not None
    assert [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value(text))] == []


LOADER_ONLY = {
    "max_visits: 3.0", "retry: {initial_delay: 10s, max_delay: 5s}", "on_failure: {action: fallback}", "timeout: 0",
    "repeat: {}", "repeat: {while: true, until: true}", "config: {a: 1}, with: {}", "decision: [{next: a}]",
    "decision: [{when: true}]",
}  # fmt: skip
"""What a schema could say only at the price of messages that nobody understands."""

OF_FORM = ["unknown-key", "wrong-type", "wrong-value", "bad-name", "bad-version", "bad-quantity", "missing-key"]


@pytest.mark.parametrize(
    "text",
    [
        *(EXAMPLES[code][0] for code in OF_FORM),
        *(steps(f"- {{name: b, type: greet, {written}}}") for written in WRONG if written not in LOADER_ONLY),
        HEAD,
        HEAD + "spec: {}",
        spec("config: {timeout: -5}"),
        spec("config: {failure_mode: sometimes}"),
        spec("vars: {a b: 1}"),
        spec("triggers: {event: x}"),
        steps("- {name: a, type: http, config: {uri: x}}"),
        steps("- {name: a, config: {url: x}}"),
        steps("- {name: a, type: wait_for_event, with: {timeout: 5m}}"),
    ],
)
def test_what_is_wrong_in_form_the_schema_refuses(text: str, validator: Any) -> None:
    found, _ = read(text)
    assert found is not None
    assert not validator.is_valid(found.value)


@given(wrong_documents())
@settings(max_examples=100, deadline=None)
def test_whatever_the_loader_accepts_the_schema_accepts(document: dict[str, object]) -> None:
    if load(Source("w.json", json.dumps(document))).definition is not None:
        assert jsonschema_rs.validator_for(workflow_schema(), offline=True).is_valid(document)


def test_models_that_a_document_does_not_need_are_not_built() -> None:
    code = (
        "from tests.definition.documents import codes, spec\n"
        "from stepwell.definition import document\n"
        "assert codes(spec('')) == []\n"
        "assert document.StepDoc.__pydantic_complete__\n"
        "assert not document.ConfigDoc.__pydantic_complete__\n"
        "assert not document.CompensationDoc.__pydantic_complete__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
