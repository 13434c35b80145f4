"""A server whose PostgreSQL goes away, for a moment or for long, and comes back; or is not there yet when it starts."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.documents import API, WAITING, YAML
from tests.api.processes import STEPWELL, Serving
from tests.servers.postgres import postgres_server
from tests.servers.proxy import Fate, Proxy

EVENT = {"specversion": "1.0", "id": "1", "source": "shop", "type": "paid", "data": {}}
KEY = {"STEPWELL_KEY": base64.b64encode(bytes(32)).decode()}
RECONNECT = 300
"""Milliseconds that the configuration says."""
IN_A_HURRY = """
import sys
from stepwell.api import outages
from stepwell.base.durations import SECOND
from stepwell.cli.main import main
outages.PATIENCE, outages.LOOK_EVERY = 0.4, SECOND // 10
sys.argv = ["stepwell", *sys.argv[1:]]
main()
"""
QUICK = (sys.executable, "-c", IN_A_HURRY, "serve")
"""A server that sits outages out for 0.4 s only before it answers."""
LONG = 15
"""More tries to connect than fit into `RECONNECT`, of all connections together."""
PATIENCE = 30


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server().port) as proxy:
        yield proxy


@pytest.fixture
def configured(tmp_path: Path, proxy: Proxy) -> str:
    """The URL of the configured store: a fresh schema behind the proxy."""
    server = postgres_server()
    url = server.fresh_url().replace(f":{server.port}/", f":{proxy.port}/")
    (tmp_path / "stepwell.yaml").write_text(f"state_store: {{url: '{url}', reconnect: {RECONNECT}ms}}\n")
    return url


async def served(folder: Path, command: tuple[str | Path, ...] = QUICK) -> Serving:
    return await asyncio.to_thread(Serving, folder, command=command, environment=KEY)


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while not (found := await holds()):
            await asyncio.sleep(0.02)
        return found


async def outage_begins(proxy: Proxy) -> None:
    """It lasts for longer than the configured time when this returns."""
    proxy.refuses = True
    proxy.cut()
    before = proxy.made

    async def is_long() -> bool:
        return proxy.made - before > LONG

    await until(is_long)


@pytest.mark.usefixtures("configured")
async def test_a_server_comes_back_with_its_database_however_long_that_took(tmp_path: Path, proxy: Proxy) -> None:
    server = await served(tmp_path)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        assert (await client.post(f"{API}/workflows", content=WAITING, headers=YAML)).status_code == 201
        started = await client.post(f"{API}/workflows/waiting/executions")
        where = started.headers["location"]
        await outage_begins(proxy)
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "store: it cannot be reached" in ready.text
        for asked in (client.get(where), client.post(f"{API}/workflows/waiting/executions")):
            refused = await asyncio.wait_for(asked, PATIENCE)
            assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
            assert int(refused.headers["retry-after"]) > 1
            assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.get("/metrics")).status_code == 503
        proxy.refuses = False

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(is_ready)
        assert (await client.post(f"{API}/events", json=EVENT)).status_code in (200, 201, 202)

        async def is_completed() -> bool:
            return bool((await client.get(where)).json()["status"] == "completed")

        await until(is_completed)
        assert len((await client.get(f"{API}/executions")).json()["items"]) == 1, "what was refused was not done"
    assert await asyncio.to_thread(server.stop) == 0
    assert sum("is lost" in line for line in server.said) == 1
    assert sum("answers again" in line for line in server.said) == 1


@pytest.mark.usefixtures("configured")
async def test_what_was_accepted_before_an_outage_is_done_after_it_and_once(tmp_path: Path, proxy: Proxy) -> None:
    server = await served(tmp_path)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        assert (await client.post(f"{API}/workflows", content=WAITING, headers=YAML)).status_code == 201
        key = {"Idempotency-Key": "once"}
        tagged = {"tags": ["just-this-one"]}

        def judge(sent: bytes) -> Fate:
            if b"just-this-one" not in sent:
                return "passes"
            proxy.refuses = True
            proxy.cut()  # the others too
            return "is lost"

        proxy.fate = judge
        first = await client.post(f"{API}/workflows/waiting/executions", json=tagged, headers=key)
        assert (first.status_code, first.json()["code"]) == (503, "store-unavailable")
        assert "may be done when it is back" in first.json()["detail"]
        proxy.refuses, proxy.fate = False, lambda _: "passes"

        async def answered() -> httpx.Response | None:
            again = await client.post(f"{API}/workflows/waiting/executions", json=tagged, headers=key)
            return again if again.status_code not in (409, 503) else None

        again = await until(answered)
        assert again.status_code == 201
        (done,) = (await client.get(f"{API}/executions")).json()["items"]
        assert done["execution_id"] == again.json()["execution_id"]
    assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.usefixtures("configured")
async def test_a_server_that_is_told_to_end_during_an_outage_ends(tmp_path: Path, proxy: Proxy) -> None:
    server = await served(tmp_path)
    await outage_begins(proxy)
    assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.usefixtures("configured")
async def test_a_database_that_says_nothing_is_noticed(tmp_path: Path) -> None:
    server = await served(tmp_path)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        assert (await client.get(f"{API}/executions")).status_code == 200
        postgres_server().freeze()
        try:
            refused = await client.get(f"{API}/executions")
            assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
        finally:
            postgres_server().thaw()

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(is_ready)
        assert (await client.get(f"{API}/executions")).status_code == 200
    assert await asyncio.to_thread(server.stop) == 0


# ── At the start ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_waits_for_its_database_when_it_starts(tmp_path: Path, proxy: Proxy, configured: str) -> None:
    (tmp_path / "stepwell.yaml").write_text(f"state_store: {{url: '{configured}', reconnect: 1m}}\n")
    proxy.refuses = True
    starting = asyncio.ensure_future(served(tmp_path))

    async def is_trying() -> bool:
        return proxy.made > 3

    await until(is_trying)
    proxy.refuses = False
    server = await starting
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        assert (await client.get("/readyz")).status_code == 200
    assert await asyncio.to_thread(server.stop) == 0
    (waited,) = [line for line in server.said if "waiting for it" in line]
    assert "cannot be reached" in waited
    assert waited.endswith("for up to 1m")


async def test_a_server_whose_database_does_not_come_gives_up(tmp_path: Path, proxy: Proxy, configured: str) -> None:
    proxy.refuses = True
    status, said = await refused(tmp_path, configured)
    assert status == 4
    assert "error[store-unavailable]: " in said
    assert "it was tried for" in said
    assert "Traceback" not in said
    assert proxy.made > 1


async def test_a_server_that_waits_ends_when_it_is_told_to(tmp_path: Path, proxy: Proxy, configured: str) -> None:
    (tmp_path / "stepwell.yaml").write_text(f"state_store: {{url: '{configured}', reconnect: 1h}}\n")
    proxy.refuses = True
    process = subprocess.Popen(
        [STEPWELL, "serve", "--port", "0"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=KEY
    )

    async def is_trying() -> bool:
        return proxy.made > 2

    await until(is_trying)
    process.terminate()
    _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert process.returncode == 0
    assert said.endswith("stopped before anything was served\n")


@pytest.mark.parametrize(
    ("account", "database", "code"),
    [("refused_for_ever:wrong", "postgres", "store-permission"), ("postgres", "not_there", "store-missing")],
)
async def test_what_waiting_does_not_help_with_is_said_at_once(
    tmp_path: Path, proxy: Proxy, configured: str, account: str, database: str, code: str
) -> None:
    url = configured.replace("postgres@", f"{account}@").replace("/postgres?", f"/{database}?")
    (tmp_path / "stepwell.yaml").write_text(f"state_store: {{url: '{url}', reconnect: 1h}}\n")
    status, said = await refused(tmp_path, configured)
    assert status == 4
    assert f"error[{code}]: " in said
    assert "waiting for it" not in said


async def refused(folder: Path, url: str) -> tuple[int, str]:
    """How a server ends that does not come up, and what it says."""
    process = await asyncio.create_subprocess_exec(
        STEPWELL, "serve", "--port", "0", cwd=folder, env=KEY, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, said.decode()
