"""Questions: claimed, handed on, reminded of, escalated, and answered by a link."""

from __future__ import annotations

import asyncio
import json
from html import unescape
from typing import Any

import httpx
import pytest

from stepwell.app import approval_care
from stepwell.app.access import Role
from stepwell.app.audit import Doer
from stepwell.app.security import Security
from stepwell.base.durations import HOUR, MINUTE
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, YAML, workflow

KEEPING = {"notifications": {"ops": "log:info"}}


def asking(more: str = "", who: str = "[ada, bob]", schema: str = "{type: boolean}") -> str:
    config = f'{{prompt: "May it be?", assigned_to: {who}, response_schema: {schema}{more}}}'
    return workflow("asking", steps=f"- {{name: approve, type: approval, config: {config}}}")


async def asked(server: Server, text: str | None = None) -> str:
    """The id of an execution that asks."""
    assert (await server.post(f"{API}/workflows", content=text or asking(), headers=YAML)).status_code in (200, 201)
    begun = await server.post(f"{API}/workflows/asking/executions", json={})
    execution = str(begun.json()["execution_id"])
    for _ in range(100):
        if (await server.get(f"{API}/approvals")).json()["items"]:
            return execution
        await asyncio.sleep(0)
    raise AssertionError("it does not ask")


async def act(server: Server, execution: str, what: str, **body: Any) -> httpx.Response:
    path = f"{API}/approvals/{execution}/approve" + (f"/{what}" if what else "")
    return await server.post(path, json=body)


async def output(server: Server, execution: str) -> Any:
    await asyncio.wait_for(server.parts.session.engine.ended(execution), 10)
    (step,) = (await server.get(f"{API}/executions/{execution}")).json()["steps"]
    return step["output"]


async def test_only_who_is_asked_may_claim_and_answer(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        for what, body in (("claim", {"by": "eve"}), ("", {"by": "eve", "response": True})):
            refused = await act(server, execution, what, **body)
            assert (refused.status_code, refused.json()["code"]) == (403, "not-asked")
        claimed = await act(server, execution, "claim", by="ada")
        assert (claimed.status_code, claimed.json()["claimed_by"]) == (200, "ada")
        refused = await act(server, execution, "", by="bob", response=True)
        assert (refused.status_code, refused.json()["code"]) == (409, "claimed")
        assert (await act(server, execution, "release", by="bob")).status_code == 403
        assert (await act(server, execution, "release", by="ada")).json()["claimed_by"] is None
        assert (await act(server, execution, "", by="bob", response=True)).status_code == 202
        assert await output(server, execution) == {"response": True, "by": "bob"}


async def test_who_it_is_handed_on_to_answers_in_the_place_of_who_was_asked(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        assert (await act(server, execution, "hand-on", by="eve", to="carl")).status_code == 403
        await act(server, execution, "claim", by="ada")
        handed = (await act(server, execution, "hand-on", by="ada", to="carl")).json()
        assert (handed["claimed_by"], handed["handed_on"][0]["of"]) == (None, "ada")
        assert (await act(server, execution, "claim", by="carl")).status_code == 200
        assert (await act(server, execution, "", by="carl", response=False)).status_code == 202
        assert await output(server, execution) == {"response": False, "by": "carl"}
        history = (await server.get(f"{API}/executions/{execution}/history")).json()["items"]
        (answer,) = [each for each in history if each["event"] == "EventReceived"]
        assert "ada" in json.dumps(answer)


async def test_people_are_reminded_and_others_may_answer_when_they_do_not(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    more = ", reminder: {after: 1h, every: 1h, channels: [ops]}, escalation: {after: 150m, to: [boss], channels: [ops]}"
    async with open_test_server(KEEPING) as server:
        execution = await asked(server, asking(more))
        for _ in range(3):
            await server.advance(HOUR)
            await settled()
        (question,) = (await server.get(f"{API}/approvals")).json()["items"]
        assert (question["reminded"], question["escalated_to"]) == (3, ["boss"])
        assert sum("May it be?" in record.getMessage() for record in caplog.records) == 3 * 2 + 1
        assert (await act(server, execution, "", by="boss", response=True)).status_code == 202
        assert (await output(server, execution))["by"] == "boss"
        told = len(caplog.records)
        await server.advance(10 * HOUR)
        await settled()
        assert not any("May it be?" in record.getMessage() for record in caplog.records[told:])


async def test_a_reminder_that_cannot_be_read_keeps_nobody_from_the_others(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ", reminder: {after: 1h, every: \"{{ input.every | default('soon') }}\"}"
    async with open_test_server(KEEPING) as server:
        await asked(server, asking(bad))
        await server.post(f"{API}/workflows", content=_other(", reminder: {after: 2h, every: 1h}"), headers=YAML)
        await server.post(f"{API}/workflows/other/executions", json={})
        for _ in range(3):
            await settled()
            await server.advance(HOUR)
        await settled()
        reminded = {
            each["workflow"]: each["reminded"] for each in (await server.get(f"{API}/approvals")).json()["items"]
        }
    assert reminded["other"] == 2
    assert any("nobody can be reminded" in record.getMessage() for record in caplog.records)


def _other(more: str) -> str:
    return asking(more).replace("{name: asking", "{name: other")


async def settled() -> None:
    """Until what was due has been done."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_question_that_was_asked_while_nobody_minded_is_found(open_test_server: OpenServer) -> None:
    from stepwell.store.memory.store import MemoryStore

    store = MemoryStore()
    await store.open()
    more = ", reminder: {after: 1h}"
    async with open_test_server(KEEPING, store=store) as server:
        await asked(server, asking(more))
        await settled()
        (document,) = await store.documents("approval")
        await store.write([_deleted(document)], 0)  # as if the process had ended before
    async with open_test_server(KEEPING, store=store) as server:
        await settled()
        await server.advance(2 * HOUR)
        await settled()
        (question,) = (await server.get(f"{API}/approvals")).json()["items"]
        assert question["reminded"] == 1
    await store.close()


def _deleted(document: Any) -> Any:
    from stepwell.ports.ledger import Write

    return Write(kind=document.kind, key=document.key, body=None)


# Links


async def link(server: Server, execution: str, person: str = "ada", **more: Any) -> str:
    made = await act(server, execution, "links", person=person, **more)
    assert made.status_code == 201, made.text
    return str(made.json()["path"])


async def test_whoever_has_a_link_answers_without_a_key(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        path = await link(server, execution)
        page = await server.get(path)
        assert page.status_code == 200
        assert "May it be?" in page.text
        assert '<button name="response" value="true">Yes</button>' in page.text
        assert "script" not in page.headers["content-security-policy"]
        taken = await server.post(path, data={"response": "true"})
        assert (taken.status_code, "Thank you" in taken.text) == (200, True)
        assert await output(server, execution) == {"response": True, "by": "ada"}
        again = await server.post(path, data={"response": "false"})
        assert (again.status_code, "was answered already" in again.text) == (409, True)


@pytest.mark.parametrize(
    "body",
    [
        "response=%22perhaps%22", "response=%7B", "response=", "response=NaN", "response=%22%5Cud800%22",
        "response=" + "[" * 10_000, 'response={"a":1,"a":2}',
        "other=1", "", "response=true&response=false", "response=true&text=x", "response=%FF",
        "response=" + "1" * 70_000,
    ],
)  # fmt: skip
async def test_what_a_link_is_answered_with_is_checked(open_test_server: OpenServer, body: str) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        path = await link(server, execution)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        refused = await server.post(path, content=body, headers=form)
        assert refused.status_code in (400, 422)
        assert refused.headers["content-type"].startswith("text/html")
        assert (await server.get(path)).status_code == 200


async def test_an_answer_that_cannot_be_taken_is_asked_for_again(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        path = await link(server, await asked(server, asking(schema="{type: integer}")))
        refused = await server.post(path, data={"response": "seven </textarea>"})
        assert refused.status_code == 422
        assert "May it be?" in refused.text
        why = "The answer is not JSON: expecting value, line 1, column 1; write it as JSON, such as true or "
        assert f'{why}"yes".' in unescape(refused.text)
        assert "seven &lt;/textarea&gt;</textarea>" in refused.text
        assert (await server.post(path, data={"response": " 7 "})).status_code == 200


async def test_a_text_is_answered_as_text(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await asked(server, asking(schema="{type: string, minLength: 3}"))
        path = await link(server, execution)
        assert '<textarea id="answer" name="text"' in (await server.get(path)).text
        assert (await server.post(path, data={"text": "no"})).status_code == 422
        assert (await server.post(path, data={"text": 'say "hi"\r\nand go'})).status_code == 200
        assert (await output(server, execution))["response"] == 'say "hi"\nand go'


async def test_a_link_is_good_for_its_time_and_cannot_be_made_up(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        path = await link(server, execution, valid_for=60)
        assert (await act(server, execution, "links", person="eve")).status_code == 403
        for wrong in ("/answer/x", "/answer/" + "A" * 200, path[:-4] + "AAAA", path + "A"):
            assert (await server.get(wrong)).status_code == 404, wrong
        await server.advance(MINUTE)
        assert (await server.get(path)).status_code == 409


async def test_a_page_shows_nothing_of_a_prompt_as_html(open_test_server: OpenServer) -> None:
    text = asking(schema='{enum: ["<b>", 7, null]}').replace("May it be?", "<script>x</script>")
    async with open_test_server() as server:
        page = (await server.get(await link(server, await asked(server, text)))).text
        assert "<script>" not in page
        assert '<button name="response" value="&quot;&lt;b&gt;&quot;">&lt;b&gt;</button>' in page
        assert '<button name="response" value="null">null</button>' in page


async def test_nobody_makes_a_link_with_which_to_answer_for_others_but_an_admin(
    open_test_server: OpenServer,
) -> None:
    async with open_test_server() as server:
        execution = await asked(server)
        doer = Doer(name="operator", proof="system")
        keys = server.parts.service(Security).keys
        statuses = {}
        people: list[tuple[str, Role]] = [("eve", "operator"), ("ada", "operator"), ("boss", "admin")]
        for name, role in people:
            token = (await keys.create(name, role, None, None, doer)).token
            server.parts.service(Security).close_now()
            path = f"{API}/approvals/{execution}/approve/links"
            proof = {"Authorization": f"Bearer {token}"}
            answer = await server.post(path, json={"person": "ada"}, headers=proof)
            statuses[name] = answer.status_code
        assert statuses == {"eve": 403, "ada": 201, "boss": 201}


async def test_an_inbox_holds_what_somebody_may_answer(
    open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(name: str, who: str) -> str:
        return asking(who=who).replace("name: asking", f"name: {name}")

    async with open_test_server() as server:
        ids = {}
        for name, who in (("one", "[ada]"), ("two", "[bob]"), ("three", "[]"), ("four", "[ada, bob]")):
            await server.post(f"{API}/workflows", content=named(name, who), headers=YAML)
            ids[name] = (await server.post(f"{API}/workflows/{name}/executions", json={})).json()["execution_id"]
        await server.clock.settle()

        async def listed(**query: Any) -> list[str]:
            found, cursor = [], None
            while True:
                page = await server.get(f"{API}/approvals", params={**query, **({"cursor": cursor} if cursor else {})})
                assert page.status_code == 200, page.text
                found += [each["workflow"] for each in page.json()["items"]]
                cursor = page.json()["next"]
                if cursor is None:
                    return found

        assert await listed() == ["one", "two", "three", "four"]
        assert await listed(person="ada") == ["one", "three", "four"]
        await act(server, ids["two"], "hand-on", to="ada", by="bob")
        for limit in (1, 2, 50):
            assert await listed(person="ada", limit=limit) == ["one", "two", "three", "four"]
            assert await listed(person="eve", limit=limit) == ["three"]
        monkeypatch.setattr(approval_care, "MOST_LOOKED_AT", 1)
        assert await listed(person="bob", workflow="four", limit=1) == ["four"]
        assert await listed(execution=ids["one"]) == ["one"]
        assert await listed(execution=ids["one"], person="bob") == []
        assert await listed(execution="nobody") == []
        wrong = await server.get(f"{API}/approvals", params={"cursor": "x"})
        assert wrong.json()["code"] == "invalid-cursor"
