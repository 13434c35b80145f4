"""Subscriptions: what is told to whom, again and again until it is accepted, and in which order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import standardwebhooks

from stepwell.app.configuration import configuration_from
from stepwell.app.courier import BACKOFF, MOST_WAITING
from stepwell.app.delivering import Deliverer
from stepwell.app.lifecycle import Bell
from stepwell.app.outgoing import Answered, sender
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.session import open_session
from stepwell.app.subscription_documents import SUBSCRIPTION
from stepwell.app.subscriptions import Subscriptions
from stepwell.base.durations import DAY, HOUR, MINUTE, SECOND
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.store.memory.store import MemoryStore
from stepwell.tasks.addresses import AddressGuard
from stepwell.tasks.client import HttpClient
from stepwell.triggers.signatures import verification_of, verify
from stepwell.triggers.standard_webhooks import new_secret
from tests.app.scheduling import MONDAY, memory_store, workflow
from tests.virtual_clock import VirtualClock

URL = "https://receiver.test/hook"
SECRET = new_secret(bytes(range(32)))


class Receiver:
    """Remembers what was sent, and answers as a test says."""

    def __init__(self) -> None:
        self.sent: list[tuple[Mapping[str, str], Any]] = []
        self.answer: Callable[[Any], int | None] = lambda event: 200
        self.bodies: list[bytes] = []

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        event = json.loads(body)
        self.sent.append((headers, event))
        self.bodies.append(body)
        status = self.answer(event)
        if status is None:
            return Answered(None, "nobody answers")
        return Answered(status, None if status < 300 else f"answered {status}")

    def told(self) -> list[str]:
        return [event["type"].removeprefix("stepwell.").removesuffix(".v1") for _, event in self.sent]


class World:
    """A store, an engine, and a deliverer that can be ended and begun again."""

    def __init__(self, store: MemoryStore, clock: VirtualClock, receiver: Receiver) -> None:
        self.store = store
        self.clock = clock
        self.receiver = receiver
        self.bell = Bell()

    async def __aenter__(self) -> World:
        configuration = configuration_from({"state_store": {"type": "memory"}})
        self._opening = open_session(
            configuration, Registries(), store=self.store, clock=self.clock, observer=self.bell
        )
        self.session = await self._opening.__aenter__()
        self.reading = Reading(self.store, self.session.codec, self.session.definitions)
        self.subscriptions = Subscriptions(self.store, self.session.codec, lambda: self.deliverer.look())
        await self.deliver()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.deliverer.__aexit__()
        await self._opening.__aexit__(None, None, None)

    async def deliver(self, node: str = "node") -> None:
        self.deliverer = self.new_deliverer(node)
        await self.deliverer.__aenter__()
        await self.clock.settle()

    def new_deliverer(self, node: str) -> Deliverer:
        codec, send = self.session.codec, self.receiver.send
        return Deliverer(self.store, codec, self.reading, send, self.bell, self.clock, node, looks=False)

    async def kill(self) -> None:
        """End the deliverer as a crash does: without a word."""
        couriers = self.deliverer._couriers.values()
        tasks = [*self.deliverer._tasks, *(task for _, task in couriers)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def subscribe(self, **given: Any) -> dict[str, Any]:
        wanted = {"id": "s", "url": URL, "secret": SECRET, **given}
        made = await self.subscriptions.create(wanted, by="ann", now=self.clock.now())
        await self.clock.settle()
        return made

    async def run(self, name: str = "report") -> str:
        """Run an execution to its end."""
        plan = await self.session.definitions.plan_of(workflow(name=name))
        execution = await self.session.engine.start(plan, {})
        await self.clock.settle()
        return execution

    async def log(self) -> list[tuple[str, int]]:
        page = await self.subscriptions.deliveries("s", limit=1_000)
        return [(item["outcome"], item["attempt"]) for item in reversed(page["items"])]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with memory_store() as store, World(store, VirtualClock(MONDAY), Receiver()) as opened:
        yield opened


EVENTS = ["execution.created", "execution.started", "step.started", "step.completed", "execution.completed"]


async def test_everything_that_happens_is_told_in_order_and_signed(world: World) -> None:
    await world.run()
    await world.subscribe()
    execution = await world.run()
    assert world.receiver.told() == EVENTS
    for (headers, event), body in zip(world.receiver.sent, world.receiver.bodies, strict=True):
        verification = verification_of({"scheme": "standard-webhooks", "secret": "x"})
        delivery = verify(verification, [SECRET], headers, body, world.clock.now()).delivery
        assert delivery == f"msg_{execution}_{event['id'].partition('/')[2]}"
        assert event["data"]["workflow"] == "report"
        assert (
            standardwebhooks.Webhook(SECRET).sign(str(delivery), _moment(world.clock.now()), body.decode())
            == headers["webhook-signature"]
        )
    assert await world.log() == [("delivered", 1)] * 5


def _moment(micros: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(micros // SECOND, tz=UTC)


async def test_only_what_is_asked_for_is_told(world: World) -> None:
    await world.subscribe(types=["stepwell.execution.completed.*"], workflows=["pay.*"])
    for name in ("report", "pay.refund"):
        await world.run(name)
    assert [(event["type"], event["data"]["workflow"]) for _, event in world.receiver.sent] == [
        ("stepwell.execution.completed.v1", "pay.refund")
    ]


async def test_nobody_is_told_of_a_namespace_that_he_does_not_see(world: World) -> None:
    given = {"id": "s", "url": URL}
    await world.subscriptions.create(given, by="ann", now=world.clock.now(), namespaces={"pay"})
    await world.clock.settle()
    for name in ("report", "pay.refund"):
        await world.run(name)
    assert {event["data"]["workflow"] for _, event in world.receiver.sent} == {"pay.refund"}
    with pytest.raises(NotFound):
        await world.subscriptions.show("s", {"other"})
    assert (await world.subscriptions.list(namespaces={"other"}))["items"] == []
    assert len((await world.subscriptions.list(namespaces={"pay", "x"}))["items"]) == 1


async def test_a_notification_names_what_is_going_on(world: World) -> None:
    await world.subscribe(format="notification", types=["*.execution.completed.*", "*.step.completed.*"])
    execution = await world.run()
    task, whole = (event for _, event in world.receiver.sent)
    assert task == {
        "notification_type": "task.completed",
        "entity_type": "task",
        "entity_id": f"{execution}/only",
        "workflow_ref": "report",
        "status": "completed",
        "current_tasks": [],
        "timestamp": "2026-11-16T08:00:00Z",
    }
    assert (whole["notification_type"], whole["entity_type"]) == ("workflow.completed", "workflow")


async def test_what_is_not_accepted_is_tried_again_later_with_the_same_id(world: World) -> None:
    world.receiver.answer = lambda event: 503
    await world.subscribe(types=["*.completed.v1"])
    await world.run()
    assert world.receiver.told() == ["step.completed"]
    await world.clock.advance(5 * SECOND)
    assert world.receiver.told() == ["step.completed"] * 2
    world.receiver.answer = lambda event: 204
    await world.clock.advance(30 * SECOND)
    assert world.receiver.told() == ["step.completed"] * 3 + ["execution.completed"]
    assert len({headers["webhook-id"] for headers, _ in world.receiver.sent}) == 2
    assert await world.log() == [("failed", 1), ("failed", 2), ("delivered", 3), ("delivered", 1)]
    assert (await world.subscriptions.show("s"))["waiting"] == 0


async def test_what_one_execution_waits_for_does_not_hold_up_the_others(world: World) -> None:
    await world.subscribe(types=["*.execution.*"])
    world.receiver.answer = lambda event: 500
    second = await world.run()
    world.receiver.answer = lambda event: 200
    third = await world.run()
    assert [event["subject"] for _, event in world.receiver.sent] == [second, third, third, third]
    await world.clock.advance(MINUTE)
    told = [event["type"] for _, event in world.receiver.sent if event["subject"] == second]
    assert told == [f"stepwell.execution.{what}.v1" for what in ("created", "created", "started", "completed")]


async def test_a_message_that_is_never_accepted_is_given_up_and_a_dead_receiver_is_left_alone(world: World) -> None:
    world.receiver.answer = lambda event: None
    await world.subscribe(types=["*.execution.completed.*"])
    await world.run()
    await world.clock.advance(sum(BACKOFF))
    assert await world.log() == [("failed", number) for number in range(1, 8)] + [("given_up", 8)]
    seen = await world.subscriptions.show("s")
    assert (seen["active"], seen["waiting"]) == (False, 0)
    assert "nothing was accepted for" in seen["disabled"]["reason"]
    await world.run()
    assert len(world.receiver.sent) == 8
    world.receiver.answer = lambda event: 200
    await world.subscriptions.change("s", {"active": True}, now=world.clock.now())
    await world.clock.settle()
    assert (await world.log())[-1] == ("delivered", 1)
    assert (await world.subscriptions.show("s"))["disabled"] is None


async def test_one_message_that_is_refused_for_ever_disables_nothing(world: World) -> None:
    await world.subscribe(types=["*.execution.completed.*"])
    world.receiver.answer = lambda event: 500
    poisoned = await world.run()
    world.receiver.answer = lambda event: 500 if event["subject"] == poisoned else 200
    await world.clock.advance(HOUR)
    await world.run()
    await world.clock.advance(DAY)
    assert (await world.log())[-1] == ("given_up", 8)
    assert (await world.subscriptions.show("s"))["active"] is True


async def test_a_receiver_that_says_it_is_gone_is_believed(world: World) -> None:
    world.receiver.answer = lambda event: 410
    await world.subscribe()
    await world.run()
    await world.clock.advance(DAY)
    assert len(world.receiver.sent) == 1
    assert (await world.subscriptions.show("s"))["active"] is False


async def test_a_receiver_that_is_away_does_not_fill_the_store(world: World) -> None:
    world.receiver.answer = lambda event: None
    await world.subscribe(types=["*.execution.completed.*"])
    for _ in range(MOST_WAITING + 150):
        await world.run()
    waiting = (await world.subscriptions.show("s"))["waiting"]
    assert MOST_WAITING <= waiting <= MOST_WAITING + 100
    world.receiver.answer = lambda event: 200
    await world.clock.advance(DAY)
    ids = {headers["webhook-id"] for headers, _ in world.receiver.sent}
    assert len(ids) == MOST_WAITING + 150
    assert (await world.subscriptions.show("s"))["waiting"] == 0


async def test_what_many_items_do_is_told_in_order_also_after_a_failure(world: World) -> None:
    steps = [
        {"name": "only", "type": "transform", "for_each": {"items": "{{ range(300) | list }}"}, "config": {"value": 1}}
    ]
    await world.subscribe(types=["*.step.completed.*"])
    count = 0

    def answer(event: Any) -> int:
        nonlocal count
        count += 1
        return 500 if count == 100 else 200

    world.receiver.answer = answer
    plan = await world.session.definitions.plan_of(workflow(steps=steps))
    await world.session.engine.start(plan, {})
    await world.clock.settle()
    await world.clock.advance(MINUTE)
    told = [int(headers["webhook-id"].rpartition("_")[2]) for headers, _ in world.receiver.sent]
    assert told[99] == told[100]
    assert told == sorted(told)
    assert len(set(told)) == 301
    assert (await world.subscriptions.show("s"))["waiting"] == 0


async def test_what_was_sent_before_a_crash_and_not_written_down_is_sent_again_and_nothing_is_lost(
    world: World,
) -> None:
    await world.subscribe(types=["*.execution.*"])
    held = asyncio.Event()
    send = world.receiver.send

    async def slow(url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        answered = await send(url, headers, body)
        await held.wait()
        return answered

    world.receiver.send = slow  # type: ignore[method-assign]
    await world.deliverer.__aexit__()
    await world.deliver()
    await world.run()
    assert len(world.receiver.sent) == 1
    await world.kill()
    held.set()
    await world.deliver()
    await world.clock.settle()
    assert world.receiver.told() == [
        "execution.created",
        "execution.created",
        "execution.started",
        "execution.completed",
    ]
    assert len({headers["webhook-id"] for headers, _ in world.receiver.sent}) == 3


async def test_two_processes_do_not_both_deliver(world: World) -> None:
    await world.subscribe(types=["*.execution.completed.*"])
    other = world.new_deliverer("other")
    async with other:
        await world.clock.settle()
        await world.run()
        assert world.receiver.told() == ["execution.completed"]
        await world.deliverer.__aexit__()
        other.look()
        await world.run()
        assert world.receiver.told() == ["execution.completed"] * 2


async def test_a_message_can_be_sent_again(world: World) -> None:
    await world.subscribe(types=["*.execution.completed.*"])
    execution = await world.run()
    (headers, _) = world.receiver.sent[0]
    await world.subscriptions.redeliver("s", headers["webhook-id"], now=world.clock.now())
    await world.clock.settle()
    assert [sent["webhook-id"] for sent, _ in world.receiver.sent] == [headers["webhook-id"]] * 2
    for unknown in ("x", f"msg_{execution}_1", f"msg_{execution}_999", "msg_" + "0" * 36 + "_1"):
        with pytest.raises(NotFound) as refused:
            await world.subscriptions.redeliver("s", unknown, now=world.clock.now())
        assert refused.value.code == "unknown-message"


async def test_a_secret_is_kept_encrypted_shown_once_and_replaced_in_peace(world: World) -> None:
    made = await world.subscriptions.create({"id": "s", "url": URL}, by="ann", now=world.clock.now())
    assert made["secret"].startswith("whsec_")
    assert "secret" not in await world.subscriptions.show("s")
    document = await world.store.document(SUBSCRIPTION, "s")
    assert document is not None
    assert made["secret"].removeprefix("whsec_").encode() not in document.body
    await world.subscriptions.change("s", {"secret": SECRET}, now=world.clock.now())
    await world.clock.settle()
    for expected in (2, 1):
        await world.run()
        assert len(world.receiver.sent[-1][0]["webhook-signature"].split()) == expected
        await world.clock.advance(DAY + SECOND)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "ftp://x/"},
        {"url": "https://"},
        {"url": "https://user:pass@x/"},
        {"url": "no"},
        {"url": URL, "id": "a b"},
        {"url": URL, "secret": "short"},
        {"url": URL, "types": ["a b"]},
        {"url": URL, "workflows": [""]},
    ],
)
async def test_a_subscription_that_cannot_be_is_refused(world: World, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        await world.subscriptions.create(given, by="ann", now=world.clock.now())
    assert refused.value.code == "bad-subscription"


async def test_a_subscription_is_made_once_and_gone_when_it_is_deleted(world: World) -> None:
    await world.subscribe()
    with pytest.raises(Conflict) as taken:
        await world.subscribe()
    assert taken.value.code == "subscription-exists"
    world.receiver.answer = lambda event: 500
    await world.run()
    await world.subscriptions.delete("s", now=world.clock.now())
    await world.clock.advance(HOUR)
    assert len(world.receiver.sent) == 1
    with pytest.raises(NotFound):
        await world.subscriptions.show("s")
    await world.subscribe()
    await world.run()
    assert (await world.subscriptions.show("s"))["waiting"] > 0


async def test_nothing_is_sent_where_it_must_not_go() -> None:
    client = HttpClient(AddressGuard(allow_private=False))
    for url in ("http://127.0.0.1:9/", "http://169.254.169.254/latest/", "http://metadata.google.internal/"):
        answered = await sender(client)(url, {}, b"{}")
        assert answered.status is None
        assert "refused" in str(answered.problem)
    await client.close()
