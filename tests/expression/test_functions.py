"""Functions: every documented example holds, both ways to call, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from stepwell.expression.errors import ExpressionError
from stepwell.expression.functions import Function
from stepwell.expression.grammar import FUNCTIONS
from stepwell.expression.scope import Outcome, Scope
from stepwell.expression.template import compile_condition, compile_template
from tests.expression.rendering import evaluate, failed, holds, refused, scope

LANGUAGE = """
upper lower trim append prepend join first last length default from_json to_json filter map list slice batch now uuid
string number int bool type_of keys values abs floor ceil round min max sum split replace starts_with ends_with match
contains reversed sort unique flat zip range index_of count merge chunks hash sha256 random b64encode b64decode
coalesce satisfies succeeded failed timed_out skipped result
"""


def test_every_function_of_the_language_is_there() -> None:
    assert set(LANGUAGE.split()) <= set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_every_function_is_documented_and_its_example_holds(function: Function) -> None:
    assert function.summary.endswith("."), function.name
    assert function.signature.startswith(f"{function.name}(")
    assert function.name in FUNCTIONS
    if function.example:
        assert function.name in function.example
        assert holds(function.example), function.example
    else:
        assert function.outcome or function.name in ("default",), function.name


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'  a ' | trim", "a"),
        ("trim('xax', 'x')", "a"),
        ("'b' | prepend('a') | append('c')", "abc"),
        ("[1] | append([2])", [1, [2]]),
        ("['a', 1, null, true, 2.5] | join('-')", "a-1--true-2.5"),
        ("'a b  c' | split", ["a", "b", "c"]),
        ("split('a,b,,c', ',')", ["a", "b", "", "c"]),
        ("'aXbX' | replace('X', '')", "ab"),
        ("replace(value='aa', old='a', new='b')", "bb"),
        ("replace('ab', '', '-')", "-a-b-"),
        ("'v12' | match('^v[0-9]+$')", True),
        ("match('ab', 'c')", False),
        ("regex_replace('John Smith', '(\\w+) (\\w+)', '\\2, \\1')", "Smith, John"),
        ("regex_replace('äöü', 'ö', '\\\\')", "ä\\ü"),
        ("regex_replace('aaa', 'a*', 'b')", "bb"),
        ("first('abc') ~ last([1, 2])", "a2"),
        ("length('äöü')", 3),
        ("{'a': 1} | length", 1),
        ("list({'a': 1})", ["a"]),
        ("[1, 2, 3, 4] | slice(start=1, end=3)", [2, 3]),
        ("slice('hello', -3)", "llo"),
        ("[1, 2, 3, 4, 5] | batch(size=2)", [[1, 2], [3, 4], [5]]),
        ("range(3)", [0, 1, 2]),
        ("range(3, 0, -1)", [3, 2, 1]),
        ("range(0, 5, 2)", [0, 2, 4]),
        ("range(0)", []),
        ("range(5, 1)", []),
        ("zip([1, 2], ['a', 'b', 'c'], [true, false])", [[1, "a", True], [2, "b", False]]),
        ("[[1], [2, [3]], 4] | flat", [1, 2, [3], 4]),
        ("[[1], [2, [3]], 4] | flat(2)", [1, 2, 3, 4]),
        ("contains({'a': 1}, 'a')", True),
        ("'hello' | contains('ell')", True),
        ("[1, true] | index_of(true)", 1),
        ("index_of('abc', 'z')", -1),
        ("'banana' | count('a')", 3),
        ("[1, 1.0, true] | count(1)", 2),
        ("[1, 1.0, true, 'a', 'a', [1], [1]] | unique", [1, True, "a", [1]]),
        ("[{'k': 1, 'v': 1}, {'k': 1, 'v': 2}] | unique('k')", [{"k": 1, "v": 1}]),
        ("[3, 1, 2] | sort", [1, 2, 3]),
        ("['b', 'a'] | sort(reverse=true)", ["b", "a"]),
        ("[{'n': 2}, {'n': 1}] | sort(attribute='n')", [{"n": 1}, {"n": 2}]),
        ("[{'a': {'b': 1}}] | map(attribute='a.b')", [1]),
        ("[{'a': 1, 'b': 2}, {'a': 1, 'b': 3}, {'b': 2}] | filter(a=1, b=2)", [{"a": 1, "b": 2}]),
        ("[{'a': 1}] | filter(value=1)", []),
        ("merge({'a': 1}, {'b': 2}, {'a': 3})", {"a": 3, "b": 2}),
        ("satisfies({'a': {'b': 3}, 'c': 'x'}, {'a.b': 3, 'c': {'~in': ['x', 'y']}})", True),
        ("satisfies({'a': 1}, {'~or': [{'a': {'~gt': 1}}, {'b': {'~isnull': true}}]})", True),
        ("satisfies({'a': 1}, {'a': 1, 'b': 2})", False),
        ("satisfies({}, {})", True),
        ("min(3, 1, 2) + max([1, 5])", 6),
        ("max('a', 'b')", "b"),
        ("sum([])", 0),
        ("sum([0.5, 1])", 1.5),
        ("round(2.675, 2)", 2.68),
        ("round(-2.5)", -3),
        ("round(1234, -2)", 1200),
        ("round(1e300, 5)", 1e300),
        ("round(18446744073709551615, 15)", 18446744073709551615.0),
        ("floor(-1.5)", -2),
        ("ceil(-1.5)", -1),
        ("abs(-1.5)", 1.5),
        ("int(' -12.9 ')", -12),
        ("int(true)", 1),
        ("number('1e3')", 1000.0),
        ("number('007')", 7),
        ("string(null) ~ string([1, {}])", "[1,{}]"),
        ("to_json('a\"')", '"a\\""'),
        ("from_json('{\"a\": [1.0, null]}')", {"a": [1.0, None]}),
        ("[type_of(null), type_of(true), type_of(1), type_of(''), type_of([]), type_of({})]",
         ["null", "boolean", "number", "string", "list", "object"]),
        ("b64decode(b64encode('ä☃'))", "ä☃"),
        ("sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("parse_time(0)", "1970-01-01T00:00:00Z"),
        ("timestamp('1970-01-01T00:00:01.5Z')", 1.5),
        ("add_time('2026-01-01T00:00:00Z', '-1d')", "2025-12-31T00:00:00Z"),
        ("add_time('2026-01-01T00:00:00Z', 90)", "2026-01-01T00:01:30Z"),
        ("format_time(now(), '%Y%m%d-%H%M%S %% %j')", "20260101-120000 % 001"),
        ("now()", "2026-01-01T12:00:00Z"),
        ("duration('500ms')", 0.5),
    ],
)  # fmt: skip
def test_functions(expression: str, value: object) -> None:
    result = evaluate(expression)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("expression", "code", "words"),
    [
        ("upper(5)", "wrong-type", "upper(): value is a number; expected a string, in: upper(5) (usage: upper(value))"),
        ("upper(null)", "wrong-type", "null"),
        ("[1] | upper", "wrong-type", "a list"),
        ("length(5)", "wrong-type", "expected a string or a list or an object"),
        ("batch([1], 1.5)", "wrong-type", "size is a number; expected a whole number"),
        ("batch([1], true)", "wrong-type", "size is a boolean"),
        ("batch([1], 0)", "invalid-argument", "at least 1"),
        ("range(0, 1, 0)", "invalid-argument", "step is 0"),
        ("first([])", "undefined-index", "first() of an empty list"),
        ("min([])", "undefined-index", "min() of an empty list"),
        ("min([1, 'a'])", "wrong-type", "number, string"),
        ("sum([1, null])", "wrong-type", "null"),
        ("sort([1, 'a'])", "wrong-type", "number, string"),
        ("sort([{}])", "wrong-type", "object"),
        ("map([{'a': 1}, {}], 'a')", "undefined-field", "map(): item.a is not defined"),
        ("filter([1], a=1)", "wrong-type", "a number; expected objects"),
        ("join([[1]])", "wrong-type", "a list"),
        ("split('a', '')", "invalid-argument", "separator is empty"),
        ("append('a', 1)", "wrong-type", "a number"),
        ("number('1x')", "invalid-argument", "not a number"),
        ("number('١')", "invalid-argument", "not a number"),
        ("number('NaN')", "invalid-argument", "not a number"),
        ("number('1e999')", "out-of-range", "not a number"),
        ("int('99999999999999999999')", "out-of-range", "64 bits"),
        ("from_json('{')", "invalid-argument", "not usable JSON"),
        ("from_json('NaN')", "invalid-argument", "not usable JSON"),
        ("from_json('99999999999999999999')", "invalid-argument", "64 bits"),
        ("b64decode('*')", "invalid-argument", "Base64"),
        ("b64decode('/w==')", "invalid-argument", "UTF-8"),
        ("match('a', '(')", "invalid-argument", "'(' is not a regular expression: missing )"),
        ("match('a', '(?=a)')", "invalid-argument", "RE2"),
        ("regex_replace('a', 'a', '\\1')", "invalid-argument", "no group 1"),
        ("round(1.5, 99)", "invalid-argument", "-15 to 15"),
        ("timestamp('soon')", "invalid-argument", "not a time"),
        ("parse_time(1e300)", "invalid-argument", "not a time"),
        ("add_time('9999-12-31T00:00:00Z', '7d')", "invalid-argument", "not a time"),
        ("duration('soon')", "invalid-argument", "not a duration"),
        ("format_time(now(), '%q')", "invalid-argument", "%q"),
        ("format_time(now(), '%')", "invalid-argument", "does not know"),
    ],
)
def test_what_functions_refuse(expression: str, code: str, words: str) -> None:
    error = failed(expression)
    assert error.code == code
    assert words in str(error)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("upper()", "upper() needs the argument 'value'"),
        ("upper('a', 'b')", "takes at most 1"),
        ("'a' | upper('b')", "takes at most 1"),
        ("upper(valeu='a')", "needs the argument 'value'"),
        ("upper('a', value='b')", "no argument 'value' left"),
        ("replace('a', new='b')", "needs the argument 'old'"),
        ("upper('a', x=1)", "no argument 'x' left"),
        ("upper(value='a', value='b')", "given twice"),
        ("zip()", "needs the argument 'lists'"),
        ("default(1)", "needs the argument 'fallback'"),
    ],
)
def test_arguments_are_checked_when_compiling(expression: str, message: str) -> None:
    error = refused("{{ " + expression + " }}")
    assert error.code == "wrong-arguments"
    assert message in error.message
    assert "usage: " in str(error.hint)


CALL = r"{name}\(('[^']*'|\[[^()]*?\](?=[,)])|[0-9.-]+)(?:, )?(.*?)\) (==|<)(.*)$"
CALLS = [found for f in FUNCTIONS.values() if (found := re.match(CALL.format(name=f"(?P<name>{f.name})"), f.example))]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["name"])
def test_a_filter_is_a_function_call(call: re.Match[str]) -> None:
    name, first, rest, operator, value = call.groups()
    assert holds(f"({first} | {name}({rest})) {operator} {value}")


def test_signatures_show_defaults() -> None:
    assert FUNCTIONS["round"].signature == "round(value, digits=0)"
    assert FUNCTIONS["sort"].signature == "sort(items, attribute=null, reverse=false)"
    assert FUNCTIONS["zip"].signature == "zip(lists, ...)"
    assert FUNCTIONS["filter"].signature == "filter(items, name=...)"


# Drawn values: the same when rendered again, different otherwise.

DRAWN = {"a": "{{ uuid() }}", "b": ["{{ uuid() }}", "x{{ uuid() }}"], "r": "{{ random() }}", "h": "{{ hash('p') }}"}


def test_what_is_drawn_is_the_same_when_rendered_again_and_different_within_one_rendering() -> None:
    template = compile_template(DRAWN)
    first, again = template.render(scope()), template.render(scope())
    assert first == again == compile_template(DRAWN).render(scope())
    assert len({first["a"], *first["b"], "x" + first["a"]}) == 4


@pytest.mark.parametrize(
    "other", [Scope({}, 0, b"other", ("s",)), Scope({}, 0, b"seed", ("t",)), Scope({}, 0, b"seed")]
)
def test_what_is_drawn_depends_on_seed_and_identity(other: Scope) -> None:
    template = compile_template("{{ uuid() }} {{ random() }} {{ hash('p') }}")
    one = template.render(Scope({}, 0, b"seed", ("s",))).split()
    assert not set(one) & set(template.render(other).split())


def test_uuids_are_version_4() -> None:
    shape = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    for n in range(50):
        drawn = compile_template("{{ uuid() }}").render(Scope({}, 0, b"seed", (n,)))
        assert re.fullmatch(shape, drawn)


def test_random_numbers_lie_between_0_and_1() -> None:
    drawn = [compile_template("{{ random() }}").render(Scope({}, 0, b"seed", (n,))) for n in range(200)]
    assert all(0 <= number < 1 for number in drawn)
    assert min(drawn) < 0.1 < 0.9 < max(drawn)


def test_a_password_hash_can_be_verified_from_what_it_says() -> None:
    _, name, parameters, salt, key = str(evaluate("hash('pass')")).split("$")
    cost, block, parallel = (int(each.split("=")[1]) for each in parameters.split(","))
    assert (name, cost, block, parallel) == ("scrypt", 14, 8, 1)
    derived = hashlib.scrypt(b"pass", salt=base64.b64decode(salt + "=="), n=2**cost, r=block, p=parallel, dklen=32)
    assert base64.b64decode(key + "=") == derived


def test_hashing_is_salted() -> None:
    first, second = evaluate("[hash('a'), hash('a')]")
    assert first != second


# Outcome functions.


@pytest.mark.parametrize("name", ["succeeded", "failed", "timed_out", "skipped", "result"])
def test_outcome_functions_are_refused_where_there_is_no_outcome(name: str) -> None:
    error = refused("{{ " + name + "() }}")
    assert error.code == "misplaced-function"
    assert "retry.when" in str(error.hint)


@pytest.mark.parametrize(
    ("condition", "outcome", "expected"),
    [
        ("succeeded()", Outcome(succeeded=True), True),
        ("failed() and not timed_out()", Outcome(failed=True), True),
        ("failed() and timed_out()", Outcome(failed=True, timed_out=True), True),
        ("skipped()", Outcome(succeeded=True), False),
        ("result().code == 5", Outcome(succeeded=True, result={"code": 5}), True),
        ("{{ result().x.y | default(false) }}", Outcome(result={}), False),
    ],
)
def test_outcome_functions_read_the_scope(condition: str, outcome: Outcome, expected: bool) -> None:
    compiled = compile_condition(condition, outcome=True)
    assert compiled.holds(Scope({}, outcome=outcome)) is expected


def test_an_outcome_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="not known here"):
        compile_condition("succeeded()", outcome=True).holds(Scope({}))


def test_the_result_keeps_its_name_as_a_root() -> None:
    assert evaluate("result.id", response={"id": 1}) == 1


def test_arguments_are_not_changed() -> None:
    data: dict[str, Any] = {"l": [3, 1, [2]], "o": {"a": 1}}
    for expression in ("sort([3, 1])", "l | append(1)", "l | flat", "reversed(l)", "merge(o, {'b': 1})", "l + [1]"):
        evaluate(expression, **data)
    assert data == {"l": [3, 1, [2]], "o": {"a": 1}}
