"""Secrets over HTTP: their values go in, and never out."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.app.audit import Audit, AuditQuery, Doer
from stepwell.app.security import Security
from tests.api.conftest import OpenServer, Server

SECRETS = "/api/v1/secrets"
ADA = Doer(name="ada", proof="system")


async def bearer(server: Server, namespaces: list[str] | None = None) -> dict[str, str]:
    issued = await server.parts.service(Security).keys.create("ada", "admin", namespaces, None, ADA)
    return {"Authorization": f"Bearer {issued.token}"}


async def test_a_secret_is_set_listed_and_forgotten_without_being_shown(server: Server) -> None:
    made = await server.put(f"{SECRETS}/CRM", json={"value": "hunter2hunter2", "namespaces": ["payments"]})
    assert made.status_code == 200
    listed = await server.get(SECRETS)
    assert [(item["name"], item["namespaces"]) for item in listed.json()["items"]] == [("CRM", ["payments"])]
    audit = await Audit(server.parts.store).list(AuditQuery())
    assert "hunter2" not in made.text + listed.text + str(audit)
    assert [item["what"] for item in audit["items"]] == ["secret.set"]
    assert (await server.delete(f"{SECRETS}/CRM")).status_code == 204
    assert (await server.delete(f"{SECRETS}/CRM")).status_code == 404
    assert (await server.get(f"{SECRETS}/CRM")).status_code == 405


@pytest.mark.parametrize("body", [{}, {"value": ""}, {"value": 7}, {"value": "x", "more": 1}, {"value": "x" * 70_000},
                                  {"value": "x", "namespaces": []}])  # fmt: skip
async def test_what_cannot_be_a_secret_is_refused_and_not_repeated(server: Server, body: dict[str, Any]) -> None:
    answer = await server.put(f"{SECRETS}/CRM", json=body)
    assert answer.status_code in (400, 422)
    assert "xxxx" not in answer.text


async def test_the_name_must_be_one(server: Server) -> None:
    answer = await server.put(f"{SECRETS}/a b", json={"value": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-secret")


async def test_an_admin_of_some_namespaces_sees_and_changes_only_theirs(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        every, some = await bearer(server), await bearer(server, ["payments"])
        await server.put(f"{SECRETS}/ALL", json={"value": "hunter2"}, headers=every)
        await server.put(f"{SECRETS}/OTHER", json={"value": "hunter2", "namespaces": ["billing"]}, headers=every)
        mine = await server.put(f"{SECRETS}/MINE", json={"value": "x", "namespaces": ["payments"]}, headers=some)
        assert mine.status_code == 200
        assert [item["name"] for item in (await server.get(SECRETS, headers=some)).json()["items"]] == ["MINE"]
        for name in ("ALL", "OTHER"):
            taken = await server.put(f"{SECRETS}/{name}", json={"value": "x", "namespaces": ["payments"]}, headers=some)
            assert taken.status_code == 404
            assert (await server.delete(f"{SECRETS}/{name}", headers=some)).status_code == 404
        wider = await server.put(f"{SECRETS}/NEW", json={"value": "x"}, headers=some)
        assert wider.status_code == 403


async def test_half_a_character_is_refused(server: Server) -> None:
    json = {"Content-Type": "application/json"}
    answer = await server.put(f"{SECRETS}/CRM", content=b'{"value": "\\ud800"}', headers=json)
    assert answer.status_code in (400, 422)
