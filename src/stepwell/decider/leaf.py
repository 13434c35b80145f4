"""Leaf steps: scheduling an attempt; and how any step ends well."""

from __future__ import annotations

from typing import Any, Final

from stepwell.decider.advance import ended
from stepwell.decider.caching import key_of, looked_up
from stepwell.decider.cancelling import cancel_named
from stepwell.decider.compensation_places import names_to_record
from stepwell.decider.edges import NONE, Taken, record_published, taken_edges
from stepwell.decider.failure import fail
from stepwell.decider.rate_keys import gates_before, rate_value
from stepwell.decider.region import Instance
from stepwell.decider.run import Run
from stepwell.decider.turn import NOTHING, Turn
from stepwell.decider.values import expression_failure, storable
from stepwell.execution.commands import RunStep
from stepwell.execution.history import CheckpointReached, RateKeyed, ResultKeyed, StepCompleted, StepScheduled
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Assignment
from stepwell.expression.errors import ExpressionError
from stepwell.expression.scope import Outcome

CONFIG: Final = "config"
"""What settings are rendered for."""


def start_leaf(turn: Turn, one: Instance, config: dict[str, Any]) -> None:
    """Schedule the first attempt, or the first since the step was reset.

    Raises:
        ExpressionError: its settings must be recorded and cannot; a key of its cache or its rate limit has no value.
    """
    node = one.node
    is_derived, attempt = node.stable, 1
    if turn.state.resets:
        reset = turn.state.resets.get(one.key)
        is_derived = node.stable and (reset is None or (reset.input is None and reset.settings is None))
        attempt = turn.attempts(one.key) + 1
    cached = key_of(turn, one) if node.cache_key is not None else None
    rate = rate_value(turn, one)
    turn.emit(StepScheduled(turn.at, one.key, attempt, None if is_derived else storable(config)))
    turn.run.begin(one)
    if cached is not None:
        turn.emit(ResultKeyed(turn.at, one.key, cached))
        cached = looked_up(turn.state, one.key)
    if rate is not None:
        turn.emit(RateKeyed(turn.at, one.key, rate))
    turn.commands.append(RunStep(assignment_of(turn.state, one, config), gates_before(turn.state, one), cached))


def settings_of(turn: Turn, one: Instance) -> Any:
    """The settings of a step that begins: rendered; those of the same work again when it was reset for a further try;
    with what an operator put over them.

    Raises:
        ExpressionError: they cannot be rendered.
    """
    resets = turn.state.resets
    reset = resets.get(one.key) if resets else None
    if reset is None:
        template = one.node.config
        return template.render(NOTHING) if template.constant else turn.render(one, template, CONFIG)
    config = reset.input
    if config is None and reset.scheduled_at is not None:
        config = render_settings(turn.run, one, reset.scheduled_at)
    elif config is None:
        config = turn.render(one, one.node.config, _purpose(turn.state, one.key))
    return {**config, **reset.settings} if reset.settings is not None else config


def render_settings(run: Run, one: Instance, at: int) -> Any:
    """The settings as they were rendered at that instant.

    Raises:
        ExpressionError: they cannot be rendered.
    """
    scope = run.names.scope(at, one.key, _purpose(run.state, one.key), region=one.region, reader=one)
    return one.node.config.render(scope)


def _purpose(state: ExecutionState, key: str) -> str:
    """What the settings are rendered for: other work has other random values."""
    reset = state.resets.get(key)
    return f"{CONFIG}/r{reset.generation}" if reset is not None and reset.generation else CONFIG


def try_again(turn: Turn, one: Instance) -> None:
    """Schedule the next attempt, with the settings of the first."""
    step = turn.state.steps[one.key]
    turn.emit(StepScheduled(turn.at, one.key, step.attempts + 1))
    turn.run.begin(one)
    turn.command(run_again(turn.run, one))


def run_again(run: Run, one: Instance) -> RunStep:
    """The command for the running attempt, made from the state."""
    return RunStep(assignment_again(run, one), gates_before(run.state, one), looked_up(run.state, one.key))


def assignment_again(run: Run, one: Instance) -> Assignment:
    """The assignment of the running attempt, made again from the state: the same as it was."""
    step = run.state.steps[one.key]
    config = step.input
    if config is None:
        config = render_settings(run, one, step.scheduled_at or 0)
    return assignment_of(run.state, one, config)


def assignment_of(state: ExecutionState, one: Instance, config: Any) -> Assignment:
    """The current attempt of a step as work for a worker."""
    key, node, execution = one.key, one.node, state.id
    step = state.steps[key]
    return Assignment(
        execution=execution,
        workflow=state.workflow,
        version=state.version,
        step=key,
        type=node.type,
        config=_with_input(config, state) if node.type == "validation" else config,
        attempt=step.attempts,
        idempotency_key=_idempotency_key(state, key) if state.resets else f"{execution}/{key}",
        scheduled_at=step.scheduled_at or 0,
        timeout=node.timeout,
        queue=node.queue,
        labels=node.labels,
    )


def _idempotency_key(state: ExecutionState, key: str) -> str:
    """The same for all attempts of the same work."""
    reset = state.resets.get(key)
    return f"{state.id}/{key}/r{reset.generation}" if reset is not None and reset.generation else f"{state.id}/{key}"


def _with_input(config: Any, state: ExecutionState) -> Any:
    """A validation without data of its own checks the workflow's input."""
    return config if "data" in config else {**config, "data": state.input}


def complete(
    turn: Turn,
    one: Instance,
    result: Any,
    started_at: int,
    extra: dict[str, Any] | None = None,
    variables: dict[str, Any] | None = None,
) -> None:
    """The step ended well: shape its output, publish, decide its edges, record.

    An expression that fails here fails the step. `extra` are names that the `output` mapping sees beside `response`;
    `variables` are those that the step sets by itself, before it publishes.
    """
    if variables is None and one.node.ends_plainly:  # by far the most
        turn.emit(StepCompleted(turn.at, one.key, started_at, result))
        ended(turn, one)
        return
    output = result
    if one.node.output is not None:
        try:
            output = storable(turn.render(one, one.node.output, "output", {"response": result, **(extra or {})}))
        except ExpressionError as error:
            fail(turn, one, expression_failure(error), started_at)
            return
    end_well(turn, one, result, output, started_at, variables)


def end_well(
    turn: Turn,
    one: Instance,
    result: Any,
    output: Any,
    started_at: int,
    variables: dict[str, Any] | None = None,
) -> None:
    """The step has ended well, with that output: publish, decide its edges, record. See `complete`."""
    node = one.node
    published = variables or {}
    taken = NONE
    try:
        if node.publish or node.decides_edges:
            done = StepState(status=StepStatus.COMPLETED, output=output)
            published = _published(turn, one, result, done, published)
            taken = _taken(turn, one, result, done, published)
    except ExpressionError as error:
        fail(turn, one, expression_failure(error), started_at)
        return
    names = names_to_record(one) if node.undo is not None else None
    turn.emit(StepCompleted(turn.at, one.key, started_at, output, taken.numbers, names))
    if published or taken is not NONE:
        record_published(turn, one, published, taken)
    for name in node.checkpoints:
        turn.emit(CheckpointReached(turn.at, one.key, name))
    if node.step.cancels:
        cancel_named(turn, one)
    ended(turn, one)


def _taken(turn: Turn, one: Instance, result: Any, done: StepState, published: dict[str, Any]) -> Taken:
    names = {"response": result, "error": None, "vars": {**turn.run.names.variables(one), **published}}
    return taken_edges(turn, one, done, Outcome(succeeded=True, result=result), names)


def _published(turn: Turn, one: Instance, result: Any, done: StepState, variables: dict[str, Any]) -> dict[str, Any]:
    """The new values of variables, in order: later entries see earlier ones."""
    values = dict(variables)
    for position, (name, template) in enumerate(one.node.publish):
        seen = {"response": result, **turn.run.names.finishing(one, done, values)}
        values[name] = storable(turn.render(one, template, f"publish/{position}", seen))
    return values
