"""Executions in the shapes of the activities dialect: the state of one, and figures about all of a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from stepwell.app.reading import Reading
from stepwell.base.durations import DAY
from stepwell.dialects.execution import shapes
from stepwell.dialects.execution.shapes import Ran
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store

LOOKED_AT: Final = 30 * DAY
"""Executions that were created longer ago are not counted."""
_PAGE: Final = 1_000


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
    return shapes.activity_states(await reading.execution(execution), await reading.definition(execution))


async def monitoring(store: Store, now: int, limit: int | None) -> dict[str, Any]:
    """`{active_workflows, completed_today, failed_today, average_duration, current_load}`; see `shapes.monitoring`.

    Args:
        limit: how many workflows may be active; None for no bound.
    """
    return shapes.monitoring([run async for run in _runs(store, now)], now, limit)


async def metrics(store: Store, now: int, window: int = DAY) -> dict[str, Any]:
    """`{execution_time: {avg, p95, p99}, success_rate, error_rate, throughput}`; see `shapes.metrics`."""
    return shapes.metrics([run async for run in _runs(store, now)], now, window)


async def _runs(store: Store, now: int) -> AsyncIterator[Ran]:
    cursor: str | None = None
    while True:
        page = await store.list(ExecutionQuery(created_from=now - LOOKED_AT, limit=_PAGE, cursor=cursor))
        for item in page.items:
            summary = item.summary
            yield Ran(summary.status, summary.started_at, summary.finished_at)
        if page.next is None:
            return
        cursor = page.next
