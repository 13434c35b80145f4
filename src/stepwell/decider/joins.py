"""What the end of a step means for those that wait for it."""

from __future__ import annotations

from typing import assert_never

from stepwell.base.errors import ErrorInfo
from stepwell.decider.plan import Node
from stepwell.decider.run import arrive, settle_join, verdict
from stepwell.decider.turn import Turn
from stepwell.execution.history import ExecutionFailing, StepSkipped
from stepwell.execution.status import ExecutionStatus


def follow(turn: Turn, node: Node) -> None:
    """The step has ended: decide its edges, and, where a join is decided by that, what stands behind it.

    Once nothing new may start, nothing more is decided: what stands behind stays as it is.
    """
    ended = [node]
    while ended and not turn.run.is_stopping():
        source = ended.pop()
        state = turn.state.steps[source.name]
        for link in source.links:
            arrivals = arrive(turn.run, link, state)
            if not arrivals.settled and _settle(turn, link.target):
                ended.append(link.target)


def _settle(turn: Turn, node: Node) -> bool:
    """Act on what the step's join says now. True when the step has ended by it: its path is dead."""
    said = verdict(turn.run, node)
    match said:
        case "open":
            return False
        case "run":
            settle_join(turn.run, node)
            return False
        case "dead":
            turn.run.arrivals[node.name].settled = True
            if isinstance(node.join, int):
                _fail_unreachable_join(turn, node)
            turn.emit(StepSkipped(turn.at, node.name, "dead_path", "nothing leads here any more"))
            return True
        case _:
            assert_never(said)


def _fail_unreachable_join(turn: Turn, node: Node) -> None:
    if turn.state.failure is None and turn.state.status is ExecutionStatus.RUNNING:
        left = node.inbound - turn.run.arrivals[node.name].dead
        message = f"step {node.name!r} waits for {node.join} of {node.inbound} edges, and only {left} can be taken"
        turn.emit(ExecutionFailing(turn.at, ErrorInfo("join_unsatisfiable", message)))
