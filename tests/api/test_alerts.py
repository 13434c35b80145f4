"""Alert rules over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import OpenServer, Server
from tests.api.test_monitoring import break_down, ran, succeed

SECOND = 1_000_000
MINUTE = 60 * SECOND
RULE = {"name": "many-errors", "metric": "error_rate", "threshold": 10, "window": "1h", "for": "0s"}


async def test_a_rule_is_made_seen_changed_and_deleted(server: Server) -> None:
    made = await server.post("/api/v1/alerts", json=RULE)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/api/v1/alerts/many-errors"
    assert (made.json()["status"], made.json()["for"], made.json()["window"]) == ("ok", "0s", "1h")
    assert (await server.get("/api/v1/alerts/many-errors")).json() == made.json()
    assert [rule["name"] for rule in (await server.get("/api/v1/alerts")).json()["items"]] == ["many-errors"]
    changed = await server.put("/api/v1/alerts/many-errors", json={"metric": "waits", "threshold": 5})
    assert (changed.status_code, changed.json()["metric"]) == (200, "waits")
    assert (await server.delete("/api/v1/alerts/many-errors")).status_code == 204
    assert (await server.get("/api/v1/alerts/many-errors")).status_code == 404


async def test_a_second_rule_of_the_name_is_a_conflict(server: Server) -> None:
    await server.post("/api/v1/alerts", json=RULE)
    assert (await server.post("/api/v1/alerts", json=RULE)).status_code == 409


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"metric": "eror_rate"}, "/metric"),
        ({"window": "soon"}, "/window"),
        ({"for": "-1s"}, "/for"),
        ({"resolve_at": 11}, "/resolve_at"),
        ({"channels": ["nowhere"]}, "/channels"),
        ({"op": "~"}, "/op"),
        ({"threshold": "ten"}, "/threshold"),
        ({"name": "a b"}, "/name"),
        ({"more": 1}, "/more"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_with_its_field(
    server: Server, change: dict[str, Any], pointer: str
) -> None:
    refused = await server.post("/api/v1/alerts", json={**RULE, **change})
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_the_nearest_name_of_an_unknown_metric_is_said(server: Server) -> None:
    refused = await server.post("/api/v1/alerts", json={**RULE, "metric": "eror_rate"})
    assert "'error_rate'" in refused.json()["detail"]


async def test_a_rule_of_the_configuration_is_seen_and_not_changed(open_test_server: OpenServer) -> None:
    async with open_test_server({"alerts": {"deep": {"metric": "queue_depth", "threshold": 9}}}) as server:
        assert (await server.get("/api/v1/alerts/deep")).json()["source"] == "configuration"
        assert (await server.delete("/api/v1/alerts/deep")).json()["code"] == "alert-configured"


async def test_what_really_ran_makes_rules_fire(open_test_server: OpenServer) -> None:
    configuration = {
        "alerting": {"every": "10s"},
        "sla": {"slow": {"max_duration": "1m"}, "bad": {"success_rate": 99}},
        "notifications": {"log": "log:info"},
    }
    async with open_test_server(configuration, tasks=(succeed, break_down)) as server:
        await ran(server, "bad", "break_down")
        document = {
            "apiVersion": "workflow/v1",
            "kind": "Workflow",
            "metadata": {"name": "slow", "version": "1.0.0"},
            "spec": {"steps": [{"name": "w", "type": "wait", "config": {"for": "1h"}}]},
        }
        await server.post("/api/v1/workflows", json=document)
        await server.post("/api/v1/workflows/slow/executions", json={})
        await server.advance(30 * SECOND)
        firing = {rule["name"]: rule for rule in (await server.get("/api/v1/alerts")).json()["items"]}
        assert (firing["bad.success_rate"]["status"], firing["bad.success_rate"]["value"]) == ("firing", 0.0)
        assert firing["slow.max_duration"]["status"] == "ok"
        await server.advance(2 * MINUTE)
        late = (await server.get("/api/v1/alerts/slow.max_duration")).json()
        assert late["status"] == "firing"  # it has not ended, and takes too long already
        assert late["value"] >= 60
        history = (await server.get("/api/v1/alerts/slow.max_duration/history")).json()
        assert history["items"][0]["deliveries"][0]["delivered"] is True
        one = (await server.get("/api/v1/alerts/slow.max_duration/history", params={"limit": 1})).json()
        rest = await server.get("/api/v1/alerts/slow.max_duration/history", params={"cursor": one["next"]})
        assert [*one["items"], *rest.json()["items"]] == history["items"]
