"""An execution in memory: what the engine keeps of it beside the run that is decided on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stepwell.base.durations import SECOND
from stepwell.base.values import masked
from stepwell.decider.run import Run
from stepwell.execution.commands import RunStep
from stepwell.execution.status import ENDED_EXECUTION, WAITING, ExecutionStatus
from stepwell.ports.records import Handle, Summary

_PAUSED: Final = ExecutionStatus.PAUSED
_RUNNING: Final = ExecutionStatus.RUNNING
_SHOWN: Final = {status: status.value for status in ExecutionStatus}

FIRST_SNAPSHOT: Final = 300
"""History events before the first snapshot; then one each time the history has doubled, so that writing snapshots costs
the same per step however long the execution is."""

KEEP_IN_MEMORY: Final = 5 * SECOND
"""A parked execution that is due sooner than this stays in memory: reading it again would cost more than keeping it."""


class Hot:
    """An execution in memory.

    Attributes:
        summary: what the store was last told.
        at_work_as: the status in which it was at work after the last turn; None when it was not.
        snapshot_due: the number of events with which the next snapshot is due (see `FIRST_SNAPSHOT`).
        uncommitted: changes on their way to the store; it is not forgotten before they are there.
        timer_due: when the engine's heap of timers has it due, or None.
        has_place: it holds one of the places under the engine's limit of workflows.
        held: work that waits for such a place.
        refused: its creation was refused by the store; it does not exist.
        lost: its shard is not owned any more: what is in memory counts for nothing.
        unwritten: something that was decided for it is not written, for its shard was lost.
        leaving: its shard is handed over: no attempt of it begins any more.
        queued_at: since when it waits for a place, or None.
    """

    __slots__ = (
        "at_work_as",
        "handle",
        "has_place",
        "held",
        "leaving",
        "lost",
        "queued_at",
        "refused",
        "run",
        "snapshot_due",
        "summary",
        "timer_due",
        "uncommitted",
        "unwritten",
    )

    def __init__(self, handle: Handle, run: Run, summary: Summary | None = None, snapshot_seq: int = 0) -> None:
        self.handle = handle
        self.run = run
        self.summary = summary
        self.note_snapshot(snapshot_seq)
        self.at_work_as: ExecutionStatus | None = None
        self.uncommitted = 0
        self.has_place = False
        self.held: Sequence[RunStep] = ()
        self.refused = False
        self.lost = False
        self.unwritten = False
        self.leaving = False
        self.queued_at: int | None = None
        self.timer_due: int | None = None

    @property
    def is_parked(self) -> bool:
        """Nothing of it runs, and something or somebody is waited for: it needs no memory, only its rows."""
        state = self.run.state
        if state.in_flight or state.status in ENDED_EXECUTION:
            return False
        return state.waiting > 0 or state.status is _PAUSED or state.compensation_awaited

    def may_leave(self, now: int, due: int | None) -> bool:
        """Whether the execution need not be in memory: it has ended, or is parked and not due soon; and nobody is being
        told of it. `due` is when it is due next."""
        if self.run.state.untold:
            return False
        if self.run.state.status in ENDED_EXECUTION:
            return True
        if not self.is_parked:
            return False
        return due is None or due - now > KEEP_IN_MEMORY

    def new_summary(self) -> Summary | None:
        """The summary after a turn, when it is another one than the store has.

        Who has work in flight in the same status as after the last turn (`at_work_as`) need not ask: there is none.
        """
        state, last = self.run.state, self.summary
        parked = self.is_parked
        wake_at = self.run.next_due() if parked else None
        status = _shown_status(state.status, parked)
        self.at_work_as = state.status if state.in_flight else None
        hot = (not parked and state.status not in ENDED_EXECUTION) or state.untold > 0
        if last is not None and (last.status, last.wake_at, last.hot) == (status, wake_at, hot):
            return None
        self.summary = Summary(
            status=status,
            hot=hot,
            wake_at=wake_at,
            started_at=state.started_at,
            finished_at=state.completed_at,
            error=str(masked(state.error.message)) if state.error is not None else None,
        )
        return self.summary

    def note_snapshot(self, seq: int) -> None:
        """A snapshot of the state after so many events was written; 0 for none."""
        self.snapshot_due = seq + max(seq, FIRST_SNAPSHOT)


def _shown_status(status: ExecutionStatus, parked: bool) -> str:
    return WAITING if parked and status is _RUNNING else _SHOWN[status]
