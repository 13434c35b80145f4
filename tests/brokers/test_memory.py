"""The broker in memory."""

from __future__ import annotations

import pytest

from stepwell.base.clock import SystemClock
from stepwell.brokers.memory import MemoryBroker
from stepwell.ports.brokers import Broker, BrokerError
from tests.conformance.broker import BrokerConformance, BrokerHarness, OpenHarness, outgoing


class MemoryHarness(BrokerHarness):
    drops_repeated = True

    def __init__(self) -> None:
        self.broker: MemoryBroker = MemoryBroker(SystemClock())
        self.broker.topics = set()

    async def topic(self, name: str = "orders") -> str:
        assert self.broker.topics is not None
        self.broker.topics.add(name)
        return name

    def other(self) -> Broker:
        return self.broker


class TestMemoryBroker(BrokerConformance):
    @pytest.fixture
    def open_harness(self) -> OpenHarness:
        async def open_() -> MemoryHarness:
            return MemoryHarness()

        return open_


async def test_it_fails_when_it_is_told_to_and_refuses_what_it_is_told_to() -> None:
    broker = MemoryBroker(SystemClock())
    broker.refuses = lambda message: "too large" if message.id == "m1" else None
    assert await broker.publish("t", [outgoing(0), outgoing(1)]) == [None, "too large"]
    broker.fail(BrokerError("it is down"))
    with pytest.raises(BrokerError, match="it is down"):
        await broker.publish("t", [outgoing(2)])
