"""NATS JetStream: a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import nats
import nats.js.errors
import pytest
from nats.js.api import StreamConfig

from stepwell.brokers.nats import NatsBroker, _problem, consumer_name
from stepwell.ports.brokers import Broker, BrokerError, Outgoing
from tests.conformance.broker import BrokerConformance, BrokerHarness, bodies, outgoing, pulled, until_lost
from tests.servers.nats import NatsServer, new_prefix, new_server, shared_server


class NatsHarness(BrokerHarness):
    drops_repeated = True

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.prefix = new_prefix()
        super().__init__()

    def new_broker(self) -> Broker:
        return NatsBroker([self.server.url])

    async def topic(self, name: str = "orders") -> str:
        await add_stream(self.server.url, f"{self.prefix}-{name}", f"{self.prefix}.{name}")
        return f"{self.prefix}.{name}"


async def add_stream(url: str, name: str, *subjects: str, **more: int) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(StreamConfig(name=name, subjects=list(subjects), **more))  # type: ignore[arg-type]
    await client.close()


class TestNatsBroker(BrokerConformance):
    def new_harness(self) -> NatsHarness:
        return NatsHarness(shared_server())


@pytest.fixture
def server() -> Iterator[NatsServer]:
    server = new_server()
    yield server
    server.close()


async def test_after_a_restart_of_the_server_it_goes_on_where_it_was(server: NatsServer) -> None:
    await add_stream(server.url, "s", "orders.*")
    broker = NatsBroker([server.url])
    await broker.publish("orders.new", [outgoing(n) for n in range(3)])
    subscription = await broker.subscribe("orders.*", "g")
    came = await pulled(subscription, 3)
    await subscription.acknowledge(came[:1])
    server.kill()
    with pytest.raises(BrokerError):
        await until_lost(subscription)
    with pytest.raises(BrokerError) as raised:
        await broker.publish("orders.new", [outgoing(3)])
    assert "cannot be reached" in raised.value.message
    await subscription.close()
    server.start()
    assert await broker.publish("orders.new", [outgoing(n) for n in (2, 3)]) == [None, None]
    again = await broker.subscribe("orders.*", "g")
    assert sorted(bodies(await pulled(again, 3))) == [1, 2, 3]
    await broker.close()


async def test_wrong_credentials_are_said_without_the_password() -> None:
    server = new_server(users=(("ann", "right"),))
    try:
        broker = NatsBroker([server.url.replace("://", "://ann:wr0ng@")])
        with pytest.raises(BrokerError) as raised:
            await broker.publish("orders", [outgoing(1)])
        assert raised.value.code == "broker-access", str(raised.value)
        assert "does not let us in" in str(raised.value)
        assert "wr0ng" not in str(raised.value)
        await NatsBroker([server.url], {"user": "ann", "password": "right"}).close()
    finally:
        server.close()


async def test_what_is_too_large_is_refused_for_ever_and_the_rest_is_kept(server: NatsServer) -> None:
    await add_stream(server.url, "s", "orders", max_msg_size=1_000)
    broker = NatsBroker([server.url])
    messages = [outgoing(0), Outgoing(id="a", body=b"x" * 2_000), Outgoing(id="b", body=b"x" * 2_000_000), outgoing(1)]
    first, stream, whole, last = await broker.publish("orders", messages)
    assert (first, last) == (None, None)
    assert "more than the stream takes" in str(stream)
    assert "more than the server takes" in str(whole)
    assert bodies(await pulled(await broker.subscribe("orders", "g"), 2)) == [0, 1]
    await broker.close()


async def test_a_subject_that_no_stream_keeps_is_said(server: NatsServer) -> None:
    broker = NatsBroker([server.url])
    with pytest.raises(BrokerError, match="no stream of NATS JetStream keeps the subject 'nowhere'") as raised:
        await broker.publish("nowhere", [outgoing(1)])
    assert raised.value.code == "unknown-topic"
    await broker.close()


async def test_a_server_that_is_not_there_is_said() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(BrokerError, match="cannot be reached") as raised:
            await NatsBroker(["nats://ann:s3cret@127.0.0.1:1"]).reach()
    assert "s3cret" not in str(raised.value)


async def test_a_server_without_jetstream_is_said(server: NatsServer) -> None:
    error = nats.js.errors.ServiceUnavailableError(code=503, err_code=10039, description="jetstream not enabled")
    assert "its JetStream does not" in str(_problem(error, ""))


def test_names_of_consumers_are_legal_and_different() -> None:
    names = {consumer_name("g", topic) for topic in ("a.b", "a_b", "a b", "a.>", "x" * 300)}
    assert len(names) == 5
    assert all(name.replace("-", "").replace("_", "").isalnum() and len(name) < 128 for name in names)


async def test_where_order_is_asked_for_nothing_overtakes_what_somebody_who_hangs_has(server: NatsServer) -> None:
    await add_stream(server.url, "s", "orders")
    broker, other = NatsBroker([server.url]), NatsBroker([server.url])
    await broker.publish("orders", [outgoing(n) for n in range(3)])
    await (await broker.subscribe("orders", "g")).close()  # the consumer was made when nobody asked for order
    hanging = await broker.subscribe("orders", "g", ordered=True)
    assert bodies(await hanging.pull(10, 5.0)) == [0]
    waiting = await other.subscribe("orders", "g", ordered=True)
    assert not await waiting.pull(10, 0.3)
    await hanging.close()
    assert bodies(await pulled(waiting, 1)) == [0]
    await broker.close()
    await other.close()
