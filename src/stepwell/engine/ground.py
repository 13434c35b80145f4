"""What the parts of an engine stand on."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stepwell.base.clock import Clock
from stepwell.engine.background import Background
from stepwell.engine.failure import Failure
from stepwell.engine.limits import Limits
from stepwell.engine.loaded import Loaded, PlanSource
from stepwell.engine.ownership import Ownership
from stepwell.execution.codec import Codec
from stepwell.ports.measures import Measures
from stepwell.ports.store import Store


class Ground(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What an engine was given, and what all of its parts go by.

    Attributes:
        entropy: gives that many random bytes.
        ownership: the shards that it may write.
        loaded: the executions in memory.
        failure: why it has stopped, once it has.
        background: tasks that nobody waits for, until it is closed.
    """

    store: Store
    codec: Codec
    clock: Clock
    plans: PlanSource
    entropy: Callable[[int], bytes]
    limits: Limits
    measures: Measures
    ownership: Ownership
    loaded: Loaded
    failure: Failure
    background: Background
