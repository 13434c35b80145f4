"""Checking values against JSON Schemas, their defaults, and what in them is secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.sensitive import names_a_secret
from stepwell.base.values import Sealed, SecretRef, SecretText, transform_leaves
from stepwell.decider.checking import SchemaCheck, path_text


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "userPassword", "user_password", "PASSWORD", "passwd", "pwd", "passphrase", "secret",
        "client_secret", "token", "access_token", "accessToken", "refreshToken", "credential", "credentials",
        "api_key", "apiKey", "APIKey", "apikey", "X-Api-Key", "access_key", "private_key", "privateKey", "secret-key",
        "signing_key", "encryptionKey", "password_confirmation", "confirm_password", "old_password", "passwordAgain",
        "token_value",
    ],
)  # fmt: skip
def test_these_names_say_that_they_hold_a_secret(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "user", "email", "password_hash", "passwordless", "token_count", "tokens", "secretary", "key", "public_key",
        "primary_key", "sort_key", "keyboard", "passport", "confirm", "value", "new_value", "", "_", "§", "a1",
    ],
)  # fmt: skip
def test_these_names_do_not(name: str) -> None:
    assert not names_a_secret(name)


def sealed(schema: dict[str, Any], value: Any) -> Any:
    """The value with what is secret in it sealed."""
    return SchemaCheck(schema).sealed(value)


@pytest.mark.parametrize("mark", [{"secret": True}, {"format": "password"}, {"writeOnly": True}])
def test_a_mark_in_the_schema_seals(mark: dict[str, Any]) -> None:
    assert sealed({"properties": {"pin": mark}}, {"pin": 1234, "n": 1}) == {"pin": Sealed(1234), "n": 1}


def test_secret_false_says_that_a_name_misleads() -> None:
    assert sealed({"properties": {"token": {"secret": False}}}, {"token": "t"}) == {"token": "t"}
    assert sealed({"properties": {"pin": {"secret": False, "format": "password"}}}, {"pin": 1}) == {"pin": 1}


def test_null_is_no_secret() -> None:
    assert sealed({}, {"password": None}) == {"password": None}


def test_a_secret_object_is_sealed_as_a_whole() -> None:
    value = {"credentials": {"user": "ada", "pin": 1}}
    assert sealed({}, value) == {"credentials": Sealed({"user": "ada", "pin": 1})}


SECRET = {"secret": True}
WHERE: list[tuple[dict[str, Any], Any, Any]] = [
    ({"properties": {"a": {"properties": {"pin": {"secret": True}}}}}, {"a": {"pin": 1}}, {"a": {"pin": Sealed(1)}}),
    ({"items": {"properties": {"pin": {"secret": True}}}}, [{"pin": 1}, {"n": 2}], [{"pin": Sealed(1)}, {"n": 2}]),
    (
        {"prefixItems": [{}, {"properties": {"pin": {"secret": True}}}], "items": {}},
        [{"pin": 1}, {"pin": 2}, {"pin": 3}],
        [{"pin": 1}, {"pin": Sealed(2)}, {"pin": 3}],
    ),
    ({"additionalProperties": {"secret": True}, "properties": {"n": {}}}, {"n": 1, "x": 2}, {"n": 1, "x": Sealed(2)}),
    ({"patternProperties": {"^x_": {"secret": True}}}, {"x_1": 1, "y_1": 2}, {"x_1": Sealed(1), "y_1": 2}),
    ({"patternProperties": {r"^\p{Alphabetic}$": {"secret": True}}}, {"x": 1}, {"x": Sealed(1)}),
    ({"allOf": [{"properties": {"pin": {"secret": True}}}]}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"anyOf": [{"type": "null"}, {"properties": {"pin": {"secret": True}}}]}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"oneOf": [{"properties": {"pin": {"secret": True}}}]}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"if": True, "then": {"properties": {"pin": {"secret": True}}}}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"dependentSchemas": {"n": {"properties": {"pin": {"secret": True}}}}}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"pin": {"secret": True}}}}}, {"pin": 1}, {"pin": Sealed(1)}),
    ({"properties": {"p": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": SECRET}}, {"p": 1}, {"p": Sealed(1)}),
    ({"properties": {"p": {"$ref": "#x"}}, "$defs": {"x": {"$anchor": "x", **SECRET}}}, {"p": 1}, {"p": Sealed(1)}),
    ({"properties": {"p": {"$ref": "urn:x"}}, "$defs": {"x": {"$id": "urn:x", **SECRET}}}, {"p": 1}, {"p": Sealed(1)}),
    ({"properties": {"p": {"allOf": [{"secret": True}], "type": "string"}}}, {"p": "x"}, {"p": Sealed("x")}),
    (
        {"properties": {"pin": {"secret": True}, "inner": {"$ref": "#"}}},
        {"inner": {"inner": {"pin": 1}}},
        {"inner": {"inner": {"pin": Sealed(1)}}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "expected"), WHERE)
def test_secrets_are_found_wherever_the_schema_says_it(schema: dict[str, Any], value: Any, expected: Any) -> None:
    assert sealed(schema, value) == expected


def test_a_schema_that_refers_to_itself_is_no_trap() -> None:
    loop = {"allOf": [{"$ref": "#"}], "properties": {"a": {"$ref": "#/properties/a"}}}
    check = SchemaCheck(
        {"$defs": {"l": loop}, "properties": {"a": {"allOf": [{"$ref": "#/properties/a"}], "default": 1}}}
    )
    assert check.sealed({"a": 1}) == {"a": 1}
    assert check.with_defaults({}) == {"a": 1}


# Defaults


def test_defaults_fill_what_is_lacking_at_every_depth() -> None:
    schema = {
        "properties": {
            "a": {"default": 1},
            "b": {"properties": {"c": {"default": 2}}},
            "l": {"items": {"properties": {"d": {"default": 3}}}},
            "r": {"$ref": "#/$defs/r"},
        },
        "allOf": [{"properties": {"e": {"default": 4}}}],
        "$defs": {"r": {"properties": {"f": {"default": 5}}}},
    }
    given_ = {"b": {}, "l": [{}, {"d": 0}], "r": {}}
    assert SchemaCheck(schema).with_defaults(given_) == {
        "a": 1, "b": {"c": 2}, "l": [{"d": 3}, {"d": 0}], "r": {"f": 5}, "e": 4,
    }  # fmt: skip
    assert given_ == {"b": {}, "l": [{}, {"d": 0}], "r": {}}


def test_defaults_of_alternatives_are_not_taken_for_granted() -> None:
    schema = {"anyOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"a": {"default": 2}}}]}
    assert SchemaCheck(schema).with_defaults({}) == {}


# Messages


def test_every_problem_is_found_and_placed() -> None:
    schema = {"properties": {"l": {"items": {"type": "integer"}}, "n": {"minimum": 5}}, "required": ["x"]}
    assert sorted(SchemaCheck(schema).problems({"l": [1, "two"], "n": 3})) == [
        ("", '"x" is a required property'),
        ("l[1]", '"two" is not of type "integer"'),
        ("n", "3 is less than the minimum of 5"),
    ]


def test_formats_are_enforced() -> None:
    check = SchemaCheck({"properties": {"e": {"format": "email"}, "t": {"format": "date-time"}}})
    assert [path for path, _ in check.problems({"e": "nobody", "t": "today"})] == ["e", "t"]
    assert check.problems({"e": "ada@example.org", "t": "2026-11-20T10:00:00Z"}) == []


def test_a_whole_object_is_never_shown() -> None:
    (problem,) = SchemaCheck({"properties": {"o": {"type": "string"}}}).problems({"o": {"name": "ada"}})
    assert problem == ("o", '*** is not of type "string"')


def test_a_long_value_is_cut() -> None:
    ((_, message),) = SchemaCheck({"properties": {"s": {"type": "integer"}}}).problems({"s": "x" * 10_000})
    assert len(message) < 310


def test_an_unknown_secret_is_checked_as_a_text_and_breaks_nothing() -> None:
    check = SchemaCheck({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}})
    value = {"a": SecretRef("A"), "b": SecretText(("x", SecretRef("B")))}
    assert check.problems(value) == [("a", '*** is not of type "integer"')]


def test_a_sealed_value_is_checked_by_its_content_and_not_told() -> None:
    check = SchemaCheck({"properties": {"a": {"maximum": 5}, "o": {"properties": {"in": {"type": "string"}}}}})
    assert check.problems({"a": Sealed(5)}) == []
    problems = check.problems({"a": Sealed(123456), "o": Sealed({"in": 987654})})
    assert [path for path, _ in problems] == ["a", "o.in"]
    assert "123456" not in repr(problems)
    assert "987654" not in repr(problems)


_WRONG = [
    {"type": "boolean"}, {"minLength": 99}, {"pattern": "^never$"}, {"enum": [1]}, {"const": 2}, {"format": "email"},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, {"not": {}}, {"maximum": 3}, {"type": "object"},
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    wrong=st.sampled_from(_WRONG),
    name=st.sampled_from(["password", "pin", "api_key", "x_pin"]),
    nested=st.booleans(),
    secret=st.sampled_from(["s3cr3t-v4lue", 987654321, ["s3cr3t-v4lue"], {"k": "s3cr3t-v4lue"}]),
)
def test_no_message_ever_tells_a_secret(wrong: dict[str, Any], name: str, nested: bool, secret: Any) -> None:
    inner = {"properties": {name: {**wrong, "secret": True}}, "patternProperties": {"^x_": wrong}}
    schema = {"properties": {"o": inner}} if nested else inner
    value = {"o": {name: secret}} if nested else {name: secret}
    for one in (value, SchemaCheck(schema).sealed(value)):
        told = repr(SchemaCheck(schema).problems(one))
        assert "s3cr3t-v4lue" not in told
        assert "987654321" not in told


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "password", "pin"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(value=_json)
def test_sealing_changes_nothing_but_the_wrapper(value: Any) -> None:
    result = sealed({"properties": {"pin": {"secret": True}}}, value)
    assert transform_leaves(result, lambda leaf: leaf.value if isinstance(leaf, Sealed) else leaf) == value


@pytest.mark.parametrize(("path", "text"), [([], ""), (["a"], "a"), (["a", 0, "b"], "a[0].b"), ([0, "a"], "[0].a")])
def test_a_path_is_written_as_in_expressions(path: list[Any], text: str) -> None:
    assert path_text(path) == text
