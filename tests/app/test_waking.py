"""The command that would wake what waits: an example of data that satisfies a filter, or of an answer."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepwell.app.waking import example_data, publish_command, respond_command
from stepwell.base.filters import filter_problem
from stepwell.base.values import Sealed, masked
from stepwell.execution.matching import matches


@pytest.mark.parametrize(
    ("filter_", "data"),
    [
        ({"a": 1, "b.c": "x"}, {"a": 1, "b": {"c": "x"}}),
        ({"items.0.id": 7}, {"items": [{"id": 7}]}),
        ({"a": {"~gte": 10, "~lt": 20}}, {"a": 10}),
        ({"a": {"~gt": 3}}, {"a": 4}),
        ({"a": {"~lt": 3}}, {"a": 2}),
        ({"a": {"~in": ["x", "y"]}}, {"a": "x"}),
        ({"a": {"~starts": "ab"}}, {"a": "ab"}),
        ({"a": {"~contains": 3}}, {"a": [3]}),
        ({"a": {"~regex": "^abc$"}}, {"a": "abc"}),
        ({"a": {"~isnull": False}}, {"a": 1}),
        ({"a": {"~neq": 3}}, {"a": 4}),
        ({"a": {"~nin": [1]}}, {}),
        ({"~and": [{"a": 1}, {"b": 2}]}, {"a": 1, "b": 2}),
        ({"~or": [{"a": 1}, {"b": 2}]}, {"a": 1}),
        ({"a": Sealed("x")}, {"a": "***"}),
    ],
    ids=str,
)
def test_data_is_found_that_satisfies_a_filter(filter_: Any, data: Any) -> None:
    assert example_data(filter_) == data
    assert "***" in str(data) or matches(filter_, data)


@pytest.mark.parametrize(
    "filter_",
    [
        {"a": {"~regex": "^[a-z]{3}-\\d+$"}},
        {"a": 1, "a.b": 2},
        {"items.3": 1},
        {"~and": [{"a": 1}, {"a": 2}]},
        {"items.0": 1, "items.²": 1},
    ],
    ids=str,
)
def test_no_data_is_made_up_that_does_not_satisfy_a_filter(filter_: Any) -> None:
    assert example_data(filter_) is None
    assert publish_command("go", filter_, "") == "stepwell event publish go -d DATA"


_NAMES = st.sampled_from(["a", "0", "1", "12", "²", "٣", "", "a.b", "a.0", "0.1", "~in", "x" * 20])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(Sealed("x")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=4,
)
_OPERATORS = st.sampled_from(["~eq", "~neq", "~gt", "~lt", "~in", "~nin", "~regex", "~starts", "~contains", "~isnull"])
_FILTERS = st.dictionaries(_NAMES, _VALUES | st.dictionaries(_OPERATORS, _VALUES, min_size=1, max_size=2), max_size=3)


@given(_FILTERS)
def test_a_command_is_found_for_every_filter_that_there_can_be(filter_: dict[str, Any]) -> None:
    assume(not filter_problem(filter_))
    assert publish_command("go", filter_, "").startswith("stepwell event publish go")


_WORDS = st.sampled_from(["type", "enum", "required", "properties", "const", "default", "items", "$ref", "anyOf"])


@given(st.dictionaries(_WORDS, _VALUES | st.sampled_from(["object", "string", ["a"]]), max_size=4) | _VALUES)
def test_a_command_is_found_for_every_question_whatever_its_schema(schema: Any) -> None:
    question = {"prompt": "?", "response_schema": masked(schema)}
    assert respond_command("x", "ok", question, "").startswith("stepwell approval respond x ok --response ")


def test_the_command_can_be_given_to_a_shell() -> None:
    command = publish_command("it's paid", {"who": "O'Hara $HOME"}, "")
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == ["stepwell", "event", "publish", "it's paid", "-d", '{"who": "O\'Hara $HOME"}']
