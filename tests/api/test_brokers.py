"""Brokers over the API: how reading and telling go, in lists, health and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell.base.clock import SystemClock
from stepwell.brokers.memory import MemoryBroker
from stepwell.ports.brokers import BrokerError, Message
from tests.api.conftest import OpenServer, Server

EVENTS = {
    "kafka": {"servers": ["unused:1"], "topics": ["orders"], "dead_letter": "dead"},
    "sinks": {"audit": {"broker": "kafka", "topic": "told"}},
}
WORKFLOW = {
    "apiVersion": "workflow/v1",
    "kind": "Workflow",
    "metadata": {"name": "shop.order", "version": "1.0.0"},
    "spec": {
        "triggers": [{"topic": {"name": "orders"}}, {"topic": {"broker": "nats", "name": "x"}}],
        "steps": [{"name": "only", "type": "noop"}],
    },
}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    broker = MemoryBroker(SystemClock())
    monkeypatch.setattr("stepwell.app.brokers.configured_brokers", lambda *given: {"kafka": broker})
    return broker


@pytest.fixture
async def brokered(open_test_server: OpenServer, broker: MemoryBroker) -> AsyncIterator[Server]:
    async with open_test_server({"events": EVENTS}) as server:
        yield server


async def listed(server: Server) -> Any:
    found = await server.get("/api/v1/brokers")
    assert found.status_code == 200, found.text
    return found.json()["items"][0]


async def test_what_is_read_and_told_is_listed_and_counted(brokered: Server, broker: MemoryBroker) -> None:
    applied = await brokered.post("/api/v1/workflows", json=WORKFLOW)
    assert [finding["code"] for finding in applied.json()["warnings"]] == ["not-triggered"]
    await brokered.advance(10_000_000)
    for body in (b"{}", b"garbage"):
        broker.put("orders", Message(topic="orders", body=body))
    await brokered.advance(1_000_000)
    shown = await listed(brokered)
    (source,), (sink,) = shown["sources"], shown["sinks"]
    assert (source["topic"], source["reading"], source["taken"], source["refused"]) == ("orders", True, 1, 1)
    assert (sink["name"], sink["sent"], sink["problem"], sink["carried_by"] is not None) == ("audit", 4, None, True)
    assert shown["problems"] == ["trigger 1 of shop.order starts nothing: there is no broker 'nats'"]
    text = (await brokered.get("/metrics")).text
    labels = 'broker="kafka",direction="in"'
    assert any(
        line.startswith(f"stepwell_broker_messages_total{{{labels}") and 'status="taken",topic="orders"} 1.0' in line
        for line in text.splitlines()
    )
    assert "stepwell_broker_up" in text
    assert "stepwell_broker_behind_seconds" in text
    letters = (await brokered.get("/api/v1/dead-letters")).json()["items"]
    assert [each["error"]["type"] for each in letters] == ["invalid-body"]


async def test_a_broker_that_is_down_is_said_and_keeps_nobody_from_using_the_server(
    brokered: Server, broker: MemoryBroker
) -> None:
    broker.fail(BrokerError("it is down"))
    await brokered.advance(1_000_000)
    ready = await brokered.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["problems"] == ["Brokers: topic orders of kafka: it is down"]
    assert (await listed(brokered))["sources"][0]["problem"] == "it is down"
    up = [line for line in (await brokered.get("/metrics")).text.splitlines() if line.startswith("stepwell_broker_up{")]
    assert sorted(line[-3:] for line in up) == ["0.0", "1.0"]


async def test_what_is_never_taken_is_listed(brokered: Server, broker: MemoryBroker) -> None:
    broker.refuses = lambda message: "too large"
    await brokered.post("/api/v1/workflows", json=WORKFLOW)
    await brokered.post("/api/v1/workflows/shop.order/executions", json={"input": {}})
    await brokered.advance(1_000_000)
    page = (await brokered.get("/api/v1/brokers/undelivered?limit=2")).json()
    assert [(each["reason"], each["workflow"]) for each in page["items"]] == [("too large", "shop.order")] * 2
    more = (await brokered.get(f"/api/v1/brokers/undelivered?limit=50&cursor={page['next']}")).json()
    assert (len(more["items"]), more["next"]) == (2, None)


async def test_a_server_without_brokers_says_so(server: Server) -> None:
    assert (await server.get("/api/v1/brokers")).json() == {"items": [], "next": None}
