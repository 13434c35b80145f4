"""Two servers on one store: each answers everything, whoever runs it; when one goes the other goes on."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.documents import API, YAML
from tests.api.processes import Serving
from tests.servers.postgres import postgres_server

CONFIGURATION = """
state_store: {path: shared.db}
cluster: {enabled: true, shards: 4, drain: 20s}
"""
WORK = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: fetched, version: "1.0.0"}
spec:
  steps:
    - {name: one, type: resize, queue: images, config: {width: 1}}
    - {name: two, type: resize, queue: images, depends_on: [one], config: {width: 2}}
"""
WAITS = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: waits, version: "1.0.0"}
spec:
  steps:
    - {name: paid, type: wait_for_event, config: {event_type: paid}}
"""
PATIENCE = 20


class Cluster:
    """Two servers, and a client of each."""

    def __init__(self, first: Serving, second: Serving) -> None:
        self.servers = [first, second]
        self.clients = [httpx.Client(base_url=f"{each.url}{API}", timeout=PATIENCE) for each in self.servers]
        self.until(lambda: [node["shards"] for node in self.shown(0)["nodes"]] == [2, 2])

    def until(self, holds: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, "it does not come about"
            time.sleep(0.05)

    def shown(self, at: int) -> Any:
        return self.clients[at].get("/cluster").json()

    def apply(self, text: str) -> None:
        applied = self.clients[0].post("/workflows", content=text, headers=YAML)
        assert applied.status_code == 201, applied.text

    def start(self, at: int, workflow: str, **parameters: str) -> Any:
        answer = self.clients[at].post(f"/workflows/{workflow}/executions", json={}, params=parameters)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def status(self, at: int, execution: str) -> str:
        return str(self.clients[at].get(f"/executions/{execution}").json()["status"])

    def steps(self, at: int, execution: str) -> list[str]:
        report = self.clients[at].get(f"/executions/{execution}").json()
        return [step["status"] for step in report["steps"]]

    def polled(self, at: int) -> Any:
        """The first assignment that a worker gets there."""
        body = {"worker": "w", "queues": ["images"], "wait": PATIENCE}
        (assignment,) = self.clients[at].post("/workers/poll", json=body).json()["assignments"]
        return assignment

    def completed(self, at: int, assignment: Any) -> int:
        body = {"id": assignment["id"], "result": {"done": True}}
        return self.clients[at].post("/workers/complete", json=body).status_code


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """On an SQLite file; on PostgreSQL when that is asked for."""
    configuration, environment = CONFIGURATION, {}
    if getattr(request, "param", "sqlite") == "postgresql":
        configuration = configuration.replace("{path: shared.db}", f"{{url: '{postgres_server().fresh_url()}'}}")
        environment = {"STEPWELL_KEY": base64.b64encode(bytes(32)).decode()}
    (tmp_path / "stepwell.yaml").write_text(configuration)
    with ExitStack() as stack:
        servers = [stack.enter_context(Serving(tmp_path, environment=environment)) for _ in range(2)]
        made = Cluster(*servers)
        yield made
        for client in made.clients:
            client.close()


ON_BOTH = pytest.mark.parametrize("cluster", ["sqlite", "postgresql"], indirect=True)


@ON_BOTH
def test_every_node_answers_every_request(cluster: Cluster) -> None:
    cluster.apply(WAITS)
    execution = cluster.start(0, "waits")["execution_id"]
    assert cluster.status(1, execution) == "waiting"
    paused = cluster.clients[1].post(f"/executions/{execution}/pause", json={"reason": "look"})
    assert paused.status_code == 200, paused.text
    assert cluster.status(0, execution) == "paused"
    assert cluster.clients[1].post(f"/executions/{execution}/resume", json={}).status_code == 200
    signalled = cluster.clients[1].post(f"/executions/{execution}/signal", json={"type": "paid", "data": {}})
    assert signalled.status_code in (200, 202), signalled.text
    cluster.until(lambda: cluster.status(1, execution) == "completed")


def test_a_worker_may_ask_any_node_and_report_to_any(cluster: Cluster) -> None:
    cluster.apply(WORK)
    execution = cluster.start(0, "fetched")["execution_id"]
    assignment = cluster.polled(1)
    assert assignment["execution_id"] == execution
    beat = cluster.clients[1].post("/workers/heartbeat", json={"worker": "w", "assignments": [assignment["id"]]})
    assert beat.json()["kept"] == [assignment["id"]]
    assert cluster.completed(1, assignment) == 204
    assert cluster.completed(1, assignment) == 204, "the same report again, for whoever did not hear of it"
    assert cluster.completed(1, cluster.polled(0)) == 204
    cluster.until(lambda: cluster.status(1, execution) == "completed")


@ON_BOTH
def test_many_are_asked_wherever_they_run(cluster: Cluster) -> None:
    cluster.apply(WAITS)
    begun = {cluster.start(at, "waits")["execution_id"] for at in (0, 1, 0, 1)}
    asked = {"action": "cancel", "query": {"workflow": "waits"}, "reason": "test"}
    answer = cluster.clients[1].post("/executions/actions", json=asked)
    assert answer.status_code == 200, answer.text
    assert {(each["execution_id"], each["outcome"]) for each in answer.json()["items"]} == {
        (id_, "done") for id_ in begun
    }
    assert {cluster.status(0, id_) for id_ in begun} == {"cancelled"}
    again = cluster.clients[0].post("/executions/actions", json={**asked, "query": {}}).json()["items"]
    assert {(each["execution_id"], each["code"]) for each in again} == {(id_, "already-ended") for id_ in begun}


@ON_BOTH
def test_a_node_that_is_told_to_end_lets_work_end_and_hands_over(cluster: Cluster) -> None:
    cluster.apply(WORK)
    execution = cluster.start(0, "fetched")["execution_id"]
    assignment = cluster.polled(0)
    cluster.servers[0].process.terminate()
    cluster.until(lambda: cluster.clients[0].get(f"{cluster.servers[0].url}/readyz").status_code == 503)
    refused = cluster.clients[0].post("/workflows/fetched/executions", json={})
    assert (refused.status_code, refused.json()["code"]) == (503, "draining")
    assert cluster.completed(0, assignment) == 204
    assert cluster.servers[0].stop_waiting() == 0
    second = cluster.polled(1)
    assert (second["execution_id"], second["step"]) == (execution, "two")
    assert cluster.completed(1, second) == 204
    cluster.until(lambda: cluster.status(1, execution) == "completed")
    assert [node["shards"] for node in cluster.shown(1)["nodes"]] == [4]


def test_a_node_that_is_told_to_end_twice_ends_at_once_and_its_work_is_done_again(cluster: Cluster) -> None:
    cluster.apply(WORK)
    execution = cluster.start(0, "fetched")["execution_id"]
    assignment = cluster.polled(0)
    cluster.servers[0].process.terminate()
    cluster.until(lambda: cluster.clients[0].get(f"{cluster.servers[0].url}/readyz").status_code == 503)
    assert cluster.servers[0].stop() == 0
    again = cluster.polled(1)
    assert (again["execution_id"], again["id"]) == (execution, assignment["id"])
    assert cluster.completed(1, again) == 204


def test_a_node_that_is_killed_is_taken_over(cluster: Cluster) -> None:
    cluster.apply(WORK)
    execution = cluster.start(0, "fetched")["execution_id"]
    assert cluster.completed(0, cluster.polled(0)) == 204
    cluster.until(lambda: cluster.steps(1, execution) == ["completed", "running"])
    cluster.servers[0].kill()
    second = cluster.polled(1)
    assert (second["execution_id"], second["step"], second["attempt"]) == (execution, "two", 1)
    assert cluster.completed(1, second) == 204
    cluster.until(lambda: cluster.status(1, execution) == "completed")
