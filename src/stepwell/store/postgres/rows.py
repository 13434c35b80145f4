"""Executions as rows, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwell.ports.records import Handle, NewExecution, StoredExecution, Summary
from stepwell.store.postgres.texts import given


def stored_of(row: Sequence[Any]) -> StoredExecution:
    """The execution, without snapshot and history. A row is key, id, shard, workflow, version, digest, created_at,
    start_key, tags, parent, forked_from, status, hot, wake_at, started_at, finished_at, error."""
    handle = Handle(row[1], row[2], row[0])
    return StoredExecution(handle=handle, created=created_of(row), summary=summary_of(row))


def created_of(row: Sequence[Any]) -> NewExecution:
    """What was noted when the execution of such a row was created."""
    workflow, version, digest, created_at, start_key, tags, parent, forked_from = row[3:11]
    return NewExecution(
        workflow=workflow,
        version=version,
        digest=digest,
        created_at=created_at,
        start_key=given(start_key),
        tags=tuple(map(given, tags)),
        parent=given(parent),
        forked_from=given(forked_from),
    )


def summary_of(row: Sequence[Any]) -> Summary:
    """How the execution of such a row stands."""
    status, hot, wake_at, started_at, finished_at, error = row[11:17]
    return Summary(
        status=status,
        hot=hot,
        wake_at=wake_at,
        started_at=started_at,
        finished_at=finished_at,
        error=given(error),
    )
