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


def fan_out(count: int) -> str:
    """One step, `count` steps that wait for it, and one that waits for them all."""
    middle = [{"name": f"s{number}", "depends_on": ["first"], **NOTHING} for number in range(count)]
    last = {"name": "last", "depends_on": [step["name"] for step in middle], **NOTHING}
    return _definition(f"fan-out-{count}", [{"name": "first", **NOTHING}, *middle, last])


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
