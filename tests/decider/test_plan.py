"""The plan: which settings are derived again and which must be recorded; joins; the order of compensation."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.decider.outstanding import outstanding
from stepwell.decider.plan import Plan
from stepwell.definition.model import Compensation, Dependency, DependencyOn, Edge, Join
from stepwell.execution.commands import RunStep
from stepwell.execution.history import StepScheduled
from stepwell.execution.work import Assignment
from tests.decider.story import Story, begun, on, says, step, workflow


def reads(expression: str) -> dict[str, Any]:
    """Settings that read this."""
    return {"task": "work", "args": {"x": f"{{{{ {expression} }}}}"}}


@pytest.mark.parametrize(
    ("expression", "stable"),
    [
        ("1 + 1", True),
        ("input.n", True),
        ("parameters.n", True),
        ("workflow.id", True),
        ("execution.started_at", True),
        ("secrets.TOKEN", True),
        ("now()", True),
        ("uuid()", True),
        ("steps.before.output.n", True),
        ("steps.before.status", False),
        ("steps.before.output.n | default(1)", False),
        ("steps['before'].error", False),
        ("steps.other.output", True),
        ("task.other.result", True),
        ("steps.other.output | default(1)", False),
        ("coalesce(steps.other.output, 1)", False),
        ("1 if steps.other.output is defined else 2", False),
        ("steps.other.output if input.n | default(false) else 1", True),
        ("steps.other.status", False),
        ("steps.other.completed", False),
        ("steps.other", False),
        ("vars.n", False),
        ("variables.n", False),
        ("input.n + vars.n", False),
    ],
)
def test_settings_are_recorded_unless_they_could_be_rendered_the_same_again(expression: str, stable: bool) -> None:
    plan = Plan(workflow(step("before"), step("other"), step("a", "before", config=reads(expression))))
    assert plan.nodes["a"].stable is stable


@pytest.mark.parametrize(("join", "stable"), [(None, True), ("all", True), ("sync", True), ("any", False), (1, False)])
def test_a_predecessor_is_settled_only_when_the_join_waits_for_it(join: Join | None, stable: bool) -> None:
    after = Dependency(step="before", on="success")
    plan = Plan(workflow(step("before"), step("a", after, join=join, config=reads("steps.before.status"))))
    assert plan.nodes["a"].stable is stable


@pytest.mark.parametrize(("on", "stable"), [("success", True), ("satisfied", False), ("complete", False)])
def test_a_predecessor_that_may_be_completed_by_hand_is_not_settled(on: DependencyOn, stable: bool) -> None:
    after = Dependency(step="before", on=on)
    plan = Plan(workflow(step("before"), step("a", after, config=reads("steps.before.status"))))
    assert plan.nodes["a"].stable is stable


def test_what_is_recorded_is_dispatched_again_as_it_was_and_so_is_what_is_derived() -> None:
    shared = {"task": "work", "args": {"id": "{{ uuid() }}", "at": "{{ now() }}"}}
    recorded = {**shared, "n": "{{ vars.n }}", "b": "{{ steps.b.completed }}"}
    story = begun(
        workflow(step("a", config=shared), step("r", config=recorded), step("b", publish=(("n", 2),)), vars=(("n", 1),))
    )
    before = {one.step: one for one in assignments(story)}
    story.done("b")
    story.crash()
    assert {one.step: one for one in assignments(story)} == {name: before[name] for name in ("a", "r")}
    inputs = {event.step: event.input for event in story.history if isinstance(event, StepScheduled)}
    assert inputs["a"] is None
    assert inputs["r"] is not None


def assignments(story: Story) -> list[Assignment]:
    """What is outstanding."""
    return [command.assignment for command in outstanding(story.run) if isinstance(command, RunStep)]


def test_a_validation_without_data_checks_the_input() -> None:
    rules: dict[str, Any] = {"validation_rules": []}
    given = {"n": 1}
    story = begun(
        workflow(
            step("a", type="validation", config=rules), step("b", type="validation", config={**rules, "data": [1]})
        ),
        given,
    )
    assert [one.config["data"] for one in assignments(story)] == [given, [1]]


@pytest.mark.parametrize(
    ("depends", "pushed", "declared", "join"),
    [
        (True, False, None, "all"),
        (False, True, None, "sync"),
        (True, True, None, "all"),
        (True, False, "any", "any"),
        (False, True, 2, 2),
    ],
)
def test_the_join_is_what_the_edges_mean_unless_it_is_declared(
    depends: bool, pushed: bool, declared: Join | None, join: Join
) -> None:
    edges = (Edge(to=("b",)),) if pushed else ()
    target = step("b", *(["a"] if depends else []), join=declared)
    assert Plan(workflow(step("a", edges=edges), target)).nodes["b"].join == join


def test_entries_are_the_steps_that_nothing_leads_to() -> None:
    plan = Plan(workflow(step("b", "a"), step("a"), step("c", on("a", "failure")), step("d")))
    assert [node.name for node in plan.root.entries] == ["a", "d"]


@pytest.mark.parametrize(("strategy", "order"), [(None, ["u", "v"]), ("forward", ["u", "v"]), ("reverse", ["v", "u"])])
def test_compensation_steps_run_in_the_order_of_the_strategy(strategy: Any, order: list[str]) -> None:
    undo = (step("u"), step("v"))
    definition = workflow(compensation=Compensation(steps=undo, strategy=strategy, declared=True))
    assert [node.name for node in Plan(definition).compensation] == order


def test_an_action_that_asks_for_retries_without_a_number_gets_three_tries() -> None:
    plan = Plan(workflow(step("a", on_failure=says("retry")), step("b", on_timeout=says("retry"))))
    assert plan.nodes["a"].retry_for("boom").policy.max_attempts == 3
    assert plan.nodes["a"].retry_for("timeout").policy.max_attempts == 3
    assert plan.nodes["b"].retry_for("boom").policy.max_attempts == 1
    assert plan.nodes["b"].retry_for("timeout").policy.max_attempts == 3
