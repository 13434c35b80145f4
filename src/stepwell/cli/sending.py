"""How to send the event, or the answer, that a step waits for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from stepwell.app.waking import respond_command
from stepwell.base.values import masked
from stepwell.cli.options import Setup
from stepwell.definition.diagnostics import printable
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import ApprovalRequested, WaitStarted


def how_to_send(event: WaitStarted, definition: WorkflowDefinition, setup: Setup) -> str:
    """What to type in another terminal so that the wait ends."""
    data = shlex.quote(json.dumps(_data_of(event.filter), ensure_ascii=False))
    command = f"stepwell event publish {shlex.quote(event.event_type)} -d {data}{setup.same_store()}"
    condition = _condition_of(event.step, definition)
    such = f" such that {condition}" if condition else ""
    waits = f"{event.step} waits for the event {event.event_type}{such}"
    return printable(f"{waits}; to send it from another terminal:") + f"\n    {printable(command)}"


def how_to_answer(asked: ApprovalRequested, execution: str, setup: Setup) -> str:
    """What to type in another terminal so that the question is answered."""
    command = respond_command(execution, asked.step, masked(asked.question), setup.same_store())
    return (
        printable(f"{asked.step} waits for an answer; to give it from another terminal:")
        + f"\n    {printable(command)}"
    )


def _data_of(filter_: Any) -> dict[str, Any]:
    """Data that satisfies the filter's equalities; `...` stands for what only the sender can know."""
    data: dict[str, Any] = {}
    if isinstance(filter_, Mapping):
        for path, wanted in filter_.items():
            _put(data, str(path).split("."), _value_of(masked(wanted)))
    return data


def _value_of(wanted: Any) -> Any:
    if not isinstance(wanted, Mapping) or not wanted or not all(str(key).startswith("~") for key in wanted):
        return wanted
    return wanted.get("~eq", "...")


def _put(data: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = data.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # two entries of the filter contradict each other
        data = inner
    data[path[-1]] = value


def _condition_of(step: str, definition: WorkflowDefinition) -> str | None:
    """The filter of the step, when it is an expression over the event."""
    config = next((each.config for each in definition.steps if each.name == step), {})
    condition = config.get("filter")
    return condition if isinstance(condition, str) else None
