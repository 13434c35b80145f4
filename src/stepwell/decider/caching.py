"""The cache of results: under which key a step looks for one, and what it puts there.

Results belong to a step of one definition, whatever execution made them. The engine looks a result up before it has an
attempt done, and hands it over as `ResultFound`; see `reusing`.
"""

from __future__ import annotations

import json
from typing import Any

from stepwell.base.derive import digest
from stepwell.base.values import Sealed, SecretRef, SecretText, transform_leaves
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.execution.commands import KeepResult
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Report


def key_of(turn: Turn, one: Instance) -> str:
    """A digest of the definition, the step and what its `cache.key` gives: nothing secret in that can be read from it.

    Raises:
        ExpressionError: the key cannot be rendered.
    """
    node, plan = one.node, turn.run.plan
    assert node.cache_key is not None, "asked for only where there is a cache"
    said = [plan.digest, node.name, transform_leaves(turn.render(one, node.cache_key, "cache"), _readable)]
    return digest(json.dumps(said, sort_keys=True).encode())


def _readable(leaf: Any) -> Any:
    """What stands for a secret in the digest: what is known of it."""
    if isinstance(leaf, Sealed):
        return leaf.value
    if isinstance(leaf, SecretRef):
        return {"secret": leaf.name}
    return {"text": [_readable(part) for part in leaf.parts]} if isinstance(leaf, SecretText) else leaf


def looked_up(state: ExecutionState, key: str) -> str | None:
    """Under which key the result of the running attempt is looked up; None for a step without a cache, and for one that
    an operator has had run again: then it is to run."""
    if not state.cached or key in state.resets:
        return None
    cached = state.cached.get(key)
    return cached.key if cached is not None else None


def keep_result(turn: Turn, one: Instance, report: Report) -> None:
    """The step of that report is through: if it completed, put its result into the cache."""
    cached, cache = turn.state.cached.get(one.key), one.node.step.cache
    if cached is None or cache is None or turn.step(one.key).status is not StepStatus.COMPLETED:
        return
    until = turn.at + cache.ttl if cache.ttl is not None else None
    turn.command(KeepResult(cached.key, report.result, report.scope, until))
