"""Who holds which lock, read from the histories of all executions in the order in which they were committed."""

from __future__ import annotations

from collections.abc import Iterable

from stepwell.execution.history import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionForked,
    HistoryEvent,
    LockTaken,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepReset,
    StepSkipped,
)

Holder = tuple[str, str]
"""An execution, and the key of a step in it."""


def own_events(events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """The events of the execution itself: what a fork begins with happened to another one."""
    listed = list(events)
    forked = [position for position, event in enumerate(listed) if isinstance(event, ExecutionForked)]
    return listed[forked[-1] :] if forked else listed


class Locks:
    """At most one step of all executions holds a lock."""

    def __init__(self) -> None:
        self._holders: dict[str, Holder] = {}

    def see(self, execution: str, events: Iterable[HistoryEvent]) -> None:
        """Raises: AssertionError: a lock has a second holder."""
        for event in own_events(events):
            if isinstance(event, LockTaken):
                holder = self._holders.get(event.name)
                assert holder is None, f"{event.step} takes the lock {event.name!r}, which {holder} holds"
                self._holders[event.name] = (execution, event.step)
            elif isinstance(event, (StepCompleted, StepFailed, StepCancelled, StepSkipped, StepReset)):
                self._release(execution, event.step)
            elif isinstance(event, (ExecutionCompleted, ExecutionFailed, ExecutionCancelled)):
                self._release(execution, None)

    def _release(self, execution: str, step: str | None) -> None:
        """What this step holds, or all that the execution holds, is free."""
        for name, (owner, holding) in list(self._holders.items()):
            if owner == execution and step in (None, holding):
                del self._holders[name]
