"""The server as a process: what it says, how it ends, and what survives when it is killed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from stepwell.base.durations import SECOND
from stepwell.store.sqlite.store import SqliteStore
from tests.api.documents import API, ASKING, YAML, workflow
from tests.api.processes import STEPWELL, Serving, serving

ROOT = Path(__file__).parents[2]
SLOW = """
import time
from stepwell import task

@task("slow")
def slow(seconds: float) -> int:
    time.sleep(seconds)
    return 1
"""


def register(client: httpx.Client, text: str) -> None:
    """Register a workflow, which must be accepted."""
    assert client.post(f"{API}/workflows", content=text, headers=YAML).status_code in (200, 201)


def test_it_says_what_it_serves_and_ends_when_told(tmp_path: Path) -> None:
    with serving(tmp_path, "--store", "sqlite:x.db") as server:
        assert any("x.db with 0 registered workflow versions and 0 executions" in line for line in server.said)
        assert any(line.startswith("warning: open:") for line in server.said)
        with httpx.Client(base_url=server.url) as client:
            assert client.get(f"{API}/executions").json() == {"items": [], "next": None}
            with client.stream("GET", f"{API}/events/stream") as stream:
                parts = stream.iter_text()
                assert next(parts).startswith("id: ")
                assert server.stop() == 0  # the stream does not keep it
        assert any(line.startswith("stopping") for line in server.said)


def test_a_taken_port_and_an_open_server_are_refused_in_a_line(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        port = server.url.rsplit(":", 1)[1]
        for flags, code in (
            (["--port", port], "address-unusable"),
            (["--host", "0.0.0.0", "--port", "0"], "open-server"),
        ):
            done = subprocess.run([STEPWELL, "serve", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 2
            assert done.stderr.startswith(f"error[{code}]")
            assert "Traceback" not in done.stderr


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(SLOW, "utf-8")
    flags = ("--store", "sqlite:x.db", "--import", "tasks.py")
    steps = "- {name: one, type: python, config: {task: slow, args: {seconds: 0.01}}}"
    waits = "- {name: paid, type: wait_for_event, config: {event_type: paid, filter: {n: '{{ input.n }}'}}}"
    started: list[str] = []
    waiting: list[str] = []
    sent: list[str] = []

    def work(url: str, worker: int) -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            for number in range(10_000):
                n = f"{worker}-{number}"
                event = {"specversion": "1.0", "id": n, "source": "test", "type": "paid", "data": {"n": n}}
                try:
                    begun = client.post(f"{API}/workflows/work/executions", json={})
                    waits = client.post(f"{API}/workflows/waits/executions", json={"input": {"n": n}})
                    taken = client.post(f"{API}/events", json=event)
                except httpx.HTTPError:
                    return
                started.append(begun.json()["execution_id"])
                waiting.append(waits.json()["execution_id"])
                sent.append(taken.json()["id"])

    with Serving(tmp_path, *flags) as server:
        with httpx.Client(base_url=server.url) as client:
            register(client, workflow("work", steps=steps))
            register(client, workflow("waits", steps=waits))
            register(client, ASKING)
            asked = client.post(f"{API}/workflows/asking/executions", json={}).json()["execution_id"]
        threads = [threading.Thread(target=work, args=(server.url, worker)) for worker in range(4)]
        for thread in threads:
            thread.start()
        while len(sent) < 40:
            time.sleep(0.01)
        server.kill()
        for thread in threads:
            thread.join()

    with Serving(tmp_path, *flags) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for execution in (*started, *waiting):
            for _ in range(600):
                status = client.get(f"{API}/executions/{execution}").json()["status"]
                if status == "completed":
                    break
                time.sleep(0.05)
            assert status == "completed", execution
        for id_ in sent:
            event = {"specversion": "1.0", "id": id_, "source": "test", "type": "paid", "data": None}
            assert client.post(f"{API}/events", json=event).json()["duplicate"] is True
        assert [each["execution_id"] for each in client.get(f"{API}/approvals").json()["items"]] == [asked]
        assert server.stop() == 0


async def test_a_server_whose_engine_has_stopped_ends_and_says_why(tmp_path: Path) -> None:
    server = await asyncio.to_thread(Serving, tmp_path, "--store", "sqlite:x.db")
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        assert (await client.post(f"{API}/workflows", content=workflow(), headers=YAML)).status_code == 201
        thief = SqliteStore(tmp_path / "x.db")
        await thief.open()
        owned = (await thief.status()).owners
        for shard in [each["shard"] for each in owned]:
            await thief.acquire(shard, "thief", max(each["expires_at"] for each in owned) + 60 * SECOND, 60 * SECOND)
        refused = await client.post(f"{API}/workflows/hello/executions")
        assert refused.status_code == 503
        await thief.close()
    status = await asyncio.to_thread(server.stop_waiting)
    assert status == 4, "whoever supervises it starts it anew"
    assert any("took it over" in line and line.startswith("error[") for line in server.said)
    assert not any("Traceback" in line for line in server.said)


@pytest.mark.parametrize("name", ["README.md", "docs/how-to/serve.md"])
def test_the_way_of_a_newcomer_leads_to_an_answer(tmp_path: Path, name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    command = (sys.executable, ROOT / "examples/server/serve.py", "--folder", tmp_path / "server")
    with Serving(ROOT, command=command) as server:
        script = commands.replace("http://127.0.0.1:8080", server.url).replace("started.json", str(tmp_path / "s.json"))
        done = subprocess.run(["sh"], input=script, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        assert '"status":"completed"' in done.stdout
        assert '"output":{"text":"Have a good time, Ada."}' in done.stdout
        assert "event: stepwell.step.waiting.v1" in done.stdout
        with httpx.Client(base_url=server.url) as client:
            names = {each["name"] for each in client.get(f"{API}/workflows").json()["items"]}
            assert names == {"user-registration", "expenses", "holiday"}
            small = client.post(
                f"{API}/workflows/expenses/executions?wait=30s", json={"input": {"who": "A", "amount": 5}}
            )
            assert small.json()["output"] == {"paid": True}
        assert server.stop() == 0


def test_the_command_says_how_it_is_used() -> None:
    done = subprocess.run([STEPWELL, "serve", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "stepwell serve --store" in done.stdout
