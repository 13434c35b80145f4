"""The audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Instant, Limit
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.audit import AuditQuery
from stepwell.app.security import Security

router = new_router("audit")

Text = Annotated[str, Query(max_length=200)]


class AuditEntry(Shape):
    """Who did what, to what, from where, and how it went."""

    number: int
    at: str
    who: str
    proof: str
    id: str | None
    what: str
    on: str | None
    outcome: str
    status: int | None
    address: str | None
    request: str | None
    detail: dict[str, Any] | None


class AuditPage(Shape):
    """A page of the log, the newest entry first."""

    items: list[AuditEntry]
    next: str | None


@router.get("/audit", operation_id="listAuditEntries", response_model=AuditPage)
async def list_audit(
    here: Here,
    who: Text | None = None,
    what: Annotated[str | None, Query(max_length=200, description="What it begins with, such as `key.`.")] = None,
    on: Annotated[str | None, Query(max_length=200, description="Exactly, such as `execution:ID`.")] = None,
    outcome: Literal["done", "refused", "failed"] | None = None,
    since: Annotated[Instant | None, Query()] = None,
    until: Annotated[Instant | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The log, the newest entry first. It is of the whole server, so that it takes an admin of all namespaces."""
    query = AuditQuery(who=who, what=what, on=on, outcome=outcome, since=since, until=until, limit=limit, cursor=cursor)
    return answer(await here.service(Security).audit.list(query))
