"""Subscriptions: who is told of lifecycle events by webhooks, and what was delivered."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Body, Path
from pydantic import Field
from starlette.responses import Response

from stepwell.api.answers import answer, created
from stepwell.api.bodies import Body as BodyModel
from stepwell.api.bodies import Text
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Limit
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, creates_secretly, problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.subscriptions import Subscriptions
from stepwell.base.errors import UsageError

router = new_router("subscriptions")

SubscriptionId = Annotated[str, Path(description="The id of a subscription.", max_length=200)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=100)]
Secret = Annotated[str, Field(min_length=1, max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2_000)]
Format = Literal["cloudevents", "notification"]


class NewSubscriptionBody(BodyModel):
    """Who is to be told of what happens from now on."""

    id: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Made, unless given."
    )
    url: Url = Field(examples=["https://example.com/hooks/stepwell"])
    secret: Secret | None = Field(
        default=None, description="`whsec_` and base64 of 24 to 64 bytes; made, unless given."
    )
    types: Patterns | None = Field(default=None, examples=[["stepwell.execution.*"]])
    workflows: Patterns | None = Field(default=None, examples=[["payments.*"]])
    format: Format = "cloudevents"
    active: bool = True
    description: Text = ""


class ChangedSubscriptionBody(BodyModel):
    """What is to be changed of a subscription; what is left out stays."""

    url: Url | None = None
    secret: Secret | None = Field(default=None, description="The old one signs beside it for a day.")
    types: Patterns | None = None
    workflows: Patterns | None = None
    format: Format | None = None
    active: bool | None = None
    description: Text | None = None


class DisabledShape(Shape):
    """When a subscription was disabled, and why."""

    at: str
    reason: str


class SubscriptionShape(Shape):
    """A subscription. `waiting` messages were not accepted yet, or wait behind such."""

    id: str
    url: str
    types: list[str]
    workflows: list[str]
    format: Format
    active: bool
    description: str
    disabled: DisabledShape | None
    waiting: int
    delivered_at: str | None
    created_at: str
    created_by: str


class NewSubscription(SubscriptionShape):
    """A subscription that was just made, with the secret that signs its messages. It is not shown again."""

    secret: str


class SubscriptionList(Shape):
    """A part of the subscriptions, by id."""

    items: list[SubscriptionShape]
    next: str | None


class DeliveryShape(Shape):
    """A message that was sent, and what came of it."""

    number: int
    at: str
    id: str
    type: str
    execution_id: str
    workflow: str
    seq: int
    attempt: int
    outcome: Literal["delivered", "failed", "given_up"]
    status: int | None
    problem: str | None
    duration_ms: int
    next_at: str | None


class DeliveryList(Shape):
    """A part of the log of deliveries, newest first."""

    items: list[DeliveryShape]
    next: str | None


class RedeliveryShape(Shape):
    """A message that is sent again."""

    id: str
    execution_id: str
    seq: int


@router.get("/subscriptions", operation_id="listSubscriptions", response_model=SubscriptionList)
async def list_subscriptions(here: Here, caller: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Who is told of lifecycle events."""
    after = place_in(cursor, str)[0] if cursor is not None else ""
    page = await here.service(Subscriptions).list(namespaces=caller.namespaces, limit=limit, after=after)
    return answer({**page, "next": cursor_of(page["next"]) if page["next"] is not None else None})


@router.post(
    "/subscriptions",
    operation_id="createSubscription",
    status_code=201,
    response_model=NewSubscription,
    responses=problems(409, 413, 415, 422),
)
@creates_secretly
async def create_subscription(here: Here, caller: Calling, body: Annotated[NewSubscriptionBody, Body()]) -> Response:
    """Have somebody told of what happens from now on. The answer, and no later one, holds the secret."""
    try:
        made = await here.service(Subscriptions).create(
            body.model_dump(), by=caller.name, now=here.clock.now(), namespaces=caller.namespaces
        )
    except UsageError as error:
        raise _invalid(error) from None
    return created(made, f"{PREFIX}/subscriptions/{made['id']}")


@router.get(
    "/subscriptions/{id}", operation_id="getSubscription", response_model=SubscriptionShape, responses=problems(404)
)
async def get_subscription(here: Here, caller: Calling, id: SubscriptionId) -> Response:  # noqa: A002 - the path's word
    """A subscription."""
    return answer(await here.service(Subscriptions).show(id, caller.namespaces))


@router.patch(
    "/subscriptions/{id}",
    operation_id="changeSubscription",
    response_model=SubscriptionShape,
    responses=problems(404, 409, 413, 415, 422),
)
async def change_subscription(
    here: Here,
    caller: Calling,
    id: SubscriptionId,  # noqa: A002
    body: Annotated[ChangedSubscriptionBody, Body()],
) -> Response:
    """Change a subscription. One that is made active again goes on where it stopped."""
    try:
        changed = await here.service(Subscriptions).change(
            id, body.model_dump(), now=here.clock.now(), namespaces=caller.namespaces
        )
    except UsageError as error:
        raise _invalid(error) from None
    return answer(changed)


@router.delete("/subscriptions/{id}", operation_id="deleteSubscription", status_code=204, responses=problems(404))
async def delete_subscription(here: Here, caller: Calling, id: SubscriptionId) -> Response:  # noqa: A002
    """Delete a subscription; its log stays."""
    await here.service(Subscriptions).delete(id, now=here.clock.now(), namespaces=caller.namespaces)
    return Response(status_code=204)


@router.get(
    "/subscriptions/{id}/deliveries",
    operation_id="listDeliveries",
    response_model=DeliveryList,
    responses=problems(404),
)
async def list_deliveries(
    here: Here,
    caller: Calling,
    id: SubscriptionId,  # noqa: A002
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What was sent, and what came of it, newest first."""
    before = place_in(cursor, int)[0] if cursor is not None else None
    page = await here.service(Subscriptions).deliveries(id, namespaces=caller.namespaces, limit=limit, before=before)
    return answer({**page, "next": cursor_of(page["next"]) if page["next"] is not None else None})


@router.post(
    "/subscriptions/{id}/deliveries/{message}/redeliver",
    operation_id="redeliver",
    status_code=202,
    response_model=RedeliveryShape,
    responses=problems(404),
)
async def redeliver(
    here: Here,
    caller: Calling,
    id: SubscriptionId,  # noqa: A002
    message: Annotated[str, Path(description="The id of a message.", max_length=200)],
) -> Response:
    """Send a message again, with the same id."""
    subscriptions = here.service(Subscriptions)
    made = await subscriptions.redeliver(id, message, now=here.clock.now(), namespaces=caller.namespaces)
    return answer(made, 202)


def _invalid(error: UsageError) -> Problem:
    field, _, message = error.message.partition(": ")
    errors = [{"pointer": f"/{field}", "message": message}]
    return Problem(422, error.message, code=error.code, hint=error.hint, errors=errors)
