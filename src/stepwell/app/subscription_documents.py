"""Subscriptions to lifecycle events as they are kept: what is sent where, how far it is, and what is to be sent again.

Each subscription has a document of its own, one with its place in the feed, and one for every delivery that failed and
is tried again, or that waits behind such a one of the same execution. Those hold no event: that stands in the history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import Any, Final, Literal

import msgspec

from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.ports.ledger import Document, Write
from stepwell.store.process import Process

SUBSCRIPTION: Final = "subscription"
PLACE: Final = "subscription-place"
DELIVERY: Final = "delivery"
"""The kind of journal entries about deliveries; and, with the id of a subscription, of the documents of those that are
tried again."""

Format = Literal["cloudevents", "notification"]


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that messages are signed with.

    Attributes:
        sealed: encrypted.
        until: from then on it is not used any more; None for the one in force.
    """

    sealed: bytes
    until: int | None = None


class Disabled(msgspec.Struct, frozen=True, kw_only=True):
    """When a subscription was disabled because nothing could be delivered, and why."""

    at: int
    reason: str


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is told of lifecycle events.

    Attributes:
        types: names of types of events; `*` stands for any characters.
        workflows: names of workflows; `*` stands for any characters.
        namespaces: those of whoever made it: it is told of no others. None for all.
        active: whether it is told anything at the moment.
    """

    id: str
    url: str
    secrets: tuple[Secret, ...]
    types: tuple[str, ...] = ("*",)
    workflows: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] | None = None
    format: Format = "cloudevents"
    active: bool = True
    disabled: Disabled | None = None
    description: str = ""
    created_at: int = 0
    created_by: str = ""

    def wants(self, workflow: str, type_: str) -> bool:
        """Whether it is told of an event of this type, of an execution of this workflow."""
        return self.wants_workflow(workflow) and matches_any(self.types, type_)

    def wants_workflow(self, workflow: str) -> bool:
        """Whether it is told of any events of this workflow."""
        is_seen = self.namespaces is None or namespace_of(workflow) in self.namespaces
        return is_seen and matches_any(self.workflows, workflow)

    def is_seen_by(self, namespaces: Set[str] | None) -> bool:
        """Whether somebody who sees these namespaces, or all, may see it."""
        return namespaces is None or (self.namespaces is not None and namespaces >= set(self.namespaces))


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a subscription is.

    Attributes:
        after: the number of the last row of the feed that was dealt with.
        owner: the process that delivers it, until that instant.
        delivered_at: when something was delivered last.
    """

    after: int
    owner: Process | None = None
    node: str = ""
    until: int = 0
    delivered_at: int = 0


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that was not delivered yet.

    Attributes:
        seq: the number of the event in the history of the execution.
        tries: how often it was sent.
        first_at: when it was sent first.
    """

    execution: str
    workflow: str
    seq: int
    tries: int = 0
    first_at: int = 0

    @property
    def key(self) -> str:
        """The key of its document: those of one execution follow each other in order."""
        return f"{self.execution}/{self.seq:012}"

    @property
    def id(self) -> str:
        """The id of the message: the same however often it is sent."""
        return message_id(self.execution, self.seq)


def message_id(execution: str, seq: int) -> str:
    """The id of the message about an event."""
    return f"msg_{execution}_{seq}"


def event_of(id_: str) -> tuple[str, int] | None:
    """The execution and the number of the event that a message is about, by the id of the message."""
    found = _MESSAGE.fullmatch(id_)
    return (found[1], int(found[2])) if found is not None else None


_MESSAGE: Final = re.compile(r"msg_([0-9a-f-]{36})_([0-9]{1,15})", re.ASCII)
_encode = msgspec.json.Encoder().encode
_subscription = msgspec.json.Decoder(Subscription).decode
_place = msgspec.json.Decoder(Place).decode
_delivery = msgspec.json.Decoder(Delivery).decode


def read_subscription(document: Document) -> Subscription:
    """The subscription in a document."""
    return _subscription(document.body)


def read_place(document: Document) -> Place:
    """The place in a document."""
    return _place(document.body)


def read_delivery(document: Document) -> Delivery:
    """The delivery in a document."""
    return _delivery(document.body)


def deliveries_of(id_: str) -> str:
    """The kind of the documents of a subscription's deliveries."""
    return f"{DELIVERY}:{id_}"


def subscription_written(subscription: Subscription, expected: int) -> Write:
    """The write that keeps a subscription."""
    return Write(kind=SUBSCRIPTION, key=subscription.id, body=_encode(subscription), expected=expected)


def place_written(id_: str, place: Place, expected: int) -> Write:
    """The write that keeps the place of a subscription."""
    return Write(kind=PLACE, key=id_, body=_encode(place), expected=expected)


def delivery_written(id_: str, delivery: Delivery, due_at: int | None) -> Write:
    """The write that keeps a delivery of a subscription; `due_at` is None for one that waits behind another."""
    return Write(kind=deliveries_of(id_), key=delivery.key, body=_encode(delivery), due_at=due_at)


def delivery_deleted(id_: str, delivery: Delivery) -> Write:
    """The write that forgets a delivery."""
    return Write(kind=deliveries_of(id_), key=delivery.key, body=None)


def subscription_report(subscription: Subscription, place: Place | None, waiting: int) -> dict[str, Any]:
    """A subscription as users see it, without its secret.

    Args:
        waiting: how many deliveries are tried again, or wait behind such.
    """
    disabled = subscription.disabled
    delivered = place.delivered_at if place is not None else 0
    return {
        "id": subscription.id,
        "url": subscription.url,
        "types": list(subscription.types),
        "workflows": list(subscription.workflows),
        "format": subscription.format,
        "active": subscription.active,
        "description": subscription.description,
        "disabled": {"at": to_rfc3339(disabled.at), "reason": disabled.reason} if disabled is not None else None,
        "waiting": waiting,
        "delivered_at": to_rfc3339(delivered) if delivered else None,
        "created_at": to_rfc3339(subscription.created_at),
        "created_by": subscription.created_by,
    }


def matches_any(patterns: Sequence[str], text: str) -> bool:
    """Whether the text is one of these, in which `*` stands for any characters."""
    return any(
        pattern in ("*", text) or ("*" in pattern and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text))
        for pattern in patterns
    )
