"""The parts of the language, and which of them the engine runs: what it refuses is left out of random definitions.

Every part has the smallest document that uses it. A part is in use when that document loads without an error and
`unsupported` finds nothing in it, so that a part that is added to the engine is simulated from then on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from stepwell.base.spans import Source
from stepwell.decider.unsupported import unsupported
from stepwell.definition.loading import load
from tests.simulation.people import known_verbs

LEAF_TYPES: Final = frozenset({"python"})
"""What the simulated workers do."""

Tree = dict[str, Any]


def document(spec: Tree, name: str = "w") -> Tree:
    """A whole document around a `spec`."""
    metadata = {"name": name, "version": "1.0.0"}
    return {"apiVersion": "workflow/v1", "kind": "Workflow", "metadata": metadata, "spec": spec}


def work(name: str, **keys: Any) -> Tree:
    """A step that a worker does."""
    return {"name": name, "type": "python", "config": {"task": "work"}, **keys}


def _steps(*steps: Tree, **spec: Any) -> Tree:
    return {"steps": list(steps), **spec}


def _control(kind: str, **config: Any) -> Tree:
    return _steps({"name": "c", "type": kind, "config": config})


_A: Final = work("a")
_B: Final = work("b", depends_on="a")
_MACHINE: Final = {
    "one": {"on_enter": [_A], "transitions": [{"event": "go", "to": "two", "actions": [work("b")]}]},
    "two": {"final": True},
}

PARTS: Final[Mapping[str, Tree]] = {
    # Edges and joins
    "edge.when": _steps(work("a", next=[{"when": "{{ true }}", "to": "b"}]), work("b")),
    "edge.outcome": _steps(work("a", next=[{"when": "{{ failed() }}", "to": "b"}]), work("b")),
    "edge.publish": _steps(work("a", next=[{"to": "b", "publish": {"n": 1}}]), work("b")),
    "edge.delay": _steps(work("a", next=[{"to": "b", "delay": "1s"}]), work("b")),
    "decision": _steps(work("a", decision=[{"when": True, "next": "b"}, {"default": "b"}]), work("b")),
    "join.each": _steps(_A, work("b", depends_on="a", join="each")),
    "max_visits": _steps(
        work("a", join="any", max_visits=2), work("b", depends_on="a", on_success="a"), work("c", on_success="a")
    ),
    "delay": _steps(work("a", delay="1s")),
    "cancels": _steps(_A, work("b", cancels=["a"])),
    "milestone": _steps(_A, work("b", milestone={"after": ["a"], "before": []})),
    "mutex": _steps(work("a", mutex={"key": "k", "timeout": "1s"})),
    "branches.separate": _steps(_A, _B, config={"branches": "separate"}),
    # Control constructs
    "conditional": _control("conditional", condition=True, then=[_A], **{"else": [work("b")]}),
    "conditional.cases": _control("conditional", cases=[{"when": True, "steps": [_A]}], default=[work("b")]),
    "loop.items": _control("loop", items=[1], steps=[_A]),
    "loop.count": _control("loop", count=2, steps=[_A]),
    "loop.while": _control("loop", **{"while": False}, steps=[_A]),
    "loop.concurrency": _control("loop", items=[1], concurrency=2, steps=[_A]),
    "parallel_group": _control("parallel_group", steps=[_A, work("b")], wait_for="any", fail_fast=True),
    "for_each": _steps(work("a", for_each={"items": [1], "concurrency": 2, "when": True, "on_error": "continue"})),
    "for_each.batch": _steps(work("a", for_each={"items": [1], "batch_size": 2})),
    "repeat": _steps(work("a", repeat={"while": False, "delay": "1s"})),
    "state_machine": _control("state_machine", initial="one", states=_MACHINE),
    "dynamic": _control("dynamic", steps=[work("a")]),
    "dynamic.task": _control("dynamic", task="list"),
    "approval": _control("approval", prompt="go?", timeout="1s", default=True),
    "workflow": _control("workflow", name="w1", input={}, wait=True),
    "workflow.detached": _control("workflow", name="w1", wait=False),
    "checkpoint": _control("checkpoint", name="here"),
    "step.checkpoint": _steps(work("a", checkpoint="here")),
    "nested": _control(
        "conditional", condition=True, then=[{"name": "d", "type": "loop", "config": {"count": 1, "steps": [_A]}}]
    ),
    # Failure
    "retry_on": _steps(work("a", retry={"max_attempts": 2, "retry_on": ["boom"]})),
    "give_up_on": _steps(work("a", retry={"max_attempts": 2, "give_up_on": ["boom"]})),
    "fallback.value": _steps(work("a", on_failure={"action": "fallback", "fallback": {"n": 1}})),
    "fallback.step": _steps(
        work("a", on_failure={"action": "fallback", "fallback": {"type": "python", "config": {"task": "work"}}})
    ),
    "action.pause": _steps(work("a", on_failure={"action": "pause"})),
    "control.retry": _steps(
        {"name": "a", "type": "wait_for_event", "config": {"event_type": "go"}, "retry": {"max_attempts": 2}},
        {"name": "b", "type": "loop", "config": {"count": 1, "steps": [work("c")]}, "retry": {"max_attempts": 2}},
        {"name": "d", "type": "workflow", "config": {"name": "w1"}, "retry": {"max_attempts": 2}, "timeout": "1s"},
    ),
    "on_error.steps": _steps(_A, config={"on_error": {"strategy": "terminate", "steps": [work("e")]}}),
    "circuit_breaker": _steps(work("a", circuit_breaker={"threshold": 2, "open_for": "2s", "window": "5s"})),
    "bulkhead": _steps(work("a", bulkhead={"max_concurrent": 1, "max_queue_size": 1, "timeout": "1s"})),
    "rate_limit": _steps(work("a", rate_limit={"limit": 1, "per": "1s"})),
    "policies": _steps(
        work("a", circuit_breaker="p"), config={"policies": {"p": {"circuit_breaker": {"threshold": 2}}}}
    ),
    "concurrency.queue": _steps(_A, config={"concurrency": {"limit": 1, "on_limit": "queue"}}),
    "concurrency.reject": _steps(_A, config={"concurrency": {"limit": 1, "on_limit": "reject"}}),
    "concurrency.replace": _steps(_A, config={"concurrency": {"limit": 1, "on_limit": "replace"}}),
    "cache": _steps(work("a", cache={"key": "k", "ttl": "5s"})),
    "wait.timeout": _steps({"name": "c", "type": "wait", "config": {"for": "2s"}, "timeout": "1s"}),
    # Telling people
    "notify.action": _steps(work("a", on_failure={"action": "continue", "notify": {"channels": ["c"]}})),
    "notify.error": _steps(_A, config={"on_error": {"notify": {"channels": ["c"]}}}),
    "notify.compensation": _steps(_A, compensation={"notification": True, "steps": [work("u")]}),
    # Compensation
    "compensate": _steps(work("a", compensate={"type": "python", "config": {"task": "undo"}})),
    "compensate.forward": _steps(
        work("a", compensate={"type": "python", "config": {"task": "undo"}}), compensation={"strategy": "forward"}
    ),
    "compensation.parallel": _steps(_A, compensation={"strategy": "parallel", "steps": [work("u")]}),
    "compensation.manual": _steps(_A, compensation={"mode": "manual", "steps": [work("u")]}),
    "compensation.timeout": _steps(_A, compensation={"timeout": "5s", "steps": [work("u")]}),
    "compensation_workflow": _steps(
        work("a", on_failure={"action": "compensate", "compensation_workflow": "w1"}),
    ),
    "cancellation.compensate": _steps(_A, config={"cancellation": {"policy": "cancel_running", "compensate": True}}),
}
"""The parts that an engine may refuse, and for each the `spec` of the smallest document with it."""


NEEDED: Final = {"compensation.manual": "compensate", "action.pause": "resume"}
"""What operators must be able to do where a part is used, or it would wait for them for ever."""


@lru_cache(maxsize=1)
def spoken() -> frozenset[str]:
    """The parts that the engine runs, and that people can deal with."""
    verbs = known_verbs()
    return frozenset(part for part, spec in PARTS.items() if NEEDED.get(part) in (None, *verbs) and _is_run(spec))


def _is_run(spec: Tree) -> bool:
    definition = load(Source("part.json", json.dumps(document(spec)))).definition
    return definition is not None and not unsupported(definition, LEAF_TYPES)
