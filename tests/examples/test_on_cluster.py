"""An example runs unchanged on a server with SQLite and on a cluster: only the URL of the store is another one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepwell.api.context import ServerContext
from stepwell.api.server import serving_app
from stepwell.app.configuration import configuration_from
from stepwell.app.registries import Registries
from stepwell.app.serving import open_server
from tests.examples.command import EXAMPLES
from tests.servers.postgres import postgres_server

API = "/api/v1"
EXPENSES = (EXAMPLES / "server" / "expenses.yaml").read_text("utf-8")


@asynccontextmanager
async def serving(store: str, count: int) -> AsyncIterator[Sequence[httpx.AsyncClient]]:
    """Clients of so many servers on the store."""
    kind = "postgresql" if store.startswith("postgresql") else "sqlite"
    configuration = configuration_from({"state_store": {"type": kind, "connection_string": store}})
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            parts = await stack.enter_async_context(open_server(configuration, Registries(())))
            transport = httpx.ASGITransport(app=serving_app(ServerContext(parts)))
            client = httpx.AsyncClient(transport=transport, base_url="http://stepwell.test")
            clients.append(await stack.enter_async_context(client))
        yield clients


async def played(store: str, count: int) -> list[Any]:
    """What a client sees of the example, when it asks one server after the other."""
    async with serving(store, count) as clients:
        first, last = clients[0], clients[-1]
        applied = await first.post(f"{API}/workflows", content=EXPENSES, headers={"Content-Type": "application/yaml"})
        assert applied.status_code == 201, applied.text
        seen = []
        for amount, answer in ((50, None), (500, True), (5_000, False)):
            given = {"input": {"who": "Ada", "amount": amount}}
            started = (await first.post(f"{API}/workflows/expenses/executions", json=given)).json()
            if answer is not None:
                await _answer(last, started["execution_id"], answer)
            seen.append(_what_happened(await _ended(last, started["execution_id"])))
        return seen


async def _answer(client: httpx.AsyncClient, execution: str, answer: bool) -> None:
    while not (await client.get(f"{API}/approvals", params={"execution": execution})).json()["items"]:
        await asyncio.sleep(0.02)
    given = await client.post(f"{API}/approvals/{execution}/approve", json={"response": answer, "by": "Grace"})
    assert given.status_code < 300, given.text


async def _ended(client: httpx.AsyncClient, execution: str) -> Any:
    while True:
        report = (await client.get(f"{API}/executions/{execution}")).json()
        if report["status"] in ("completed", "failed", "cancelled"):
            return report
        await asyncio.sleep(0.02)


def _what_happened(report: dict[str, Any]) -> dict[str, Any]:
    """Without ids and instants."""
    told = ("workflow", "version", "status", "input", "output", "completed_steps", "failed_steps")
    steps = [(step["name"], step["status"], step["attempts"], step["output"]) for step in report["steps"]]
    return {**{name: report.get(name) for name in told}, "steps": steps, "keys": sorted(report)}


async def test_the_same_example_does_the_same_on_sqlite_and_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_KEY", base64.b64encode(bytes(32)).decode())
    on_sqlite = await played(f"sqlite:{tmp_path / 'here.db'}", 1)
    on_cluster = await played(postgres_server().fresh_url(), 2)
    assert [each["output"] for each in on_sqlite] == [{"paid": True}, {"paid": True}, {"paid": False}]
    assert on_cluster == on_sqlite
