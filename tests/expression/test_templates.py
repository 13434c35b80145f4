"""Templates: native types, text, recursion, constants, sharing."""

from __future__ import annotations

import sys
from subprocess import run
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.expression.compiled import Reference
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.grammar import FUNCTIONS, Grammar
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from tests.expression.rendering import evaluate, failure, refused, render, scope

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_one_expression_keeps_the_type_of_its_value(value: Any) -> None:
    rendered = render("{{ input.value }}", input={"value": value})
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<>"),
        (True, "<true>"),
        (3, "<3>"),
        (2.0, "<2.0>"),
        ("a", "<a>"),
        ([1, "a", None], '<[1,"a",null]>'),
        ({"a": {"b": False}}, '<{"a":{"b":false}}>'),
        ("ä ☃", "<ä ☃>"),
    ],
)
def test_in_text_null_is_empty_and_all_else_is_written_as_json(value: object, text: str) -> None:
    assert render("<{{ x }}>", x=value) == text


def test_text_may_hold_several_expressions() -> None:
    assert render("{{ a }}-{{ b + 1 }}{{ a }}", a="x", b=1) == "x-2x"


def test_white_space_around_an_expression_makes_it_text() -> None:
    assert render(" {{ n }}", n=1) == " 1"


@settings(deadline=None)
@given(JSON)
def test_what_holds_no_expression_comes_back_as_it_is(value: Any) -> None:
    template = compile_template(_without_braces(value))
    assert template.constant
    assert template.render(Scope({})) == _without_braces(value)


def _without_braces(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("{{", "")
    if isinstance(value, list):
        return [_without_braces(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_braces(item) for key, item in value.items()}
    return value


def test_rendering_goes_through_lists_and_objects_and_leaves_keys_alone() -> None:
    value = {"{{ n }}": ["{{ n }}", {"deep": "n={{ n }}", "other": 5}], "plain": "text"}
    assert render(value, n=1) == {"{{ n }}": [1, {"deep": "n=1", "other": 5}], "plain": "text"}


def test_the_order_of_keys_is_kept() -> None:
    assert list(render({"b": "{{ n }}", "a": 1, "c": {"x": "{{ n }}"}}, n=1)) == ["b", "a", "c"]


def test_rendered_text_is_never_rendered_again() -> None:
    assert render("{{ a }}", a="{{ b }}", b="secret") == "{{ b }}"
    assert render("<{{ a }}>", a="{{ b }}", b="secret") == "<{{ b }}>"


def test_delimiters_can_be_written_as_text() -> None:
    assert render("{{ '{{' }} x {{ '}}' }}") == "{{ x }}"


@pytest.mark.parametrize("text", ["{% if x %}", "{# note #}", "${x}", "<% x %>", "{ {x} }", "}}", "100%", "#{x}"])
def test_foreign_delimiters_are_plain_text(text: str) -> None:
    assert render(text) == text
    assert render(text + "{{ n }}", n=1) == text + "1"


def test_braces_within_an_expression_do_not_end_it() -> None:
    assert render("{{ {'a': {'b': 1}} }}") == {"a": {"b": 1}}
    assert render("{{{'a': 1}}}") == {"a": 1}
    assert render("{{ '}}' ~ x }}", x="!") == "}}!"


def test_braces_around_an_expression_are_text() -> None:
    assert render('{"a": {{ n }}}', n=1) == '{"a": 1}'
    assert render('{"a": {{ n + 1 }}}', n=1) == '{"a": 2}'
    assert render("{ {{ n }}", n=1) == "{ 1"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_expression_may_span_lines(newline: str) -> None:
    assert render(newline.join(["{{ 1 +", "  2 }}"])) == 3


def test_containers_of_a_template_are_new_for_each_rendering() -> None:
    source = {"list": [1, {"a": 2}], "n": "{{ n }}", "constant": {"x": []}}
    template = compile_template(source)
    source["list"].append("later")  # type: ignore[attr-defined]
    first = template.render(scope(n=1))
    first["list"][1]["a"] = "changed"
    first["constant"]["x"].append("changed")
    assert template.render(scope(n=1)) == {"list": [1, {"a": 2}], "n": 1, "constant": {"x": []}}


def test_constant_containers_are_new_for_each_rendering_too() -> None:
    template = compile_template([{"a": [1]}])
    template.render(Scope({}))[0]["a"].append(2)
    assert template.render(Scope({})) == [{"a": [1]}]


def test_a_template_knows_what_it_reads_and_calls() -> None:
    template = compile_template({"a": ["x {{ steps.one.output['k'][0] | upper }} {{ vars.n }}"], "b": "{{ uuid() }}"})
    assert template.references == (
        Reference(("steps", "one", "output", "k", 0), ("a", 0), 5, optional=False),
        Reference(("vars", "n"), ("a", 0), 44, optional=False),
    )
    assert template.functions == {"upper", "uuid"}
    assert not template.constant


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("steps.a.output['x'].y", [("steps", "a", "output", "x", "y")]),
        ("steps[input.name].output", [("steps",), ("input", "name")]),
        ("input.rows[-1].id", [("input", "rows", -1, "id")]),
        ("input.rows[1:2]", [("input", "rows")]),
        ("parameters.x + variables.y", [("input", "x"), ("vars", "y")]),
        ("task.a.result and tasks.b.output", [("steps", "a", "result"), ("steps", "b", "output")]),
        (
            "system.id ~ workflow.name ~ execution.version",
            [("execution", "id"), ("execution", "name"), ("execution", "version")],
        ),
        ("secrets.TOKEN", [("secrets", "TOKEN")]),
        ("1 + 2", []),
    ],
)
def test_references_are_canonical_paths_up_to_the_first_computed_index(expression: str, paths: list[object]) -> None:
    assert [reference.path for reference in compile_template("{{ " + expression + " }}").references] == paths


@pytest.mark.parametrize("expression", ["input.x", "input['x'] ", "1 + input.x", "upper(input.x)", "[input.x][0]"])
def test_a_reference_is_placed_where_its_name_begins(expression: str) -> None:
    text = "é: {{ " + expression + " }}"
    (reference,) = compile_template(text).references
    assert text[reference.offset :].startswith("input")


def test_references_that_may_be_undefined_are_marked() -> None:
    template = compile_template(
        "{{ default(a.x, b.y) }}{{ c is defined }}{{ d | default(1) }}{{ coalesce(e, f) }}{{ g }}"
    )
    marks = {reference.path[0]: reference.optional for reference in template.references}
    assert marks == {"a": True, "b": False, "c": True, "d": True, "e": True, "f": True, "g": False}


def test_an_error_says_where_in_the_value_it_is() -> None:
    error = failure({"a": [1, {"b": "ok {{ n }} {{ n / 0 }}"}]}, n=1)
    assert error.where == ("a", 1, "b")
    assert error.expression == "n / 0"
    assert refused({"a": ["{{ 1 + }}"]}).where == ("a", 0)


def test_all_problems_can_be_collected() -> None:
    problems: list[ExpressionSyntaxError] = []
    template = compile_template({"a": "{{ 1 + }}", "b": ["{{ nope() }}", "{{ n }}"]}, problems=problems)
    assert [problem.where for problem in problems] == [("a",), ("b", 0)]
    assert template.render(scope(n=1)) == {"a": "{{ 1 + }}", "b": ["{{ nope() }}", 1]}


def test_another_grammar_has_other_delimiters_names_and_functions() -> None:
    dialect = Grammar(opening="${", closing="}", aliases={"workflow": "vars"}, functions={"upper": FUNCTIONS["upper"]})
    template = compile_template("${workflow.a}/${ {'x': upper('b')}['x'] }/{{ a }}", grammar=dialect)
    assert template.render(scope(vars={"a": "1"})) == "1/B/{{ a }}"
    with pytest.raises(ExpressionSyntaxError, match="no function 'lower'"):
        compile_template("${lower('A')}", grammar=dialect)


def test_compiling_is_remembered_per_grammar() -> None:
    dialect = Grammar(opening="{{", closing="}}", aliases={}, functions={})
    assert compile_template("{{ upper('a') }}").render(Scope({})) == "A"
    with pytest.raises(ExpressionSyntaxError):
        compile_template("{{ upper('a') }}", grammar=dialect)


def test_paths_secrets_and_simple_expressions_are_compiled_without_jinja() -> None:
    code = (
        "import sys\n"
        "from stepwell.expression.template import compile_template\n"
        "compile_template({'a': 'x {{ steps.a.output[0][\\'k\\'] }}', 'b': '{{ secrets.T }}'})\n"
        "compile_template('{{ input.n > 3 and not steps.a.output | default([]) }}')\n"
        "assert 'jinja2' not in sys.modules and 're2' not in sys.modules\n"
        "compile_template('{{ \\'a\\' \\'b\\' }}')\n"
        "assert 'jinja2' in sys.modules\n"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: Any = "x"
    for _ in range(100):
        value = [value]
    assert "64 deep" in refused(value).message


@settings(deadline=None)
@given(st.text(alphabet="{}%#$<>' \"ab.|()[]\\\n\u00e9", max_size=30))
def test_any_text_compiles_or_is_refused_with_a_place_in_it(text: str) -> None:
    problems: list[ExpressionSyntaxError] = []
    template = compile_template(text, problems=problems)
    assert all(0 <= problem.offset <= len(text) for problem in problems)
    assert template.constant or "{{" in text


def test_an_expression_that_is_a_constant_is_one() -> None:
    assert compile_template("{{ 5 }}").constant
    assert compile_template({"a": "{{ null }}"}).render(Scope({})) == {"a": None}
    assert evaluate("null") is None
    assert evaluate("none") is None
