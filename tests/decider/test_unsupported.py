"""What this version does not run is said, never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.decider.unsupported import unsupported
from stepwell.definition.model import (
    Action,
    Cache,
    CircuitBreaker,
    Compensation,
    Concurrency,
    Edge,
    ErrorStrategy,
    Iteration,
    Repetition,
    StepBody,
    WorkflowDefinition,
)
from stepwell.policy.retry import RetryPolicy
from tests.decider.story import says, step, workflow

LEAVES = {"python", "http", "service_call", "validation", "transform"}


def found(definition: WorkflowDefinition) -> list[str]:
    """What is not run, in words."""
    return [what for _, what in unsupported(definition, LEAVES)]


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
        ({"for_each": Iteration(items=[1])}, "for_each"),
        ({"repeat": Repetition(condition=True)}, "repeat"),
        ({"compensate": StepBody(type="noop")}, "compensate"),
        ({"circuit_breaker": CircuitBreaker()}, "circuit_breaker"),
        ({"bulkhead": "named"}, "bulkhead"),
        ({"rate_limit": "named"}, "rate_limit"),
        ({"queue": "gpu"}, "queue"),
        ({"resources": {"cpu": {}}}, "resources"),
        ({"cache": Cache(key="k")}, "cache"),
        ({"checkpoint": "here"}, "checkpoint"),
        ({"max_visits": 2}, "max_visits"),
        ({"delay": 5}, "delay"),
        ({"join": "each"}, "join: each"),
        ({"edges": (Edge(to=("b",), when="{{ true }}"),)}, "condition"),
        ({"edges": (Edge(to=("b",), delay=1),)}, "delay"),
        ({"edges": (Edge(to=("b",), publish=(("a", 1),)),)}, "publish"),
        ({"edges": (Edge(to=("b",), decision=0),)}, "edges"),
        ({"on_failure": says("fallback")}, "fallback"),
        ({"on_timeout": says("pause")}, "pause"),
        ({"on_failure": says("continue", notify={})}, "notifications"),
        ({"type": "loop"}, "loop"),
        ({"type": "shell"}, "shell"),
        ({"type": "nobody_knows"}, "nobody_knows"),
        ({"type": "wait", "retry": RetryPolicy()}, "retry and timeout"),
        ({"type": "noop", "timeout": 5}, "retry and timeout"),
        ({"type": "wait_for_event", "on_timeout": says("retry")}, "the action 'retry'"),
        ({"type": "fail", "on_failure": says("retry")}, "the action 'retry'"),
    ],
)
def test_a_step_says_what_is_not_run(settings: dict[str, Any], what: str) -> None:
    (said,) = found(workflow(step("a", **settings), step("b")))
    assert what in said
    (said,) = found(workflow(undo=(step("a", **settings),))) if "edges" not in settings else (said,)
    assert what in said


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"concurrency": Concurrency(limit=1)}, "concurrency"),
        ({"compensate_on_cancel": True}, "compensation on cancellation"),
        ({"on_error": ErrorStrategy(notify={})}, "notifications"),
        ({"on_error": ErrorStrategy(steps=(step("a"),))}, "steps in on_error"),
        ({"policies": {"p": CircuitBreaker()}}, "named policies"),
        ({"compensation": Compensation(strategy="parallel")}, "parallel compensation"),
        ({"compensation": Compensation(mode="manual")}, "manual compensation"),
        ({"compensation": Compensation(timeout=5)}, "timeout of the compensation"),
    ],
)
def test_a_workflow_says_what_is_not_run(settings: dict[str, Any], what: str) -> None:
    (said,) = found(workflow(step("a"), **settings))
    assert what in said


def test_edges_between_compensation_steps_are_not_run() -> None:
    assert "one after the other" in found(workflow(undo=(step("u"), step("v", "u"))))[0]


def test_every_finding_says_where() -> None:
    definition = workflow(step("a", queue="gpu"), concurrency=Concurrency(limit=1))
    places = [path for path, _ in unsupported(definition, LEAVES)]
    assert places == [("spec", "config", "concurrency"), ("spec", "steps", "a", "queue")]
