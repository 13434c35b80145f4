"""Functions that ask something of every item of a list."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import Template, compile_template

HOSTS = [{"name": "a", "up": True, "ports": [80]}, {"name": "b", "up": False, "ports": [22, 80]}]


def compiled(expression: str) -> Template:
    return compile_template(f"{{{{ {expression} }}}}")


def evaluated(expression: str, **roots: Any) -> Any:
    return compiled(expression).render(Scope({"vars": {"hosts": HOSTS, "wanted": 80}, **roots}))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("select(vars.hosts, it.name)", ["a", "b"]),
        ("select(vars.hosts, [it.name, it.up])", [["a", True], ["b", False]]),
        ("vars.hosts | where(it.up) | select(it.name)", ["a"]),
        ("where(vars.hosts, not it.up and it.name == 'b') | length", 1),
        ("select(vars.hosts, length(where(it.ports, it == vars.wanted)))", [1, 1]),
        ("any_of(vars.hosts, it.name == 'c')", False),
        ("all_of(vars.hosts, 80 in it.ports)", True),
        ("any_of([], it)", False),
        ("all_of([], it)", True),
    ],
)
def test_an_item_is_called_it(expression: str, expected: Any) -> None:
    assert evaluated(expression) == expected


def test_the_item_is_not_read_from_outside() -> None:
    references = compiled("select(vars.hosts, it.name ~ input.x) ").references
    assert {reference.path for reference in references} == {("vars", "hosts"), ("input", "x")}


def test_outside_of_a_query_there_is_no_item() -> None:
    assert {reference.path for reference in compiled("it.name").references} == {("it", "name")}
    with pytest.raises(ExpressionError, match="it is not defined"):
        evaluated("select(vars.hosts, it.name)[0] ~ it.name")


def test_after_a_failing_query_the_names_are_as_they_were() -> None:
    scope = Scope({"vars": {"hosts": HOSTS}})
    with pytest.raises(ExpressionError):
        compiled("select(vars.hosts, it.missing)").render(scope)
    assert "it" not in scope.roots


@pytest.mark.parametrize("expression", ["select('abc', it)", "where({'a': 1}, it)", "any_of(null, it)"])
def test_only_lists_are_asked(expression: str) -> None:
    with pytest.raises(ExpressionError, match="expected a list"):
        evaluated(expression)


def test_what_is_asked_must_be_there() -> None:
    with pytest.raises(ExpressionSyntaxError, match="needs the argument"):
        compiled("select(vars.hosts)")


def test_what_comes_of_a_sealed_list_is_sealed() -> None:
    for expression in ("select(vars.key, it)", "where(vars.key, it == 'x')", "any_of(vars.key, it == 'x')"):
        assert isinstance(evaluated(expression, vars={"key": Sealed(["x"])}), Sealed)


def test_a_sealed_item_stays_sealed_and_its_list_need_not_be() -> None:
    assert evaluated("select(vars.keys, it)", vars={"keys": ["a", Sealed("b")]}) == ["a", Sealed("b")]


def test_what_tells_of_sealed_items_is_sealed() -> None:
    for expression in ("where(vars.keys, it == 'x')", "any_of(vars.keys, it == 'x')", "all_of(vars.keys, it == 'x')"):
        assert isinstance(evaluated(expression, vars={"keys": ["a", Sealed("b")]}), Sealed)


def test_asking_very_much_is_refused() -> None:
    with pytest.raises(ExpressionError, match="too much"):
        evaluated("select(range(5000), select(range(5000), it))")
