"""Accepting a start: checking the input, and the first event."""

from __future__ import annotations

from typing import Any

import msgspec

from stepwell.base.errors import Conflict, InvalidInput
from stepwell.base.values import check_json
from stepwell.decider.plan import Plan
from stepwell.decider.scope import Names
from stepwell.decider.values import storable
from stepwell.execution.evolve import begin
from stepwell.execution.history import ExecutionCreated
from stepwell.expression.errors import ExpressionError


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A request to start an execution.

    Attributes:
        id: of the new execution, unique.
        input: as it was given.
        seed: random bytes; everything random in the execution is derived from them.
        start_key: the caller's idempotency key, or None.
        parent, parent_step, depth, trace: see `ExecutionCreated`.
        default_timeout: the bound on active time in microseconds when the definition names none; None for no bound.
    """

    id: str
    input: Any
    seed: bytes
    start_key: str | None = None
    default_timeout: int | None = None
    parent: str | None = None
    parent_step: str | None = None
    depth: int = 0
    trace: str = ""


def create(plan: Plan, start: Start, at: int) -> ExecutionCreated:
    """The first event of an execution.

    Raises:
        InvalidInput: the input does not satisfy the schema, is no JSON object, or an initial variable cannot be
            computed from it. Everything that is wrong is named.
        Conflict: (code `workflow-disabled`) the definition says that it is not to be started.
    """
    definition = plan.definition
    if not definition.config.enabled:
        message = f"Workflow is disabled: {definition.name} {definition.version} says `enabled: false`"
        raise Conflict(message, code="workflow-disabled", hint="start another version, or enable it in a new one")
    event = ExecutionCreated(
        at,
        start.id,
        definition.name,
        definition.version,
        definition.digest,
        checked_input(plan, start.input),
        start.seed,
        start.start_key,
        definition.config.timeout if definition.config.timeout is not None else start.default_timeout,
        at + definition.config.deadline if definition.config.deadline is not None else None,
        parent=start.parent,
        parent_step=start.parent_step,
        depth=start.depth,
        trace=start.trace,
    )
    return msgspec.structs.replace(event, variables=_initial_variables(plan, event)) if plan.variables else event


def checked_input(plan: Plan, given: Any) -> dict[str, Any]:
    """The input with defaults applied and secrets sealed.

    Raises:
        InvalidInput: naming every problem.
    """
    value = {} if given is None else given
    try:
        check_json(value, what="input")
    except ValueError as error:
        raise InvalidInput(str(error), problems=(("", str(error)),)) from None
    if not isinstance(value, dict):
        raise InvalidInput(f"the input must be a JSON object, not {_kind(value)}")
    check = plan.input_check
    filled: dict[str, Any] = check.with_defaults(value)
    problems = check.problems(filled)
    if problems:
        lines = "; ".join(f"{path or 'input'}: {message}" for path, message in problems)
        raise InvalidInput(
            f"the input does not satisfy the schema of {plan.definition.name!r}: {lines}", problems=tuple(problems)
        )
    sealed: dict[str, Any] = check.sealed(filled)
    return sealed


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}.get(
        type(value), type(value).__name__
    )


def _initial_variables(plan: Plan, event: ExecutionCreated) -> dict[str, Any]:
    """`vars`, in order: later entries see earlier ones."""
    state = begin(event)
    names = Names(plan, state)
    for name, template in plan.variables:
        try:
            state.variables[name] = storable(template.render(names.scope(event.at, "", f"vars/{name}")))
        except ExpressionError as error:
            raise InvalidInput(f"the variable {name!r} cannot be computed: {error}") from None
    return state.variables
