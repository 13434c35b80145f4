"""Executions: listing and looking."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.routing import router as new_router
from stepwell.ports.listings import ExecutionQuery

router = new_router("executions")


@router.get("/executions", operation_id="listExecutions")
async def list_executions(
    here: Here, caller: Calling, limit: Annotated[int, Query(ge=1, le=1_000)] = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Executions, newest first."""
    return await here.reading.executions(ExecutionQuery(limit=limit, cursor=cursor))
