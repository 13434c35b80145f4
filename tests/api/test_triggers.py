"""Schedules, webhooks, subscriptions and firings over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell.app.cursors import cursor_of
from stepwell.base.durations import HOUR, SECOND
from stepwell.base.spans import Source
from stepwell.dialects.writing import as_text
from tests.api.conftest import OpenServer, Server
from tests.app.scheduling import workflow

API = "/api/v1"
SECRET = "agreed on"


async def register(server: Server, document: Mapping[str, Any]) -> None:
    source = Source("w.yaml", as_text(document, "json"))
    await server.parts.session.definitions.register(source, at=server.clock.now(), by="ann", reason=None)


def hook(path: str = "in/github") -> dict[str, Any]:
    return {"webhook": {"path": path, "verify": {"scheme": "github", "secret": "{{ secrets.HOOK }}"}}}


async def send(server: Server, body: bytes, path: str = "in/github", **headers: str) -> Any:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    signed = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Delivery": "d1"}
    given = {"Content-Type": "application/json", **signed, **headers}
    return await server.client.post(f"{API}/webhooks/{path}", content=body, headers=given)


async def test_a_schedule_is_made_listed_paused_fired_and_deleted(server: Server) -> None:
    await register(server, workflow())
    given = {"id": "nightly", "workflow": "report", "every": "1h", "input": {"n": 1}}
    made = await server.client.post(f"{API}/schedules", json=given)
    assert (made.status_code, made.headers["location"]) == (201, f"{API}/schedules/nightly")
    await server.advance(2 * HOUR)
    seen = (await server.client.get(f"{API}/schedules/nightly")).json()
    assert [each["outcome"] for each in seen["last"]] == ["started", "started"]
    listed = (await server.client.get(f"{API}/schedules")).json()
    assert [item["id"] for item in listed["items"]] == ["nightly"]
    upcoming = (await server.client.get(f"{API}/schedules/nightly/upcoming?count=3")).json()
    assert len(upcoming["items"]) == 3
    paused = await server.client.post(f"{API}/schedules/nightly/pause", json={"reason": "holidays"})
    assert paused.json()["paused"]["reason"] == "holidays"
    fired = await server.client.post(f"{API}/schedules/nightly/run")
    assert fired.json()["outcome"] == "started"
    resumed = await server.client.post(f"{API}/schedules/nightly/resume")
    assert resumed.json()["status"] == "active"
    ranged = {"from": "2026-09-21T10:00:00Z", "to": "2026-09-21T13:00:00Z"}
    filled = await server.client.post(f"{API}/schedules/nightly/backfill", json=ranged)
    assert [item["due_at"][11:16] for item in filled.json()["items"]] == ["10:00", "11:00", "12:00"]
    assert (await server.client.delete(f"{API}/schedules/nightly")).status_code == 204
    assert (await server.client.get(f"{API}/schedules/nightly")).json()["code"] == "unknown-schedule"


@pytest.mark.parametrize(
    ("given", "status", "code", "pointer"),
    [
        ({"workflow": "report", "cron": "61 * * * *"}, 422, "bad-schedule", "/cron"),
        ({"workflow": "report", "every": "1h", "timezone": "Mars/Olympus"}, 422, "bad-schedule", "/timezone"),
        ({"workflow": "report", "every": "1h", "catch_up": "never"}, 422, "invalid-body", "/catch_up"),
        ({"workflow": "report"}, 422, "bad-schedule", ""),
        ({"workflow": "none", "every": "1h"}, 404, "unknown-workflow", None),
        ({"workflow": "report", "every": "1h", "id": "a b"}, 422, "bad-schedule", None),
    ],
)
async def test_a_schedule_that_cannot_be_is_one_problem(
    server: Server, given: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    await register(server, workflow())
    refused = await server.client.post(f"{API}/schedules", json=given)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    if pointer is not None:
        assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]


async def test_a_webhook_is_taken_refused_or_not_there(
    open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_SECRET_HOOK", SECRET)
    async with open_test_server() as server:
        await register(server, workflow(hook()))
        taken = await send(server, b'{"ref": "main"}')
        assert (taken.status_code, taken.json()["id"]) == (202, "d1")
        again = await send(server, b'{"ref": "main"}')
        assert (again.status_code, again.json()) == (202, taken.json())
        assert (await send(server, b"{}", **{"X-GitHub-Event": "ping"})).json() == {"pong": True}
        refused = await send(server, b"{}", **{"X-Hub-Signature-256": "sha256=00"})
        assert (refused.status_code, refused.json()["code"]) == (401, "bad-signature")
        assert refused.headers["www-authenticate"]
        assert (await send(server, b"{}", "out")).status_code == 404
        assert (await send(server, b"{")).json()["code"] == "invalid-body"
        assert (await send(server, b"<x/>", **{"Content-Type": "text/xml; x"})).status_code == 202
        assert (await send(server, b"x", **{"Content-Type": "image/png"})).status_code == 415
        firings = (await server.client.get(f"{API}/triggers/firings?workflow=report")).json()["items"]
        assert [each["outcome"] for each in firings].count("started") == 1
        (trigger,) = (await server.client.get(f"{API}/triggers")).json()["items"]
        assert (trigger["kind"], trigger["started"], trigger["refused"]) == ("webhook", 1, 3)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"id": "a b"}, "/id"),
        ({"id": "billing.nightly"}, "/id"),
        ({"every": "never"}, "/every"),
        ({"cron": "@daily"}, ""),
    ],
)
async def test_what_is_wrong_with_a_schedule_has_its_place(server: Server, changes: Any, pointer: str) -> None:
    await register(server, workflow())
    given = {"workflow": "report", "every": "1h", **changes}
    refused = await server.client.post(f"{API}/schedules", json=given)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-schedule")
    assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]


async def test_a_range_that_is_none_has_its_place(server: Server) -> None:
    await register(server, workflow())
    await server.client.post(f"{API}/schedules", json={"id": "s", "workflow": "report", "every": "1h"})
    ranged = {"from": "2020-01-02T00:00:00Z", "to": "2020-01-01T00:00:00Z"}
    refused = await server.client.post(f"{API}/schedules/s/backfill", json=ranged)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/from")


async def test_firings_are_listed_in_parts(server: Server) -> None:
    await register(server, workflow({"schedule": {"every": "1h"}}, name="a"))
    await register(server, workflow({"event": "paid", "filter": {"n": 1}}, name="b"))
    for number in range(3):
        event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "paid", "data": {"n": number}}
        assert (await server.client.post(f"{API}/events", json=event)).status_code == 202
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await server.client.get(f"{API}/triggers/firings?limit=2{cursor}")).json()
        seen += [item["outcome"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ["filtered", "started", "filtered"]
    only = (await server.client.get(f"{API}/triggers/firings?outcome=started")).json()["items"]
    assert [item["workflow"] for item in only] == ["b"]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64])
async def test_a_cursor_that_no_list_returned_is_refused(server: Server, number: int) -> None:
    refused = await server.client.get(f"{API}/triggers/firings", params={"cursor": cursor_of(number)})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-cursor")


async def test_a_subscription_is_made_changed_and_deleted_and_its_secret_shown_once(server: Server) -> None:
    given = {"id": "s", "url": "https://receiver.test/", "types": ["*.completed.v1"]}
    made = await server.client.post(f"{API}/subscriptions", json=given)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    for answered in (
        await server.client.get(f"{API}/subscriptions/s"),
        await server.client.patch(f"{API}/subscriptions/s", json={"active": False, "format": "notification"}),
        await server.client.get(f"{API}/subscriptions"),
    ):
        assert answered.status_code == 200
        assert "whsec_" not in answered.text
    assert (await server.client.get(f"{API}/subscriptions/s")).json()["active"] is False
    assert (await server.client.get(f"{API}/subscriptions/s/deliveries")).json() == {"items": [], "next": None}
    unknown = await server.client.post(f"{API}/subscriptions/s/deliveries/msg_x/redeliver")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-message")
    assert (await server.client.post(f"{API}/subscriptions", json=given)).status_code == 409
    assert (await server.client.delete(f"{API}/subscriptions/s")).status_code == 204
    for url in ("https://user:pass@x/", "ftp://x/", "http://x:99999/", "http://exa mple/"):
        bad = await server.client.post(f"{API}/subscriptions", json={"url": url})
        assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/url")


async def test_a_batch_with_one_wrong_event_is_not_taken_and_each_violation_is_named(server: Server) -> None:
    good = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    content = json.dumps([good, {**good, "time": "x", "id": ""}])
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    refused = await server.client.post(f"{API}/events", content=content, headers=kind)
    assert refused.status_code == 422
    assert {each["pointer"] for each in refused.json()["errors"]} == {"/1/time", "/1/id"}
    taken = await server.client.post(f"{API}/events", content=json.dumps([good, good]), headers=kind)
    assert [item["duplicate"] for item in taken.json()["items"]] == [False, True]
    await server.advance(SECOND)
