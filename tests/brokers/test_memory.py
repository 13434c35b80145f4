"""The broker in memory."""

from __future__ import annotations

import pytest

from stepwell.base.clock import SystemClock
from stepwell.brokers.memory import MemoryBroker
from stepwell.ports.brokers import Broker, BrokerError
from tests.conformance.broker import BrokerConformance, BrokerHarness, outgoing


class MemoryHarness(BrokerHarness):
    drops_repeated = True

    def __init__(self) -> None:
        self._topics = set[str]()
        self._shared = MemoryBroker(SystemClock())
        self._shared.topics = self._topics
        super().__init__()

    async def topic(self, name: str = "orders") -> str:
        self._topics.add(name)
        return name

    def new_broker(self) -> Broker:
        return self._shared


class TestMemoryBroker(BrokerConformance):
    def new_harness(self) -> MemoryHarness:
        return MemoryHarness()


async def test_it_fails_when_it_is_told_to_and_refuses_what_it_is_told_to() -> None:
    broker = MemoryBroker(SystemClock())
    broker.refuses = lambda message: "too large" if message.id == "m1" else None
    assert await broker.publish("t", [outgoing(0), outgoing(1)]) == [None, "too large"]
    broker.fail(BrokerError("it is down"))
    with pytest.raises(BrokerError, match="it is down"):
        await broker.publish("t", [outgoing(2)])
