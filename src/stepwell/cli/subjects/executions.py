"""Executions: looking at them, and following one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, Protocol

import msgspec

from stepwell.app.comparing import Comparison, compare, comparison_of
from stepwell.app.explaining import Explaining
from stepwell.app.explanation import Explanation, Reason, explanation_of
from stepwell.app.log_reading import LogFilter, Logs
from stepwell.app.reported import event_of
from stepwell.base.errors import StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.spans import Source
from stepwell.cli.opening import events_of, reading_codec, reading_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.definition.context import Known
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.execution.history import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    HistoryEvent,
    Intervened,
)
from stepwell.ports.listings import ExecutionQuery

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at a store: what happens in another process does not announce itself here."""
Report = Mapping[str, Any]


class Executions(Protocol):
    """What commands ask about executions. An id that there is not: NotFound, code `unknown-execution`."""

    async def page(self, query: ExecutionQuery) -> Report:
        """A page, newest first."""
        ...

    async def report(self, execution: str) -> dict[str, Any]:
        """One, as users see it."""
        ...

    async def history(self, execution: str, after: int) -> Sequence[Report]:
        """Its history events numbered greater than `after`."""
        ...

    async def explanation(self, execution: str, now: int) -> Explanation:
        """Why it does what it does; `now` is the instant of looking."""
        ...

    async def comparison(self, a: str, b: str) -> Comparison:
        """In what two differ."""
        ...

    async def logs(self, execution: str, wanted: LogFilter, limit: int, cursor: str | None) -> Report:
        """A page of its log."""
        ...

    async def definition(self, execution: str) -> WorkflowDefinition:
        """What it runs."""
        ...

    def news(self, execution: str) -> AsyncIterator[Sequence[HistoryEvent]]:
        """Its history events from the first to that of its end, as they come."""
        ...


def open_executions(setup: Setup) -> AbstractAsyncContextManager[Executions]:
    """The executions of the store or the server that the user named."""
    return opened(setup, StoredExecutions, ServedExecutions)


class StoredExecutions:
    """Those of a store."""

    def __init__(self, at: OpenStore) -> None:
        self._store = at.store
        self._options = at.options
        self._codec = reading_codec()
        self._reading = reading_of(at.store)

    async def page(self, query: ExecutionQuery) -> Report:
        return await self._reading.executions(query)

    async def report(self, execution: str) -> dict[str, Any]:
        return await self._reading.execution(execution)

    async def history(self, execution: str, after: int) -> Sequence[Report]:
        return [event async for event in self._reading.history(execution, after)]

    async def explanation(self, execution: str, now: int) -> Explanation:
        return await Explaining(self._store, self._reading, now, self._options).explanation(execution)

    async def comparison(self, a: str, b: str) -> Comparison:
        read = self._reading.recorded
        return compare(await read(a, whole=True), await read(b, whole=True))

    async def logs(self, execution: str, wanted: LogFilter, limit: int, cursor: str | None) -> Report:
        return await Logs(self._store, self._reading, self._codec).of_execution(execution, wanted, limit, cursor)

    async def definition(self, execution: str) -> WorkflowDefinition:
        return await self._reading.definition(execution)

    async def news(self, execution: str) -> AsyncIterator[Sequence[HistoryEvent]]:
        seen = 0
        while True:
            events = [event async for event in events_of(self._store, self._codec, execution, seen)]
            seen += len(events)
            if events:
                yield events
            if _is_over(events, False):
                return
            await asyncio.sleep(LOOK_EVERY)


class ServedExecutions:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client
        self._options = at.options

    async def page(self, query: ExecutionQuery) -> Report:
        asked = {
            "workflow": query.workflow,
            "version": query.version,
            "status": query.statuses,
            "parent": query.parent,
            "limit": query.limit,
            "cursor": query.cursor,
        }
        return await self._client.page("/executions", asked)

    async def report(self, execution: str) -> dict[str, Any]:
        report: dict[str, Any] = await self._client.get(_path(execution), has="execution_id")
        return report

    async def history(self, execution: str, after: int) -> Sequence[Report]:
        return await self._client.pages(f"{_path(execution)}/history", {"after": after})

    async def explanation(self, execution: str, now: int) -> Explanation:
        return self._here(explanation_of(await self._client.get(f"{_path(execution)}/why", has="reasons")))

    async def comparison(self, a: str, b: str) -> Comparison:
        return comparison_of(await self._client.get(f"{_path(a)}/compare", {"with": b}, has="parting"))

    async def logs(self, execution: str, wanted: LogFilter, limit: int, cursor: str | None) -> Report:
        asked = {
            "level": wanted.level,
            "step": wanted.step,
            "type": wanted.type,
            "errors": "true" if wanted.errors else None,
            "text": wanted.text,
            "since": to_rfc3339(wanted.since) if wanted.since is not None else None,
            "until": to_rfc3339(wanted.until) if wanted.until is not None else None,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._client.page(f"{_path(execution)}/logs", asked)

    async def definition(self, execution: str) -> WorkflowDefinition:
        """Raises: StoreError: (code `unusable-definition`) this version cannot read it."""
        told = await self._client.get(f"{_path(execution)}/definition", has="text")
        source = Source(told["source_name"], told["text"], told["dialect"], lenient=True)
        known = Known(workflows=await self._names()) if told["dialect"] != "native" else None
        definition = load(source, known=known).definition
        if definition is None:
            message = f"what execution {execution} runs cannot be read by this version"
            raise StoreError(
                message, code="unusable-definition", hint="use the version of stepwell that the server has"
            )
        return definition

    async def _names(self) -> frozenset[str]:
        """Of the registered workflows: in some dialects what is called by a name depends on them."""
        return frozenset(each["name"] for each in await self._client.pages("/workflows"))

    async def news(self, execution: str) -> AsyncIterator[Sequence[HistoryEvent]]:
        """The stream says that there is something new; what it is stands in the history, which has every kind of event.
        A server that is gone has some time to come back."""
        from stepwell.cli.remote.errors import ServerError
        from stepwell.cli.remote.following import Patience

        patience, seen, is_over = Patience(self._client.base), 0, False
        while not is_over:
            try:
                async with aclosing(self._batches(execution, seen)) as batches:
                    async for events, last in batches:
                        patience.rewarded()
                        seen = last
                        is_over = _is_over(events, is_over)
                        if events:
                            yield events
                        if is_over:
                            return
            except ServerError:
                await patience.wait()

    async def _batches(self, execution: str, seen: int) -> AsyncGenerator[tuple[Sequence[HistoryEvent], int]]:
        """What is new each time that the stream says something, and when it has ended, with the number of the last."""
        from stepwell.cli.remote.following import places

        async with aclosing(places(self._client, f"{_path(execution)}/events", seen)) as stream:
            async for place in stream:
                if place > seen or not seen:
                    events, seen = await self._after(execution, seen)
                    yield events, seen
        await asyncio.sleep(LOOK_EVERY)  # it ended with the execution, or with the server, which would be asked at once
        yield await self._after(execution, seen)

    async def _after(self, execution: str, seen: int) -> tuple[Sequence[HistoryEvent], int]:
        reports = await self.history(execution, seen)
        events = [event for event in map(event_of, reports) if event is not None]
        return events, reports[-1]["seq"] if reports else seen

    def _here(self, explanation: Explanation) -> Explanation:
        """The same with commands that find this server again."""
        return msgspec.structs.replace(explanation, reasons=[self._reason(each) for each in explanation.reasons])

    def _reason(self, reason: Reason) -> Reason:
        is_command = reason.wakes is not None and reason.wakes.startswith("stepwell ")
        wakes = f"{reason.wakes}{self._options}" if is_command else reason.wakes
        return msgspec.structs.replace(
            reason, wakes=wakes, why=self._here(reason.why) if reason.why is not None else None
        )


def _path(execution: str) -> str:
    return f"/executions/{quoted(execution)}"


def _is_over(events: Sequence[HistoryEvent], before: bool) -> bool:
    """Whether the execution has ended with these events, and has not been taken up again."""
    for event in events:
        if isinstance(event, (ExecutionCompleted, ExecutionFailed, ExecutionCancelled)):
            before = True
        elif isinstance(event, Intervened):
            before = False
    return before
