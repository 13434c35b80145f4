"""Completing a step with a result from the cache."""

from __future__ import annotations

from stepwell.decider.leaf import complete
from stepwell.decider.turn import Turn
from stepwell.execution.history import ResultReused
from stepwell.execution.inputs import ResultFound
from stepwell.execution.status import StepStatus


def reuse(turn: Turn, found: ResultFound) -> None:
    """The result of an attempt was in the cache: the step completes with it. When the attempt is no longer the current
    one nothing changes."""
    one, step = turn.run.open_instance(found.step), turn.state.steps.get(found.step)
    if one is None or step is None or step.status is not StepStatus.RUNNING or step.attempts != found.attempt:
        return
    if step.block is not None or found.step not in turn.state.cached:
        return
    turn.emit(ResultReused(turn.at, one.key, found.execution, found.made_at))
    complete(turn, one, found.result, turn.at, found.scope)
