"""Jinja in workflows of Orquesta."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.dialects.orquesta.jinja_meaning import read_jinja
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.expression.unparsing import unparse

VARS: dict[str, Any] = {"a": 1, "no": "no", "list": [3, 1], "map": {"k": 1}, "none": None, "hosts": [{"n": "x"}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ctx().a + ctx('a')", 2),
        ("ctx('list')[0] / 2", 1.5),
        ("ctx().list | sort | first", 1),
        ("ctx().list | length > 1 and ctx().a == 1", True),
        ("ctx().map.get('z', 5) + ctx().map.get('k')", 6),
        ("ctx().nothing | default('d')", "d"),
        ("ctx().none | default('d')", None),
        ("ctx().none | d('d', true)", "d"),
        ("ctx().none | default('d', boolean=true)", "d"),
        ("ctx().hosts | map(attribute='n') | join(',')", "x"),
        ("'yes' if ctx().no else 'other'", "yes"),
        ("not ctx().no", False),
        ("ctx().none or 'x'", "x"),
        ("ctx().no and 7", 7),
        ("'a,b'.split(',') | list", ["a", "b"]),
        ("','.join(['a', 'b']) ~ 'c'.upper()", "a,bC"),
        ("' a '.strip()", "a"),
        ("1.5 | string", "1.5"),
        ("zip([1], ['a', 'b'])", [[1, "a"], [None, "b"]]),
        ("json('[1]')[0]", 1),
        ("ctx().a is defined and ctx().none is none", True),
    ],
)
def test_it_gives_what_jinja_gives(text: str, expected: Any) -> None:
    tree, _ = read_jinja(text, 0, "")
    assert compile_template(f"{{{{ {unparse(tree)} }}}}").render(Scope({"vars": VARS})) == expected


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("a + 1", 3, "'a' is not known here"),
        ("ctx(a)", 7, "'a' is not known here"),
        ("ctx('x', 'y')", 3, "not with these arguments"),
        ("1 + nothing()", 7, "nothing() is not known here"),
        ("ctx().a | nothing", 13, "the filter 'nothing' is not known here"),
        ("ctx().a.nothing()", 18, "the method 'nothing' is not known here"),
        ("ctx(a='x')", 3, "takes no named arguments here"),
        ("ctx().list | sort(reverse=true)", 16, "takes no named arguments here"),
        ("'a' | upper(1)", 9, "0 to 0 arguments are known here; saw 1"),
    ],
)
def test_everything_else_is_refused_at_its_place(text: str, at: int, says: str) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        read_jinja(f"{{{{ {text} }}}}", 2, "}}")
    assert says in caught.value.message
    assert caught.value.offset == at
