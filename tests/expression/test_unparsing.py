"""Trees written back as text give equal trees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from stepwell.expression.lexer import tokenize
from stepwell.expression.parser import parse
from stepwell.expression.unparsing import quoted, unparse

_LEAVES = st.sampled_from(
    ["a", "input.x", "steps.a.output['k']", "3", "2.5", "'it\\'s'", "[]", "[1, b]", "{'k': 1}", "true", "none", "now()"]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
    return st.one_of(
        st.tuples(inner, st.sampled_from(operators), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"-({text})"),
        inner.map(lambda text: f"({text}) | length"),
        inner.map(lambda text: f"({text}) is defined"),
        inner.map(lambda text: f"({text}) is not defined"),
        inner.map(lambda text: f"({text}).field[0]"),
        inner.map(lambda text: f"({text})[1:]"),
        inner.map(lambda text: f"f({text}, key={text})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) if ({t[1]}) else ({t[2]})"),
    )


EXPRESSIONS = st.recursive(_LEAVES, _grown, max_leaves=12)


def _tree(text: str) -> nodes.Expr:
    tokens, end = tokenize(text, 0, "")
    return parse(tokens, 0, end)


@given(EXPRESSIONS)
def test_what_is_written_reads_as_the_same_tree(text: str) -> None:
    tree = _tree(text)
    assert _tree(unparse(tree)) == tree


@given(st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    tree = _tree(quoted(text))
    assert isinstance(tree, nodes.Const)
    assert tree.value == text


@pytest.mark.parametrize(
    "text",
    [
        "a.b + c * 2",
        "(a + b) * c",
        "a - (b - c)",
        "not a and b or c",
        "a if b else c if d else e",
        "input.items | map(attribute='id') | join(', ')",
        "x is not defined",
        "(-x) | abs",
    ],
)
def test_no_more_brackets_than_needed(text: str) -> None:
    assert unparse(_tree(text)) == text
