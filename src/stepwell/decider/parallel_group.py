"""`parallel_group`: steps side by side, until all, one or some of them have completed; the rest is then cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import cancel_all, open_region
from stepwell.decider.blocks import SHOWN, began_at, begin, is_cut_short, left_over, outputs, withdraw
from stepwell.decider.failure import fail_or_retry
from stepwell.decider.leaf import complete
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.execution.state import StepState
from stepwell.execution.status import StepStatus


def start(turn: Turn, one: Instance) -> None:
    """All of its steps that wait for no other begin."""
    step = begin(turn, one)
    open_region(turn, _region(one, step))


def _region(one: Instance, step: StepState) -> Region:
    region = Region(one.node.blocks["steps"], one, one.inner_path(step.attempts), holds_on=True)
    config = one.node.step.config
    region.watched = (config.get("wait_for") or "all") != "all" or bool(config.get("fail_fast"))  # else its end counts
    return region


def look(turn: Turn, one: Instance, region: Region) -> None:
    """One of its steps has ended: enough may have."""
    config: Any = one.node.step.config
    steps = [turn.step(region.key_of(name)) for name in region.graph.nodes]
    completed = sum(_is_success(step) for step in steps)
    failed = [name for name, step in zip(region.graph.nodes, steps, strict=True) if step.handled == "up"]
    wait_for = config.get("wait_for") or "all"
    wanted = len(steps) if wait_for == "all" else 1 if wait_for == "any" else int(wait_for)
    if wait_for != "all" and completed >= wanted:
        _finish(turn, one, region, "enough of the group have completed")
        complete(turn, one, outputs(turn, region), began_at(turn, one))
    elif region.stopped and (not region.is_through or is_cut_short(turn, region)):
        if region.is_through:
            withdraw(turn, one)
    elif failed and config.get("fail_fast"):
        _finish(turn, one, region, f"step {failed[0]!r} of the group has failed")
        _fail(turn, one, region, failed, "")
    elif region.is_through:
        if failed or wait_for != "all":
            wish = "" if wait_for == "all" else f"{completed} of the {wanted} wanted steps completed; "
            _fail(turn, one, region, failed, wish)
        elif (problem := region.failure or left_over(turn, region)) is not None:
            fail_or_retry(turn, one, problem, began_at(turn, one))
        else:
            complete(turn, one, outputs(turn, region), began_at(turn, one))


def _is_success(step: StepState) -> bool:
    return step.status is StepStatus.COMPLETED or (step.status is StepStatus.FAILED and step.handled == "fallback")


def _finish(turn: Turn, one: Instance, region: Region, reason: str) -> None:
    cancel_all(turn, region, reason)
    one.regions = None


def _fail(turn: Turn, one: Instance, region: Region, failed: list[str], wish: str) -> None:
    found = [(key, error) for key in map(region.key_of, failed) if (error := turn.step(key).error) is not None]
    first = f"{len(found)} failed, first {found[0][0]!r}: {found[0][1].message}" if found else "none failed"
    errors = [{"step": key, "error": each.as_dict()} for key, each in found[:SHOWN]]
    error = ErrorInfo("group_failed", f"{wish}{first}", details={"errors": errors}, retryable=_may_retry(turn, region))
    fail_or_retry(turn, one, error, began_at(turn, one))


def _may_retry(turn: Turn, region: Region) -> bool:
    errors = [turn.step(region.key_of(name)).error for name in region.graph.nodes]
    return all(error.retryable for error in errors if error is not None)


def reopen(run: Run, one: Instance, step: StepState) -> Iterator[Region]:
    """Its one region."""
    yield _region(one, step)
