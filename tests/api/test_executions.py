"""Starting executions and looking at them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.base.durations import SECOND
from stepwell.base.instants import to_rfc3339
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, ASKING, WAITING, WITH_SCHEMA, problem_of, registered, started, workflow
from tests.virtual_clock import START


async def test_an_empty_store_lists_no_executions(server: Server) -> None:
    answer = await server.get(f"{API}/executions")
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "next": None}


async def test_a_start_answers_where_the_execution_is(server: Server) -> None:
    await registered(server, WITH_SCHEMA)
    answer = await server.post(f"{API}/workflows/hello/executions", json={"input": {"email": "ada@example.org"}})
    assert answer.status_code == 201
    found = await server.get(answer.headers["location"])
    assert found.json()["execution_id"] == answer.json()["execution_id"]
    assert found.json()["input"] == {"email": "ada@example.org"}
    assert set(found.json()) == set(answer.json())


async def test_a_start_without_a_body_starts_what_needs_no_input(server: Server) -> None:
    await registered(server, workflow())
    for path in ("executions", "executions?", "executions?&"):
        answer = await server.post(f"{API}/workflows/hello/{path}")
        assert answer.status_code == 201, answer.text


async def test_a_start_can_name_version_and_tags(server: Server) -> None:
    await registered(server, workflow())
    await registered(server, workflow(version="2.0.0"))
    await started(server, version="1.0.0", tags=["red", "blue"])
    [item] = (await server.get(f"{API}/executions", params={"tag": "red"})).json()["items"]
    assert (item["version"], item["tags"]) == ("1.0.0", ["blue", "red"])


async def test_waiting_for_the_end_answers_with_it(open_test_server: OpenServer) -> None:
    gate = asyncio.Event()

    async def work() -> int:
        await gate.wait()
        return 7

    async with open_test_server(tasks=(work,)) as server:
        step = "- {name: one, type: python, config: {task: work}}"
        await registered(server, workflow(steps=step, more='  output: {values: {n: "{{ steps.one.output }}"}}\n'))
        waiting = asyncio.create_task(server.post(f"{API}/workflows/hello/executions?wait=30s"))
        await server.clock.settle()
        assert not waiting.done()
        gate.set()
        answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (201, "completed")
        assert answer.json()["output"] == {"n": 7}
        assert answer.json() == (await server.get(answer.headers["location"])).json()


async def test_waiting_ends_when_it_has_lasted_long_enough(server: Server) -> None:
    await registered(server, WAITING)
    waiting = asyncio.create_task(server.post(f"{API}/workflows/waiting/executions?wait=5s"))
    await server.advance(4 * SECOND)
    assert not waiting.done()
    await server.advance(SECOND)
    assert (await waiting).json()["status"] == "waiting"


async def test_waiting_ends_when_the_server_closes(server: Server) -> None:
    await registered(server, WAITING)
    waiting = asyncio.create_task(server.post(f"{API}/workflows/waiting/executions?wait=5m"))
    await server.clock.settle()
    server.context.closing.set()
    assert (await waiting).status_code == 201


@pytest.mark.parametrize("wait", ["", "x", "-1s", "1s&wait=2s", "1s&weit=2s"])
async def test_a_wait_that_is_none_is_refused(server: Server, wait: str) -> None:
    await registered(server, workflow())
    answer = await server.post(f"{API}/workflows/hello/executions?wait={wait}")
    assert problem_of(answer, 400, "invalid-parameter")["errors"][0]["parameter"] in ("wait", "weit")
    assert (await server.get(f"{API}/executions")).json()["items"] == []


async def test_the_same_key_starts_one_execution(server: Server) -> None:
    await registered(server, WITH_SCHEMA)
    body, key = {"input": {"email": "a"}}, {"Idempotency-Key": "k-1"}
    path = f"{API}/workflows/hello/executions"
    first, second = [await server.post(path, json=body, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    await registered(server, WITH_SCHEMA.replace("1.0.0", "2.0.0"))  # the default is another one now
    assert (await server.post(path, json=body, headers=key)).headers["location"] == first.headers["location"]
    other = await server.post(path, json={"input": {"email": "b"}}, headers=key)
    problem_of(other, 422, "start-key-reused")
    problem_of(await server.post(path, json={**body, "version": "2.0.0"}, headers=key), 422, "start-key-reused")
    assert len((await server.get(f"{API}/executions")).json()["items"]) == 1


async def test_a_key_is_one_workflow_s_own(server: Server) -> None:
    for name in ("a", "b"):
        await registered(server, workflow(name))
    key = {"Idempotency-Key": "k"}
    ids = {(await server.post(f"{API}/workflows/{name}/executions", headers=key)).headers["location"] for name in "ab"}
    assert len(ids) == 2


async def test_lists_are_filtered_and_given_in_parts(server: Server) -> None:
    await registered(server, workflow())
    await registered(server, WAITING)
    done = [await started(server) for _ in range(3)]
    await server.advance(10 * SECOND)
    waits = await started(server, "waiting", tags=["red"])

    async def ids(**query: Any) -> list[str]:
        page = (await server.get(f"{API}/executions", params=query)).json()
        return [each["execution_id"] for each in page["items"]]

    assert await ids() == [waits, *reversed(done)]
    assert await ids(workflow="waiting") == [waits]
    assert await ids(status=["completed", "failed"]) == done[::-1]
    assert await ids(tag="red", version="1.0.0") == [waits]
    assert await ids(text=waits[:13].upper()) == [waits]
    later = to_rfc3339(START + 10 * SECOND)
    assert await ids(**{"from": later}) == [waits]
    assert await ids(to=later) == done[::-1]
    assert await ids(**{"from": later.replace("Z", "+00:00")}) == [waits]
    first = (await server.get(f"{API}/executions", params={"limit": 3})).json()
    rest = (await server.get(f"{API}/executions", params={"limit": 3, "cursor": first["next"]})).json()
    assert [each["execution_id"] for each in first["items"] + rest["items"]] == [waits, *reversed(done)]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "999999999999999999999.1"}, "cursor"),
        ({"status": "done"}, "status"),
        ({"from": "yesterday"}, "from"),
        ({"to": "9999-99-99T00:00:00Z"}, "to"),
        ({"stauts": "failed"}, "stauts"),
        ([("limit", 1), ("limit", 2)], "limit"),
    ],
)
async def test_a_parameter_that_is_none_is_named(server: Server, query: Any, parameter: str) -> None:
    answer = await server.get(f"{API}/executions", params=query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["parameter"] for each in answer.json()["errors"]] == [parameter]


async def test_what_has_not_happened_since_is_not_sent_again(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    path = f"{API}/executions/{id_}"
    tag = (await server.get(path)).headers["etag"]
    assert (await server.get(path, headers={"If-None-Match": tag})).status_code == 304
    await server.post(f"{path}/pause")
    assert (await server.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_history_and_steps_are_given_in_parts(server: Server) -> None:
    await registered(
        server, workflow(steps="- {name: a, type: noop}\n- {name: b, type: noop}\n- {name: c, type: noop}")
    )
    id_ = await started(server)
    whole = (await server.get(f"{API}/executions/{id_}/history")).json()
    assert [each["seq"] for each in whole["items"]] == list(range(1, len(whole["items"]) + 1))
    assert whole["next"] is None
    first = (await server.get(f"{API}/executions/{id_}/history", params={"limit": 2})).json()
    rest = (await server.get(f"{API}/executions/{id_}/history", params={"cursor": first["next"]})).json()
    assert first["items"] + rest["items"] == whole["items"]
    behind = (await server.get(f"{API}/executions/{id_}/history", params={"after": 3})).json()
    assert behind["items"] == whole["items"][3:]
    steps = (await server.get(f"{API}/executions/{id_}/steps", params={"limit": 2})).json()
    more = (await server.get(f"{API}/executions/{id_}/steps", params={"cursor": steps["next"]})).json()
    assert [each["name"] for each in steps["items"] + more["items"]] == ["a", "b", "c"]


async def test_the_past_is_shown_as_it_was(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    events = (await server.get(f"{API}/executions/{id_}/history")).json()["items"]
    await server.post(f"{API}/executions/{id_}/pause")
    then = (await server.get(f"{API}/executions/{id_}/state", params={"at": len(events)})).json()
    assert (then["status"], then["seq"]) == ("waiting", len(events))
    assert (await server.get(f"{API}/executions/{id_}")).json()["status"] == "paused"
    problem_of(await server.get(f"{API}/executions/{id_}/state", params={"at": 999}), 404, "unknown-event")
    problem_of(await server.get(f"{API}/executions/{id_}/state"), 400, "invalid-parameter")


async def test_why_graph_and_comparison_tell_of_an_execution(server: Server) -> None:
    await registered(server, ASKING)
    one, other = [await started(server, "asking") for _ in range(2)]
    why = (await server.get(f"{API}/executions/{one}/why")).json()
    assert [each["kind"] for each in why["reasons"]] == ["approval"]
    graph = (await server.get(f"{API}/executions/{one}/graph")).json()
    assert [(each["name"], each["status"]) for each in graph["nodes"]] == [("approve", "waiting")]
    drawn = await server.get(f"{API}/executions/{one}/graph", params={"format": "mermaid"})
    assert "style s0 fill:" in drawn.text
    await server.post(f"{API}/executions/{other}/cancel")
    compared = (await server.get(f"{API}/executions/{one}/compare", params={"with": other})).json()
    assert (compared["a"]["status"], compared["b"]["status"]) == ("waiting", "cancelled")


@pytest.mark.parametrize(
    "path", ["", "/steps", "/history", "/state?at=1", "/graph", "/why", "/compare?with=x", "/events"]
)
async def test_what_is_not_there_is_not_found(server: Server, path: str) -> None:
    problem = problem_of(await server.get(f"{API}/executions/nothing{path}"), 404, "unknown-execution")
    assert "nothing" in problem["detail"]
