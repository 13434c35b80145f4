"""Simple expressions are compiled without the parser, to exactly what the parser and the compiler make of them."""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.values import Sealed
from stepwell.expression.compiled import Compiled
from stepwell.expression.compiler import compile_expression
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.functions import Function
from stepwell.expression.grammar import FUNCTIONS, NATIVE
from stepwell.expression.lexer import tokenize
from stepwell.expression.simple import compile_simple
from stepwell.expression.template import Template
from tests.expression.rendering import scope


def parsed(text: str, start: int = 0, closing: str = "", *, outcome: bool = True) -> tuple[Compiled, int] | None:
    """What the parser and the compiler make of it; None when they refuse it."""
    try:
        tokens, end = tokenize(text, start, closing)
        compiled = compile_expression(tokens, start, end, NATIVE, outcome=outcome)
    except ExpressionSyntaxError:
        return None
    return compiled._replace(source=text[start:end].strip()), end


def shape(value: Any) -> Any:
    """What a closure does: its code and, in the same way, all that it was made with."""
    match value:
        case FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return value.__code__, [shape(cell) for cell in cells], shape(value.__defaults__)
        case partial():
            return "partial", shape(value.func), [shape(each) for each in value.args]
        case list() | tuple():
            return type(value).__name__, [shape(each) for each in value]
        case Function():
            return "function", value.name
        case _:
            return type(value).__name__, value if value.__hash__ is not None else repr(value)


def test_shapes_tell_expressions_apart() -> None:
    texts = ["a < b", "a > b", "b < a", "a < b < c", "a.x", "a | upper", "a | lower", "a == 1", "a == true", "not a"]
    shapes = [shape(found[0].evaluate) for text in texts if (found := parsed(text)) is not None]
    assert len(shapes) == len(texts)
    assert all(one != other for number, one in enumerate(shapes) for other in shapes[:number])


def assert_same(text: str, start: int = 0, closing: str = "", *, outcome: bool = True) -> bool:
    """Whether it is simple. When it is, the parser must make the same of it."""
    simple = compile_simple(text, start, closing, NATIVE, outcome=outcome)
    if simple is None:
        return False
    expected = parsed(text, start, closing, outcome=outcome)
    assert expected is not None, text
    assert simple[1] == expected[1]
    assert simple[0][1:] == expected[0][1:]
    assert shape(simple[0].evaluate) == shape(expected[0].evaluate)
    return True


SIMPLE = [
    "input.n > 3", "input.status == 'done'", "steps.a.output.x", "steps['a-b'].output[0].name", "not input.flag",
    "input.a and not input.b or vars.c", "input.a and input.b and input.c", "a or b or c", "not not a",
    "steps.a.output | default([])", "input.x | default(vars.y) | length > 0", "input.x | upper", "a | join(', ')",
    "input.status in ['a', 'b']", "input.status not in vars.known", "input.x is defined", "input.x is not defined",
    "input.x is undefined or input.x is not null", "input.x is string and true", "1 + 2 - 3", "a * 2 / b % 3 // 4",
    "index + 1", "a < b <= c", "x == -1", "x - 1", "-1", "- 1 | abs", "null", "none", "None", "true", "False", "5",
    "1.5", "'text'", '"text"', "[]", "[1, 'a', x]", "length(input.list)", "succeeded()",
    "failed() and error.type == 'x'",
    "coalesce(input.a, input.b, 'c')", "default(input.a, 1)", "max(1, input.n)", "now()", "result().x", " a\n== \tb ",
    "parameters.n > variables.m", "task.a.output == system.id", "007 == 7", "x == null", "x | default(null)",
    "'a' in x", "3in x", "a.b==c", "random() < 0.5", "uuid()", "steps.a.output.items | length >= 10",
    # brackets
    "(a)", "(a and b) and c", "a and (b and c)", "(a or b) or c", "(a and b) or c", "not (a or b)", "not(a)",
    "(a) == (b)", "('x')", "(null)", "([1])", "((a > 1))", "(a or b) | default(c)", "(1 + 2) * 3", "(a | upper) == 'X'",
    "(a and b) == c and d", "(not a) and b", "(a if b else c) and d",
    # conditions, calculations, texts
    "a if b else c", "a if b else c if d else e", "[a if b else c]", "a if b is defined else 'x'",
    "a + b * c", "a * b + c", "a + b * c - d / e", "a ~ b", "a ~ b * c ~ d + 1", "1 + a ~ b", "a ** b", "a ** b ** 2",
    "-a", "+1", "--1", "-a.b", "- a | abs", "2 * -a", "-(a)", "a ~ -1", "a < b ~ c",
    # what is read below
    "a[b]", "a[b.c]", "a[b.c].d", "a[b['c']].d[e]", "a[-1]", "a[-1].b", "a[b].0", "f.x[0].b", "length(a).0",
    'a["x y"]', "a[b]['c']",
    "a[b + 1]", "a[b][c]", "a[b].c.0.d", "a[length(b)]", "a[1:2]", "a[b:]", "a[:2]", "a[::2]", "a[1:2:]", "a[b + 1::c]",
    "a[:]", "a.b[c] is string", "length(a).b", "split(a, ',')[0]", "f.x[g.y]", "[1, 2][0]", "{'a': 1}.a", "[a][b].c",
    "entries(a)[0]['key']", "a[b if c else d]", "a[[1]]", "a[-b].c", "a[b] | default(1)", "'x]y' == a['x]y']",
    # objects, arguments by name, escapes
    "{}", "{'a': 1}", "{'a': {'b': x}, c: [d]}", "{'a': b if c else d}", "replace(a, old='x', new='y')",
    "a | replace(old='x', new=b)", "a | replace('x', new='y')", "a | default(fallback=b.c)", "merge({'a': 1}, b)",
    "'a\\n'", "'it\\'s'", '"\\u00e9"', "'\\d+'", "f.x | default((1))", "length( [ a , b ] )", "max ( 1 , 2 )",
]  # fmt: skip

OTHERS = [
    "", "a b", "a ==", "== a", "a = b", "a.b()", "a if b", "a if b is string if c else d", "a | b.c", "a | nothing",
    "nothing(1)", "a |", "upper()", "upper(a, b, c)", "a is", "a is nothing", "a is defined b", "a is not",
    "a is defined is defined", "a is defined == b", "1 is defined", "null is defined", "a | upper is defined",
    "(a) is defined", "a[b] is defined", "-a is defined", "[1,]", "[1", "f(1,)", "a)", "(a", "(a, b)", "()", "(a]",
    "[a)",
    "secrets.A == 1", "and", "not", "a and", "in in in", "true.x", "null.x", "true()", "'a' 'b'", "1.5e3", "1e5",
    "99999999999999999999", "a..b", "a.", "a .b", "a.0", "a.0.b", "a['x'].1", "é == 1", "a\u2003== b",
    "a == b }}", "f(*a)",
    "not in x", "a not b",
    "a!b", "a && b", "'", "'\\ud83d'", "(a).b", "(a)[0]", "(a if b else c).d", "a[ 0 ]", "a[(1)]", "a[null]",
    "a[b[c].d]",
    "a[1, 2]",
    "a[]", "a[1:2:3:4]", "a[1:2", "{a}", "{'a': 1,}", "{'a' 1}", "{'a': 1", "{a: b]", "[a=1]", "max(1, a=2)",
    "replace(a, old='x')", "replace(a, old='x', old='y', new='z')", "replace(old='x', new='y', a)", "default(if=1)",
    "a if", "a if b else", "a else b", "1.x", "a ++", "*a", "a:b", "input.n > 3 " + "+ 1" * 60,
    "length(" * 60 + "a" + ")" * 60, "(" * 33 + "a" + ")" * 33, "[" * 60, "not " * 60 + "a",
    "x == '" + "a" * 2_000 + "'",
]  # fmt: skip


@pytest.mark.parametrize("text", SIMPLE)
def test_a_simple_expression_becomes_what_the_parser_makes_of_it(text: str) -> None:
    assert assert_same(text)
    assert assert_same("{{ " + text + "}} }}", 2, "}}")


@pytest.mark.parametrize("text", OTHERS)
def test_whatever_has_another_form_or_is_wrong_is_left_to_the_parser(text: str) -> None:
    assert not assert_same(text)


def test_the_outcome_of_a_step_is_left_to_the_parser_where_it_has_no_meaning() -> None:
    assert assert_same("failed()", outcome=True)
    assert not assert_same("failed()", outcome=False)


ORDINARY = [name for name, each in FUNCTIONS.items() if not any(parameter.of_items for parameter in each.parameters)]


@pytest.mark.parametrize("name", ORDINARY)
def test_every_function_is_called_in_the_same_way(name: str) -> None:
    for count in range(5):
        arguments = ", ".join(f"input.a{position}" for position in range(count))
        assert assert_same(f"{name}({arguments})") == (parsed(f"{name}({arguments})") is not None)
        filtered = f"vars.x | {name}" + (f"({arguments})" if arguments else "")
        assert assert_same(filtered) == (parsed(filtered) is not None)


PIECES = st.sampled_from([
    "a", "input.n", "steps.x.output['k'][0]", "secrets.A", "true", "null", "None", "1", "-1", "2.5", "'s'", '"}}"',
    "[", "]", "(", ")", ",", "==", "!=", "<", ">=", "in", "not", "not in", "and", "or", "is", "is defined",
    "is not null", "if", "else", "| default", "| default(", "| length", "| upper", "succeeded()", "length(",
    "coalesce(", "max(", "replace(", "old=", "+", "-", "*", "/", "//", "%", "**", "~", "|", ".", ".x", ".0", "{", "}",
    ":", "=", "}}", "'", "é", "  ", "\n", "'\\n'", "'\\ud83d'", "(a", "b)", "[b]", "[-1]", "{'k': ",
])  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, max_size=9), st.sampled_from(["", " "]), st.sampled_from(["", "}}"]))
def test_no_text_becomes_anything_else_than_with_the_parser(pieces: list[str], between: str, closing: str) -> None:
    assert_same(between.join(pieces) + closing, 0, closing)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions made of others, with and without brackets around them."""
    bracketed = inner | inner.map(lambda text: f"({text})")
    operators = st.sampled_from(
        [" == ", "<", " and ", " or ", " in ", " not in ", " and not ", " + ", " - ", " * ", "/", " ** ", " ~ ", ", "]
    )
    forms = st.sampled_from([
        "not {0}", "-{0}", "+ {0}", "({0})", "[{0}]", "[{0}, {1}]", "{{{0}: {1}}}", "{0} if {1} else {2}",
        "length({0})",
        "{0} | default({1})", "{0} | replace({1}, new={2})", "coalesce({0}, {1}, {2})", "{0}[{1}]", "{0}[{1}:{2}]",
        "{0}.x", "{0}[0]", "a[{0}].b", "{0} is string", "{0} is not defined", "{0} < {1} <= {2}",
        "merge({0}, {1})[{2}]",
    ])  # fmt: skip
    return st.builds(lambda one, operator, other: one + operator + other, bracketed, operators, bracketed) | st.builds(
        str.format, forms, bracketed, bracketed, bracketed
    )


EXPRESSIONS = st.recursive(
    st.sampled_from([
        "a", "input.n", "steps.x.output['k']", "'s'", "3", "-2", "0.5", "true", "null", "[]", "[1, a.b]", "length(a)",
        "a | default(0)", "b.c | default(d.e) | length", "now()", "a[-1]", "a[b]", "'\\n'",
    ]),
    compound,
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, max_examples=600)
@given(EXPRESSIONS, st.booleans())
def test_operators_bind_as_they_do_for_the_parser(text: str, is_delimited: bool) -> None:
    if is_delimited:
        assert_same("{{ " + text + " }} and more", 2, "}}")
    else:
        assert_same(text)


VALUES = st.sampled_from([
    None, True, 0, 7, -2, 1.5, "", "s", "k", [], [1, "s"], {}, {"x": [3], "b": {"c": 1}, "output": {"k": 2}},
    Sealed("s"),
])  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(EXPRESSIONS, st.dictionaries(st.sampled_from(["a", "b", "d", "input", "steps"]), VALUES, max_size=5))
def test_every_answer_and_every_error_is_the_same(text: str, roots: dict[str, Any]) -> None:
    expected = parsed(text)
    compiled = compile_simple(text, 0, "", NATIVE, outcome=True)
    if compiled is not None and expected is not None:
        assert answer(compiled[0], roots) == answer(expected[0], roots)


def answer(compiled: Compiled, roots: dict[str, Any]) -> tuple[str, ...]:
    """What evaluating gives, or the error, as texts: they tell `1` from `true`."""
    try:
        value = Template(compiled).render(scope(**roots))
    except ExpressionError as error:
        return error.code, error.message, str(error.hint), str(error.where), str(error.expression)
    return (repr(value), repr(value.value) if isinstance(value, Sealed) else "")
