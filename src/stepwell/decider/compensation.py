"""Undoing: `compensation.steps`, one after the other."""

from __future__ import annotations

from stepwell.decider.region import Instance
from stepwell.decider.start import start_step
from stepwell.decider.turn import Turn
from stepwell.execution.history import CompensationEnded
from stepwell.execution.status import ENDED_STEP, StepStatus


def continue_compensation(turn: Turn) -> None:
    """Start the next compensation step, or record that all are through. Called when nothing is in flight."""
    run = turn.run
    nodes = run.plan.compensation
    while run.compensated < len(nodes):
        node = nodes[run.compensated]
        if node.name not in turn.state.steps:
            start_step(turn, Instance(node, run.undoing))
        if turn.state.steps[node.name].status not in ENDED_STEP:
            return
        run.compensated += 1
    turn.emit(CompensationEnded(turn.at, _outcome(turn)))


def _outcome(turn: Turn) -> str:
    statuses = [turn.state.steps[node.name].status for node in turn.run.plan.compensation]
    if StepStatus.FAILED in statuses:
        return "failed"
    return "done" if StepStatus.COMPLETED in statuses else "nothing"
