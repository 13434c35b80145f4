"""YAQL: what each form gives, how it is written again, and what is refused and where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.dialects.orquesta.yaql_meaning import KNOWN, read_yaql
from stepwell.dialects.orquesta.yaql_saying import say_yaql
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.expression.unparsing import unparse

VARS: dict[str, Any] = {
    "one": 1,
    "half": 1.5,
    "word": "x",
    "no": "no",
    "empty": "",
    "none": None,
    "list": [1, 2, 3],
    "words": ["a", "b"],
    "csv": "a, b,c",
    "map": {"k": 1},
    "hosts": [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}],
}

GIVES: list[tuple[str, Any]] = [
    # names
    ("ctx().one", 1),
    ("ctx(one)", 1),
    ("ctx('one')", 1),
    ('ctx("one")', 1),
    ("ctx()[one]", 1),
    ("ctx().get(nothing, 7)", 7),
    ("word", "word"),
    # operators
    ("1 = 1.0", True),
    ("1 = '1'", False),
    ("ctx().word = x", True),
    ("not 1 = 2", True),
    ("5 / 2", 2),
    ("-5 / 2", -3),
    ("5.0 / 2", 2.5),
    ("-5 mod 2", 1),
    ("2 * 'ab'", "abab"),
    ("2 - (3 - 4)", 3),
    ("- 3 + 1", -2),
    ("1 - -1", 2),
    ("[1] + [2]", [1, 2]),
    ("dict(a => 1) + dict(a => 2)", {"a": 2}),
    ("1 in ctx().list and not 9 in ctx().list", True),
    ("'a' in 'abc'", True),
    # truth
    ("ctx().none or ctx().word", "x"),
    ("ctx().empty and 1", ""),
    ("0 or ctx().list", [1, 2, 3]),
    ("ctx().no and 1", 1),
    ("not ctx().no", False),
    ("not []", True),
    ("bool(no)", True),
    ("bool('')", False),
    # queries
    ("ctx(hosts).select($.y)", ["a", "b"]),
    ("ctx(hosts).select([$.x, $.y])", [[1, "a"], [2, "b"]]),
    ("ctx(hosts).where($.x = 2 and $.y in list(a, b)).select($.y)", ["b"]),
    ("ctx(hosts).where($.x > 9).first(null)", None),
    ("ctx(list).where($ > 1).len()", 2),
    ("ctx(list).select($ * $).sum()", 14),
    ("ctx(csv).split(',').select($.trim())", ["a", "b", "c"]),
    ("ctx(list).any($ > 2) and not ctx(list).all($ > 2) and ctx(list).any()", True),
    ("ctx(hosts).toDict($.y, $.x)", {"a": 1, "b": 2}),
    ("dict(ctx(hosts).select([$.y, $.x]))", {"a": 1, "b": 2}),
    ("ctx(hosts).orderByDescending($.x).select($.x)", [2, 1]),
    # collections
    ("ctx(map).get(k)", 1),
    ("ctx(map).get(z, 3)", 3),
    ("ctx(map).keys()", ["k"]),
    ("ctx(map).set(z, 2)", {"k": 1, "z": 2}),
    ("{a => 1, 'b c' => 2}", {"a": 1, "b c": 2}),
    ("list(abc, def)", ["abc", "def"]),
    ("list([1], [2])", [[1], [2]]),
    ("list(range(3))", [0, 1, 2]),
    ("[1, 1, 2].distinct()", [1, 2]),
    ("[2, 1].orderBy($)", [1, 2]),
    ("[1, 2].reverse()", [2, 1]),
    ("ctx(list).take(2) + ctx(list).skip(2)", [1, 2, 3]),
    ("ctx(list).append(9).last()", 9),
    ("ctx(list)[-1]", 3),
    ("zip(ctx(list), ctx(words))", [[1, "a"], [2, "b"], [3, None]]),
    # texts
    ("[a, b].join('-')", "a-b"),
    ("'-'.join([a, b])", "a-b"),
    ("ctx(words).join(ctx(word))", "axb"),
    ("'abcd'.substring(1, 2)", "bc"),
    ("' a '.trim().toUpper()", "A"),
    ("'abc'.startsWith(a) and 'abc'.endsWith(c)", True),
    ("concat(a, b, c)", "abc"),
    ("str(true) + str(null) + str(1.5)", "truenull1.5"),
    ("'it\\'s \\n' + `raw\\n`", "it's \nraw\\n"),
    # regular expressions
    ("regex('b.').matches('abc') and 'abc' =~ 'b.' and 'abc' =~ regex(c) and 'abc' !~ '^b'", True),
    ("regex('[0-9]+').search('a12b3')", "12"),
    ("regex('^x').search('a12b3')", None),
    ("'a1'.matches('[0-9]')", True),
    # names for values
    ("let(a => 1, b => ctx().one) -> $a + $b", 2),
    ("let(y => b, x => 3) -> ctx(hosts).where($.y = $y).select([$.x, $x])", [[2, 3]]),
    ("let(wanted => b) -> ctx(hosts).where($.y = $.wanted).select($.x)", [2]),
    ("(let(a => 2) -> $a * $a) + 1", 5),
    # conversions and choices
    ("int('5') + int(5.7)", 10),
    ("float(5) / 2", 2.5),
    ("max(1, 2) + min(1, 2) + ctx(list).max()", 6),
    ("switch(ctx().no => yes, true => other)", "yes"),
    ("switch(false => 1)", None),
    ("coalesce(ctx().none, ctx().none, 3)", 3),
    ("json('{\"a\": 1}').a", 1),
    ("isString(a) and isList([]) and isDict({}) and isInteger(1) and isNumber(1.5)", True),
    ("1, 2", [1, 2]),
]


def value_of(text: str) -> Any:
    tree, end = read_yaql(text, 0, "")
    assert end == len(text)
    return compile_template(f"{{{{ {unparse(tree)} }}}}").render(Scope({"vars": VARS}))


@pytest.mark.parametrize(("text", "expected"), GIVES)
def test_it_gives_what_yaql_gives(text: str, expected: Any) -> None:
    found = value_of(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", [text for text, _ in GIVES])
def test_what_is_written_again_is_read_as_the_same(text: str) -> None:
    native = unparse(read_yaql(text, 0, "")[0])
    assert unparse(read_yaql(say_yaql(read_yaql(text, 0, "")[0]), 0, "")[0]) == native


@pytest.mark.parametrize("text", ["ctx().nothing", "ctx(map).z", "[].first()", "1 / 0", "'a' + 1", "1 < 'b'", "int(x)"])
def test_what_yaql_fails_at_is_an_error_here_too(text: str) -> None:
    with pytest.raises(ExpressionError):
        value_of(text)


REFUSED = [
    ("", 3, "is empty"),
    ("1 +", 7, "ends too early"),
    ("1 2", 5, "unexpected '2'"),
    ("5 % 2", 5, "'%' is not part of YAQL"),
    ("1 -> $a", 5, "in front of `->` stands `let(name => value)`"),
    ("let(a => 1)", 3, "let() is not known here"),
    ("let(a => 1) -> $b", 18, "`$b` stands for nothing here"),
    ("regex(a)", 3, "regex() is not known here"),
    ("regex(a).split(b)", 3, "regex() is not known here"),
    ("'abc", 3, "not closed"),
    ("$.x", 3, "`$` stands for nothing here"),
    ("ctx(list).select($y)", 20, "`$y` stands for nothing here"),
    ("st2kv('a.b')", 3, "'a.b' is no name of a secret"),
    ("st2kv(ctx().a)", 3, "st2kv() takes the name of a key"),
    ("nothing(1)", 3, "nothing() is not known here"),
    ("ctx(list).nothing()", 13, ".nothing() is not known here"),
    ("keys(ctx(map))", 3, "keys() is not known here"),
    ("now()", 3, "now() is not known here"),
    ("ctx(a, b)", 3, "ctx() takes 0 to 1 arguments here; saw 2"),
    ("ctx(a => 1)", 7, "takes no named arguments"),
    ("[a => 1]", 4, "a list has no"),
    ("{a}", 3, "is `key => value`"),
    ("dict(a => 1, 2)", 16, "follows named ones"),
    ("'abc'.substring(-1)", 9, "written out, from 0 on"),
    ("task(x).id", 11, "'id' of a task is not known here"),
    ("switch(1)", 10, "takes `condition => value`"),
    ("99999999999999999999", 3, "does not fit into 64 bits"),
]


@pytest.mark.parametrize(("text", "at", "says"), REFUSED)
def test_everything_else_is_refused_at_its_place(text: str, at: int, says: str) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        read_yaql(f"<% {text} %>", 2, "%>")
    assert says in caught.value.message
    assert caught.value.offset == (at if text else 2)


def test_the_end_is_found_behind_texts_that_look_like_it() -> None:
    tree, end = read_yaql("<% ctx().a + '%>' %> and more", 2, "%>")
    assert (unparse(tree), end) == ("vars.a + '%>'", 18)


def test_nesting_without_end_is_refused() -> None:
    for text in ("(" * 500 + "1" + ")" * 500, "-" * 5_000 + "1", "not " * 5_000 + "1", "1 + " * 20_000 + "1"):
        with pytest.raises(ExpressionSyntaxError):
            read_yaql(text, 0, "")


def test_what_is_known_is_known() -> None:
    functions, methods = KNOWN
    assert {"ctx", "item", "result", "switch"} <= set(functions)
    assert {"select", "where", "get", "len"} <= set(methods)


LEAVES = st.sampled_from(["1", "2.5", "'a b'", "true", "null", "ctx().a", "ctx(b)", "item(c)", "result()", "x"])
FORMS = st.sampled_from([
    "{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} mod {}", "{} = {}", "{} != {}", "{} < {}", "{} in [{}]",
    "{} and {}", "{} or {}", "not {} and {}", "({}).get(k, {})", "({}).select($ + {})", "[{}, {}]",
    "{{k => {}, l => {}}}",
    "switch({} => {})", "coalesce({}, {})", "({}).where($.x = {})", "-({}) + ({})", "({}).first({})",
])  # fmt: skip


def joined(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda form, one, other: form.format(f"({one})", f"({other})"), FORMS, children, children)


@settings(max_examples=200, deadline=None)
@given(text=st.recursive(LEAVES, joined, max_leaves=6))
def test_whatever_is_read_is_written_as_what_means_the_same(text: str) -> None:
    tree = read_yaql(text, 0, "")[0]
    again = read_yaql(say_yaql(tree), 0, "")[0]
    assert unparse(again) == unparse(tree)
