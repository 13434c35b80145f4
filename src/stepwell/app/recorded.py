"""What a store holds of one execution, read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState


class Recorded(msgspec.Struct, frozen=True):
    """An execution as it is recorded.

    Attributes:
        shard: the one that it belongs to.
        definition: what it runs.
        state: the fold of its history.
        events: its history, or the end of it.
    """

    shard: int
    definition: WorkflowDefinition
    state: ExecutionState
    events: Sequence[HistoryEvent]
