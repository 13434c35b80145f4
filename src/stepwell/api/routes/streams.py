"""What happens, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Context, Here
from stepwell.api.event_stream import MEDIA_TYPE, EventStream, event_text, place_text
from stepwell.api.parameters import ExecutionId
from stepwell.api.problems import Problem
from stepwell.api.routing import problems, produces
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution, namespaces_of
from stepwell.app.feed import LOOK_EVERY, FeedPage, LifecycleFeed
from stepwell.app.serving import Parts

router = new_router("events")

_STREAM: Final[dict[str, Any]] = {
    "description": "Events, as long as the connection lasts. The data of each is a CloudEvent in JSON.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
}
_encode: Final = msgspec.json.Encoder().encode
_PLACE: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The `id` of the last event that was seen: go on behind it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        }
    ]
}


@router.get(
    "/executions/{execution_id}/events",
    operation_id="followExecution",
    response_class=EventStream,
    status_code=200,
    responses={
        200: _STREAM,
        204: {"description": "It has ended, and there is nothing behind `Last-Event-ID`."},
        **problems(404),
    },
    openapi_extra=_PLACE,
)
@produces(MEDIA_TYPE)
async def follow_execution(
    here: Here, caller: Calling, context: Context, request: Request, execution_id: ExecutionId
) -> Response:
    """What happened to an execution, and what happens, until it has ended. The `id` of an event is its number."""
    after = _last_event_id(request) or 0
    await check_execution(here, caller, execution_id)
    found = await here.reading.reported(execution_id)
    if found.seq <= after and found.report["completed_at"] is not None:
        return Response(status_code=204)
    return EventStream(_of_execution(here, execution_id, found.workflow, after), context.closing)


@router.get(
    "/events/stream",
    operation_id="followEvents",
    response_class=EventStream,
    status_code=200,
    responses={200: _STREAM, **problems()},
    openapi_extra=_PLACE,
)
@produces(MEDIA_TYPE)
async def follow_events(
    here: Here,
    caller: Calling,
    context: Context,
    request: Request,
    type_: Annotated[
        list[str],
        Query(alias="type", description="Only these, such as `stepwell.execution.failed.v1`; `*` at the end."),
    ] = [],  # noqa: B006 - never changed
    workflow: Annotated[str | None, Query(description="Only of this workflow.")] = None,
    after: Annotated[
        int | None, Query(ge=0, le=10**18, description="As `Last-Event-ID`; 0: from the beginning.")
    ] = None,
) -> Response:
    """What happens to all executions that the caller may see, from now on, or behind `Last-Event-ID`."""
    last, feed = _last_event_id(request), here.service(LifecycleFeed)
    place = last if last is not None else after
    if place is None:
        place = await feed.end()
    return EventStream(_of_all(feed, caller, place, _Wanted(tuple(type_), workflow)), context.closing)


class _Wanted(msgspec.Struct, frozen=True):
    """Which events a reader wants."""

    types: tuple[str, ...]
    workflow: str | None

    def has(self, type_: str, workflow: str) -> bool:
        if self.workflow is not None and workflow != self.workflow:
            return False
        return not self.types or any(
            type_.startswith(each[:-1]) if each.endswith("*") else type_ == each for each in self.types
        )


async def _of_execution(here: Parts, execution: str, workflow: str, after: int) -> AsyncGenerator[bytes]:
    yield place_text(after)
    async with aclosing(here.bell.events(execution, here.reading, after, LOOK_EVERY)) as events:
        async for event in events:
            yield event_text(event.seq, event.type, _encode(event.as_cloud_event(workflow)))


async def _of_all(feed: LifecycleFeed, caller: Caller, after: int, wanted: _Wanted) -> AsyncGenerator[bytes]:
    def part(page: FeedPage) -> bytes:
        texts = [
            event_text(event.place, event.type, event.cloud_event)
            for event in page.events
            if caller.sees(event.workflow) and wanted.has(event.type, event.workflow)
        ]
        return b"".join(texts) or place_text(page.end)

    yield place_text(after)
    async with aclosing(feed.pages(after)) as pages:
        async for page in pages:
            if page.end != after:
                yield feed.text(page, (namespaces_of(caller), wanted), part)
            after = page.end


def _last_event_id(request: Request) -> int | None:
    """The place behind which the reader wants to go on.

    Raises:
        Problem: 400, code `invalid-header`.
    """
    text = request.headers.get("last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        message = "expected the id of an event of this stream, a number"
        errors = [{"parameter": "Last-Event-ID", "message": message}]
        raise Problem(400, f"Last-Event-ID: {message}", code="invalid-header", errors=errors)
    return int(text)
