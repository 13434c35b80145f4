"""What an execution still has to have done: derived from its state, so that nothing of it need be stored."""

from __future__ import annotations

from stepwell.decider.leaf import assignment_again
from stepwell.decider.run import Run
from stepwell.execution.commands import AwaitEvent, Command, RunStep
from stepwell.execution.status import StepStatus


def outstanding(run: Run) -> list[Command]:
    """The commands that were given for this execution and are not yet answered.

    Carrying them out again is safe: work is at least once, with the same idempotency key and the same settings; a wait
    that is known stays one wait.
    """
    commands: list[Command] = []
    for name, step in run.state.steps.items():
        node = run.plan.node(name)
        if node is None:
            continue
        if step.status is StepStatus.RUNNING:
            commands.append(RunStep(assignment_again(run, node)))
        elif step.status is StepStatus.WAITING and step.event_type is not None:
            commands.append(AwaitEvent(name, step.event_type, step.filter))
    return commands
