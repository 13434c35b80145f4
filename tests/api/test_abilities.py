"""What comes over HTTP gains nothing that its sender may not do, and what was computed is never computed again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.access import Role
from stepwell.app.audit import Doer
from stepwell.app.security import Security
from stepwell.base.durations import MINUTE, SECOND
from tests.api.conftest import OpenServer, Server

API = "/api/v1"
YAML = {"Content-Type": "application/yaml"}
ADA = Doer(name="ada", proof="system")
HEAD = "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {{name: {name}, version: 1.0.0}}\nspec:\n"
INJECTED = "{{ secrets.TOKEN }}{{ 1 + 1 }}"
SECRET = "hunter2hunter2"


@pytest.fixture
async def server(open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("STEPWELL_SECRET_TOKEN", SECRET)
    async with open_test_server({"shell": {}}) as opened:
        yield opened


async def who(server: Server, role: Role, *namespaces: str) -> dict[str, str]:
    issued = await server.parts.service(Security).keys.create(role, role, namespaces or None, None, ADA)
    return {"Authorization": f"Bearer {issued.token}"}


async def register(server: Server, steps: str, name: str = "w", more: str = "", **headers: str) -> Any:
    text = f"{HEAD.format(name=name)}{more}  steps:\n{steps}\n"
    return await server.post(f"{API}/workflows", content=text.encode(), headers={**YAML, **headers})


SHELL = "    - {name: a, type: noop}\n    - {name: b, type: shell, with: {command: id}}"
ECHO = "    - {name: a, type: transform, with: {value: '{{ input.x }}'}}\n"


async def test_a_definition_that_uses_what_its_sender_may_not_is_refused_with_the_place(server: Server) -> None:
    developer, admin = await who(server, "developer"), await who(server, "admin")
    refused = await register(server, SHELL, **developer)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    (error,) = refused.json()["errors"]
    assert (error["line"], error["code"]) == (7, "not-allowed")
    assert "shell" in error["message"]
    assert (await server.get(f"{API}/workflows/w", headers=admin)).status_code == 404
    assert (await register(server, SHELL, **admin)).status_code == 201


async def test_a_secret_of_the_operator_is_not_for_everybody(server: Server) -> None:
    step = "    - {name: a, type: http, with: {url: 'https://x.example', headers: {x: '{{ secrets.TOKEN }}'}}}"
    assert (await register(server, step, **await who(server, "developer"))).status_code == 403
    assert (await register(server, step, **await who(server, "admin", "default"))).status_code == 403
    assert (await register(server, step, **await who(server, "admin"))).status_code == 201


async def test_nobody_registers_in_a_namespace_of_others(server: Server) -> None:
    mine = await who(server, "developer", "payments")
    step = "    - {name: a, type: noop}"
    for name in ("w", "billing.w"):
        assert (await register(server, step, name, **mine)).status_code == 403
    assert (await register(server, step, "payments.w", **mine)).status_code == 201


async def test_events_of_a_confined_caller_are_of_its_namespaces(server: Server) -> None:
    mine = await who(server, "operator", "payments")

    def event(type_: str) -> dict[str, Any]:
        return {"specversion": "1.0", "id": type_, "source": "x", "type": type_}

    for type_ in ("order:paid", "billing.paid"):
        refused = await server.post(f"{API}/events", json=event(type_), headers=mine)
        assert (refused.status_code, refused.json()["code"]) == (403, "foreign-namespace")
        batch = [event("payments.paid"), event(type_)]
        refused = await server.post(f"{API}/events/batch", json=batch, headers=mine)
        assert (refused.status_code, refused.json()["code"]) == (403, "foreign-namespace")
    taken = await server.post(f"{API}/events", json=event("payments.paid"), headers=mine)
    assert (taken.status_code, taken.json()["duplicate"]) == (202, False)  # no batch was taken in part


async def test_what_is_not_visible_is_not_there(server: Server) -> None:
    admin, other = await who(server, "admin"), await who(server, "admin", "billing")
    await register(server, "    - {name: a, type: approval, with: {prompt: x}}", "payments.w", **admin)
    started = await server.post(f"{API}/workflows/payments.w/executions", json={}, headers=admin)
    id_ = started.json()["execution_id"]
    for path in ("workflows/payments.w", f"executions/{id_}", f"executions/{id_}/history", f"executions/{id_}/why"):
        assert (await server.get(f"{API}/{path}", headers=other)).status_code == 404
        assert (await server.get(f"{API}/{path}", headers=admin)).status_code == 200
    for verb in ("pause", "cancel", "terminate", "retry", "fork", "complete-step", "signal"):
        body = {"event": 1} if verb == "fork" else {"step": "a", "output": {}} if verb == "complete-step" else {}
        answer = await server.post(f"{API}/executions/{id_}/{verb}", json=body, headers=other)
        assert answer.status_code in (404, 422), verb
    for path in ("executions", "workflows", "approvals", "dead-letters"):
        assert (await server.get(f"{API}/{path}", headers=other)).json()["items"] == []


async def _output(server: Server, given: Any, *, name: str = "w") -> Any:
    started = await server.post(f"{API}/workflows/{name}/executions", params={"wait": "10s"}, json={"input": given})
    return started.json()


async def test_what_stands_in_an_input_is_text(server: Server) -> None:
    await register(server, ECHO + "  output: {values: {x: '{{ steps.a.output }}'}}")
    answer = await _output(server, {"x": INJECTED})
    assert answer["output"] == {"x": INJECTED}
    assert SECRET not in str(answer)


async def test_what_stands_in_an_event_is_text(server: Server) -> None:
    trigger = "  triggers: [{event: go, map: {x: '{{ event.data.x }}'}}]\n"
    await register(server, ECHO, more=trigger)
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "go", "data": {"x": INJECTED}}
    published = (await server.post(f"{API}/events", json=event)).json()
    id_ = published["firings"][0]["execution_id"]
    await server.advance(SECOND)
    state = (await server.get(f"{API}/executions/{id_}")).json()
    assert state["status"] == "completed"
    assert state["steps"][0]["output"] == INJECTED
    assert SECRET not in str(state)


async def test_what_a_waiting_step_is_told_is_text(server: Server) -> None:
    steps = (
        "    - {name: a, type: wait_for_event, with: {event_type: go}}\n"
        "    - {name: b, type: transform, depends_on: a, with: {value: '{{ steps.a.output }}'}}\n"
    )
    await register(server, steps)
    id_ = (await server.post(f"{API}/workflows/w/executions", json={})).json()["execution_id"]
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "go", "data": {"x": INJECTED}}
    await server.post(f"{API}/events", json=event)
    await server.advance(SECOND)
    state = (await server.get(f"{API}/executions/{id_}")).json()
    assert INJECTED in str(state["steps"][1]["output"])
    assert SECRET not in str(state)


async def test_what_a_task_answers_is_text(open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from stepwell import task

    @task("answer")
    def answering() -> dict[str, str]:
        return {"text": INJECTED}

    monkeypatch.setenv("STEPWELL_SECRET_TOKEN", SECRET)
    async with open_test_server(tasks=(answering,)) as server:
        steps = (
            "    - {name: a, type: answer}\n"
            "    - {name: b, type: transform, depends_on: a, with: {value: 'got {{ steps.a.output.text }}'}}\n"
        )
        await register(server, steps, more="  output: {values: {x: '{{ steps.b.output }}'}}\n")
        answer = await _output(server, {})
        assert answer["output"] == {"x": f"got {INJECTED}"}


async def test_other_settings_are_taken_as_they_stand(server: Server) -> None:
    await register(server, "    - {name: a, type: transform, with: {value: '{{ input.x | int }}'}}")
    id_ = (await _output(server, {"x": "no number"}))["execution_id"]
    body = {"steps": ["a"], "settings": {"value": INJECTED}}
    await server.post(f"{API}/executions/{id_}/retry", json=body)
    await server.advance(SECOND)
    state = (await server.get(f"{API}/executions/{id_}")).json()
    assert SECRET not in str(state)
    assert state["steps"][0]["output"] in (INJECTED, None)


async def test_other_settings_take_who_may_register(server: Server) -> None:
    admin, operator = await who(server, "admin"), await who(server, "operator")
    await register(server, "    - {name: a, type: http, with: {url: 'http://127.0.0.1:1/'}}", **admin)
    started = await server.post(f"{API}/workflows/w/executions", params={"wait": "10s"}, json={}, headers=admin)
    body = {"steps": ["a"], "settings": {"url": "https://eve.example.com"}}
    path = f"{API}/executions/{started.json()['execution_id']}/retry"
    refused = await server.post(path, json=body, headers=operator)
    assert (refused.status_code, refused.json()["code"]) == (403, "settings-not-allowed")
    assert (await server.post(path, json={"steps": ["a"]}, headers=operator)).status_code == 200


async def test_what_may_not_be_started_any_more_is_started_by_nothing(
    open_test_server: OpenServer, tmp_path: Path
) -> None:
    """Permission that was withdrawn: not by hand, not by an event, not by a schedule, not as a sub-workflow."""
    store = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}, "shell": {}}
    shell = "    - {name: a, type: shell, with: {command: id}}"
    async with open_test_server({**store, "security": {"allow": [{"steps": ["shell"]}]}}) as before:
        developer = await who(before, "developer")
        given = await register(before, shell, more="  triggers: [{event: go}]\n", **developer)
        assert given.status_code == 201
        parent = await register(before, "    - {name: a, type: workflow, with: {name: w}}", "parent", **developer)
        assert parent.status_code == 201
    async with open_test_server(store) as after:
        admin = await who(after, "admin")
        refused = await after.post(f"{API}/workflows/w/executions", json={}, headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
        event = {"specversion": "1.0", "id": "1", "source": "x", "type": "go"}
        (firing,) = (await after.post(f"{API}/events", json=event, headers=admin)).json()["firings"]
        assert (firing["outcome"], firing["execution_id"]) == ("refused", None)
        assert "shell" in firing["reason"]
        schedule = {"workflow": "w", "every": "1m"}
        made = await after.post(f"{API}/schedules", json=schedule, headers=admin)
        assert made.status_code == 201, made.text
        await after.advance(2 * MINUTE)
        parent = await after.post(f"{API}/workflows/parent/executions", params={"wait": "10s"}, json={}, headers=admin)
        assert parent.json()["status"] == "failed"
        listed = (await after.get(f"{API}/executions", params={"workflow": "w"}, headers=admin)).json()
        assert listed["items"] == []
