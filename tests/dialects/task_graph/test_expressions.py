"""Expressions of task graphs, and the native ones that mean the same; and back."""

from __future__ import annotations

import pytest

from stepwell.definition.model import Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.task_graph.expressions import Names, Purpose, language
from stepwell.dialects.task_graph.saying import Saying
from stepwell.dialects.task_graph.ternary import read_expression
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.functions import Function
from stepwell.expression.grammar import FUNCTIONS
from stepwell.expression.unparsing import unparse
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import graph

NAMES = Names(
    variables=frozenset({"n", "count", "config"}),
    parameters=frozenset({"hosts", "n"}),
    iterated=frozenset({"roll"}),
    groups={"both": ("one", "two")},
)
ITEM = (
    "{{'task': '{0}', 'status': 'timeout' if steps.{0}.timed_out else steps.{0}.status, "
    "'output': default(steps.{0}.output, none)}}"
)


def native(text: str, task: str | None = "t", purpose: Purpose = "", *, apart: bool = False) -> str:
    return language(NAMES, task, purpose, timeouts_apart=apart).text(f"{{{{ {text} }}}}")[3:-3]


SAME = {
    "parameters.hosts[0].name": "input.hosts[0].name",
    "parameters.hosts[-1]": "input.hosts[-1]",
    "vars.n": "vars.n",
    "variables.n": "vars.n",
    "workflow.n": "vars.n",
    "n": "vars.n",
    "hosts": "input.hosts",
    "count": "vars.count",
    "count(hosts, 1)": "count(input.hosts, 1)",
    "task.a.result.x": "steps.a.output.x",
    "tasks.a.output.x": "steps.a.output.x",
    "task.a.data.x": "steps.a.output.x",
    "task.a.x": "steps.a.output.x",
    "task['a-b'].result": "steps['a-b'].output",
    "task.a.error.type": "steps.a.error.type",
    "task.a.status": "'timeout' if steps.a.timed_out else steps.a.status",
    "task.roll.result.results": "steps.roll.items",
    "task.roll.results": "steps.roll.items",
    "task.roll.total_count": "length(steps.roll.items)",
    "task.roll.failed_items": "filter(steps.roll.items, status='failed')",
    "task.roll.result": "{'results': steps.roll.items, 'total': length(steps.roll.items)}",
    "task.both.result": "{'results': [" + ITEM.format("one") + ", " + ITEM.format("two") + "]}",
    "item.name": "item.name",
    "index + 1": "index + 1",
    "system.workflow_start": "execution.workflow_start",
    "system.execution_id": "execution.execution_id",
    "system.timestamp": "now()",
    "pack.config.region": "vars.config.region",
    "config.region": "vars.config.region",
    "kv.get_secret('token')": "secrets.token",
    "kv.get_secret('my-token')": "secrets['my-token']",
    "keystore.token": "secrets.token",
    "n > 1 ? 'a' : 'b'": "'a' if vars.n > 1 else 'b'",
    "match('^a', n)": "match(vars.n, '^a')",
    "n | match('^a')": "vars.n | match('^a')",
    "cancelled()": "false",
    "not (n in hosts)": "not vars.n in input.hosts",
    "n not in hosts and n % 2 == 0": "vars.n not in input.hosts and vars.n % 2 == 0",
    "hosts | map(attribute='name') | join(', ')": "input.hosts | map(attribute='name') | join(', ')",
    "hosts | filter(up=true) | first": "input.hosts | filter(up=true) | first",
    "n | default(null)": "vars.n | default(null)",
}


@pytest.mark.parametrize("text", sorted(SAME))
def test_each_expression_has_a_native_one(text: str) -> None:
    assert native(text) == SAME[text]


@pytest.mark.parametrize(
    ("text", "task", "purpose", "expected"),
    [
        ("result().x", "t", "publish", "response.x"),
        ("result().x", "t", "edge", "result().x"),
        ("result.x", "t", "retry", "error.details.x"),
        ("result()", "roll", "edge", "{'results': steps.roll.items, 'total': length(steps.roll.items)}"),
        ("task.t.error.type", "t", "retry", "error.type"),
        ("task.a.error.type", "t", "retry", "steps.a.error.type"),
        ("event.payload.x", None, "rule", "event.data.x"),
    ],
)
def test_some_mean_something_else_by_where_they_stand(text: str, task: str, purpose: Purpose, expected: str) -> None:
    assert native(text, task, purpose) == expected


def test_failed_is_not_about_timeouts_where_they_are_told_apart() -> None:
    assert native("failed() and n > 1", apart=True) == "failed() and not timed_out() and vars.n > 1"
    assert native("failed() and not timed_out()", apart=True) == "failed() and not timed_out()"


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("nothing + 1", "Variable not found: nothing", 3),
        ("1 + kv.get('x')", "there is no store of keys here", 7),
        ("kv.get_secret(n)", "takes the name of a secret as text", 3),
        ("system.identity.login", "who started the workflow is not recorded", 3),
        ("event.payload", "Variable not found: event", 3),
    ],
)
def test_what_means_nothing_is_refused_where_it_stands(text: str, said: str, at: int) -> None:
    with pytest.raises(ExpressionSyntaxError) as refused:
        native(text)
    assert said in refused.value.message
    assert refused.value.offset is not None
    assert refused.value.offset >= at


def test_the_configuration_is_refused_where_no_pack_brings_one() -> None:
    with pytest.raises(ExpressionSyntaxError, match="the configuration of the pack is not known here"):
        language(Names()).text("{{ pack.config.x }}")


@pytest.mark.parametrize("name", [
    "upper", "lower", "trim", "append", "prepend", "join", "first", "last", "default", "from_json", "to_json", "filter",
    "map", "list", "slice", "batch", "string", "number", "int", "bool", "type_of", "length", "keys", "values", "abs",
    "floor", "ceil", "round", "min", "max", "sum", "split", "replace", "starts_with", "ends_with", "match", "contains",
    "reversed", "sort", "unique", "flat", "zip", "range", "index_of", "count", "merge", "chunks", "now", "uuid",
    "result", "succeeded", "failed", "timed_out",
])  # fmt: skip
def test_every_function_of_task_graphs_is_there(name: str) -> None:
    known: dict[str, Function] = dict(FUNCTIONS)
    assert name in known or name in ("result", "succeeded", "failed", "timed_out")


TERNARIES = {
    "a ? b : c": "b if a else c",
    "a ? b : c ? d : e": "b if a else d if c else e",
    "a ? b ? 1 : 2 : 3": "(1 if b else 2) if a else 3",
    "f(x ? 1 : 2, y)": "f(1 if x else 2, y)",
    "{'k': a ? b : c, 'z': 1}": "{'k': b if a else c, 'z': 1}",
    "x[a ? 0 : 1]": "x[0 if a else 1]",
    "x[a ? 0 : 1:]": "x[0 if a else 1:]",
    "[1, a == '?' ? 'a?b' : 2]": "[1, 'a?b' if a == '?' else 2]",
    "a or b ? 1 : 2": "1 if a or b else 2",
    "f(k=a ? 1 : 2)": "f(k=1 if a else 2)",
    "(a ? b : c) + 1": "(b if a else c) + 1",
}


@pytest.mark.parametrize("text", sorted(TERNARIES))
def test_a_question_mark_reaches_to_the_bracket_around_it(text: str) -> None:
    assert unparse(read_expression(text, 0, "")[0]) == TERNARIES[text]


@pytest.mark.parametrize("text", ["a ? b", "a ? : c", "? 1 : 2", "a ?", "(a ? b) : c", "a ? b : ", "?" * 60])
def test_half_a_question_mark_is_refused(text: str) -> None:
    with pytest.raises(ExpressionSyntaxError):
        read_expression(text, 0, "")


def test_what_stands_behind_an_expression_is_plain_text() -> None:
    assert (
        language(NAMES).text("{{ n ? 1 : 2 }} isn't it? {{ n }}") == "{{ 1 if vars.n else 2 }} isn't it? {{ vars.n }}"
    )


def said(text: str, step: Step | None = None, purpose: Purpose = "", *, apart: bool = False) -> str:
    definition = definition_of(graph("tasks: [{name: a, action: core.noop}]"))
    saying = Saying(Writing(definition), NAMES)
    written: str = saying.template(f"{{{{ {text} }}}}", (), step, purpose, timeouts_apart=apart)
    return written[3:-3]


@pytest.mark.parametrize("text", sorted(SAME))
def test_reading_what_was_written_gives_the_same_again(text: str) -> None:
    assert native(said(SAME[text])) == SAME[text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.a.status", "'failed' if task.a.timed_out else task.a.status"),
        ("steps.roll.output", "map(task.roll.result.results, attribute='output')"),
        ("steps.both.output", "{'one': task.one.result, 'two': task.two.result}"),
        ("execution.id", "system.execution_id"),
        ("execution.started_at", "system.workflow_start"),
        ("secrets.token", "keystore.token"),
        ("match(vars.n, '^a')", "match('^a', vars.n)"),
    ],
)
def test_native_expressions_are_said_in_the_words_of_task_graphs(text: str, expected: str) -> None:
    assert said(text) == expected


def test_native_failed_includes_timeouts() -> None:
    assert said("failed()", apart=True) == "failed() or timed_out()"
    assert said("failed() and not timed_out()", apart=True) == "failed() and not timed_out()"


def test_an_expression_over_events_cannot_be_said() -> None:
    definition = definition_of(graph("tasks: [{name: a, action: core.noop}]"))
    writing = Writing(definition)
    Saying(writing, NAMES).template("{{ event.data.x }}", ("a",), definition.steps[0])
    assert [(each.path, each.what, each.weight) for each in writing.unsaid] == [
        (("a",), "an expression of 'a': a task graph reads no events", "lost")
    ]
