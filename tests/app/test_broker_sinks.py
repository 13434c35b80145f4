"""Brokers are told what happens: everything, in order, again and again until it is confirmed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell.app.broker_sinks import Sink
from stepwell.app.broker_sources import BACKOFF
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict, StoreError
from stepwell.brokers.memory import MemoryBroker
from stepwell.ports.brokers import BrokerError, Message
from stepwell.ports.ledger import JournalQuery, Write
from stepwell.store.memory.store import MemoryStore
from stepwell.telemetry.tracing import parsed, span_of
from stepwell.triggers.cloud_events import STRUCTURED
from tests.app.brokered import KAFKA, TRACE, Node, node
from tests.app.scheduling import MONDAY, workflow
from tests.virtual_clock import VirtualClock

TOLD = ["execution.created", "execution.started", "step.started", "step.completed", "execution.completed"]


def events(**sink: Any) -> dict[str, Any]:
    return {
        "kafka": {**KAFKA, "dead_letter": "dead"},
        "sinks": {"audit": {"broker": "kafka", "topic": "told", **sink}},
    }


def speaker(data: Any, **more: Any) -> dict[str, Any]:
    document = workflow(name="speaker")
    config = {"type": "order:paid", "data": data, **more}
    document["spec"]["steps"] = [{"name": "tell", "type": "emit_event", "config": config}]
    return document


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(MONDAY)


@pytest.fixture
def broker(clock: VirtualClock) -> MemoryBroker:
    return MemoryBroker(clock)


@pytest.fixture
async def one(store: MemoryStore, clock: VirtualClock, broker: MemoryBroker) -> AsyncIterator[Node]:
    async with node(store, clock, events(send=["lifecycle", "emitted"]), {"kafka": broker}) as opened:
        yield opened


def types(broker: MemoryBroker) -> list[str]:
    return [_type(message).removeprefix("stepwell.").removesuffix(".v1") for message in broker.published("told")]


def _type(message: Message) -> str:
    return message.headers.get("ce-type") or json.loads(message.body)["type"]


def sink(node: Node) -> Sink:
    return node.brokers._sinks["audit"]


async def test_everything_that_happens_is_told_in_order_under_ids_that_stay(one: Node, broker: MemoryBroker) -> None:
    execution = await one.run(workflow())
    assert types(broker) == TOLD
    for number, message in enumerate(broker.published("told")):
        body = json.loads(message.body)
        assert message.own_id == body["id"]
        assert body["id"].startswith(f"{execution}/")
        assert (message.key, body["partitionkey"], body["source"]) == (execution, execution, "stepwell")
        assert (body["data"]["workflow"], message.headers["content-type"]) == ("report", STRUCTURED)
        assert number < 5


async def test_what_steps_emit_is_told_once_and_only_that_where_it_is_asked_for(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    wanted = events(send=["emitted"], types=["order:*"], workflows=["spea*"])
    async with node(store, clock, wanted, {"kafka": broker}) as one:
        execution = await one.run(speaker({"n": 1}, subject="order/7"))
        await one.run(speaker({"n": 2}))
        await one.run(workflow())
        first, second = broker.published("told")
        body = json.loads(first.body)
        assert (body["id"], body["type"], body["source"]) == (f"{execution}/tell", "order:paid", "stepwell/speaker")
        assert (body["data"], first.key, second.key is not None) == ({"n": 1}, "order/7", True)
        assert first.headers["traceparent"] == TRACE
        assert not await store.documents("emitted:audit")


async def test_only_what_is_asked_for_is_told(store: MemoryStore, clock: VirtualClock, broker: MemoryBroker) -> None:
    wanted = events(types=["*.execution.completed.*"], workflows=["pay.*"])
    async with node(store, clock, wanted, {"kafka": broker}) as one:
        for name in ("report", "pay.refund"):
            await one.run(workflow(name=name))
        assert types(broker) == ["execution.completed"]
        assert sink(one).state.sent == 1


async def test_attributes_may_be_in_headers_and_a_notification_is_short(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    async with node(store, clock, events(format="binary", types=["*.step.completed.*"]), {"kafka": broker}) as one:
        execution = await one.run(workflow())
    async with node(
        store, clock, events(format="notification", types=["*.step.completed.*"]), {"kafka": broker}
    ) as one:
        await one.run(workflow())
    binary, notification = broker.published("told")
    assert binary.headers["ce-type"] == "stepwell.step.completed.v1"
    assert binary.headers["ce-subject"] == f"{execution}/only"
    assert json.loads(binary.body)["workflow"] == "report"
    assert json.loads(notification.body)["notification_type"] == "task.completed"


async def test_the_trace_of_an_execution_is_told_whether_or_not_traces_are_made(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    async with node(store, clock, events(types=["*.execution.completed.*"]), {"kafka": broker}) as one:
        execution = await one.run(workflow())
        sink(one)._traces._known.clear()
        await one.run(workflow())
    traces = [message.headers["traceparent"] for message in broker.published("told")]
    assert traces == [TRACE, TRACE]
    assert json.loads(broker.published("told")[0].body)["traceparent"] == TRACE
    place = parsed(traces[0])
    assert place is not None
    assert place.span != span_of(execution)


# Outages


async def test_a_broker_that_is_down_is_tried_again_later_and_later_and_nothing_is_lost(
    one: Node, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    publish, tries = broker.publish, 0

    async def counted(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        return await publish(*given)

    broker.publish = counted  # type: ignore[method-assign, assignment]
    broker.fail(BrokerError("it is down"))
    await one.run(speaker({"n": 1}))
    assert one.brokers.problem() == "sink audit: it is down"
    for _ in range(100):
        await one.clock.advance(SECOND)
    assert tries <= 9
    assert (await one.brokers.report())[0]["sinks"][0]["problem"] == "it is down"
    assert sink(one).state.behind >= 60 * SECOND
    broker.fail(None)
    await one.clock.advance(BACKOFF[-1])
    assert sorted(types(broker)) == sorted([*TOLD, "order:paid"])
    assert (one.brokers.problem(), sink(one).state.behind) == (None, 0)
    told = [record.message for record in caplog.records]
    assert told == ["sink audit: it is down; it is tried again", "sink audit: it works again"]


async def test_after_a_crash_what_was_told_last_may_be_told_again_and_nothing_is_missing(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    wanted = events(send=["lifecycle", "emitted"])
    async with node(store, clock, wanted, {"kafka": broker}, "first") as one:
        write = store.write

        async def dies(*given: Any, **more: Any) -> Any:
            if more.get("entries") is not None and given[0] and given[0][0].kind == "broker-sink":
                raise Conflict("dead", code="changed-meanwhile")
            return await write(*given, **more)

        store.write = dies  # type: ignore[method-assign]
        running = asyncio.create_task(one.run(speaker({"n": 1})))
        for _ in range(200):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        one.brokers._tasks[0].cancel()
        await asyncio.gather(one.brokers._tasks[0], return_exceptions=True)
        store.write = write  # type: ignore[method-assign]
    broker._ids.clear()
    before = len(broker.published("told"))
    assert before
    async with node(store, clock, wanted, {"kafka": broker}, "second"):
        await clock.advance(30 * SECOND)
    ids = [message.own_id for message in broker.published("told")]
    assert len(set(ids)) == 6
    assert len(ids) > before or before >= 6


async def test_one_node_tells_and_another_takes_over_within_the_lease_when_it_is_gone(
    store: MemoryStore, clock: VirtualClock, broker: MemoryBroker
) -> None:
    brokers: Any = {"kafka": broker}
    async with (
        node(store, clock, events(), brokers, "one") as one,
        node(store, clock, events(), brokers, "two") as two,
    ):
        assert [sink(each).state.is_mine for each in (one, two)] == [True, False]
        report = (await two.brokers.report())[0]["sinks"][0]
        assert report["carried_by"] == "one"
        sink(one)._store = None  # type: ignore[assignment] # it dies without a word
        one.brokers._tasks[0].cancel()
        await asyncio.gather(one.brokers._tasks[0], return_exceptions=True)
        await clock.advance(20 * SECOND)
        assert sink(two).state.is_mine
        await two.run(workflow())
        assert types(broker) == TOLD


async def test_a_node_that_lost_the_sink_meanwhile_cannot_move_its_place(
    one: Node, store: MemoryStore, broker: MemoryBroker
) -> None:
    publish = broker.publish
    stolen: list[Any] = []

    async def slow(topic: str, messages: Any) -> Any:
        if not stolen:
            document = await store.document("broker-sink", "audit")
            assert document is not None
            body = json.loads(document.body)
            stolen.append(body["after"])
            body["claim"] = {"node": "another", "until": one.clock.now() + 60 * SECOND}
            await store.write([Write(kind="broker-sink", key="audit", body=json.dumps(body).encode())], one.clock.now())
        return await publish(topic, messages)

    broker.publish = slow  # type: ignore[method-assign]
    await one.run(workflow())
    document = await store.document("broker-sink", "audit")
    assert document is not None
    assert json.loads(document.body)["after"] == stolen[0]
    assert not sink(one).state.is_mine


async def test_what_the_broker_refuses_for_ever_is_noted_and_passed_over(
    one: Node, store: MemoryStore, broker: MemoryBroker
) -> None:
    broker.refuses = lambda message: (
        "too large" if b"step.completed" in message.body and b"told" not in message.body else None
    )
    execution = await one.run(workflow())
    assert types(broker) == [each for each in TOLD if each != "step.completed"]
    (dead,) = broker.published("dead")
    assert dead.headers["stepwell-reason"] == "too large"
    (row,) = await store.journal(JournalQuery(kind="undelivered"))
    noted = json.loads(row.body)
    assert (noted["type"], noted["reason"]) == ("stepwell.step.completed.v1", "too large")
    assert noted["id"].startswith(execution)
    assert (await one.brokers.undelivered())["items"][0]["id"] == noted["id"]
    assert (sink(one).state.sent, sink(one).state.refused) == (4, 1)


async def test_a_sink_that_has_nothing_to_tell_writes_little(one: Node, store: MemoryStore) -> None:
    writes, reads = 0, 0
    write, feed = store.write, store.feed

    async def counted_write(*given: Any, **more: Any) -> Any:
        nonlocal writes
        writes += 1
        return await write(*given, **more)

    async def counted_feed(*given: Any, **more: Any) -> Any:
        nonlocal reads
        reads += 1
        return await feed(*given, **more)

    store.write, store.feed = counted_write, counted_feed  # type: ignore[method-assign]
    for _ in range(60):
        await one.clock.advance(SECOND)
    assert writes <= 13
    assert reads <= 62


async def test_a_damaged_row_keeps_nobody_from_what_is_behind_it(
    one: Node, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    decode, broken = one.session.codec.decode_events, 0

    def damaged(encoded: bytes) -> Any:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise StoreError("it is damaged", code="damaged-history")
        return decode(encoded)

    sink(one)._codec = type("Codec", (), {"decode_events": staticmethod(damaged)})()
    await one.run(workflow())
    assert len(types(broker)) < len(TOLD)
    assert types(broker)[-1] == "execution.completed"
    assert one.brokers.problem() is None
    assert "cannot be told: it is damaged" in caplog.text


async def test_what_a_newer_version_wrote_waits_for_a_node_that_can_read_it(one: Node, broker: MemoryBroker) -> None:
    decode = one.session.codec.decode_events

    def newer(encoded: bytes) -> Any:
        raise StoreError("a newer version wrote it", code="newer-history")

    sink(one)._codec = type("Codec", (), {"decode_events": staticmethod(newer)})()
    await one.run(workflow())
    assert one.brokers.problem() == "sink audit: a newer version wrote it"
    sink(one)._codec = type("Codec", (), {"decode_events": staticmethod(decode)})()
    await one.clock.advance(BACKOFF[-1])
    assert types(broker) == TOLD
