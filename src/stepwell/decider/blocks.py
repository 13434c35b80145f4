"""What control constructs have in common: beginning, and ending by what happened inside."""

from __future__ import annotations

from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import cancel_all, ended
from stepwell.decider.failure import fail_or_retry
from stepwell.decider.region import Instance, Region
from stepwell.decider.turn import Turn
from stepwell.execution.history import BlockStarted, StepCancelled
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, StepStatus

SHOWN = 10
"""So many names are listed in a message."""


def begin(turn: Turn, one: Instance, block: str = "", items: list[Any] | None = None) -> StepState:
    """The construct has begun."""
    attempt = turn.step(one.key).attempts + 1
    due = turn.at + one.node.timeout if one.node.timeout is not None else None
    turn.emit(BlockStarted(turn.at, one.key, attempt, block, items, due))
    turn.run.begin(one)
    one.failure = None  # of an earlier try
    if due is not None:
        turn.run.arm(due, one.key)
    return turn.state.steps[one.key]


def began_at(turn: Turn, one: Instance) -> int:
    """When it began."""
    started_at = turn.state.steps[one.key].started_at
    return started_at if started_at is not None else turn.at


def run_out_of_time(turn: Turn, one: Instance, allowed: str) -> None:
    """The construct's time is up: what is inside it is stopped."""
    cancel_inside(turn, one, f"step {one.node.name!r} timed out")
    error = ErrorInfo("timeout", f"step {one.node.name!r} timed out after {allowed}", retryable=True)
    fail_or_retry(turn, one, error, began_at(turn, one))


def cancel_inside(turn: Turn, one: Instance, reason: str) -> None:
    """Cancel whatever the construct has open."""
    for region in list((one.regions or {}).values()):
        cancel_all(turn, region, reason)
    one.regions = None


def went_wrong(turn: Turn, one: Instance, region: Region) -> bool:
    """End the construct when its only region did not come to a good end."""
    if region.failure is None and region.stopped:
        if is_cut_short(turn, region):
            withdraw(turn, one)
            return True
        return False
    error = region.failure or left_over(turn, region)
    if error is not None:
        fail_or_retry(turn, one, error, began_at(turn, one))
    return error is not None


def is_cut_short(turn: Turn, region: Region) -> bool:
    """Whether steps of a region that was stopped did not come to their ends."""
    statuses = [turn.step(region.key_of(name)).status for name in region.graph.nodes]
    return any(status is StepStatus.CANCELLED or status not in ENDED_STEP for status in statuses)


def withdraw(turn: Turn, one: Instance) -> None:
    """The construct ends because what is around it was stopped."""
    one.regions = None
    turn.emit(StepCancelled(turn.at, one.key, "what it stands in was stopped"))
    ended(turn, one)


def left_over(turn: Turn, region: Region) -> ErrorInfo | None:
    """Steps of a region that nothing will ever start: never a silent hang."""
    steps, is_plain = turn.state.steps, not region.path and region.rounds is None
    left = [
        name for name in region.graph.nodes
        if (step := steps.get(name if is_plain else region.key_of(name))) is None or step.status not in ENDED_STEP
    ]  # fmt: skip
    if not left:
        return None
    shown = ", ".join(left[:SHOWN]) + (", ..." if len(left) > SHOWN else "")
    return ErrorInfo("stuck", f"nothing runs or waits, and these steps can never start: {shown}")


def outputs(turn: Turn, region: Region) -> dict[str, Any]:
    """What the steps of a region gave, by name: those that completed."""
    found = {}
    for name in region.graph.nodes:
        step = turn.state.steps.get(region.key_of(name))
        if step is not None and (step.status is StepStatus.COMPLETED or step.handled == "fallback"):
            found[name] = step.output
    return found
