"""What every broker must do, whatever it is.

A test module of a broker subclasses `BrokerConformance` and provides `new_harness`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import pytest

from stepwell.base.durations import MILLISECOND
from stepwell.ports.brokers import CONTENT_TYPE, Broker, BrokerError, Message, Outgoing, Subscription

PATIENCE = 20.0
"""Seconds after which a test gives up on a message."""
SHORT = 0.3
"""Seconds in which a message that is not expected would have come."""


class BrokerHarness(ABC):
    """A broker with nothing in it that concerns a test."""

    def __init__(self) -> None:
        self._opened: list[Broker] = []
        self.broker = self.other()

    @abstractmethod
    async def topic(self, name: str = "orders") -> str:
        """The name of a new topic of this test."""

    @abstractmethod
    def new_broker(self) -> Broker:
        """The broker, as one more node sees it."""

    def other(self) -> Broker:
        """The same broker, as another node sees it; it is closed with the harness."""
        self._opened.append(self.new_broker())
        return self._opened[-1]

    async def close(self) -> None:
        """Nobody uses it any more."""
        for broker in self._opened:
            await broker.close()

    keeps_order: bool = True
    """Whether what is given back comes again before what is behind it."""
    has_groups: bool = True
    """Whether a topic can be taken by several groups, each of which gets everything."""
    drops_repeated: bool = False
    """Whether a message that is published again under the same id is dropped."""
    has_places: bool = True
    """Whether it tells where messages are kept."""


OpenHarness: TypeAlias = Callable[[], Awaitable[BrokerHarness]]


def outgoing(number: int, key: str | None = None) -> Outgoing:
    return Outgoing(id=f"m{number}", body=f"body {number}".encode(), key=key)


def bodies(messages: Sequence[Message]) -> list[int]:
    return [int(message.body.decode().split()[1]) for message in messages]


async def pulled(subscription: Subscription, count: int) -> list[Message]:
    """So many messages, when they have come."""
    found: list[Message] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += await subscription.pull(count - len(found), 1.0)
    return found


async def until_lost(subscription: Subscription) -> None:
    """Pull until that is not possible any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await subscription.pull(1, 0.2)


class BrokerConformance(ABC):
    """The tests."""

    @abstractmethod
    def new_harness(self) -> BrokerHarness:
        """What a test has to itself."""

    @pytest.fixture
    async def open_harness(self) -> AsyncIterator[OpenHarness]:
        opened: list[BrokerHarness] = []

        async def open_() -> BrokerHarness:
            opened.append(self.new_harness())
            return opened[-1]

        yield open_
        for harness in opened:
            await harness.close()

    async def test_a_message_comes_as_it_was_published(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        headers = {
            CONTENT_TYPE: "application/json",
            "ce-specversion": "1.0",
            "ce-source": "Köln/50% é",
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        }
        message = Outgoing(id="m 1/é", body=b'{"n": 1}\xff\x00', headers=headers, key="order/7")
        assert await harness.broker.publish(topic, [message]) == [None]
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        (came,) = await pulled(subscription, 1)
        assert came.body == message.body
        assert {name: came.headers[name] for name in headers} == headers
        assert (came.key, came.own_id, came.topic, came.tries) == ("order/7", "m 1/é", topic, 1)
        assert (came.place is not None) == harness.has_places
        await subscription.close()

    async def test_a_message_may_be_empty_and_without_headers_and_key(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [Outgoing(id="x", body=b"")])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        (came,) = await pulled(subscription, 1)
        assert (came.body, came.key) == (b"", None)
        await subscription.close()

    async def test_messages_of_one_key_come_in_their_order(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        for start in (0, 100):
            await harness.broker.publish(topic, [outgoing(n, "k") for n in range(start, start + 100)])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 200)
        assert bodies(came) == list(range(200))
        assert len({message.line for message in came}) == 1
        assert len({message.place for message in came}) == (200 if harness.has_places else 1)
        await subscription.close()

    async def test_what_was_acknowledged_does_not_come_again_and_the_rest_does(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(10)])
        first = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(first, 10)
        await first.acknowledge(came[:4])
        await first.close()
        second = await harness.broker.subscribe(topic, f"g-{topic}")
        again = await pulled(second, 6)
        assert bodies(again) == list(range(4, 10))
        if harness.has_places:
            assert [message.place for message in again] == [message.place for message in came[4:]]
        await second.acknowledge(again)
        assert not await second.pull(10, SHORT)
        await second.close()

    async def test_what_is_given_back_comes_again(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(5)])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 5)
        await subscription.acknowledge(came[:2])
        await subscription.give_back(came[2:])
        again = await pulled(subscription, 3)
        assert sorted(bodies(again)) == [2, 3, 4]
        if harness.keeps_order:
            assert bodies(again) == [2, 3, 4]
        await subscription.acknowledge(again)
        await subscription.close()

    async def test_what_is_given_back_with_a_delay_comes_after_it(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(0, "k")])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 1)
        await subscription.give_back(came, 900 * MILLISECOND)
        assert not await subscription.pull(1, SHORT)
        assert bodies(await pulled(subscription, 1)) == [0]
        await subscription.close()

    async def test_those_of_one_group_share_and_nothing_is_left_when_one_goes(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        one = await harness.broker.subscribe(topic, f"g-{topic}")
        two = await harness.other().subscribe(topic, f"g-{topic}")
        done: set[int] = set()
        await harness.broker.publish(topic, [outgoing(n, f"k{n}") for n in range(40)])
        async with asyncio.timeout(2 * PATIENCE):
            for number in range(3):  # then the first goes
                for message in await one.pull(5, 0.5):
                    done.add(int(message.body.split()[1]))
                    await one.acknowledge([message])
                await two.pull(1, 0.1) if number == 0 else None
            await one.pull(5, 0.1)
            await one.close()
            await two.close()
            three = await harness.broker.subscribe(topic, f"g-{topic}")
            while len(done) < 40:
                came = await three.pull(10, 1.0)
                done |= set(bodies(came))
                await three.acknowledge(came)
        await three.close()

    async def test_where_order_is_asked_for_all_messages_come_in_it(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(5)])
        for expected in ([0, 1], [2, 3]):
            subscription = await harness.broker.subscribe(topic, f"g-{topic}", ordered=True)
            for number in expected:
                came = await pulled(subscription, 1)
                assert bodies(came) == [number]
                await subscription.acknowledge(came)
            assert bodies(await pulled(subscription, 1)) == [expected[-1] + 1]  # it is worked on when this one goes
            await subscription.close()

    async def test_each_group_gets_everything(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        if not harness.has_groups:
            pytest.skip("this broker has no groups")
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(3)])
        for group in ("g1", "g2"):
            subscription = await harness.broker.subscribe(topic, f"{group}-{topic}")
            assert bodies(await pulled(subscription, 3)) == [0, 1, 2]
            await subscription.close()

    async def test_a_message_published_twice_comes_once_where_the_broker_knows_ids(
        self, open_harness: OpenHarness
    ) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        for _ in range(2):
            assert await harness.broker.publish(topic, [outgoing(1, "k")]) == [None]
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 1 if harness.drops_repeated else 2)
        assert {message.own_id for message in came} == {"m1"}
        assert not await subscription.pull(1, SHORT)
        await subscription.close()

    async def test_what_waits_is_counted(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(7)])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 7)
        await subscription.acknowledge(came)
        await harness.broker.publish(topic, [outgoing(n, "k") for n in range(10, 13)])
        async with asyncio.timeout(PATIENCE):
            while await subscription.lag() != 3:
                await asyncio.sleep(0.05)
        await subscription.close()

    async def test_keeping_and_acknowledging_what_was_given_back_do_nothing(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(0, "k")])
        subscription = await harness.broker.subscribe(topic, f"g-{topic}")
        came = await pulled(subscription, 1)
        await subscription.keep(came)
        await subscription.give_back(came)
        await subscription.acknowledge(came)
        again = await pulled(subscription, 1)
        await subscription.acknowledge(again)
        await subscription.close()
        await subscription.close()

    async def test_a_topic_that_is_not_there_is_said(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        await harness.topic()
        with pytest.raises(BrokerError) as raised:
            await harness.broker.subscribe("no-such-topic", "g")
        assert raised.value.code == "unknown-topic"
        assert "no-such-topic" in raised.value.message

    async def test_it_can_be_reached(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        await harness.topic()
        await harness.broker.reach()

    async def test_a_broker_that_was_closed_can_be_closed_again(self, open_harness: OpenHarness) -> None:
        harness = await open_harness()
        topic = await harness.topic()
        await harness.broker.publish(topic, [outgoing(0)])
        await harness.broker.close()
        await harness.broker.close()
