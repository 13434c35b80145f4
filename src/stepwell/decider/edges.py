"""Deciding the edges that a step names itself: their conditions are evaluated once, when it ends, and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepwell.decider.graph import PushedEdge
from stepwell.decider.joins import is_outcome
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.decider.values import storable
from stepwell.execution.history import BranchPublished, VariablesSet
from stepwell.execution.state import StepState
from stepwell.execution.status import StepStatus
from stepwell.expression.scope import Outcome


class Taken(msgspec.Struct, frozen=True, gc=False):
    """Which of the edges that a condition decides are taken, by number, and what the taken ones publish.

    Attributes:
        along: where branches are separate, what each edge publishes, by its position.
    """

    numbers: tuple[int, ...] = ()
    variables: dict[str, Any] = {}
    along: tuple[tuple[int, dict[str, Any]], ...] = ()


NONE: Final = Taken()


def taken_edges(turn: Turn, one: Instance, step: StepState, outcome: Outcome, extra: Mapping[str, Any]) -> Taken:
    """Decide the edges of a step that ends as `step` says. Of the branches of a decision the first that holds is taken.

    Raises:
        ExpressionError: a condition or what is published cannot be evaluated.
    """
    node = one.node
    if not node.decides_edges:
        return NONE
    names = {**turn.run.names.finishing(one, step, {}), "response": None, **extra}
    numbers: list[int] = []
    decided: set[int] = set()
    values: dict[str, Any] = {}
    along: list[tuple[int, dict[str, Any]]] = []
    for edge in node.pushed:
        if not _is_asked(edge, one, step) or (edge.group is not None and edge.group in decided):
            continue
        purpose = f"edge/{edge.number}"
        if edge.when is not None and not edge.when.holds(turn.scope(one, purpose, names, outcome)):
            continue
        if edge.group is not None:
            decided.add(edge.group)
        if edge.number is not None:
            numbers.append(edge.number)
        if not node.graph.separate:
            _publish(turn, one, edge, names, outcome, values)
        elif edge.publish:
            published: dict[str, Any] = {}
            _publish(turn, one, edge, names, outcome, published)
            along.append((edge.position, published))
    return Taken(tuple(numbers), values, tuple(along))


def record_published(turn: Turn, one: Instance, published: Mapping[str, Any], taken: Taken) -> None:
    """Record the variables that a step sets that has ended, itself and with its edges."""
    if not one.node.graph.separate:
        if published or taken.variables:
            turn.emit(VariablesSet(turn.at, one.key, {**published, **taken.variables}))
        return
    if published:
        turn.emit(BranchPublished(turn.at, one.key, None, dict(published)))
    for position, values in taken.along:
        turn.emit(BranchPublished(turn.at, one.key, position, values))


def _is_asked(edge: PushedEdge, one: Instance, step: StepState) -> bool:
    """Whether the edge is about this outcome. Of a step that was skipped only those are that ask for just that."""
    if step.status is StepStatus.SKIPPED:
        return edge.asks_skipped
    return is_outcome(edge.on, one.node, step)


def _publish(
    turn: Turn, one: Instance, edge: PushedEdge, names: dict[str, Any], outcome: Outcome, values: dict[str, Any]
) -> None:
    """Put what the edge publishes into `values`, in order: later entries see earlier ones."""
    for position, (name, template) in enumerate(edge.publish):
        seen = {**names, "vars": {**names["vars"], **values}}
        purpose = f"edge/{one.node.pushed.index(edge)}/publish/{position}"
        values[name] = storable(turn.render(one, template, purpose, seen, outcome))
