"""The definitions that are measured, made as text like any other."""

from __future__ import annotations

import json
from typing import Any

NOTHING = {"type": "python", "config": {"task": "nothing"}}
"""A step that a worker does: it calls a registered task."""

NOOP = {"type": "noop"}
"""A step that the engine does itself."""


def chain(count: int, step: dict[str, Any]) -> str:
    """`count` steps, each of which waits for the one before."""
    steps = [{"name": "s1", **step}]
    steps += [{"name": f"s{number}", "depends_on": [f"s{number - 1}"], **step} for number in range(2, count + 1)]
    return _definition(f"chain-{count}", steps)


def fan_out(count: int, step: dict[str, Any] = NOTHING) -> str:
    """One step, `count` steps that wait for it, and one that waits for them all."""
    middle = [{"name": f"s{number}", "depends_on": ["first"], **step} for number in range(count)]
    last = {"name": "last", "depends_on": [each["name"] for each in middle], **step}
    return _definition(f"fan-out-{count}", [{"name": "first", **step}, *middle, last])


def with_conditions(count: int) -> str:
    """A chain in which every step has three expressions, two of which no other step has."""
    return _definition(f"conditions-{count}", [_with_condition(number) for number in range(count)])


def _with_condition(number: int) -> dict[str, Any]:
    before = f"s{number - 1}"
    last = f"{{{{ steps.{before}.output | default({number}) }}}}" if number else "{{ input.last }}"
    step: dict[str, Any] = {
        "name": f"s{number}",
        "type": "python",
        "config": {"task": "work", "args": {"amount": "{{ input.amount }}", "last": last}},
        "when": f"input.amount > {number}",
    }
    return {**step, "depends_on": [before]} if number else step


def nested(count: int, deepest: int) -> str:
    """`count` steps in groups, each of which holds some steps and the next group."""
    beside = max(1, count // deepest)
    steps: list[dict[str, Any]] = []
    for level in range(deepest, 0, -1):
        here = [{"name": f"s{level}_{number}", "type": "noop"} for number in range(beside)]
        group = {"name": f"g{level}", "type": "parallel_group", "config": {"steps": steps}}
        steps = [*here, group] if steps else here
    return _definition(f"nested-{count}", steps)


def waiting() -> str:
    """A step that waits for an event about this execution's own order."""
    wait = {"event_type": "order.paid", "filter": {"order": "{{ input.order }}"}, "timeout": "30d"}
    return _definition("waiting", [{"name": "paid", "type": "wait_for_event", "config": wait}])


def _definition(name: str, steps: list[dict[str, Any]]) -> str:
    document = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": "1.0.0"},
        "spec": {"steps": steps},
    }
    return json.dumps(document)
