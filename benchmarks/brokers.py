"""Messages a second from brokers into the store, and from the store to brokers: `python -m benchmarks.brokers`.

NATS and RabbitMQ are the real servers of the tests; Kafka is librdkafka's mock cluster, which is in memory. SQLite on
disk. The client alone is measured in the same run, for comparison.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stepwell.app.brokers import Brokers
from stepwell.base.spans import Source
from stepwell.dialects.writing import as_text
from stepwell.ports.brokers import Broker, Outgoing
from stepwell.ports.ledger import Write
from tests.app.scheduling import workflow
from tests.brokers.test_through_outages import Kafka, Nats, Rabbit, Served, server

COUNT = 5_000


async def measured(served: Served) -> dict[str, float]:
    """Messages a second, by what was done."""
    await served.open()
    try:
        rates = await _client(served)
        with tempfile.TemporaryDirectory() as folder:
            rates |= await _server(served, Path(folder) / "w.db")
    finally:
        served.close()
    return rates


async def _client(served: Served) -> dict[str, float]:
    broker = served.broker()
    await broker.publish(served.orders, [_message(-1)])
    began = time.perf_counter()
    for start in range(0, COUNT, 200):
        await broker.publish(served.orders, [_message(n) for n in range(start, start + 200)])
    published = time.perf_counter()
    subscription = await broker.subscribe(served.orders, "raw")
    came = len(await subscription.pull(200, 10.0))
    first = time.perf_counter()
    while came < COUNT + 1:
        messages = await subscription.pull(200, 2.0)
        await subscription.acknowledge(messages)
        came += len(messages)
    taken = time.perf_counter()
    await subscription.close()
    if served.name == "rabbitmq":  # a queue has one group: what was taken is gone
        await _publish(broker, served.orders)
    await broker.close()
    return {"client out": COUNT / (published - began), "client in": COUNT / (taken - first)}


async def _publish(broker: Broker, topic: str) -> None:
    for start in range(0, COUNT, 200):
        await broker.publish(topic, [_message(n) for n in range(start, start + 200)])


async def _server(served: Served, path: Path) -> dict[str, float]:
    async with server(served, path) as (session, brokers):
        began = await _until(lambda: _taken(brokers) > 0)
        start = _taken(brokers)
        ended = await _until(lambda: _taken(brokers) >= COUNT)
        events_in = (_taken(brokers) - start) / (ended - began)
        document = workflow({"topic": {"name": served.orders}})
        document["spec"]["steps"] = [{"name": "only", "type": "noop"}]
        source = Source("w.yaml", as_text(document, "json"))
        await session.definitions.register(source, at=0, by="bench", reason="bench")
        broker = served.broker()
        had = _taken(brokers)
        began = time.perf_counter()
        for start in range(0, 1_000, 200):
            await broker.publish(served.orders, [_message(10 * COUNT + n) for n in range(start, start + 200)])
        ended = await _until(lambda: _taken(brokers) >= had + 1_000)
        starts_in = 1_000 / (ended - began)
        await _until(lambda: _sent(brokers) >= 1_000)
        await broker.close()
    rates = {"events into the store": events_in, "workflows started": starts_in}
    return rates | await _sink(served, path)


async def _sink(served: Served, path: Path) -> dict[str, float]:
    """The sink begins with an old place, and everything is to be told."""
    async with server(served, path) as (session, brokers):
        document = await session.store.document("broker-sink", "audit")
        assert document is not None
        body = {**json.loads(document.body), "after": 0, "claim": {}}
        had = _sent(brokers)
        await session.store.write([Write(kind=document.kind, key="audit", body=json.dumps(body).encode())], 0)
        began = time.perf_counter()
        ended = await _until(lambda: _sent(brokers) >= had + 1_000)
    return {"events told (1 of 4 rows is wanted)": 1_000 / (ended - began)}


def _message(number: int) -> Outgoing:
    return Outgoing(id=f"m{number}", body=json.dumps({"n": number}).encode(), key=f"k{number % 50}")


def _taken(brokers: Brokers) -> int:
    return sum(sum(each.counts.values()) for each in brokers.figures() if each.direction == "in")


def _sent(brokers: Brokers) -> int:
    return sum(each.counts["sent"] for each in brokers.figures() if each.direction == "out")


async def _until(is_so: Callable[[], bool]) -> float:
    async with asyncio.timeout(120):
        while not is_so():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    return time.perf_counter()


def main() -> None:
    """Print the figures."""
    for kind in (Nats, Kafka, Rabbit):
        if len(sys.argv) < 2 or kind.name in sys.argv[1:]:
            rates = asyncio.run(measured(kind()))
            print(kind.name, {name: round(rate) for name, rate in rates.items()})


if __name__ == "__main__":
    main()
