"""Incoming webhooks: who may send them, what they become, and what they start."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from stepwell.app.webhooks import WebhookAnswer, WebhookRequest, Webhooks, WebhookUnready
from stepwell.base.durations import HOUR, MINUTE, SECOND
from stepwell.base.errors import Conflict, NotFound
from stepwell.execution.event import EventTooLarge
from stepwell.store.memory.store import MemoryStore
from stepwell.triggers.bodies import BadBody
from stepwell.triggers.signatures import BadSignature
from tests.app.scheduling import MONDAY, Node, memory_store, node_on, workflow
from tests.conformance.dispatcher import KnownSecrets
from tests.virtual_clock import VirtualClock

SECRET = "agreed on"
GITHUB = {"scheme": "github", "secret": "{{ secrets.HOOK }}"}


class Hooks:
    """A node that takes webhooks."""

    def __init__(self, node: Node) -> None:
        self.node = node
        known = KnownSecrets({"HOOK": SECRET, "OLD": "old one"})
        self.webhooks = Webhooks(
            node.store, node.session.engine, node.session.triggering, lambda workflow: known, node.clock
        )

    async def send(
        self, body: bytes | Any, headers: Mapping[str, str] = {}, *, path: str = "in", query: Mapping[str, str] = {}
    ) -> WebhookAnswer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **headers}
        answer = await self.webhooks.receive(WebhookRequest(path=path, headers=named, query=query, body=content))
        await self.node.clock.settle()
        return answer

    async def github(self, body: Any, delivery: str = "d1", secret: str = SECRET, **headers: str) -> WebhookAnswer:
        content = json.dumps(body).encode()
        signature = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
        signed = {"x-hub-signature-256": f"sha256={signature}", "x-github-delivery": delivery, **headers}
        return await self.send(content, signed)


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with memory_store() as store, node_on(store, VirtualClock(MONDAY)) as node:
        yield Hooks(node)


def webhook(verify: Mapping[str, Any] | None = GITHUB, path: str = "in", **more: Any) -> dict[str, Any]:
    return {"webhook": {"path": path, **({"verify": verify} if verify is not None else {})}, **more}


async def outcomes(hooks: Hooks) -> list[str]:
    page = await hooks.node.session.triggering.firings.list()
    return [item["outcome"] for item in reversed(page["items"])]


async def test_a_signed_webhook_starts_the_workflow_with_its_body(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    answer = await hooks.github({"ref": "main"})
    assert (answer.status, answer.body["id"], len(answer.body["executions"])) == (202, "d1", 1)
    assert await hooks.node.inputs() == [{"ref": "main"}]
    page = await hooks.node.session.triggering.firings.list()
    (firing,) = page["items"]
    assert (firing["kind"], firing["outcome"], firing["event"]["type"]) == ("webhook", "started", "webhook:in")


async def test_the_same_delivery_gets_the_same_answer_and_starts_nothing_again(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    first = await hooks.github({"ref": "main"})
    assert await hooks.github({"ref": "main"}) == first
    assert len(await hooks.node.started()) == 1
    assert await outcomes(hooks) == ["started"]


async def test_map_and_filter_see_the_body_the_headers_and_the_query(hooks: Hooks) -> None:
    trigger = webhook(
        filter={"action": "opened"},
        map={
            "kind": "{{ event.subject }}",
            "agent": "{{ event.headers['user-agent'] }}",
            "all": "{{ event.headers }}",
            "q": "{{ event.query.q }}",
        },
    )
    await hooks.node.register(workflow(trigger))
    headers = {"x-github-event": "issues", "user-agent": "hub", "authorization": "Bearer x", "cookie": "c"}
    content = json.dumps({"action": "opened"}).encode()
    signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    signed = {**headers, "x-hub-signature-256": f"sha256={signature}"}
    await hooks.send(content, signed, query={"q": "1"})
    await hooks.github({"action": "closed"}, delivery="d2")
    (given,) = await hooks.node.inputs()
    assert (given["kind"], given["agent"], given["q"]) == ("issues", "hub", "1")
    assert given["all"].keys() == {"content-type", "x-github-event", "user-agent"}
    assert await outcomes(hooks) == ["started", "filtered"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "signature-missing"),
        ({"x-hub-signature-256": "sha256=00"}, "bad-signature"),
        ({"x-hub-signature-256": "00"}, "bad-signature"),
    ],
)
async def test_a_webhook_without_a_right_signature_is_refused_counted_and_noted(
    hooks: Hooks, headers: dict[str, str], code: str
) -> None:
    await hooks.node.register(workflow(webhook()))
    with pytest.raises(BadSignature) as refused:
        await hooks.send({"ref": "main"}, headers)
    assert refused.value.code == code
    assert hooks.webhooks.refused() == [{"path": "in", "code": code, "count": 1}]
    assert await outcomes(hooks) == ["refused"]
    assert await hooks.node.started() == []


async def test_a_flood_of_bad_signatures_is_counted_and_does_not_fill_the_store(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    for _ in range(100):
        with pytest.raises(BadSignature):
            await hooks.send({}, {"x-hub-signature-256": "sha256=00"})
    assert hooks.webhooks.refused()[0]["count"] == 100
    assert await hooks.node.journal() == 20
    await hooks.node.clock.advance(MINUTE)
    with pytest.raises(BadSignature):
        await hooks.send({})
    page = await hooks.node.session.triggering.firings.list(limit=1)
    assert page["items"][0]["unnoted"] == 80


async def test_the_body_is_verified_before_it_is_read(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    with pytest.raises(BadSignature):
        await hooks.send(b"{no json", {"x-hub-signature-256": "sha256=00"})
    content = b"{no json"
    signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    with pytest.raises(BadBody) as refused:
        await hooks.send(content, {"x-hub-signature-256": f"sha256={signature}"})
    assert refused.value.code == "invalid-body"


async def test_a_secret_may_be_replaced_while_both_are_in_use(hooks: Hooks) -> None:
    both = {**GITHUB, "secret": ["{{ secrets.HOOK }}", "{{ secrets.OLD }}"]}
    await hooks.node.register(workflow(webhook(both)))
    await hooks.github({"n": 1}, "d1")
    await hooks.github({"n": 2}, "d2", secret="old one")
    assert len(await hooks.node.started()) == 2


async def test_a_secret_that_is_not_there_is_the_server_s_fault_and_not_shown(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook({"scheme": "github", "secret": "{{ secrets.NONE }}"})))
    with pytest.raises(WebhookUnready) as refused:
        await hooks.github({"n": 1})
    assert "NONE" not in str(refused.value)


async def test_who_asks_whether_somebody_is_there_is_answered(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    assert await hooks.github({"zen": "x"}, **{"x-github-event": "ping"}) == WebhookAnswer(200, {"pong": True})
    slack = {"scheme": "slack", "secret": "{{ secrets.HOOK }}"}
    await hooks.node.register(workflow(webhook(slack, "slack"), name="slack"))
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    seconds = str(hooks.node.clock.now() // SECOND)
    signature = hmac.new(SECRET.encode(), f"v0:{seconds}:".encode() + body, hashlib.sha256).hexdigest()
    signed = {"x-slack-signature": f"v0={signature}", "x-slack-request-timestamp": seconds}
    assert await hooks.send(body, signed, path="slack") == WebhookAnswer(200, {"challenge": "abc"})
    await hooks.node.clock.advance(HOUR)
    with pytest.raises(BadSignature) as stale:
        await hooks.send(body, signed, path="slack")
    assert stale.value.code == "stale-timestamp"
    assert await hooks.node.started() == []


async def test_forms_and_texts_are_read_and_other_types_are_not(hooks: Hooks) -> None:
    trigger = webhook(None, map={"body": "{{ event.data }}"})
    await hooks.node.register(workflow(trigger))
    await hooks.send(b"a=1&b=2&b=3&c=", {"content-type": "application/x-www-form-urlencoded"})
    await hooks.send("hä".encode(), {"content-type": "text/plain; charset=utf-8"})
    await hooks.send(b"")
    assert [given["body"] for given in await hooks.node.inputs()] == [{"a": "1", "b": ["2", "3"], "c": ""}, "hä", None]
    with pytest.raises(BadBody) as refused:
        await hooks.send(b"<x/>", {"content-type": "application/xml"})
    assert refused.value.code == "unsupported-media-type"


async def test_what_is_too_much_for_an_event_is_refused_and_noted(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook(None)))
    with pytest.raises(EventTooLarge):
        await hooks.send({"n": "x" * 262_144})
    assert hooks.webhooks.refused() == [{"path": "in", "code": "event-too-large", "count": 1}]
    assert await hooks.node.started() == []


async def test_a_webhook_wakes_a_step_that_waits_for_it(hooks: Hooks) -> None:
    waiting = [{"name": "paid", "type": "wait_for_event", "config": {"event_type": "webhook:in", "filter": {"n": 7}}}]
    await hooks.node.register(workflow(webhook(None, filter={"n": 1}), steps=waiting))
    await hooks.send({"n": 1})
    await hooks.send({"n": 7})
    page = await hooks.node.session.triggering.firings.list()
    started = page["items"][-1]["execution_id"]
    state = await hooks.node.session.engine.state(started)
    assert state.status == "completed"


async def test_a_path_that_nobody_has_is_not_there(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    with pytest.raises(NotFound) as unknown:
        await hooks.send({}, path="out")
    assert unknown.value.code == "unknown-webhook"


async def test_a_path_belongs_to_one_workflow(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook()))
    await hooks.node.register(workflow(webhook(), version="1.1.0"))
    with pytest.raises(Conflict) as taken:
        await hooks.node.register(workflow(webhook(), name="other"))
    assert taken.value.code == "webhook-path-taken"


async def test_a_path_that_two_came_to_have_stays_with_the_first(hooks: Hooks) -> None:
    await hooks.node.register(workflow(webhook(), name="first"))
    await hooks.node.store.set_lifecycle("first", "1.0.0", "deprecated", at=hooks.node.clock.now(), by="ann")
    await hooks.node.clock.advance(SECOND)
    await hooks.node.register(workflow(webhook(), name="another"))
    await hooks.node.store.set_lifecycle("first", "1.0.0", "active", at=hooks.node.clock.now(), by="ann")
    await hooks.github({"n": 1})
    page = await hooks.node.session.triggering.firings.list()
    assert [item["workflow"] for item in page["items"]] == ["first"]


async def test_an_accepted_webhook_is_there_whatever_happens_next() -> None:
    store = MemoryStore()
    await store.open()
    clock = VirtualClock(MONDAY)
    async with node_on(store, clock) as node:
        await node.register(workflow(webhook(None)))
        await Hooks(node).send({"n": 1})
    async with node_on(store, clock) as node:
        assert len(await node.started()) == 1
        assert (await node.session.triggering.firings.list())["items"][0]["outcome"] == "started"
    await store.close()
