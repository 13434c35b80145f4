"""What an engine allows."""

from __future__ import annotations

import msgspec

from stepwell.base.durations import DAY


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine allows. Durations in microseconds; None for no bound.

    Attributes:
        max_workflows: executions at work at once; more stand in line, in the order in which they came.
        queue_timeout: how long one may stand in line before it fails with `queue_timeout`.
        default_timeout: the bound on active time of workflows that name none.
        keep_events: how long events are kept for waits that have not begun yet.
    """

    max_workflows: int | None = 1_000
    queue_timeout: int | None = None
    default_timeout: int | None = None
    keep_events: int = 7 * DAY
