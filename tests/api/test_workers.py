"""Workers elsewhere: over the API in this process, and as processes against a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepwell.base.errors import StoreError
from stepwell.ports.records import Batch
from stepwell.store.memory.store import MemoryStore
from stepwell.worker import reports
from stepwell.worker.queues import LEASE, MOST_DELIVERIES
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, YAML
from tests.api.processes import STEPWELL, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "worker-in-another-language"
WORKFLOW = (EXAMPLE / "workflow.yaml").read_text()
INPUT = {"width": 640, "height": 480}


async def started(server: Server, text: str = WORKFLOW) -> str:
    assert (await server.post(f"{API}/workflows", content=text, headers=YAML)).status_code == 201
    begun = await server.post(f"{API}/workflows/thumbnail/executions", json={"input": INPUT})
    return str(begun.json()["execution_id"])


async def poll(server: Server, worker: str = "w1", wait: float = 0) -> Any:
    answer = await server.post(f"{API}/workers/poll", json={"worker": worker, "queues": ["images"], "wait": wait})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def polled(server: Server, worker: str = "w1") -> Any:
    """The first assignment, once there is one."""
    polling = asyncio.create_task(poll(server, worker, 20))
    (assignment,) = (await asyncio.wait_for(polling, 10))["assignments"]
    return assignment


async def ended(server: Server, execution: str) -> Any:
    await asyncio.wait_for(server.parts.session.engine.ended(execution), 10)
    return (await server.get(f"{API}/executions/{execution}")).json()


async def test_a_worker_fetches_works_and_reports(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await started(server)
        assignment = await polled(server)
        assert assignment["config"] == {"width": 640, "height": 480, "to": 320}
        assert (assignment["type"], assignment["queue"], assignment["attempt"]) == ("resize", "images", 1)
        assert assignment["timeout"] == 30
        workers = (await server.get(f"{API}/workers")).json()
        assert [(each["name"], each["running"]) for each in workers["items"]] == [("w1", 1)]
        assert workers["queues"] == [{"name": "images", "waiting": 0, "running": 1, "idle_workers": 0}]
        beat = {"worker": "w1", "assignments": [assignment["id"]]}
        assert (await server.post(f"{API}/workers/heartbeat", json=beat)).json()["kept"] == [assignment["id"]]
        done = {"id": assignment["id"], "result": {"width": 320, "height": 240}}
        assert (await server.post(f"{API}/workers/complete", json=done)).status_code == 204
        again = await server.post(f"{API}/workers/complete", json=done)
        assert again.status_code == 204, "whoever did not hear of it reports again"
        other = await server.post(f"{API}/workers/complete", json={**done, "result": {"width": 1, "height": 1}})
        assert (other.status_code, other.json()["code"]) == (409, "not-assigned")
        assert (await ended(server, execution))["output"] == {"size": "320x240"}


class Slow(MemoryStore):
    """Writes nothing of executions before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def append(self, batch: Batch) -> bool:
        await self.may_write.wait()
        return await super().append(batch)


@pytest.mark.parametrize(
    ("call", "said"),
    [("complete", {"result": {"width": 320, "height": 240}}), ("fail", {"type": "no_memory", "message": "too large"})],
)
async def test_a_report_is_acknowledged_when_it_is_recorded_and_counts_once(
    open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch, call: str, said: dict[str, Any]
) -> None:
    store = Slow()
    await store.open()
    async with open_test_server(store=store) as server:
        execution = await started(server)
        report = {"id": (await polled(server))["id"], **said}
        store.may_write.clear()
        monkeypatch.setattr(reports, "PATIENCE", 0.05)
        for _ in range(2):
            refused = await server.post(f"{API}/workers/{call}", json=report)
            assert (refused.status_code, refused.json()["code"]) == (503, "not-recorded")
            assert int(refused.headers["retry-after"]) > 0
        assert (await server.get(f"{API}/executions/{execution}")).json()["status"] == "running"
        monkeypatch.undo()
        first = asyncio.create_task(server.post(f"{API}/workers/{call}", json=report))
        await asyncio.sleep(0)
        assert not first.done()
        store.may_write.set()
        assert (await first).status_code == 204
        assert (await ended(server, execution))["status"] == ("completed" if call == "complete" else "failed")
        assert (await server.post(f"{API}/workers/{call}", json=report)).status_code == 204
        events = (await server.get(f"{API}/executions/{execution}/history")).json()["items"]
        assert len([each for each in events if each["event"] in ("StepCompleted", "StepFailed")]) == 1
    await store.close()


async def test_a_report_that_cannot_be_recorded_is_not_acknowledged(open_test_server: OpenServer) -> None:
    store = Slow()
    await store.open()
    async with open_test_server(store=store) as server:
        await started(server)
        report = {"id": (await polled(server))["id"], "result": {"width": 1, "height": 1}}
        store.may_write.clear()
        reporting = asyncio.create_task(server.post(f"{API}/workers/complete", json=report))
        await server.clock.settle()
        server.parts.session.engine._loop.committer._fail(StoreError("gone", code="store-gone"))
        assert (await reporting).status_code == 503
        store.may_write.set()
    await store.close()


async def test_what_a_worker_says_went_wrong_is_the_error_of_the_step(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await started(server)
        failed = {"id": (await polled(server))["id"], "type": "no_memory", "message": "too large", "details": {"mb": 9}}
        assert (await server.post(f"{API}/workers/fail", json=failed)).status_code == 204
        (step,) = (await ended(server, execution))["steps"]
        assert (step["error"]["type"], step["error"]["details"]) == ("no_memory", {"mb": 9})


async def test_work_that_workers_are_lost_with_is_a_dead_letter_and_can_be_tried_again(
    open_test_server: OpenServer,
) -> None:
    async with open_test_server() as server:
        execution = await started(server, WORKFLOW.replace("timeout: 30s", "timeout: 5m"))
        for number in range(MOST_DELIVERIES):
            await polled(server, f"w{number}")
            await server.advance(LEASE + 1)
        report = await ended(server, execution)
        assert (report["status"], report["error"]["type"]) == ("failed", "worker_lost")
        (letter,) = (await server.get(f"{API}/dead-letters")).json()["items"]
        assert (letter["execution_id"], letter["step"], letter["error"]["type"]) == (execution, "resize", "worker_lost")
        again = await server.post(f"{API}/dead-letters/{letter['id']}/retry", json={})
        assert again.status_code == 200, again.text
        done = {"id": (await polled(server, "w9"))["id"], "result": {"width": 320, "height": 240}}
        assert (await server.post(f"{API}/workers/complete", json=done)).status_code == 204
        assert (await ended(server, execution))["status"] == "completed"
        assert (await server.get(f"{API}/dead-letters")).json()["items"] == []


async def test_a_worker_that_is_gone_loses_its_work(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await started(server, WORKFLOW.replace("timeout: 30s", "timeout: 5m"))
        first = await polled(server)
        await server.advance(LEASE)
        second = await polled(server, "w2")
        assert second["id"] == first["id"]
        released = {"worker": "w2", "assignments": [second["id"]]}
        assert (await server.post(f"{API}/workers/release", json=released)).status_code == 204
        third = await polled(server, "w3")
        await server.post(f"{API}/workers/complete", json={"id": third["id"], "result": {"width": 1, "height": 1}})
        assert (await ended(server, execution))["status"] == "completed"


async def test_a_cancelled_step_is_told_to_whoever_does_it(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await started(server)
        assignment = await polled(server)
        await server.post(f"{API}/executions/{execution}/terminate", json={})
        assert (await poll(server))["stop"] == [assignment["id"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("poll", {"queues": ["q"]}),
        ("poll", {"worker": "w", "queues": []}),
        ("poll", {"worker": "w", "queues": ["q"], "wait": 1_000}),
        ("poll", {"worker": "w", "queues": ["q"], "limit": 0}),
        ("heartbeat", {"worker": "w", "assignments": "all"}),
        ("complete", {"result": 1}),
        ("fail", {"id": "x"}),
    ],
)
async def test_what_makes_no_sense_is_refused(open_test_server: OpenServer, path: str, body: dict[str, Any]) -> None:
    async with open_test_server() as server:
        answer = await server.post(f"{API}/workers/{path}", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"]


# As processes


@contextmanager
def working(*command: str | Path, folder: Path, server: str) -> Iterator[subprocess.Popen[str]]:
    """A worker, until the block is left."""
    process = subprocess.Popen(
        [*map(str, command)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "STEPWELL_SERVER": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def completed(client: httpx.Client) -> Any:
    """The end of an execution of the example that was started now."""
    assert client.post(f"{API}/workflows", content=WORKFLOW, headers=YAML).status_code in (200, 201)
    begun = client.post(f"{API}/workflows/thumbnail/executions?wait=30s", json={"input": INPUT}, timeout=40)
    return begun.json()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_worker_in_another_language_does_the_example(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--store", "sqlite:x.db") as server,
        working("node", EXAMPLE / "worker.mjs", folder=tmp_path, server=server.url),
        httpx.Client(base_url=server.url) as client,
    ):
        assert completed(client)["output"] == {"size": "320x240"}


def test_the_worker_command_does_what_it_fetches_and_another_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "from stepwell import task\n\n@task('resize')\ndef resize(width: int, height: int, to: int) -> dict:\n"
        "    return {'width': to, 'height': height * to // width}\n",
        "utf-8",
    )
    command = (STEPWELL, "worker", "--queue", "images", "--import", "tasks.py")
    with serving(tmp_path, "--store", "sqlite:x.db") as server, httpx.Client(base_url=server.url) as client:
        with working(*command, folder=tmp_path, server=server.url) as process:
            assert completed(client)["output"] == {"size": "320x240"}
            process.terminate()
            said, _ = process.communicate(timeout=30)
            assert process.returncode == 0, said
            assert f"serves images of {server.url}" in said
        with working(*command, folder=tmp_path, server=server.url):
            assert completed(client)["output"] == {"size": "320x240"}


def test_a_worker_without_a_server_says_what_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [STEPWELL, "worker", "--queue", "q"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.startswith("error[missing-server]")) == (2, True)
