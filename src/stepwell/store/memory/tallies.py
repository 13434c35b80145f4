"""Counting in memory; see `ports.tallies`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from stepwell.base.namespaces import namespace_of
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.records import NewExecution, Summary
from stepwell.ports.tallies import Ended, EndedQuery, Standing
from stepwell.store.tallying import place_of_part

Line = tuple[NewExecution, Summary]
"""What is known of an execution without its history."""


def unfinished(lines: Iterable[Line]) -> Sequence[Standing]:
    """Those that have not ended, by workflow, version and status."""
    counted = Counter(
        (created.workflow, created.version, summary.status)
        for created, summary in lines
        if summary.status not in ENDED_EXECUTION
    )
    return [Standing(*key, count) for key, count in sorted(counted.items())]


def ended(lines: Iterable[Line], query: EndedQuery) -> Sequence[Ended]:
    """See `Tallies.ended`."""
    counts: Counter[tuple[str, str, str]] = Counter()
    took: Counter[tuple[str, str, str]] = Counter()
    for created, summary in lines:
        if _is_wanted(created, summary, query):
            key = (created.workflow, created.version, summary.status)
            counts[key] += 1
            took[key] += _took(summary)
    return [Ended(*key, count, took[key]) for key, count in sorted(counts.items())]


def durations(lines: Iterable[Line], query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
    """See `Tallies.durations`."""
    times = sorted(_took(summary) for created, summary in lines if _is_wanted(created, summary, query))
    return [times[place_of_part(part, len(times))] if times else None for part in parts]


def _is_wanted(created: NewExecution, summary: Summary, query: EndedQuery) -> bool:
    return (
        summary.finished_at is not None
        and query.since <= summary.finished_at < query.until
        and (query.workflow is None or created.workflow == query.workflow)
        and (query.namespaces is None or namespace_of(created.workflow) in query.namespaces)
        and (not query.statuses or summary.status in query.statuses)
    )


def _took(summary: Summary) -> int:
    if summary.finished_at is None or summary.started_at is None:
        return 0
    return summary.finished_at - summary.started_at
