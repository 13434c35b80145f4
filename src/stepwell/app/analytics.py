"""How workflows do: figures for each, and for each of its steps, taken from what was recorded."""

from __future__ import annotations

import resource
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.app.reading import Reading
from stepwell.base.clock import Clock
from stepwell.base.durations import HOUR, SECOND
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.decider.keys import split_key
from stepwell.definition.model import all_steps
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ENDED_STEP, StepStatus
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store
from stepwell.ports.tallies import Ended, EndedQuery, Standing

PARTS: Final = (0.5, 0.95, 0.99)
MOST_PATHS: Final = 20
"""So many of the most frequent paths are shown."""
MOST_HOURS: Final = 168
"""A trend goes back so many hours at most."""
_ENDED: Final = ("completed", "failed", "cancelled")
_ESTIMATED: Final = ("completed", "failed")


class Analytics:
    """Figures about the executions of a store."""

    def __init__(self, store: Store, reading: Reading, clock: Clock) -> None:
        self._store = store
        self._reading = reading
        self._clock = clock

    async def workflows(self, window: int, namespaces: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Of every workflow with executions that ended within the window, or have not ended: `{workflow, started..}`;
        see `_line`."""
        query = self._query(window, None, namespaces)
        ended = await self._store.ended(query)
        standing = (await self._store.census()).unfinished
        among = query.namespaces
        seen = [each for each in standing if among is None or namespace_of(each.workflow) in among]
        names = {each.workflow for each in ended} | {each.workflow for each in seen}
        return [_line(name, ended, standing) for name in sorted(names)]

    async def workflow(self, name: str, window: int, sample: int) -> dict[str, Any]:
        """Of one workflow, beside the same: its durations, its trend by the hour, and what its steps did in the
        `sample` of executions that ended last within the window: see `_steps` and `_paths`."""
        query = self._query(window, name)
        ended = await self._store.ended(query)
        standing = (await self._store.census()).unfinished
        estimated = msgspec.structs.replace(query, statuses=_ESTIMATED)
        durations = await self._store.durations(estimated, PARTS)
        states = [state async for state in self._sampled(query, sample)]
        types = await self._types(states)
        steps = _steps(states, types)
        return {
            **_line(name, ended, standing),
            "duration": {
                f"p{round(100 * part)}": _seconds(found) for part, found in zip(PARTS, durations, strict=True)
            },
            "trend": [line async for line in self._trend(query)],
            "sampled": len(states),
            "steps": steps,
            "bottleneck": max(steps, key=lambda step: step["share"], default={"step": None})["step"],
            "paths": _paths(states),
        }

    def _query(self, window: int, workflow: str | None, namespaces: Sequence[str] | None = None) -> EndedQuery:
        now = self._clock.now()
        among = tuple(namespaces) if namespaces is not None else None
        return EndedQuery(since=now - window + 1, until=now + 1, workflow=workflow, namespaces=among)

    async def _trend(self, query: EndedQuery) -> Any:
        """What ended in each hour, the latest last: `{from, completed, failed, cancelled}`."""
        hours = min(MOST_HOURS, -(-(query.until - query.since) // HOUR))
        first = query.until - hours * HOUR
        for since in range(first, query.until, HOUR):
            hour = msgspec.structs.replace(query, since=max(since, query.since), until=since + HOUR)
            counted = _by_status(await self._store.ended(hour))
            yield {"from": to_rfc3339(hour.since), **{status: counted[status] for status in _ENDED}}

    async def _sampled(self, query: EndedQuery, sample: int) -> Any:
        cursor: str | None = None
        seen = 0
        while seen < sample:
            page = await self._store.list(
                ExecutionQuery(workflow=query.workflow, statuses=_ENDED, limit=min(200, sample - seen), cursor=cursor)
            )
            for item in page.items:
                if item.summary.finished_at is not None and item.summary.finished_at >= query.since:
                    seen += 1
                    yield await self._reading.state(item.id)
            cursor = page.next
            if cursor is None or (page.items and page.items[-1].created.created_at < query.since):
                return

    async def _types(self, states: Sequence[ExecutionState]) -> dict[str, str]:
        """The types of steps by name: of the newest version that has such a step."""
        types: dict[str, str] = {}
        for execution in {state.digest: state.id for state in reversed(states)}.values():
            definition = await self._reading.definition(execution)
            for step in all_steps((*definition.steps, *definition.compensation.steps)):
                types.setdefault(step.name, step.type)
        return types


def _line(name: str, ended: Iterable[Ended], standing: Iterable[Standing]) -> dict[str, Any]:
    """`{workflow, active, completed, failed, cancelled, success_rate, error_rate, average_duration}`: rates in percent,
    durations in seconds, None of nothing."""
    ours = [each for each in ended if each.workflow == name]
    counted = _by_status(ours)
    estimated = [each for each in ours if each.status in _ESTIMATED]
    count = sum(each.count for each in estimated)
    errors = round(100 * counted["failed"] / count, 2) if count else None
    return {
        "workflow": name,
        "active": sum(each.count for each in standing if each.workflow == name),
        **{status: counted[status] for status in _ENDED},
        "success_rate": round(100 - errors, 2) if errors is not None else None,
        "error_rate": errors,
        "average_duration": _seconds(sum(each.took for each in estimated) / count) if count else None,
    }


def _by_status(ended: Iterable[Ended]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for each in ended:
        counted[each.status] += each.count
    return counted


def _steps(states: Sequence[ExecutionState], types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Of every step that ran: `{step, type, runs, completed, failed, skipped, retries, success_rate, average_duration,
    longest, average_wait, share}`. `share` is its part of the time that all steps took together, 0 to 1; a step that
    many things run inside of counts beside them. Durations in seconds, the steps that took longest first."""
    by_name: dict[str, list[StepState]] = {}
    for state in states:
        for key, step in state.steps.items():
            if step.status in ENDED_STEP:
                by_name.setdefault(split_key(key)[0], []).append(step)
    busy = sum(_took(step) for steps in by_name.values() for step in steps)
    lines = [_step_line(name, types.get(name), steps, busy) for name, steps in by_name.items()]
    return sorted(lines, key=lambda line: (-line["share"], line["step"]))


def _step_line(name: str, kind: str | None, steps: Sequence[StepState], busy: int) -> dict[str, Any]:
    statuses = Counter(step.status for step in steps)
    completed = statuses[StepStatus.COMPLETED] + statuses[StepStatus.COMPENSATED]
    failed = statuses[StepStatus.FAILED]
    times = [_took(step) for step in steps if step.started_at is not None and step.completed_at is not None]
    waits = [
        max(0, step.started_at - step.scheduled_at)
        for step in steps
        if step.started_at is not None and step.scheduled_at is not None and step.attempts == 1
    ]
    return {
        "step": name,
        "type": kind,
        "runs": len(steps) - statuses[StepStatus.SKIPPED],
        "completed": completed,
        "failed": failed,
        "skipped": statuses[StepStatus.SKIPPED],
        "retries": sum(max(0, step.attempts - 1) for step in steps),
        "success_rate": round(100 * completed / (completed + failed), 2) if completed + failed else None,
        "average_duration": _seconds(sum(times) / len(times)) if times else None,
        "longest": _seconds(max(times)) if times else None,
        "average_wait": _seconds(sum(waits) / len(waits)) if waits else None,
        "share": round(sum(times) / busy, 4) if busy else 0.0,
    }


def _took(step: StepState) -> int:
    if step.started_at is None or step.completed_at is None:
        return 0
    return step.completed_at - step.started_at


def _paths(states: Sequence[ExecutionState]) -> list[dict[str, Any]]:
    """The ways that executions took, most frequent first: `{steps, count, share}`. A way are the steps that ran, in the
    order in which they ended, each named once."""
    counted = Counter(tuple(_path(state)) for state in states)
    return [
        {"steps": list(path), "count": count, "share": round(count / len(states), 4)}
        for path, count in counted.most_common(MOST_PATHS)
    ]


def _path(state: ExecutionState) -> Iterable[str]:
    ran = [(step.order, key) for key, step in state.steps.items() if step.status in _RAN]
    return dict.fromkeys(split_key(key)[0] for _, key in sorted(ran))


_RAN: Final = frozenset({StepStatus.COMPLETED, StepStatus.COMPENSATED, StepStatus.FAILED})


def _seconds(duration: float | None) -> float | None:
    return round(duration / SECOND, 3) if duration is not None else None


def process_figures() -> dict[str, Any]:
    """What this process uses: `{cpu_seconds, max_resident_bytes, threads}`."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1_024
    return {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "max_resident_bytes": used.ru_maxrss * unit,
        "threads": threading.active_count(),
    }
