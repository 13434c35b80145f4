"""Types of parameters that several routes take."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import BeforeValidator, WithJsonSchema

from stepwell.base.durations import MINUTE
from stepwell.base.instants import from_rfc3339

LONGEST_WAIT: Final = 5 * MINUTE


def _instant(value: Any) -> int:
    """Microseconds since the Unix epoch."""
    try:
        return from_rfc3339(str(value).replace(" ", "+"))  # a plus sign in a query that was not encoded is a space
    except (ValueError, OverflowError):
        raise ValueError("expected an instant such as 2026-11-20T10:00:00Z") from None


Instant = Annotated[int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
"""An instant, written as RFC 3339 has it, in microseconds."""

Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many items.")]
Cursor = Annotated[
    str | None, Query(min_length=1, max_length=2_000, description="Where to go on: `next` of the part before.")
]
ExecutionId = Annotated[str, Path(description="The id of an execution.", max_length=200)]
WorkflowName = Annotated[str, Path(description="The name of a workflow, such as `signup` or `team.signup`.")]
Version = Annotated[str, Path(description="A version, such as `1.2.0`.")]
