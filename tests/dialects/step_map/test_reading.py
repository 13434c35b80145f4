"""Step maps read into the canonical model, and what is found wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.base.durations import SECOND
from stepwell.base.spans import Source
from stepwell.definition.model import Dependency
from stepwell.dialects.loading import load
from stepwell.dialects.step_map.names import workflow_name
from stepwell.policy.retry import RetryPolicy
from tests.dialects.step_map.documents import (
    PARALLEL,
    SIMPLE,
    definition_of,
    findings,
    loaded,
    only_step,
    step_map,
)

INPUT: dict[str, Any] = {"type": "input", "input": {"data": {"x": 1}}}


def test_a_step_map_is_told_from_other_documents() -> None:
    definition = definition_of(SIMPLE)
    assert (definition.dialect, definition.name, definition.version) == ("step-map", "simple_workflow", "1.0.0")


def test_a_document_with_the_keys_of_two_dialects_is_ambiguous() -> None:
    (finding,) = loaded({**SIMPLE, "apiVersion": "workflow/v1"}).diagnostics
    assert finding.code == "ambiguous-dialect"
    assert "a step map (`id`, `steps` by name)" in finding.message


def test_a_document_may_say_that_it_is_one() -> None:
    assert definition_of({**SIMPLE, "dialect": "step-map"}).steps == definition_of(SIMPLE).steps


def test_a_step_map_may_be_yaml() -> None:
    text = "id: w\nsteps:\n  a: {type: input, input: {data: 1}}\n  b: {depends_on: a}\n"
    found = load(Source("w.yaml", text))
    assert found.definition is not None
    assert [step.type for step in found.definition.steps] == ["input", "process"]


# Retries and limits


def test_steps_are_tried_four_times_with_doubling_waits_unless_they_say_otherwise() -> None:
    assert definition_of(SIMPLE).config.retry == RetryPolicy(
        max_attempts=4, initial_delay=SECOND, multiplier=2.0, max_delay=60 * SECOND
    )
    assert definition_of(SIMPLE).config.failure_mode == "fail_fast"


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (5, 6)])
def test_a_step_says_how_often_it_is_tried_again(retries: int, attempts: int) -> None:
    retry = only_step(**INPUT, max_retries=retries).retry
    assert retry is not None
    assert (retry.max_attempts, retry.initial_delay) == (attempts, SECOND)


def test_a_step_says_how_long_it_waits() -> None:
    retry = only_step(**INPUT, retry={"base_delay": 0.5, "max_delay": "10s", "retryable_errors": "OSError"}).retry
    assert retry is not None
    assert (retry.initial_delay, retry.max_delay, retry.retry_on) == (SECOND // 2, 10 * SECOND, ("OSError",))
    assert retry.max_attempts == 4


def test_a_workflow_says_it_for_all_its_steps() -> None:
    document = {**step_map(a={**INPUT, "max_retries": 1}), "max_retries": 0, "retry": {"base_delay": 2}}
    definition = definition_of({**document, "max_parallel_steps": 2})
    retry = definition.steps[0].retry
    assert definition.config.retry is not None
    assert retry is not None
    assert definition.config.max_parallel_steps == 2
    assert (definition.config.retry.max_attempts, definition.config.retry.initial_delay) == (1, 2 * SECOND)
    assert (retry.max_attempts, retry.initial_delay) == (2, 2 * SECOND)


def test_a_step_has_a_timeout_in_seconds_or_words() -> None:
    assert only_step(**INPUT, timeout=1.5).timeout == 1_500_000
    assert only_step(**INPUT, timeout="2m").timeout == 120 * SECOND


def test_the_name_describes_what_has_no_description() -> None:
    assert definition_of({**SIMPLE, "name": "Simple"}).description == "Simple"
    assert definition_of({**SIMPLE, "name": "Simple", "description": "Shouts"}).description == "Shouts"


# Names


@pytest.mark.parametrize(
    ("identifier", "name"),
    [("simple", "simple"), ("a.b-c_1", "a.b-c_1"), ("my workflow", "my_workflow"), ("7f3a-b", "_7f3a-b"), ("é", "_")],
)
def test_an_id_that_is_no_name_becomes_one(identifier: str, name: str) -> None:
    assert workflow_name(identifier) == name
    assert definition_of({**SIMPLE, "id": identifier}).name == name


def test_a_long_id_becomes_a_name() -> None:
    assert definition_of({**SIMPLE, "id": "7" * 500}).name == "_" + "7" * 199


def test_a_step_may_be_called_like_what_expressions_call_something_else() -> None:
    definition = definition_of(step_map(input=INPUT, result={"type": "process", "depends_on": "input"}))
    assert definition.steps[1].config["data"] == "{{ steps.input.output.collected_data }}"


# Types


@pytest.mark.parametrize(
    ("written", "native"),
    [("input", "input"), ("Input", "input"), ("OUTPUT", "output"), ("Custom", "custom"), ("mytask", "MyTask")],
)
def test_types_are_found_in_whatever_case_they_are_written(written: str, native: str) -> None:
    assert only_step(type=written, input={"data": 1}).type == native


def test_a_step_without_a_type_processes() -> None:
    assert only_step(input={"data": 1}).type == "process"
    assert definition_of('{"id": "w", "steps": {"a": null}}').steps[0].type == "process"


def test_without_knowing_what_is_registered_a_type_stays_as_it_is_written() -> None:
    assert only_step(known=None, type="Special").type == "Special"


def test_a_misspelt_type_is_pointed_out_all_the_same() -> None:
    found = loaded(step_map(a={"type": "procces", "input": {"data": 1}}), known=None)
    assert [(each.code, each.hint) for each in found.warnings] == [("unrecognised-type", "did you mean 'process'?")]


def test_a_validation_checks_by_its_schema() -> None:
    schema = {"type": "object", "required": ["x"]}
    definition = definition_of(
        step_map(a=INPUT, v={"type": "data_validation", "input": {"validation_schema": schema}, "depends_on": "a"})
    )
    assert definition.steps[1].type == "validation"
    assert definition.steps[1].config == {"schema": schema, "data": "{{ steps.a.output.collected_data }}"}


def test_a_default_step_passes_on_what_it_is_given() -> None:
    definition = definition_of(step_map(a=INPUT, d={"type": "default", "input": {"n": 1}, "depends_on": "a"}))
    assert definition.steps[1].type == "transform"
    assert definition.steps[1].config == {"value": {"n": 1, "dependency_results": {"a": "{{ steps.a.output }}"}}}


# What flows where


def wired(kind: str, **dependencies: Any) -> Any:
    """What a step of a type is given that depends on these steps."""
    last = {"type": kind, "depends_on": list(dependencies), "input": {"prompt": "p"} if kind == "ai" else {}}
    *_, step = definition_of(step_map(**dependencies, last=last)).steps
    return step.config


AI: dict[str, Any] = {"type": "ai", "input": {"prompt": "p"}}
CUSTOM: dict[str, Any] = {"type": "custom"}
PROCESS: dict[str, Any] = {"input": {"data": {"y": 2}}}


def test_data_flows_from_the_one_dependency() -> None:
    assert wired("process", a=INPUT) == {"data": "{{ steps.a.output.collected_data }}"}
    assert wired("process", a=PROCESS) == {"data": "{{ steps.a.output.processed_data }}"}
    assert wired("ai", a=PROCESS)["data"] == "{{ steps.a.output.processed_data }}"
    assert wired("process", a=AI) == {"data": {"ai_response": "{{ steps.a.output.ai_response }}"}}
    assert wired("process", a=CUSTOM) == {
        "data": "{{ steps.a.output.processed_data | default(steps.a.output.collected_data) }}"
    }


def test_data_of_several_dependencies_is_merged_in_their_order() -> None:
    of_a, of_b = "{{ steps.a.output.collected_data }}", "{{ steps.b.output.processed_data }}"
    assert wired("process", a=INPUT, b=PROCESS) == {"data_from": [of_a, of_b]}
    assert wired("process", b=PROCESS, a=INPUT) == {"data_from": [of_b, of_a]}
    assert wired("ai", a=INPUT, b=AI)["data_from"] == [of_a, "{{ {'ai_response': steps.b.output.ai_response} }}"]
    assert wired("process", a=INPUT, b=CUSTOM)["data_from"] == [
        of_a,
        "{{ steps.b.output.processed_data | default(steps.b.output.collected_data) | default({}) }}",
    ]


def test_names_that_are_no_identifiers_are_quoted() -> None:
    assert wired("process", **{"a-b": INPUT}) == {"data": "{{ steps['a-b'].output.collected_data }}"}


def test_an_output_gets_all_results_by_name() -> None:
    assert wired("output", a=INPUT, b=AI) == {"data": {"a": "{{ steps.a.output }}", "b": "{{ steps.b.output }}"}}


def test_an_output_gives_nothing() -> None:
    assert wired("process", a={"type": "output"}) == {}


def test_a_registered_type_gets_the_results_of_its_dependencies() -> None:
    assert wired("custom", a=INPUT) == {"dependency_results": {"a": "{{ steps.a.output }}"}}
    assert only_step(type="custom", input={"n": 1}).config == {"n": 1, "dependency_results": {}}


def test_a_task_gets_results_only_when_it_depends_on_something() -> None:
    assert wired("mytask", a=INPUT) == {"dependency_results": {"a": "{{ steps.a.output }}"}}
    assert only_step(type="mytask", input={"n": 1}).config == {"n": 1}


def test_data_that_is_given_is_kept() -> None:
    assert definition_of(step_map(a=INPUT, b={"input": {"data": None}, "depends_on": "a"})).steps[1].config == {
        "data": None
    }


def test_braces_are_text() -> None:
    step = only_step(type="input", input={"data": {"x": ["{{ input.secret }}", "{% x %}"]}})
    assert step.config["data"] == {"x": ["{{ '{{' }} input.secret }}", "{% x %}"]}


def test_dependencies_are_a_list_or_a_name() -> None:
    for written in ("a", ["a"]):
        definition = definition_of(step_map(a=INPUT, b={"depends_on": written}))
        (dependency,) = definition.steps[1].depends_on
        assert isinstance(dependency, Dependency)
        assert (dependency.step, dependency.on) == ("a", "satisfied")
    assert only_step(**INPUT, depends_on=[]).depends_on == ()


# What is wrong


@pytest.mark.parametrize(
    ("steps", "code", "place", "words"),
    [
        ({}, "no-steps", (3, 11), "no steps"),
        ([], "wrong-type", (3, 11), "expected a mapping, saw a list"),
        ({"a": {"depends_on": ["a"]}}, "self-dependency", (6, 5), "'a' leads to itself"),
        ({"a": {"depends_on": "b"}, "b": {"depends_on": "a"}}, "cycle", (4, 8), "a -> b -> a"),
        ({"a": {"depends_on": ["zz"]}}, "unknown-step", (6, 5), "no step 'zz'"),
        ({"a": {"type": "proces"}}, "unknown-type", (5, 12), "no step type 'proces'"),
        ({"a": {"type": "http"}}, "unknown-type", (5, 12), "no step type 'http'"),
        ({"a": {"type": 7}}, "wrong-type", (5, 12), "expected text, saw the number 7"),
        ({"a": {"max_retries": -1}}, "wrong-value", (5, 19), "at least 0"),
        ({"a": {"max_retries": 1.5}}, "wrong-type", (5, 19), "a whole number"),
        ({"a": {"max_retries": True}}, "wrong-type", (5, 19), "a whole number"),
        ({"a": {"timeout": 0}}, "bad-duration", (5, 15), "longer than zero"),
        ({"a": {"retry": {"base_delay": -1}}}, "bad-duration", (6, 19), "-1"),
        ({"a": {"retry": {"base_delay": 100}}}, "wrong-value", (6, 19), "which is 1m"),
        ({"a": {"input": []}}, "wrong-type", (5, 13), "expected a mapping"),
        ({"a": []}, "wrong-type", (4, 8), "expected a mapping"),
        ({"a b": {}}, "bad-name", (4, 3), "is not a name"),
        ({"a": {"rules": []}}, "unknown-key", (5, 4), "`rules`"),
        ({"a": {"input": {"rules": [{"type": "filter"}]}}}, "wrong-value", (8, 15), "expected transform"),
        (
            {"a": {"input": {"rules": [{"type": "transform", "field": "x", "operation": "shout"}]}}},
            "wrong-value",
            (10, 20),
            "uppercase, lowercase",
        ),
    ],
)
def test_what_is_wrong_is_found_in_its_place(steps: Any, code: str, place: tuple[int, int], words: str) -> None:
    found = loaded({"id": "test", "steps": steps})
    assert found.definition is None
    finding = next(each for each in found.diagnostics if each.code == code)
    assert (finding.span.line, finding.span.column) == place
    assert words in finding.message


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    (finding,) = loaded(step_map(a={"type": "shout"})).diagnostics
    assert finding.hint == "the types are MyTask, ai, custom, data_validation, default, input, output, process"


def test_a_workflow_without_an_id_or_steps_says_so() -> None:
    assert findings('{"steps": {"a": {}}}') == [("missing-key", 1, 1)]
    assert findings('{"id": 5, "steps": {"a": {}}}') == [("wrong-type", 1, 8)]
    assert findings({"id": "w"}) == [("not-a-workflow", 1, 1)]


def test_all_that_is_wrong_is_found_at_once() -> None:
    document = step_map(a={"type": "nothing"}, b={"max_retries": "3"}, c={"depends": "a"})
    assert [code for code, *_ in findings(document)] == ["unknown-type", "wrong-type", "unknown-key"]


def test_circles_and_unknown_steps_are_found_beside_what_is_wrong_with_steps() -> None:
    text = (
        '{"id": "w", "steps": {"a": {"depends_on": "b", "max_retries": -1}, "b": {"depends_on": "a"},'
        ' "c": {"depends_on": ["c", "x"]}, "d": 5}}'
    )
    findings = load(Source("w.json", text)).diagnostics
    assert [each.code for each in findings] == [
        "cycle", "wrong-value", "self-dependency", "unknown-step", "wrong-type",
    ]  # fmt: skip
    hints = {each.code: each.hint for each in findings}
    assert hints["cycle"] == "take one of the names out of `depends_on`"
    assert "`max_retries`" in (hints["self-dependency"] or "")


def test_the_nearest_key_is_suggested() -> None:
    (finding,) = loaded(step_map(a={**INPUT, "dependson": []})).diagnostics
    assert finding.hint is not None
    assert "did you mean 'depends_on'" in finding.hint


def test_unknown_keys_are_warnings_when_lenient() -> None:
    document = step_map(a={"type": "input", "input": {"data": 1, "colour": "red"}, "icon": "x"})
    assert loaded(document).definition is None
    found = loaded(document, lenient=True)
    assert found.definition is not None
    assert [each.code for each in found.warnings] == ["unknown-key", "unknown-key"]


def test_data_that_hides_other_data_is_pointed_out() -> None:
    (finding,) = loaded(PARALLEL).diagnostics
    assert (finding.code, finding.severity) == ("overwritten-data", "warning")
    assert finding.message == ("'value' is given by 'process_a' and by 'process_b'; step 'ai_analysis' gets the latter")


def test_what_cannot_be_seen_is_not_pointed_out() -> None:
    merging = {"depends_on": ["a", "b"]}
    assert findings(step_map(a=INPUT, b=CUSTOM, c=merging)) == []
    assert findings(step_map(a=INPUT, b={"type": "input", "input": {"data": {"other": 1}}}, c=merging)) == []
    assert findings(step_map(a=INPUT, b=INPUT, c={**merging, "input": {"data": {}}})) == []
    assert [code for code, *_ in findings(step_map(a=AI, b=AI, c=merging))] == ["overwritten-data"]


def test_a_circle_of_steps_does_not_keep_the_reader_busy() -> None:
    steps = {"a": {"depends_on": "b"}, "b": {"depends_on": "a"}, "c": {"depends_on": ["a", "b"]}}
    assert "cycle" in [code for code, *_ in findings(step_map(**steps))]


def test_thousands_of_steps_are_read_in_a_moment() -> None:
    chain = {f"s{n}": {"depends_on": [f"s{n - 1}"]} for n in range(1, 3_000)}
    join = {"depends_on": ["s2999", "s2998"]}
    text = json.dumps(step_map(s0=INPUT, **chain, end=join))
    assert len(definition_of(text).steps) == 3_001
