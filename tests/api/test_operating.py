"""What operators do with executions."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.durations import SECOND
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, ASKING, WAITING, problem_of, registered, started, workflow


async def status_of(server: Server, id_: str) -> str:
    await server.clock.settle()
    return str((await server.get(f"{API}/executions/{id_}")).json()["status"])


async def test_an_execution_is_paused_and_resumed_and_told_by_whom(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    answer = await server.post(f"{API}/executions/{id_}/pause", json={"reason": "lunch"})
    assert answer.json() == {
        "execution_id": id_,
        "verb": "pause",
        "changed": True,
        "message": answer.json()["message"],
        "status": "paused",
        "next": None,
    }
    assert (await server.get(f"{API}/executions/{id_}")).json()["paused"] == {"by": "anonymous", "reason": "lunch"}
    again = await server.post(f"{API}/executions/{id_}/pause")
    assert (again.status_code, again.json()["changed"]) == (200, False)
    await server.post(f"{API}/executions/{id_}/resume")
    assert await status_of(server, id_) == "waiting"


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_an_execution_is_ended(server: Server, verb: str) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    assert (await server.post(f"{API}/executions/{id_}/{verb}", json={})).status_code == 200
    assert await status_of(server, id_) == "cancelled"
    problem = problem_of(await server.post(f"{API}/executions/{id_}/pause"), 409, "already-ended")
    assert "possible now" in problem["hint"]


async def test_steps_are_settled_by_hand(server: Server) -> None:
    await registered(server, workflow(steps=(
        "- {name: a, type: wait_for_event, config: {event_type: x}}\n"
        "- {name: b, type: wait_for_event, depends_on: a, config: {event_type: y}}"
    )))  # fmt: skip
    id_ = await started(server)
    path = f"{API}/executions/{id_}"
    problem_of(await server.post(f"{path}/skip-step", json={"step": "zzz"}), 404, "unknown-step")
    assert (await server.post(f"{path}/complete-step", json={"step": "a", "output": {"n": 1}})).status_code == 200
    assert (await server.post(f"{path}/skip-step", json={"step": "b"})).status_code == 200
    steps = (await server.get(path)).json()["steps"]
    assert [(each["status"], each["output"]) for each in steps] == [("completed", {"n": 1}), ("skipped", None)]


async def test_what_failed_is_tried_again(open_test_server: OpenServer) -> None:
    attempts = []

    def work() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "done"

    async with open_test_server(tasks=(work,)) as server:
        await registered(server, workflow(steps="- {name: one, type: python, config: {task: work}}"))
        id_ = (await server.post(f"{API}/workflows/hello/executions?wait=30s")).json()["execution_id"]
        assert await status_of(server, id_) == "failed"
        assert (await server.post(f"{API}/executions/{id_}/retry", json={"steps": ["one"]})).status_code == 200
        await server.parts.session.engine.ended(id_)
        letters = (await server.get(f"{API}/dead-letters")).json()["items"]
        assert [each["execution_id"] for each in letters] == [id_]
        path = f"{API}/dead-letters/{letters[0]['id']}"
        assert (await server.get(path)).json()["error"]["message"] == "not yet"
        assert (await server.post(f"{path}/retry")).json()["verb"] == "retry"
        await server.parts.session.engine.ended(id_)
        assert await status_of(server, id_) == "completed"
        problem_of(await server.get(path), 404, "unknown-dead-letter")
        assert (await server.post(f"{API}/executions/{id_}/rerun", json={"step": "one"})).status_code == 200


async def test_a_dead_letter_is_discarded_once(open_test_server: OpenServer) -> None:
    def work() -> None:
        raise ValueError("never")

    async with open_test_server(tasks=(work,)) as server:
        await registered(server, workflow(steps="- {name: one, type: python, config: {task: work}}"))
        await server.post(f"{API}/workflows/hello/executions?wait=30s")
        [letter] = (await server.get(f"{API}/dead-letters", params={"workflow": "hello"})).json()["items"]
        path = f"{API}/dead-letters/{letter['id']}/discard"
        first = (await server.post(path, json={"reason": "known"})).json()
        assert (first["outcome"], first["discarded"]["reason"]) == ("discarded", "known")
        assert (await server.post(path)).json()["outcome"] == "unchanged"
        assert (await server.get(f"{API}/dead-letters")).json()["items"] == []
        assert len((await server.get(f"{API}/dead-letters", params={"discarded": "true"})).json()["items"]) == 1


async def test_an_event_that_is_refused_is_a_dead_letter_tried_again_with_other_data(server: Server) -> None:
    asked = "  triggers: [{event: paid}]\n  input: {schema: {properties: {n: {type: integer}}}}\n"
    await registered(server, workflow(more=asked))
    event = {"specversion": "1.0", "id": "e1", "source": "shop", "type": "paid", "data": {"n": "x", "token": "t0ps"}}
    sent = await server.post(f"{API}/events", json=event, headers={"Content-Type": "application/cloudevents+json"})
    assert [each["outcome"] for each in sent.json()["firings"]] == ["refused"]
    [letter] = (await server.get(f"{API}/dead-letters", params={"error_type": "invalid-input"})).json()["items"]
    assert (letter["kind"], letter["execution_id"], letter["event"]["id"]) == ("event", None, "e1")
    path = f"{API}/dead-letters/{letter['id']}"
    assert (await server.get(path)).json()["input"]["data"] == {"n": "x", "token": "***"}
    problem_of(await server.post(f"{path}/retry"), 409, "refused-again")
    done = (await server.post(f"{path}/retry", json={"settings": {"n": 1}, "reason": "typed"})).json()
    await server.parts.session.engine.ended(done["execution_id"])
    assert await status_of(server, done["execution_id"]) == "completed"
    for again in (server.get(path), server.post(f"{path}/retry"), server.post(f"{path}/discard")):
        problem_of(await again, 404, "unknown-dead-letter")


async def test_a_fork_goes_its_own_way_and_is_made_once_for_a_key(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    path, key = f"{API}/executions/{id_}/fork", {"Idempotency-Key": "f"}
    first, second = [await server.post(path, json={"at": 3}, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    forked = (await server.get(first.headers["location"])).json()
    assert (forked["forked_from"], forked["status"]) == (id_, "waiting")
    problem_of(await server.post(path, json={"at": 2}, headers=key), 422, "idempotency-key-reused")
    problem_of(await server.post(path, json={"at": 99}), 404, "unknown-event")


async def test_an_execution_moves_to_another_version_when_it_fits(server: Server) -> None:
    await registered(server, ASKING)
    await registered(server, ASKING.replace("1.0.0", "2.0.0"))
    await registered(server, workflow("asking", "3.0.0"))
    id_ = await started(server, "asking", version="1.0.0")
    path = f"{API}/executions/{id_}/migrate"
    looked = (await server.post(path, json={"to": "2.0.0", "dry_run": True})).json()
    assert (looked["moved"], looked["problems"]) == (False, [])
    assert (await server.post(path, json={"to": "2.0.0"})).json()["moved"] is True
    assert (await server.get(f"{API}/executions/{id_}")).json()["version"] == "2.0.0"
    assert problem_of(await server.post(path, json={"to": "3.0.0"}), 409, "cannot-migrate")["errors"]
    problem_of(await server.post(path, json={"to": "4.0.0"}), 404, "unknown-version")


async def test_a_signal_reaches_one_execution(server: Server) -> None:
    await registered(server, WAITING)
    one, other = [await started(server, "waiting") for _ in range(2)]
    answer = await server.post(f"{API}/executions/{one}/signal", json={"type": "paid", "data": {"n": 1}})
    assert (answer.status_code, answer.json()["waits"]) == (202, 2)
    assert (await status_of(server, one), await status_of(server, other)) == ("completed", "waiting")
    problem_of(await server.post(f"{API}/executions/{one}/signal", json={"type": "paid"}), 409, "execution-ended")


async def test_what_only_cancel_heeds_is_refused_with_another_action(server: Server) -> None:
    for body in ({"action": "pause", "stop_running": True}, {"action": "terminate", "compensate": False}):
        answer = await server.post(f"{API}/executions/actions", json={**body, "query": {}})
        problem = problem_of(answer, 422, "invalid-body")
        assert "would do nothing: only `cancel` heeds it" in problem["errors"][0]["message"]


async def test_many_are_asked_and_each_answers_for_itself(server: Server) -> None:
    await registered(server, ASKING)
    await registered(server, workflow())
    asking = [await started(server, "asking") for _ in range(3)]
    done = await started(server)

    async def act(**body: Any) -> dict[str, Any]:
        answer = await server.post(f"{API}/executions/actions", json=body)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    looked = await act(action="cancel", query={}, dry_run=True)
    assert [each["outcome"] for each in looked["items"]] == ["refused", "possible", "possible", "possible"]
    assert await status_of(server, asking[0]) == "waiting"
    some = await act(action="cancel", query={"workflow": "asking"}, limit=2, reason="enough")
    assert [each["execution_id"] for each in some["items"]] == asking[:0:-1]
    assert some["more"] is True
    rest = await act(action="cancel", query={"status": ["waiting", "completed"]})
    outcomes = {each["execution_id"]: (each["outcome"], each["code"]) for each in rest["items"]}
    assert outcomes == {done: ("refused", "already-ended"), asking[0]: ("done", None)}
    assert rest["more"] is False


@pytest.mark.parametrize(
    ("verb", "body", "pointer"),
    [
        ("rerun", {}, "/step"),
        ("rerun", {"step": 1}, "/step"),
        ("fork", {"at": 0}, "/at"),
        ("fork", {"at": "1"}, "/at"),
        ("pause", {"reasn": "x"}, "/reasn"),
        ("cancel", {"compensate": "no"}, "/compensate"),
        ("migrate", {"to": "1", "names": {"a": 1}}, "/names/a"),
        ("signal", {"type": ""}, "/type"),
        ("complete-step", [], ""),
    ],
)
async def test_a_body_that_is_not_as_described_is_told_where(
    server: Server, verb: str, body: Any, pointer: str
) -> None:
    answer = await server.post(f"{API}/executions/x/{verb}", json=body)
    assert problem_of(answer, 422, "invalid-body")["errors"][0]["pointer"] == pointer


async def test_no_verb_reaches_what_is_not_there(server: Server) -> None:
    for verb in ("pause", "resume", "cancel", "terminate", "compensate", "retry"):
        problem_of(await server.post(f"{API}/executions/nothing/{verb}"), 404, "unknown-execution")
    await server.advance(SECOND)
