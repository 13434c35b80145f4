"""Kafka: librdkafka's mock cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from stepwell.brokers.kafka import KafkaBroker, _Part
from stepwell.ports.brokers import Broker, BrokerError, Outgoing
from tests.conformance.broker import BrokerConformance, BrokerHarness, bodies, outgoing, pulled, until_lost
from tests.servers.kafka import PRODUCE, TOO_LARGE, KafkaCluster, new_topic, shared_cluster

QUICK = {"session.timeout.ms": 1_000, "heartbeat.interval.ms": 200, "fetch.wait.max.ms": 50}


class KafkaHarness(BrokerHarness):
    def __init__(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster
        super().__init__()

    def new_broker(self) -> Broker:
        return KafkaBroker([self.cluster.servers], QUICK)

    async def topic(self, name: str = "orders") -> str:
        topic = new_topic(name)
        self.cluster.add_topic(topic, 2)
        return topic


class TestKafkaBroker(BrokerConformance):
    def new_harness(self) -> KafkaHarness:
        return KafkaHarness(shared_cluster())


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


async def test_when_the_broker_is_back_it_goes_on_where_it_was(
    cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell.brokers.kafka.TIMEOUT", 1.0)
    cluster.add_topic("orders")
    broker = KafkaBroker([cluster.servers], {**QUICK, "reconnect.backoff.max.ms": 200})
    await broker.publish("orders", [outgoing(n, "k") for n in range(3)])
    subscription = await broker.subscribe("orders", "g")
    came = await pulled(subscription, 3)
    await subscription.acknowledge(came[:1])
    cluster.stop()
    with pytest.raises(BrokerError, match="cannot be used"):
        await until_lost(subscription)
    await subscription.close()
    with pytest.raises(BrokerError, match="cannot be used"):
        await KafkaBroker([cluster.servers]).subscribe("orders", "g")
    publishing = asyncio.create_task(broker.publish("orders", [outgoing(3, "k")]))
    cluster.start()
    assert await publishing == [None]
    again = await broker.subscribe("orders", "g")
    assert bodies(await pulled(again, 3)) == [1, 2, 3]
    await again.close()
    await broker.close()


async def test_what_is_too_large_is_refused_for_ever_and_the_rest_is_kept(cluster: KafkaCluster) -> None:
    cluster.add_topic("orders")
    broker = KafkaBroker([cluster.servers], QUICK)
    messages = [outgoing(0), Outgoing(id="a", body=b"x" * 2_000_000), outgoing(1)]
    first, large, last = await broker.publish("orders", messages)
    assert (first, last) == (None, None)
    assert "2,000,000 bytes" in str(large)
    cluster.fail_next(PRODUCE, TOO_LARGE)
    (refused,) = await broker.publish("orders", [outgoing(2)])
    assert "too large" in str(refused)
    await broker.close()


async def test_wrong_settings_are_said() -> None:
    broker = KafkaBroker(["127.0.0.1:1"], {"no.such.setting": "x"})
    for use in (broker.subscribe("orders", "g"), broker.publish("orders", [outgoing(0)])):
        with pytest.raises(BrokerError, match="the settings for Kafka are wrong: No such configuration property"):
            await use


async def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.brokers.kafka.TIMEOUT", 1.0)
    with pytest.raises(BrokerError, match=r"Kafka at 127.0.0.1:1 cannot be used: .*[Cc]onnect.* refused") as raised:
        await KafkaBroker(["127.0.0.1:1"]).subscribe("orders", "g")
    assert raised.value.code == "broker-unavailable"
    with pytest.raises(BrokerError, match="cannot be used"):
        await KafkaBroker(["127.0.0.1:1"]).reach()


async def test_what_was_compacted_away_holds_nothing_up() -> None:
    part = _Part()
    for offset in (3, 4, 9, 10):
        part.pull(offset)
    assert part.acknowledge(3) == 4
    assert part.acknowledge(9) is None
    assert part.acknowledge(4) == 10
    part.turn_back(10)
    part.pull(10)
    assert part.acknowledge(10) == 11
