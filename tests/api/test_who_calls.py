"""Who calls is found out, and what he may not do he does not do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.app.access import Role
from stepwell.app.audit import Audit, AuditQuery, Doer
from stepwell.app.configuration import configuration_from
from stepwell.app.security import Security, check_binding
from stepwell.base.durations import HOUR, MINUTE, SECOND
from stepwell.base.errors import ConfigurationError
from tests.api.conftest import OpenServer, Server

ADA = Doer(name="ada", proof="system")
EXECUTIONS, KEYS, AUDIT = "/api/v1/executions", "/api/v1/api-keys", "/api/v1/audit"
SECRET = "s" * 40
JWT = {"issuer": "https://issuer.example.com", "audience": "stepwell", "secret": "{{ secrets.JWT }}"}


async def key(server: Server, role: Role = "admin", namespaces: list[str] | None = None, name: str = "ada") -> str:
    keys = server.parts.service(Security).keys
    return (await keys.create(name, role, namespaces, None, ADA)).token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def audited(server: Server, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await Audit(server.parts.store).list(AuditQuery(**query)))["items"]
    return items


@pytest.fixture
async def closed(open_test_server: OpenServer) -> AsyncIterator[Server]:
    """A server that asks who calls, for an issuer is configured."""
    async with open_test_server(
        {"security": {"jwt": JWT, "rate_limits": {"failures": {"limit": 3, "per": "1m"}}}}
    ) as s:
        yield s


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_SECRET_JWT", SECRET)


def token(server: Server, **claims: Any) -> str:
    now = server.clock.now() // SECOND
    given = {"iss": JWT["issuer"], "aud": "stepwell", "sub": "bob", "exp": now + 60, "role": "viewer", **claims}
    return jwt.encode(given, SECRET, "HS256")


async def test_a_server_without_keys_is_open_and_the_first_key_closes_it(server: Server) -> None:
    assert (await server.get(EXECUTIONS)).status_code == 200
    made = await server.post(KEYS, json={"name": "ada", "role": "admin"})
    assert made.status_code == 201
    refused = await server.get(EXECUTIONS)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="stepwell"'
    assert refused.json()["code"] == "unauthenticated"
    assert (await server.get(EXECUTIONS, headers=bearer(made.json()["token"]))).status_code == 200


async def test_a_key_made_by_another_process_closes_it_within_a_second(server: Server) -> None:
    assert (await server.get(EXECUTIONS)).status_code == 200
    await key(server)
    await server.advance(SECOND)
    assert (await server.get(EXECUTIONS)).status_code == 401


async def test_the_last_key_being_revoked_does_not_open_it(server: Server) -> None:
    made = (await server.post(KEYS, json={"name": "ada", "role": "admin"})).json()
    revoked = await server.delete(f"{KEYS}/{made['id']}", headers=bearer(made["token"]))
    assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    assert (await server.get(EXECUTIONS)).status_code == 401
    assert (await server.get(EXECUTIONS, headers=bearer(made["token"]))).json()["code"] == "key-revoked"


async def test_a_key_may_be_sent_in_either_header_but_not_in_both(closed: Server) -> None:
    text = await key(closed)
    assert (await closed.get(EXECUTIONS, headers={"X-API-Key": text})).status_code == 200
    assert (await closed.get(EXECUTIONS, headers=bearer(text))).status_code == 200
    assert (await closed.get(EXECUTIONS, headers={"X-API-Key": text, **bearer(text)})).status_code == 401


async def test_a_token_of_the_issuer_lets_its_owner_in_and_a_wrong_one_nobody(closed: Server) -> None:
    assert (await closed.get(EXECUTIONS, headers=bearer(token(closed)))).status_code == 200
    refused = await closed.get(EXECUTIONS, headers=bearer(token(closed, aud="somebody")))
    assert refused.status_code == 401
    assert refused.json()["code"] == "invalid-token"
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    expired = await closed.get(EXECUTIONS, headers=bearer(token(closed, exp=closed.clock.now() // SECOND - 60)))
    assert expired.json()["code"] == "token-expired"


async def test_whoever_fails_too_often_is_not_listened_to_for_a_while(closed: Server) -> None:
    good, wrong = bearer(await key(closed)), bearer("nonsense")
    statuses = [(await closed.get(EXECUTIONS, headers=wrong)).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    refused = await closed.get(EXECUTIONS, headers=good)
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate-limited"
    await closed.advance(int(refused.headers["retry-after"]) * SECOND)
    assert (await closed.get(EXECUTIONS, headers=good)).status_code == 200


async def test_failures_are_in_the_audit_log_without_what_was_sent(closed: Server) -> None:
    await closed.get(EXECUTIONS, headers=bearer("hunter2hunter2"))
    (entry,) = await audited(closed, outcome="refused")
    assert (entry["who"], entry["what"], entry["detail"]) == (
        "unknown",
        f"GET {EXECUTIONS}",
        {"code": "invalid-token"},
    )
    assert "hunter2" not in str(entry)


async def test_what_is_open_to_anybody_is_open_whatever_is_sent(closed: Server) -> None:
    for headers in ({}, bearer("nonsense"), {"Authorization": "Basic eA=="}):
        assert (await closed.get("/openapi.json", headers=headers)).status_code == 200


async def test_too_low_a_role_is_refused_and_noted(closed: Server) -> None:
    refused = await closed.post(
        KEYS, json={"name": "x", "role": "admin"}, headers=bearer(await key(closed, "developer"))
    )
    assert refused.status_code == 403
    assert refused.json()["code"] == "forbidden"
    (entry,) = await audited(closed, outcome="refused")
    assert (entry["what"], entry["who"], entry["status"]) == ("POST /api-keys", "ada", 403)


async def test_nobody_makes_a_key_that_opens_more_than_his_own(closed: Server) -> None:
    admin = bearer(await key(closed, "admin", ["payments"]))
    for namespaces in (None, ["billing"], ["payments", "billing"]):
        body = {"name": "x", "role": "admin", "namespaces": namespaces}
        assert (await closed.post(KEYS, json=body, headers=admin)).status_code == 403
    made = await closed.post(KEYS, json={"name": "x", "role": "admin", "namespaces": ["payments"]}, headers=admin)
    assert made.status_code == 201


async def test_keys_of_other_namespaces_are_not_there(closed: Server) -> None:
    admin = bearer(await key(closed, "admin", ["payments"]))
    other = (await closed.post(KEYS, json={"name": "o", "role": "viewer"}, headers=bearer(await key(closed)))).json()
    listed = (await closed.get(KEYS, headers=admin)).json()["items"]
    assert {item["name"] for item in listed} == {"ada"}
    assert len(listed) == 1
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = await closed.client.request(method, f"{KEYS}/{other['id']}{path}", headers=admin)
        assert answer.status_code == 404
    assert (await closed.get(AUDIT, headers=admin)).status_code == 403


async def test_a_key_is_shown_once(closed: Server) -> None:
    admin = bearer(await key(closed))
    made = (await closed.post(KEYS, json={"name": "ci", "role": "viewer", "namespaces": ["a"]}, headers=admin)).json()
    assert made["token"].startswith(f"stepwell_{made['id']}_")
    one = (await closed.get(f"{KEYS}/{made['id']}", headers=admin)).json()
    listed = (await closed.get(KEYS, headers=admin)).text
    assert "token" not in one
    assert made["token"] not in listed
    rotated = (await closed.post(f"{KEYS}/{made['id']}/rotate", json={}, headers=admin)).json()
    assert rotated["replaces"] == made["id"]
    assert rotated["token"] != made["token"]
    assert (await closed.get(EXECUTIONS, headers=bearer(made["token"]))).status_code == 401


async def test_a_key_is_made_once_for_a_request_that_is_sent_again_and_its_token_is_not_readable(
    server: Server,
) -> None:
    first = (await server.post(KEYS, json={"name": "ada", "role": "admin"})).json()
    known = {"Authorization": f"Bearer {first['token']}"}
    proof = {**known, "Idempotency-Key": "again"}
    made = [await server.post(KEYS, json={"name": "ci", "role": "viewer"}, headers=proof) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert made[1].headers["Idempotency-Replayed"] == "true"
    assert len((await server.get(KEYS, headers=known)).json()["items"]) == 2
    for document in await server.parts.store.documents("idempotency-key"):
        assert made[0].json()["token"].encode() not in document.body
    noted = (await server.get("/api/v1/audit", headers=known)).json()["items"]
    assert [each["what"] for each in noted] == ["key.create", "key.create"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "role": "viewer"},
        {"name": "a\nb", "role": "viewer"},
        {"name": "x", "role": "root"},
        {"name": "x", "role": "viewer", "namespaces": []},
        {"name": "x", "role": "viewer", "namespaces": ["a.b"]},
        {"name": "x", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "role": "viewer", "more": 1},
    ],
)
async def test_a_key_that_cannot_be_is_refused(server: Server, body: dict[str, Any]) -> None:
    answer = await server.post(KEYS, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_change_is_in_the_audit_log_once_with_who_made_it(closed: Server) -> None:
    admin = bearer(await key(closed, name="grace"))
    made = (await closed.post(KEYS, json={"name": "ci", "role": "viewer"}, headers=admin)).json()
    entries = await audited(closed, on=f"api-key:{made['id']}")
    assert [(entry["what"], entry["who"], entry["proof"]) for entry in entries] == [("key.create", "grace", "key")]
    assert entries[0]["address"] == "127.0.0.1"
    page = (await closed.get(AUDIT, headers=admin, params={"who": "grace"})).json()
    assert [item["on"] for item in page["items"]] == [f"api-key:{made['id']}"]


async def test_a_flood_is_answered_with_429_and_what_was_accepted_is_done(open_test_server: OpenServer) -> None:
    limits = {"requests": {"limit": 10, "per": "10s"}}
    async with open_test_server({"security": {"jwt": JWT, "rate_limits": limits}}) as server:
        admin = bearer(await key(server))
        answers = [await server.post(KEYS, json={"name": f"k{n}", "role": "viewer"}, headers=admin) for n in range(30)]
        made = [each for each in answers if each.status_code == 201]
        refused = [each for each in answers if each.status_code == 429]
        assert (len(made), len(refused)) == (10, 20)
        assert made[0].headers["ratelimit-policy"] == '"requests";q=10;w=10'
        assert [each.headers["ratelimit"] for each in made[:2]] == ['"requests";r=9;t=0', '"requests";r=8;t=0']
        assert {each.headers["retry-after"] for each in refused} == {"1"}
        await server.advance(MINUTE)
        listed = (await server.get(KEYS, headers=admin)).json()["items"]
        assert {each.json()["id"] for each in made} <= {item["id"] for item in listed}
        assert len(listed) == 11


def test_the_limits_that_nobody_configured_are_of_seconds_and_a_minute() -> None:
    limits = configuration_from({}).security.rate_limits
    assert limits.requests is not None
    assert (limits.requests.limit, limits.requests.per) == (20_000, 10 * SECOND)
    assert (limits.failures.limit, limits.failures.per) == (20, MINUTE)


async def test_one_caller_does_not_use_up_what_another_has(open_test_server: OpenServer) -> None:
    limits = {"requests": {"limit": 1, "per": "10s"}}
    async with open_test_server({"security": {"jwt": JWT, "rate_limits": limits}}) as server:
        first, second = bearer(await key(server)), bearer(await key(server))
        assert (await server.get(EXECUTIONS, headers=first)).status_code == 200
        assert (await server.get(EXECUTIONS, headers=first)).status_code == 429
        assert (await server.get(EXECUTIONS, headers=second)).status_code == 200


_HEADER = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=120)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["authorization", "x-api-key", "origin", "content-type", "cookie", "x-request-id"]), _HEADER)
async def test_whatever_stands_in_a_header_nobody_gets_in_and_nothing_breaks(
    closed: Server, name: str, value: str
) -> None:
    closed.clock.set(closed.clock.now() + HOUR)
    answer = await closed.client.request("POST", KEYS, headers={name.encode(): value.encode("latin-1")}, content=b"{}")
    assert answer.status_code in (400, 401, 403, 415, 429)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_proof_that_is_doubled_oversize_or_not_text_is_none(closed: Server) -> None:
    text = await key(closed)
    for headers in (
        [("Authorization", f"Bearer {text}"), ("Authorization", f"Bearer {text}")],
        [("Authorization", "Bearer " + "x" * 20_000)],
        [("Authorization", "Bearer")],
    ):
        closed.clock.set(closed.clock.now() + HOUR)
        assert (await closed.client.get(EXECUTIONS, headers=headers)).status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
async def test_on_loopback_a_server_may_be_open_and_says_so(server: Server, host: str) -> None:
    parts = server.parts
    warning = await check_binding(parts.configuration, parts.store, host, insecure=False)
    assert warning is not None
    assert "open" in warning


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
async def test_elsewhere_it_may_not_unless_that_is_insisted_on(server: Server, host: str) -> None:
    parts = server.parts
    with pytest.raises(ConfigurationError) as raised:
        await check_binding(parts.configuration, parts.store, host, insecure=False)
    assert raised.value.code == "open-server"
    warning = await check_binding(parts.configuration, parts.store, host, insecure=True)
    assert warning is not None
    assert "INSECURE" in warning
    await key(server)
    assert await check_binding(parts.configuration, parts.store, host, insecure=False) is None
