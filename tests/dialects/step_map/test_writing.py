"""Step maps written from the canonical model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.dialects.dialect import Writing
from stepwell.dialects.step_map.writing import write
from stepwell.dialects.writing import as_text
from stepwell.dialects.writing import write as write_text
from tests.dialects.meaning import definition_of as native
from tests.dialects.meaning import meaning
from tests.dialects.step_map.documents import PARALLEL, SIMPLE, definition_of, step_map


def written(document: Any) -> Any:
    """A step map, read and written again; nothing of it may be unsaid."""
    writing = Writing(definition_of(document))
    made = write(writing)
    assert writing.unsaid == []
    return made


def unsaid(text: str) -> list[str]:
    """What of a native document a step map cannot say."""
    writing = Writing(native(text))
    write(writing)
    return [f"{each.weight}: {each.what}" for each in writing.unsaid]


def test_an_untouched_step_map_is_written_as_it_was_to_the_byte() -> None:
    text = json.dumps(SIMPLE)
    assert write_text(definition_of(text), "step-map").text == text


def test_what_flows_by_itself_is_not_written() -> None:
    made = written(PARALLEL)
    assert made["steps"]["process_a"] == {"depends_on": ["input_a"]}
    assert made["steps"]["ai_analysis"] == {
        "type": "ai",
        "input": {"prompt": "Analyze data"},
        "depends_on": ["process_a", "process_b"],
    }
    assert made["steps"]["output"] == {"type": "output", "depends_on": ["ai_analysis"]}
    assert made.keys() == {"id", "steps"}


def test_what_a_step_lacks_it_lacks_again() -> None:
    made = written(step_map(a={"type": "input", "input": {"source": "x"}}, b={"type": "ai"}))
    assert made["steps"] == {"a": {"type": "input", "input": {"source": "x"}}, "b": {"type": "ai"}}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "a", "{{ x }}", "}}", "{{ '{{' }}", "{%", "é"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y", "{{"]), inner, max_size=2),
    max_leaves=4,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("transform"),
            "field": st.sampled_from(["x", "x.y", "*"]),
            "operation": st.sampled_from(["uppercase", "trim"]),
        },
        optional={"if_missing": st.just("fail")},
    ),
    max_size=2,
)
INPUTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "input": st.fixed_dictionaries({}, optional={"data": VALUES, "source": st.just("web")}),
    "process": st.fixed_dictionaries({}, optional={"data": VALUES, "rules": RULES}),
    "ai": st.fixed_dictionaries(
        {}, optional={"prompt": st.sampled_from(["p", "{{ p }}"]), "data": VALUES, "model": st.just("m")}
    ),
    "output": st.fixed_dictionaries({}, optional={"data": VALUES, "destination": st.just("stdout")}),
    "data_validation": st.fixed_dictionaries(
        {"validation_schema": st.just({"type": "object"})}, optional={"data": VALUES}
    ),
    "default": st.dictionaries(st.sampled_from(["x", "data", "{{"]), VALUES, max_size=2),
    "custom": st.dictionaries(st.sampled_from(["x", "data"]), VALUES, max_size=2),
    "MyTask": st.dictionaries(st.sampled_from(["x", "data"]), VALUES, max_size=2),
}
NAMES = ["a", "b-b", "input", "d", "e"]


@st.composite
def retries(draw: st.DrawFn) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if draw(st.booleans()):
        keys["max_retries"] = draw(st.integers(0, 5))
    if draw(st.booleans()):
        delays = {"base_delay": st.sampled_from([0, 1, 1.0, 0.5, "2s"]), "max_delay": st.sampled_from([60, "5m", 7.5])}
        keys["retry"] = draw(
            st.fixed_dictionaries({}, optional={**delays, "retryable_errors": st.sampled_from(["OSError", ["A", "B"]])})
        )
    return keys


@st.composite
def step_maps(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    steps: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(sorted(INPUTS)))
        earlier = draw(st.lists(st.sampled_from(sorted(steps)), unique=True, max_size=3)) if steps else []
        steps[name] = {"type": kind, "input": draw(INPUTS[kind]), "depends_on": earlier, **draw(retries())}
        if draw(st.booleans()):
            steps[name]["timeout"] = draw(st.sampled_from([1, 0.25, "3m"]))
    whole = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "version": st.sampled_from(["1.0.0", "2.1.0"]),
                "description": st.just("words"),
                "max_parallel_steps": st.integers(1, 5),
            },
        )
    )
    return {"id": draw(st.sampled_from(["w", "my workflow", "7"])), **whole, **draw(retries()), "steps": steps}


@given(step_maps())
def test_a_step_map_that_is_written_means_what_it_meant(document: dict[str, Any]) -> None:
    text = as_text(written(document), "json")
    assert meaning(definition_of(text)) == meaning(definition_of(document))


@given(step_maps())
def test_writing_changes_nothing_that_was_written_once(document: dict[str, Any]) -> None:
    once = written(document)
    assert written(once) == once


# From native documents

HEAD = 'apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: "1.0.0"}\n'


def test_a_native_document_that_a_step_map_can_say_is_said() -> None:
    text = HEAD + (
        "spec:\n"
        "  steps:\n"
        "    - {name: a, type: input, config: {data: {x: 1}}}\n"
        "    - {name: b, type: process, depends_on: a, config: {data: '{{ steps.a.output.collected_data }}'},"
        " retry: {max_attempts: 3, backoff: constant, initial_delay: 2s}}\n"
        "    - {name: c, type: output, depends_on: [{step: b, on: success}], join: all, config: {data: 1}}\n"
    )
    writing = Writing(native(text))
    assert write(writing) == {
        "id": "w",
        "max_retries": 0,
        "steps": {
            "a": {"type": "input", "input": {"data": {"x": 1}}},
            "b": {"depends_on": ["a"], "max_retries": 2, "retry": {"base_delay": "2s", "max_delay": "2s"}},
            "c": {"type": "output", "input": {"data": 1}, "depends_on": ["b"]},
        },
    }
    assert writing.unsaid == []


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("{steps: [{name: a, type: http, config: {url: 'http://x'}}]}", ["lost: a step of type 'http'"]),
        ("{steps: [{name: a, type: noop}]}", ["lost: a step of type 'noop'"]),
        (
            "{steps: [{name: a, type: input, config: {data: '{{ input.x }}'}}]}",
            ["lost: the expression in `data` of step 'a'"],
        ),
        ("{steps: [{name: a, type: input, config: {data: 1}, when: 'true'}]}", ["lost: `when` of step 'a'"]),
        (
            "{steps: [{name: a, type: input, config: {data: 1}, parallel: true}]}",
            ["dropped: `parallel`, which changes nothing"],
        ),
        (
            "{steps: [{name: a, type: input, config: {data: 1}, retry: {backoff: linear, jitter: 0.5}}]}",
            ["lost: waits that do not double", "lost: `jitter` of a retry policy"],
        ),
        (
            "{config: {timeout: 5m}, vars: {x: 1}, input: {schema: {}}, output: {values: {y: 1}}, steps: [%s]}",
            [
                "lost: `timeout` of the workflow",
                "lost: variables",
                "lost: an output other than the results of all steps",
            ],
        ),
        (
            "{steps: [%s, {name: b, type: output, config: {data: 2}, depends_on: {step: a, on: failure}, join: any}]}",
            ["lost: `join: any` of step 'b'", "lost: that step 'b' depends on `failure` of 'a'"],
        ),
        (
            "{steps: [%s, {name: b, type: ai, config: {prompt: x}, depends_on: a}]}",
            ["lost: that step 'b' gets other data than that of those it depends on"],
        ),
        (
            "{steps: [{name: a, type: transform, config: {value: 1}}]}",
            ["lost: that step 'a' gets something else than the results of those it depends on"],
        ),
    ],
)
def test_what_a_step_map_cannot_say_is_named(spec: str, what: list[str]) -> None:
    collect = "{name: a, type: input, config: {data: 1}}"
    assert unsaid(HEAD + f"spec: {spec.replace('%s', collect)}\n") == what
