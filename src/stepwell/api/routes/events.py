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
from stepwell.execution.event import Event, EventTooLarge, check_size
from stepwell.triggers.cloud_events import (
    BATCH,
    JSON,
    MOST,
    STRUCTURED,
    BadEvents,
    Received,
    content_type,
    is_binary,
    received,
    received_batch,
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
_ONE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One CloudEvent. In binary mode its attributes are in `ce-` headers, and the body is its data.",
        "content": {STRUCTURED: {"schema": _EVENT}, JSON: {"schema": _EVENT}},
    }
}
_SEVERAL: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": f"CloudEvents; `{BATCH}` is taken as well.",
        # One of the two types is described: clients that programs make cannot tell two bodies that are lists apart.
        "content": {JSON: {"schema": {"type": "array", "items": _EVENT, "maxItems": MOST}}},
    }
}


@router.post(
    "/events",
    operation_id="publishEvent",
    status_code=202,
    response_model=EventAnswer,
    responses=problems(413, 415, 422),
    openapi_extra=_ONE,
)
@creates
async def publish_event(here: Here, caller: Calling, request: Request) -> Response:
    """Take an event: it wakes what waits for it, now or later, and starts what has a trigger for it.

    It is stored, and so is what it started, when this is answered. One with the same `source` and `id` as an earlier
    one is a duplicate, and nothing is done. Who may not see all namespaces names the type after one of his own, such as
    `payments.order.paid`.

    For senders of CloudEvents, which know one address, a batch of them is taken here too when its content type is
    `application/cloudevents-batch+json`; all else about it is as of `/events/batch`.
    """
    if content_type(request.headers) == BATCH:
        return await publish_events(here, caller, request)
    event = (await _event_in(request, here)).event
    check_event_type(caller, event.type)
    return answer(await _published(event, here, caller), 202)


@router.post(
    "/events/batch",
    operation_id="publishEvents",
    status_code=202,
    response_model=EventsAnswer,
    responses=problems(413, 415, 422),
    openapi_extra=_SEVERAL,
)
@creates
async def publish_events(here: Here, caller: Calling, request: Request) -> Response:
    """Take several events, in their order, each as `/events` takes one.

    When one of them is wrong, everything that is wrong is named, and none is taken. Then each is stored on its own:
    after a break send all of them again, and those that are there do nothing twice.
    """
    events = [each.event for each in await _events_in(request, here)]
    for place, event in enumerate(events):
        check_event_type(caller, event.type)
        _check_size(event, place)
    return answer({"items": [await _published(event, here, caller) for event in events]}, 202)


async def _event_in(request: Request, here: Parts) -> Received:
    """The event that a request holds.

    Raises:
        Problem: 400, 415, 422.
    """
    headers, now, hint = request.headers, here.clock.now(), None
    try:
        if is_binary(headers):
            return received_binary(headers, await request.body(), now)
        check_content_type(request, JSON, STRUCTURED, BATCH)
        body = read_json(await request.body())
        hint = "several events go to /api/v1/events/batch" if isinstance(body, list) else None
        return received(body, secrets.token_hex(16), now)
    except BadEvents as bad:
        raise _refusal(bad, hint) from None


async def _events_in(request: Request, here: Parts) -> list[Received]:
    """The events that a request holds.

    Raises:
        Problem: 400, 415, 422.
    """
    check_content_type(request, JSON, BATCH)
    body = read_json(await request.body())
    try:
        return received_batch(body, secrets.token_hex(16), here.clock.now())
    except BadEvents as bad:
        raise _refusal(bad, "one event goes to /api/v1/events" if isinstance(body, dict) else None) from None


def _check_size(event: Event, place: int) -> None:
    """Refuse one of a batch whose data is too large.

    Raises:
        Problem: 413, which names it.
    """
    try:
        check_size(event.data)
    except EventTooLarge as error:
        errors = [{"pointer": f"/{place}/data", "message": error.message}]
        raise Problem(413, error.message, code=error.code, hint=error.hint, errors=errors) from None


async def _published(event: Event, here: Parts, caller: Caller) -> dict[str, Any]:
    """Take it; what became of it."""
    return _document(event, await here.publishing.publish(event), caller)


def _refusal(bad: BadEvents, hint: str | None) -> Problem:
    errors = [_error(where, message) for where, message in bad.problems]
    return Problem(422, bad.message, code=bad.code, hint=hint, errors=errors)


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
