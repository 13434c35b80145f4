"""Why an execution does what it does: the reasons, and what they are found in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.decider.plan import Plan
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState, StepState
from stepwell.ports.records import Lock
from stepwell.worker.answers import Whereabouts

E = TypeVar("E", bound=HistoryEvent)

Fetched: TypeAlias = Callable[[str], "Whereabouts | None"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an execution waits for, or that made it end so. Instants in microseconds; None where unknown.

    Attributes:
        kind: what it is, for programs: `attempt`, `retry`, `event`, `timer`, `lock`, `place`, `join`, ...
        text: a clause about the step, or a sentence about the execution when `step` is None.
        step: the key of the step's instance.
        since: from when on it holds.
        until: when it ends by itself at the latest.
        wakes: what ends it: words, or a command.
        why: of the execution that this one waits for, when there is one.
    """

    kind: str
    text: str
    step: str | None = None
    since: int | None = None
    until: int | None = None
    wakes: str | None = None
    why: Explanation | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution waits for; of one that has ended, why it ended so.

    Attributes:
        status: as users see it, `waiting` included.
        engine: who runs it, or None when nobody does at the moment.
    """

    execution: str
    workflow: str
    version: str
    status: str
    created_at: int
    ended_at: int | None = None
    engine: str | None = None
    reasons: Sequence[Reason] = ()


class View:
    """All that reasons are found in.

    Args:
        run: the execution, as it is recorded.
        events: the latest history events; times that the state does not keep are looked up in them.
        now: the instant of looking.
        engine: who runs it, or None.
        place: its place in the line for the engine's limit of workflows, from 1, or None when it is unknown.
        locks: who holds, and who waits for, the locks that it waits for, by name; in the order of asking.
        children: the explanations of executions that it waits for, by id.
        options: what commands need to find the same store, with a space before it.
        fetched: where an attempt stands that workers fetch here, by its id; None when it is not known here.
    """

    def __init__(
        self,
        run: Run,
        events: Sequence[HistoryEvent],
        now: int,
        *,
        engine: str | None = None,
        place: int | None = None,
        locks: Mapping[str, Sequence[Lock]] | None = None,
        children: Mapping[str, Explanation] | None = None,
        options: str = "",
        fetched: Fetched = lambda id_: None,
    ) -> None:
        self.run = run
        self.fetched = fetched
        self.now = now
        self.engine = engine
        self.place = place
        self.locks = locks or {}
        self.children = children or {}
        self.options = options
        self._latest: dict[tuple[type, str | None], HistoryEvent] = {
            (type(event), getattr(event, "step", None) or None): event for event in events
        }

    @property
    def plan(self) -> Plan:
        """What the execution runs."""
        return self.run.plan

    @property
    def state(self) -> ExecutionState:
        """What is recorded of the execution."""
        return self.run.state

    def latest(self, kind: type[E], step: str | None = None) -> E | None:
        """The last such event of the step, or of the execution as a whole, as far back as is looked."""
        return cast("E | None", self._latest.get((kind, step)))

    def at(self, kind: type[HistoryEvent], step: str | None = None) -> int | None:
        """When it was recorded."""
        event = self._latest.get((kind, step))
        return event.at if event is not None else None

    def open_steps(self) -> Iterator[tuple[Instance, StepState]]:
        """The steps that have begun or are held back, and have not ended, with their states."""
        for key, step in self.state.steps.items():
            one = self.run.open_instance(key)
            if one is not None:
                yield one, step

    def regions(self) -> Iterator[Region]:
        """The open runs of graphs: of the workflow itself, and inside the open steps."""
        yield self.run.root
        for one, _ in self.open_steps():
            yield from (one.regions or {}).values()


def clause_of(error: ErrorInfo) -> str:
    """An error in one line: its type and message."""
    return error.message if error.type in ("", "step_failed", "timeout") else f"{error.type}: {error.message}"


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON values: instants RFC 3339 text."""
    return {
        "execution_id": explanation.execution,
        "workflow": explanation.workflow,
        "version": explanation.version,
        "status": explanation.status,
        "created_at": to_rfc3339(explanation.created_at),
        "completed_at": _instant(explanation.ended_at),
        "engine": explanation.engine,
        "reasons": [_reason_document(reason) for reason in explanation.reasons],
    }


def _reason_document(reason: Reason) -> dict[str, Any]:
    return {
        "kind": reason.kind,
        "step": reason.step,
        "text": reason.text,
        "since": _instant(reason.since),
        "until": _instant(reason.until),
        "wakes": reason.wakes,
        "why": explanation_document(reason.why) if reason.why is not None else None,
    }


def explanation_of(document: Mapping[str, Any]) -> Explanation:
    """The explanation that a document is of."""
    return Explanation(
        execution=document["execution_id"],
        workflow=document["workflow"],
        version=document["version"],
        status=document["status"],
        created_at=from_rfc3339(document["created_at"]),
        ended_at=_micros(document["completed_at"]),
        engine=document["engine"],
        reasons=[_reason_of(each) for each in document["reasons"]],
    )


def _reason_of(document: Mapping[str, Any]) -> Reason:
    return Reason(
        kind=document["kind"],
        text=document["text"],
        step=document["step"],
        since=_micros(document["since"]),
        until=_micros(document["until"]),
        wakes=document["wakes"],
        why=explanation_of(document["why"]) if document["why"] is not None else None,
    )


def _micros(text: str | None) -> int | None:
    return from_rfc3339(text) if text is not None else None


def _instant(instant: int | None) -> str | None:
    return to_rfc3339(instant) if instant is not None else None
