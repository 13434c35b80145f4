"""Replaying a history: the state it leads to, ready to decide on."""

from __future__ import annotations

from collections.abc import Iterable

from stepwell.decider.plan import Plan
from stepwell.decider.restore import run_of
from stepwell.decider.run import Run
from stepwell.execution.evolve import fold
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState


def replay(plan: Plan, events: Iterable[HistoryEvent], snapshot: ExecutionState | None = None) -> Run:
    """The execution after these events, on top of a snapshot when there is one.

    Raises:
        InvalidTransition: the events are not a history.
    """
    return run_of(plan, fold(events, snapshot))
