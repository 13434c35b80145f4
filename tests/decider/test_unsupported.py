"""What this version does not run is said, never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.decider.constructs import CONSTRUCTS
from stepwell.decider.control import CONTROL
from stepwell.decider.unsupported import unsupported
from stepwell.definition.model import (
    BLOCK_TYPES,
    CONTROL_TYPES,
    Action,
    Cache,
    Edge,
    ErrorStrategy,
    Fallback,
    StepBody,
    WorkflowDefinition,
)
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import says, step, workflow

LEAVES = {"python", "http", "service_call", "validation", "transform"}


def found(definition: WorkflowDefinition) -> list[str]:
    """What is not run, in words."""
    return [what for _, what in unsupported(definition, LEAVES)]


def test_every_control_type_is_run() -> None:
    assert CONTROL.keys() | CONSTRUCTS.keys() >= CONTROL_TYPES
    assert CONTROL.keys() >= CONTROL_TYPES - BLOCK_TYPES


def test_everything_that_runs_is_accepted() -> None:
    leaves = [step(f"l{position}", type=name) for position, name in enumerate(sorted(LEAVES))]
    control = [
        step(f"c{position}", type=name)
        for position, name in enumerate(("wait", "wait_for_event", "set", "fail", "noop"))
    ]
    names: tuple[Action, ...] = ("terminate", "continue", "skip", "retry", "compensate")
    actions = [step(f"a_{name}", on_failure=says(name), on_timeout=says(name)) for name in names]
    more = step(
        "more", *(one.name for one in leaves), retry=RetryPolicy(), timeout=1, join="any", parallel=True,
        edges=(Edge(to=("l0",), on="failure"),), publish=(("a", 1),), output={"a": 1}, when=True,
    )  # fmt: skip
    definition = workflow(
        *leaves, *control, *actions, more, undo=(step("u"),), timeout=1, deadline=2, max_parallel_steps=3,
        failure_mode="drain", strict_failures=True, retry=RetryPolicy(),
        on_error=ErrorStrategy(strategy="continue"),
    )  # fmt: skip
    assert found(definition) == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"resources": {"cpu": {}}}, "resources"),
        ({"type": "workflow", "cache": Cache(key="k")}, "a cache of a step of type 'workflow'"),
        ({"on_failure": says("fallback", fallback=Fallback(body=StepBody(type="shell")))}, "shell"),
        ({"compensate": StepBody(type="shell")}, "shell"),
        ({"type": "shell"}, "shell"),
        ({"type": "nobody_knows"}, "nobody_knows"),
    ],
)
def test_a_step_says_what_is_not_run(settings: dict[str, Any], what: str) -> None:
    (said,) = found(workflow(step("a", **settings), step("b")))
    assert what in said
    (said,) = found(workflow(undo=(step("a", **settings),)))
    assert what in said


def test_a_step_inside_a_construct_says_what_is_not_run() -> None:
    inside = (("steps", (step("b", resources={"cpu": 1}),)),)
    group = step("a", type="parallel_group", blocks=inside)
    assert found(workflow(group)) == found(workflow(step("b", resources={"cpu": 1})))


def test_what_changes_nothing_on_a_control_step_is_no_reason_to_refuse_it() -> None:
    kinds = ("noop", "set", "checkpoint", "fail", "wait")
    steps = [step(f"s{position}", type=kind, timeout=5, cache=Cache(key="k")) for position, kind in enumerate(kinds)]
    assert found(workflow(*steps)) == []


def test_telling_people_and_reusing_results_is_run() -> None:
    told = step("a", on_failure=says("continue", notify={}), on_timeout=says("continue", notify=True))
    error = ErrorStrategy(notify={"channels": ["slack"]})
    assert found(workflow(told, step("b", cache=Cache(key="k")), on_error=error)) == []


def test_steps_after_a_failure_say_what_is_not_run() -> None:
    (said,) = found(workflow(step("a"), on_error=ErrorStrategy(steps=(step("b", resources={"cpu": 1}),))))
    assert "resources" in said


def test_edges_between_compensation_steps_are_not_run() -> None:
    assert "one after the other" in found(workflow(undo=(step("u"), step("v", "u"))))[0]


def test_every_finding_says_where() -> None:
    definition = workflow(step("a", resources={"cpu": 1}))
    places = [path for path, _ in unsupported(definition, LEAVES)]
    assert places == [("spec", "steps", "a", "resources")]
