"""The contract of a message broker: Kafka, NATS JetStream, RabbitMQ, or one in memory.

What carries messages is called a *topic* here: a topic of Kafka, a subject of a JetStream stream, a queue of RabbitMQ.
Nobody here makes topics: they belong to whoever operates the broker.

Everything is at least once. Who takes messages in knows a repeated one by its `own_id` or its `place`; who reads what
is published, by its id. Durations are microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from stepwell.base.errors import StepwellError

CE: Final = "ce-"
"""What the names of headers begin with that are attributes of a CloudEvent, whatever the broker's binding has."""
CONTENT_TYPE: Final = "content-type"


class BrokerError(StepwellError):
    """The broker cannot be used at the moment: it is not there (`broker-unavailable`), lets nobody in with these
    credentials or not do this (`broker-access`), or has no such topic (`unknown-topic`). It may be tried again."""

    code = "broker-unavailable"
    exit_status = 4


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message that came.

    Attributes:
        topic: where it was published, which may be less general than what was subscribed to.
        headers: with names in lower case; those of `CE` and `CONTENT_TYPE` are called so for every broker.
        key: what it was published under; None for nothing.
        line: messages of the same line come in the order in which they were published.
        own_id: the id that its sender gave it; None where there is none.
        place: where it is kept: the same each time it is delivered, another for every other message ever published to
            a topic of that name; None where the broker does not tell.
        at: the instant at which it was published, the same each time it is delivered; None where nobody says.
        tries: how often it was delivered, as far as the broker counts.
        token: the broker's own.
    """

    topic: str
    body: bytes
    headers: Mapping[str, str] = {}
    key: str | None = None
    line: str = ""
    own_id: str | None = None
    place: str | None = None
    at: int | None = None
    tries: int = 1
    token: Any = None


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be published.

    Attributes:
        id: the same whenever this message is published: a broker that knows repeated messages drops them by it.
        key: those with the same key are delivered in their order, where the broker keeps one.
        headers: as those of `Message`.
    """

    id: str
    body: bytes
    headers: Mapping[str, str] = {}
    key: str | None = None


class Subscription(Protocol):
    """Takes messages of one topic, together with whoever else subscribes to it in the same group."""

    async def pull(self, most: int, patience: float) -> Sequence[Message]:
        """The next messages, in order; empty when none came within `patience` seconds.

        Raises:
            BrokerError: nothing can be pulled. Close this one, and subscribe again.
        """
        ...

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are done with, and are not delivered again. Of what was given back, or has been given to others
        meanwhile, nothing happens.

        Raises:
            BrokerError: some of them may be delivered again.
        """
        ...

    async def give_back(self, messages: Sequence[Message], delay: int = 0) -> None:
        """Have them delivered again, here or elsewhere, not before `delay`; messages of the same line that were pulled
        after them may be delivered again too.

        Raises:
            BrokerError: they are delivered again when the broker finds out that nobody works on them.
        """
        ...

    async def keep(self, messages: Sequence[Message]) -> None:
        """They are still being worked on. To be said every `KEEP_EVERY`; raises nothing."""
        ...

    async def lag(self) -> int | None:
        """How many messages are there that were not acknowledged, about; None when that is not known.

        Raises:
            BrokerError: the broker cannot be asked.
        """
        ...

    async def close(self) -> None:
        """Pull no more; what was not acknowledged is delivered again. Raises nothing; may be called twice."""
        ...


KEEP_EVERY: Final = 5.0
"""Seconds."""


class Broker(Protocol):
    """A broker. It connects when it is first used, and again after the connection was lost."""

    async def reach(self) -> None:
        """Do nothing but find out whether it can be used.

        Raises:
            BrokerError: it cannot.
        """
        ...

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        """Publish them in this order, and have the broker confirm that it keeps them.

        Returns:
            For each None, or why the broker will never take it.

        Raises:
            BrokerError: not all were confirmed; those that were are not known, so publish all of them again.
        """
        ...

    async def subscribe(
        self, topic: str, group: str, *, from_start: bool = True, ordered: bool = False
    ) -> Subscription:
        """Take messages of a topic.

        Args:
            group: those that subscribe in the same group get each message once between them. Where the broker keeps
                messages for a topic only once (RabbitMQ), there is one group.
            from_start: a group that was never here before begins with the oldest message, else with what comes from now
                on.
            ordered: nobody else subscribes in this group at the same time, as far as that can be known; so a message
                is not delivered before those ahead of it are done with, even when one who had them died or hangs.

        Raises:
            BrokerError: it is not possible.
        """
        ...

    async def close(self) -> None:
        """Disconnect. Raises nothing; may be called twice."""
        ...
