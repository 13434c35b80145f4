"""Servers and workers as processes, with a real NATS server between them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.documents import API, YAML
from tests.api.processes import STEPWELL, Serving, serving
from tests.servers.nats import NatsServer, new_server

PATIENCE = 40.0
TASKS = """
import pathlib, time
from stepwell import task

@task
def work(name: str) -> str:
    with open("begun", "a") as file:
        file.write(name + "\\n")
    while not pathlib.Path("gate").exists():
        time.sleep(0.02)
    return f"done by {name}"
"""
WORKFLOW = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: remote, version: "1.0.0"}
spec:
  input: {schema: {type: object, properties: {name: {type: string}}}}
  steps:
    - {name: far, type: work, queue: {name: heavy, labels: {disk: true}}, config: {name: "{{ input.name }}"}}
  output: {values: {said: "{{ steps.far.output }}"}}
"""


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    server = new_server()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path, nats_server: NatsServer) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "stepwell.yaml").write_text(f'nats: {{url: "{nats_server.url}"}}\nlogging: {{level: info}}\n')
    return tmp_path


@contextmanager
def working(folder: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """`stepwell worker`, until the block is left."""
    process = subprocess.Popen(
        [STEPWELL, "worker", "--queue", "heavy", "--import", "tasks.py", *flags],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
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


def until(condition: Callable[[], Any]) -> Any:
    """Wait until it holds; what it gives."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)
    return found


def begun(folder: Path) -> list[str]:
    file = folder / "begun"
    return file.read_text().splitlines() if file.exists() else []


def started(server: Serving, name: str) -> str:
    with httpx.Client(base_url=server.url) as client:
        assert client.post(f"{API}/workflows", content=WORKFLOW, headers=YAML).status_code in (200, 201)
        answer = client.post(f"{API}/workflows/remote/executions", json={"input": {"name": name}})
        return str(answer.json()["execution_id"])


def ended(server: Serving, execution: str) -> Any:
    """The execution, once it has ended."""

    def look() -> Any:
        found = httpx.get(f"{server.url}{API}/executions/{execution}").json()
        return found if found["status"] not in ("running", "pending") else None

    return until(look)


def labels(server: Serving) -> list[dict[str, str]]:
    """Of the workers that the server knows."""
    return [each["labels"] for each in httpx.get(f"{server.url}{API}/workers").json()["items"]]


def seen(server: Serving) -> Any:
    """How the server reaches NATS."""
    return httpx.get(f"{server.url}{API}/workers").json()["nats"]


def test_a_server_that_is_killed_and_started_again_hears_of_work_that_went_on(folder: Path) -> None:
    with working(folder, "--label", "disk=true") as worker:
        server = Serving(folder, "--store", "sqlite:x.db")
        execution = started(server, "ann")
        until(lambda: begun(folder) == ["ann"])
        server.kill()
        (folder / "gate").touch()
        with serving(folder, "--store", "sqlite:x.db") as server:
            found = ended(server, execution)
            assert (found["status"], found["output"]) == ("completed", {"said": "done by ann"})
            assert begun(folder) == ["ann"]
            until(lambda: labels(server) == [{"disk": "true"}])
        worker.terminate()
        said, _ = worker.communicate(timeout=30)
        assert worker.returncode == 0, said


def test_a_worker_that_is_told_to_end_finishes_what_it_is_at(folder: Path) -> None:
    with serving(folder, "--store", "sqlite:x.db") as server, working(folder, "--label", "disk=true") as worker:
        execution = started(server, "bob")
        until(lambda: begun(folder) == ["bob"])
        worker.terminate()
        assert worker.stdout is not None
        until(lambda: "stopping: 1 at work" in worker.stdout.readline())  # type: ignore[union-attr]
        (folder / "gate").touch()
        assert ended(server, execution)["output"] == {"said": "done by bob"}
        worker.communicate(timeout=30)
        assert worker.returncode == 0


def test_a_server_without_nats_says_so_and_works_once_it_is_there(folder: Path, nats_server: NatsServer) -> None:
    nats_server.kill()
    (folder / "gate").touch()
    with serving(folder, "--store", "sqlite:x.db") as server, working(folder, "--label", "disk=true"):
        execution = started(server, "cleo")
        ready = httpx.get(f"{server.url}/readyz")
        assert (ready.status_code, "Connection refused" in ready.text) == (200, True)
        problem = f"NATS at {nats_server.url}: Connection refused"
        until(lambda: seen(server) == {"problem": problem, "outstanding": 1, "garbage": 0})
        nats_server.start()
        assert ended(server, execution)["output"] == {"said": "done by cleo"}
        assert seen(server) == {"problem": None, "outstanding": 0, "garbage": 0}
        assert server.stop() == 0
        assert len([line for line in server.said if "cannot be reached" in line]) == 1, server.said


def test_a_worker_with_a_wrong_address_or_label_says_what_it_needs(tmp_path: Path) -> None:
    for flags, code in (
        (("--nats", "http://x"), "invalid-configuration"),
        (("--nats", "nats://x", "--label", "gpu"), "usage"),
        (("--nats", "nats://x", "--server", "http://x"), "usage"),
    ):
        done = subprocess.run(
            [STEPWELL, "worker", "--queue", "q", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.startswith(f"error[{code}]")) == (2, True), done.stderr
