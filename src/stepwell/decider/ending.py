"""How an execution ends, once nothing of it is running or waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, assert_never

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.advance import cancel_all, open_region
from stepwell.decider.blocks import left_over
from stepwell.decider.compensation import begin_compensation, continue_compensation, has_bodies
from stepwell.decider.compensation_children import ANSWER
from stepwell.decider.compensation_places import place_of
from stepwell.decider.failure import inside
from stepwell.decider.notifying import notify_of_error
from stepwell.decider.region import Instance
from stepwell.decider.scope import error_names, failed_outcome
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.decider.verbs import conclude_cancelling
from stepwell.decider.verbs_rollback import ROLLBACK, finish_rollback
from stepwell.execution.commands import EndExecution
from stepwell.execution.history import (
    UNHANDLED,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionFailing,
    HooksStarted,
)
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.expression.errors import ExpressionError

_COMPENSATING: Final = ExecutionStatus.COMPENSATING


def conclude(turn: Turn) -> None:
    """Take the next step towards the end: complete, fail, or compensate."""
    state = turn.state
    if state.status is _COMPENSATING:
        _conclude_compensation(turn)
    elif state.cancel is not None:
        conclude_cancelling(turn)
    elif state.failure is not None:
        _conclude_failure(turn, state.failure)
    else:
        _conclude_success(turn)


def _conclude_success(turn: Turn) -> None:
    problem = left_over(turn, turn.run.root) or _strict_failure(turn) or _unanswered(turn)
    if problem is not None:
        turn.emit(ExecutionFailing(turn.at, problem))
        return
    output = _output_or_error(turn)
    if isinstance(output, ErrorInfo):
        turn.emit(ExecutionFailing(turn.at, output))
        return
    turn.emit(ExecutionCompleted(turn.at, output))
    turn.command(EndExecution())


def _unanswered(turn: Turn) -> ErrorInfo | None:
    """A failure that nothing handled: there is one when an operator let the execution go on without retrying it."""
    for name, node in turn.run.plan.nodes.items() if turn.state.resets else ():
        step = turn.state.steps.get(name)
        if step is None or step.error is None or step.status is not StepStatus.FAILED:
            continue
        if step.handled in UNHANDLED:
            return inside(step.error, Instance(node, turn.run.root))
    return None


def _conclude_failure(turn: Turn, failure: ErrorInfo) -> None:
    error = turn.state.final_error or _final_error(turn, failure)
    if not turn.state.hooks_began:
        notify_of_error(turn, error)
    if not turn.state.hooks_began and turn.run.plan.hooks.nodes:
        turn.emit(HooksStarted(turn.at, error))
        turn.run.hooks.names = {"error": error.as_dict()}
        open_region(turn, turn.run.hooks)
        return
    said = strategy(turn)
    match said:
        case "compensate":
            begin_compensation(turn, _reason(turn, failure), then="fail", error=error)
        case "continue":
            output = _output_or_error(turn)
            if isinstance(output, ErrorInfo):
                give_up(turn, output)
            else:
                turn.emit(ExecutionCompleted(turn.at, output))
                turn.command(EndExecution())
        case "terminate":
            give_up(turn, error)
        case _:
            assert_never(said)


def _conclude_compensation(turn: Turn) -> None:
    state = turn.state
    if state.compensation is None:
        continue_compensation(turn)
    elif state.turned is not None:
        _end_cancelled(turn, state.turned)
    else:
        THEN[state.compensation_then](turn)


def _fail_as_recorded(turn: Turn) -> None:
    """After the compensation that followed a failure."""
    state = turn.state
    assert state.failure is not None, "only a failure leads here"
    give_up(turn, state.final_error or _final_error(turn, state.failure))


def _cancel_as_asked(turn: Turn) -> None:
    """After the compensation that followed a cancel, or that the parent of this execution asked for."""
    _end_cancelled(turn, turn.state.compensation_reason)


def _end_cancelled(turn: Turn, reason: str) -> None:
    """End the execution as cancelled; or as failed, when what it did could not be undone."""
    state = turn.state
    if state.compensation == "failed":
        problem = state.compensation_problem or "at least one compensation failed"
        give_up(turn, ErrorInfo("compensation_failed", f"{reason}; not everything could be undone: {problem}"))
        return
    turn.emit(ExecutionCancelled(turn.at, state.compensation_by, reason))
    turn.command(EndExecution())


THEN: Final[Mapping[str, Callable[[Turn], None]]] = {
    "fail": _fail_as_recorded,
    "cancel": _cancel_as_asked,
    ANSWER: _cancel_as_asked,
    ROLLBACK: finish_rollback,
}
"""What follows a compensation, by `CompensationStarted.then`."""


def give_up(turn: Turn, error: ErrorInfo) -> None:
    """End the execution as failed."""
    output = None
    if turn.run.plan.definition.output_on_failure:
        built = _parts(turn)[0] if turn.run.plan.output_parts is not None else _output_or_error(turn)
        output = None if isinstance(built, ErrorInfo) else built
    turn.emit(ExecutionFailed(turn.at, error, output))
    turn.command(EndExecution())


def cancel_running(turn: Turn) -> bool:
    """Before it compensates, an execution that has failed waits for what still runs, or has it stopped, as its workflow
    says. Whether something was stopped."""
    run, state = turn.run, turn.state
    if (
        not run.root.stopped
        or state.failure is None
        or run.root.is_through
        or state.status is not ExecutionStatus.RUNNING
    ):
        return False
    if run.plan.definition.config.cancellation != "cancel_running" or strategy(turn) != "compensate":
        return False
    cancel_all(turn, run.root, "the execution has failed, and compensates")
    return True


def strategy(turn: Turn) -> Literal["compensate", "terminate", "continue"]:
    """What follows a failure: what the action of a failed step asks for, else what the workflow says.

    `continue` is about failed steps: an execution that is out of time, stuck or without valid output did not complete.
    """
    definition, state = turn.run.plan.definition, turn.state
    if any(step.handled == "compensate" for step in state.steps.values()):
        return "compensate"
    declared = definition.config.on_error.strategy
    if declared == "continue" and (state.failed_step is None or definition.config.strict_failures):
        return "terminate"
    says_how = definition.compensation.declared or definition.compensation.steps or has_bodies(turn.run)
    return declared or ("compensate" if says_how else "terminate")


def _reason(turn: Turn, failure: ErrorInfo) -> str:
    """Why compensation starts."""
    name = turn.state.failed_step
    return f"step {name!r} failed: {failure.message}" if name else failure.message


def _final_error(turn: Turn, failure: ErrorInfo) -> ErrorInfo:
    """The execution's error: the message of the action that applied, or one that names the step."""
    name = turn.state.failed_step
    one = place_of(turn.run, name) if name is not None else None
    if one is None or name is None:
        return failure
    message = _rendered_message(turn, one, failure) or f"step {name!r} failed: {failure.message}"
    details = {"step": name, "cause": failure.message}
    return msgspec.structs.replace(failure, message=message, details=details, retryable=False)


def _rendered_message(turn: Turn, one: Instance, failure: ErrorInfo) -> str:
    template = one.node.message_for(failure.type)
    if template is None:
        return ""
    names = error_names(failure, turn.step(one.key).attempts)
    try:
        return str(masked(turn.render(one, template, "message", names, failed_outcome(failure))))
    except ExpressionError as error:
        return f"{failure.message} (the message of its action cannot be built: {error.message})"


def _strict_failure(turn: Turn) -> ErrorInfo | None:
    if not turn.run.plan.definition.config.strict_failures:
        return None
    failed = [name for name, step in turn.state.steps.items() if step.status is StepStatus.FAILED]
    return ErrorInfo("step_failed", f"failed steps: {', '.join(failed)} (strict_failures)") if failed else None


def _output_or_error(turn: Turn) -> Any:
    """The workflow's output, or an `ErrorInfo`: by `output.values`, else each property of `output.schema` by name."""
    plan = turn.run.plan
    try:
        if plan.output_parts is not None:
            output, problem = _parts(turn)
            if problem is not None:
                return problem
        elif plan.output is not None:
            names = {"vars": turn.run.names.final_variables(turn.run.root)}
            output = storable(plan.output.render(turn.run.names.scope(turn.at, "", "output", names)))
        elif plan.output_check is not None:
            output = storable(_collected(turn, plan.output_check.schema.get("properties") or {}))
        else:
            return None
    except ExpressionError as error:
        return msgspec.structs.replace(expression_failure(error), type="invalid_output")
    problems = plan.output_check.problems(output) if plan.output_check is not None else []
    if problems:
        text = "; ".join(f"{path or 'output'}: {message}" for path, message in problems)
        return ErrorInfo("invalid_output", f"the output does not satisfy its schema: {text}")
    return output


def _parts(turn: Turn) -> tuple[dict[str, Any] | None, ErrorInfo | None]:
    """Where branches are separate: those entries of the output that can be computed, None when there are none, and what
    is wrong with the first of the others."""
    plan, names = turn.run.plan, {"vars": turn.run.names.final_variables(turn.run.root)}
    assert plan.output_parts is not None, "asked for only where there are parts"
    output: dict[str, Any] = {}
    problem: ErrorInfo | None = None
    for name, template in plan.output_parts.items():
        try:
            output[name] = storable(template.render(turn.run.names.scope(turn.at, "", "output", names)))
        except ExpressionError as error:
            problem = problem or msgspec.structs.replace(expression_failure(error), type="invalid_output")
    return output or None, problem


def _collected(turn: Turn, properties: Any) -> dict[str, Any]:
    """Each property from `vars`, else from the output of the step that completed last and has it."""
    wanted = dict.fromkeys(properties)
    variables = turn.run.names.final_variables(turn.run.root)
    found = {name: variables[name] for name in wanted if name in variables}
    nodes = turn.run.plan.nodes
    ended = [(step.order, step.output) for name, step in turn.state.steps.items()
             if name in nodes and step.status is StepStatus.COMPLETED and isinstance(step.output, dict)]  # fmt: skip
    for _, output in sorted(ended, key=lambda entry: entry[0], reverse=True):
        for name in wanted:
            if name not in found and name in output:
                found[name] = output[name]
    return {name: found[name] for name in wanted if name in found}
