"""Policies and services, seen and changed while the server runs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from stepwell import task
from stepwell.app.lookout import LOOK_EVERY
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.ports.ledger import Write
from tests.api.conftest import OpenServer, Server
from tests.conformance.dispatcher import PATIENCE

CONFIGURATION: dict[str, Any] = {
    "policies": {"few": {"bulkhead": {"max_concurrent": 1, "max_queue_size": 10}}},
    "services": {"crm": {"urls": ["http://a", "http://b"], "circuit_breaker": {"threshold": 2}}},
}
WORKFLOW = {
    "apiVersion": "workflow/v1",
    "kind": "Workflow",
    "metadata": {"name": "work", "version": "1.0.0"},
    "spec": {
        "steps": [
            {"name": name, "type": "python", "config": {"task": "hold"}, "bulkhead": "few"} for name in ("a", "b", "c")
        ]
    },
}


class Work:
    """Tasks that wait until they are let go."""

    def __init__(self) -> None:
        self.running = 0
        self.let_go = asyncio.Event()
        self.began = asyncio.Semaphore(0)

        @task("hold")
        async def hold() -> None:
            self.running += 1
            self.began.release()
            await self.let_go.wait()

        self.task = hold


async def policies(server: Server) -> dict[str, Any]:
    answer = await server.get("/api/v1/policies")
    assert answer.status_code == 200
    return {f"{each['kind']}:{each['name']}": each for each in answer.json()["items"]}


async def test_configured_policies_are_listed_before_they_are_used(open_test_server: OpenServer) -> None:
    async with open_test_server(CONFIGURATION) as server:
        found = await policies(server)
    assert found.keys() == {"bulkhead:few", "circuit_breaker:service:crm"}
    assert found["bulkhead:few"]["policy"] == {"max_concurrent": 1, "max_queue_size": 10, "timeout": None}
    assert found["circuit_breaker:service:crm"]["policy"]["open_for"] == "5m"


async def test_other_numbers_are_in_force_at_once_and_cleared_again(open_test_server: OpenServer) -> None:
    work = Work()
    async with open_test_server(CONFIGURATION, tasks=(work.task,)) as server:
        session = server.parts.session
        plan = await session.definitions.plan_of(WORKFLOW)
        execution = await session.engine.start(plan, None)
        await asyncio.wait_for(work.began.acquire(), PATIENCE)
        assert (await policies(server))["bulkhead:few"]["waiting"] == 2
        answer = await server.put("/api/v1/policies/bulkhead/few", json={"max_concurrent": 2, "max_queue_size": 10})
        assert (answer.status_code, answer.json()["set_by"]) == (200, "anonymous")
        await asyncio.wait_for(work.began.acquire(), PATIENCE)
        assert ((await policies(server))["bulkhead:few"]["running"], work.running) == (2, 2)
        assert (await server.delete("/api/v1/policies/bulkhead/few")).status_code == 204
        work.let_go.set()
        await asyncio.wait_for(session.engine.ended(execution), PATIENCE)
        assert (await policies(server))["bulkhead:few"]["policy"]["max_concurrent"] in (1, 2)
        assert (await policies(server))["bulkhead:few"]["set_by"] is None


async def test_what_was_set_elsewhere_is_in_force_here_within_seconds(open_test_server: OpenServer) -> None:
    async with open_test_server(CONFIGURATION) as server:
        values = {"values": {"max_concurrent": 7}, "by": "other", "at": 0}
        await server.parts.store.write([Write(kind="policy", key="bulkhead/few", body=msgspec.json.encode(values))], 0)
        assert (await policies(server))["bulkhead:few"]["set_by"] is None
        await server.advance(LOOK_EVERY)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (await policies(server))["bulkhead:few"]["policy"]["max_concurrent"] == 7


@pytest.mark.parametrize(
    ("path", "numbers", "status", "code"),
    [
        ("bulkhead/fwe", {"max_concurrent": 2}, 404, "unknown-policy"),
        ("bulkhead/few", {"max_concurrent": 0}, 422, "invalid-policy"),
        ("bulkhead/few", {"most": 1}, 422, "invalid-policy"),
        ("bulkheads/few", {"max_concurrent": 2}, 400, "invalid-parameter"),
    ],
)
async def test_wrong_settings_are_refused(
    open_test_server: OpenServer, path: str, numbers: dict[str, Any], status: int, code: str
) -> None:
    async with open_test_server(CONFIGURATION) as server:
        answer = await server.put(f"/api/v1/policies/{path}", json=numbers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_circuit_breaker_that_was_not_used_cannot_be_reset(open_test_server: OpenServer) -> None:
    async with open_test_server(CONFIGURATION) as server:
        answer = await server.post("/api/v1/circuit-breakers/reset/service:crm")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-policy")


# Services


async def test_services_are_listed_with_their_instances(open_test_server: OpenServer) -> None:
    async with open_test_server(CONFIGURATION) as server:
        (crm,) = (await server.get("/api/v1/services")).json()["items"]
    assert (crm["name"], crm["configured"]) == ("crm", True)
    assert [instance["url"] for instance in crm["instances"]] == ["http://a", "http://b"]


async def test_a_service_can_be_added_changed_and_removed(open_test_server: OpenServer) -> None:
    async with open_test_server(CONFIGURATION) as server:
        calling = {
            "apiVersion": "workflow/v1",
            "kind": "Workflow",
            "metadata": {"name": "call", "version": "1.0.0"},
            "spec": {"steps": [{"name": "a", "type": "service_call", "config": {"service": "erp", "endpoint": "/"}}]},
        }
        with pytest.raises(InvalidDefinition, match="there is no service 'erp'"):
            await server.parts.session.definitions.plan_of(calling)
        added = await server.put(
            "/api/v1/services/erp", json={"url": "http://erp", "auth": {"bearer": "{{ secrets.T }}"}}
        )
        assert (added.status_code, added.json()["configured"]) == (200, False)
        assert "auth" not in added.json()
        await server.parts.session.definitions.plan_of(calling)
        await server.put("/api/v1/services/erp", json={"urls": ["http://x", "http://y"]})
        assert len((await server.get("/api/v1/services/erp")).json()["instances"]) == 2
        assert (await server.delete("/api/v1/services/erp")).status_code == 204
        assert (await server.get("/api/v1/services/erp")).status_code == 404


@pytest.mark.parametrize(
    ("name", "settings", "status", "code"),
    [
        ("crm", {"url": "http://x"}, 409, "configured"),
        ("a b", {"url": "http://x"}, 422, "invalid-service"),
        ("erp", {}, 422, "invalid-service"),
        ("erp", {"url": "http://x", "auth": {"bearer": "{{ input.x }}"}}, 422, "invalid-service"),
        ("erp", {"url": "http://x", "ca_file": "/etc/passwd"}, 422, "invalid-service"),
        ("erp", {"url": "http://x", "bulkhead": {"max_concurrent": 1}}, 422, "invalid-service"),
    ],
)
async def test_wrong_services_are_refused(
    open_test_server: OpenServer, name: str, settings: dict[str, Any], status: int, code: str
) -> None:
    async with open_test_server(CONFIGURATION) as server:
        answer = await server.put(f"/api/v1/services/{name}", json=settings)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
