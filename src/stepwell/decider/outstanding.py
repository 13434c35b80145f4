"""What an execution still has to have done: derived from its state, so that nothing of it need be stored."""

from __future__ import annotations

from stepwell.decider.leaf import run_again
from stepwell.decider.locks import place_asked
from stepwell.decider.notifying import deliveries_again
from stepwell.decider.run import Run
from stepwell.execution.commands import AwaitEvent, Command, CompensateChild, TakeLock
from stepwell.execution.status import StepStatus


def outstanding(run: Run) -> list[Command]:
    """The commands that were given for this execution and are not yet answered.

    Carrying them out again is safe: work is at least once, with the same idempotency key and the same settings; a wait
    that is known stays one wait.
    """
    commands: list[Command] = []
    for key, step in run.state.steps.items():
        if step.status is StepStatus.RUNNING and step.block is None:
            one = run.open_instance(key)
            if one is not None:
                commands.append(run_again(run, one))
        elif step.status is StepStatus.WAITING:
            if step.block == "undo":
                commands.append(CompensateChild(key, step.message, run.state.compensation_reason))
            elif step.held == "mutex":
                commands.append(TakeLock(step.message, key, at=step.since))
            elif step.event_type is not None and not step.held:
                commands.append(AwaitEvent(key, step.event_type, step.filter))
    if run.state.untold:
        commands += deliveries_again(run)
    if run.state.unplaced:
        commands.append(place_asked(run))
    return commands
