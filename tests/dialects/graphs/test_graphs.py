"""What task graphs and their relatives share: conditions, schemas, publishing, actions."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.findings import Findings
from stepwell.dialects.graphs.actions import action_step, core_actions
from stepwell.dialects.graphs.commands import failing_step, split_do
from stepwell.dialects.graphs.conditions import ANY, asks_outcome, both, either, without_any
from stepwell.dialects.graphs.publish import WHOLE, published
from stepwell.dialects.graphs.schemas import is_schema, schema_of
from stepwell.dialects.origin import Taken, settle

KNOWN = Known(tasks={"ops.build"}, step_types={"acme.do"}, workflows={"ops.release"})


def findings() -> Findings:
    return Findings(Source("x.yaml", ""))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, None, None),
        ("a", None, "a"),
        (None, "{{ a }}", "a"),
        ("a or b", "c", "(a or b) and c"),
        ("a", "b or c", "a and (b or c)"),
        ("a", True, "a and true"),
    ],
)
def test_two_conditions_hold_together(one: Any, other: Any, expected: str | None) -> None:
    assert both(one, other) == expected


def test_one_of_several_conditions_holds() -> None:
    assert either(["a and b", "c or d", "e"]) == "a and b or (c or d) or e"


@pytest.mark.parametrize(
    ("condition", "asks"),
    [("succeeded()", True), ("x > 1 and failed()", True), ("skipped()", True), ("x", False), ("result().a", False),
     ("(", False), (True, False), (None, False)],
)  # fmt: skip
def test_some_conditions_ask_how_a_step_ended(condition: Any, asks: bool) -> None:
    assert asks_outcome(condition) is asks


@pytest.mark.parametrize(
    ("condition", "left"),
    [(ANY, None), (f"({ANY}) and x", "x"), (f"({ANY}) and failed()", f"({ANY}) and failed()"), ("x and y", "x and y")],
)
def test_that_it_may_have_ended_anyhow_is_left_out(condition: str, left: str | None) -> None:
    assert without_any(condition) == left


def test_commands_are_told_from_tasks() -> None:
    assert split_do(["a", "fail", "b", "noop"]) == (("a", "b"), frozenset({"fail", "noop"}))
    assert failing_step("a", ["a", "a__fail"]) == "a__fail_"


@pytest.mark.parametrize(
    ("written", "is_one"),
    [({"type": "object"}, True), ({"properties": {}}, True), ({"$ref": "#/x"}, True), ({"a": {}}, False), ({}, False),
     ({"type": {"type": "string"}}, False), ({"properties": {}, "a": {}}, False)],
)  # fmt: skip
def test_a_schema_is_told_from_parameters(written: dict[str, Any], is_one: bool) -> None:
    assert is_schema(written) is is_one


def test_parameters_without_a_word_about_them_take_anything() -> None:
    assert schema_of({"a": None, "b": {"required": False, "items": {"required": True, "type": "string"}}}) == {
        "type": "object",
        "properties": {"a": {}, "b": {"items": {"type": "string"}}},
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([{"a": 1}, {"b": 2, "c": 3}, "d"], [("a", 1), ("b", 2), ("c", 3), ("d", WHOLE)]),
        ({"a": 1}, [("a", 1)]),
        ("a", [("a", WHOLE)]),
        ("a=1 b={{ x }}", [("a", 1), ("b", "{{ x }}")]),
        (["a=1", "b"], [("a", 1), ("b", WHOLE)]),
    ],
)
def test_variables_are_published_in_many_forms(written: Any, expected: list[tuple[str, Any]]) -> None:
    assert [(each.name, each.value) for each in published(written, (), findings(), (("{{", "}}"),))] == expected


@pytest.mark.parametrize(
    ("written", "code"),
    [(5, "wrong-type"), ([5], "wrong-type"), ({"7a": 1}, "bad-name"), ([{"a": 1}, {"a": 2}], "conflicting-keys"),
     ("a b", "wrong-value")],
)  # fmt: skip
def test_what_is_no_variable_is_found(written: Any, code: str) -> None:
    wrong = findings()
    published(written, (), wrong, (("{{", "}}"),))
    assert [each.code for each in wrong.sorted()] == [code]


def step(reference: str, known: Known = KNOWN, **given: Any) -> tuple[dict[str, Any] | None, list[str]]:
    wrong = findings()
    made = action_step(reference, given, known, wrong, ("action",))
    return (settle(made).document if made is not None else None), [each.code for each in wrong.sorted()]


@pytest.mark.parametrize(
    ("reference", "type_"),
    [("ops.build", "ops.build"), ("acme.do", "acme.do"), ("ops.release", "workflow"), ("core.noop", "noop"),
     ("stepwell.emit_event", "emit_event"), ("core.ask", "approval"), ("core.http_request", "http")],
)  # fmt: skip
def test_a_reference_is_one_of_four_things(reference: str, type_: str) -> None:
    made, wrong = step(reference)
    assert made is not None
    assert (made["type"], wrong) == (type_, [])


@pytest.mark.parametrize("reference", ["ops.nothing", "core.nothing", "stepwell.loop"])
def test_anything_else_is_refused_when_tasks_are_known(reference: str) -> None:
    assert step(reference) == (None, ["unknown-action"])


def test_a_step_type_of_any_origin_is_one_of_stepwell() -> None:
    assert step("stepwell.slugify", text="x") == ({"type": "slugify", "config": {"text": "x"}}, [])


def test_without_knowing_tasks_a_reference_is_one() -> None:
    assert step("ops.nothing", Known()) == ({"type": "ops.nothing", "config": {}}, [])


def test_every_built_in_action_can_be_called_with_nothing_but_noise_refused() -> None:
    for reference in core_actions():
        assert step(reference)[1] == []
        assert step(reference, nosuchinput=1)[1] == ([] if reference == "core.noop" else ["unknown-key"])


def test_a_question_may_be_asked_in_the_words_of_others() -> None:
    made, _ = step("core.ask", schema=Taken({"go": {"type": "boolean"}}, ("s",)), users=["ann"], ttl=Taken(5, ("t",)))
    assert made is not None
    assert made["config"] == {
        "prompt": "An answer is needed.",
        "response_schema": {"type": "object", "properties": {"go": {"type": "boolean"}}},
        "assigned_to": ["ann"],
        "timeout": "5m",
    }
