"""Writing workflows of Orquesta: what was read comes back as the same, and what cannot be said is named."""

from __future__ import annotations

import pytest

from stepwell.base.spans import Source
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.dialect import Writing
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from stepwell.dialects.orquesta.writing import write
from stepwell.dialects.writing import as_text
from stepwell.dialects.writing import write as write_as
from tests.dialects.meaning import definition_of, meaning
from tests.dialects.orquesta.conducting import KNOWN, Conducted, loaded, workflow
from tests.dialects.orquesta.documents import ALL, DEPLOY


def written(definition: WorkflowDefinition) -> tuple[str, list[str]]:
    """The document, and what in it would be missed when it runs."""
    writing = Writing(definition)
    text = as_text(write(writing), "yaml")
    return text, [each.what for each in writing.unsaid if each.weight == "lost"]


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_is_read_as_the_same(name: str) -> None:
    definition = loaded(ALL[name])
    text, lost = written(definition)
    assert lost == []
    assert meaning(load(Source("ops.yaml", text), known=KNOWN).definition) == meaning(definition)


@pytest.mark.parametrize("name", ALL)
def test_as_a_native_document_it_means_the_same(name: str) -> None:
    definition = loaded(ALL[name])
    native = as_text(document_of(definition), "yaml")
    assert meaning(load(Source("ops.yaml", native), known=KNOWN).definition) == meaning(definition)


def test_untouched_it_is_the_same_to_the_byte() -> None:
    assert write_as(loaded(DEPLOY), "orquesta").text == DEPLOY


def test_the_commands_are_written_as_such() -> None:
    text, _ = written(
        loaded("""
            tasks:
              a:
                action: ops.check
                next:
                  - when: <% succeeded() %>
                  - when: <% result().why = late %>
                    do: noop
                  - when: <% failed() %>
                    do: b, fail
              b:
                action: ops.check
        """)
    )
    assert "do: noop" in text
    assert "- fail" in text
    assert "__fail" not in text


NATIVE = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: order, version: "1.2.0", description: An order.}
spec:
  input: {schema: {type: object, properties: {id: {default: "o-1"}}}}
  steps:
  - {name: fetch, type: python, config: {task: ops.check, args: {id: "{{ input.id }}"}}}
  - {name: pay, type: ops.build, depends_on: fetch, config: {sum: "{{ steps.fetch.output.sum }}"}}
  - {name: ship, type: ops.tell, depends_on: fetch}
  - {name: close, type: noop, depends_on: [pay, ship]}
  output: {values: {sum: "{{ steps.fetch.output.sum }}"}}
"""


def test_a_native_workflow_runs_the_same_when_it_is_written_so() -> None:
    text, lost = written(definition_of(NATIVE, dialect="native"))
    assert lost == []
    story = Conducted(text, {"fetch": [{"sum": 7}]})
    assert (story.status, story.output) == ("completed", {"sum": 7})
    assert story.tasks == ["fetch", "pay", "ship"]
    assert story.given_to("pay") == {"sum": 7} or story.step("pay").input is None


def test_what_a_step_publishes_is_published_on_the_ways_behind_it() -> None:
    text = NATIVE.replace("config: {task: ops.check,", "publish: {n: '{{ response.sum }}'}, config: {task: ops.check,")
    story = Conducted(
        written(definition_of(text.replace("steps.fetch.output.sum", "vars.n")))[0], {"fetch": [{"sum": 7}]}
    )
    assert (story.status, story.output) == ("completed", {"sum": 7})


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("config: {timeout: 3s}\nsteps: [{name: a, type: noop}]", "the bound on active time"),
        ("config: {failure_mode: drain}\nsteps: [{name: a, type: noop}]", "that after a failure the rest runs on"),
        ("steps: [{name: a, type: noop}]\ntriggers: [{event: x}]", "what starts the workflow"),
        ("steps: [{name: a, type: shell, config: {command: ls}, timeout: 3s}]", "the timeout of 'a'"),
        ("steps: [{name: a, type: noop, when: 'input.x'}]", "the condition of 'a'"),
        ("steps: [{name: a, type: noop, delay: 500ms}]", "whole seconds"),
        ("steps: [{name: a, type: loop, config: {count: 2, steps: [{name: b, type: noop}]}}]", "a step of type loop"),
        (
            (
                "steps:\n- {name: a, type: noop, decision: [{when: 'input.x', next: b}, {default: b}]}\n"
                "- {name: b, type: noop}"
            ),
            "only the first way",
        ),
        ("steps: [{name: a, type: shell, config: {command: '{{ execution.id }}'}}]", "`execution` is not known"),
        (
            (
                "steps:\n- {name: a, type: noop, next: [{to: [b, c]}]}\n- {name: b, type: noop, publish: {x: 1}}\n"
                "- {name: c, type: noop}\nvars: {x: 0}"
            ),
            "share their variables",
        ),
        (
            (
                "steps:\n- {name: a, type: noop, next: [{to: c}]}\n- {name: b, type: noop, next: [{to: c}]}\n"
                "- {name: c, type: noop}"
            ),
            "runs once when several edges lead to it",
        ),
    ],
)
def test_what_cannot_be_said_is_named(spec: str, what: str) -> None:
    text = 'apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: x, version: "1.0.0"}\nspec:\n  '
    definition = definition_of(text + spec.replace("\n", "\n  "))
    _, lost = written(definition)
    assert any(what in each for each in lost), lost


def test_the_name_and_the_tags_are_only_missed_by_people() -> None:
    definition = loaded(workflow("tasks: {a: {}}"))
    writing = Writing(definition)
    write(writing)
    assert {each.weight for each in writing.unsaid} == {"dropped"}
