"""Filters of waits: where their form is wrong."""

from __future__ import annotations

from tests.definition.documents import codes, steps

WAIT = "- {{name: w, type: wait_for_event, config: {{event_type: e, filter: {0}}}}}\n"


def _codes(filter_: str) -> list[str]:
    return codes(steps(WAIT.format(filter_)))


def test_filters_combine() -> None:
    assert _codes('{"~or": [{a: 1}, {"~and": [{b: {"~gt": 5}}, {c: x}]}]}') == []


def test_what_is_combined_are_filters() -> None:
    assert _codes('{"~or": {a: 1}}') == ["wrong-type"]
    assert _codes('{"~or": []}') == ["wrong-type"]
    assert _codes('{"~and": [1]}') == ["wrong-type"]
    assert _codes('{"~and": [{a: {"~no": 1}}]}') == ["unknown-operator"]


def test_values_of_operators_fit_unless_an_expression_yields_them() -> None:
    assert _codes('{a: {"~in": x}}') == ["wrong-value"]
    assert _codes('{a: {"~regex": "("}, b: {"~isnull": 1}}') == ["wrong-value", "wrong-value"]
    assert _codes('{a: {"~in": "{{ input.list }}"}}') == []
