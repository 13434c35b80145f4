"""`compensation_workflow`: another workflow that compensates in place of what the definition itself says."""

from __future__ import annotations

from typing import Any, Final

from stepwell.base.errors import ErrorInfo
from stepwell.decider.compensation_places import place_of
from stepwell.decider.graph import Graph, Node
from stepwell.decider.keys import INSTEAD, inner_key, split_key
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.definition.model import Step
from stepwell.execution.status import StepStatus

_NOT_STARTED: Final = frozenset(
    {"unknown_workflow", "unknown_version", "invalid_input", "version_draft", "version_retired", "too_deep"}
)
"""Errors of a workflow that never began."""


def instead_of(run: Run) -> str:
    """The first instance that failed and whose action names a workflow to compensate with; empty text for none."""
    asking = [(step.order, key) for key, step in run.state.steps.items() if step.handled == "compensate"]
    return next((key for _, key in sorted(asking) if _name(run, key)), "")


def _name(run: Run, key: str) -> str:
    error, place = run.state.steps[key].error, place_of(run, key)
    action = place.node.action_for(error.type) if place is not None and error is not None else None
    return (action.compensation_workflow or "") if action is not None else ""


def workflow_of(run: Run) -> Instance:
    """The workflow as a step; its input tells what it needs to know."""
    key = run.state.compensation_instead
    failed = place_of(run, key)
    assert failed is not None, "recorded only for an instance of a step"
    config = {"name": _name(run, key), "input": "{{ context }}"}
    step = Step(name=failed.node.name, type="workflow", config=config, path=failed.node.step.path)
    graph = Graph(INSTEAD, items={"context"}, for_compensation=True)
    node = Node(step, failed.node.position, graph, None)
    graph.add(node)
    _, path, visit = split_key(inner_key(key, INSTEAD))
    return Instance(node, Region(graph, failed, path, {"context": _context(run, key)}, holds_on=True), visit)


def _context(run: Run, key: str) -> dict[str, Any]:
    state = run.state
    outputs = {each: step.output for each, step in state.steps.items() if step.status is StepStatus.COMPLETED}
    error = state.failure or state.final_error
    return {
        "execution": state.id,
        "workflow": state.workflow,
        "input": state.input,
        "vars": dict(state.variables),
        "steps": outputs,
        "error": error.as_dict() if error is not None else None,
        "failed_step": key,
    }


def is_not_started(error: ErrorInfo) -> bool:
    """Whether a workflow ended with this error before it began."""
    return error.type in _NOT_STARTED
