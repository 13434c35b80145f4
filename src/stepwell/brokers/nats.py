"""NATS: messages of JetStream streams, over nats-py.

A *topic* is a subject that a stream keeps. A group is a durable consumer of that stream, of the subject. Attributes of
CloudEvents are in `ce-` headers, percent-encoded, as the binding for NATS has it; the id of a message is its
`Nats-Msg-Id`, by which the stream drops repeated ones for a while.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, unquote

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from stepwell.base.derive import digest
from stepwell.ports.brokers import CE, KEEP_EVERY, Broker, BrokerError, Message, Outgoing, Subscription

TIMEOUT: Final = 5.0
"""Seconds in which the server has to answer."""
CLOSE_TIMEOUT: Final = 1.0
"""Seconds that hanging up may take."""
ACK_WAIT: Final = 4 * KEEP_EVERY
"""Seconds after which a message that nobody says anything about is delivered to somebody else."""

MOST_OUT: Final = 1_000
"""So many messages of a group may be worked on at a time."""

_KEY: Final = "stepwell-key"
_ID: Final = "Nats-Msg-Id"
_AT_ONCE: Final = 256
_DRAIN: Final = 0.02
_TOO_LARGE: Final = 10054
"""JetStream's number for a message that is larger than its stream takes."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_LOST: Final = "the connection to NATS was lost"
_UNQUOTED: Final = "!#$&'()*+,/:;<=>?@[\\]^_`{|}~-."


class NatsBroker(Broker):
    """A NATS server, or a cluster of them.

    Args:
        servers: their URLs.
        options: further ones of `nats.connect`: `user`, `password`, `token`, `user_credentials`, `tls`. With that, or a
            URL that begins with `tls:`, nothing is said to a server that does not encrypt.
    """

    def __init__(self, servers: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        self._servers = list(servers)
        self._options = dict(options or {})
        self._is_encrypted = "tls" in self._options or any(server.startswith("tls:") for server in servers)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def reach(self) -> None:
        client = await self._connected()
        try:
            await client.jetstream(timeout=TIMEOUT).account_info()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _problem(error, "") from None

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        client = await self._connected()
        stream = client.jetstream(timeout=TIMEOUT)
        answers: list[str | None] = []
        for start in range(0, len(messages), _AT_ONCE):
            part = messages[start : start + _AT_ONCE]
            found = await asyncio.gather(*(self._publish(stream, topic, each) for each in part), return_exceptions=True)
            for answer in found:
                if isinstance(answer, BaseException):
                    raise answer
                answers.append(answer)
        return answers

    async def subscribe(
        self, topic: str, group: str, *, from_start: bool = True, ordered: bool = False
    ) -> Subscription:
        client = await self._connected()
        stream = client.jetstream(timeout=TIMEOUT)
        name, at_once = consumer_name(group, topic), 1 if ordered else MOST_OUT
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=-1,
            max_ack_pending=at_once,
            deliver_policy=DeliverPolicy.ALL if from_start else DeliverPolicy.NEW,
        )
        try:
            kept_in = await stream.find_stream_name_by_subject(topic)
            pulling = await stream.pull_subscribe(topic, name, kept_in, config)
            known = (await stream.consumer_info(kept_in, name, timeout=TIMEOUT)).config
            if known.max_ack_pending != at_once:  # it was made when something else was configured
                known.max_ack_pending = at_once
                await stream.add_consumer(kept_in, known)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _problem(error, topic) from None
        return _NatsSubscription(client, stream, pulling, kept_in, name, at_once)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self.close()
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Client:
        problems: list[Exception] = []

        async def note(problem: Exception) -> None:
            problems.append(problem)

        client = Client()
        if self._is_encrypted:
            _insist_on_encryption(client)
        try:
            async with asyncio.timeout(2 * TIMEOUT):
                await client.connect(
                    self._servers,
                    error_cb=note,
                    name="stepwell",
                    connect_timeout=int(TIMEOUT),
                    allow_reconnect=False,  # it connects again when it is used again, which is not at once
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    **self._options,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await _close(client)
            raise self._not_connected([*problems, error]) from None
        return client

    def _not_connected(self, errors: Sequence[Exception]) -> BrokerError:
        where = ", ".join(_without_password(server) for server in self._servers)
        refused = [each for each in errors if "uthorization" in f"{type(each).__name__} {each}"]
        told = (refused or errors)[0]
        said = _said(told)
        if refused:
            return BrokerError(
                f"NATS at {where} does not let us in: {said}",
                code="broker-access",
                hint="check the name, the password or the token in the configuration",
            )
        return BrokerError(f"NATS at {where} cannot be reached: {said}", hint="check the address, and that it runs")

    async def _publish(self, stream: JetStreamContext, topic: str, message: Outgoing) -> str | None:
        try:
            await stream.publish(topic, message.body, TIMEOUT, headers=_headers_out(message))
        except nats.errors.MaxPayloadError:
            return f"its {len(message.body):,} bytes are more than the server takes"
        except nats.js.errors.APIError as error:
            if error.err_code == _TOO_LARGE:
                return f"its {len(message.body):,} bytes are more than the stream takes"
            raise _problem(error, topic) from None
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _problem(error, topic) from None
        return None


class _NatsSubscription(Subscription):
    def __init__(
        self,
        client: Client,
        stream: JetStreamContext,
        pulling: JetStreamContext.PullSubscription,
        kept_in: str,
        consumer: str,
        at_once: int,
    ) -> None:
        self._at_once = at_once
        self._client = client
        self._stream = stream
        self._pulling = pulling
        self._kept_in = kept_in
        self._consumer = consumer
        self._out: dict[int, Msg] = {}
        self._is_closed = False

    async def pull(self, most: int, patience: float) -> Sequence[Message]:
        self._check()
        most = min(most, self._at_once)
        try:
            found = await self._pulling.fetch(1, timeout=patience)
            if most > 1:  # asked for several at once, it would wait for all of them
                with suppress(TimeoutError):
                    found += await self._pulling.fetch(most - 1, timeout=_DRAIN)
        except TimeoutError:
            self._check()
            return []
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BrokerError(_LOST) from None  # the client cancels what waits for a message when its connection ends
        except (nats.errors.Error, OSError) as error:
            raise _problem(error, self._consumer) from None
        return [self._taken(message) for message in found]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        await self._say("ack", messages)

    async def give_back(self, messages: Sequence[Message], delay: int = 0) -> None:
        self._check()
        try:
            for known in self._known(messages):
                await known.nak(delay / 1_000_000 if delay else None)
        except (nats.errors.Error, OSError) as error:
            raise _problem(error, self._consumer) from None

    async def keep(self, messages: Sequence[Message]) -> None:
        with suppress(nats.errors.Error, OSError):
            for message in messages:
                known = self._out.get(message.token)
                if known is not None:
                    await known.in_progress()

    async def lag(self) -> int | None:
        self._check()
        try:
            said = await self._stream.consumer_info(self._kept_in, self._consumer, timeout=TIMEOUT)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _problem(error, self._consumer) from None
        return (said.num_pending or 0) + (said.num_ack_pending or 0)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(nats.errors.Error, OSError, TimeoutError):
            for known in self._out.values():
                await known.nak()
            self._out.clear()
            await self._pulling.unsubscribe()
            if self._client.is_connected:
                await self._client.flush(int(TIMEOUT))

    async def _say(self, what: str, messages: Sequence[Message]) -> None:
        self._check()
        try:
            for known in self._known(messages):
                await getattr(known, what)()
            await self._client.flush(int(TIMEOUT))
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _problem(error, self._consumer) from None

    def _known(self, messages: Sequence[Message]) -> list[Msg]:
        return [self._out.pop(message.token) for message in messages if message.token in self._out]

    def _taken(self, message: Msg) -> Message:
        about = message.metadata
        token = (about.sequence.stream, about.num_delivered)
        headers = {name.lower(): _decoded(name, value) for name, value in (message.headers or {}).items()}
        own_id = headers.pop(_ID.lower(), None)
        key = headers.pop(_KEY, None) or headers.get(f"{CE}partitionkey")
        taken = Message(
            topic=message.subject,
            body=message.data,
            headers={name: value for name, value in headers.items() if not name.startswith("nats-")},
            key=key,
            line=f"key {key}" if key is not None else f"subject {message.subject}",
            own_id=unquote(own_id) if own_id is not None else None,
            place=f"{about.stream}/{about.sequence.stream}/{about.timestamp.isoformat()}",
            at=round(about.timestamp.timestamp() * 1_000_000),
            tries=about.num_delivered or 1,
            token=token,
        )
        self._out[taken.token] = message
        return taken

    def _check(self) -> None:
        if not self._client.is_connected:
            raise BrokerError(_LOST)


def consumer_name(group: str, topic: str) -> str:
    """The name of the durable consumer of a group for a topic: what may not be in it is replaced, and told apart."""
    plain = f"{group}-{topic}"
    made = _NO_NAME.sub("_", plain)
    return made if made == plain and len(made) < 128 else f"{made[:100]}-{digest(plain.encode())[:12]}"


def _headers_out(message: Outgoing) -> dict[str, str]:
    headers = {name: _encoded(name, value) for name, value in message.headers.items()}
    if message.key is not None:
        headers[_KEY] = quote(message.key, safe=_UNQUOTED)
    return {**headers, _ID: quote(message.id, safe=_UNQUOTED)}


def _encoded(name: str, value: str) -> str:
    return quote(value, safe=_UNQUOTED) if name.startswith(CE) else " ".join(value.split())


def _decoded(name: str, value: str) -> str:
    return unquote(value) if name.lower().startswith(CE) or name.lower() == _KEY else value


def _insist_on_encryption(client: Client) -> None:
    """Have it say nothing to a server that does not encrypt. The library would: it goes by what the server says, for
    which whoever stands between the two can speak."""
    greeting = client._connect_command  # noqa: SLF001 - nothing public lies between the server's word and ours

    def checked() -> bytes:
        if not client._server_info.get("tls_required"):  # noqa: SLF001
            raise nats.errors.Error("the server does not offer the encryption that is configured here")
        return greeting()

    client._connect_command = checked  # type: ignore[method-assign]  # noqa: SLF001


async def _close(client: Client) -> None:
    """Close it. The library waits for ever for the end of a connection whose encryption did not come about."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()


def _said(error: Exception) -> str:
    """Why there is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no encrypted connection comes about: {error.reason}"
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or str(error).removeprefix("nats: ").strip("'\"") or type(error).__name__


def _problem(error: Exception, topic: str) -> BrokerError:
    said = str(error).removeprefix("nats: ") or type(error).__name__
    if isinstance(error, (nats.js.errors.NotFoundError, nats.js.errors.NoStreamResponseError)):
        message = f"no stream of NATS JetStream keeps the subject {topic!r}"
        return BrokerError(message, code="unknown-topic", hint="add a stream with this subject")
    if isinstance(error, TimeoutError):
        return BrokerError(f"NATS did not answer within {TIMEOUT:g} seconds")
    if isinstance(error, (nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError)):
        return BrokerError("NATS answers, but its JetStream does not", hint="it must be switched on: nats-server -js")
    if "ermissions" in said:
        return BrokerError(f"NATS does not allow it: {said}", code="broker-access")
    return BrokerError(f"NATS: {said}")


def _without_password(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
