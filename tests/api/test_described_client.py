"""A client that is made of the description of the API alone does all that is to be done."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from stepwell.base.durations import SECOND
from tests.api.conftest import Server
from tests.api.described_client import DescribedClient
from tests.api.documents import ASKING, workflow

OPEN = {"HistoryItem", "CloudEvent"}
"""What else they hold depends on what they are."""


@pytest.fixture
async def client(server: Server) -> DescribedClient:
    """Takes no answer with a key that is not described: later versions may add keys, this one may not."""
    document = (await server.get("/openapi.json")).json()
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and name not in OPEN:
            schema["additionalProperties"] = False
    return DescribedClient(document, server.client)


def read(text: str) -> Any:
    return yaml.safe_load(text)


async def test_it_registers_starts_waits_and_answers(client: DescribedClient) -> None:
    registered = await client.call("registerWorkflow", read(ASKING), reason="first")
    assert await client.call("registerWorkflow", read(ASKING)) == {**registered, "warnings": []}
    begun = await client.call("startExecution", {"input": {}}, name="asking", wait="0s", idempotency_key="once more")
    again = await client.call("startExecution", {"input": {}}, name="asking", wait="0s", idempotency_key="once more")
    id_ = begun["execution_id"]
    assert again["execution_id"] == id_
    question = (await client.call("listApprovals"))["items"][0]
    assert (question["execution_id"], question["step"]) == (id_, "approve")
    assert (await client.call("explainExecution", execution_id=id_))["reasons"][0]["kind"] == "approval"
    answer = {"response": True, "by": "ada"}
    assert (await client.call("answerApproval", answer, execution_id=id_, step="approve"))["by"] == "ada"


async def test_it_looks_at_what_happened(server: Server, client: DescribedClient) -> None:
    await client.call("registerWorkflow", read(workflow()))
    id_ = (await client.call("startExecution", {}, name="hello", wait="1s"))["execution_id"]
    await server.advance(SECOND)
    done = await client.call("getExecution", execution_id=id_)
    assert done["status"] == "completed"
    page = await client.call("listHistory", execution_id=id_, limit=2)
    rest = await client.call("listHistory", execution_id=id_, limit=1_000, cursor=page["next"])
    assert [each["seq"] for each in page["items"] + rest["items"]] == list(range(1, len(rest["items"]) + 3))
    for operation in ("listSteps", "getExecutionLogs", "getExecutionGraph", "getExecutionDefinition"):
        assert await client.call(operation, execution_id=id_)
    assert (await client.call("getPastExecution", execution_id=id_, at=1))["seq"] == 1
    assert (await client.call("compareExecutions", execution_id=id_, with_=id_))["parting"] is None
    assert (await client.call("listExecutions", status=["completed"]))["items"][0]["execution_id"] == id_
    for operation in ("getMonitoring", "getMetricsSummary", "listWorkflowFigures", "getProcessFigures", "isAlive"):
        assert await client.call(operation)
    assert (await client.call("getMonitoring"))["completed_today"] == 1
    for window in ("24h", "366d", "1440m"):
        assert (await client.call("getMetricsSummary", window=window))["success_rate"] == 100


async def test_it_sends_events_and_changes_what_it_read(server: Server, client: DescribedClient) -> None:
    await client.call("registerWorkflow", read(workflow()))
    event = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order.paid", "data": {"order": 7}}
    assert (await client.call("publishEvent", event))["duplicate"] is False
    assert (await client.call("publishEvent", event))["duplicate"] is True
    taken = await client.call("publishEvents", [event, {**event, "id": "2"}])
    assert [each["duplicate"] for each in taken["items"]] == [True, False]
    found = await server.get("/api/v1/workflows/hello/versions/1.0.0")
    change = {"lifecycle": "deprecated", "reason": "old"}
    changed = await client.call(
        "changeWorkflowVersion", change, name="hello", version="1.0.0", if_match=found.headers["etag"]
    )
    assert changed["lifecycle"] == "deprecated"
    made = await client.call("createSchedule", {"workflow": "hello", "cron": "0 2 * * *"})
    assert (await client.call("getSchedule", id=made["id"]))["workflow"] == "hello"
    assert len((await client.call("getUpcoming", id=made["id"], count=3))["items"]) == 3
    assert await client.call("deleteSchedule", id=made["id"]) is None


async def test_it_plans_compares_and_steers(server: Server, client: DescribedClient) -> None:
    trigger = "  triggers: [{event: order.paid}]\n"
    await client.call("registerWorkflow", read(ASKING))
    await client.call("registerWorkflow", read(workflow("asking", "2.0.0", more=trigger)))
    plan = await client.call("planWorkflowVersion", name="asking", version="1.0.0")
    assert [each["step"] for each in plan["unbounded"]] == ["approve"]
    difference = await client.call("compareWorkflowVersions", name="asking", from_="1.0.0", to="2.0.0")
    assert (difference["from"]["version"], difference["same"]) == ("1.0.0", False)
    found = await client.call("validateWorkflow", {"kind": "Workflow"})
    assert found["items"][0]["file"] == "request.json"
    id_ = (await client.call("startExecution", {"version": "1.0.0"}, name="asking", wait="0s"))["execution_id"]
    await server.clock.settle()
    forked = await client.call("forkExecution", {"at": 2}, execution_id=id_)
    assert (await client.call("pauseExecution", {"reason": "lunch"}, execution_id=id_))["changed"]
    compared = await client.call("compareExecutions", execution_id=id_, with_=forked["execution_id"])
    assert compared["definition"]["same"]
    event = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order.paid"}
    await client.call("publishEvent", event)
    (fired,) = (await client.call("listFirings", workflow="asking"))["items"]
    assert fired["event"]["id"] == "1"


async def test_it_works_as_a_worker(server: Server, client: DescribedClient) -> None:
    await client.call("registerWorkflow", read(workflow(steps="- {name: one, type: resize, queue: images}")))
    id_ = (await client.call("startExecution", {}, name="hello", wait="0s"))["execution_id"]
    await server.clock.settle()
    (work,) = (await client.call("pollForWork", {"worker": "w1", "queues": ["images"], "wait": 5}))["assignments"]
    beat = await client.call("sendHeartbeat", {"worker": "w1", "assignments": [work["id"]]})
    assert beat["kept"] == [work["id"]]
    await client.call("completeWork", {"id": work["id"], "result": 4})
    await server.clock.settle()
    assert (await client.call("getExecution", execution_id=id_))["steps"][0]["output"] == 4


async def test_whatever_lists_lists_without_an_argument(client: DescribedClient) -> None:
    called = 0
    for name, (method, _, described) in client.operations.items():
        needed = [each for each in described.get("parameters", ()) if each.get("required")]
        is_stream = "text/event-stream" in described["responses"].get("200", {}).get("content", {})
        is_text = "text/plain" in described["responses"].get("200", {}).get("content", {})
        if method == "get" and not needed and not is_stream and not is_text:
            await client.call(name)
            called += 1
    assert called > 15
