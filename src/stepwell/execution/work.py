"""Work as it goes out to a worker and comes back: plain data, so that any dispatcher can carry it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stepwell.base.errors import ErrorInfo


class Assignment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt of one leaf step, to be done by a worker.

    Attributes:
        config: the step's rendered configuration. May hold `Sealed`, `SecretRef` and `SecretText` values, which the
            worker opens just before it calls the task.
        attempt: counts from 1.
        idempotency_key: the same for every attempt and every delivery of this step, so that the receiver can tell a
            repetition; `{execution}/{step}`.
        timeout: microseconds after which the worker stops the work and reports a `timeout` error; None for no bound.
        queue: whose workers do it; None for the engine's own.
        labels: what a worker must be labelled with to be given it, all of it.
        scheduled_at: the instant the first attempt was scheduled, in microseconds.
    """

    execution: str
    workflow: str
    version: str
    step: str
    type: str
    config: Any
    attempt: int
    idempotency_key: str
    scheduled_at: int
    timeout: int | None = None
    queue: str | None = None
    labels: Mapping[str, str] | None = None

    @property
    def id(self) -> str:
        """Identifies this attempt: `{execution}/{step}/{attempt}`."""
        return f"{self.execution}/{self.step}/{self.attempt}"


class Report(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended: with a result, or with an error.

    Attributes:
        result: the raw result, a JSON value (see `base.values.check_json`), which may hold `Sealed` values.
        error: what went wrong; None when it went well.
        scope: further names that the step's `output` mapping may read beside `response`, such as `response_status`.
        started_at: the instant the work began, in microseconds.
    """

    execution: str
    step: str
    attempt: int
    started_at: int
    result: Any = None
    error: ErrorInfo | None = None
    scope: dict[str, Any] | None = None
