"""Deciding on a step costs the same, however many steps there are."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

from stepwell.decider.create import Start, create
from stepwell.decider.decide import decide
from stepwell.decider.plan import Plan
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.evolve import begin
from stepwell.execution.inputs import Begin
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.work import Report
from tests.decider.story import Story, step, workflow

READS = {"task": "work", "args": {"before": "{{ input.n }}"}}


def chain(length: int) -> tuple[WorkflowDefinition, list[str]]:
    """One step after the other, and the order in which they end."""
    names = [f"s{position}" for position in range(length)]
    steps = [step(name, *names[:position][-1:], config=READS) for position, name in enumerate(names)]
    return workflow(*steps), names


def fan_in(width: int) -> tuple[WorkflowDefinition, list[str]]:
    """One step, then many, then one that waits for them all."""
    names = [f"b{position}" for position in range(width)]
    steps = [step("first"), *(step(name, "first") for name in names), step("last", *names)]
    return workflow(*steps), ["first", *names, "last"]


def limited(width: int) -> tuple[WorkflowDefinition, list[str]]:
    """As many steps that wait for one of ten places."""
    names = [f"b{position}" for position in range(width)]
    return workflow(*(step(name) for name in names), max_parallel_steps=10), names


Shape = Callable[[int], tuple[WorkflowDefinition, list[str]]]


@cache
def planned(shape: Shape, size: int) -> tuple[Plan, list[Report]]:
    """A workflow of this shape and size, compiled once, and the reports that it gets."""
    definition, names = shape(size)
    reports = [Report(execution="x", step=name, attempt=1, started_at=1, result={"ok": True}) for name in names]
    return Plan(definition), reports


class Work:
    """An execution that is to be decided from its beginning to its end."""

    def __init__(self, shape: Shape, size: int) -> None:
        plan, self.reports = planned(shape, size)
        self.run = Run(plan, begin(create(plan, Start(id="x", input={"n": 1}, seed=b"seed"), 0)))
        self.size = size

    def do(self) -> None:
        decide(self.run, Begin(), 0)
        for report in self.reports:
            decide(self.run, report, 1)
        assert self.run.state.status is ExecutionStatus.COMPLETED


@contextmanager
def counting() -> Iterator[list[int]]:
    """Counts the calls of functions, those written in C too."""
    calls = [0]

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def calls_per_step(work: Work) -> float:
    """How many functions are called for a step."""
    with counting() as calls:
        work.do()
    return calls[0] / work.size


def time_per_step(shape: Shape, size: int, repeat: int) -> float:
    """The processor's time for a step, the best of several tries, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        work = Work(shape, size)
        gc.collect()
        gc.disable()
        begun = time.process_time()
        work.do()
        best = min(best, time.process_time() - begun)
        gc.enable()
    return best / size


@pytest.mark.parametrize(
    ("shape", "small", "large"), [(chain, 100, 10_000), (fan_in, 1_000, 10_000), (limited, 100, 5_000)]
)
def test_a_step_takes_as_many_calls_in_a_large_workflow_as_in_a_small_one(shape: Any, small: int, large: int) -> None:
    assert calls_per_step(Work(shape, large)) < 1.05 * calls_per_step(Work(shape, small))


@pytest.mark.parametrize(("shape", "small", "large"), [(chain, 100, 10_000), (fan_in, 1_000, 10_000)])
def test_a_step_takes_about_as_long_in_a_large_workflow_as_in_a_small_one(shape: Any, small: int, large: int) -> None:
    """It takes about 1.3 times as long, for lack of cache; a scan per step would take a hundred times as long."""
    assert time_per_step(shape, large, 2) < 4 * time_per_step(shape, small, 4)


def test_a_step_takes_few_calls() -> None:
    """A guard against waste on the hot path: it was 67 when this was written."""
    assert calls_per_step(Work(chain, 1_000)) < 85


def test_restoring_takes_as_many_calls_for_an_event_of_a_long_history_as_of_a_short_one() -> None:
    def calls_per_event(length: int) -> float:
        definition, names = chain(length)
        story = Story(definition, {"n": 1})
        story.begin()
        for name in names[:-1]:
            story.done(name)
        plan = Plan(definition)
        with counting() as calls:
            replay(plan, story.history)
        return calls[0] / len(story.history)

    assert calls_per_event(3_000) < 1.05 * calls_per_event(100)
