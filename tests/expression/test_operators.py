"""Operators, truth, and the types they take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from stepwell.expression.template import compile_condition
from tests.expression.rendering import evaluate, failed, holds, scope
from tests.expression.test_templates import JSON


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("4 / 2", 2.0),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("7 % 3", 1),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("1.5 + 1", 2.5),
        ("-(3)", -3),
        ("+3", 3),
        ("--3", 3),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'ab' * 3", "ababab"),
        ("3 * 'ab'", "ababab"),
        ("[0] * 2", [0, 0]),
        ("'a' * 0", ""),
        ("'a' * -1", ""),
        ("1 ~ 'a' ~ null ~ true ~ [1]", "1atrue[1]"),
        ("'a' 'b'", "ab"),
        ("1 if true else 2", 1),
        ("1 if false else 2", 2),
        ("1 if false", None),
        ("'x' if 0 else 'y' if 1 else 'z'", "y"),
        ("[1, 'a', [2]]", [1, "a", [2]]),
        ("{'a': 1, 'b': {'c': []}}", {"a": 1, "b": {"c": []}}),
        ("(1, 2)", [1, 2]),
        ("1e3", 1000.0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("'\\u00e4\\n\\x41\\'\\d'", "ä\nA'\\d"),
        ("'\\ud83d\\ude00'", "😀"),
    ],
)
def test_arithmetic_text_and_literals(expression: str, value: object) -> None:
    result = evaluate(expression)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "condition",
    [
        "1 == 1.0",
        "1 != 2",
        "'a' == 'a'",
        "'1' != 1",
        "true != 1",
        "false != 0",
        "null == none",
        "null != false",
        "null != ''",
        "[1, {'a': 2}] == [1.0, {'a': 2}]",
        "[1] != [true]",
        "{'a': 1} != {'a': 1, 'b': 2}",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "[1, 2] != [2, 1]",
        "1 < 2",
        "2 >= 2",
        "1.5 > 1",
        "'a' < 'b'",
        "1 < 2 < 3",
        "not (1 < 3 < 2)",
        "'ell' in 'hello'",
        "'x' not in 'hello'",
        "2 in [1, 2.0]",
        "true not in [1]",
        "[1] in [[1], 2]",
        "'a' in {'a': null}",
        "null in [null]",
        "not false and true",
        "false or true",
        "(null or 'x') == 'x'",
        "(1 and 2) == 2",
        "(0 and 1 / 0) == 0",
        "1 or 1 / 0",
        "5 is number",
        "5 is integer",
        "5.0 is not integer",
        "true is not number",
        "'a' is string",
        "[] is list",
        "{} is object",
        "null is null",
        "none is none",
        "1 is not null",
        "false is false",
        "1 is not true",
        "'' is empty",
        "[] is empty",
        "null is empty",
        "0 is not empty",
    ],
)
def test_comparisons_tests_and_logic(condition: str) -> None:
    assert holds(condition)
    assert not holds(f"not ({condition})")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1 < 'a'", ["a number", "a string", "<"]),
        ("null > 1", ["null", "a number", ">"]),
        ("true <= false", ["a boolean"]),
        ("[1] >= [2]", ["a list"]),
        ("{} < {}", ["an object"]),
        ("1 + 'a'", ["+ cannot be applied to a number and a string", "~"]),
        ("'a' + 1", ["+ cannot be applied to a string and a number", "~"]),
        ("{} + {}", ["merge"]),
        ("true + 1", ["+ cannot be applied to a boolean and a number"]),
        ("[1] + 2", ["+ cannot be applied to a list and a number"]),
        ("'a' - 'b'", ["- cannot be applied to a string and a string"]),
        ("'%s' % 1", ["% cannot be applied to a string and a number"]),
        ("'a' * 'b'", ["* cannot be applied to a string and a string"]),
        ("'a' * 1.5", ["* cannot be applied to a string and a number"]),
        ("true * 2", ["a boolean"]),
        ("-'a'", ["a string"]),
        ("-true", ["a boolean"]),
        ("+null", ["null"]),
        ("1 in 'a1'", ["in cannot be applied to a number and a string"]),
        ("1 in {'1': 2}", ["in cannot be applied to a number and an object"]),
        ("1 in 5", ["in cannot be applied to a number and a number"]),
        ("{1: 2}", ["key of an object", "a number"]),
        ("5[0:1]", ["a number cannot be sliced"]),
        ("'abc'['a':]", ["bounded by a string"]),
    ],
)
def test_types_that_do_not_go_together_are_named(expression: str, words: list[str]) -> None:
    error = failed(expression)
    assert error.code == "wrong-type"
    assert all(word in str(error) for word in words), str(error)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("1 / 0", "division-by-zero"),
        ("1 // 0", "division-by-zero"),
        ("1 % 0", "division-by-zero"),
        ("0 ** -1", "division-by-zero"),
        ("18446744073709551615 + 1", "out-of-range"),
        ("-9223372036854775808 - 1", "out-of-range"),
        ("9223372036854775807 * 9", "out-of-range"),
        ("-18446744073709551615", "out-of-range"),
        ("1e308 * 10", "out-of-range"),
        ("1e308 + 1e308", "out-of-range"),
        ("1e308 * 10 - 1e308 * 10", "out-of-range"),
        ("(-8) ** 0.5", "out-of-range"),
        ("2.0 ** 5000", "out-of-range"),
        ("'abc'[::0]", "invalid-argument"),
    ],
)
def test_numbers_stay_within_json(expression: str, code: str) -> None:
    assert failed(expression).code == code


FALSY: list[object] = [None, False, 0, 0.0, "", "false", "no", "0", [], {}]
TRUTHY: list[object] = [True, 1, -1, 0.5, "true", "yes", "1", "False", " ", "x", [0], {"a": None}]


@pytest.mark.parametrize("value", FALSY)
def test_what_counts_as_false_does_everywhere(value: object) -> None:
    assert not holds("{{ x }}", x=value)
    assert not holds("x", x=value)
    assert evaluate("not x", x=value) is True
    assert evaluate("1 if x else 2", x=value) == 2
    assert evaluate("x or 'other'", x=value) == "other"
    assert evaluate("bool(x)", x=value) is False


@pytest.mark.parametrize("value", TRUTHY)
def test_everything_else_counts_as_true(value: object) -> None:
    assert holds("{{ x }}", x=value)
    assert evaluate("not x", x=value) is False
    assert evaluate("1 if x else 2", x=value) == 1
    assert evaluate("x and 'other'", x=value) == "other"
    assert evaluate("bool(x)", x=value) is True


@pytest.mark.parametrize(("condition", "expected"), [(True, True), (False, False)])
def test_a_condition_may_be_a_boolean(condition: bool, expected: bool) -> None:
    assert compile_condition(condition).holds(scope()) is expected
    assert compile_condition(condition).constant


@pytest.mark.parametrize(
    "condition", ["{{ n > 1 }}", "n > 1", "  {{ n > 1 }}\n", " n > 1 ", "{{n>1}}", "n", "not not n"]
)
def test_a_condition_is_written_with_or_without_delimiters(condition: str) -> None:
    assert holds(condition, n=2) is True


def test_a_bare_condition_may_hold_the_delimiter_as_text() -> None:
    assert holds("x == '{{'", x="{{")


@settings(deadline=None)
@given(JSON, JSON)
def test_equality_is_symmetric_and_agrees_with_in_and_index_of(one: Any, other: Any) -> None:
    equal = evaluate("a == b", a=one, b=other)
    assert equal is evaluate("b == a", a=one, b=other)
    assert equal is not evaluate("a != b", a=one, b=other)
    assert equal is evaluate("a in [b]", a=one, b=other)
    assert equal is (evaluate("unique([a, b]) | length", a=one, b=other) == 1)
    assert evaluate("a == a", a=one)


def test_each_operand_of_a_chain_is_evaluated_once() -> None:
    assert evaluate("1 < random() + 2 < 3 or uuid()") is True
