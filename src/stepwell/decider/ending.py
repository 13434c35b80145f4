"""How an execution ends, once nothing of it is running or waiting."""

from __future__ import annotations

from typing import Any, Literal, assert_never

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.advance import open_region
from stepwell.decider.blocks import left_over
from stepwell.decider.compensation import continue_compensation
from stepwell.decider.region import Instance
from stepwell.decider.scope import error_names, failed_outcome
from stepwell.decider.turn import Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.execution.commands import EndExecution
from stepwell.execution.history import (
    CompensationStarted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionFailing,
    HooksStarted,
)
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.expression.errors import ExpressionError


def conclude(turn: Turn) -> None:
    """Take the next step towards the end: complete, fail, or compensate."""
    state = turn.state
    if state.status is ExecutionStatus.COMPENSATING:
        _conclude_compensation(turn)
    elif state.failure is not None:
        _conclude_failure(turn, state.failure)
    else:
        _conclude_success(turn)


def _conclude_success(turn: Turn) -> None:
    problem = left_over(turn, turn.run.root) or _strict_failure(turn)
    if problem is not None:
        turn.emit(ExecutionFailing(turn.at, problem))
        return
    output = _output_or_error(turn)
    if isinstance(output, ErrorInfo):
        turn.emit(ExecutionFailing(turn.at, output))
        return
    turn.emit(ExecutionCompleted(turn.at, output))
    turn.command(EndExecution())


def _conclude_failure(turn: Turn, failure: ErrorInfo) -> None:
    if not turn.state.hooks_began and turn.run.plan.hooks.nodes:
        turn.emit(HooksStarted(turn.at))
        turn.run.hooks.names = {"error": final_error(turn, failure).as_dict()}
        open_region(turn, turn.run.hooks)
        return
    strategy = _strategy(turn)
    match strategy:
        case "compensate":
            turn.emit(CompensationStarted(turn.at, _reason(turn, failure)))
        case "continue":
            output = _output_or_error(turn)
            if isinstance(output, ErrorInfo):
                give_up(turn, output)
            else:
                turn.emit(ExecutionCompleted(turn.at, output))
                turn.command(EndExecution())
        case "terminate":
            give_up(turn, final_error(turn, failure))
        case _:
            assert_never(strategy)


def _conclude_compensation(turn: Turn) -> None:
    if turn.state.compensation is None:
        continue_compensation(turn)
    else:
        assert turn.state.failure is not None, "only a failure starts compensation"
        give_up(turn, final_error(turn, turn.state.failure))


def give_up(turn: Turn, error: ErrorInfo) -> None:
    """End the execution as failed."""
    turn.emit(ExecutionFailed(turn.at, error))
    turn.command(EndExecution())


def _strategy(turn: Turn) -> Literal["compensate", "terminate", "continue"]:
    """What follows a failure: what the action of a failed step asks for, else what the workflow says.

    `continue` is about failed steps: an execution that is out of time, stuck or without valid output did not complete.
    """
    definition, state = turn.run.plan.definition, turn.state
    if any(step.handled == "compensate" for step in state.steps.values()):
        return "compensate"
    declared = definition.config.on_error.strategy
    if declared == "continue" and (state.failed_step is None or definition.config.strict_failures):
        return "terminate"
    return declared or ("compensate" if definition.compensation.steps else "terminate")


def _reason(turn: Turn, failure: ErrorInfo) -> str:
    """Why compensation starts, and what it could not do as it was asked."""
    name = turn.state.failed_step
    reason = f"step {name!r} failed: {failure.message}" if name else failure.message
    node = turn.run.plan.node(name) if name else None
    action = node.action_for(failure.type) if node is not None else None
    if action is not None and action.compensation_workflow:
        reason += f" (workflow {action.compensation_workflow!r} is not registered: the inline compensation runs)"
    return reason


def final_error(turn: Turn, failure: ErrorInfo) -> ErrorInfo:
    """The execution's error: the message of the action that applied, or one that names the step."""
    name = turn.state.failed_step
    node = turn.run.plan.node(name) if name else None
    if node is None or name is None:
        return failure
    message = (
        _rendered_message(turn, Instance(node, turn.run.root), failure) or f"step {name!r} failed: {failure.message}"
    )
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
        if plan.output is not None:
            output = storable(plan.output.render(turn.run.names.scope(turn.at, "", "output")))
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


def _collected(turn: Turn, properties: Any) -> dict[str, Any]:
    """Each property from `vars`, else from the output of the step that completed last and has it."""
    wanted = dict.fromkeys(properties)
    found = {name: turn.state.variables[name] for name in wanted if name in turn.state.variables}
    nodes = turn.run.plan.nodes
    ended = [(step.order, step.output) for name, step in turn.state.steps.items()
             if name in nodes and step.status is StepStatus.COMPLETED and isinstance(step.output, dict)]  # fmt: skip
    for _, output in sorted(ended, key=lambda entry: entry[0], reverse=True):
        for name in wanted:
            if name not in found and name in output:
                found[name] = output[name]
    return {name: found[name] for name in wanted if name in found}
