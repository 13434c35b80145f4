"""What happens when a step fails. Written once, here.

Retry, then `on_failure` or `on_timeout`, then failure edges, then the fallback, then whatever is around the step: the
construct it stands in, or the workflow's strategy (`ending`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from stepwell.base.durations import DAY, SECOND
from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.advance import act_on, ended, open_region, stop, tell_children
from stepwell.decider.edges import Taken, record_published, taken_edges
from stepwell.decider.graph import UNDOING
from stepwell.decider.joins import after_fallback, is_outcome, is_taken
from stepwell.decider.notifying import notify_of_failure
from stepwell.decider.region import Instance, Region
from stepwell.decider.scope import error_names, failed_outcome, succeeded_outcome
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.execution.history import AttemptFailed, ExecutionPaused, FallbackStarted, StepFailed
from stepwell.execution.state import StepState
from stepwell.execution.status import BEFORE_THE_END, ENDED_STEP, StepStatus
from stepwell.expression.errors import ExpressionError

UNCOMPUTED: Final = frozenset({"expression_error", "invalid_items"})
"""Types of errors of steps whose settings, items or edges cannot be computed. Where branches are separate no edge deals
with them: they are mistakes in the workflow, not failures of its work."""
_LONGEST: Final = 36_500 * DAY // SECOND
"""Seconds that a wait that is computed may take."""


def fail_or_retry(turn: Turn, one: Instance, error: ErrorInfo, started_at: int) -> None:
    """An attempt failed: try again when the policy says so, else the step has failed."""
    step = turn.state.steps[one.key]
    try:
        delay = _delay(turn, one, step, error) if _wants_retry(turn, one, step, error) else None
    except ExpressionError as problem:
        delay = None
        message = f"{error.message} (whether to try again cannot be decided: {problem.message})"
        error = msgspec.structs.replace(error, message=message)
    if delay is not None:
        _try_later(turn, one, step, error, started_at, delay)
    else:
        fail(turn, one, error, started_at)


def retry_result(
    turn: Turn, one: Instance, result: Any, started_at: int, further: Mapping[str, Any] | None = None
) -> bool:
    """An attempt ended well, but the policy's condition may ask for another try all the same: say whether it does.

    The last try's result counts, whatever the condition says of it.

    Args:
        further: names that the condition may read beside `response`, such as `response_status`.
    """
    retry, step = one.node.retry, turn.state.steps[one.key]
    tries = step.attempts - step.attempts_before
    if retry.when is None or tries >= retry.policy.max_attempts or one.region.stopped:
        return False
    names = {**(further or {}), "response": result, "error": None, "attempt": tries}
    scope = turn.scope(one, f"retry/{step.attempts}", names, succeeded_outcome(result))
    try:
        if not retry.when.holds(scope):
            return False
        error = ErrorInfo("unwanted_result", "its result asks for another try", retryable=True)
        delay = _delay(turn, one, step, error)
    except ExpressionError:
        return False
    _try_later(turn, one, step, error, started_at, delay)
    return True


def _delay(turn: Turn, one: Instance, step: StepState, error: ErrorInfo) -> int:
    """How long to wait before the next try, in microseconds.

    Raises:
        ExpressionError: it is computed, and that fails or gives no number of seconds.
    """
    retry, tries = one.node.retry_for(error.type), step.attempts - step.attempts_before
    if retry.delay is None:
        return retry.policy.delay_after(tries, turn.state.seed, one.key)
    names = error_names(error, tries)
    seconds = turn.render(one, retry.delay, f"retry/{step.attempts}/delay", names, failed_outcome(error))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST:
        raise ExpressionError(f"the wait before another try is no number of seconds: {seconds!r}", code="wrong-type")
    return round(seconds * SECOND)


def _try_later(turn: Turn, one: Instance, step: StepState, error: ErrorInfo, started_at: int, delay: int) -> None:
    turn.emit(AttemptFailed(turn.at, one.key, step.attempts, started_at, error, turn.at + delay))
    one.regions = None
    turn.run.arm(turn.at + delay, one.key)


def _wants_retry(turn: Turn, one: Instance, step: StepState, error: ErrorInfo) -> bool:
    retry = one.node.retry_for(error.type)
    tries = step.attempts - step.attempts_before
    if tries >= retry.policy.max_attempts or one.region.stopped:
        return False
    if not retry.policy.tries_again_after(error.type, retryable=error.retryable or retry.when is not None):
        return False
    if retry.when is None:
        return True
    return retry.when.holds(turn.scope(one, f"retry/{step.attempts}", error_names(error, tries), failed_outcome(error)))


def fail(turn: Turn, one: Instance, error: ErrorInfo, started_at: int) -> None:
    """The step has failed for good; say how that was handled, or have something else tried in its place."""
    if one.node.notices is not None:
        notify_of_failure(turn, one, error, _message(turn, one, error))
    if _pauses(turn, one, error):
        pause_for(turn, one, error, started_at)
        return
    if one.node.graph.separate and error.type in UNCOMPUTED:
        end_failed(turn, one, error, started_at, "")
        return
    failed = StepState(status=StepStatus.FAILED, error=error)
    try:
        taken = taken_edges(turn, one, failed, failed_outcome(error), error_names(error, turn.step(one.key).attempts))
    except ExpressionError as problem:
        taken = Taken()
        error = msgspec.structs.replace(
            error, message=f"{error.message} (an edge cannot be decided: {problem.message})"
        )
    handled = _handling(turn, one, error, msgspec.structs.replace(failed, taken=taken.numbers))
    may_fall_back = not handled and not one.region.stopped and turn.step(one.key).block != "fallback"
    if may_fall_back and one.node.fallback_for(error.type) is not None:
        fall_back(turn, one, error, started_at)
        return
    end_failed(turn, one, error, started_at, handled, taken=taken)


def _pauses(turn: Turn, one: Instance, error: ErrorInfo) -> bool:
    """Whether the failure is to halt the execution until an operator lets it go on."""
    action = one.node.action_for(error.type)
    if action is None or action.action != "pause" or one.node.for_compensation or error.type == "max_visits":
        return False
    if one.region.stopped or turn.run.is_stopping() or turn.state.hooks_began:
        return False
    return turn.state.status in BEFORE_THE_END


def pause_for(turn: Turn, one: Instance, error: ErrorInfo, started_at: int) -> None:
    """Halt the execution because of the step; it is tried again when the execution goes on."""
    turn.emit(AttemptFailed(turn.at, one.key, turn.step(one.key).attempts, started_at, error, turn.at))
    one.regions = None
    turn.run.begin(one)
    turn.run.arm(turn.at, one.key)
    reason = f"step {one.node.name!r} failed: {_message(turn, one, error)}"
    turn.emit(ExecutionPaused(turn.at, "", reason, one.key))
    tell_children(turn, "pause", "", reason)


def _message(turn: Turn, one: Instance, error: ErrorInfo) -> str:
    template = one.node.message_for(error.type)
    if template is None:
        return error.message
    names = error_names(error, turn.step(one.key).attempts)
    try:
        return str(masked(turn.render(one, template, "message", names, failed_outcome(error))))
    except ExpressionError as problem:
        return f"{error.message} (the message of its action cannot be built: {problem.message})"


def end_failed(
    turn: Turn,
    one: Instance,
    error: ErrorInfo,
    started_at: int,
    handled: str,
    *,
    taken: Taken | None = None,
    output: Any = None,
) -> None:
    """Record that the step has failed, and tell what is around it."""
    region = one.region
    if not handled:
        handled = _unhandled(turn, one)
        if handled == "up":
            error = msgspec.structs.replace(error, message=_message(turn, one, error))
    numbers = taken.numbers if taken is not None else ()
    turn.emit(StepFailed(turn.at, one.key, started_at, error, handled, numbers, output))
    if taken is not None:
        record_published(turn, one, {}, taken)
    if handled == "up":
        region.failure = region.failure or (error if region.graph.name == "body" else inside(error, one))
        if not region.holds_on:
            stop(turn, region, f"step {one.node.name!r} has failed")
    elif turn.run.is_stopping() and not turn.run.root.stopped:
        stop(turn, turn.run.root, "the execution has failed")
    ended(turn, one)


def fall_back(turn: Turn, one: Instance, error: ErrorInfo, started_at: int) -> None:
    """Have something else stand in for the step: a value at once, another step, or a body of its own."""
    fallback = one.node.fallback_for(error.type)
    assert fallback is not None, "asked for only where there is one"
    if fallback.value is not None:
        names = error_names(error, turn.step(one.key).attempts)
        try:
            value = storable(turn.render(one, fallback.value, "fallback", names, failed_outcome(error)))
        except ExpressionError as problem:
            end_failed(turn, one, expression_failure(problem), started_at, "")
            return
        end_failed(turn, one, error, started_at, "fallback", output=value)
        return
    turn.emit(FallbackStarted(turn.at, one.key, error, started_at))
    one.regions = None  # what is inside it is through
    turn.run.begin(one)
    if fallback.step is not None:
        act_on(turn, one.region, after_fallback(one.region, one.node, fallback.step))
        stand_in = turn.step(one.region.key_of(fallback.step))
        if stand_in.status in ENDED_STEP:  # an operator has settled it before
            end_fallback(turn, one, stand_in)
    else:
        open_region(turn, fallback_region(one, error))


def fallback_region(one: Instance, error: ErrorInfo) -> Region:
    """Where the body runs that stands in for a step; its expressions see the `error`."""
    fallback = one.node.fallback_for(error.type)
    assert fallback is not None, "asked for only where there is one"
    assert fallback.graph is not None, "asked for only where it is a body"
    parts = (one.region.path, f"#{one.visit}" if one.visit > 1 else "", "fallback")
    path = ",".join(filter(None, parts))
    return Region(fallback.graph, one, path, {"error": error.as_dict()}, holds_on=True)


def end_fallback(turn: Turn, one: Instance, stand_in: StepState) -> None:
    """What stood in for a failed step has ended: well, so that its output is the step's, or the step has failed."""
    step = turn.state.steps[one.key]
    assert step.error is not None, "only a failed step has a fallback"
    started_at = step.started_at if step.started_at is not None else turn.at
    if stand_in.status is StepStatus.COMPLETED or stand_in.handled == "fallback":
        end_failed(turn, one, step.error, started_at, "fallback", output=stand_in.output)
        return
    error = step.error
    if stand_in.error is not None:
        message = f"{error.message} (and its fallback failed: {stand_in.error.message})"
        error = msgspec.structs.replace(error, message=message)
    end_failed(turn, one, error, started_at, "")


def waiting_for(turn: Turn, stand_in: Instance) -> Instance | None:
    """The step that the stand-in runs for."""
    for one in stand_in.region.open.values():
        step = turn.state.steps[one.key]
        if step.block == "fallback" and step.error is not None:
            fallback = one.node.fallback_for(step.error.type)
            if fallback is not None and fallback.step == stand_in.node.name:
                return one
    return None


def _unhandled(turn: Turn, one: Instance) -> str:
    """Who answers for a failure that the step itself does not handle: nobody, for a step of the root."""
    if one.node.is_stand_in and waiting_for(turn, one) is not None:
        return "stand_in"
    return "up" if one.region.owner is not None and one.region.graph.name not in UNDOING else ""


def _handling(turn: Turn, one: Instance, error: ErrorInfo, failed: StepState) -> str:
    action = one.node.action_for(error.type)
    if action is not None:
        match action.action:
            case "continue" | "skip":
                return "continue"
            case "compensate":
                return "compensate"
            case "terminate" | "retry" | "fallback" | "pause":
                pass
            case _:
                assert_never(action.action)
    if error.type == "max_visits":
        return ""
    return (
        "edge"
        if any(link.handles and is_taken(link, failed) for link in one.node.links) or _is_dealt_with(one, failed)
        else ""
    )


def _is_dealt_with(one: Instance, failed: StepState) -> bool:
    """Whether an edge is taken that leads nowhere."""
    return any(
        edge.ends
        and edge.handles
        and (edge.number is None or edge.number in failed.taken)
        and is_outcome(edge.on, one.node, failed)
        for edge in one.node.pushed
    )


def inside(error: ErrorInfo, one: Instance) -> ErrorInfo:
    """The error of a step as that of what it stands in."""
    details = dict(error.details) if isinstance(error.details, dict) else {}
    details.setdefault("step", one.key)
    return msgspec.structs.replace(error, message=f"step {one.node.name!r} failed: {error.message}", details=details)
