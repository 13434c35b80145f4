"""Messages in and out while the broker's server is killed and started again: nothing lost, nothing in history twice.

NATS and RabbitMQ are real servers; Kafka is librdkafka's mock cluster, whose broker is taken down.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.broker_sections import BrokerName
from stepwell.app.brokers import Brokers, open_brokers
from stepwell.app.configuration import configuration_from
from stepwell.app.lifecycle import Bell
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session
from stepwell.base.clock import SystemClock
from stepwell.base.spans import Source
from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.nats import NatsBroker
from stepwell.brokers.rabbitmq import RabbitBroker
from stepwell.dialects.writing import as_text
from stepwell.ports.brokers import Broker, BrokerError, Outgoing
from stepwell.ports.listings import ExecutionQuery
from tests.app.scheduling import workflow
from tests.brokers.test_kafka import QUICK
from tests.brokers.test_nats import add_stream
from tests.brokers.test_rabbitmq import add_queue
from tests.servers.kafka import KafkaCluster
from tests.servers.nats import NatsServer, new_server
from tests.servers.rabbitmq import RabbitServer, new_queue, shared_server

COUNT = 60
PATIENCE = 90.0


class Served(ABC):
    """A server of a broker, and topics of a test."""

    name: BrokerName
    orders = "orders"
    told = "told"

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    def broker(self) -> Broker: ...

    @abstractmethod
    def section(self) -> dict[str, Any]: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class Nats(Served):
    name: BrokerName = "nats"
    server: NatsServer

    async def open(self) -> None:
        self.server = new_server()
        await add_stream(self.server.url, "s", self.orders, self.told)

    def broker(self) -> Broker:
        return NatsBroker([self.server.url])

    def section(self) -> dict[str, Any]:
        return {"servers": [self.server.url]}

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def close(self) -> None:
        self.server.close()


class Rabbit(Served):
    name: BrokerName = "rabbitmq"
    server: RabbitServer

    async def open(self) -> None:
        self.server = shared_server()
        self.orders = await add_queue(self.server.url, new_queue("orders"))
        self.told = await add_queue(self.server.url, new_queue("told"))

    def broker(self) -> Broker:
        return RabbitBroker(self.server.url)

    def section(self) -> dict[str, Any]:
        return {"url": self.server.url}

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def close(self) -> None:
        """Other tests use it, too."""


class Kafka(Served):
    name: BrokerName = "kafka"
    cluster: KafkaCluster

    async def open(self) -> None:
        self.cluster = KafkaCluster()
        for topic in (self.orders, self.told):
            self.cluster.add_topic(topic, 2)

    def broker(self) -> Broker:
        return KafkaBroker([self.cluster.servers], QUICK)

    def section(self) -> dict[str, Any]:
        return {"servers": [self.cluster.servers], "settings": QUICK}

    def stop(self) -> None:
        self.cluster.stop()

    def start(self) -> None:
        self.cluster.start()

    def close(self) -> None:
        self.cluster.close()


@pytest.fixture(params=[Nats, Kafka, Rabbit], ids=["nats", "kafka", "rabbitmq"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    made: Served = request.param()
    await made.open()
    yield made
    made.close()


@asynccontextmanager
async def server(served: Served, path: Path) -> AsyncIterator[tuple[Session, Brokers]]:
    """An engine on SQLite, with the broker as it is configured."""
    events = {
        served.name: {**served.section(), "topics": [served.orders]},
        "sinks": {
            "audit": {"broker": served.name, "topic": served.told, "types": ["*.execution.completed.*"]},
        },
    }
    configuration = configuration_from({"state_store": {"path": str(path)}, "events": events})
    clock, bell = SystemClock(), Bell()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session(configuration, Registries(), clock=clock, observer=bell, take_over=True, has_queues=True)
        )
        reading = Reading(session.store, session.codec, session.definitions)
        brokers = await stack.enter_async_context(open_brokers(configuration, session, reading, bell, clock, "node"))
        yield session, brokers


async def publish(broker: Broker, topic: str, numbers: Sequence[int]) -> None:
    """Publish until the broker has confirmed it."""
    messages = [Outgoing(id=f"m{n}", body=json.dumps({"n": n}).encode(), key=f"k{n % 5}") for n in numbers]
    while True:
        with suppress(BrokerError):
            await broker.publish(topic, messages)
            return
        await asyncio.sleep(0.2)


async def inputs(session: Session) -> Counter[int]:
    """How often each message started an execution."""
    found: Counter[int] = Counter()
    cursor = None
    reading = Reading(session.store, session.codec, session.definitions)
    while True:
        page = await session.store.list(ExecutionQuery(cursor=cursor, limit=200))
        for each in page.items:
            output = (await reading.execution(each.id))["steps"][0]["output"]
            if output is not None:  # it has not come to its end yet
                found[output["n"]] += 1
        if page.next is None:
            return found
        cursor = page.next


async def told(broker: Broker, topic: str, count: int) -> Counter[str]:
    """How often each execution was told of."""
    found: Counter[str] = Counter()
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            with suppress(BrokerError):
                subscription = await broker.subscribe(topic, "listener")
                while len(found) < count:
                    messages = await subscription.pull(100, 1.0)
                    found.update(json.loads(message.body)["data"]["execution_id"] for message in messages)
                    await subscription.acknowledge(messages)
                await subscription.close()
    return found


async def test_nothing_is_lost_and_nothing_comes_twice_while_the_server_goes_and_comes(
    served: Served, tmp_path: Path
) -> None:
    outside = served.broker()
    async with server(served, tmp_path / "w.db") as (session, brokers), asyncio.timeout(2 * PATIENCE):
        document = workflow({"topic": {"name": served.orders}})
        source = Source("w.yaml", as_text(document, "json"))
        await session.definitions.register(source, at=0, by="ann", reason="test")
        publishing = asyncio.create_task(publish(outside, served.orders, range(COUNT // 2)))
        await asyncio.sleep(0.3)
        served.stop()
        async with asyncio.timeout(PATIENCE):
            while brokers.problem() is None:
                await asyncio.sleep(0.05)
        served.start()
        await publishing
        await publish(outside, served.orders, range(COUNT // 2, COUNT))
        while len(await inputs(session)) < COUNT:
            await asyncio.sleep(0.1)
        while brokers.problem() is not None:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        assert await inputs(session) == Counter(range(COUNT))
        assert len(await told(outside, served.told, COUNT)) == COUNT
    await outside.close()
