"""Task graphs as the native workflows that mean the same."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.model import Edge, Step, WorkflowDefinition
from stepwell.dialects.loading import load
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import graph, tasks

B = "{name: b, action: core.noop}"

KNOWN = Known(tasks={"ops.build", "ops.deploy"}, step_types=set(), workflows={"ops.release"})


def one(task: str, **more: str) -> Step:
    """The step of the only task."""
    head = "".join(f"{key}: {value}\n" for key, value in more.items())
    (step,) = definition_of(graph(f"{head}tasks:\n  - {{name: t, {task}}}")).steps
    return step


def with_known(text: str, known: Known) -> WorkflowDefinition:
    """The definition in a text, where so much is known outside of it."""
    loaded = load(Source("graph.yaml", graph(text)), known=known)
    assert loaded.definition is not None, [finding.message for finding in loaded.diagnostics]
    return loaded.definition


def edges(task: str) -> list[tuple[str, Any, tuple[str, ...]]]:
    """The edges of a task beside which there are `a` and `b`: outcome, condition, targets."""
    text = tasks(f"{{name: t, action: core.noop, {task}}}", "{name: a, action: core.noop}", B)
    return [_shown(edge) for edge in definition_of(graph(text)).steps[0].edges]


def _shown(edge: Edge) -> tuple[str, Any, tuple[str, ...]]:
    return edge.on, edge.when, edge.to


def test_the_head_of_a_workflow() -> None:
    definition = definition_of(
        'ref: ops.all\nlabel: All\nversion: "2.0.0"\ndescription: Everything\ntags: [x, y]\n'
        "cancellation_policy: cancel_running\nenabled: false\ntimeout: 90\n"
        "output: {n: {type: integer, required: true}}\noutput_map: {n: '{{ vars.n }}'}\n"
        "vars: [{n: 1}, {m: '{{ vars.n + 1 }}'}]\n"
        "on_error: [{name: tell, action: core.echo, input: {message: '{{ error.message }}'}}]\n"
        "tasks: [{name: a, action: core.noop}]\n"
    )
    config = definition.config
    assert (definition.name, definition.version, definition.description) == ("ops.all", "2.0.0", "Everything")
    assert (definition.tags, definition.vars) == (("x", "y"), (("n", 1), ("m", "{{ vars.n + 1 }}")))
    assert (config.cancellation, config.enabled, config.timeout, config.failure_mode) == (
        "cancel_running", False, 90_000_000, "drain",
    )  # fmt: skip
    assert definition.output_schema == {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
    }  # fmt: skip
    assert (definition.output_values, definition.dialect) == ({"n": "{{ vars.n }}"}, "task-graph")
    assert [step.name for step in config.on_error.steps] == ["tell"]


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        (
            "{a: {type: string, required: true, secret: true}, b: {type: integer, default: 1}}",
            {"type": "object", "properties": {"a": {"type": "string", "secret": True},
             "b": {"type": "integer", "default": 1}}, "required": ["a"]},
        ),
        ("{type: object, properties: {a: {}}, required: [a]}",
         {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        ("{type: {type: string}}", {"type": "object", "properties": {"type": {"type": "string"}}}),
        (
            "{o: {type: object, properties: {x: {type: string, required: true}}}}",
            {"type": "object", "properties": {"o": {"type": "object", "properties": {"x": {"type": "string"}},
             "required": ["x"]}}},
        ),
        ("{}", {"type": "object", "properties": {}}),
    ],
)  # fmt: skip
def test_parameters_are_a_schema_or_written_one_by_one(written: str, schema: dict[str, Any]) -> None:
    assert (
        definition_of(graph(f"parameters: {written}\ntasks: [{{name: a, action: core.noop}}]")).input_schema == schema
    )


@pytest.mark.parametrize(
    ("task", "type_", "config"),
    [
        ("action: core.noop, input: {message: hi}", "noop", {}),
        ("action: core.sleep, input: {seconds: 5}", "wait", {"for": 5}),
        ("action: core.pause max_pause=60", "wait", {"for": 60}),
        ("action: core.pause", "approval", {"prompt": "Go on?"}),
        ("action: core.inquiry, input: {prompt: P, users: [ann], ttl: 5}", "approval",
         {"prompt": "P", "assigned_to": ["ann"], "timeout": "5m"}),
        ("action: core.http, input: {url: 'http://x', params: {a: 1}, json: {b: 2}}", "http",
         {"url": "http://x", "query": {"a": 1}, "body": {"b": 2}}),
        ("action: stepwell.emit_event, input: {type: t}", "emit_event", {"type": "t"}),
        ("action: ops.build, input: {v: '{{ vars.n }}'}", "ops.build", {"v": "{{ vars.n }}"}),
        ("action: \"ops.build a=1 b='x y' c=[1,2] d={{ vars.n }} e=word f=true\"", "ops.build",
         {"a": 1, "b": "x y", "c": [1, 2], "d": "{{ vars.n }}", "e": "word", "f": True}),
        ("type: workflow, action: ops.release, input: {v: 1}", "workflow", {"name": "ops.release", "input": {"v": 1}}),
    ],
)  # fmt: skip
def test_actions_are_steps(task: str, type_: str, config: dict[str, Any]) -> None:
    step = one(task, vars="{n: 1}")
    assert (step.type, step.config) == (type_, config)


def test_an_action_is_a_task_or_a_workflow_of_that_name() -> None:
    text = tasks("{name: a, action: ops.build}", "{name: b, action: ops.release, input: {v: 1}}")
    task, workflow = with_known(text, KNOWN).steps
    assert (task.type, workflow.type, workflow.config) == (
        "ops.build", "workflow", {"name": "ops.release", "input": {"v": 1}},
    )  # fmt: skip


def test_a_task_without_a_pack_is_one_when_it_is_registered() -> None:
    (step,) = with_known("tasks: [{name: a, action: build}]", Known(tasks={"build"})).steps
    assert step.type == "build"


def test_a_registered_task_goes_before_what_is_built_in() -> None:
    (step,) = with_known("tasks: [{name: a, action: core.echo}]", Known(tasks={"core.echo"})).steps
    assert step.type == "core.echo"


def test_tasks_side_by_side_are_a_group() -> None:
    step = one("type: parallel, tasks: [{name: x, action: core.noop, timeout: 5}, {name: y, action: core.noop}]")
    assert step.type == "parallel_group"
    ((name, (first, second)),) = step.blocks
    assert (name, first.name, first.timeout, second.name) == ("steps", "x", 5_000_000, "y")


@pytest.mark.parametrize(
    ("retry", "policy"),
    [
        ("{count: 3, delay: 2, backoff: exponential, max_delay: 60}",
         (4, "exponential", 2_000_000, 60_000_000, "failed()")),
        ("{count: 1}", (2, "constant", 0, None, "failed()")),
        ("{count: 2, delay: 0.5, backoff: linear, on_error: \"{{ task.t.error.type == 'timeout' }}\"}",
         (3, "linear", 500_000, None, "failed() and error.type == 'timeout'")),
        ("{count: 2, on_error: result.code == 5}", (3, "constant", 0, None, "failed() and error.details.code == 5")),
    ],
)  # fmt: skip
def test_a_count_of_retries_is_one_try_less(retry: str, policy: tuple[Any, ...]) -> None:
    said = one(f"action: core.noop, retry: {retry}").retry
    assert said is not None
    assert (said.max_attempts, said.backoff, said.initial_delay, said.max_delay, said.when) == policy


def test_the_command_retry_alone_means_ten_tries() -> None:
    said = one("action: core.noop, next: [{when: '{{ failed() and error.type == 1 }}', do: retry}]").retry
    assert said is not None
    assert (said.max_attempts, said.initial_delay, said.when) == (10, 0, "failed() and error.type == 1")


@pytest.mark.parametrize(
    "items",
    ["with_items: '{{ vars.n }}', batch_size: 3, concurrency: 2",
     "with_items: {items: '{{ vars.n }}', batch_size: 3, concurrency: 2}"],
)  # fmt: skip
def test_items_are_said_in_two_ways(items: str) -> None:
    each = one(f"action: ops.do, {items}", vars="{n: []}").for_each
    assert each is not None
    assert (each.items, each.batch_size, each.concurrency, each.as_name) == ("{{ vars.n }}", 3, 2, "item")


def test_ten_items_run_at_once_unless_something_else_is_said_and_items_may_be_left_out() -> None:
    each = one("action: ops.do, with_items: {items: [1, 2], when: '{{ item > 1 }}'}").for_each
    assert each is not None
    assert (each.concurrency, each.when) == (10, "item > 1")


@pytest.mark.parametrize(
    ("publish", "values"),
    [
        ("[{x: '{{ result().a }}'}, {y: 1}]", (("x", "{{ response.a }}"), ("y", 1))),
        ("[x]", (("x", "{{ response }}"),)),
        ("{x: '{{ task.t.result.a }}', y: '{{ x }}'}", (("x", "{{ steps.t.output.a }}"), ("y", "{{ vars.x }}"))),
        ('"x=1 y={{ result().b }}"', (("x", 1), ("y", "{{ response.b }}"))),
    ],
)
def test_variables_are_published_in_several_forms(publish: str, values: tuple[Any, ...]) -> None:
    assert one(f"action: ops.do, publish: {publish}").publish == values


def test_a_whole_result_of_items_is_what_became_of_them() -> None:
    assert one("action: ops.do, with_items: [1], publish: [x]").publish == (
        ("x", "{{ {'results': steps.t.items, 'total': length(steps.t.items)} }}"),
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("on_success: a", [("success", None, ("a",))]),
        ("on_success: [a, b]", [("success", None, ("a",)), ("success", None, ("b",))]),
        ("on_failure: a, on_timeout: b", [("failure", None, ("a",)), ("timeout", None, ("b",))]),
        ("on_complete: a", [("complete", None, ("a",))]),
        ("on_success: [{when: '{{ 1 > 0 }}', do: a}]", [("complete", "succeeded() and 1 > 0", ("a",))]),
        ("on_failure: [{when: '{{ 1 > 0 }}', do: [{when: '{{ 2 > 0 }}', next: a}, b]}]",
         [("complete", "failed() and 1 > 0", ("b",)), ("complete", "failed() and 1 > 0 and 2 > 0", ("a",))]),
        ("next: [{do: [a]}]", [("complete", None, ("a",))]),
        ("next: [{when: '{{ succeeded() }}', do: [a, b]}]", [("success", None, ("a",)), ("success", None, ("b",))]),
        ("next: [{when: '{{ failed() }}', do: a}, {when: '{{ timed_out() }}', do: b}]",
         [("failure", None, ("a",)), ("timeout", None, ("b",))]),
        ("next: [{when: '{{ 1 > 0 }}', do: a}]", [("complete", "(succeeded() or failed()) and 1 > 0", ("a",))]),
        ("next: [{when: '{{ failed() }}', do: a}, {when: '{{ timed_out() and 1 > 0 }}', do: b}]",
         [("complete", "failed() and not timed_out()", ("a",)), ("complete", "timed_out() and 1 > 0", ("b",))]),
        ("next: [{when: '{{ skipped() }}', do: a}]", [("complete", "skipped()", ("a",))]),
        ("next: [{when: '{{ failed() }}', do: noop}]", [("complete", "failed()", ())]),
        ("next: [{when: '{{ failed() }}', do: continue}]", [("complete", "failed()", ())]),
        ("next: [{do: 'a, b'}]", [("complete", None, ("a",)), ("complete", None, ("b",))]),
        ("decision: [{when: '{{ 1 > 0 }}', next: a}, {default: b}]",
         [("success", "1 > 0", ("a",)), ("success", None, ("b",))]),
    ],
)  # fmt: skip
def test_ways_are_edges(written: str, expected: list[tuple[str, Any, tuple[str, ...]]]) -> None:
    assert edges(written) == expected


def test_a_way_that_only_publishes_leaves_a_failure_as_it_is() -> None:
    (edge,) = one("action: ops.do, next: [{when: '{{ failed() }}', publish: [{x: 1}]}]").edges
    assert (edge.to, edge.handles, edge.publish) == ((), False, (("x", 1),))


def test_next_wins_over_the_keys_of_the_first_generation() -> None:
    text = tasks("{name: a, action: core.noop, next: [{do: b}], on_success: c}")
    loaded = load(
        Source("g.yaml", graph(text + "  - {name: b, action: core.noop}\n  - {name: c, action: core.noop}\n"))
    )
    assert loaded.definition is not None
    assert [edge.to for edge in loaded.definition.steps[0].edges] == [("b",)]
    (finding,) = loaded.diagnostics
    assert (finding.severity, finding.message) == (
        "warning", "task 'a' has both `next` and `on_success`: `next` wins, and `on_success` has no effect",
    )  # fmt: skip


def test_a_join_waits_for_so_many() -> None:
    text = tasks("{name: a, action: core.noop, on_success: c}", "{name: b, action: core.noop, on_success: c}")
    joins = [
        definition_of(graph(f"{text}  - {{name: c, action: core.noop{join}}}\n")).steps[2].join
        for join in ("", ", join: 1", ", join: all")
    ]
    assert joins == [None, 1, "all"]


def test_a_task_may_wait_for_others_by_name() -> None:
    text = tasks("{name: a, action: core.noop}", "{name: b, action: core.noop, depends_on: [a]}")
    (dependency,) = definition_of(graph(text)).steps[1].depends_on
    assert (dependency.step, dependency.on) == ("a", "satisfied")


def test_the_command_fail_is_a_step_behind_all_others() -> None:
    text = tasks("{name: a, action: core.noop, on_failure: fail, on_success: fail}", "{name: b, action: core.noop}")
    definition = definition_of(graph(text))
    assert [(step.name, step.type) for step in definition.steps] == [
        ("a", "noop"), ("b", "noop"), ("a__fail", "fail"),
    ]  # fmt: skip


def test_the_configuration_of_a_pack_is_a_variable() -> None:
    task = "{name: a, action: ops.do, input: {r: '{{ pack.config.region }}{{ config.region }}'}}"
    definition = definition_of(graph(f"config: {{region: eu}}\n{tasks(task)}"))
    assert definition.vars == (("config", {"region": "eu"}),)
    assert definition.steps[0].config == {"r": "{{ vars.config.region }}{{ vars.config.region }}"}
