"""Writing documents of activities: what was read is written so that it means the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.dialect import Writing
from stepwell.dialects.execution.writing import write
from stepwell.dialects.writing import as_text
from tests.dialects.execution.documents import API, documents
from tests.dialects.execution.running import document
from tests.dialects.meaning import definition_of, meaning


def written(definition: WorkflowDefinition) -> tuple[dict[str, Any], list[str]]:
    """The document of a definition, and what it cannot say."""
    writing = Writing(definition)
    return write(writing), [each.what for each in writing.unsaid]


def assert_goes_round(text: str, name: str = "test.yaml") -> None:
    definition = definition_of(text, name)
    made, unsaid = written(definition)
    assert unsaid == []
    assert meaning(definition_of(as_text(made, "yaml"))) == meaning(definition)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_what_is_written_means_what_was_read(drawn: dict[str, Any]) -> None:
    assert_goes_round(yaml.safe_dump(drawn, sort_keys=False))


def test_workflows_of_the_api_are_written_as_documents_that_mean_the_same() -> None:
    assert_goes_round(API, "ticket.json")


def test_a_saga_is_written_as_a_workflow() -> None:
    assert_goes_round("saga: {steps: [{activity: 'a:b', compensation: c}, {activity: d, output: {x: '${output.y}'}}]}")


def test_what_is_usual_is_left_out() -> None:
    text = document(
        """
        execution:
          workflow: ticket
          activities:
            - name: a
              publish:
                agent: ${output.agent_id}
            - name: b
              activity: other
              input:
                agent: ${workflow.agent}
                same: ${event.payload.agent}
                of: ${activities['a-1'].output} ${'${'}
        """
    ).replace("- name: a\n", "- name: a-1\n")
    assert as_text(written(definition_of(text))[0], "yaml") == text


def native(**spec: Any) -> WorkflowDefinition:
    step = {"name": "a", "type": "python", "config": {"task": "a", "args": {}}}
    whole = {"apiVersion": "workflow/v1", "kind": "Workflow", "metadata": {"name": "w", "version": "1.0.0"}}
    return definition_of(yaml.safe_dump(whole | {"spec": {"steps": [step], **spec}}))


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"config": {"deadline": "1h"}}, "`deadline` of the workflow"),
        ({"config": {"retry_policy": {"backoff": "linear"}}}, "waits that grow otherwise than by a multiplier"),
        ({"config": {"retry_policy": {"give_up_on": ["timeout"]}}}, "which errors are tried again"),
        ({"config": {"on_error": {"notify": {"message": "x"}}}}, "what is said to whom after a failure"),
        (
            {"config": {"policies": {"p": {"rate_limit": {"limit": 1, "per": 1}}}}},
            "the policy 'p', which no step names",
        ),
        ({"input": {"schema": {"type": "object"}}}, "the `input` of the workflow"),
        ({"vars": {"x": 1}}, "the `vars` of the workflow"),
        ({"output": {"values": {"x": 1}}}, "the `output` of the workflow"),
        ({"triggers": [{"schedule": {"every": "1h"}}]}, "a trigger (schedule)"),
        ({"triggers": [{"event": "a"}, {"event": "b"}]}, "a further trigger"),
        ({"triggers": [{"event": "a", "filter": "event.data.x"}]}, "a filter that is an expression"),
        ({"triggers": [{"event": "a", "dedupe_key": "x"}]}, "the `dedupe_key` of a trigger"),
        ({"compensation": {"notification": {"channels": ["x"]}}}, "who is told about the compensation"),
    ],
)
def test_what_a_workflow_says_and_the_dialect_cannot_is_named(spec: dict[str, Any], what: str) -> None:
    (said,) = written(native(**spec))[1]
    assert said.startswith(what)


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ({"type": "transform", "config": {"value": 1}}, "a step of type 'transform' ('b')"),
        ({"for_each": {"items": [1]}}, "`for_each` of step 'b'"),
        ({"when": "input.x"}, "the condition of step 'b'"),
        ({"depends_on": [{"step": "a", "on": "failure"}]}, "a dependency on how 'a' ended"),
        ({"config": {"task": "b", "args": {"x": "{{ item }}"}}, "for_each": {"items": [1]}}, "the expression in"),
        ({"on_failure": {"action": "terminate", "message": "no"}}, "`message` of what the failure of step 'b' does"),
        ({"on_failure": {"action": "fallback", "fallback": 5}}, "a fallback that is no activity"),
        ({"on_failure": {"action": "pause"}}, "what the failure of step 'b' does"),
        ({"bulkhead": {"max_concurrent": 1}}, "a bulkhead that not every activity has"),
        ({"rate_limit": {"limit": 1, "per": 1}}, "a rate limit of step 'b'"),
        ({"compensate": {"type": "noop", "timeout": 5}}, "how the undoing of step 'b' is run"),
        ({"config": {"task": "b", "available": {"x": 1}}}, "which values a task may take"),
    ],
)
def test_what_a_step_says_and_the_dialect_cannot_is_named(step: dict[str, Any], what: str) -> None:
    first = {"name": "a", "type": "python", "config": {"task": "a", "args": {}}}
    second = {"name": "b", "type": "python", "config": {"task": "b", "args": {}}, "depends_on": ["a"], **step}
    said = written(native(steps=[first, second]))[1]
    assert any(each.startswith(what) for each in said), said
