"""What becomes of messages that cannot be taken, when their dead letters meet with something themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from stepwell.app.broker_sources import BACKOFF
from stepwell.app.requeuing import Requeuing
from stepwell.brokers.memory import MemoryBroker
from stepwell.ports.brokers import BrokerError, Outgoing, Subscription
from stepwell.store.memory.store import MemoryStore
from tests.app.brokered import KAFKA, Node, message, node
from tests.app.scheduling import MONDAY, workflow
from tests.virtual_clock import VirtualClock

EVENTS = {"kafka": {**KAFKA, "topics": ["orders"], "dead_letter": "dead"}}
TOPIC = {"topic": {"broker": "kafka", "name": "orders"}}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(MONDAY)


@pytest.fixture
def broker(clock: VirtualClock) -> MemoryBroker:
    return MemoryBroker(clock)


@pytest.fixture
async def one(store: MemoryStore, clock: VirtualClock, broker: MemoryBroker) -> AsyncIterator[Node]:
    async with node(store, clock, EVENTS, {"kafka": broker}) as opened:
        yield opened


async def test_a_dead_letter_that_cannot_be_taken_either_does_not_go_round(one: Node, broker: MemoryBroker) -> None:
    await one.register(workflow({"topic": {"name": "dead"}}))
    broker.put("orders", message(b"{garbage"))
    await one.clock.settle()
    assert [each.topic for each in broker.published("dead")] == ["dead"]
    assert [each.event.type for each in await one.dead()] == ["topic:dead", "topic:orders"]


async def test_a_dead_letter_that_the_client_cannot_write_is_kept_and_holds_nothing_up(
    one: Node, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        raise ValueError("a header that is none")

    await one.register(workflow(TOPIC))
    monkeypatch.setattr(broker, "publish", breaks)
    for body in (b"{garbage", b'{"n": 1}'):
        broker.put("orders", message(body, key="k"))
    await one.clock.settle()
    assert await one.outputs() == [{"n": 1}]
    assert [each.error.type for each in await one.dead()] == ["invalid-body"]
    assert "is not told to the topic dead" in caplog.text


async def test_tried_again_it_starts_what_its_topic_starts_with_the_headers_that_it_had(
    one: Node, broker: MemoryBroker
) -> None:
    shown = {"n": "{{ event.data.n }}", "by": "{{ event.headers.who }}", "of": "{{ event.topic }}"}
    await one.register(workflow({**TOPIC, "map": shown}))
    broker.put("orders", message(b"{garbage", headers={"who": "ann"}))
    await one.clock.settle()
    (dead,) = await one.dead()
    done = await requeuing(one).retry(dead.id, {"n": 7}, by="bob", reason="mended")
    await one.clock.settle()
    assert len(done.executions) == 1
    assert await one.outputs() == [{"n": 7, "by": "ann", "of": "orders"}]
    assert await one.firings() == [("topic", "started")]
    assert not await one.dead()


def requeuing(one: Node) -> Requeuing:
    session = one.session

    async def publish(event: Any, writes: Any, also: Any) -> Any:
        return await session.triggering.publish_by(
            session.engine, event, one.clock.now(), also=also, writes=writes, kind="topic"
        )

    return Requeuing(one.store, session.triggering, session.codec, one.clock, publish, session.engine.write)


class Cancelling(MemoryBroker):
    """Its client lets a cancellation of its own out, once for each use."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.cancels = {"subscribe", "publish"}

    async def subscribe(self, topic: str, group: str, **more: Any) -> Subscription:
        self._cancel("subscribe")
        return await super().subscribe(topic, group, **more)

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        self._cancel("publish")
        return await super().publish(topic, messages)

    def _cancel(self, use: str) -> None:
        if use in self.cancels:
            self.cancels.remove(use)
            raise asyncio.CancelledError


async def test_a_client_that_cancels_what_it_is_asked_for_ends_neither_reading_nor_telling(
    store: MemoryStore, clock: VirtualClock
) -> None:
    events = {**EVENTS, "sinks": {"audit": {"broker": "kafka", "topic": "told", "types": ["*.execution.completed.*"]}}}
    broker = Cancelling(clock)
    async with node(store, clock, events, {"kafka": broker}) as one:
        assert one.brokers.problem() == "topic orders of kafka: it broke with CancelledError"
        await one.register(workflow(TOPIC))
        broker.put("orders", message({"n": 1}))
        for _ in range(3):
            await clock.advance(BACKOFF[-1])
        assert broker.cancels == set()
        assert await one.outputs() == [{"n": 1}]
        assert len(broker.published("told")) == 1
        assert one.brokers.problem() is None


async def test_an_outage_that_becomes_another_one_is_told_of_again(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.fail(BrokerError("it is down"))
    async with node(store, clock, EVENTS, {"kafka": broker}):
        await clock.advance(BACKOFF[-1])
        broker.fail(BrokerError("it does not let us in", code="broker-access"))
        await clock.advance(BACKOFF[-1])
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "it is down; it is tried again",
        "it does not let us in; it is tried again",
    ]


async def test_looking_twice_at_once_which_topics_are_to_be_read_reads_each_once(
    one: Node, broker: MemoryBroker
) -> None:
    topics = ["a", "b"]
    await one.register(workflow(*({"topic": {"name": each}} for each in topics)))
    gone = workflow(*({"topic": {"name": each}, "active": False} for each in topics), version="1.0.1")
    looking = [asyncio.create_task(one.brokers.look()) for _ in range(2)]
    await one.register(gone)
    await asyncio.gather(*looking, one.brokers.look(), one.brokers.look())
    assert [topic for _, topic in one.brokers._sources] == ["orders"]
