"""Whoever is confined to namespaces neither sees nor changes anything of others, at any path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import pytest

from stepwell.api.permissions import PERMISSIONS
from stepwell.app.audit import Doer
from stepwell.app.security import Security
from stepwell.base.durations import SECOND
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, YAML, workflow

MARK: Final = "zebra"
"""In everything that belongs to the others."""
NAME: Final = f"payments.{MARK}"
STEPS: Final = f"""\
- {{name: ask, type: approval, config: {{prompt: "{MARK}?"}}}}
- {{name: far, type: resize, queue: images}}
"""
FAILING: Final = "- {name: bad, type: python, config: {task: work}}"
TRIGGERS: Final = f"  triggers: [{{event: payments.{MARK}}}, {{webhook: {{path: {MARK}}}}}]\n"
BODIES: Final[dict[str, Any]] = {
    "rerun": {"step": "bad"},
    "rollback": {"checkpoint": "bad"},
    "fork": {"at": 1},
    "migrate": {"to": "1.0.0"},
    "skip-step": {"step": "ask"},
    "complete-step": {"step": "ask"},
    "signal": {"type": f"payments.{MARK}"},
    "hand-on": {"to": "eve"},
    "links": {"person": "eve"},
    "backfill": {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"},
    "{step}": {"response": True},
    "{version}": {"lifecycle": "retired"},
    "executions": {"input": {}},
    "{name}": {"metric": "error_rate", "op": ">", "threshold": 1},
}
"""What must be said, by the end of the path."""
ELSEWHERE: Final = frozenset({
    ("POST", f"{API}/webhooks/{{path:path}}"), ("GET", "/answer/{token}"), ("POST", "/answer/{token}"),
    ("GET", f"{API}/services/{{name}}"), ("POST", f"{API}/workers/poll"), ("GET", f"{API}/events/stream"),
    ("PUT", f"{API}/secrets/{{name}}"),
})  # fmt: skip
"""What is known by something else than a namespace, belongs to all, or has a test of its own."""


class Scene(NamedTuple):
    """A server with something of everything in `payments`, and the proof of an admin who sees only `billing`."""

    server: Server
    known: dict[str, dict[str, Any]]
    owner: dict[str, str]
    stranger: dict[str, str]


async def key_of(server: Server, namespaces: list[str] | None) -> dict[str, str]:
    doer = Doer(name="operator", proof="system")
    issued = await server.parts.service(Security).keys.create("x", "admin", namespaces, None, doer)
    return {"Authorization": f"Bearer {issued.token}"}


@pytest.fixture
async def scene(open_test_server: OpenServer) -> AsyncIterator[Scene]:
    def work() -> None:
        raise ValueError(MARK)

    async with open_test_server(tasks=(work,)) as server:
        owner, stranger = await key_of(server, None), await key_of(server, ["billing"])
        server.parts.service(Security).close_now()

        async def post(path: str, document: Any) -> Any:
            answer = await server.post(API + path, json=document, headers=owner)
            assert answer.status_code < 300, answer.text
            return answer.json()

        for text in (workflow(NAME, steps=STEPS, more=TRIGGERS), workflow(f"{NAME}-bad", steps=FAILING)):
            answer = await server.post(f"{API}/workflows", content=text, headers=owner | YAML)
            assert answer.status_code == 201, answer.text
        await post(f"/workflows/{NAME}-bad/executions", {})
        id_ = (await post(f"/workflows/{NAME}/executions", {"tags": [MARK]}))["execution_id"]
        await server.advance(SECOND)
        await post("/schedules", {"id": NAME, "workflow": NAME, "cron": "0 2 * * *"})
        subscribed = {"id": MARK, "url": "http://127.0.0.1:9/", "active": False}
        await post("/subscriptions", subscribed)
        await post("/alerts", {"name": MARK, "metric": "error_rate", "op": ">", "threshold": 5, "workflow": NAME})
        key = await post("/api-keys", {"name": MARK, "role": "viewer", "namespaces": ["payments"]})
        secret = {"value": "hunter22", "namespaces": ["payments"]}
        await server.put(f"{API}/secrets/ZEBRA", json=secret, headers=owner)
        (letter,) = (await server.get(f"{API}/dead-letters", headers=owner)).json()["items"]
        known = {
            "executions": {"execution_id": id_},
            "approvals": {"execution_id": id_, "step": "ask"},
            "dead-letters": {"execution_id": letter["execution_id"], "step": letter["step"], "seq": letter["seq"]},
            "workflows": {"name": NAME, "version": "1.0.0"},
            "analytics": {"name": NAME},
            "schedules": {"id": NAME},
            "subscriptions": {"id": MARK, "message": f"msg_{id_}_1"},
            "alerts": {"name": MARK},
            "secrets": {"name": "ZEBRA"},
            "api-keys": {"id": key["id"]},
        }
        yield Scene(server, known, owner, stranger)


def addressed(scene: Scene, template: str) -> str | None:
    """The path to what belongs to the others; None when it leads to nothing of them."""
    known = scene.known.get(template.removeprefix(f"{API}/").partition("/")[0], {})
    path = template
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", str(value))
    return path if "{" not in path else None


async def everything(scene: Scene) -> list[str]:
    """All that there is, as whoever sees all sees it."""
    ids = {subject: list(map(str, known.values())) for subject, known in scene.known.items()}
    paths = [f"executions/{ids['executions'][0]}/history", "workflows", "secrets", "dead-letters"]
    paths += ["/".join((subject, *ids[subject])) for subject in ("approvals", "schedules", "alerts", "api-keys")]
    paths.append(f"subscriptions/{MARK}")
    answers = [await scene.server.get(f"{API}/{path}", headers=scene.owner) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.text for answer in answers]


async def test_nothing_of_others_is_seen_at_any_path(scene: Scene) -> None:
    asked = 0
    for method, template in PERMISSIONS:
        path = addressed(scene, template)
        if method != "GET" or path is None or (method, template) in ELSEWHERE:
            continue
        query = {
            "compare": {"with": scene.known["executions"]["execution_id"]},
            "diff": {"from": "1.0.0", "to": "1.0.0"},
        }
        last = path.rpartition("/")[2]
        more = query.get(last, {"at": 1} if last == "state" else {})
        if last != "events":  # which goes on and on
            seen = await scene.server.get(path, headers=scene.owner, params=more)
            assert seen.status_code == 200, f"{path}: {seen.text}"
        answer = await scene.server.get(path, headers=scene.stranger, params=more)
        assert answer.status_code in ((404,) if "{" in template else (200, 403, 404)), f"{path}: {answer.text}"
        if "{" not in template and path not in ("/openapi.json", f"{API}/api-keys", f"{API}/audit"):
            assert MARK not in answer.text.lower(), path
        asked += 1
    assert asked > 40


async def test_nothing_of_others_is_changed_at_any_path(scene: Scene) -> None:
    before, asked = await everything(scene), 0
    for method, template in PERMISSIONS:
        path = addressed(scene, template)
        if method == "GET" or path is None or "{" not in template or (method, template) in ELSEWHERE:
            continue
        body = BODIES.get(template.rpartition("/")[2], {})
        headers = scene.stranger | {"If-Match": "*"}
        request = {"json": body} if method != "DELETE" else {}
        answer = await scene.server.client.request(method, path, headers=headers, **request)
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        asked += 1
    assert asked > 30
    assert await everything(scene) == before


async def test_lists_and_actions_on_many_leave_out_what_is_of_others(scene: Scene) -> None:
    asked = {"action": "terminate", "query": {}}
    answer = await scene.server.post(f"{API}/executions/actions", json=asked, headers=scene.stranger)
    assert answer.json()["items"] == []
    for query in ({"text": MARK}, {"tag": MARK}, {"workflow": NAME}):
        for path in ("executions", "logs") if "tag" not in query else ("executions",):
            listed = await scene.server.get(f"{API}/{path}", params=query, headers=scene.stranger)
            assert listed.json()["items"] == [], path
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": f"payments.{MARK}"}
    refused = await scene.server.post(f"{API}/events", json=event, headers=scene.stranger)
    assert refused.status_code == 403
    polled = {"worker": "w", "queues": ["images"], "wait": 0}
    work = await scene.server.post(f"{API}/workers/poll", json=polled, headers=scene.stranger)
    assert work.json()["assignments"] == []
    for document in ({"workflow": NAME, "cron": "0 2 * * *"}, {"workflow": NAME, "every": "1h"}):
        made = await scene.server.post(f"{API}/schedules", json=document, headers=scene.stranger)
        assert made.status_code == 404


async def test_work_of_others_is_neither_prolonged_nor_given_back_nor_reported_on(scene: Scene) -> None:
    server, polled = scene.server, {"worker": "w", "queues": ["images"], "wait": 0}
    (work,) = (await server.post(f"{API}/workers/poll", json=polled, headers=scene.owner)).json()["assignments"]
    mine = {"worker": "w", "assignments": [work["id"]]}

    async def said(verb: str, body: Any) -> Any:
        return await server.post(f"{API}/workers/{verb}", json=body, headers=scene.stranger)

    assert (await said("heartbeat", mine)).json()["kept"] == []
    assert (await said("release", mine)).status_code == 204
    assert (await said("complete", {"id": work["id"]})).status_code == 409
    assert (await said("fail", {"id": work["id"], "type": "x", "message": "y"})).status_code == 409
    other = {**polled, "worker": "other"}
    assert (await server.post(f"{API}/workers/poll", json=other, headers=scene.owner)).json()["assignments"] == []
    assert (await server.post(f"{API}/workers/heartbeat", json=mine, headers=scene.owner)).json()["kept"]
