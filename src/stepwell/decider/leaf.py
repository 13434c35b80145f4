"""Leaf steps: scheduling an attempt, and what its report means."""

from __future__ import annotations

from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import check_json
from stepwell.decider.failure import fail, fail_or_retry
from stepwell.decider.plan import Node
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.execution.commands import RunStep
from stepwell.execution.history import StepCompleted, StepScheduled, VariablesSet
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Assignment, Report
from stepwell.expression.errors import ExpressionError


def start_leaf(turn: Turn, node: Node, config: dict[str, Any]) -> None:
    """Schedule the first attempt.

    Raises:
        ExpressionError: its settings must be recorded and cannot.
    """
    turn.emit(StepScheduled(turn.at, node.name, 1, None if node.stable else storable(config)))
    turn.command(RunStep(assignment_of(turn.state, node, config)))


def try_again(turn: Turn, node: Node) -> None:
    """Schedule the next attempt, with the settings of the first."""
    step = turn.state.steps[node.name]
    turn.emit(StepScheduled(turn.at, node.name, step.attempts + 1))
    turn.command(RunStep(assignment_again(turn.run, node)))


def assignment_again(run: Run, node: Node) -> Assignment:
    """The assignment of the running attempt, made again from the state: the same as it was."""
    step = run.state.steps[node.name]
    config = step.input
    if config is None:
        config = node.config.render(run.names.scope(step.scheduled_at or 0, node.name, "config"))
    return assignment_of(run.state, node, config)


def assignment_of(state: ExecutionState, node: Node, config: Any) -> Assignment:
    """The current attempt of a step as work for a worker."""
    step = state.steps[node.name]
    return Assignment(
        execution=state.id,
        workflow=state.workflow,
        version=state.version,
        step=node.name,
        type=node.step.type,
        config=_with_input(node, config, state),
        attempt=step.attempts,
        idempotency_key=f"{state.id}/{node.name}",
        scheduled_at=step.scheduled_at or 0,
        timeout=node.timeout,
        queue=node.step.queue,
    )


def _with_input(node: Node, config: Any, state: ExecutionState) -> Any:
    """A validation without data of its own checks the workflow's input."""
    if node.step.type == "validation" and "data" not in config:
        return {**config, "data": state.input}
    return config


def finish_attempt(turn: Turn, node: Node, report: Report) -> bool:
    """An attempt has ended. False when it is no longer the current one: then nothing changes."""
    step = turn.state.steps.get(node.name)
    if step is None or step.status is not StepStatus.RUNNING or step.attempts != report.attempt:
        return False
    if report.error is not None:
        fail_or_retry(turn, node, report.error, report.started_at)
    else:
        complete(turn, node, report.result, report.started_at, report.scope)
    return True


def complete(turn: Turn, node: Node, result: Any, started_at: int, extra: dict[str, Any] | None = None) -> None:
    """The step ended well: shape its output, publish, record. An expression that fails here fails the step.

    `extra` are names that the `output` mapping sees beside `response`.
    """
    try:
        output = result
        if node.output is not None:
            output = storable(turn.render(node, node.output, "output", {"response": result, **(extra or {})}))
        published = _published(turn, node, result, output) if node.publish else {}
    except ExpressionError as error:
        fail(turn, node, expression_failure(error), started_at)
        return
    turn.emit(StepCompleted(turn.at, node.name, started_at, output))
    if published:
        turn.emit(VariablesSet(turn.at, node.name, published))


def _published(turn: Turn, node: Node, result: Any, output: Any) -> dict[str, Any]:
    """The new values of variables, in order: later entries see earlier ones."""
    values: dict[str, Any] = {}
    for position, (name, template) in enumerate(node.publish):
        seen = {"response": result, **turn.run.names.finishing(node.name, output, values)}
        values[name] = storable(turn.render(node, template, f"publish/{position}", seen))
    return values


def storable(value: Any) -> Any:
    """What expressions made, when it can be stored: passing values on costs nothing, so that a few steps can build
    what is too deep or too large.

    Raises:
        ExpressionError: it cannot.
    """
    try:
        check_json(value)
    except ValueError as error:
        raise ExpressionError(str(error), code="limit-exceeded") from None
    return value


def expression_failure(error: ExpressionError) -> ErrorInfo:
    """An expression's error as the step's."""
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    where = ".".join(str(part) for part in error.where)
    details = {"code": error.code, "expression": error.expression, "where": where}
    return ErrorInfo("expression_error", message, details={key: value for key, value in details.items() if value})
