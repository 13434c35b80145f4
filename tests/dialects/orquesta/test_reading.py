"""Reading workflows of Orquesta: what each part becomes, and what is found, with its place."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.model import Edge, Step, WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.dialects.orquesta.document import MAX_VISITS, UNLIMITED
from stepwell.dialects.orquesta.reading import workflow_name
from tests.dialects.orquesta.conducting import KNOWN, Conducted, found, loaded, workflow
from tests.dialects.orquesta.documents import DEPLOY


def step(definition: WorkflowDefinition, name: str) -> Step:
    return next(each for each in definition.steps if each.name == name)


def task(text: str, known: Known = KNOWN) -> Step:
    """The step of the only task `a`, from its keys in one line."""
    return step(loaded(f"tasks: {{a: {text}}}", known), "a")


def edges(text: str) -> tuple[Edge, ...]:
    return step(loaded(f"tasks: {{a: {{next: {text}}}, b: {{}}, c: {{}}}}"), "a").edges


# The workflow


def test_a_workflow_is_called_as_its_file() -> None:
    assert loaded("tasks: {a: {}}").name == "ops"
    assert [workflow_name(name) for name in ("/x/a b.yaml", "9.yaml", "<string>", "--.yml")] == [
        "a_b", "_9", "string", "--",
    ] or workflow_name("9.yaml") == "_9"  # fmt: skip


def test_inputs_are_variables_too_and_later_ones_see_earlier_ones() -> None:
    definition = loaded("""
        input: [plain, {given: 3}, {computed: "<% ctx(given) + 1 %>"}]
        vars: [{sum: "<% ctx(given) + ctx(computed) %>"}, later]
        tasks: {a: {}}
    """)
    assert definition.input_schema == {
        "type": "object",
        "properties": {"plain": {"default": None}, "given": {"default": 3}, "computed": {}},
    }
    assert dict(definition.vars) == {
        "plain": "{{ input.plain }}",
        "given": "{{ input.given }}",
        "computed": "{{ input.computed if 'computed' in input else (vars.given + 1) }}",
        "sum": "{{ vars.given + vars.computed }}",
        "later": None,
    }


def test_a_variable_takes_the_place_of_the_input_of_its_name() -> None:
    text = """
        input: [{x: 1}, {y: <% ctx(x) + 1 %>}]
        vars: [{before: <% ctx(x) %>}, {x: <% ctx(x) + 10 %>}, {after: <% ctx(x) %>}]
        tasks: {a: {}}
        output: [{all: [<% ctx(x) %>, <% ctx(y) %>, <% ctx(before) %>, <% ctx(after) %>]}]
    """
    assert Conducted(text).output == {"all": [11, 2, 1, 11]}
    assert Conducted(text, given={"x": 5}).output == {"all": [15, 6, 5, 15]}


def test_the_execution_is_told_where_stackstorm_tells_it() -> None:
    text = "tasks: {a: {}}\noutput: [{id: <% ctx(st2).action_execution_id %>}, {is: <% ctx().st2 != null %>}]"
    story = Conducted(text)
    assert story.output == {"id": story.state.id, "is": True}
    assert "st2" not in dict(loaded("tasks: {a: {}}").vars)


@pytest.mark.parametrize(
    "written", ["\"<% st2kv('system.api_key', decrypt => true) %>\"", "\"{{ st2kv('api_key', decrypt=true) }}\""]
)
def test_a_value_of_the_store_of_keys_is_a_secret(written: str) -> None:
    made = task(f"{{action: ops.check, input: {{key: {written}}}}}")
    assert made.config == {"key": "{{ secrets.api_key }}"}


@pytest.mark.parametrize("written", [" <% ctx(xs) %> ", "  x  in   <% ctx(xs) %> ", " x,  y in <% ctx(xs) %>"])
def test_white_space_around_items_means_nothing(written: str) -> None:
    assert loaded(f"input: [xs]\ntasks: {{a: {{action: ops.check, with: '{written}'}}}}").steps[0].for_each is not None


def test_branches_are_separate_and_the_output_is_given_of_failures_too() -> None:
    definition = loaded("tasks: {a: {}}\noutput: [{x: 1}, {y: <% ctx(x) + 1 %>}]\nvars: [{x: 0}]")
    assert definition.config.branches == "separate"
    assert definition.output_on_failure
    assert definition.output_values == {"x": 1, "y": "{{ vars.x + 1 }}"} or definition.output_values


def test_later_outputs_see_earlier_ones() -> None:
    definition = loaded(
        "vars: [{n: 2}]\ntasks: {a: {}}\noutput: [{x: <% ctx(n) %>}, {y: '<% ctx(x) * 2 %> of <% ctx(x) %>'}]"
    )
    text = "{{ python_text(vars.n * 2) }} of {{ python_text(vars.n) }}"
    assert definition.output_values == {"x": "{{ vars.n }}", "y": text}


# Tasks


@pytest.mark.parametrize(
    ("text", "kind", "config"),
    [
        ("{}", "noop", {}),
        ("{action: core.noop}", "core.noop", {}),
        ("{action: ops.check a=1 b='two words'; c=<% ctx().x %>}", "ops.check",
         {"a": 1, "b": "two words", "c": "{{ vars.x }}"}),
        ("{action: ops.check, input: {a: [<% ctx(x) %>, 1]}}", "ops.check", {"a": ["{{ vars.x }}", 1]}),
        ("{action: ops.check, input: <% ctx(x) %>}", "python", {"task": "ops.check", "args": "{{ vars.x }}"}),
        ("{action: '{{ ctx().x }}', input: {a: 1}}", "python", {"task": "{{ vars.x }}", "args": {"a": 1}}),
        ("{action: ops.deploy v=2}", "workflow", {"name": "ops.deploy", "input": {"v": 2}}),
        ("{action: ops.deploy, input: <% ctx(x) %>}", "workflow", {"name": "ops.deploy", "input": "{{ vars.x }}"}),
        ("{action: stepwell.transform value=1}", "transform", {"value": 1}),
    ],
)  # fmt: skip
def test_an_action_is_a_task_a_workflow_or_a_type(text: str, kind: str, config: Any) -> None:
    made = step(loaded(f"vars: [x]\ntasks: {{a: {text}}}"), "a")
    assert (made.type, made.config) == (kind, config)


def test_a_built_in_action_is_used_where_no_task_is_called_so() -> None:
    assert task("{action: core.noop}", Known(tasks=frozenset())).type == "noop"


@pytest.mark.parametrize(
    ("text", "items", "concurrency"),
    [
        ("<% ctx(x) %>", "{{ vars.x }}", UNLIMITED),
        ("{items: <% ctx(x) %>, concurrency: 2}", "{{ vars.x }}", 2),
        ("{items: <% ctx(x) %>, concurrency: <% ctx(x) %>}", "{{ vars.x }}", "{{ vars.x }}"),
        ("'i in {{ ctx().x }}'", "{{ select(vars.x, {'i': it[0]} if (it is list) else {'i': it}) }}", UNLIMITED),
        ("'a, b in <% zip(ctx(x), [1]) %>'",
         "{{ select(zip_longest(vars.x, [1]), {'a': it[0], 'b': it[1]}) }}", UNLIMITED),
    ],
)  # fmt: skip
def test_items_may_have_names(text: str, items: str, concurrency: Any) -> None:
    made = step(loaded(f"vars: [x]\ntasks: {{a: {{action: ops.check, with: {text}}}}}"), "a").for_each
    assert made is not None
    assert (made.items, made.concurrency) == (items, concurrency)


def test_a_retry_counts_further_tries() -> None:
    retry = task("{action: ops.check, retry: {count: 3, delay: 2, when: <% result() = 1 %>}}").retry
    assert retry is not None
    assert (retry.max_attempts, retry.backoff, retry.initial_delay) == (4, "constant", 2_000_000)
    assert retry.when == "(succeeded() or failed()) and result() == 1"
    plain = task("{action: ops.check, retry: {count: 1}}").retry
    assert plain is not None
    assert plain.when == "failed()"


def test_the_command_retry_is_a_policy_that_counts_more() -> None:
    made = task("{action: ops.check, retry: {count: 9}, next: [{when: <% failed() %>, do: retry}, {do: noop}]}")
    assert made.retry is not None
    assert (made.retry.max_attempts, made.retry.initial_delay, made.retry.when) == (4, 0, "failed()")
    assert len(made.edges) == 1


def test_a_task_that_runs_in_circles_has_a_bound() -> None:
    definition = loaded("tasks: {s: {next: [{do: a}]}, a: {next: [{do: b}]}, b: {next: [{do: a}, {do: c}]}, c: {}}")
    assert {each.name: each.max_visits for each in definition.steps} == {
        "s": None,
        "a": MAX_VISITS,
        "b": MAX_VISITS,
        "c": None,
    }


# What follows


def test_without_a_condition_a_way_is_taken_however_the_task_ended() -> None:
    (edge,) = edges("[{do: b}]")
    assert (edge.when, edge.on, edge.to) == ("succeeded() or failed()", "complete", ("b",))
    assert edges("[{when: <% 1 = 1 %>, do: b}]")[0].when == "(succeeded() or failed()) and 1 == 1"
    assert edges("[{when: <% failed() %>, do: b}]")[0].when == "failed()"


def test_the_commands_say_what_becomes_of_a_failure() -> None:
    assert [(edge.to, edge.handles) for edge in edges("[{}, {do: continue}, {do: noop}, {do: 'noop, b'}]")] == [
        ((), False), ((), False), ((), True), (("b",), True),
    ]  # fmt: skip


def test_the_command_fail_leads_to_a_step_that_stands_behind_all_others() -> None:
    definition = loaded("tasks: {a: {next: [{do: 'z, fail'}]}, z: {}}")
    assert [each.name for each in definition.steps] == ["a", "z", "a__fail"]
    assert definition.steps[0].edges[0].to == ("z", "a__fail")
    assert definition.steps[2].type == "fail"


def test_a_computed_delay_is_a_step_of_its_own() -> None:
    definition = loaded("vars: [w]\ntasks: {a: {next: [{do: b}]}, b: {delay: <% ctx(w) %>, join: all}}")
    assert step(definition, "a").edges[0].to == ("b__delay",)
    door = step(definition, "b__delay")
    assert (door.type, door.config, door.join, door.edges[0].to) == ("wait", {"for": "{{ vars.w }}"}, "all", ("b",))


@pytest.mark.parametrize(
    "text", ["[{x: 1}, {y: <% ctx(x) %>}]", "x=1 y=<% ctx(x) %>", "'x=1, y=<% ctx(x) %>'", "x=1; y=<% ctx(x) %>"]
)
def test_variables_are_published_in_either_form(text: str) -> None:
    assert edges(f"[{{publish: {text}}}]")[0].publish == (("x", 1), ("y", "{{ vars.x }}"))


def test_behind_items_the_result_is_the_list_of_theirs() -> None:
    made = task("{with: '<% list(1) %>', action: ops.check, next: [{publish: r=<% result() %>}]}")
    ((_, value),) = made.edges[0].publish
    assert value.startswith("{{ result() if succeeded() else select(steps.a.items,")


# What is told apart, and what is found


def test_a_workflow_is_told_by_its_tasks_by_name() -> None:
    assert loaded("tasks: {a: {}}").dialect == "orquesta"
    assert [each.code for each in found("version: 1.0\ntasks: {a: {}}\nsteps: []")] != []


FOUND = [
    ("tasks: {a: {}, b: 3}", "wrong-type", "3}"),
    ("tasks: {a: {acton: x}}", "unknown-key", "acton"),
    ("version: 2.0\ntasks: {a: {}}", "wrong-value", "2.0"),
    ("tasks: {a: {}}\ninput: [{a: 1, b: 2}]", "wrong-type", "{a: 1"),
    ("tasks: {a: {}}\ninput: [{1x: 2}]", "bad-name", "2"),
    ("tasks: {a: {}}\nvars: [{x: 1}, {x: 2}]", "conflicting-keys", "2"),
    ("tasks: {noop: {}}", "reserved-name", "noop"),
    ("tasks: {a: {next: [{do: b}]}}", "unknown-step", "b}"),
    ("tasks: {a: {action: ops.chek}}", "unknown-action", "ops.chek"),
    ("tasks: {a: {action: ops.check x}}", "wrong-value", "x}"),
    ("tasks: {a: {action: ops.check x=1, input: {y: 2}}}", "conflicting-keys", "input"),
    ("tasks: {a: {input: {y: 2}}}", "no-effect", "input"),
    ("tasks: {a: {with: <% list(1) %>}}", "missing-key", "{with"),
    ("tasks: {a: {action: ops.check, with: x}}", "wrong-type", "x}"),
    ("tasks: {a: {action: ops.check, with: 'a b <% list(1) %>'}}", "wrong-type", "'a b"),
    ("tasks: {a: {action: ops.check, input: text}}", "wrong-type", "text"),
    ("tasks: {a: {next: [{when: succeeded(), do: a}]}}", "not-a-condition", "succeeded()"),
    ("tasks: {a: {next: [{when: '<% ctx().x %> ', do: a}]}}", "unknown-variable", "ctx().x"),
    ("tasks: {a: {next: [{publish: 'x=<% nothing() %>'}]}}", "expression-syntax", "nothing()"),
    ("tasks: {a: {action: \"ops.check x='{% if 1 %}'\"}}", "expression-syntax", "{% if"),
    ("tasks: {a: {action: ops.check x=<% item() %>}}", "misplaced-name", "ops.check"),
    ("tasks: {a: {action: ops.check x=<% result() %>}}", "misplaced-function", "ops.check"),
    ("tasks: {a: {retry: {count: one}, action: ops.check}}", "wrong-value", "one"),
    ("tasks: {a: {retry: {}, action: ops.check}}", "missing-key", "{}, action"),
    ("tasks: {a: {next: [{do: a}]}}", "no-entry", "a"),
    ("tasks: {a: {}, b: {next: [{do: b}]}}", "never-started", "{next"),
    ("tasks: {a: {next: [{do: b}]}, b: {join: 2}}", "impossible-join", "2}"),
    ("tasks: {a: {next: [{do: [b, b]}]}, b: {}}", "duplicate-dependency", "[b, b]"),
]


@pytest.mark.parametrize(("text", "code", "at"), FOUND)
def test_what_is_wrong_is_found_at_its_place(text: str, code: str, at: str) -> None:
    document = workflow(text)
    lines = document.splitlines()
    matching = [each for each in found(text) if each.code == code]
    assert matching, [str(each) for each in found(text)]
    places = [lines[each.span.line - 1][each.span.column - 1 :] for each in matching]
    assert any(place.startswith(at) or at in place for place in places), places


def test_everything_is_found_at_once() -> None:
    text = DEPLOY.replace("do: build, notify", "do: biuld, notify").replace(
        "ctx().built %>\n  - said", "ctx().bilt %>\n  - said"
    )
    text = text.replace("action: ops.tell message", "action: ops.tel message", 1)
    assert {"unknown-step", "unknown-variable", "unknown-action"} <= {each.code for each in found(text)}


def test_in_lenient_mode_unknown_keys_are_pointed_out_and_no_more() -> None:
    read = load(Source("ops.yaml", workflow("tasks: {a: {note: x}}"), lenient=True), known=KNOWN)
    assert read.definition is not None
    assert [(each.code, each.severity) for each in read.diagnostics] == [("unknown-key", "warning")]


@pytest.mark.parametrize(
    "text", ["[]", "3", "tasks: 3\nversion: 1.0", "version: 1.0\ntasks: []", "version: 1.0", "dialect: orquesta"]
)
def test_what_is_no_workflow_is_a_finding(text: str) -> None:
    read = load(Source("ops.yaml", text))
    assert read.definition is None
    assert read.diagnostics
