"""Events from outside."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.accepting import check_content_type
from stepwell.api.answers import answer
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Here
from stepwell.api.json_text import read_json
from stepwell.api.problems import Problem
from stepwell.api.routing import creates, problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_event_type
from stepwell.api.shapes import EventAnswer, EventsAnswer
from stepwell.app.serving import Parts
from stepwell.app.triggering import PublishedEvent
from stepwell.execution.event import Event, check_size
from stepwell.triggers.cloud_events import (
    BATCH,
    JSON,
    STRUCTURED,
    BadEvents,
    Received,
    content_type,
    is_binary,
    received,
    received_binary,
)

router = new_router("events")

CLOUD_EVENT: Final[dict[str, Any]] = {
    "title": "CloudEvent",
    "description": "An event as CloudEvents 1.0 has it in JSON; what else it holds are extensions.",
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 1_024},
        "source": {"type": "string", "minLength": 1, "maxLength": 1_024},
        "type": {"type": "string", "minLength": 1, "maxLength": 1_024},
        "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": 1_024},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"]},
        "dataschema": {"type": ["string", "null"]},
        "data": {},
    },
    "examples": [
        {
            "specversion": "1.0",
            "id": "7f3c",
            "source": "shop",
            "type": "order.paid",
            "data": {"order": 7},
        }
    ],
}
_EVENT: Final = {"$ref": "#/components/schemas/CloudEvent"}
_REQUEST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One CloudEvent, or a batch. In binary mode its attributes are in `ce-` headers, "
        "and the body is its data.",
        "content": {
            STRUCTURED: {"schema": _EVENT},
            BATCH: {"schema": {"type": "array", "items": _EVENT, "maxItems": 1_000}},
            JSON: {"schema": _EVENT},
        },
    }
}


@router.post(
    "/events",
    operation_id="publishEvent",
    status_code=202,
    response_model=EventAnswer | EventsAnswer,
    responses=problems(413, 415, 422),
    openapi_extra=_REQUEST_BODY,
)
@creates
async def publish_event(here: Here, caller: Calling, request: Request) -> Response:
    """Take an event: it wakes what waits for it, now or later, and starts what has a trigger for it.

    It is stored, and so is what it started, when this is answered. One with the same `source` and `id` as an earlier
    one is a duplicate, and nothing is done. Who may not see all namespaces names the type after one of his own, such as
    `payments.order.paid`.
    """
    events = await _events_in(request, here)
    for each in events:
        check_event_type(caller, each.event.type)
        check_size(each.event.data)  # of all, before any is taken
    items = [_document(each.event, await here.publishing.publish(each.event), caller) for each in events]
    return answer({"items": items} if content_type(request.headers) == BATCH else items[0], 202)


async def _events_in(request: Request, here: Parts) -> list[Received]:
    """The events that a request holds.

    Raises:
        Problem: 400, 415, 422.
    """
    headers, now = request.headers, here.clock.now()
    try:
        if is_binary(headers):
            return [received_binary(headers, await request.body(), now)]
        check_content_type(request, JSON, STRUCTURED, BATCH)
        return received(headers, read_json(await request.body()), secrets.token_hex(16), now)
    except BadEvents as bad:
        errors = [_error(where, message) for where, message in bad.problems]
        raise Problem(422, bad.message, code=bad.code, errors=errors) from None


def _error(where: str, message: str) -> dict[str, str]:
    if where.startswith("header "):
        return {"parameter": where.removeprefix("header "), "message": message}
    return {"pointer": where, "message": message}


def _document(event: Event, published: PublishedEvent, caller: Caller) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "duplicate": published.duplicate,
        "waits": published.waits,
        "engine_present": published.engine_present,
        "firings": [msgspec.to_builtins(each) for each in published.firings if caller.sees(each.workflow)],
    }
