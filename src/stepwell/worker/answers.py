"""What workers that fetch are answered, and what is told of queues."""

from __future__ import annotations

from typing import Any

import msgspec


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment as a worker gets it: plain data, with everything secret in its configuration opened.

    Attributes:
        id: to be named in signs of life and reports.
        timeout: seconds that the work may take from now on, or None.
        lease_expires_at: an instant in microseconds, before which a sign of life is expected.
        traceparent: see `TaskContext.traceparent`.
    """

    id: str
    queue: str
    type: str
    config: Any
    execution_id: str
    workflow: str
    version: str
    step: str
    attempt: int
    idempotency_key: str
    timeout: float | None
    lease_expires_at: int
    traceparent: str | None = None


class Polled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a worker that asks for work: what it gets, and which of its attempts it is to stop."""

    assignments: list[Handed]
    stop: list[str]


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a sign of life: which jobs the worker still has, until when, and which it is to stop."""

    kept: list[str]
    lost: list[str]
    lease_expires_at: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a worker that asks for certain jobs: what it gets, those that nobody waits for (any more, or that
    somebody else has), and those that it has said it cannot do."""

    assignments: list[Handed]
    gone: list[str]
    not_yours: list[str]


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands: jobs that nobody has, jobs that somebody has, and workers that have a place for one."""

    name: str
    waiting: int
    running: int
    idle_workers: int


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands.

    Attributes:
        worker, heard_at: who has it, and when that one was heard of last; None while nobody has it.
        deadline: when its time is up; None before it was handed out, and without a timeout.
        able: how many workers are known that serve its queue and have its labels.
        refusal: what the last worker said that does not know how to do it; None when there was none.
    """

    worker: str | None
    heard_at: int | None
    deadline: int | None
    able: int
    refusal: str | None
