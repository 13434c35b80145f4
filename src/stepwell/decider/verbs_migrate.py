"""`migrate`: an execution goes on with another version of its definition, when what it has done fits into that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.base.errors import Conflict, InvalidInput
from stepwell.base.suggest import hint_for
from stepwell.base.values import Sealed, transform_leaves
from stepwell.decider.create import checked_input
from stepwell.decider.graph import Node
from stepwell.decider.leaf import assignment_again
from stepwell.decider.plan import Plan
from stepwell.decider.restore import run_of
from stepwell.decider.run import Run
from stepwell.decider.scope import Names
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.decider.verbs_redo import reset_step
from stepwell.execution.evolve_verbs import renamed_key
from stepwell.execution.history import ExecutionMigrated
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_STEP, StepStatus
from stepwell.execution.verbs import Migrate
from stepwell.expression.errors import ExpressionError

_SHOWN: Final = 5


def migrate(turn: Turn, plan: Plan, verb: Migrate) -> None:
    """Go on with this plan. New variables get their first values; paths that were dead are looked at again.

    Raises:
        Conflict: (code `same-version`) it has that version; (code `cannot-migrate`) naming why not.
    """
    run, state = turn.run, turn.state
    if state.digest == plan.digest:
        raise Conflict(f"execution {state.id} runs {state.workflow} {state.version} already", code="same-version")
    found = problems(run, plan, verb.names)
    if found:
        shown = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        message = f"execution {state.id} cannot go on with {state.workflow} {plan.definition.version}: {shown}"
        raise Conflict(message, code="cannot-migrate")
    before = state.version
    turn.emit(
        ExecutionMigrated(
            turn.at,
            verb.by,
            verb.reason,
            plan.definition.version,
            plan.digest,
            dict(verb.names),
            _new_variables(run, plan, turn.at),
            _settings_at_work(run),
        )
    )
    run.plan = plan
    for key in [key for key, step in state.steps.items() if step.reason == "dead_path"]:
        reset_step(turn, key, anew=False)
    run.become(run_of(plan, state))
    turn.said = f"{state.workflow} {before} → {state.version}"


def problems(run: Run, plan: Plan, names: Mapping[str, str]) -> list[str]:
    """Why the execution cannot go on with this plan, one sentence each; none when it can.

    Every step that has run, or is running, must be there, of the same type, in the same place.

    Args:
        names: new names of steps by their old ones.
    """
    return [*_of_workflow(run, plan), *_of_names(run, plan, names), *_of_steps(run, plan, names)]


def _of_workflow(run: Run, plan: Plan) -> Iterator[str]:
    if plan.definition.name != run.state.workflow:
        yield f"it is an execution of {run.state.workflow!r}, not of {plan.definition.name!r}"
        return
    opened = transform_leaves(run.state.input, lambda leaf: leaf.value if isinstance(leaf, Sealed) else leaf)
    try:
        checked_input(plan, opened)
    except InvalidInput as error:
        where = ", ".join(path or "input" for path, _ in error.problems)
        yield f"its input does not satisfy the schema of that version, at {where}"


def _of_names(run: Run, plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    for old, new in names.items():
        if run.plan.node(old) is None:
            yield f"version {run.state.version} has no step {old!r}"
        if plan.node(new) is None:
            yield f"version {plan.definition.version} has no step {new!r}{_nearest(new, plan)}"
    if len(set(names.values())) < len(names):
        yield "two steps cannot become one"


def _of_steps(run: Run, plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    said = set[str]()
    for key, step in run.state.steps.items():
        problem = _of_step(run, plan, names, key, step)
        if problem is not None and problem not in said:
            said.add(problem)
            yield problem


def _of_step(run: Run, plan: Plan, names: Mapping[str, str], key: str, step: StepState) -> str | None:
    old = run.plan.node_of(key)
    if old is None or not _counts(step):
        return None  # a generated step: what generates it is looked at
    name, new_key = old.name, renamed_key(key, names)
    new = plan.node_of(new_key)
    if new is None:
        return f"step {name!r} has run, and that version has no {_new_name(name, names)!r}{_nearest(name, plan)}"
    if new_key != key and step.status not in ENDED_STEP:
        return f"step {name!r} is {step.status}: only a step that has ended can get another name"
    if (new.step.type, new.kind) != (old.step.type, old.kind):
        return f"step {name!r} is of type {new.step.type!r} there, and was {old.step.type!r} when it ran"
    if _place(new, {}) != _place(old, names):
        return f"step {name!r} stands in another place there"
    if step.block and step.block != "fallback" and step.status is StepStatus.RUNNING and step.block not in new.blocks:
        return f"step {name!r} is in its block {step.block!r}, which is not there"
    return None


def _counts(step: StepState) -> bool:
    """Whether the step has run or is running."""
    if step.status is StepStatus.SKIPPED:
        return step.reason == "operator"
    return step.status is not StepStatus.CANCELLED or step.attempts > 0


def _new_name(name: str, names: Mapping[str, str]) -> str:
    return names.get(name, name)


def _nearest(name: str, plan: Plan) -> str:
    hint = hint_for(name, sorted(plan.by_name))
    return f" ({hint})" if hint else ""


def _place(node: Node, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The blocks around a step, from the inside out."""
    place = []
    graph = node.graph
    while graph.parent is not None:
        place.append((names.get(graph.parent.name, graph.parent.name), graph.name))
        graph = graph.parent.graph
    return place


def _new_variables(run: Run, plan: Plan, at: int) -> dict[str, Any]:
    """First values of the variables that this execution does not have."""
    names = Names(plan, run.state)
    found: dict[str, Any] = {}
    for name, template in plan.variables:
        if name in run.state.variables:
            continue
        seen = {"vars": {**run.state.variables, **found}}
        try:
            found[name] = storable(template.render(names.scope(at, "", f"vars/{name}", seen)))
        except ExpressionError as error:
            message = f"the new variable {name!r} cannot be computed: {error.message}"
            raise Conflict(message, code="cannot-migrate") from None
    return found


def _settings_at_work(run: Run) -> dict[str, Any]:
    """The settings of steps that have begun, which the new version would render in another way."""
    found = {}
    for key, step in run.state.steps.items():
        at_work = step.status in (StepStatus.RUNNING, StepStatus.RETRYING) or step.question is not None
        if at_work and step.status not in ENDED_STEP and step.block is None and step.input is None:
            one = run.open_instance(key)
            if one is not None and one.node.kind == "leaf" and step.attempts:
                found[key] = storable(assignment_again(run, one).config)
    return found
