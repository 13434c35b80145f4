"""Secrets: references that are only inserted, and sealed values whose results stay sealed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.values import MASK, Sealed, SecretRef, SecretText, masked
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError, UnavailableOutput, Undefined
from stepwell.expression.grammar import FUNCTIONS
from stepwell.expression.scope import Lookup
from stepwell.expression.sealing import opened
from stepwell.expression.template import compile_condition, compile_template
from tests.expression.rendering import evaluate, failed, failure, holds, refused, render, scope

TOKEN = SecretRef("TOKEN")
PASSWORD = "hunter2-hunter2"
INPUT = {
    "password": Sealed(PASSWORD),
    "n": Sealed(7),
    "name": "Ada",
    "tags": ["a", Sealed("b")],
    "deep": {"p": Sealed(1)},
}


@pytest.mark.parametrize("expression", ["secrets.TOKEN", "secrets['TOKEN']", 'secrets["TOKEN"]', "(secrets.TOKEN)"])
def test_a_secret_is_a_reference_to_be_fetched_later(expression: str) -> None:
    assert evaluate(expression) == TOKEN
    assert compile_template("{{ " + expression + " }}").references[0].path == ("secrets", "TOKEN")


def test_a_secret_in_text_keeps_its_place() -> None:
    assert render("Bearer {{ secrets.TOKEN }}") == SecretText(("Bearer ", TOKEN))
    assert render("{{ a }}:{{ secrets.TOKEN }}@{{ secrets.HOST }}", a=1) == SecretText(
        ("1", ":", TOKEN, "@", SecretRef("HOST"))
    )
    assert evaluate("'Bearer ' ~ secrets.TOKEN") == SecretText(("Bearer ", TOKEN))
    assert evaluate("'a' ~ ('b' ~ secrets.TOKEN)") == SecretText(("a", "b", TOKEN))


def test_a_text_may_hold_secrets_and_sealed_values() -> None:
    assert render("{{ secrets.TOKEN }}/{{ input.password }}", input=INPUT) == SecretText((TOKEN, "/", Sealed(PASSWORD)))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[secrets.TOKEN]", [TOKEN]),
        ("{'a': secrets.TOKEN}", {"a": TOKEN}),
        ("secrets.TOKEN if x else 'none'", TOKEN),
        ("'none' if x else secrets.TOKEN", "none"),
        ("x and secrets.TOKEN", TOKEN),
        ("{'a': secrets.TOKEN}.a", TOKEN),
        ("[secrets.TOKEN, 1] | last", 1),
        ("[secrets.TOKEN] | first", TOKEN),
        ("merge({'a': 1}, {'b': secrets.TOKEN})", {"a": 1, "b": TOKEN}),
    ],
)
def test_a_secret_can_be_passed_on(expression: str, value: object) -> None:
    assert evaluate(expression, x=True) == value


@pytest.mark.parametrize(
    "expression",
    [
        "secrets.TOKEN == 'a'",
        "secrets.TOKEN in ['a']",
        "'a' in [secrets.TOKEN]",
        "not secrets.TOKEN",
        "1 if secrets.TOKEN else 2",
        "secrets.TOKEN or 1",
        "secrets.TOKEN + 'a'",
        "secrets.TOKEN | upper",
        "secrets.TOKEN | length",
        "secrets.TOKEN | to_json",
        "{'a': secrets.TOKEN} | to_json",
        "[secrets.TOKEN] | join(',')",
        "string(secrets.TOKEN)",
        "hash(secrets.TOKEN)",
        "b64encode('a' ~ secrets.TOKEN)",
        "'x' ~ [secrets.TOKEN]",
        "[secrets.TOKEN] == [1]",
        "secrets.TOKEN is string",
        "-secrets.TOKEN",
        "({'a': secrets.TOKEN}.a)[0]",
        "(secrets.TOKEN if true).x",
        "([secrets.TOKEN] | first)[1:]",
        "input[secrets.TOKEN]",
        "{secrets.TOKEN: 1}",
        "sort([secrets.TOKEN, 'a'])",
        "unique([secrets.TOKEN])",
        "('Bearer ' ~ secrets.TOKEN) | upper",
    ],
)
def test_nothing_can_be_computed_from_a_secret(expression: str) -> None:
    error = failed(expression, input={})
    assert error.code in ("secret-misuse", "wrong-type")
    assert "secret" in error.message


@pytest.mark.parametrize("text", ["x {{ [secrets.TOKEN] }}", "x {{ {'a': secrets.TOKEN} }}"])
def test_a_secret_within_a_list_or_object_cannot_become_text(text: str) -> None:
    assert failure(text).code == "secret-misuse"


def test_a_condition_cannot_be_a_secret() -> None:
    with pytest.raises(ExpressionError, match="only be inserted") as caught:
        holds("{{ secrets.TOKEN }}")
    assert caught.value.expression == "secrets.TOKEN"


@pytest.mark.parametrize(
    "expression", ["secrets", "secrets.A.B", "secrets[x]", "secrets['A'][0]", "secrets[0]", "secrets[1:]"]
)
def test_a_secret_is_read_by_name_and_as_a_whole(expression: str) -> None:
    with pytest.raises(ExpressionSyntaxError, match="read by its name"):
        compile_template("{{ " + expression + " }}")
    assert "secrets.NAME" in str(refused("{{ " + expression + " }}").hint)


@pytest.mark.parametrize(
    ("expression", "content"),
    [
        ("input.password", PASSWORD),
        ("input['password']", PASSWORD),
        ("input[key]", PASSWORD),
        ("input.password[0]", "h"),
        ("input.password[-2:]", "r2"),
        ("input.password | upper", PASSWORD.upper()),
        ("input.password | length", 15),
        ("input.password ~ '!'", PASSWORD + "!"),
        ("'!' + input.password", "!" + PASSWORD),
        ("input.password == 'x'", False),
        ("'x' != input.password", True),
        ("'hunter' in input.password", True),
        ("input.password in ['a']", False),
        ("not input.password", False),
        ("input.n + 1", 8),
        ("-input.n", -7),
        ("1 < input.n < 9", True),
        ("input.n is number", True),
        ("input.tags | join('-')", "a-b"),
        ("input.tags | last", "b"),
        ("input.tags == ['a', 'b']", True),
        ("'b' in input.tags", True),
        ("input.tags | to_json", '["a","b"]'),
        ("input.tags ~ ''", '["a","b"]'),
        ("sum([input.n, 1])", 8),
        ("replace('x-y', '-', input.password)", f"x{PASSWORD}y"),
        ("[{'k': input.n}] | filter(k=7)", [{"k": 7}]),
        ("[{'k': 7}] | filter(k=input.n)", [{"k": 7}]),
        ("input.deep | string", '{"p":1}'),
        ("{'hunter2-hunter2': 1}[input.password]", 1),
        ("whole.a.b", 5),
        ("whole.a | to_json", '{"b":5}'),
        ("whole['a'].b + 1", 6),
        ("'%' | default(input.n) ~ input.n", "%7"),
        ("sha256(input.password) | length", 64),
        ("type_of(input.password)", "string"),
    ],
)
def test_what_is_computed_from_a_sealed_value_is_sealed(expression: str, content: object) -> None:
    result = evaluate(expression, input=INPUT, whole=Sealed({"a": {"b": 5}}), key="password")
    assert isinstance(result, Sealed), result
    assert result.value == content


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("input.name", "Ada"),
        ("input.tags | length", 2),
        ("input.tags[0]", "a"),
        ("input.tags", ["a", Sealed("b")]),
        ("input.tags + ['c']", ["a", Sealed("b"), "c"]),
        ("input.tags | reversed", [Sealed("b"), "a"]),
        ("keys(input.deep)", ["p"]),
        ("values(input.deep)", [Sealed(1)]),
        ("[input.n]", [Sealed(7)]),
        ("{'a': input.n}", {"a": Sealed(7)}),
        ("1 if input.password else 2", 1),
        ("input.password and 5", 5),
        ("input.password is defined", True),
        ("input.n | default(1)", Sealed(7)),
        ("input.password or 1", Sealed(PASSWORD)),
    ],
)
def test_only_what_tells_about_the_content_is_sealed(expression: str, value: object) -> None:
    assert evaluate(expression, input=INPUT) == value


def test_text_with_something_sealed_in_it_is_sealed_as_a_whole() -> None:
    assert render("p={{ input.password }}&n={{ input.name }}", input=INPUT) == Sealed(f"p={PASSWORD}&n=Ada")
    assert render("{{ input.deep }}!", input=INPUT) == Sealed('{"p":1}!')


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("no", False), (0, False), ([], False), ("x", True)])
def test_a_condition_opens_what_is_sealed(value: object, expected: bool) -> None:
    assert holds("{{ x }}", x=Sealed(value)) is expected
    assert holds("x and true", x=Sealed(value)) is expected


ERRORS = [
    "input.password + 1",
    "input.password < 1",
    "input.password | number",
    "input.password | from_json",
    "input.password | b64decode",
    "match('a', '(' ~ input.password)",
    "duration(input.password)",
    "timestamp(input.password)",
    "input.password.x",
    "input.password[99]",
    "input[input.password]",
    "{}[input.password]",
    "[input.password] | sum",
    "sort([input.password, 1])",
    "[1][input.password]",
    "upper(input.n)",
    "split(input.password, '')",
    "whole.password.hunter",
    "format_time(now(), '%' ~ input.password)",
    "[input.password] | map('x')",
    "-input.password",
    "1 / (input.n - 7)",
    "'a' * (input.n ** 22)",
    "input.name[input.password:]",
]


@pytest.mark.parametrize("expression", ERRORS)
def test_no_message_shows_the_content_of_a_sealed_value(expression: str) -> None:
    roots = {"input": INPUT, "whole": Sealed({"password": {"hunter2": 1}})}
    error = failed(expression, **roots)
    assert "hunter2" not in str(error).replace(expression, "") + repr(error) + str(error.hint)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_what_is_undefined_within_a_sealed_value_can_be_given_a_default() -> None:
    assert evaluate("whole.x | default(1)", whole=Sealed({})) == 1
    assert evaluate("first(x) | default(1)", x=Sealed([])) == 1
    assert isinstance(failed("whole.x", whole=Sealed({"y": 1})), Undefined)
    assert failed("whole.x", whole=Sealed({"xx": 1})).hint is None


def test_a_record_found_with_a_sealed_key_is_sealed() -> None:
    class Record(Lookup):
        def __getitem__(self, name: str) -> Any:
            if name == "gone":
                raise UnavailableOutput("it is gone")
            return {"one": 1, "inner": Record()}[name]

        def as_data(self) -> object:
            return {"one": 1}

    assert evaluate("r[key].one", r=Record(), key=Sealed("inner")) == Sealed(1)
    assert evaluate("r[key]", r=Record(), key=Sealed("inner")) == Sealed({"one": 1})
    error = failed("r[key]", r=Record(), key=Sealed("gone"))
    assert isinstance(error, UnavailableOutput)
    assert "gone" not in str(error)
    assert "nope" not in str(failed("r[key]", r=Record(), key=Sealed("nope")))


LEAF = st.none() | st.booleans() | st.integers(-5, 5) | st.text(alphabet="ab1, ", max_size=3)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=5
)
OPERATIONS = [
    *("x == y", "x in y", "x + y", "x ~ y", "x < y", "x * y", "-x", "not x", "x and y", "x and y or x", "1 < x < y"),
    *("x[y]", "x.a", "x[0]", "x[1:]", "[x, y]", "x if y else 1", "x is string", "x | default(y)", "x | type_of"),
    *("x | length", "x | string", "x | join(',')", "x | sort", "x | first", "x | unique", "x | to_json", "x | upper"),
    *(
        "x | int",
        "x | sum",
        "x | flat",
        "zip(x, y)",
        "merge(x, y)",
        "contains(x, y)",
        "x | index_of(y)",
        "x | map('a')",
    ),
    *("x | filter(a=y)", "x | reversed", "append(x, y)", "min(x)", "replace(x, y, x)", "count(x, y)"),
]


@settings(deadline=None)
@given(st.sampled_from(OPERATIONS), VALUE, VALUE)
def test_sealing_never_changes_what_is_computed(operation: str, x: Any, y: Any) -> None:
    template = compile_template("{{ " + operation + " }}")
    plain = _result(template, x=x, y=y)
    assert _result(template, x=Sealed(x), y=y) == plain
    assert _result(template, x=_sealed_leaves(x), y=Sealed(y)) == plain


def _result(template: Any, **roots: Any) -> Any:
    try:
        return opened(template.render(scope(**roots)))
    except ExpressionError as error:
        return "undefined" if isinstance(error, Undefined) else error.code


def _sealed_leaves(value: Any) -> Any:
    if isinstance(value, list):
        return [_sealed_leaves(item) for item in value]
    if isinstance(value, dict):
        return {key: _sealed_leaves(item) for key, item in value.items()}
    return Sealed(value)


MARK = "0xSECRET"
TAINTING = [name for name, function in FUNCTIONS.items() if function.parameters and not function.outcome]


@pytest.mark.parametrize("name", sorted(TAINTING))
@pytest.mark.parametrize("argument", [Sealed(MARK), [Sealed(MARK)], {"a": Sealed(MARK)}, [{"a": Sealed(MARK)}]])
def test_no_function_lets_a_sealed_value_out(name: str, argument: Any) -> None:
    for call in (
        f"{name}(x)",
        f"{name}(x, x)",
        f"{name}(x, 1)",
        f"{name}(x, 'a')",
        f"{name}(x, 'a', x)",
        f"{name}(x, a=x)",
    ):
        try:
            template = compile_template("{{ " + call + " }}")
        except ExpressionSyntaxError:
            continue
        try:
            shown = masked(template.render(scope(x=argument)))
        except ExpressionError as error:
            shown = str(error)
        assert MARK not in str(shown)
        assert MARK.lower() not in str(shown).lower()


def test_the_mask_is_what_a_sealed_result_prints() -> None:
    assert str(evaluate("input.password | upper", input=INPUT)) == MASK


def test_a_condition_over_a_sealed_value_is_a_plain_boolean() -> None:
    assert compile_condition("input.password == 'x'").holds(scope(input=INPUT)) is False
