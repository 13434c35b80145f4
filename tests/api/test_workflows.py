"""Registering workflows, finding them, and what becomes of their versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.base.durations import SECOND
from stepwell.ports.records import Registration
from tests.api.conftest import Server
from tests.api.documents import API, WITH_SCHEMA, YAML, problem_of, registered, workflow


async def test_a_workflow_is_registered_and_found_again(server: Server) -> None:
    answer = await registered(server, workflow(), reason="first")
    assert answer.headers["location"] == f"{API}/workflows/hello/versions/1.0.0"
    assert answer.json()["registered_by"] == "anonymous"
    assert answer.json()["log"][0]["reason"] == "first"
    assert answer.json()["warnings"] == []
    found = await server.get(answer.headers["location"])
    assert found.headers["etag"] == answer.headers["etag"]
    assert found.json()["text"] == workflow()
    assert found.json()["dialect"] == "native"


async def test_json_is_taken_as_well_and_told_by_its_look(server: Server) -> None:
    document = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "j", "version": "1.0.0"},
        "spec": {"steps": [{"name": "one", "type": "noop"}]},
    }
    answer = await server.post(f"{API}/workflows", json=document)
    assert answer.status_code == 201
    again = await server.post(f"{API}/workflows", content=json.dumps(document), headers={"Content-Type": "text/yaml"})
    assert again.status_code == 409  # the same meaning, but another text
    problem_of(again, 409, "version-exists")


async def test_another_dialect_is_read_as_what_it_is(server: Server) -> None:
    text = "name: mapped\nversion: 1.0.0\nsteps:\n  one: {type: transform, config: {value: 1}}\n"
    findings = await server.post(
        f"{API}/workflows/validate", content=text, headers=YAML, params={"dialect": "step-map"}
    )
    assert findings.status_code == 200
    assert {each["code"] for each in findings.json()["items"]}.isdisjoint({"not-a-workflow", "ambiguous-dialect"})


async def test_registering_again_is_no_news_and_other_content_a_conflict(server: Server) -> None:
    first = await registered(server, workflow())
    again = await server.post(f"{API}/workflows", content=workflow(), headers=YAML)
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"])
    other = await server.post(f"{API}/workflows", content=workflow(steps="- {name: two, type: noop}"), headers=YAML)
    problem_of(other, 409, "version-exists")


async def test_an_invalid_workflow_is_refused_with_every_place(server: Server) -> None:
    text = workflow(steps="- {name: one, type: nop}\n- {name: two, type: noop, depends_on: on}")
    problem = problem_of(await server.post(f"{API}/workflows", content=text, headers=YAML), 422, "invalid-definition")
    assert [(each["pointer"], each["line"], each["code"]) for each in problem["errors"]] == [
        ("/spec/steps/0/type", 6, "unknown-type"),
        ("/spec/steps/1/depends_on", 7, "unknown-step"),
    ]
    assert (await server.get(f"{API}/workflows")).json()["items"] == []


async def test_validating_says_the_same_and_stores_nothing(server: Server) -> None:
    answer = await server.post(
        f"{API}/workflows/validate", content=workflow(steps="- {name: a, type: nop}"), headers=YAML
    )
    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    assert [each["code"] for each in answer.json()["items"]] == ["unknown-type"]
    good = await server.post(f"{API}/workflows/validate", content=workflow(), headers=YAML)
    assert (good.json()["valid"], good.json()["workflow"]) == (True, "hello")
    assert (await server.get(f"{API}/workflows")).json()["items"] == []


async def test_lists_are_filtered_and_given_in_parts(server: Server) -> None:
    for name in ("alpha", "beta"):
        for version in ("1.0.0", "1.1.0"):
            await registered(server, workflow(name, version))
    await registered(server, workflow("gamma"), draft="true")

    async def names(**query: str) -> list[str]:
        page = (await server.get(f"{API}/workflows", params=query)).json()
        return [f"{each['name']} {each['version']}" for each in page["items"]]

    assert await names() == ["alpha 1.1.0", "alpha 1.0.0", "beta 1.1.0", "beta 1.0.0", "gamma 1.0.0"]
    assert await names(name="beta") == ["beta 1.1.0", "beta 1.0.0"]
    assert await names(lifecycle="draft") == ["gamma 1.0.0"]
    assert await names(search="ET") == ["beta 1.1.0", "beta 1.0.0"]
    assert await names(search="blu", default="true") == ["alpha 1.1.0", "beta 1.1.0"]
    assert await names(tag="red") == []
    first = (await server.get(f"{API}/workflows", params={"limit": "3"})).json()
    rest = (await server.get(f"{API}/workflows", params={"limit": "3", "cursor": first["next"]})).json()
    assert [each["name"] for each in first["items"] + rest["items"]] == ["alpha", "alpha", "beta", "beta", "gamma"]
    assert rest["next"] is None


async def test_what_is_not_registered_is_not_found_with_a_hint(server: Server) -> None:
    await registered(server, workflow())
    problem = problem_of(await server.get(f"{API}/workflows/helo"), 404, "unknown-workflow")
    assert "hello" in problem["hint"]
    problem_of(await server.get(f"{API}/workflows/hello/versions/9.9.9"), 404, "unknown-version")


async def test_a_version_that_has_not_changed_is_not_sent_again(server: Server) -> None:
    tag = (await registered(server, workflow())).headers["etag"]
    answer = await server.get(f"{API}/workflows/hello", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await server.get(f"{API}/workflows/hello", headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_change_needs_to_name_what_was_seen(server: Server) -> None:
    tag = (await registered(server, workflow())).headers["etag"]
    path = f"{API}/workflows/hello/versions/1.0.0"
    problem_of(await server.patch(path, json={"lifecycle": "deprecated"}), 428, "if-match-missing")
    stale = await server.patch(path, json={"lifecycle": "deprecated"}, headers={"If-Match": '"x"'})
    problem_of(stale, 412, "changed-meanwhile")
    done = await server.patch(
        path, json={"lifecycle": "deprecated", "reason": "old", "default": True}, headers={"If-Match": tag}
    )
    assert done.status_code == 200
    assert (done.json()["lifecycle"], done.json()["default_chosen"]) == ("deprecated", True)
    assert done.headers["etag"] != tag
    problem_of(await server.patch(path, json={"default": True}, headers={"If-Match": tag}), 412, "changed-meanwhile")
    back = await server.patch(path, json={"lifecycle": "retired"}, headers={"If-Match": "*"})
    assert back.json()["lifecycle"] == "retired"


async def test_of_two_nodes_that_change_what_they_have_read_one_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = (await registered(server, workflow())).headers["etag"]
    store, move = server.parts.store, server.parts.store.set_lifecycle

    async def later(*args: Any, **more: Any) -> Registration:
        """Another node is quicker."""
        monkeypatch.setattr(store, "set_lifecycle", move)
        await move("hello", "1.0.0", "deprecated", at=server.clock.now(), by="another")
        return await move(*args, **more)

    monkeypatch.setattr(store, "set_lifecycle", later)
    path = f"{API}/workflows/hello/versions/1.0.0"
    late = await server.patch(path, json={"lifecycle": "retired"}, headers={"If-Match": tag})
    problem_of(late, 412, "changed-meanwhile")
    assert (await server.get(path)).json()["lifecycle"] == "deprecated"


async def test_a_deprecated_version_starts_with_a_warning(server: Server) -> None:
    await registered(server, workflow())
    await server.patch(
        f"{API}/workflows/hello/versions/1.0.0",
        json={"lifecycle": "deprecated", "reason": 'use "héllo2"'},
        headers={"If-Match": "*"},
    )
    answer = await server.post(f"{API}/workflows/hello/executions", json={})
    assert answer.status_code == 201
    assert "is deprecated" in answer.headers["warning"]


@pytest.mark.parametrize("form", ["mermaid", "dot", "json"])
async def test_the_graph_comes_in_three_forms(server: Server, form: str) -> None:
    await registered(server, workflow(steps="- {name: a, type: noop}\n- {name: b, type: noop, depends_on: a}"))
    for path in ("/workflows/hello/graph", "/workflows/hello/versions/1.0.0/graph"):
        answer = await server.get(API + path, params={"format": form})
        assert answer.status_code == 200
        assert {"mermaid": "flowchart", "dot": "digraph", "json": '"edges"'}[form] in answer.text
    wrong = await server.get(f"{API}/workflows/hello/graph", params={"format": "png"})
    assert problem_of(wrong, 400, "invalid-parameter")["errors"][0]["parameter"] == "format"


async def test_two_versions_are_compared_and_one_is_planned(server: Server) -> None:
    await registered(server, workflow())
    await registered(server, workflow(version="2.0.0", steps="- {name: two, type: noop}"))
    found = (await server.get(f"{API}/workflows/hello/diff", params={"from": "1.0.0", "to": "2.0.0"})).json()
    assert [each["name"] for each in found["steps"]["added"]] == ["two"]
    missing = problem_of(
        await server.get(f"{API}/workflows/hello/diff", params={"from": "1.0.0"}), 400, "invalid-parameter"
    )
    assert missing["errors"][0]["parameter"] == "to"
    plan = (await server.get(f"{API}/workflows/hello/plan")).json()
    assert (plan["version"], plan["batches"]) == ("2.0.0", [["two"]])
    assert (await server.get(f"{API}/workflows/hello/versions/1.0.0/plan")).json()["batches"] == [["one"]]


async def test_inputs_are_checked_where_they_stand(server: Server) -> None:
    await registered(server, WITH_SCHEMA)
    answer = await server.post(
        f"{API}/workflows/hello/executions", json={"input": {"email": 1, "items": [{"price": "x"}]}}
    )
    problem = problem_of(answer, 422, "invalid-input")
    assert {each["pointer"] for each in problem["errors"]} == {"/input/email", "/input/items/0/price"}
    assert (await server.get(f"{API}/executions")).json()["items"] == []


async def test_a_draft_is_not_started(server: Server) -> None:
    await registered(server, workflow(), draft="true")
    problem_of(await server.post(f"{API}/workflows/hello/executions", json={}), 409, "version-draft")
    await server.advance(SECOND)
    assert (await server.get(f"{API}/executions")).json()["items"] == []
