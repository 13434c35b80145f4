"""Executions in the shapes of the activities dialect: the state of one, and figures about all of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from stepwell.app.reading import Reading
from stepwell.base.clock import Clock
from stepwell.base.durations import DAY, SECOND
from stepwell.base.namespaces import namespace_of
from stepwell.dialects.execution import shapes
from stepwell.engine.gates import GateState
from stepwell.ports.store import Store
from stepwell.ports.tallies import Census, Ended, EndedQuery
from stepwell.telemetry.metrics import Gauges

FRESH: Final = SECOND
"""So old may figures be that are given: whoever asks in between does not make the store count again."""

COUNTED: Final = ("completed", "failed")
"""How executions end that rates and durations are about: what was cancelled neither went well nor wrong."""


async def workflow_state(reading: Reading, execution: str) -> dict[str, Any]:
    """`{id, status, started_at, current_activity, variables}`; see `shapes.state`.

    Raises:
        NotFound: code `unknown-execution`.
    """
    return shapes.state(await reading.execution(execution))


async def activity_states(reading: Reading, execution: str) -> list[dict[str, Any]]:
    """`{id, name, status, started_at, completed_at, input, output, attempts}` of each; see `shapes.activity_states`.

    Raises:
        NotFound: code `unknown-execution`.
    """
    report, recorded = await reading.execution(execution), await reading.recorded(execution, whole=True)
    return shapes.activity_states(report, recorded.definition, recorded.events)


class Monitoring:
    """Figures about the executions of a store.

    Args:
        limit: how many workflows may be active; None for no bound.
        fresh: so old, in microseconds, may figures be; 0 for none that were counted before.
    """

    def __init__(self, store: Store, clock: Clock, limit: int | None, fresh: int = FRESH) -> None:
        self._fresh_for = fresh
        self._store = store
        self._clock = clock
        self._limit = limit
        self._known: dict[Any, tuple[int, asyncio.Future[Any]]] = {}

    async def monitoring(
        self, *, workflow: str | None = None, namespaces: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """`{active_workflows, completed_today, failed_today, average_duration, current_load}`; see
        `shapes.monitoring`."""
        now = self._clock.now()
        query = _query(now - now % DAY, now, workflow, namespaces)
        ended: Sequence[Ended] = await self._fresh(("today", *_of(query)), lambda: self._store.ended(query))
        counted = [each for each in ended if each.status in COUNTED]
        count = sum(each.count for each in counted)
        return shapes.today(
            active=await self.active(workflow=workflow, namespaces=namespaces),
            completed=sum(each.count for each in counted if each.status == "completed"),
            failed=sum(each.count for each in counted if each.status == "failed"),
            average=sum(each.took for each in counted) // count if count else 0,
            limit=self._limit,
        )

    async def metrics(
        self, window: int = DAY, *, workflow: str | None = None, namespaces: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """`{execution_time: {avg, p95, p99}, success_rate, error_rate, throughput}`; see `shapes.metrics`."""
        now = self._clock.now()
        query = _query(now - window + 1, now, workflow, namespaces)
        key = (window, *_of(query))
        counted: Sequence[Ended] = await self._fresh(("ended", *key), lambda: self._store.ended(query))
        p95, p99 = await self._fresh(("durations", *key), lambda: self._store.durations(query, (0.95, 0.99)))
        return shapes.summary(
            completed=sum(each.count for each in counted if each.status == "completed"),
            failed=sum(each.count for each in counted if each.status == "failed"),
            took=sum(each.took for each in counted),
            p95=p95,
            p99=p99,
            window=window,
        )

    async def longest(self, window: int, *, workflow: str | None = None) -> int | None:
        """The longest that one took which ended within the window; None when none did. In microseconds."""
        now = self._clock.now()
        query = EndedQuery(since=now - window + 1, until=now + 1, workflow=workflow)
        longest: int | None = (
            await self._fresh(("longest", window, workflow), lambda: self._store.durations(query, (1.0,)))
        )[0]
        return longest

    async def active(self, *, workflow: str | None = None, namespaces: Sequence[str] | None = None) -> int:
        """How many executions have not ended."""
        return sum(
            standing.count
            for standing in (await self.census()).unfinished
            if (workflow is None or standing.workflow == workflow)
            and (namespaces is None or namespace_of(standing.workflow) in namespaces)
        )

    async def census(self) -> Census:
        """What there is."""
        census: Census = await self._fresh("census", self._store.census)
        return census

    async def _fresh(self, key: Any, count: Callable[[], Awaitable[Any]]) -> Any:
        """What was counted a moment ago, or is being counted, or is counted now."""
        now = self._clock.now()
        known = self._known.get(key)
        if (
            known is not None
            and (not known[1].done() or now - known[0] < self._fresh_for)
            and not _has_failed(known[1])
        ):
            return await asyncio.shield(known[1])
        self._known = {
            each: (at, found)
            for each, (at, found) in self._known.items()
            if not found.done() or now - at < self._fresh_for
        }
        counting = asyncio.ensure_future(count())
        self._known[key] = (now, counting)
        return await asyncio.shield(counting)


def gauges_of(census: Census, gates: Sequence[GateState], executions: int, tasks: int) -> Gauges:
    """What metrics are told that are looked up rather than counted.

    Args:
        executions, tasks: how many stand in line for a place, and how many attempts do for a worker.
    """
    return Gauges(
        running={(each.workflow, each.version, each.status): each.count for each in census.unfinished},
        queues={"execution": executions, "task": tasks, "inbox": census.inbox},
        breakers={gate.name: gate.state for gate in gates if gate.state is not None},
        rejected={gate.name: gate.rejected for gate in gates if gate.kind == "bulkhead"},
        waits=census.waits,
    )


def _has_failed(counted: asyncio.Future[Any]) -> bool:
    return counted.done() and (counted.cancelled() or counted.exception() is not None)


def _query(since: int, now: int, workflow: str | None, namespaces: Sequence[str] | None) -> EndedQuery:
    return EndedQuery(
        since=since,
        until=now + 1,
        workflow=workflow,
        namespaces=tuple(namespaces) if namespaces is not None else None,
        statuses=COUNTED,
    )


def _of(query: EndedQuery) -> tuple[Any, ...]:
    """Which executions a query is about, whenever they ended."""
    return query.workflow, query.namespaces
