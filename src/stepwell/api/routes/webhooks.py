"""Incoming webhooks."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.context import Here
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, problems
from stepwell.api.shapes import Shape
from stepwell.app.webhooks import WebhookRequest
from stepwell.triggers.signatures import BadSignature

router = APIRouter(prefix=PREFIX, tags=["webhooks"], responses=problems())
"""Not strict about headers and queries: senders send what they like, and the signature says who they are."""

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "description": "What the sender sends: any JSON value; a form or text is taken as well.",
        # Only one type is described: clients that programs make cannot tell any value from a form.
        "content": {"application/json": {"schema": {}}},
    }
}


class WebhookAccepted(Shape):
    """A webhook was kept as an event with this `id`, and these executions were started by it, now or before."""

    id: str
    executions: list[str]


@router.post(
    "/webhooks/{path:path}",
    operation_id="receiveWebhook",
    status_code=202,
    response_model=WebhookAccepted,
    responses={200: {"description": "The sender only asked whether somebody is there."}, **problems(404, 413, 415)},
    openapi_extra=_BODY,
)
async def receive_webhook(
    here: Here, request: Request, path: Annotated[str, Path(description="The path of a trigger.", max_length=200)]
) -> Response:
    """Take a webhook, if its signature is what the trigger asks for. It is stored when this is answered."""
    body = await request.body()
    query = dict(request.query_params)
    try:
        taken = await here.webhooks.receive(
            WebhookRequest(path=path, headers=_headers(request), query=query, body=body)
        )
    except BadSignature as error:
        headers = {"WWW-Authenticate": "Signature"}
        raise Problem(401, error.message, code=error.code, hint=error.hint, headers=headers) from None
    return answer(taken.body, taken.status)


def _headers(request: Request) -> dict[str, str]:
    """The headers, with names in lower case; of one that comes twice both values."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
