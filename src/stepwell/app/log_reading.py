"""Reading logs: of one execution, its history told in lines together with what its tasks logged; and of all executions,
what is kept in the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.log_keeping import KIND
from stepwell.app.reading import Reading
from stepwell.app.telemetry import lifecycle_line
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.decider.keys import split_key
from stepwell.definition.model import WorkflowDefinition, all_steps
from stepwell.execution.codec import Codec
from stepwell.execution.history import HistoryEvent
from stepwell.ports.ledger import JournalQuery
from stepwell.ports.store import Store
from stepwell.telemetry.logs import LEVELS, LogLine, level_name

PAGE: Final = 500
MOST_LOOKED_AT: Final = 20_000
"""So many entries of the journal are looked at for one page; then the page is shorter, and says where it goes on."""

_decode: Final = msgspec.json.Decoder(LogLine).decode


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are wanted. None means any.

    Attributes:
        level: from which on.
        step: the name of a step, or the key of one of its instances.
        type: of steps.
        errors: only lines that tell of an error.
        text: contained in the message, letters of either case alike.
        since, until: instants; `until` excluded.
        workflow, execution: only of those; not asked for one execution's lines.
        namespaces: of workflows.
    """

    level: str | None = None
    step: str | None = None
    type: str | None = None
    errors: bool = False
    text: str | None = None
    since: int | None = None
    until: int | None = None
    workflow: str | None = None
    execution: str | None = None
    namespaces: Set[str] | None = None

    def wants(self, at: int, line: LogLine) -> bool:
        """Whether a line is wanted."""
        return (
            (self.level is None or LEVELS.index(line.level) >= LEVELS.index(self.level))
            and (self.step is None or self.step in (line.step, split_key(line.step)[0] if line.step else ""))
            and (self.type is None or line.type == self.type)
            and (not self.errors or bool(line.error))
            and (self.text is None or self.text.casefold() in line.message.casefold())
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.workflow is None or line.workflow == self.workflow)
            and (self.namespaces is None or namespace_of(line.workflow) in self.namespaces)
        )


class _Placed(NamedTuple):
    """A line of an execution, in the order in which lines are shown: by `order`, those of the history first.

    Attributes:
        place: the number of its event, or of its entry in the journal (`is_kept`).
    """

    order: int
    is_kept: bool
    place: int
    at: int
    line: LogLine


class Logs:
    """The logs of a store's executions."""

    def __init__(self, store: Store, reading: Reading, codec: Codec) -> None:
        self._store = store
        self._reading = reading
        self._codec = codec

    async def of_execution(
        self, execution: str, wanted: LogFilter, limit: int, cursor: str | None = None
    ) -> dict[str, Any]:
        """A page of the lines of an execution, in the order of their instants: `{"items", "next", "errors"}`.

        `next` is where the list goes on, also when there are no more lines yet: None only once the execution has ended.
        `errors` counts the errors that its whole history tells of, by type.

        Raises:
            NotFound: (code `unknown-execution`). UsageError: (code `invalid-cursor`).
        """
        is_over = await self._reading.is_over(execution)  # before the lines: what ends it is among them then
        seq, number = place_in(cursor, int, int) if cursor is not None else (0, 0)
        definition = await self._reading.definition(execution)
        types = _types_of(definition)
        told = [each async for each in self._told(execution, definition, types)]
        kept = [each async for each in self._kept(execution, number)]
        merged = sorted([*(each for each in told if each.place > seq), *kept])
        items: list[dict[str, Any]] = []
        is_whole = True
        for each in merged:
            if len(items) == limit:
                is_whole = False
                break
            seq, number = (seq, each.place) if each.is_kept else (each.place, number)
            if wanted.wants(each.at, each.line):
                items.append(_shown(execution, each.at, each.line))
        return {
            "items": items,
            "next": None if is_whole and is_over else cursor_of(seq, number),
            "errors": dict(Counter(each.line.error for each in told if each.line.error)),
        }

    async def search(self, wanted: LogFilter, limit: int, cursor: str | None = None) -> dict[str, Any]:
        """A page of the lines that are kept of all executions, newest first: `{"items", "next", "errors"}`.

        These are what tasks logged, and what went wrong. `errors` counts the errors on this page by type.

        Raises:
            UsageError: (code `invalid-cursor`).
        """
        before = place_in(cursor, int)[0] if cursor is not None else None
        items: list[dict[str, Any]] = []
        looked_at = 0
        while len(items) < limit and looked_at < MOST_LOOKED_AT:
            rows = await self._store.journal(_query(wanted, before))
            for row in rows:
                before, line = row.number, _decode(row.body)
                if wanted.wants(row.at, line):
                    items.append(_shown(row.subject, row.at, line))
                if len(items) == limit:
                    break
            looked_at += len(rows)
            if len(rows) < PAGE and len(items) < limit:
                return _page(items, None)
        return _page(items, cursor_of(before or 0))

    async def _told(
        self, execution: str, definition: WorkflowDefinition, types: Mapping[str, str]
    ) -> AsyncIterator[_Placed]:
        """The lines of its history, with the numbers of their events."""
        after = 0
        while rows := await self._store.history(execution, after, PAGE):
            for row in rows:
                events = self._codec.decode_events(row.events)
                for number, event in enumerate(events, start=row.seq - len(events) + 1):
                    line = _line_of(event, definition.name, types)
                    if line is not None:
                        yield _Placed(event.at, False, number, event.at, line)
            after = rows[-1].seq

    async def _kept(self, execution: str, after: int) -> AsyncIterator[_Placed]:
        """What tasks logged, with the numbers of the entries."""
        latest = 0  # threads may write lines in another order than that of their instants
        while rows := await self._store.journal(JournalQuery(kind=KIND, subject=execution, after=after, limit=PAGE)):
            for row in rows:
                latest = max(latest, row.at)
                line = _decode(row.body)
                if not line.is_lifecycle:  # its history tells it
                    yield _Placed(latest, True, row.number, row.at, line)
            after = rows[-1].number


def _query(wanted: LogFilter, before: int | None) -> JournalQuery:
    return JournalQuery(
        kind=KIND,
        subject=wanted.execution,
        before=before,
        since=wanted.since,
        until=wanted.until,
        text=wanted.text if wanted.text is not None and _is_as_stored(wanted.text) else None,
        newest_first=True,
        limit=PAGE,
    )


def _is_as_stored(text: str) -> bool:
    """Whether a text stands in the JSON of a line as it is."""
    return text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}


def _line_of(event: HistoryEvent, workflow: str, types: Mapping[str, str]) -> LogLine | None:
    said = lifecycle_line(event)
    if said is None:
        return None
    of, level, text = said
    step, error = getattr(event, "step", ""), getattr(event, "error", None)
    return LogLine(
        level=level_name(level),
        component={"step": "worker", "state": "store"}.get(of, "engine"),
        workflow=workflow,
        message=text,
        step=step,
        type=types.get(split_key(step)[0], "") if step else "",
        attempt=getattr(event, "attempt", 0),
        error=error.type if error is not None else "",
        is_lifecycle=True,
    )


def _types_of(definition: WorkflowDefinition) -> dict[str, str]:
    written = (*definition.steps, *definition.compensation.steps, *definition.config.on_error.steps)
    return {step.name: step.type for step in all_steps(written)}


def _shown(execution: str, at: int, line: LogLine) -> dict[str, Any]:
    return {
        "timestamp": to_rfc3339(at),
        "level": line.level,
        "component": line.component,
        "workflow_id": line.workflow or None,
        "execution_id": execution if execution != "-" else None,
        "activity": split_key(line.step)[0] if line.step else None,
        "step": line.step or None,
        "type": line.type or None,
        "attempt": line.attempt or None,
        "message": line.message,
        "error": line.error or None,
    }


def _page(items: Sequence[dict[str, Any]], next_: str | None) -> dict[str, Any]:
    return {
        "items": list(items),
        "next": next_,
        "errors": dict(Counter(item["error"] for item in items if item["error"])),
    }
