"""Figures, metrics, health: what a server tells of itself over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell.app.log_keeping import LogKeeper
from stepwell.base.errors import StoreError
from stepwell.ports.records import InboxItem
from stepwell.store.memory.store import MemoryStore
from stepwell.tasks.registry import task
from tests.api.conftest import OpenServer, Server
from tests.virtual_clock import VirtualClock

SECOND = 1_000_000
MINUTE = 60 * SECOND


@task("succeed")
async def succeed() -> str:
    return "done"


@task("break_down")
async def break_down() -> None:
    raise ValueError("it broke")


def workflow(name: str, task_name: str) -> dict[str, Any]:
    """A workflow of one step."""
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": "1.0.0"},
        "spec": {"steps": [{"name": "only", "type": task_name}]},
    }


async def ran(server: Server, name: str, task_name: str) -> str:
    """The id of an execution that has ended."""
    await server.post("/api/v1/workflows", json=workflow(name, task_name))
    started = await server.post(f"/api/v1/workflows/{name}/executions", json={})
    assert started.status_code == 201, started.text
    execution: str = started.json()["execution_id"]
    await server.parts.session.engine.ended(execution)
    return execution


@pytest.fixture
def tasks() -> tuple[Any, ...]:
    return (succeed, break_down)


async def test_without_executions_figures_are_zero_and_rates_are_of_nothing(server: Server) -> None:
    assert (await server.get("/api/v1/monitoring")).json() == {
        "active_workflows": 0,
        "completed_today": 0,
        "failed_today": 0,
        "average_duration": "0s",
        "current_load": "low",
    }
    assert (await server.get("/api/v1/metrics/summary")).json() == {
        "execution_time": {"avg": None, "p95": None, "p99": None},
        "success_rate": None,
        "error_rate": None,
        "throughput": 0.0,
    }


async def test_figures_are_about_what_ran(open_test_server: OpenServer, tasks: tuple[Any, ...]) -> None:
    async with open_test_server(tasks=tasks) as server:
        for _ in range(3):
            await ran(server, "good", "succeed")
        await ran(server, "team.bad", "break_down")
        await server.advance(2 * SECOND)
        monitoring = (await server.get("/api/v1/monitoring")).json()
        assert (monitoring["completed_today"], monitoring["failed_today"]) == (3, 1)
        summary = (await server.get("/api/v1/metrics/summary", params={"window": "2h"})).json()
        assert (summary["success_rate"], summary["error_rate"], summary["throughput"]) == (75.0, 25.0, 2.0)
        assert summary["execution_time"]["p95"] is not None
        of_one = (await server.get("/api/v1/metrics/summary", params={"workflow": "good"})).json()
        assert of_one["success_rate"] == 100.0


async def test_a_caller_sees_figures_of_its_namespaces(open_test_server: OpenServer, tasks: tuple[Any, ...]) -> None:
    async with open_test_server(tasks=tasks) as server:
        await ran(server, "good", "succeed")
        await ran(server, "team.bad", "break_down")
        monitoring = await server.parts.monitoring.monitoring(namespaces=("team",))
        assert (monitoring["completed_today"], monitoring["failed_today"]) == (0, 1)


@pytest.mark.parametrize("window", ["0s", "-1h", "x", "1000000d"])
async def test_a_window_that_is_none_is_refused(server: Server, window: str) -> None:
    refused = await server.get("/api/v1/metrics/summary", params={"window": window})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["parameter"] == "window"


async def test_prometheus_gets_every_metric_in_text_or_as_open_metrics(
    open_test_server: OpenServer, tasks: tuple[Any, ...]
) -> None:
    async with open_test_server(tasks=tasks) as server:
        await ran(server, "good", "succeed")
        plain = await server.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain")
        assert 'stepwell_executions_finished_total{namespace="default",status="completed"' in plain.text
        assert 'stepwell_steps_finished_total{namespace="default",status="completed",type="succeed"' in plain.text
        assert "stepwell_execution_duration_seconds_count" in plain.text
        opened = await server.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.text.endswith("# EOF\n")


async def test_a_server_that_answers_lives(server: Server) -> None:
    alive = await server.get("/healthz")
    assert alive.status_code == 200
    assert alive.json()["status"] == "alive"


async def test_a_server_is_ready_until_it_is_about_to_end(server: Server) -> None:
    ready = await server.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert {"engine", "store", "inbox"} <= set(ready.json()["checks"])
    server.context.closing.set()
    closing = await server.get("/readyz")
    assert closing.status_code == 503
    assert closing.json()["code"] == "not-ready"
    assert closing.json()["errors"] == [{"code": "server", "message": "server: it is about to end"}]


class FullDisk(MemoryStore):
    """A store that cannot be written when `is_full`."""

    is_full = False

    async def census(self) -> Any:
        if self.is_full:
            raise StoreError("it cannot be read", code="store-unavailable")
        return await super().census()

    async def write(self, *args: Any, **kwargs: Any) -> Any:
        if self.is_full:
            raise StoreError("the disk is full at /secret/place", code="disk-full")
        return await super().write(*args, **kwargs)


async def test_a_server_whose_store_cannot_be_written_is_not_ready_and_tells_no_path(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = FullDisk()
    await store.open()
    async with open_test_server(store=store) as server:
        assert (await server.get("/readyz")).status_code == 200
        store.is_full = True
        await server.advance(6 * SECOND)
        with caplog.at_level(logging.ERROR):
            refused = await server.get("/readyz")
        assert refused.status_code == 503
        assert refused.json()["errors"] == [{"code": "store", "message": "store: it cannot be written (disk-full)"}]
        assert "/secret" not in refused.text
        store.is_full = False
        await server.advance(6 * SECOND)
        assert (await server.get("/readyz")).status_code == 200
    await store.close()


async def test_metrics_are_shown_when_the_store_cannot_be_asked(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = FullDisk()
    await store.open()
    async with open_test_server(store=store) as server:
        store.is_full = True
        with caplog.at_level(logging.ERROR):
            shown = await server.get("/metrics")
        assert shown.status_code == 200
        assert "stepwell_build_info" in shown.text
        store.is_full = False
    await store.close()


async def test_a_server_whose_engine_has_stopped_is_not_ready(server: Server) -> None:
    server.parts.session.engine._ground.failure.note(StoreError("gone", code="store-gone"))
    refused = await server.get("/readyz")
    assert refused.status_code == 503
    assert {"code": "engine", "message": "engine: it has stopped (store-gone)"} in refused.json()["errors"]


async def test_a_server_whose_service_has_ended_is_not_ready(server: Server) -> None:
    from stepwell.app.alerting import Alerts

    running = server.parts.service(Alerts)._running
    assert running is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    refused = await server.get("/readyz")
    assert {"code": "Alerts", "message": "Alerts: nobody looks at alert rules"} in refused.json()["errors"]


async def test_a_server_that_takes_nothing_from_its_inbox_is_not_ready(server: Server) -> None:
    (shard,) = server.parts.session.engine.shards
    stuck = InboxItem(shard=shard, kind="event", payload=b"", id=7)
    waiting = [InboxItem(shard=shard, kind="start", payload=b"", id=3)]

    class Seen:
        """The store as the check sees it."""

        async def inboxes(self, after: Mapping[int, int], limit: int = 1_000) -> Any:
            assert dict(after) == {shard: 0}
            return waiting

        def __getattr__(self, name: str) -> Any:
            return getattr(server.parts.store, name)

    server.parts.health._store = Seen()
    await server.get("/readyz")
    await server.advance(40 * SECOND)
    assert (await server.get("/readyz")).status_code == 200  # a start may wait for an engine that knows its tasks
    waiting.append(stuck)
    await server.get("/readyz")
    await server.advance(20 * SECOND)
    assert (await server.get("/readyz")).status_code == 200
    await server.advance(20 * SECOND)
    refused = await server.get("/readyz")
    assert refused.status_code == 503
    assert [each["code"] for each in refused.json()["errors"]] == ["inbox"]


async def test_what_waits_for_an_execution_that_cannot_be_run_here_keeps_no_server_from_being_ready(
    server: Server,
) -> None:
    (shard,) = server.parts.session.engine.shards
    loaded = server.parts.session.engine._ground.loaded
    loaded.unusable.add("x")
    item = InboxItem(shard=shard, kind="event", payload=b"", execution="x")
    server.parts.session.engine._inbox._seen[shard] = 1_000  # it was looked at, and left
    await server.parts.store.post([item])
    await server.get("/readyz")
    await server.advance(40 * SECOND)
    ready = await server.get("/readyz")
    assert ready.status_code == 200
    (problem,) = [each for each in ready.json()["problems"] if each.startswith("executions: ")]
    assert problem.startswith("executions: 1 do not go on here")


async def test_while_the_store_cannot_be_reached_a_server_says_at_once_that_it_is_not_ready(server: Server) -> None:
    class Away:
        """The store in an outage that it sits out."""

        outage = "ConnectionRefusedError: connection refused"

        async def write(self, *_: Any) -> Any:
            await asyncio.Event().wait()

        inboxes = write

        def __getattr__(self, name: str) -> Any:
            return getattr(server.parts.store, name)

    server.parts.health._store = Away()  # type: ignore[assignment]
    refused = await server.get("/readyz")
    assert refused.status_code == 503
    assert [each["message"] for each in refused.json()["errors"]] == ["store: it cannot be reached"]
    assert (await server.get("/healthz")).status_code == 200


async def test_a_server_of_which_a_task_in_the_background_breaks_is_not_ready(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(keeper: LogKeeper) -> None:
        await keeper._wake.wait()
        raise RuntimeError("a defect")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogKeeper, "_run", broken)
        patch.setattr("stepwell.app.health._is_of_service", lambda task: True)
        with caplog.at_level(logging.CRITICAL):
            async with open_test_server() as server:
                await server.advance(SECOND)
                refused = await server.get("/readyz")
                assert refused.status_code == 503
                said = {each["message"] for each in refused.json()["errors"]}
                assert "stepwell log keeper: it broke with RuntimeError" in said


async def test_how_a_workflow_does_is_taken_from_what_ran(open_test_server: OpenServer, tasks: tuple[Any, ...]) -> None:
    async with open_test_server(tasks=tasks) as server:
        await ran(server, "good", "succeed")
        await ran(server, "good", "succeed")
        await ran(server, "bad", "break_down")
        lines = (await server.get("/api/v1/analytics/workflows")).json()["items"]
        assert [(line["workflow"], line["completed"], line["failed"]) for line in lines] == [
            ("bad", 0, 1),
            ("good", 2, 0),
        ]
        analysis = (await server.get("/api/v1/analytics/workflows/good")).json()
        assert analysis["paths"] == [{"steps": ["only"], "count": 2, "share": 1.0}]
        step = analysis["steps"][0]
        assert (step["step"], step["type"], step["runs"], step["success_rate"]) == ("only", "succeed", 2, 100.0)
        assert analysis["trend"][-1]["completed"] == 2
        assert (await server.get("/api/v1/analytics/process")).json()["cpu_seconds"] > 0


async def test_figures_are_counted_once_a_second_however_often_they_are_asked_for(server: Server) -> None:
    asked = 0
    count = server.parts.store.census

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await count()

    server.parts.store.census = counted  # type: ignore[method-assign]
    await asyncio.gather(*(server.get("/api/v1/monitoring") for _ in range(10)))
    assert asked == 1
    assert isinstance(server.clock, VirtualClock)
    await server.advance(SECOND)
    await server.get("/api/v1/monitoring")
    assert asked == 2


async def test_a_caller_of_some_namespaces_gets_no_metrics_and_only_its_own_figures(
    open_test_server: OpenServer, tasks: tuple[Any, ...]
) -> None:
    async with open_test_server(tasks=tasks) as server:
        await ran(server, "good", "succeed")
        await ran(server, "team.bad", "break_down")
        await server.post("/api/v1/alerts", json={"name": "all", "metric": "waits", "threshold": 1})
        of_team = {"name": "team", "metric": "waits", "threshold": 1, "workflow": "team.bad"}
        await server.post("/api/v1/alerts", json=of_team)
        await server.advance(2 * SECOND)
        body = {"name": "ops", "role": "operator", "namespaces": ["team"]}
        key = (await server.post("/api/v1/api-keys", json=body)).json()["token"]
        server.client.headers["Authorization"] = f"Bearer {key}"
        assert (await server.get("/metrics")).status_code == 403
        monitoring = (await server.get("/api/v1/monitoring")).json()
        assert (monitoring["completed_today"], monitoring["failed_today"]) == (0, 1)
        lines = (await server.get("/api/v1/analytics/workflows")).json()["items"]
        assert [line["workflow"] for line in lines] == ["team.bad"]
        assert (await server.get("/api/v1/analytics/workflows/good")).status_code == 404
        assert {line["workflow_id"] for line in (await server.get("/api/v1/logs")).json()["items"]} == {"team.bad"}
        assert [rule["name"] for rule in (await server.get("/api/v1/alerts")).json()["items"]] == ["team"]
        assert (await server.get("/api/v1/alerts/all")).status_code == 404
        assert (await server.delete("/api/v1/alerts/all")).status_code == 404
        assert (await server.post("/api/v1/alerts", json={**of_team, "workflow": None})).status_code == 403
        assert (await server.post("/api/v1/alerts", json={**of_team, "name": "second"})).status_code == 201


async def test_whoever_starts_an_execution_in_a_trace_has_it_in_his_trace(
    open_test_server: OpenServer, tasks: tuple[Any, ...]
) -> None:
    async with open_test_server(tasks=tasks) as server:
        await server.post("/api/v1/workflows", json=workflow("good", "succeed"))
        caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        for header, kept in ((caller, caller), ("x" * 5_000, "")):
            started = await server.post("/api/v1/workflows/good/executions", json={}, headers={"traceparent": header})
            assert (await server.parts.reading.state(started.json()["execution_id"])).trace == kept
