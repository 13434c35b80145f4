"""Task graphs as the native workflows that mean the same, and what is found wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.model import Edge, Step, WorkflowDefinition
from stepwell.dialects.loading import load
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import graph

B = "{name: b, action: core.noop}"

KNOWN = Known(tasks={"ops.build", "ops.deploy"}, step_types=set(), workflows={"ops.release"})


def tasks(*written: str) -> str:
    """The text of these tasks."""
    return "tasks:\n" + "".join(f"  - {task}\n" for task in written)


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


# What is wrong


def found(text: str) -> list[tuple[str, str, str]]:
    """(code, message, what stands there) of every finding about a document."""
    source = Source("graph.yaml", graph(text))
    lines = source.text.split("\n")
    return [
        (each.code, each.message, lines[each.span.line - 1][each.span.column - 1 :])
        for each in load(source).diagnostics
    ]


WRONG = {
    "schema": (
        "parameters: {type: array}\ntasks: [{name: a, action: core.noop}]\n",
        "bad-schema",
        "the parameters of a workflow are an object; this schema is of type 'array'",
        "array}",
    ),
    "target": (
        tasks("{name: a, action: core.noop, on_success: c}", B),
        "unknown-step",
        "Task 'a' references non-existent task 'c'",
        "c}",
    ),
    "target in next": (
        tasks("{name: a, action: core.noop, next: [{do: [b, c]}]}", B),
        "unknown-step",
        "Task 'a' references non-existent task 'c'",
        "c]}]}",
    ),
    "dependency": (
        tasks("{name: a, action: core.noop, depends_on: [c]}"),
        "unknown-step",
        "Task 'a' references non-existent task 'c'",
        "c]}",
    ),
    "names": (tasks(B, B), "duplicate-name", "there are two tasks 'b'; the first is in line 4", "b, action"),
    "reserved": (
        tasks("{name: batch, action: core.noop}"),
        "reserved-name",
        "Task name 'batch' is reserved: it means something else in a task graph",
        "batch",
    ),
    "command as name": (
        tasks("{name: noop, action: core.noop}"),
        "reserved-name",
        "Task name 'noop' is reserved",
        "noop",
    ),
    "no tasks": ("tasks: []\n", "no-steps", "a workflow needs a task", "[]"),
    "tasks of another kind": ("tasks: 5\n", "wrong-type", "`tasks`: expected a list of tasks, saw the number 5", "5"),
    "no action": (tasks("{name: a}"), "missing-key", "task 'a' has no `action`", "{name: a}"),
    "action": (
        tasks("{name: a, action: build}"),
        "wrong-value",
        "task 'a': 'build' is not the reference of an action; expected `pack.action`",
        "build",
    ),
    "inline": (
        'tasks:\n  - {name: a, action: "core.echo message"}\n',
        "wrong-value",
        "task 'a': expected `name=value`, saw 'message'",
        "message",
    ),
    "given twice": (
        'tasks:\n  - {name: a, action: "core.echo message=1", input: {message: 2}}\n',
        "conflicting-keys",
        "task 'a' is given 'message' twice",
        "message=1",
    ),
    "input of a built-in": (
        tasks("{name: a, action: core.echo, input: {mesage: 1}}"),
        "unknown-key",
        "`core.echo` takes no `mesage`",
        "mesage",
    ),
    "count": (
        tasks("{name: a, action: core.noop, retry: {count: 101}}"),
        "wrong-value",
        "`count`: must be at most 100, saw the number 101",
        "101",
    ),
    "no retries": (
        tasks("{name: a, action: core.noop, retry: {count: 0}}"),
        "wrong-value",
        "`count`: must be at least 1, saw the number 0",
        "0",
    ),
    "delays": (
        tasks("{name: a, action: core.noop, retry: {count: 1, delay: 5, max_delay: 2}}"),
        "wrong-value",
        "task 'a': `retry.max_delay` is shorter than `retry.delay`",
        "2",
    ),
    "batch": (
        tasks("{name: a, action: core.noop, with_items: [1], batch_size: 0}"),
        "wrong-value",
        "`batch_size`: must be at least 1, saw the number 0",
        "0",
    ),
    "concurrency": (
        tasks("{name: a, action: core.noop, with_items: [1], concurrency: 0}"),
        "wrong-value",
        "`concurrency`: must be at least 1, saw the number 0",
        "0",
    ),
    "items": (
        tasks("{name: a, action: core.noop, with_items: 5}"),
        "wrong-type",
        "expected a list, or an expression that yields one; saw the number 5",
        "5",
    ),
    "defaults": (
        tasks("{name: a, action: core.noop, decision: [{default: b}, {default: b}]}", B),
        "several-defaults",
        "a decision has one default",
        "{default: b}]",
    ),
    "branch": (
        tasks("{name: a, action: core.noop, decision: [{next: b}, {default: b}]}", B),
        "missing-key",
        "a branch needs `when`, or `default: true`",
        "{next: b}, ",
    ),
    "command in a decision": (
        "tasks:\n  - name: a\n    action: core.noop\n    decision: [{default: noop}]\n",
        "wrong-value",
        "a decision leads to a task, or to `fail`",
        "noop}]",
    ),
    "cycle": (
        tasks("{name: a, action: core.noop, on_success: b}", "{name: b, action: core.noop, on_success: a}"),
        "cycle",
        "the steps wait for each other: a -> b -> a",
        "a, action",
    ),
    "entry": (
        tasks(
            "{name: a, action: core.noop, on_success: b, max_visits: 2}", "{name: b, action: core.noop, on_success: a}"
        ),
        "unreachable-step",
        "no task can start: something leads to each of them",
        "- {name: a",
    ),
    "unreachable": (
        tasks(
            "{name: e, action: core.noop}",
            "{name: a, action: core.noop, on_success: b, max_visits: 2}",
            "{name: b, action: core.noop, on_success: a}",
        ),
        "unreachable-step",
        "nothing ever starts 'a': only steps of its own cycle lead to it",
        "a, action",
    ),
    "join": (
        tasks("{name: a, action: core.noop, on_success: b}", "{name: b, action: core.noop, join: 2}"),
        "impossible-join",
        "`join: 2` can never be met",
        "2}",
    ),
    "join of another kind": (
        tasks("{name: a, action: core.noop, join: some}"),
        "wrong-type",
        "`join`: expected `all` or a number of tasks, at least 1, saw 'some'",
        "some",
    ),
    "parallel": (tasks("{name: a, type: parallel}"), "no-steps", "parallel task 'a' has no `tasks`", "{name: a"),
    "tasks of an action": (
        tasks("{name: a, action: core.noop, tasks: []}"),
        "misplaced-key",
        "task 'a' has `tasks`, which only a parallel task has",
        "tasks: []",
    ),
    "action of a group": (
        tasks("{name: a, type: parallel, action: core.noop, tasks: [{name: b, action: core.noop}]}"),
        "misplaced-key",
        "`action` has no meaning in a parallel task",
        "action: core.noop, tasks",
    ),
    "timeout": (
        tasks("{name: a, action: core.noop, timeout: 0}"),
        "bad-duration",
        "`timeout`: must be longer than zero",
        "0",
    ),
    "variable": (
        tasks("{name: a, action: core.echo, input: {message: '{{ nothing }}'}}"),
        "unknown-name",
        "Variable not found: nothing",
        "nothing",
    ),
    "unclosed": (
        tasks("{name: a, action: core.echo, input: {message: '{{ vars'}}"),
        "expression-syntax",
        "this '{{' is not closed",
        "{{ vars",
    ),
    "keys": (
        tasks("{name: a, action: core.echo, input: {message: '{{ kv.get(1) }}'}}"),
        "expression-syntax",
        "there is no store of keys here, so `kv.get` means nothing",
        "",
    ),
    "identity": (
        tasks("{name: a, action: core.echo, input: {message: '{{ system.identity.login }}'}}"),
        "expression-syntax",
        "who started the workflow is not recorded",
        "",
    ),
    "pack": (
        tasks("{name: a, action: core.echo, input: {message: '{{ config.x }}'}}"),
        "unknown-name",
        "the configuration of the pack is not known here",
        "config.x",
    ),
    "ternary": (
        tasks("{name: a, action: core.echo, input: {message: '{{ 1 ? 2 }}'}}"),
        "expression-syntax",
        "this '?' has no ':'",
        "? 2",
    ),
    "key": (
        tasks("{name: a, action: core.noop, on_sucess: b}", B),
        "unknown-key",
        "the key `on_sucess` is not known here",
        "on_sucess",
    ),
    "retry and more": (
        tasks("{name: a, action: core.noop, next: [{when: '{{ failed() }}', do: [retry, b]}]}", B),
        "conflicting-keys",
        "with `retry` the task runs again",
        "{when",
    ),
    "nowhere": (
        tasks("{name: a, action: core.noop, next: [{when: '{{ failed() }}'}]}"),
        "no-effect",
        "this way leads nowhere and publishes nothing",
        "{when",
    ),
    "published twice": (
        tasks("{name: a, action: core.noop, publish: [{x: 1}, {x: 2}]}"),
        "conflicting-keys",
        "the variable 'x' is published twice here",
        "2}",
    ),
    "published nothing": (
        tasks("{name: a, action: core.noop, publish: [5]}"),
        "wrong-type",
        "expected variables as `- name: value`, saw the number 5",
        "5]",
    ),
    "worker": (
        tasks("{name: a, action: core.noop, worker_selector: {x: 1}}"),
        "no-effect",
        "`worker_selector` means nothing here",
        "worker_selector",
    ),
    "variables": (
        "vars: [{x: 1}, {x: 2}]\ntasks: [{name: a, action: core.noop}]\n",
        "duplicate-key",
        "the variable 'x' is declared twice",
        "2}",
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_wrong_is_found_where_it_stands(case: str) -> None:
    text, code, message, place = WRONG[case]
    findings = found(text)
    assert [each[0] for each in findings] == [code], findings
    assert findings[0][1].startswith(message) or message in findings[0][1]
    assert findings[0][2].startswith(place)


def test_an_unknown_action_is_refused_naming_the_nearest() -> None:
    (finding,) = load(Source("g.yaml", graph("tasks: [{name: a, action: ops.biuld}]")), known=KNOWN).diagnostics
    assert finding.code == "unknown-action"
    assert finding.hint == "did you mean 'ops.build'?"


def test_a_number_is_no_version() -> None:
    (finding,) = load(Source("g.yaml", "ref: a.b\nversion: 1.0\ntasks: [{name: a, action: core.noop}]\n")).diagnostics
    assert (finding.code, finding.span.line) == ("bad-version", 2)


def test_everything_that_is_wrong_is_found_at_once() -> None:
    text = tasks("{name: a, action: x, on_success: c, nope: 1}", "{name: batch, action: core.noop}")
    assert [each[0] for each in found(text)] == [
        "unknown-key",
        "wrong-value",
        "unknown-step",
        "reserved-name",
    ] or sorted(each[0] for each in found(text)) == ["reserved-name", "unknown-key", "unknown-step", "wrong-value"]


def test_a_finding_of_a_native_check_stands_in_the_source() -> None:
    text = "parameters: {n: {type: intger}}\ntasks:\n  - {name: a, action: core.sleep, input: {seconds: soon}}\n"
    assert [(code, place[:6]) for code, _, place in found(text)] == [
        ("bad-schema", "intger"),
        ("bad-duration", "soon}}"),
    ]


@pytest.mark.parametrize(
    "text",
    ["ref: a.b\nversion: 1.0.0\ntasks: {a: {action: core.noop}}\n", "tasks: [{name: a, action: core.noop}]\n"],
)
def test_a_task_graph_is_told_from_others(text: str) -> None:
    findings = load(Source("g.yaml", text)).diagnostics
    assert {finding.code for finding in findings} <= {"wrong-type", "missing-key"}
    assert findings


def test_keys_of_a_step_map_beside_tasks_are_ambiguous() -> None:
    text = "id: x\nref: a.b\nversion: 1.0.0\nsteps: {a: {type: input}}\ntasks: [{name: a, action: core.noop}]\n"
    (finding,) = load(Source("g.yaml", text)).diagnostics
    assert finding.code == "ambiguous-dialect"


def test_nothing_is_known_of_tasks_without_a_catalogue() -> None:
    definition: WorkflowDefinition = definition_of(graph("tasks: [{name: a, action: ops.whatever}]"))
    assert definition.steps[0].type == "ops.whatever"


def test_an_action_is_not_taken_for_a_misspelt_step_type() -> None:
    assert found("tasks: [{name: a, action: ops.notify}, {name: b, action: ops.shel}]") == []
