"""Simple expressions are compiled without the parser, to exactly what the parser and the compiler make of them."""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.expression.compiled import Compiled
from stepwell.expression.compiler import compile_expression
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.functions import Function
from stepwell.expression.grammar import FUNCTIONS, NATIVE
from stepwell.expression.lexer import tokenize
from stepwell.expression.simple import compile_simple


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
]  # fmt: skip

OTHERS = [
    "", "a b", "a ==", "== a", "a = b", "(a)", "a if b else c", "{'a': 1}", "a.b()", "a[1:2]", "a[b]", "a[-1]", "a.0",
    "a | b.c", "a | nothing", "nothing(1)", "a |", "upper()", "upper(a, b, c)", "a is", "a is nothing",
    "a is defined b",
    "a is not", "a is defined is defined", "a is defined == b", "1 is defined", "null is defined",
    "a | upper is defined",
    "a + b * c", "a ~ b", "a ** b", "--1", "-a", "+1", "[1,]", "[1", "f(1,)", "a)", "secrets.A == 1", "and", "not",
    "a and", "in in in", "true.x", "null.x", "true()", "not(a)", "'a\\n'", "'a' 'b'", "1.5e3", "1e5",
    "99999999999999999999",
    "a..b", "a.", "é == 1", "a\u2003== b", "a == b }}", "f(*a)", "replace(a, old='x', new='y')", "a | replace(old='x')",
    "not in x", "a not b", "a!b", "a && b", "a | default((1))", "'", "input.n > 3 " + "+ 1" * 60,
    "length(" * 60 + "a" + ")" * 60, "[" * 60, "not " * 60 + "a", "x == '" + "a" * 2_000 + "'",
]  # fmt: skip


@pytest.mark.parametrize("text", SIMPLE)
def test_a_simple_expression_becomes_what_the_parser_makes_of_it(text: str) -> None:
    simple = text != "result().x"
    assert assert_same(text) == simple
    assert assert_same("{{ " + text + "}} }}", 2, "}}") == simple


@pytest.mark.parametrize("text", OTHERS)
def test_whatever_has_another_form_or_is_wrong_is_left_to_the_parser(text: str) -> None:
    assert not assert_same(text)


def test_the_outcome_of_a_step_is_left_to_the_parser_where_it_has_no_meaning() -> None:
    assert assert_same("failed()", outcome=True)
    assert not assert_same("failed()", outcome=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_called_in_the_same_way(name: str) -> None:
    for count in range(5):
        arguments = ", ".join(f"input.a{position}" for position in range(count))
        assert assert_same(f"{name}({arguments})") == (parsed(f"{name}({arguments})") is not None)
        filtered = f"vars.x | {name}" + (f"({arguments})" if arguments else "")
        assert assert_same(filtered) == (parsed(filtered) is not None)


PIECES = st.sampled_from([
    "a", "input.n", "steps.x.output['k'][0]", "secrets.A", "true", "null", "None", "1", "-1", "2.5", "'s'", '"}}"',
    "[", "]",
    "(", ")", ",", "==", "!=", "<", ">=", "in", "not", "not in", "and", "or", "is", "is defined", "is not null",
    "if", "else",
    "| default", "| default(", "| length", "| upper", "succeeded()", "length(", "coalesce(", "max(", "+", "-", "*", "/",
    "//",
    "%", "**", "~", "|", ".", ".x", "{", "}", "=", "}}", "'", "é", "  ", "\n",
])  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, max_size=9), st.sampled_from(["", " "]), st.sampled_from(["", "}}"]))
def test_no_text_becomes_anything_else_than_with_the_parser(pieces: list[str], between: str, closing: str) -> None:
    assert_same(between.join(pieces) + closing, 0, closing)


OPERANDS = st.sampled_from([
    "a", "input.n", "steps.x.output['k']", "'s'", "3", "-2", "0.5", "true", "null", "[]", "[1, a.b]", "length(a)",
    "a | default(0)", "b.c | default(d.e) | length", "now()",
])  # fmt: skip
TESTS = st.sampled_from(["", "", "", " is defined", " is not null"])
OPERATORS = st.sampled_from([" == ", "<", " and ", " or ", " in ", " not in ", " and not ", " + ", " - ", " * "])


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(OPERANDS, TESTS, OPERATORS), min_size=1, max_size=6), st.booleans())
def test_operators_bind_as_they_do_for_the_parser(parts: list[tuple[str, str, str]], negated: bool) -> None:
    written = "".join(operand + test + operator for operand, test, operator in parts) + "z"
    assert_same("not " + written if negated else written)
