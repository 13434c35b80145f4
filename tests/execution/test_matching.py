"""Which event wakes which wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.values import Sealed, SecretRef
from stepwell.definition.settings_checks import FILTER_COMBINATIONS, FILTER_OPERATORS
from stepwell.execution.matching import (
    ANY,
    COMBINATIONS,
    OPERATORS,
    filter_problem,
    match_key_of_filter,
    match_keys_of_event,
    matches,
)

DATA = {
    "n": 5,
    "zero": 0,
    "half": 0.5,
    "s": "hello world",
    "empty": "",
    "null": None,
    "yes": True,
    "no": False,
    "list": [1, "two", {"id": 7}],
    "nothing": [],
    "object": {"inner": {"deep": "x"}},
    "void": {},
    "a.b": "dotted",
    "a.c": {"d.e": 1},
}

HOLDS: list[tuple[str, Any]] = [
    ("n", 5), ("n", 5.0), ("s", "hello world"), ("null", None), ("yes", True), ("zero", 0),
    ("list", [1, "two", {"id": 7}]),
    ("void", {}), ("object", {"inner": {"deep": "x"}}),
    ("object.inner.deep", "x"), ("list.0", 1), ("list.2.id", 7), ("a.b", "dotted"), ("a.c.d.e", 1),
    ("n", {"~eq": 5}), ("n", {"~neq": 6}), ("n", {"~gt": 4}), ("n", {"~gte": 5}), ("n", {"~lt": 5.5}),
    ("n", {"~lte": 5}),
    ("s", {"~gt": "hello"}), ("s", {"~lt": "help"}), ("n", {"~gt": 1, "~lt": 9}),
    ("n", {"~in": [1, 5]}), ("n", {"~nin": [1, 2]}), ("null", {"~in": [None]}),
    ("list", {"~in": [[1, "two", {"id": 7}]]}),
    ("s", {"~regex": "^hel+o"}), ("s", {"~nregex": "^world"}), ("s", {"~starts": "hello"}),
    ("s", {"~nstarts": "world"}),
    ("s", {"~ends": "world"}), ("s", {"~nends": "hello"}), ("s", {"~contains": "lo wo"}), ("s", {"~ncontains": "xyz"}),
    ("list", {"~contains": "two"}), ("list", {"~contains": 1.0}), ("list", {"~contains": {"id": 7}}),
    ("list", {"~ncontains": True}), ("null", {"~isnull": True}), ("n", {"~isnull": False}),
    ("zero", {"~isnull": False}),
    ("empty", {"~isempty": True}), ("nothing", {"~isempty": True}), ("void", {"~isempty": True}),
    ("null", {"~isempty": True}), ("s", {"~isempty": False}), ("zero", {"~isempty": False}),
    ("no", {"~isempty": False}),
]  # fmt: skip

HOLDS_NOT: list[tuple[str, Any]] = [
    ("n", 6), ("n", "5"), ("yes", 1), ("yes", "true"), ("no", 0), ("zero", False), ("null", 0), ("null", ""), ("s",
    "hello"),
    ("list", [1, "two"]), ("list", [True, "two", {"id": 7}]), ("object", {"inner": {}}), ("list.9", 1), ("list.x", 1),
    ("list.²", 1), ("list.-1", {"id": 7}), ("n.x", 5), ("a", {}), ("a.c.d", 1),
    ("n", {"~eq": 6}), ("n", {"~neq": 5}), ("n", {"~gt": 5}), ("n", {"~gte": 5.1}), ("n", {"~lt": 5}),
    ("n", {"~lte": 4}),
    ("s", {"~gt": 5}), ("n", {"~gt": "4"}), ("yes", {"~gt": 0}), ("null", {"~lt": 5}), ("n", {"~gt": 1, "~lt": 3}),
    ("n", {"~in": []}), ("n", {"~in": ["5"]}), ("yes", {"~in": [1]}), ("n", {"~nin": [5]}),
    ("s", {"~regex": "^world"}), ("n", {"~regex": "5"}), ("s", {"~nregex": "hello"}), ("s", {"~starts": "world"}),
    ("n", {"~starts": "5"}), ("s", {"~nstarts": "hello"}), ("s", {"~ends": "hello"}), ("s", {"~nends": "world"}),
    ("s", {"~contains": "xyz"}), ("n", {"~contains": 5}), ("object", {"~contains": "inner"}),
    ("list", {"~contains": True}),
    ("list", {"~ncontains": "two"}), ("n", {"~isnull": True}), ("null", {"~isnull": False}), ("s", {"~isempty": True}),
    ("empty", {"~isempty": False}), ("zero", {"~isempty": True}), ("n", {"~like": 5}), ("n", {"~eq": 5, "other": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "wanted"), HOLDS)
def test_this_holds(path: str, wanted: Any) -> None:
    assert matches({path: wanted}, DATA)
    assert match_key_of_filter({path: wanted}) in match_keys_of_event(DATA)


@pytest.mark.parametrize(("path", "wanted"), HOLDS_NOT)
def test_this_does_not_hold(path: str, wanted: Any) -> None:
    assert not matches({path: wanted}, DATA)


_FITTING: dict[str, Any] = {"~in": [1], "~nin": [1], "~isnull": True, "~isempty": True}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_missing_field_matches_only_the_negative_operators_and_isnull(operator: str) -> None:
    negative = {"~neq", "~nin", "~nregex", "~nstarts", "~nends", "~ncontains", "~isnull"}
    assert matches({"missing": {operator: _FITTING.get(operator, "x")}}, DATA) is (operator in negative)


def test_a_missing_field_is_not_false() -> None:
    assert not matches({"missing": {"~isnull": False}}, DATA)
    assert not matches({"missing": {"~isempty": False}}, DATA)
    assert not matches({"missing": None}, DATA)


def test_there_are_these_operators_and_no_others() -> None:
    assert set(OPERATORS) == {
        "~eq", "~neq", "~gt", "~gte", "~lt", "~lte", "~in", "~nin", "~regex", "~nregex", "~starts", "~nstarts",
        "~ends", "~nends", "~contains", "~ncontains", "~isnull", "~isempty",
    }  # fmt: skip


def test_all_entries_must_hold() -> None:
    assert matches({"n": 5, "s": {"~starts": "hello"}}, DATA)
    assert not matches({"n": 5, "s": {"~starts": "world"}}, DATA)


@pytest.mark.parametrize("filter_", [None, {}])
@pytest.mark.parametrize("data", [None, {}, 5, [1], DATA])
def test_no_filter_matches_everything(filter_: Any, data: Any) -> None:
    assert matches(filter_, data)
    assert match_key_of_filter(filter_) == ANY


@pytest.mark.parametrize("data", [None, 5, "text", [1], True])
def test_data_that_is_no_object_matches_no_filter_and_breaks_nothing(data: Any) -> None:
    assert not matches({"n": 5}, data)
    assert ANY in match_keys_of_event(data)


def test_a_map_that_is_not_all_operators_is_a_value_to_be_equal_to() -> None:
    value = {"~eq": 1, "other": 2}
    assert matches({"x": value}, {"x": value})
    assert not matches({"x": value}, {"x": 1})
    assert match_key_of_filter({"x": value}) in match_keys_of_event({"x": value})


def test_an_item_of_a_list_can_be_the_whole_data() -> None:
    assert matches({"0.id": 7}, [{"id": 7}])


@pytest.mark.parametrize("number", [1e300, -1e300, 2.0**63, 2**64 - 1, -(2**63), 0.1, float("inf"), 10**300])
def test_any_number_can_be_matched(number: float) -> None:
    assert matches({"n": number}, {"n": number})
    assert match_key_of_filter({"n": number}) in match_keys_of_event({"n": number})


def test_a_pattern_takes_linear_time() -> None:
    assert not matches({"s": {"~regex": "(a+)+$"}}, {"s": "a" * 50_000 + "b"})


# Secrets


def test_a_sealed_value_is_matched_by_its_content() -> None:
    for filter_ in ({"pin": Sealed(1234)}, {"pin": {"~eq": Sealed(1234)}}, {"pin": Sealed({"~gt": 1000})}):
        assert matches(filter_, {"pin": 1234})
        assert not matches(filter_, {"pin": 999})


def test_no_key_is_made_of_a_secret() -> None:
    """A key is stored readably, and that of a short secret could be guessed."""
    assert match_key_of_filter({"pin": Sealed(1234)}) == ANY
    assert match_key_of_filter({"pin": {"~eq": Sealed(1234)}}) == ANY
    assert match_key_of_filter({"pin": Sealed(1234), "user": 7}) == match_key_of_filter({"user": 7})


def test_a_secret_that_is_fetched_later_matches_nothing() -> None:
    assert not matches({"pin": SecretRef("PIN")}, {"pin": "secrets.PIN"})


# Keys


def test_keys_tell_fields_and_values_apart() -> None:
    keys = [
        match_key_of_filter({path: value}) for path, value in (("a", 1), ("b", 1), ("a", "1"), ("a", True), ("a", None))
    ]
    assert len(set(keys)) == len(keys)
    assert ANY not in keys


def test_keys_fit_into_the_signed_integer_of_a_database() -> None:
    keys = [match_key_of_filter({"a": n}) for n in range(200)]
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert min(keys) < 0 < max(keys)


def test_keys_never_change_for_they_are_stored() -> None:
    assert match_key_of_filter({"user": 7}) == KEY_OF_USER_7
    assert match_key_of_filter({"user": 7.0}) == KEY_OF_USER_7
    assert match_key_of_filter({"user": {"~eq": 7}}) == KEY_OF_USER_7
    assert match_key_of_filter({"naïve": "ünï ☃\n"}) == KEY_OF_A_TEXT


KEY_OF_USER_7 = -8711658246599691205
KEY_OF_A_TEXT = 8511389597042835605


def test_the_items_of_a_list_make_no_keys() -> None:
    assert len(match_keys_of_event({"items": list(range(10_000)), "n": 1})) == 2
    assert match_key_of_filter({"items.0": 0}) == ANY


_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.0, "a", "1", "", "true"])
_names = st.sampled_from(["a", "b", "a.b", "0", "x"])
_data = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=10
)
_paths = st.lists(_names, min_size=1, max_size=3).map(".".join)
_wanted = (
    _scalars
    | _data
    | _scalars.map(Sealed)
    | st.dictionaries(st.sampled_from(["~eq", "~neq", "~gt", "~isnull", "~isempty"]), _scalars, max_size=2)
    | st.lists(_scalars, max_size=3).map(lambda items: {"~in": items})
)


def _existing_paths(data: Any, prefix: str = "") -> list[tuple[str, Any]]:
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = []
    for key, value in parts:
        found += [(f"{prefix}{key}", value), *_existing_paths(value, f"{prefix}{key}.")]
    return found


@settings(max_examples=400, deadline=None)
@given(data=_data, draw=st.data())
def test_whatever_matches_is_found_by_its_key(data: Any, draw: st.DataObject) -> None:
    filter_ = draw.draw(st.dictionaries(_paths, _wanted, max_size=2))
    existing = _existing_paths(data)
    if existing:
        path, value = draw.draw(st.sampled_from(existing))
        filter_[path] = draw.draw(st.sampled_from([value, {"~eq": value}, {"~neq": 99}]))
    if matches(filter_, data):
        assert match_key_of_filter(filter_) in match_keys_of_event(data)


@settings(max_examples=100, deadline=None)
@given(value=_scalars, other=_scalars)
def test_negative_operators_say_the_opposite(value: Any, other: Any) -> None:
    for positive, negative in (
        ("~eq", "~neq"),
        ("~starts", "~nstarts"),
        ("~ends", "~nends"),
        ("~contains", "~ncontains"),
    ):
        said = [matches({"x": {name: other}}, {"x": value}) for name in (positive, negative)]
        assert sorted(said) == [False, True]


# The form of a filter


@pytest.mark.parametrize(
    "filter_", [None, {}, {"a": 1}, {"a": {"~in": [1]}}, {"a": {"b": 1}}, {"a": Sealed(1)}, {"a": {}}]
)
def test_these_filters_are_well_formed(filter_: Any) -> None:
    assert filter_problem(filter_) is None


@pytest.mark.parametrize(
    ("filter_", "problem"),
    [
        ([1], "a filter is a map from a path in the event's data to a value, not list"),
        ("text", "not str"),
        (Sealed({}), "not Sealed"),
        ({5: 1}, "a filter's keys are paths in the event's data, and 5 is not text"),
        ({"a": {"~like": 1}}, "a: unknown operator '~like'; known: ~contains, "),
        ({"a": {"~in": 5}}, "a: ~in takes a list"),
        ({"a": {"~nin": "x"}}, "a: ~nin takes a list"),
        ({"a": {"~isnull": "yes"}}, "a: ~isnull takes true or false"),
        ({"a": {"~isempty": 1}}, "a: ~isempty takes true or false"),
        ({"a": {"~regex": "("}}, "a: ~regex takes a regular expression"),
        ({"a": {"~nregex": 5}}, "a: ~nregex takes a regular expression"),
    ],
)
def test_what_is_wrong_with_a_filter_is_said(filter_: Any, problem: str) -> None:
    said = filter_problem(filter_)
    assert said is not None
    assert problem in said


def test_a_wrong_pattern_is_not_written_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert filter_problem({"a": {"~regex": "("}}) is not None
    assert not matches({"a": {"~regex": "("}}, {"a": "x"})
    assert capfd.readouterr().err == ""


def test_filters_combine_by_and_and_or() -> None:
    filter_ = {"~or": [{"a": 1}, {"~and": [{"b": {"~gt": 5}}, {"c": "x"}]}], "d": True}
    assert filter_problem(filter_) is None
    assert matches(filter_, {"a": 1, "d": True})
    assert matches(filter_, {"b": 6, "c": "x", "d": True})
    assert not matches(filter_, {"b": 6, "c": "y", "d": True})
    assert not matches(filter_, {"a": 1})
    assert match_key_of_filter(filter_) in match_keys_of_event({"a": 1, "d": True})


@pytest.mark.parametrize(
    "wrong", [{"~or": []}, {"~and": {"a": 1}}, {"~or": [1]}, {"~or": [None]}, {"~or": [{"a": {"~no": 1}}]}]
)
def test_a_combination_that_is_none_is_named(wrong: dict[str, Any]) -> None:
    assert filter_problem(wrong) is not None


def test_validation_knows_the_same_operators() -> None:
    assert OPERATORS.keys() == FILTER_OPERATORS
    assert COMBINATIONS.keys() == FILTER_COMBINATIONS
