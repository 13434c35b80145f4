"""RabbitMQ, over aio-pika.

A *topic* is a queue that messages are taken from, and a routing key that they are published with: to the default
exchange, where it is the name of a queue, or to another one. A queue has one group: all that take from it. Attributes
of CloudEvents are in `cloudEvents_` headers, as the binding for AMQP has it.

RabbitMQ gives a message no name of its own, so a message without a `message_id` cannot be known when it comes again.
Streams are not read: they leave it to the reader to know how far he has come, and take nothing back.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed
from yarl import URL

from stepwell.ports.brokers import CE, CONTENT_TYPE, Broker, BrokerError, Message, Outgoing, Subscription

TIMEOUT: Final = 10.0
"""Seconds in which the server has to answer."""
PREFETCH: Final = 500
"""So many messages may be on their way or being worked on, of one subscription."""

_KEY: Final = "stepwell-key"
_PREFIXES: Final = ("cloudevents:", "cloudevents_", "ce-", "ce_")
_OFFSET: Final = "x-stream-offset"
_AT_ONCE: Final = 200
_FAILURES: Final = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, RuntimeError)

for _name in ("aiormq", "aio_pika"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # what is wrong is told once, by those who see it


class RabbitBroker(Broker):
    """A RabbitMQ server.

    Args:
        url: `amqp://name:password@host:port/vhost`, or `amqps:`.
        exchange: what messages are published to; empty text for the default one.
        tls: for `amqps:`, whom to trust and what to show; None for what the machine trusts.
    """

    def __init__(self, url: str, exchange: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._url = url
        self._exchange = exchange
        self._tls = tls
        self._connection: AbstractConnection | None = None
        self._publishing: tuple[AbstractChannel, AbstractExchange] | None = None
        self._is_lost = False
        self._connecting = asyncio.Lock()

    @property
    def where(self) -> str:
        """Where it is, without a name and a password."""
        url = URL(self._url)
        return f"{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}{url.path}"

    async def reach(self) -> None:
        await self._connected()

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        answers: list[str | None] = []
        for start in range(0, len(messages), _AT_ONCE):
            part = messages[start : start + _AT_ONCE]
            try:
                await self._publish(topic, part)
            except ChannelPreconditionFailed:
                answers += [await self._refusal(topic, each) for each in part]
            except _FAILURES as error:
                raise self._problem(error, topic) from None
            else:
                answers += [None] * len(part)
        return answers

    async def subscribe(
        self, topic: str, group: str, *, from_start: bool = True, ordered: bool = False
    ) -> Subscription:
        connection = await self._connected()
        try:
            channel = connection.channel()
            await channel.initialize(timeout=TIMEOUT)
            await channel.set_qos(prefetch_count=PREFETCH, timeout=TIMEOUT)
            subscription = _RabbitSubscription(self, connection, channel, topic)
            await subscription.open(exclusive=ordered)
        except _FAILURES as error:
            raise self._problem(error, topic) from None
        return subscription

    async def close(self) -> None:
        connection, self._connection, self._publishing = self._connection, None, None
        if connection is not None:
            with suppress(*_FAILURES):
                async with asyncio.timeout(TIMEOUT):
                    await connection.close()

    def problem(self, error: BaseException, topic: str) -> BrokerError:
        """What is wrong, for people."""
        return self._problem(error, topic)

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            if self._connection is None or self._is_lost:
                await self.close()
                try:
                    made = await aio_pika.connect(self._url, timeout=TIMEOUT, ssl_context=self._tls)
                except (*_FAILURES, ValueError) as error:
                    raise self._problem(error, "") from None
                made.close_callbacks.add(self._ended)
                self._connection, self._is_lost = made, False
            return self._connection

    def _ended(self, connection: Any, _: BaseException | None) -> None:
        """The connection is lost; the next use makes another one."""
        if connection is self._connection:
            self._is_lost = True

    async def _publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        _, exchange = await self._opened()
        found = await asyncio.gather(
            *(
                exchange.publish(_message_out(each), routing_key=topic, mandatory=True, timeout=TIMEOUT)
                for each in messages
            ),
            return_exceptions=True,
        )
        wrong = [each for each in found if isinstance(each, BaseException)]
        if wrong:
            raise next((each for each in wrong if isinstance(each, ChannelPreconditionFailed)), wrong[0])

    async def _refusal(self, topic: str, message: Outgoing) -> str | None:
        """Publish one alone, for one of many was refused and the channel closed: why it is refused, if it is it."""
        try:
            await self._publish(topic, [message])
        except ChannelPreconditionFailed as error:
            return f"its {len(message.body):,} bytes: {_said(error)}"
        except _FAILURES as error:
            raise self._problem(error, topic) from None
        return None

    async def _opened(self) -> tuple[AbstractChannel, AbstractExchange]:
        connection = await self._connected()
        async with self._connecting:
            if self._publishing is None or self._publishing[0].is_closed:
                channel = connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.initialize(timeout=TIMEOUT)
                named = await channel.get_exchange(self._exchange, ensure=True) if self._exchange else None
                self._publishing = channel, named or channel.default_exchange
            return self._publishing

    def _problem(self, error: BaseException, topic: str) -> BrokerError:
        said = _said(error)
        match error:
            case BrokerError():
                return error
            case AuthenticationError() | ProbableAuthenticationError() | ConnectionNotAllowed():
                return BrokerError(
                    f"RabbitMQ at {self.where} does not let us in",
                    code="broker-access",
                    hint="check the name, the password and the virtual host in the configuration",
                )
            case InvalidFrameError() if "Connection.Close" in said:  # so it says that there is no such virtual host
                return self._problem(AuthenticationError(), topic)
            case ChannelAccessRefused():
                return BrokerError(f"RabbitMQ at {self.where} does not allow it: {said}", code="broker-access")
            case ChannelNotFoundEntity():
                return BrokerError(
                    f"RabbitMQ at {self.where} has no queue or exchange for {topic!r}",
                    code="unknown-topic",
                    hint="declare it",
                )
            case PublishError():
                return BrokerError(
                    f"RabbitMQ at {self.where} has no queue that messages for {topic!r} go to",
                    code="unknown-topic",
                    hint="declare the queue, or bind one to the exchange",
                )
            case DeliveryError():
                return BrokerError(f"RabbitMQ at {self.where} did not take a message: the queue {topic!r} may be full")
            case TimeoutError():
                return BrokerError(f"RabbitMQ at {self.where} did not answer within {TIMEOUT:g} seconds")
            case _:
                message = f"RabbitMQ at {self.where} cannot be reached: {said}"
                return BrokerError(message, hint="check the address, and that it runs")


class _RabbitSubscription(Subscription):
    def __init__(
        self, broker: RabbitBroker, connection: AbstractConnection, channel: AbstractChannel, topic: str
    ) -> None:
        self._broker = broker
        self._connection = connection
        self._channel = channel
        self._topic = topic
        self._came: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._out: dict[int, AbstractIncomingMessage] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._lost: str | None = None
        self._is_closed = False

    async def open(self, *, exclusive: bool) -> None:
        """Begin to take messages.

        Raises:
            AMQPError: there is no such queue, or somebody else takes its messages and only one may.
        """
        queue = await self._channel.declare_queue(self._topic, passive=True, timeout=TIMEOUT)
        self._channel.close_callbacks.add(self._ended)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._cancelled)
        await queue.consume(self._take, exclusive=exclusive, timeout=TIMEOUT)

    async def pull(self, most: int, patience: float) -> Sequence[Message]:
        self._check()
        found: list[AbstractIncomingMessage] = []
        try:
            async with asyncio.timeout(patience):
                first = await self._came.get()
        except TimeoutError:
            return []
        while first is not None:
            found.append(first)
            if len(found) == most or self._came.empty():
                break
            first = self._came.get_nowait()
        if not found:
            self._check()
        if any(_OFFSET in message.headers for message in found):  # nothing tells that before
            raise BrokerError(
                f"{self._topic!r} of RabbitMQ at {self._broker.where} is a stream, which does not note how far a group "
                "has read it",
                code="unknown-topic",
                hint="bind a quorum queue to the exchange that feeds it, and name that",
            )
        return [self._taken(message) for message in found]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        try:
            for known in self._known(messages):
                await known.ack()
        except _FAILURES as error:
            raise self._broker.problem(error, self._topic) from None

    async def give_back(self, messages: Sequence[Message], delay: int = 0) -> None:
        known = self._known(messages)
        if not delay:
            await self._nack(known)
            return
        # RabbitMQ knows no delay: until then it takes them as being worked on, and gives them to others if we die.
        task = asyncio.create_task(self._nack_late(known, delay / 1_000_000))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def keep(self, messages: Sequence[Message]) -> None:
        """Nothing is to be said: the server waits for as long as its `consumer_timeout`, half an hour unless set."""

    async def lag(self) -> int | None:
        self._check()
        try:
            async with self._connection.channel() as channel:
                queue = await channel.declare_queue(self._topic, passive=True, timeout=TIMEOUT)
        except _FAILURES as error:
            raise self._broker.problem(error, self._topic) from None
        return (queue.declaration_result.message_count or 0) + len(self._out) + self._came.qsize()

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._late:
            task.cancel()
        with suppress(*_FAILURES):
            async with asyncio.timeout(TIMEOUT):
                await self._channel.close()  # what was not acknowledged goes back into the queue

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self._came.put_nowait(message)

    def _ended(self, _: Any, error: BaseException | None) -> None:
        self._lost = f"the connection to RabbitMQ at {self._broker.where} was lost"
        self._came.put_nowait(None)

    def _cancelled(self, _: Any) -> None:
        self._lost = f"RabbitMQ at {self._broker.where} has the queue {self._topic!r} no more"
        self._came.put_nowait(None)

    def _check(self) -> None:
        if self._lost is not None:
            raise BrokerError(self._lost)
        if self._is_closed:
            raise BrokerError("this subscription was closed")

    def _known(self, messages: Sequence[Message]) -> list[AbstractIncomingMessage]:
        return [self._out.pop(message.token) for message in messages if message.token in self._out]

    async def _nack(self, messages: Sequence[AbstractIncomingMessage]) -> None:
        try:
            for known in messages:
                await known.nack(requeue=True)
        except _FAILURES as error:
            raise self._broker.problem(error, self._topic) from None

    async def _nack_late(self, messages: Sequence[AbstractIncomingMessage], delay: float) -> None:
        await asyncio.sleep(delay)
        with suppress(BrokerError):
            await self._nack(messages)

    def _taken(self, message: AbstractIncomingMessage) -> Message:
        token = message.delivery_tag or 0
        self._out[token] = message
        headers = _headers_in(message)
        key = headers.pop(_KEY, None) or headers.get(f"{CE}partitionkey")
        count = message.headers.get("x-delivery-count")
        return Message(
            topic=self._topic,
            body=message.body,
            headers=headers,
            key=key,
            line=f"key {key}" if key is not None else "",
            own_id=message.message_id,
            at=round(message.timestamp.timestamp() * 1_000_000) if message.timestamp is not None else None,
            tries=int(str(count)) + 1 if count is not None else 1 + int(bool(message.redelivered)),
            token=token,
        )


def _said(error: BaseException) -> str:
    """What an error of the client says; its text would be a template."""
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no encrypted connection comes about: {cause.reason}"
    said = getattr(error, "strerror", None) or (error.args[0] if error.args else None)
    return str(said) if said else type(error).__name__


def _message_out(message: Outgoing) -> aio_pika.Message:
    headers: dict[str, Any] = {
        f"cloudEvents_{name.removeprefix(CE)}" if name.startswith(CE) else name: value
        for name, value in message.headers.items()
        if name != CONTENT_TYPE
    }
    if message.key is not None:
        headers[_KEY] = message.key
    return aio_pika.Message(
        message.body,
        headers=headers,
        content_type=message.headers.get(CONTENT_TYPE),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.id,
    )


def _headers_in(message: AbstractIncomingMessage) -> dict[str, str]:
    given: Mapping[str, Any] = message.headers
    found: dict[str, str] = {}
    for name, value in given.items():
        lower = name.lower()
        prefix = next((each for each in _PREFIXES if lower.startswith(each)), "")
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        found[f"{CE}{lower.removeprefix(prefix)}" if prefix else lower] = text
    if message.content_type:
        found[CONTENT_TYPE] = message.content_type
    return found
