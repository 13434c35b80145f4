"""Definitions as task graphs: what was read is written so that it is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.dialect import Writing
from stepwell.dialects.task_graph.writing import write
from stepwell.dialects.writing import as_text
from stepwell.dialects.writing import write as write_in
from tests.dialects.meaning import definition_of, meaning
from tests.dialects.task_graph.running import graph

EXAMPLES = Path(__file__).parents[3] / "examples" / "dialects" / "task-graph"
NAMES = ("a", "b", "c", "d")


def again(definition: WorkflowDefinition) -> WorkflowDefinition:
    """The definition that is read from what is written of one, of which nothing may be left unsaid."""
    writing = Writing(definition)
    document = write(writing)
    assert writing.unsaid == []
    return definition_of(as_text(document, "yaml"))


def check(text: str) -> None:
    definition = definition_of(text)
    assert meaning(again(definition)) == meaning(definition)


@pytest.mark.parametrize("name", ["deploy.yaml", "release.yaml", "packs/delivery/workflows/nightly.yaml"])
def test_the_examples_are_written_as_they_were_read(name: str) -> None:
    check((EXAMPLES / name).read_text())


def test_an_untouched_definition_is_its_own_text() -> None:
    text = (EXAMPLES / "deploy.yaml").read_text()
    assert write_in(definition_of(text), "task-graph").text == text


EVERYTHING = [
    "parameters: {a: {type: string, required: true, secret: true}}",
    "vars: [{n: 1}, {m: '{{ vars.n }}'}]",
    "config: {region: eu}",
    "output: {n: {type: integer}}\noutput_map: {n: '{{ vars.n ? 1 : 2 }}'}\nvars: {n: 1}",
    "timeout: 90\nenabled: false\ncancellation_policy: cancel_running\ntags: [x]\ndescription: d",
    "on_error: [{name: tell, action: core.echo, input: {message: '{{ error.message }}'}}]",
    "triggers: [{event: a.b, filter: {x: 1}, map: {a: '{{ event.payload.x }}'}}, {schedule: {every: 60}}]",
]


@pytest.mark.parametrize("head", EVERYTHING)
def test_the_head_is_written(head: str) -> None:
    check(graph(f"{head}\ntasks: [{{name: t, action: core.noop}}]"))


TASKS = [
    "action: core.echo, input: {message: 'hi {{ vars.n }}'}",
    "action: core.sleep, input: {seconds: 5}",
    "action: core.pause",
    "action: core.ask, input: {prompt: P, default: null, response_schema: {go: {type: boolean}}}, timeout: 60",
    "action: core.http, input: {url: 'http://x', query_params: {a: 1}, json_body: {b: 1}}",
    "action: stepwell.emit_event, input: {type: t}",
    "action: stepwell.python, input: {task: f, args: {x: 1}}",
    "type: workflow, action: ops.release, input: {v: 1}",
    "action: ops.build, input: {x: '{{ keystore.token }}'}, output: {y: '{{ response.z }}'}",
    "type: parallel, tasks: [{name: x, action: core.noop, on_success: fail}, {name: y, action: core.noop}]",
    "action: ops.do, with_items: '{{ vars.n }}', batch_size: 3, concurrency: 2, publish: [x, {y: '{{ vars.x }}'}]",
    "action: ops.do, with_items: {items: [1, 2], when: '{{ item > 1 }}'}, next: [{publish: [all]}]",
    "action: ops.do, retry: {count: 3, delay: 2, backoff: exponential, max_delay: 60}",
    "action: ops.do, retry: {count: 1, delay: 0.5, on_error: \"{{ task.t.error.type == 'x' }}\"}",
    "action: ops.do, next: [{when: '{{ failed() }}', do: retry}]",
    "action: ops.do, next: [{when: '{{ succeeded() and result().n < 3 }}', do: retry}, {do: [noop]}]",
    "action: ops.do, retry: {count: 5}, next: [{when: '{{ result().n < 3 }}', do: retry}]",
    "action: ops.do, repeat: {until: '{{ result().done }}', max_iterations: 5, delay: 2}",
    "action: ops.do, when: '{{ vars.n > 1 }}', timeout: 1.5, delay: 3",
    "action: ops.do, on_success: fail, on_failure: fail, on_timeout: fail",
    "action: ops.do, next: [{when: '{{ failed() }}', publish: {x: '{{ result() }}'}, do: continue}]",
]


@pytest.mark.parametrize("task", TASKS)
def test_each_kind_of_task_is_written(task: str) -> None:
    check(graph(f"vars: {{n: [1]}}\ntasks:\n  - {{name: t, {task}}}\n"))


_CONDITIONS = st.sampled_from([
    "{{ succeeded() }}", "{{ failed() }}", "{{ timed_out() }}", "{{ skipped() }}", "{{ vars.n > 1 }}",
    "{{ succeeded() and n > 1 }}", "{{ failed() or n > 2 and n < 5 }}", "{{ timed_out() and n == 1 }}",
    "{{ not failed() }}", "{{ succeeded() or failed() }}", "{{ result().x == 'y' }}", "n > 3 ? n > 4 : n > 5",
    "{{ task.a.status == 'timeout' }}", "{{ failed() and not timed_out() }}", "{{ timed_out() or n }}",
    "{{ not (failed() and timed_out()) }}",
])  # fmt: skip


@st.composite
def ways(draw: st.DrawFn, later: tuple[str, ...]) -> dict[str, Any]:
    """The keys that say where a task leads; only to later ones, so that there are no cycles."""
    targets = st.lists(st.sampled_from((*later, "fail")), min_size=1, max_size=2, unique=True)
    command = st.sampled_from([["noop"], ["continue"], ["retry"], "noop", None])
    match draw(st.integers(0, 3)):
        case 0:
            keys = draw(
                st.lists(st.sampled_from(["on_success", "on_failure", "on_complete", "on_timeout"]), unique=True)
            )
            return {key: draw(targets | st.just("fail")) for key in keys}
        case 1 if later:
            chosen = st.sampled_from(later)
            branches: list[Any] = [
                {"when": draw(_CONDITIONS), "next": draw(chosen)} for _ in range(draw(st.integers(1, 2)))
            ]
            return {"decision": [*branches, {"default": draw(chosen)}], "on_failure": "fail"}
        case 2:
            legacy = draw(st.sampled_from(["on_success", "on_failure", "on_complete"]))
            nested = st.fixed_dictionaries({"when": _CONDITIONS, "next": st.sampled_from((*later, "fail"))})
            inner = draw(targets | st.tuples(nested, st.just({"do": "fail"})).map(list))
            return {legacy: [{"when": draw(_CONDITIONS), "do": inner}], "on_timeout": draw(targets)}
        case _:
            entries = []
            for _ in range(draw(st.integers(1, 3))):
                entry: dict[str, Any] = {"do": draw(targets | command)}
                if draw(st.booleans()):
                    entry["when"] = draw(_CONDITIONS)
                if draw(st.booleans()) and entry["do"] != ["retry"]:
                    entry["publish"] = draw(
                        st.sampled_from([["x"], [{"x": "{{ result() }}"}], {"x": 1, "y": "{{ n }}"}])
                    )
                entries.append({key: value for key, value in entry.items() if value is not None})
            return {"next": entries}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    tasks = []
    for position, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        task: dict[str, Any] = {"name": name, "action": draw(st.sampled_from(["core.noop", "ops.do", "core.ask"]))}
        if draw(st.booleans()):
            task["when"] = draw(st.sampled_from(["{{ n > 1 }}", "vars.n", True]))
        if draw(st.booleans()):
            task["with_items"] = "{{ range(3) }}"
        if draw(st.booleans()):
            task["retry"] = {"count": draw(st.integers(1, 100)), "delay": draw(st.integers(0, 5))}
        if draw(st.booleans()):
            task["publish"] = [{"x": f"{{{{ task.{name}.result }}}}"}]
        tasks.append({**task, **draw(ways(NAMES[position + 1 : 4]))})
    names = {task["name"] for task in tasks}
    return {"ref": "t.t", "version": "1.0.0", "vars": {"n": 1}, "tasks": [_within(task, names) for task in tasks]}


def _within(value: Any, names: set[str]) -> Any:
    """The value without tasks that are not there."""
    if isinstance(value, dict):
        return {key: _within(part, names) if key != "name" else part for key, part in value.items()}
    if isinstance(value, list):
        return [_within(part, names) for part in value if not (part in NAMES and part not in names)]
    return "fail" if value in NAMES and value not in names else value


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_any_task_graph_is_written_so_that_it_is_read_again(document: dict[str, Any]) -> None:
    check(as_text(document, "yaml"))


NATIVE = 'apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: t.t, version: "1.0.0"}\nspec:\n'


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (
            "steps: [{name: a, type: loop, config: {count: 3, steps: [{name: b, type: noop}]}}]",
            "'a', a step of type loop",
        ),
        ("steps: [{name: a, type: noop, compensate: {type: noop}}]", "what undoes 'a'"),
        ("steps: [{name: a, type: noop, mutex: m}]", "the lock that 'a' holds"),
        ("steps: [{name: a, type: noop, on_failure: {action: continue}}]", "the action `on_failure` of 'a'"),
        ("config: {deadline: 5}\n  steps: [{name: a, type: noop}]", "the deadline"),
        ("config: {strict_failures: true}\n  steps: [{name: a, type: noop}]", "that a handled failure is a failure"),
        ("steps: [{name: a, type: noop}, {name: b, type: noop}]", "that a failure starts nothing new"),
        (
            "compensation: {steps: [{name: u, type: noop}]}\n  steps: [{name: a, type: noop}]",
            "how completed steps are undone",
        ),
        ("steps: [{name: a, type: noop, retry: {max_attempts: 3, jitter: 0.1}}]", "the jitter of the retries of 'a'"),
        (
            "steps: [{name: a, type: noop, retry: {max_attempts: 3, retry_on: timeout}}]",
            "which types of error 'a' is tried",
        ),
        ("steps: [{name: batch, type: noop}]", "the name 'batch', which means something else there"),
        (
            "steps: [{name: a, type: noop, next: [{to: b, delay: 5}]}, {name: b, type: noop}]",
            "the delay of an edge of 'a'",
        ),
        ("steps: [{name: a, type: noop, for_each: {items: [1], on_error: continue}}]", "that items of 'a' may fail"),
    ],
)
def test_what_a_task_graph_cannot_say_is_noted(spec: str, what: str) -> None:
    writing = Writing(definition_of(f"{NATIVE}  {spec}\n"))
    write(writing)
    assert [each for each in writing.unsaid if what in each.what], writing.unsaid


def test_a_chain_of_native_steps_is_said_whole() -> None:
    spec = (
        "config: {retry_policy: {max_attempts: 3, initial_delay: 2s}}\n  steps:\n"
        "    - {name: a, type: transform, config: {value: '{{ input.x }}'}}\n"
        "    - {name: b, type: my_task, depends_on: [a], config: {y: '{{ steps.a.output }}'}, on_success: c}\n"
        "    - {name: c, type: wait, config: {until: '2026-01-01T00:00:00Z'}, when: input.x > 1}\n"
    )
    writing = Writing(definition_of(f"{NATIVE}  {spec}"))
    document = write(writing)
    assert writing.unsaid == []
    assert document["tasks"] == [
        {"name": "a", "action": "stepwell.transform", "input": {"value": "{{ parameters.x }}"},
         "retry": {"count": 2, "delay": 2, "backoff": "exponential", "on_error": "{{ error.retryable }}"}},
        {"name": "b", "action": "stepwell.my_task", "input": {"y": "{{ task.a.result }}"},
         "depends_on": ["a"], "on_success": "c",
         "retry": {"count": 2, "delay": 2, "backoff": "exponential", "on_error": "{{ error.retryable }}"}},
        {"name": "c", "action": "stepwell.wait", "input": {"until": "2026-01-01T00:00:00Z"},
         "when": "{{ parameters.x > 1 }}"},
    ]  # fmt: skip
