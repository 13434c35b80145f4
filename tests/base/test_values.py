"""The values that flow through a workflow, and the wrappers that keep secrets out of sight."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.values import (
    MASK,
    MAX_BYTES,
    MAX_DEPTH,
    Sealed,
    SecretRef,
    SecretText,
    check_json,
    masked,
    transform_leaves,
    unsealed,
)

SECRETS = [Sealed("s3cret"), SecretRef("TOKEN"), SecretText(("Bearer ", SecretRef("TOKEN"), Sealed("s3cret")))]


def nested(depth: int, inner: Any = 1) -> Any:
    """A list in a list in a list."""
    for _ in range(depth):
        inner = [inner]
    return inner


# Wrappers


@pytest.mark.parametrize(
    "text", [str, repr, lambda value: f"{value}", lambda value: f"{[value]}", lambda value: f"{value!r:>3}"]
)
def test_a_sealed_value_is_never_printed(text: Any) -> None:
    assert "s3cret" not in text(Sealed("s3cret"))
    assert "s3cret" not in text(Sealed({"in": ["s3cret"]}))
    assert "s3cret" not in text(SECRETS[2])


def test_sealing_twice_is_sealing_once() -> None:
    assert Sealed(Sealed(1)).value == 1


def test_text_with_secrets_shows_what_is_not_secret() -> None:
    assert repr(SECRETS[2]) == "Bearer ******"
    assert repr(SecretRef("TOKEN")) == "secrets.TOKEN"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Sealed(1), Sealed(1.0)),
        (Sealed({"a": 1, "b": 2}), Sealed({"b": 2, "a": 1})),
        (Sealed([1]), Sealed([1])),
        (SecretRef("A"), SecretRef("A")),
        (SecretText(("x", SecretRef("A"))), SecretText(("x", SecretRef("A")))),
    ],
)
def test_equal_secrets_are_interchangeable(one: Any, other: Any) -> None:
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


def test_a_secret_equals_nothing_of_another_kind() -> None:
    for one in [*SECRETS, "s3cret", "TOKEN", "***", None]:
        for other in [*SECRETS, "s3cret", "TOKEN", "***", None]:
            assert (one == other) == (one is other)
    assert Sealed(1) != Sealed(2)


def test_masked_hides_every_secret_and_nothing_else() -> None:
    value = {"a": SECRETS, "b": ["plain", 1, None], "c": ("x",)}
    assert masked(value) == {"a": [MASK, MASK, MASK], "b": ["plain", 1, None], "c": ["x"]}
    assert masked(SECRETS[0]) == MASK


def test_unsealed_opens_what_is_known_here() -> None:
    assert unsealed({"a": Sealed({"b": 1}), "c": SecretRef("TOKEN")}) == {"a": {"b": 1}, "c": SecretRef("TOKEN")}


def test_transforming_makes_a_copy() -> None:
    value = {"a": [1]}
    copy = transform_leaves(value, lambda leaf: leaf)
    assert copy == value
    copy["a"].append(2)
    assert value == {"a": [1]}


# What can be stored

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(SECRETS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(_values)
def test_every_json_value_can_be_stored(value: Any) -> None:
    check_json(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "the value is nan, which JSON cannot hold"),
        (-math.inf, "the value is -inf, which JSON cannot hold"),
        (2**64, "the value is an integer of more than 64 bits"),
        (-(2**63) - 1, "the value is an integer of more than 64 bits"),
        ("\ud800", "the value holds a lone surrogate, which is not Unicode text"),
        (b"x", "the value is of type bytes, which is not a JSON value"),
        (object(), "the value is of type object, which is not a JSON value"),
        ({"a": [0, {"b": {1}}]}, "the value.a[1].b is of type set, which is not a JSON value"),
        ({"a": {5: 1}}, "the value.a has the key 5, which is not text"),
        ({"\udfff": 1}, "the value holds a lone surrogate, which is not Unicode text"),
        ({"a": Sealed({"b": math.nan})}, "the value.a.b is nan, which JSON cannot hold"),
        (nested(MAX_DEPTH + 1), "is nested more than 64 deep"),
        (Sealed(nested(MAX_DEPTH + 1)), "is nested more than 64 deep"),
        (nested(MAX_DEPTH, Sealed([1])), "is nested more than 64 deep"),
        ("x" * MAX_BYTES, "the value makes the whole larger than 8 MiB"),
        ([["x" * 1024] * 1024] * 9, "makes the whole larger than 8 MiB"),
        ({"a": Sealed("x" * MAX_BYTES)}, "the value.a makes the whole larger than 8 MiB"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        check_json(value)
    assert message in str(caught.value)


def test_the_bounds_themselves_are_allowed() -> None:
    check_json(nested(MAX_DEPTH))
    check_json("x" * (MAX_BYTES - 1))
    check_json([2**64 - 1, -(2**63)])


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        check_json(loop)


def test_a_value_with_the_same_part_many_times_is_counted_as_it_will_be_stored() -> None:
    part: Any = "x" * 1000
    for _ in range(40):
        part = {"l": part, "r": part}
    with pytest.raises(ValueError, match="makes the whole larger than 8 MiB"):
        check_json(part)


def test_the_place_is_named_as_the_caller_calls_it() -> None:
    with pytest.raises(ValueError, match=r"input\.a is nan"):
        check_json({"a": math.nan}, what="input")
