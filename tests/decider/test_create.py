"""Accepting a start."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import Conflict, InvalidInput
from stepwell.base.values import MAX_DEPTH, Sealed
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowConfig
from stepwell.execution.history import ExecutionCreated
from tests.decider.story import SECOND, step, workflow

SCHEMA = {
    "type": "object",
    "properties": {
        "user": {"type": "string", "minLength": 3},
        "password": {"type": "string", "minLength": 8},
        "card": {"type": "string", "secret": True},
        "plan": {"type": "string", "default": "free"},
    },
    "required": ["user"],
}


def created(given: Any, start: dict[str, Any] | None = None, **settings: Any) -> ExecutionCreated:
    """The first event of an execution with this input."""
    settings.setdefault("input_schema", SCHEMA)
    plan = Plan(workflow(step("a"), **settings))
    return create(plan, Start(id="x", input=given, seed=b"seed", **(start or {})), 7)


def problems(given: Any, **settings: Any) -> tuple[tuple[str, str], ...]:
    """Everything that is wrong with this input."""
    with pytest.raises(InvalidInput) as caught:
        created(given, **settings)
    return caught.value.problems


def test_the_first_event_holds_what_the_execution_keeps_for_its_life() -> None:
    event = created({"user": "ada"}, {"start_key": "k"})
    assert (event.at, event.id, event.workflow, event.version, event.seed) == (7, "x", "test", "1.0.0", b"seed")
    assert event.start_key == "k"
    assert event.digest == Plan(workflow(step("a"))).digest


def test_a_disabled_workflow_is_not_started() -> None:
    with pytest.raises(Conflict, match="Workflow is disabled") as refused:
        created({"user": "ann"}, config=WorkflowConfig(enabled=False))
    assert refused.value.code == "workflow-disabled"


def test_defaults_are_applied_and_what_was_given_wins() -> None:
    assert created({"user": "ada"}).input["plan"] == "free"
    assert created({"user": "ada", "plan": "pro"}).input["plan"] == "pro"


def test_what_was_given_is_not_changed() -> None:
    given = {"user": "ada"}
    created(given)
    assert given == {"user": "ada"}


def test_secrets_are_sealed_by_mark_and_by_name() -> None:
    assert created({"user": "ada", "password": "hunter2!", "card": "4242"}).input == {
        "user": "ada", "password": Sealed("hunter2!"), "card": Sealed("4242"), "plan": "free",
    }  # fmt: skip


def test_every_problem_is_named_and_no_secret_told() -> None:
    found = problems({"user": "a", "password": "hunter2", "card": 4242})
    assert dict(found).keys() == {"user", "password", "card"}
    assert "hunter2" not in repr(found)
    assert "4242" not in repr(found)
    assert '"a"' in dict(found)["user"], "what is not secret is shown"


def test_the_message_names_the_workflow_and_every_problem() -> None:
    with pytest.raises(InvalidInput, match=r"the input does not satisfy the schema of 'test': .*user") as caught:
        created({})
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("given", [[1], "text", 7, 1.5, True])
def test_an_input_is_an_object(given: Any) -> None:
    with pytest.raises(InvalidInput, match="the input must be a JSON object, not "):
        created(given)


def test_no_input_is_an_empty_one() -> None:
    assert created(None, input_schema=None).input == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "input.a is nan"),
        (2**64, "input.a is an integer of more than 64 bits"),
        ({1, 2}, "input.a is of type set"),
        ("\ud800", "input.a holds a lone surrogate"),
        ({1: 2}, "input.a has the key 1"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        created({"a": value}, input_schema=None)


def test_what_is_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(InvalidInput, match="nested more than 64 deep"):
        created({"a": value}, input_schema=None)


def test_the_bounds_come_from_the_definition_and_else_from_the_engine() -> None:
    start = {"default_timeout": 9 * SECOND}
    assert created(None, start, input_schema=None).timeout == 9 * SECOND
    event = created(None, start, input_schema=None, timeout=5 * SECOND, deadline=60 * SECOND)
    assert (event.timeout, event.deadline) == (5 * SECOND, 7 + 60 * SECOND)


def test_a_variable_that_cannot_be_computed_refuses_the_start() -> None:
    with pytest.raises(InvalidInput, match=r"the variable 'b' cannot be computed: .*input.missing"):
        created(None, input_schema=None, vars=(("a", 1), ("b", "{{ input.missing }}")))


def test_variables_draw_the_same_values_when_the_same_start_is_created_again() -> None:
    settings: dict[str, Any] = {"input_schema": None, "vars": (("id", "{{ uuid() }}"), ("other", "{{ uuid() }}"))}
    first, second = created(None, **settings).variables, created(None, **settings).variables
    assert first == second
    assert first["id"] != first["other"]
