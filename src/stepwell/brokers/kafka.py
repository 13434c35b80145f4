"""Kafka, over confluent-kafka.

Messages are taken by its asyncio consumer. They are published by its plain producer: the asyncio one knows no headers.
Of each partition the offset that is committed is that before which everything was acknowledged, so nothing is skipped
when the process ends. Attributes of CloudEvents are in `ce_` headers, as the binding for Kafka has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.aio import AIOConsumer

from stepwell.ports.brokers import CE, CONTENT_TYPE, Broker, BrokerError, Message, Outgoing, Subscription

TIMEOUT: Final = 5.0
"""Seconds in which the cluster has to say which topics there are."""
PUBLISH_TIMEOUT: Final = 15_000
"""Milliseconds after which a message that was not confirmed is given up, to be published again by whoever wants."""

_ID: Final = "message-id"
_POLL: Final = 0.05

_log = logging.getLogger("stepwell.brokers.librdkafka")
_log.setLevel(logging.CRITICAL)  # what is wrong is told once, by those who see it

_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
    }
)
_ACCESS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - these names are public in spite of their underscore
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_NO_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_DOWN: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, *_ACCESS})  # noqa: SLF001
_OTHERS_HAVE_IT: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,  # noqa: SLF001
        KafkaError._STATE,  # noqa: SLF001
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
    }
)
"""What a commit meets when partitions were given to others meanwhile; they deliver again what was not committed."""


class KafkaBroker(Broker):
    """A cluster of Kafka.

    Args:
        servers: `host:port` of some of its brokers.
        settings: further ones of librdkafka, such as those for TLS and SASL.
    """

    def __init__(self, servers: Sequence[str], settings: Mapping[str, Any] | None = None) -> None:
        self._servers = ",".join(servers)
        self._settings = dict(settings or {})
        self._producer: Producer | None = None
        self._polling: ThreadPoolExecutor | None = None
        self._trouble = _Trouble()

    async def reach(self) -> None:
        producer = self._publishing()
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._polling, partial(producer.list_topics, timeout=TIMEOUT)
            )
        except KafkaException as error:
            raise self._problem(error.args[0], "", self._trouble.told) from None

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        producer = self._publishing()
        answers: list[KafkaError | bool | None] = [None] * len(messages)
        for place, each in enumerate(messages):
            await self._produce(producer, topic, each, answers, place)
        while any(answer is None for answer in answers):  # not `in`: an error compared with None breaks
            await asyncio.get_running_loop().run_in_executor(self._polling, producer.poll, _POLL)
        return [self._answer(answer, topic, each) for answer, each in zip(answers, messages, strict=True)]

    async def subscribe(
        self, topic: str, group: str, *, from_start: bool = True, ordered: bool = False
    ) -> Subscription:
        subscription = _KafkaSubscription(self._of(topic), topic)
        settings = {
            **self._common(),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest" if from_start else "latest",
            "error_cb": subscription.note,
            "allow.auto.create.topics": False,
        }
        try:
            await subscription.open(settings)
        except KafkaException as error:
            await subscription.close()
            raise self._problem(error.args[0], topic, subscription.trouble.told) from None
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        polling, self._polling = self._polling, None
        if producer is not None and polling is not None:
            producer.purge()
            await asyncio.get_running_loop().run_in_executor(polling, producer.flush, 0.5)
            polling.shutdown(wait=False)

    def _common(self) -> dict[str, Any]:
        return {"bootstrap.servers": self._servers, "client.id": "stepwell", "logger": _log, **self._settings}

    def _publishing(self) -> Producer:
        if self._producer is None:
            try:
                self._producer = Producer(
                    {
                        "linger.ms": 2,
                        "enable.idempotence": True,  # what librdkafka sends again is neither doubled nor mixed up
                        **self._common(),
                        "message.timeout.ms": PUBLISH_TIMEOUT,
                        "error_cb": self._trouble.note,
                    }
                )
            except KafkaException as error:
                raise self._problem(error.args[0], "", None) from None
            self._polling = ThreadPoolExecutor(1, thread_name_prefix="stepwell-kafka")
        return self._producer

    async def _produce(
        self, producer: Producer, topic: str, message: Outgoing, answers: list[KafkaError | bool | None], place: int
    ) -> None:
        def confirmed(error: KafkaError | None, _: Any) -> None:
            answers[place] = error or True

        while True:
            try:
                key = message.key.encode() if message.key is not None else None
                producer.produce(topic, message.body, key, headers=_headers_out(message), on_delivery=confirmed)
            except BufferError:  # too many are on their way
                await asyncio.get_running_loop().run_in_executor(self._polling, producer.poll, _POLL)
            except KafkaException as error:
                answers[place] = error.args[0]
                return
            else:
                return

    def _answer(self, answer: KafkaError | bool | None, topic: str, message: Outgoing) -> str | None:
        if not isinstance(answer, KafkaError):
            self._trouble.clear()
            return None
        if answer.code() in _REFUSED:
            return f"its {len(message.body):,} bytes: {answer.str()}"
        if answer.fatal():
            self._producer = None  # it is of no use any more
        raise self._problem(answer, topic, self._trouble.told)

    def _of(self, topic: str) -> Any:
        return partial(self._problem, topic=topic)

    def _problem(self, error: KafkaError, topic: str, trouble: KafkaError | None) -> BrokerError:
        """What is wrong; the trouble with the connection says more than that something did not come in time."""
        told = trouble or error
        said = told.str().removeprefix("Broker: ").removeprefix("Local: ")
        if told.code() in _ACCESS:
            return BrokerError(
                f"Kafka at {self._servers} does not allow it: {said}",
                code="broker-access",
                hint="check the credentials in the configuration, and what they may do",
            )
        if told.code() in _NO_TOPIC:
            message = f"Kafka at {self._servers} has no topic {topic!r}"
            return BrokerError(message, code="unknown-topic", hint="create it")
        if told.code() == KafkaError._INVALID_ARG:  # noqa: SLF001
            return BrokerError(f"the settings for Kafka are wrong: {said}", code="broker-access")
        return BrokerError(
            f"Kafka at {self._servers} cannot be used: {said}", hint="check the address, and that it runs"
        )


class _Trouble:
    """What librdkafka says is wrong with its connections, while there is none that works."""

    def __init__(self) -> None:
        self._down: KafkaError | None = None
        self._detail: KafkaError | None = None

    @property
    def told(self) -> KafkaError | None:
        """The most telling of it; None while all is well."""
        if self._down is not None and self._down.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            return self._detail or self._down
        return self._down

    def note(self, error: KafkaError) -> None:
        """Something is wrong."""
        if error.code() == KafkaError._TRANSPORT:  # noqa: SLF001
            self._detail = error
        if error.code() in _DOWN:
            self._down = error

    def clear(self) -> None:
        """It works."""
        self._down = self._detail = None


class _Part:
    """A partition that is assigned to this consumer.

    Attributes:
        turn: counts how often it was turned back: what was pulled before that counts no more.
        following: the offset before which everything is acknowledged; None before the first message.
        done: acknowledged offsets after that, and those behind which some are missing, each with the next one.
        pulled: the offset behind what was pulled.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.following: int | None = None
        self.done: dict[int, int] = {}
        self.pulled = 0

    def pull(self, offset: int) -> None:
        """Note that this one was pulled."""
        if self.following is None:
            self.following = offset
        elif offset > self.pulled:  # the log has gaps: what was compacted, and marks of transactions
            self.done[self.pulled] = offset
        self.pulled = offset + 1

    def acknowledge(self, offset: int) -> int | None:
        """Note it. Returns the offset to commit, if it moved."""
        assert self.following is not None, "it was pulled"
        self.done[offset] = offset + 1
        before = following = self.following
        while following in self.done:
            following = self.done.pop(following)
        self.following = following
        return following if following != before else None

    def turn_back(self, offset: int) -> None:
        """What begins there is pulled again."""
        self.turn += 1
        self.done = {each: following for each, following in self.done.items() if each < offset}
        self.pulled = offset


class _Token(NamedTuple):
    partition: int
    offset: int
    part: _Part
    turn: int


class _KafkaSubscription(Subscription):
    def __init__(self, problem: Any, topic: str) -> None:
        self._problem = problem
        self._topic = topic
        self._consumer: AIOConsumer | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="stepwell-kafka")
        self._parts: dict[int, _Part] = {}
        self._resumes_at: dict[int, float] = {}
        self.trouble = _Trouble()

    async def open(self, settings: dict[str, Any]) -> None:
        """Join the group.

        Raises:
            KafkaException: the cluster or the topic is not there, or does not let us.
        """
        self._consumer = AIOConsumer(settings, executor=self._threads)
        said = await self._consumer.list_topics(self._topic, timeout=TIMEOUT)
        problem = said.topics[self._topic].error
        if problem is not None:
            raise KafkaException(problem)
        await self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked)

    async def note(self, error: KafkaError) -> None:
        """Remember what is wrong with the connection."""
        self.trouble.note(error)

    async def pull(self, most: int, patience: float) -> Sequence[Message]:
        loop = asyncio.get_running_loop()
        await self._resume(loop.time())
        until = min([loop.time() + patience, *self._resumes_at.values()])
        try:
            found = await self._opened.consume(most, max(0.0, until - loop.time()))
        except KafkaException as error:
            raise self._problem(error.args[0], trouble=self.trouble.told) from None
        for message in found:
            if message.error() is not None:
                raise self._problem(message.error(), trouble=self.trouble.told)
        if found:
            self.trouble.clear()
        elif (told := self.trouble.told) is not None:
            raise self._problem(told, trouble=None)
        return [self._taken(message) for message in found if message.partition() in self._parts]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        moved: dict[int, int] = {}
        for message in messages:
            token: _Token = message.token
            part = self._current(token)
            if part is not None and (following := part.acknowledge(token.offset)) is not None:
                moved[token.partition] = following
        await self._commit([TopicPartition(self._topic, number, following) for number, following in moved.items()])

    async def give_back(self, messages: Sequence[Message], delay: int = 0) -> None:
        first: dict[int, int] = {}
        for message in messages:
            token: _Token = message.token
            if self._current(token) is not None:
                first[token.partition] = min(first.get(token.partition, token.offset), token.offset)
        try:
            for number, offset in first.items():
                self._parts[number].turn_back(offset)
                place = TopicPartition(self._topic, number, offset)
                if delay:
                    await self._opened.pause([place])
                    self._resumes_at[number] = asyncio.get_running_loop().time() + delay / 1_000_000
                await self._opened.seek(place)
        except KafkaException as error:
            raise self._problem(error.args[0], trouble=self.trouble.told) from None

    async def keep(self, messages: Sequence[Message]) -> None:
        """Nothing is to be said: librdkafka keeps the place in the group for as long as `max.poll.interval.ms`."""

    async def lag(self) -> int | None:
        waiting = 0
        try:
            parts = [TopicPartition(self._topic, number) for number in self._parts]
            for place in await self._opened.committed(parts, timeout=TIMEOUT) if parts else []:
                part = self._parts.get(place.partition)
                low, high = await self._opened.get_watermark_offsets(place, timeout=TIMEOUT)
                known = part.following if part is not None and part.following is not None else place.offset
                waiting += high - max(low, known)
        except KafkaException as error:
            raise self._problem(error.args[0], trouble=self.trouble.told) from None
        return waiting

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        with suppress(KafkaException, RuntimeError):
            await consumer.close()
        self._threads.shutdown(wait=False)

    @property
    def _opened(self) -> AIOConsumer:
        if self._consumer is None:
            raise BrokerError("this subscription was closed")
        return self._consumer

    def _current(self, token: _Token) -> _Part | None:
        """The partition, unless what the token names is out of date."""
        part = self._parts.get(token.partition)
        return part if part is token.part and part.turn == token.turn else None

    async def _commit(self, places: Sequence[TopicPartition]) -> None:
        if not places:
            return
        try:
            await self._opened.commit(offsets=list(places), asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _OTHERS_HAVE_IT:
                raise self._problem(error.args[0], trouble=self.trouble.told) from None

    async def _resume(self, now: float) -> None:
        due = [number for number, at in self._resumes_at.items() if at <= now]
        for number in due:
            del self._resumes_at[number]
            if number in self._parts:
                await self._opened.resume([TopicPartition(self._topic, number)])

    async def _assigned(self, _: Any, parts: Sequence[TopicPartition]) -> None:
        for part in parts:
            self._parts[part.partition] = _Part()

    async def _revoked(self, _: Any, parts: Sequence[TopicPartition]) -> None:
        for part in parts:
            self._parts.pop(part.partition, None)
            self._resumes_at.pop(part.partition, None)

    def _taken(self, message: Any) -> Message:
        number, offset = message.partition(), message.offset()
        part = self._parts[number]
        part.pull(offset)
        at = message.timestamp()[1]
        headers = _headers_in(message.headers() or ())
        own_id = headers.pop(_ID, None)
        key = message.key()
        text = key.decode(errors="backslashreplace") if key is not None else None
        return Message(
            topic=message.topic(),
            body=message.value() or b"",
            headers=headers,
            key=text,
            line=f"key {text}" if text is not None else f"partition {number}",
            own_id=own_id,
            place=f"{number}/{offset}/{at}",
            at=at * 1_000 if at >= 0 else None,
            token=_Token(number, offset, part, part.turn),
        )


def _headers_out(message: Outgoing) -> list[tuple[str, str | bytes | None]]:
    headers = {**message.headers, _ID: message.id}
    return [
        (f"ce_{name.removeprefix(CE)}" if name.startswith(CE) else name, value.encode())
        for name, value in headers.items()
    ]


def _headers_in(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    found: dict[str, str] = defaultdict(str)
    for name, value in headers:
        lower = name.lower()
        known = f"{CE}{lower.removeprefix('ce_')}" if lower.startswith("ce_") else lower
        found[CONTENT_TYPE if known == "content_type" else known] = (value or b"").decode(errors="replace")
    return dict(found)
