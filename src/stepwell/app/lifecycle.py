"""What happens to an execution, for those who follow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from stepwell.app.reading import Reading
from stepwell.base.instants import from_rfc3339
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import HistoryEvent
from stepwell.ports.work import Observer

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the store: what happens in another process does not announce itself here."""


class LifecycleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an execution or to a step of it. Secrets are masked.

    Attributes:
        type: `stepwell.execution.started.v1`, `stepwell.step.completed.v1` and the like; see `TYPES`.
        seq: its number in the execution's history; events of one execution are in this order.
        time: RFC 3339 text.
        step: the key of the step (`name`, or `name[2]` of an item), or None when it is about the whole execution.
        data: more, by the kind of event: `attempt`, `output`, `error`, `reason`, ...
    """

    type: str
    execution_id: str
    seq: int
    time: str
    step: str | None
    data: dict[str, Any]

    @property
    def at(self) -> int:
        """The instant, in microseconds since the Unix epoch."""
        return from_rfc3339(self.time)

    def as_cloud_event(self, workflow: str | None = None) -> dict[str, Any]:
        """The event as CloudEvents 1.0 writes it in JSON.

        Args:
            workflow: the name of what the execution runs, to be told with it.
        """
        beside = {"workflow": workflow} if workflow is not None else {}
        return {
            "specversion": "1.0",
            "id": f"{self.execution_id}/{self.seq}",
            "source": "stepwell",
            "type": self.type,
            "subject": self.execution_id if self.step is None else f"{self.execution_id}/{self.step}",
            "time": self.time,
            "datacontenttype": "application/json",
            "data": {"execution_id": self.execution_id, "step": self.step, **beside, **self.data},
        }


TYPES: Final[Mapping[str, str]] = {
    "ExecutionCreated": "execution.created",
    "ExecutionStarted": "execution.started",
    "ExecutionPaused": "execution.paused",
    "ExecutionResumed": "execution.resumed",
    "CancelRequested": "execution.cancelling",
    "CompensationStarted": "execution.compensating",
    "CompensationEnded": "execution.compensated",
    "ExecutionCompleted": "execution.completed",
    "ExecutionFailed": "execution.failed",
    "ExecutionCancelled": "execution.cancelled",
    "StepScheduled": "step.started",
    "BlockStarted": "step.started",
    "ChildStarted": "step.started",
    "WaitStarted": "step.waiting",
    "TimerStarted": "step.waiting",
    "ApprovalRequested": "step.waiting",
    "AttemptFailed": "step.retrying",
    "StepCompleted": "step.completed",
    "StepFailed": "step.failed",
    "StepSkipped": "step.skipped",
    "StepCancelled": "step.cancelled",
    "StepCompensated": "step.compensated",
}
"""The kinds of history events that are lifecycle events, and what those are called (`stepwell.NAME.v1`)."""

_ENDS: Final = frozenset({"ExecutionCompleted", "ExecutionFailed", "ExecutionCancelled"})


class Bell(Observer):
    """Wakes those who follow an execution when something of it was committed here, and tells other observers."""

    def __init__(self, *others: Observer) -> None:
        self._others = list(others)
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._listeners: set[asyncio.Event] = set()

    def add(self, observer: Observer) -> None:
        """Tell this one too."""
        self._others.append(observer)

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for follower in self._followers.get(execution, ()):
            follower.set()
        for listener in self._listeners:
            listener.set()
        for other in self._others:
            other.committed(execution, definition, events)

    @contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever anything is committed here, as long as this lasts."""
        rung = asyncio.Event()
        self._listeners.add(rung)
        try:
            yield rung
        finally:
            self._listeners.discard(rung)

    async def events(
        self, execution: str, reading: Reading, after: int = 0, look_every: float = LOOK_EVERY
    ) -> AsyncGenerator[LifecycleEvent]:
        """The lifecycle events numbered greater than `after`: those that are recorded, and then each as it is
        committed, until the execution has ended.

        Args:
            look_every: seconds between two looks at the store.

        Raises:
            NotFound: (code `unknown-execution`) there is no such execution.
        """
        rung = asyncio.Event()
        self._followers.setdefault(execution, set()).add(rung)
        is_known = False
        try:
            while True:
                rung.clear()
                is_over = False
                async for report in reading.history(execution, after, is_known=is_known):
                    after, is_over = report["seq"], report["event"] in _ENDS
                    if report["event"] in TYPES:
                        yield lifecycle_event(execution, report)
                if is_over or (not is_known and await reading.is_over(execution) and not rung.is_set()):
                    return
                is_known = True  # from now on its end is among the events
                await _wait(rung, look_every)
        finally:
            followers = self._followers[execution]
            followers.discard(rung)
            if not followers:
                del self._followers[execution]


async def _wait(rung: asyncio.Event, longest: float) -> None:
    """Until it rings, or it is time to look into the store."""
    try:
        async with asyncio.timeout(longest):
            await rung.wait()
    except TimeoutError:
        return


def lifecycle_event(execution: str, report: Mapping[str, Any]) -> LifecycleEvent:
    """The lifecycle event that says what a history event says, as `event_report` gives it; its kind is in `TYPES`."""
    data = {key: value for key, value in report.items() if key not in ("seq", "at", "event", "step", "id")}
    return LifecycleEvent(
        type=f"stepwell.{TYPES[report['event']]}.v1",
        execution_id=execution,
        seq=report["seq"],
        time=report["at"],
        step=report.get("step"),
        data=data,
    )
