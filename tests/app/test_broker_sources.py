"""Topics that are read: once into history, acknowledged after that, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.app.broker_sources import BACKOFF
from stepwell.base.durations import SECOND
from stepwell.base.errors import StoreError
from stepwell.brokers.memory import MemoryBroker
from stepwell.execution.history import ExecutionCreated
from stepwell.ports.brokers import BrokerError, Message
from stepwell.ports.listings import ExecutionQuery
from stepwell.store.memory.store import MemoryStore
from tests.app.brokered import KAFKA, TRACE, Node, cloud_event, message, node
from tests.app.scheduling import MONDAY, memory_store, workflow
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


def counts(node: Node, topic: str = "orders") -> tuple[int, int, int]:
    state = node.source(topic).state
    return tuple(state.counts.get(name, 0) for name in ("taken", "duplicate", "refused"))


async def lag(broker: MemoryBroker, group: str = "stepwell") -> int | None:
    return await (await broker.subscribe("orders", group)).lag()


async def test_an_event_that_comes_by_a_topic_starts_what_an_event_trigger_starts(
    one: Node, broker: MemoryBroker
) -> None:
    await one.register(workflow({"event": "order:*"}))
    broker.put("orders", message(cloud_event("e1", n=1)))
    broker.put("orders", message(cloud_event("e1", n=1)))
    await one.clock.settle()
    assert await one.outputs() == [{"n": 1}]
    assert counts(one) == (1, 1, 0)
    assert await lag(broker) == 0


async def test_a_topic_trigger_starts_its_workflow_with_what_it_makes_of_the_message(
    one: Node, broker: MemoryBroker
) -> None:
    shown = {
        "n": "{{ event.data.n }}",
        "of": "{{ event.topic }}",
        "by": "{{ event.headers.who }}",
        "k": "{{ event.key }}",
    }
    await one.register(workflow({**TOPIC, "filter": {"n": {"~gt": 1}}, "map": shown}))
    for n in (1, 2):
        broker.put("orders", message({"n": n}, key="o7", headers={"who": "ann", "authorization": "s3cret"}))
    await one.clock.settle()
    assert await one.outputs() == [{"n": 2, "of": "orders", "by": "ann", "k": "o7"}]
    assert await one.firings() == [("topic", "filtered"), ("topic", "started")]
    assert "s3cret" not in json.dumps(await one.outputs())


async def test_the_filter_may_stand_beside_the_name_of_the_topic_and_the_only_broker_needs_no_name(
    one: Node, broker: MemoryBroker
) -> None:
    await one.register(workflow({"topic": {"name": "others", "filter": "event.data.n > 1"}}))
    for n in (1, 2):
        broker.put("others", message({"n": n}))
    await one.clock.settle()
    assert await one.outputs() == [{"n": 2}]


async def test_topics_are_read_as_long_as_an_active_trigger_names_them(one: Node, broker: MemoryBroker) -> None:
    assert [topic for _, topic in one.brokers._sources] == ["orders"]
    await one.register(workflow({"topic": {"name": "others"}}))
    assert [topic for _, topic in one.brokers._sources] == ["orders", "others"]
    await one.register(workflow({"topic": {"name": "others"}, "active": False}, version="1.0.1"))
    assert [topic for _, topic in one.brokers._sources] == ["orders"]


async def test_a_trigger_whose_topic_is_not_read_is_told_of(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    events = {"kafka": {**KAFKA, "triggers": ["shop.*"]}}
    async with node(store, clock, events, {"kafka": broker}) as one:
        await one.register(workflow({"topic": {"name": "pay"}}, {"topic": {"broker": "nats", "name": "shop.a"}}))
        assert one.brokers.problem() == (
            "trigger 0 of report starts nothing: no trigger may name the topic 'pay' of kafka; "
            "trigger 1 of report starts nothing: there is no broker 'nats'"
        )
        assert not one.brokers._sources


async def test_the_trace_of_a_message_is_that_of_what_it_starts(one: Node, broker: MemoryBroker) -> None:
    await one.register(workflow(TOPIC, {"event": "topic:orders"}))
    broker.put("orders", message({}, headers={"traceparent": TRACE}))
    broker.put("orders", message({}, headers={"traceparent": "nonsense"}))
    await one.clock.settle()
    page = await one.store.list(ExecutionQuery())
    traces = []
    for each in page.items:
        (row, *_) = await one.store.history(each.id, 0, 1)
        traces += [e.trace for e in one.session.codec.decode_events(row.events) if isinstance(e, ExecutionCreated)]
    assert sorted(traces) == ["", "", TRACE, TRACE]


# What cannot be taken


async def test_what_is_no_event_is_a_dead_letter_in_the_store_and_in_the_topic_and_the_rest_goes_on(
    one: Node, broker: MemoryBroker
) -> None:
    await one.register(workflow(TOPIC))
    for body in (b"{garbage", b'{"n": 1}'):
        broker.put("orders", message(body, key="k", headers={"who": "ann"}))
    await one.clock.settle()
    assert await one.outputs() == [{"n": 1}]
    assert counts(one) == (1, 0, 1)
    (dead,) = broker.published("dead")
    assert (dead.body, dead.key, dead.headers["who"]) == (b"{garbage", "k", "ann")
    assert (dead.headers["stepwell-error"], dead.headers["stepwell-topic"]) == ("invalid-body", "orders")
    assert "not usable JSON" in dead.headers["stepwell-reason"]
    (kept,) = await one.dead()
    assert (kept.event.type, kept.event.source, kept.error.type) == (
        "topic:orders",
        "brokers/kafka/orders",
        "invalid-body",
    )
    assert await lag(broker) == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**cloud_event("e"), "type": "stepwell.x"}, "invalid-event"),
        ({"event": "a", "payload": "x" * 300_000}, "event-too-large"),
    ],
)
async def test_an_event_that_is_refused_is_a_dead_letter(one: Node, broker: MemoryBroker, body: Any, code: str) -> None:
    broker.put("orders", message(body))
    await one.clock.settle()
    assert [dead.headers["stepwell-error"] for dead in broker.published("dead")] == [code]
    assert [dead.error.type for dead in await one.dead()] == [code]


async def test_a_message_that_the_workflow_does_not_accept_is_a_dead_letter_of_its_trigger(
    one: Node, broker: MemoryBroker
) -> None:
    schema = {"schema": {"properties": {"n": {"type": "integer"}}}}
    await one.register(workflow(TOPIC, input=schema))
    broker.put("orders", message({"n": "x"}))
    await one.clock.settle()
    assert await one.firings() == [("topic", "refused")]
    (dead,) = broker.published("dead")
    assert dead.headers["stepwell-error"] == "invalid-input"
    (kept,) = await one.dead()
    assert (kept.workflow, kept.trigger, kept.kind) == ("report", 0, "topic")
    assert counts(one) == (0, 0, 1)


async def test_a_message_with_which_something_unforeseen_goes_wrong_is_given_up_in_the_end(
    one: Node, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await one.register(workflow(TOPIC))
    publish = one.session.triggering.publish_by

    async def breaks(engine: Any, event: Any, now: int, **more: Any) -> Any:
        if event.data == {"n": 1}:
            raise ZeroDivisionError("s3cret")
        return await publish(engine, event, now, **more)

    monkeypatch.setattr(one.session.triggering, "publish_by", breaks)
    for n in (1, 2):
        broker.put("orders", message({"n": n}))
    for _ in range(5):
        await one.clock.advance(BACKOFF[-1])
    assert await one.outputs() == [{"n": 2}]
    assert [dead.headers["stepwell-error"] for dead in broker.published("dead")] == ["internal-error"]


# Outages


async def test_while_the_store_is_down_nothing_is_acknowledged_and_then_everything_comes_once_and_in_order(
    one: Node,
    broker: MemoryBroker,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await one.register(workflow(TOPIC))
    publish = store.publish
    fails = 0

    async def failing(*given: Any, **more: Any) -> Any:
        nonlocal fails
        fails += 1
        raise StoreError("the store is away")

    monkeypatch.setattr(store, "publish", failing)
    for n in range(3):
        broker.put("orders", message({"n": n}, key="k"))
    await one.clock.settle()
    assert (fails, await lag(broker), one.brokers.problem()) == (1, 3, "topic orders of kafka: the store is away")
    await one.clock.advance(10 * SECOND)
    assert 3 <= fails <= 6
    monkeypatch.setattr(store, "publish", publish)
    await one.clock.advance(BACKOFF[-1])
    assert await one.outputs() == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (await lag(broker), one.brokers.problem()) == (0, None)
    told = [record.message for record in caplog.records if "topic orders" in record.message]
    assert told == [
        "topic orders of kafka: the store is away; it is tried again",
        "topic orders of kafka: it works again",
    ]


async def test_a_broker_that_is_down_at_the_start_and_later_is_told_of_once_and_tried_again(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.fail(BrokerError("it is down", hint="start it"))
    async with node(store, clock, EVENTS, {"kafka": broker}) as one:
        assert one.brokers.problem() == "topic orders of kafka: it is down (start it)"
        await clock.advance(100 * SECOND)
        broker.fail(None)
        broker.put("orders", message({"n": 0}))
        await clock.advance(BACKOFF[-1])
        assert one.brokers.problem() is None
        await one.register(workflow(TOPIC))
        broker.fail(BrokerError("down again"))
        await clock.settle()
        broker.put("orders", message({"n": 1}))
        assert one.brokers.problem() == "topic orders of kafka: down again"
        broker.fail(None)
        await clock.advance(BACKOFF[-1])
        assert await one.outputs() == [{"n": 1}]
    assert [record.message for record in caplog.records] == [
        "topic orders of kafka: it is down (start it); it is tried again",
        "topic orders of kafka: it works again",
        "topic orders of kafka: down again; it is tried again",
        "topic orders of kafka: it works again",
    ]


async def test_what_was_stored_and_not_acknowledged_comes_again_and_does_nothing(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    async with node(store, clock, EVENTS, {"kafka": broker}) as first:
        await first.register(workflow(TOPIC))
        subscription = await broker.subscribe("orders", "stepwell")
        broker.fail(BrokerError("down"))
        await clock.settle()
        broker.put("orders", message({"n": 1}))
        (pulled,) = await _pull_broken(broker, subscription)
        await first.source()._taking.take(pulled)  # and then the node dies
        await subscription.close()
    async with node(store, clock, EVENTS, {"kafka": broker}) as second:
        await clock.advance(BACKOFF[-1])
        assert await second.executions() == ["report"]
        assert counts(second) == (0, 1, 0)


async def _pull_broken(broker: MemoryBroker, subscription: Any) -> list[Message]:
    broker.fail(None)
    found: list[Message] = await subscription.pull(1, 1.0)
    return found


async def test_two_nodes_share_a_group(store: MemoryStore, clock: VirtualClock, broker: MemoryBroker) -> None:
    brokers = {"kafka": broker}
    async with (
        node(store, clock, EVENTS, brokers, "one") as one,  # type: ignore[arg-type]
        node(store, clock, EVENTS, brokers, "two"),  # type: ignore[arg-type]
    ):
        await one.register(workflow(TOPIC))
        for n in range(10):
            broker.put("orders", message({"n": n}, key=f"k{n}"))
        await clock.settle()
        assert sorted(output["n"] for output in await one.outputs()) == list(range(10))
        assert await lag(broker) == 0


async def test_an_ordered_topic_is_read_by_one_node_and_taken_over_when_that_is_gone(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    events = {"kafka": {**EVENTS["kafka"], "ordered": True}}
    brokers: Any = {"kafka": broker}
    async with node(store, clock, events, brokers, "two") as two, node(store, clock, events, brokers, "one") as one:
        await clock.settle()
        assert [each.source().state.is_mine for each in (one, two)] == [False, True]
        two.brokers._sources["kafka", "orders"][1].cancel()
        two.source()._holding._ledger = None  # it dies without a word
        await clock.advance(25 * SECOND)
        await asyncio.sleep(0)
        assert one.source().state.is_mine


# Whatever comes


anything = st.text(max_size=20)
bodies = st.binary(max_size=60) | st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    st.fixed_dictionaries({"specversion": st.just("1.0"), "id": anything, "source": anything, "type": anything}),
    st.fixed_dictionaries({"event": anything, "payload": anything}),
).map(lambda value: json.dumps(value).encode())
messages = st.builds(
    lambda body, key, own_id, headers: Message(topic="orders", body=body, key=key, own_id=own_id, headers=headers),
    bodies,
    st.none() | anything,
    st.none() | anything,
    st.dictionaries(
        st.sampled_from(["content-type", "ce-specversion", "ce-id", "ce-type", "ce-source", "traceparent", "x"]),
        anything | st.sampled_from(["1.0", "application/json", "application/cloudevents+json", "text/plain"]),
        max_size=4,
    ),
)


@given(st.lists(messages, max_size=8))
@settings(max_examples=60, deadline=None)
async def test_whatever_comes_is_taken_or_refused_and_nothing_holds_the_rest_up(given_messages: list[Message]) -> None:
    clock = VirtualClock(MONDAY)
    broker = MemoryBroker(clock)
    async with memory_store() as store, node(store, clock, EVENTS, {"kafka": broker}) as one:
        await one.register(workflow(TOPIC, {"event": "*"}))
        for each in given_messages:
            broker.put("orders", each)
        broker.put("orders", message({"last": True}))
        await clock.settle()
        assert one.brokers.problem() is None
        assert await lag(broker) == 0
        assert sum(counts(one)) == len(given_messages) + 1
        assert {"last": True} in await one.outputs()
