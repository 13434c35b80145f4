"""What is found wrong with task graphs, and where it stands."""

from __future__ import annotations

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import graph, tasks

B = "{name: b, action: core.noop}"

KNOWN = Known(tasks={"ops.build", "ops.deploy"}, step_types=set(), workflows={"ops.release"})


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
        tasks("{name: a, action: ops.x, retry: {count: 1, delay: 5, max_delay: 2}}"),
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


@pytest.mark.parametrize(
    ("head", "code", "line"),
    [
        ("ref: a.b\nversion: 1.0\n", "bad-version", 2),
        ("ref: a.b\n", "missing-key", 1),
        ("ref: 5\nversion: 1.0.0\n", "wrong-type", 1),
    ],
)
def test_the_tasks_are_looked_at_although_the_head_is_wrong(head: str, code: str, line: int) -> None:
    text = (
        f"{head}tasks: [{{name: a, action: core.noop, on_sucess: b, timeout: 12:30}}, {{name: a, action: core.noop}}]\n"
    )
    first, *others = load(Source("g.yaml", text)).diagnostics
    assert (first.code, first.span.line) == (code, line)
    assert {each.code for each in others} == {"unknown-key", "bad-duration", "duplicate-name"}


def test_everything_that_is_wrong_is_found_at_once() -> None:
    text = tasks(
        "{name: a, action: x, on_success: c, nope: 1}",
        "{name: batch, action: core.noop}",
        "{name: d, action: core.noop, on_success: e}",
        "{name: e, action: core.noop, on_success: d}",
    )
    assert {each[0] for each in found(text)} == {
        "unknown-key", "wrong-value", "unknown-step", "reserved-name", "cycle",
    }  # fmt: skip


def test_what_to_do_is_said_in_the_words_of_task_graphs() -> None:
    circle = graph(tasks("{name: a, action: core.noop, on_success: b}", "{name: b, action: core.noop, on_success: a}"))
    assert [each.hint for each in load(Source("g.yaml", circle)).diagnostics][-1] == (
        "take one of the ways out, or give a task of the cycle `max_visits`"
    )


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
