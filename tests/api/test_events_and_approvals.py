"""Events from outside, and questions to people."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from stepwell.base.errors import StoreError
from stepwell.execution.event import LARGEST_DATA
from stepwell.execution.state import ExecutionState
from tests.api.conftest import Server
from tests.api.documents import API, ASKING, WAITING, problem_of, registered, started, workflow

JSON = {"Content-Type": "application/json"}
BATCHES = [
    ("/events", "application/cloudevents-batch+json"),
    ("/events/batch", "application/cloudevents-batch+json"),
    ("/events/batch", "application/json"),
]
"""Where a batch goes, and as what."""
EVENT = {"specversion": "1.0", "id": "1", "source": "shop", "type": "paid", "data": {"n": 1}}
TRIGGERED = workflow("triggered", more="  triggers: [{event: paid, map: {n: '{{ event.data.n }}'}}]\n")


async def test_an_event_wakes_and_starts_and_is_taken_once(server: Server) -> None:
    await registered(server, WAITING)
    await registered(server, TRIGGERED)
    id_ = await started(server, "waiting")
    answer = await server.post(f"{API}/events", json=EVENT)
    assert answer.status_code == 202
    taken = answer.json()
    assert (taken["duplicate"], taken["waits"]) == (False, 1)
    [firing] = taken["firings"]
    assert (firing["workflow"], firing["outcome"]) == ("triggered", "started")
    assert (await server.get(f"{API}/executions/{firing['execution_id']}")).json()["input"] == {"n": 1}
    await server.clock.settle()
    assert (await server.get(f"{API}/executions/{id_}")).json()["status"] == "completed"
    again = (await server.post(f"{API}/events", json=EVENT)).json()
    assert (again["duplicate"], again["waits"], again["firings"]) == (True, 0, [])
    assert len((await server.get(f"{API}/executions")).json()["items"]) == 2


async def test_an_event_comes_in_binary_mode(server: Server) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "2",
        "ce-source": "shop",
        "ce-type": "paid",
        "content-type": "application/json",
    }
    answer = await server.post(f"{API}/events", content=b'{"n": 2}', headers=headers)
    assert (answer.status_code, answer.json()["id"]) == (202, "2")
    del headers["ce-id"]
    problem = problem_of(await server.post(f"{API}/events", content=b"{}", headers=headers), 422, "invalid-event")
    assert problem["errors"][0]["parameter"] == "ce-id"


@pytest.mark.parametrize(("path", "kind"), BATCHES)
async def test_a_batch_is_taken_whole_or_not_at_all(server: Server, path: str, kind: str) -> None:
    async def sent(events: list[Any]) -> httpx.Response:
        return await server.post(f"{API}{path}", content=json.dumps(events), headers={"Content-Type": kind})

    wrong = [EVENT, {**EVENT, "id": "", "type": 7}, "paid"]
    problem = problem_of(await sent(wrong), 422, "invalid-event")
    assert {each["pointer"] for each in problem["errors"]} == {"/1/id", "/1/type", "/2"}
    answer = await sent([EVENT, {**EVENT, "id": "2"}, EVENT])
    assert answer.status_code == 202
    taken = [(each["id"], each["duplicate"]) for each in answer.json()["items"]]
    assert taken == [("1", False), ("2", False), ("1", True)]
    assert (await sent([])).json() == {"items": []}
    problem = problem_of(await sent([EVENT] * 1_001), 422, "invalid-event")
    assert problem["detail"] == "not a CloudEvent: a batch holds at most 1,000 events, and this one 1,001"


@pytest.mark.parametrize(("path", "kind"), BATCHES)
async def test_an_event_that_is_too_large_is_named_and_nothing_of_its_batch_is_kept(
    server: Server, path: str, kind: str
) -> None:
    large = {**EVENT, "id": "2", "data": "x" * (LARGEST_DATA - 1)}
    answer = await server.post(f"{API}{path}", content=json.dumps([EVENT, large]), headers={"Content-Type": kind})
    problem = problem_of(answer, 413, "event-too-large")
    assert problem["hint"].startswith("keep what is large elsewhere")
    assert [each["pointer"] for each in problem["errors"]] == ["/1/data"]
    problem_of(await server.post(f"{API}/events", json=large), 413, "event-too-large")
    assert not (await server.post(f"{API}/events", json=EVENT)).json()["duplicate"]
    largest = {**large, "data": "x" * (LARGEST_DATA - 2)}
    assert not (await server.post(f"{API}/events", json=largest)).json()["duplicate"]


async def test_one_event_and_several_are_told_where_the_other_goes(server: Server) -> None:
    for several in ([], [EVENT]):
        problem = problem_of(await server.post(f"{API}/events", json=several), 422, "invalid-event")
        assert problem["detail"] == "not a CloudEvent: an event is an object, saw a list"
        assert problem["hint"] == "several events go to /api/v1/events/batch"
    problem = problem_of(await server.post(f"{API}/events/batch", json=EVENT), 422, "invalid-event")
    assert problem["detail"] == "not a CloudEvent: a batch is a list of events, saw an object"
    assert problem["hint"] == "one event goes to /api/v1/events"
    for path in ("/events", "/events/batch"):
        text = await server.post(f"{API}{path}", content="paid", headers={"Content-Type": "text/csv"})
        assert "application/cloudevents-batch+json" in problem_of(text, 415, "unsupported-media-type")["detail"]
        problem_of(await server.post(f"{API}{path}", content=b"[{", headers=JSON), 400, "invalid-json")
    assert not (await server.post(f"{API}/events", json=EVENT)).json()["duplicate"]


async def test_a_batch_with_a_key_is_acted_on_once(server: Server) -> None:
    key = {"Idempotency-Key": "once"}
    first = await server.post(f"{API}/events/batch", json=[EVENT], headers=key)
    again = await server.post(f"{API}/events/batch", json=[EVENT], headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert not again.json()["items"][0]["duplicate"]
    other = await server.post(f"{API}/events/batch", json=[EVENT, EVENT], headers=key)
    problem_of(other, 422, "idempotency-key-reused")


async def test_a_signal_and_an_answer_that_are_too_large_are_refused(server: Server) -> None:
    large = "x" * LARGEST_DATA
    await registered(server, WAITING)
    await registered(server, workflow("asking", steps="- {name: approve, type: approval, config: {prompt: Why?}}"))
    waiting, asking = await started(server, "waiting"), await started(server, "asking")
    sent = await server.post(f"{API}/executions/{waiting}/signal", json={"type": "paid", "data": large})
    problem_of(sent, 413, "event-too-large")
    given = await server.post(f"{API}/approvals/{asking}/approve", json={"response": large})
    problem_of(given, 413, "event-too-large")
    await server.clock.settle()
    for id_ in (waiting, asking):
        assert (await server.get(f"{API}/executions/{id_}")).json()["status"] == "waiting"


async def test_nobody_sends_what_only_the_engine_may(server: Server) -> None:
    for event in ({**EVENT, "type": "stepwell.approval.answered"}, {**EVENT, "source": "stepwell.signal"}):
        problem_of(await server.post(f"{API}/events", json=event), 422, "invalid-event")


async def test_a_question_is_listed_shown_and_answered(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    [listed] = (await server.get(f"{API}/approvals")).json()["items"]
    path = f"{API}/approvals/{id_}/approve"
    assert (await server.get(path)).json() == listed
    assert (listed["prompt"], listed["assigned_to"]) == ("May it be?", ["ada"])

    async def answered(**body: Any) -> Any:
        return await server.post(path, json=body)

    problem_of(await answered(response=True, by="bob"), 403, "not-asked")
    problem = problem_of(await answered(response="yes", by="ada"), 422, "invalid-answer")
    assert problem["errors"][0]["pointer"] == "/response"
    problem_of(await answered(by="ada"), 422, "invalid-body")
    given = await answered(response=True, by="ada")
    assert (given.status_code, given.json()["by"]) == (202, "ada")
    await server.clock.settle()
    assert (await server.get(f"{API}/executions/{id_}")).json()["status"] == "completed"
    problem_of(await answered(response=True, by="ada"), 409, "already-answered")
    problem_of(await server.get(path), 409, "already-answered")
    problem_of(await server.get(f"{API}/approvals/{id_}/other"), 404, "unknown-step")
    assert (await server.get(f"{API}/approvals")).json()["items"] == []


async def test_what_stands_in_a_definition_keeps_nobody_from_explanations_or_the_list_of_questions(
    server: Server,
) -> None:
    secret = "  input: {schema: {properties: {pin: {type: string, secret: true}}}}\n"
    steps = (
        '- {name: ask, type: approval, config: {prompt: "?", response_schema: {required: ["{{ input.n }}"]}}}',
        '- {name: wait, type: wait_for_event, config: {event_type: x, filter: {"a.²": 1}}}',
        '- {name: wait, type: wait_for_event, config: {event_type: x, filter: {a: {~in: ["{{ input.pin }}"]}}}}',
        '- {name: ask, type: approval, config: {prompt: "?", response_schema: {enum: ["{{ input.pin }}"]}}}',
    )
    for number, step in enumerate(steps):
        await registered(server, workflow(f"odd{number}", steps=step, more=secret))
        id_ = await started(server, f"odd{number}", {"n": 5, "pin": "hunter22"})
        answer = await server.get(f"{API}/executions/{id_}/why")
        assert answer.status_code == 200
        assert "hunter22" not in answer.text
    assert [each["workflow"] for each in (await server.get(f"{API}/approvals")).json()["items"]] == ["odd3"]


async def test_an_execution_that_cannot_be_read_keeps_nobody_from_the_questions_of_others(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await registered(server, ASKING)
    broken, sound = await started(server, "asking"), await started(server, "asking")
    state = server.parts.reading.state

    async def damaged(execution: str) -> ExecutionState:
        if execution == broken:
            raise StoreError("a history row is damaged", code="damaged-history")
        return await state(execution)

    monkeypatch.setattr(server.parts.reading, "state", damaged)
    page = (await server.get(f"{API}/approvals")).json()
    assert [each["execution_id"] for each in page["items"]] == [sound]
    assert f"what execution {broken} asks is left out of the list" in caplog.text
