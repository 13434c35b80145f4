"""RabbitMQ: a real server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aio_pika
import pytest

from stepwell.brokers.rabbitmq import RabbitBroker
from stepwell.ports.brokers import Broker, BrokerError, Outgoing, Subscription
from tests.conformance.broker import BrokerConformance, BrokerHarness, bodies, outgoing, pulled, until_lost
from tests.servers.rabbitmq import LARGEST, RabbitServer, new_queue, shared_server


class RabbitHarness(BrokerHarness):
    has_groups = False
    has_places = False

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        super().__init__()

    def new_broker(self) -> Broker:
        return RabbitBroker(self.server.url)

    async def topic(self, name: str = "orders") -> str:
        return await add_queue(self.server.url, new_queue(name))


async def add_queue(url: str, name: str, **arguments: str | int) -> str:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        given: dict[str, Any] = {each.replace("_", "-"): value for each, value in arguments.items()}
        await channel.declare_queue(name, durable=True, arguments=given)
    return name


class TestRabbitBroker(BrokerConformance):
    def new_harness(self) -> RabbitHarness:
        return RabbitHarness(shared_server())


async def test_after_a_restart_of_the_server_it_goes_on_where_it_was() -> None:
    server = shared_server()
    queue = await add_queue(server.url, new_queue("orders"))
    broker = RabbitBroker(server.url)
    await broker.publish(queue, [outgoing(n) for n in range(3)])
    subscription = await broker.subscribe(queue, "g")
    came = await pulled(subscription, 3)
    await subscription.acknowledge(came[:1])
    server.kill()
    try:
        with pytest.raises(BrokerError, match="was lost"):
            await until_lost(subscription)
        with pytest.raises(BrokerError, match="cannot be reached"):
            await broker.publish(queue, [outgoing(3)])
        await subscription.close()
    finally:
        server.start()
    async with asyncio.timeout(60):
        while True:
            with suppress(BrokerError):  # it answers before its queues are there again
                assert await broker.publish(queue, [outgoing(n) for n in (3, 4)]) == [None, None]
                again = await broker.subscribe(queue, "g")
                break
    await see(again, {1, 2, 3, 4})
    await broker.close()


async def see(subscription: Subscription, numbers: set[int]) -> None:
    """Pull until these have come, some perhaps more than once."""
    async with asyncio.timeout(20):
        while numbers:
            numbers = numbers - set(bodies(await subscription.pull(10, 1.0)))


async def test_wrong_credentials_and_a_missing_virtual_host_are_said_without_the_password() -> None:
    url = shared_server().url
    for wrong in (url.replace("guest:guest", "guest:wr0ng"), f"{url}nowhere"):
        with pytest.raises(BrokerError, match="does not let us in") as raised:
            await RabbitBroker(wrong).publish("orders", [outgoing(1)])
        assert raised.value.code == "broker-access"
        assert "wr0ng" not in str(raised.value)


async def test_what_is_too_large_is_refused_for_ever_and_the_rest_is_kept() -> None:
    url = shared_server().url
    queue = await add_queue(url, new_queue("orders"))
    broker = RabbitBroker(url)
    messages = [outgoing(0), Outgoing(id="a", body=b"x" * (LARGEST + 1)), outgoing(1)]
    first, large, last = await broker.publish(queue, messages)
    assert (first, last) == (None, None)
    assert "1,000,001 bytes" in str(large)
    await see(await broker.subscribe(queue, "g"), {0, 1})
    await broker.close()


async def test_a_queue_that_is_not_there_and_one_that_takes_nothing_are_said() -> None:
    url = shared_server().url
    broker = RabbitBroker(url)
    with pytest.raises(BrokerError, match="has no queue that messages for 'nowhere' go to") as raised:
        await broker.publish("nowhere", [outgoing(1)])
    assert raised.value.code == "unknown-topic"
    full = await add_queue(url, new_queue("full"), x_max_length_bytes=1, x_overflow="reject-publish")
    with pytest.raises(BrokerError, match="may be full"):
        await broker.publish(full, [outgoing(1), outgoing(2)])
    other = RabbitBroker(url, "no-such-exchange")
    with pytest.raises(BrokerError, match="has no queue or exchange"):
        await other.publish("orders", [outgoing(1)])
    for each in (broker, other):
        await each.close()


async def test_a_queue_that_is_deleted_meanwhile_is_said() -> None:
    url = shared_server().url
    queue = await add_queue(url, new_queue("orders"))
    broker = RabbitBroker(url)
    subscription = await broker.subscribe(queue, "g")
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.queue_delete(queue)
    with pytest.raises(BrokerError, match="no more"):
        await subscription.pull(1, 10.0)
    await subscription.close()
    await broker.close()


async def test_a_stream_is_refused_with_the_first_message_that_comes() -> None:
    url = shared_server().url
    queue = await add_queue(url, new_queue("stream"), x_queue_type="stream")
    broker = RabbitBroker(url)
    subscription = await broker.subscribe(queue, "g")
    await broker.publish(queue, [outgoing(1)])
    with pytest.raises(BrokerError, match="is a stream, which does not note how far a group has read it") as raised:
        await subscription.pull(1, 10.0)
    assert raised.value.hint is not None
    assert "quorum queue" in raised.value.hint
    await subscription.close()
    await broker.close()


async def test_a_quorum_queue_is_read_like_any_other() -> None:
    url = shared_server().url
    queue = await add_queue(url, new_queue("quorum"), x_queue_type="quorum")
    broker = RabbitBroker(url)
    await broker.publish(queue, [outgoing(1)])
    subscription = await broker.subscribe(queue, "g")
    (came,) = await pulled(subscription, 1)
    await subscription.give_back([came])
    (again,) = await pulled(subscription, 1)
    assert (again.own_id, came.tries, again.tries) == ("m1", 1, 2)
    await subscription.acknowledge([again])
    await subscription.close()
    await broker.close()


@pytest.mark.parametrize("url", ["amqp://guest:s3cret@127.0.0.1:1/", "nonsense"])
async def test_a_server_that_is_not_there_is_said(url: str) -> None:
    with pytest.raises(BrokerError, match="cannot be reached") as raised:
        await RabbitBroker(url).subscribe("orders", "g")
    assert "s3cret" not in str(raised.value)


async def test_where_order_is_asked_for_one_subscribes_at_a_time() -> None:
    url = shared_server().url
    queue = await add_queue(url, new_queue("orders"))
    broker, other = RabbitBroker(url), RabbitBroker(url)
    first = await broker.subscribe(queue, "g", ordered=True)
    with pytest.raises(BrokerError, match="exclusive use"):
        await other.subscribe(queue, "g", ordered=True)
    await first.close()
    await (await other.subscribe(queue, "g", ordered=True)).close()
    await broker.close()
    await other.close()
