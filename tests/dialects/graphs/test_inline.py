"""Values in one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.dialects.graphs.inline import InlineError, pairs, split_action

BRACES = (("{{", "}}"),)
BOTH = (*BRACES, ("<%", "%>"))


def values(text: str) -> dict[str, Any]:
    return {pair.name: pair.value for pair in pairs(text, BOTH)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1 b=-2.5 c=1e3", {"a": 1, "b": -2.5, "c": 1000.0}),
        ("a=true b=FALSE c=null d=None", {"a": True, "b": False, "c": None, "d": "None"}),
        ("a='1' b=\"x y\" c='it\\'s'", {"a": "1", "b": "x y", "c": "it's"}),
        ("a=[1, 2] b={\"k\": [true]}", {"a": [1, 2], "b": {"k": [True]}}),
        ("a={{ x | join(' ') }} b=<% $.a %>/x c=y", {"a": "{{ x | join(' ') }}", "b": "<% $.a %>/x", "c": "y"}),
        ("a=1, b=2; c=3", {"a": 1, "b": 2, "c": 3}),
        ("a = 1  b= 2", {"a": 1, "b": 2}),
        ("a=007 b=1.2.3 c=http://x/?q=1", {"a": "007", "b": "1.2.3", "c": "http://x/?q=1"}),
        ("a.b=1 c-d=2", {"a.b": 1, "c-d": 2}),
        ("a=99999999999999999999", {"a": 1e20}),
    ],
)  # fmt: skip
def test_pairs_are_read(text: str, expected: dict[str, Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [("word", 0), ("a=1 word", 4), ("a=", 2), ("a='x", 2), ("a=[1", 2), ("a={{ x", 2), ("=1", 0), ("a=1 'b'=2", 4)],
)
def test_what_is_no_pair_is_refused_where_it_stands(text: str, at: int) -> None:
    with pytest.raises(InlineError) as refused:
        pairs(text, BRACES)
    assert refused.value.offset == at


def test_a_reference_stands_before_its_parameters() -> None:
    reference, given_ = split_action("  core.echo message='hi there' n=3", BRACES)
    assert (reference, [(pair.name, pair.value, pair.at) for pair in given_]) == (
        "core.echo", [("message", "hi there", 12), ("n", 3, 31)],
    )  # fmt: skip


def test_a_reference_may_be_an_expression_with_spaces() -> None:
    reference, given_ = split_action("<% ctx().action %> a=1", BOTH)
    assert (reference, [pair.name for pair in given_]) == ("<% ctx().action %>", ["a"])


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        split_action(text, BOTH)
        offset = 0
    except InlineError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_quoted_texts_stay_as_they_are(given_: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    assert values(" ".join(f"{name}={quoted(value)}" for name, value in given_.items())) == given_
