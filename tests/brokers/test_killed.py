"""`kill -9` of a server that reads a topic and tells sinks: all messages are in the history once, all is told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.js.api import AckPolicy, ConsumerConfig

from stepwell.app.broker_sections import GROUP
from stepwell.brokers.nats import MOST_OUT, NatsBroker, consumer_name
from stepwell.ports.brokers import Outgoing
from tests.api.documents import API
from tests.api.processes import serving
from tests.app.scheduling import workflow
from tests.brokers.test_nats import add_stream
from tests.servers.nats import new_server

COUNT = 200
PATIENCE = 90

CONFIGURATION = """\
state_store: {{path: w.db}}
events:
  nats: {{servers: ["{url}"], topics: [orders]}}
  sinks:
    audit: {{broker: nats, topic: told, types: ["stepwell.execution.completed.v1"]}}
    said: {{broker: nats, topic: said, send: [emitted]}}
"""


def document() -> dict[str, Any]:
    made = workflow({"topic": {"name": "orders"}}, name="ship")
    emit = {"type": "shipped", "data": {"n": "{{ input.n }}"}}
    made["spec"]["steps"] = [{"name": "say", "type": "emit_event", "config": emit}]
    return made


async def add_quick_group(url: str, topic: str) -> None:
    """Have what the group of the server has not acknowledged delivered again after a second instead of twenty."""
    client = await nats.connect(url)
    group = ConsumerConfig(
        durable_name=consumer_name(GROUP, topic),
        filter_subject=topic,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=1,
        max_ack_pending=MOST_OUT,
    )
    await client.jetstream().add_consumer("s", group)
    await client.close()


async def received(broker: NatsBroker, topic: str, count: int) -> list[Any]:
    """So many different events that a topic was told of."""
    found: dict[str, Any] = {}
    subscription = await broker.subscribe(topic, "listener")
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            messages = await subscription.pull(200, 1.0)
            found |= {body["id"]: body for body in (json.loads(message.body) for message in messages)}
            await subscription.acknowledge(messages)
    await subscription.close()
    return list(found.values())


async def test_messages_survive_the_node_that_takes_them(tmp_path: Path) -> None:
    broker_server = new_server()
    try:
        url = broker_server.url
        await add_stream(url, "s", "orders", "told", "said")
        await add_quick_group(url, "orders")
        (tmp_path / "stepwell.yaml").write_text(CONFIGURATION.format(url=url))
        broker = NatsBroker([url])
        with serving(tmp_path) as server:
            with httpx.Client(base_url=server.url, timeout=30) as client:
                assert client.post(f"{API}/workflows", json=document()).status_code < 300
            messages = [Outgoing(id=f"m{n}", body=json.dumps({"n": n}).encode(), key=f"k{n % 7}") for n in range(COUNT)]
            await broker.publish("orders", messages)
            await asyncio.sleep(0.2)  # at whatever moment that is
            server.kill()
        with serving(tmp_path):
            completed = await received(broker, "told", COUNT)
            said = await received(broker, "said", COUNT)
        await broker.close()
    finally:
        broker_server.close()
    assert Counter(event["data"]["n"] for event in said) == Counter(range(COUNT))
    assert len({event["data"]["execution_id"] for event in completed}) == COUNT
