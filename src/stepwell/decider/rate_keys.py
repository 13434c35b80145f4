"""What a rate limit with a `key` counts together: the value of the key, rendered when the first attempt is scheduled.

It is recorded, so that further attempts, and those that are made again after a crash, come to the same gate.
"""

from __future__ import annotations

import json
from typing import Any, Final

from stepwell.base.derive import digest
from stepwell.base.values import SECRETS, transform_leaves
from stepwell.decider.region import Instance
from stepwell.decider.turn import Turn
from stepwell.execution.state import ExecutionState
from stepwell.expression.errors import ExpressionError
from stepwell.policy.gates import Gates, for_value

LONGEST: Final = 200
"""A value is named by its digest when it has more characters: values are part of the names of gates."""


def rate_value(turn: Turn, one: Instance) -> str | None:
    """What the rate limit of a step that begins counts it under: text as it is, anything else as JSON. None when it
    counts all together.

    Raises:
        ExpressionError: the key cannot be rendered, or holds a secret: what it gives is stored and shown.
    """
    if one.node.rate_key is None:
        return None
    rendered = turn.render(one, one.node.rate_key, "rate_limit")
    transform_leaves(rendered, _refuse_secret)
    value = rendered if isinstance(rendered, str) else json.dumps(rendered, sort_keys=True)
    return value if len(value) <= LONGEST else digest(value.encode(errors="surrogatepass"))


def gates_before(state: ExecutionState, one: Instance) -> Gates | None:
    """The gates before the attempts of a step that has begun. A step that began before its definition had a key, and
    was moved to one that has, is counted with all others of that kind."""
    node = one.node
    if node.rate_key is None or node.gates is None:
        return node.gates
    value = state.rate_values.get(one.key)
    return for_value(node.gates, value) if value is not None else node.gates


def _refuse_secret(leaf: Any) -> Any:
    if isinstance(leaf, SECRETS):
        raise ExpressionError("the key of a rate limit must not hold a secret", code="wrong-type")
    return leaf
