"""`dynamic`: steps that are known only when the workflow runs. They are recorded, and then run like any others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import open_region
from stepwell.decider.blocks import began_at, begin, outputs, went_wrong, withdraw
from stepwell.decider.failure import fail_or_retry
from stepwell.decider.inner import Generated
from stepwell.decider.keys import instance_key
from stepwell.decider.leaf import complete
from stepwell.decider.plan import grown
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.definition.generated import generated_steps
from stepwell.execution.history import StepsAdded
from stepwell.execution.state import StepState


def start(turn: Turn, one: Instance) -> None:
    """Find out the steps: from the settings at once, or by having a task make them first.

    Raises:
        ExpressionError: the settings cannot be evaluated.
    """
    said = one.node.inner
    assert isinstance(said, Generated), "compiled for this type"
    if said.steps is None:
        begin(turn, one, "make")
        open_region(turn, _making(one, turn.state.steps[one.key]))
        return
    made = storable(turn.render(one, said.steps, "steps"))
    begin(turn, one)
    _add(turn, one, made)


def _making(one: Instance, step: StepState) -> Region:
    path = one.inner_path(step.attempts)
    return Region(one.node.blocks["make"], one, f"{path},make" if path else "make")


def _add(turn: Turn, one: Instance, made: Any) -> None:
    """Record the steps, and begin them."""
    steps, problem = generated_steps(made)
    path = one.inner_path(turn.state.steps[one.key].attempts)
    for step in steps:
        if turn.run.plan.node(step.name) is not None or instance_key(step.name, path) in turn.state.steps:
            problem = f"a step called {step.name!r} is there already"
    if problem is not None:
        message = f"step {one.node.name!r} cannot add steps: {problem}"
        fail_or_retry(turn, one, ErrorInfo("invalid_steps", message), began_at(turn, one))
        return
    turn.emit(StepsAdded(turn.at, one.key, made))
    if steps:
        open_region(turn, _added(turn.run, one, turn.state.steps[one.key]))
    else:
        complete(turn, one, {}, began_at(turn, one))


def _added(run: Run, one: Instance, step: StepState) -> Region:
    steps, _ = generated_steps(step.items)
    graph = grown(run.plan, one.node, steps)
    return Region(graph, one, one.inner_path(step.attempts), holds_on=run.plan.drains)


def look(turn: Turn, one: Instance, region: Region) -> None:
    """The task has made the steps, or the steps are through."""
    if not region.is_through or went_wrong(turn, one, region):
        return
    if region.graph.name == "make" and region.stopped:
        withdraw(turn, one)
    elif region.graph.name == "make":
        one.regions = None
        _add(turn, one, turn.step(region.key_of(one.node.name)).output)
    else:
        complete(turn, one, outputs(turn, region), began_at(turn, one))


def reopen(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    """The steps that were added, or the task that makes them."""
    if step.items is not None:
        yield _added(run, one, step)
    elif step.block == "make":
        yield _making(one, step)
