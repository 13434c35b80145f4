"""Brokers: what is read from them, what they are told, and what they never take."""

from __future__ import annotations

from typing import Literal

from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Limit
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.brokers import Brokers
from stepwell.app.cursors import cursor_of, place_in

router = new_router("brokers")


class SourceShape(Shape):
    """A topic that is read. `lag` messages wait, about; counts are of this node, since it was started."""

    topic: str
    reading: bool
    problem: str | None
    since: str | None
    lag: int | None
    taken: int
    duplicate: int
    refused: int


class SinkShape(Shape):
    """A sink that is told of events. `behind_ms`: since the oldest event happened that is not told yet, known to the
    node that carries it."""

    name: str
    topic: str
    send: list[Literal["lifecycle", "emitted"]]
    format: Literal["structured", "binary", "notification"]
    carried_by: str | None
    problem: str | None
    since: str | None
    sent: int
    refused: int
    behind_ms: int | None
    sent_at: str | None


class BrokerShape(Shape):
    """A broker of the configuration. `problems`: triggers whose topics are not read."""

    name: Literal["kafka", "nats", "rabbitmq"]
    group: str
    dead_letter: str | None
    problems: list[str]
    sources: list[SourceShape]
    sinks: list[SinkShape]


class BrokerList(Shape):
    """The brokers of the configuration."""

    items: list[BrokerShape]
    next: str | None


class UndeliveredShape(Shape):
    """A message that a broker refuses for ever. What it tells of is in the history all the same."""

    number: int
    at: str
    sink: str
    topic: str
    id: str
    type: str
    workflow: str
    bytes: int
    happened_at: str
    reason: str


class UndeliveredList(Shape):
    """A part of what brokers never take, newest first."""

    items: list[UndeliveredShape]
    next: str | None


@router.get("/brokers", operation_id="listBrokers", response_model=BrokerList)
async def list_brokers(here: Here, caller: Calling) -> Response:
    """What is read from brokers, what they are told, how it goes, and what is wrong."""
    return answer({"items": await here.service(Brokers).report(caller.sees), "next": None})


@router.get(
    "/brokers/undelivered", operation_id="listUndelivered", response_model=UndeliveredList, responses=problems()
)
async def list_undelivered(here: Here, caller: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The messages that brokers refuse for ever."""
    before = place_in(cursor, int)[0] if cursor is not None else None
    page = await here.service(Brokers).undelivered(caller.sees, limit, before)
    return answer({**page, "next": cursor_of(page["next"]) if page["next"] is not None else None})
