"""Making JSON values of what tasks return."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import uuid
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.values import MAX_INTEGER, MIN_INTEGER, Sealed
from stepwell.worker.results import normalised

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(MIN_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def containers(value: Any) -> list[int]:
    """The identities of all lists and objects in a value."""
    if isinstance(value, dict):
        return [id(value), *(found for item in value.values() for found in containers(item))]
    if isinstance(value, list):
        return [id(value), *(found for item in value for found in containers(item))]
    return []


@settings(deadline=None)
@given(json_values)
def test_json_values_stay_what_they_are_and_share_nothing_with_the_task(value: Any) -> None:
    result = normalised(value)
    assert result == value
    assert json.dumps(result) == json.dumps(value)
    assert not set(containers(result)) & set(containers(value))


@settings(deadline=None)
@given(json_values)
def test_normalising_twice_changes_nothing(value: Any) -> None:
    once = normalised((value, {"x": value}))
    assert normalised(once) == once


def loosened(value: Any) -> Any:
    """The same value made of other types than JSON's own."""
    if isinstance(value, dict):
        return collections.OrderedDict((key, loosened(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(loosened, value)) if len(value) % 2 else collections.deque(map(loosened, value))
    if isinstance(value, str):
        return Name(value)
    return value


@settings(deadline=None)
@given(json_values)
def test_values_of_kindred_types_become_the_json_value(value: Any) -> None:
    result = normalised(loosened(value))
    assert json.dumps(result) == json.dumps(value)
    assert all_exact(result)


def all_exact(value: Any) -> bool:
    """Whether only JSON's own types are in it, and no subclasses of them."""
    if type(value) is dict:
        return all(type(key) is str and all_exact(item) for key, item in value.items())
    if type(value) is list:
        return all(map(all_exact, value))
    return type(value) in (str, int, float, bool, type(None))


class Name(str):
    __slots__ = ()


class Measure(float):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


class Kind(enum.Enum):
    PAIR = ("a", 1)


class Model(pydantic.BaseModel):
    at: datetime.date
    tags: set[str]


class Record(msgspec.Struct):
    amount: decimal.Decimal


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    points: list[Point]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Name("x"), "x"),
        (Measure(1.5), 1.5),
        (Level.HIGH, 3),
        (Kind.PAIR, ["a", 1]),
        (Model(at=datetime.date(2026, 1, 2), tags={"a"}), {"at": "2026-01-02", "tags": ["a"]}),
        (Record(decimal.Decimal("1.10")), {"amount": "1.10"}),
        (
            Order(uuid.UUID(int=1), [Point(1, 2)]),
            {"id": "00000000-0000-0000-0000-000000000001", "points": [[1, 2]]},
        ),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05Z"),
        (datetime.timedelta(seconds=90), "PT90S"),
        ({"x": range(3)}, {"x": [0, 1, 2]}),
        ({"a": 1}.items(), [["a", 1]]),
        ({"a": 1}.values(), [1]),
        (frozenset({1}), [1]),
        (collections.Counter("aa"), {"a": 2}),
    ],
)
def test_common_types_have_a_json_form(value: Any, expected: Any) -> None:
    assert normalised(value) == expected
    assert normalised([value]) == [expected]
    assert all_exact(normalised(value))


def test_sealed_values_stay_sealed() -> None:
    value = {"a": Sealed("x"), "b": [1, (Sealed({"c": 2}),)], "d": datetime.date(2026, 1, 2)}
    assert normalised(value) == {"a": Sealed("x"), "b": [1, [Sealed({"c": 2})]], "d": "2026-01-02"}


class Holder:
    """Something that has no JSON form."""


@dataclasses.dataclass
class Wrapper:
    inner: Any


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "the result is nan, which JSON cannot hold"),
        ({"a": [1, math.inf]}, "the result.a[1] is inf, which JSON cannot hold"),
        (2**64, "the result is an integer of more than 64 bits"),
        ({"a": [0, -(2**63) - 1]}, "the result.a[1] is an integer of more than 64 bits"),
        ({"a": {3: 1}}, "the result.a has the key 3, which is not text"),
        ({"a": {(1, 2): 1}}, "the result.a has the key (1, 2), which is not text"),
        ([b"x"], "the result[0] is of type bytes, which is not a JSON value"),
        ([{"x": Holder()}], "the result[0].x is of type Holder, which is not a JSON value"),
        ([Wrapper(Holder())], "the result[0] holds something of type Holder, which is not a JSON value"),
        ([iter(())], "the result[0] is of type tuple_iterator, which is not a JSON value"),
        (["a\ud800"], "the result[0] holds a lone surrogate, which is not Unicode text"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalised(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        normalised(value)


def test_a_value_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than 8 MiB"):
        normalised(["x" * 1024] * 9000)
