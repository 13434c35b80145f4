"""The executions of this process as they stand, for callers that cannot wait for the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

from stepwell.app.report import milliseconds, step_report
from stepwell.base.values import masked
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.evolve import fold
from stepwell.execution.history import ExecutionCreated, HistoryEvent
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.work import Observer

_UNTOUCHED: Final = StepState()

MOST_ENDED: Final = 1_000
"""Executions that have ended and are still known; the oldest is forgotten first."""


class Following(Observer):
    """Knows every execution of one dialect that was created while it watched.

    Args:
        then: told as well.
    """

    def __init__(self, dialect: str, then: Observer | None) -> None:
        self._dialect = dialect
        self._then = then
        self._known: dict[str, tuple[WorkflowDefinition, ExecutionState]] = {}
        self._newest: dict[str, str] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()  # it may be asked in another thread than the one it is told things in

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        if definition.dialect == self._dialect:
            with self._lock:
                self._take(execution, definition, events)
        if self._then is not None:
            self._then.committed(execution, definition, events)

    def execution(self, name: str) -> str | None:
        """The id of the newest execution of the workflow of this name; an id of an execution stands for itself."""
        return name if name in self._known else self._newest.get(name)

    def report(self, execution: str, now: int) -> dict[str, Any]:
        """What has been committed of an execution that is known: of what `execution_report` says `status`, `error`,
        `duration_ms` and `steps`, without what takes a compiled plan; and how long it was active (`active_ms`).

        Args:
            now: up to when the times of an execution that still runs are counted.
        """
        with self._lock:
            definition, state = self._known[execution]
            return {
                "status": state.status.value,
                "error": masked(state.error.as_dict()) if state.error is not None else None,
                "duration_ms": milliseconds(state.started_at, state.completed_at or now),
                "active_ms": _active(state, now) / 1_000,
                "steps": [step_report(each.name, state.steps.get(each.name, _UNTOUCHED)) for each in definition.steps],
            }

    def _take(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        known = self._known.get(execution)
        if known is not None:
            fold(events, known[1])
        elif isinstance(events[0], ExecutionCreated):
            self._known[execution] = (definition, fold(events))
            self._newest[definition.name] = execution
        else:
            return  # another process began it
        if self._known[execution][1].status in ENDED_EXECUTION:
            self._forget_oldest(execution)

    def _forget_oldest(self, ended: str) -> None:
        self._ended[ended] = None
        if len(self._ended) <= MOST_ENDED:
            return
        oldest, _ = self._ended.popitem(last=False)
        definition, _ = self._known.pop(oldest)
        if self._newest.get(definition.name) == oldest:
            del self._newest[definition.name]


def _active(state: ExecutionState, now: int) -> int:
    """How long steps were at work, in microseconds."""
    return state.active_before + (now - state.active_since if state.active_since is not None else 0)
