"""Web pages of others, headers that every answer carries, and bodies that are too large."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from stepwell.api.context import ServerContext
from stepwell.api.origins import hosts_of
from stepwell.api.server import serving_app
from stepwell.app.configuration import configuration_from
from stepwell.base.errors import ConfigurationError
from tests.api.conftest import OpenServer, Server

KEYS = "/api/v1/api-keys"
BODY = {"name": "x", "role": "viewer"}
JSON = {"Content-Type": "application/json"}


async def test_every_answer_says_what_browsers_must_not_do_with_it(server: Server) -> None:
    for path in ("/api/v1/executions", "/api/v1/nothing"):
        headers = (await server.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "set-cookie" not in headers


async def test_an_id_of_a_request_is_kept_if_it_can_be_shown(server: Server) -> None:
    assert (await server.get("/x", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    for wrong in ("a b", "x" * 200, "<script>"):
        assert (await server.get("/x", headers={"X-Request-Id": wrong})).headers["x-request-id"] != wrong


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://stepwell.test.evil.example.com"},
        {"Origin": "http://"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_origin_changes_nothing_also_where_nobody_is_asked(
    server: Server, headers: dict[str, str]
) -> None:
    answer = await server.post(KEYS, json=BODY, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "cross-site"
    assert (await server.get(KEYS)).json()["items"] == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_form_can_send_is_refused(server: Server, kind: str) -> None:
    answer = await server.post(KEYS, content=b'{"name": "x", "role": "viewer"}', headers={"Content-Type": kind})
    assert answer.status_code == 415


async def test_its_own_pages_and_programs_may_change_something(server: Server) -> None:
    own = {"Origin": "http://stepwell.test", "Sec-Fetch-Site": "same-origin"}
    assert (await server.post(KEYS, json=BODY, headers=own)).status_code == 201


async def test_only_configured_origins_are_told_that_they_may_call(open_test_server: OpenServer) -> None:
    cors = {"cors": {"origins": ["https://app.example.com"]}}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with open_test_server({"security": cors}) as server:
        allowed = await server.client.options(KEYS, headers={"Origin": "https://app.example.com", **asking})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "access-control-allow-credentials" not in allowed.headers
        refused = await server.client.options(KEYS, headers={"Origin": "https://evil.example.com", **asking})
        assert "access-control-allow-origin" not in refused.headers
        made = await server.post(KEYS, json=BODY, headers={"Origin": "https://app.example.com"})
        assert made.status_code == 201
        exposed = set(made.headers["access-control-expose-headers"].split(", "))
        assert {"Location", "ETag", "Idempotency-Replayed", "Warning", "X-Request-Id"} <= exposed
        assert (await server.post(KEYS, json=BODY, headers={"Origin": "https://evil.example.com"})).status_code == 403


@pytest.mark.parametrize(
    "origin", ["*", "app.example.com", "https://app.example.com/", "https://a/b", "null", "file://x"]
)
def test_an_origin_that_is_none_cannot_be_configured(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        configuration_from({"security": {"cors": {"origins": [origin]}}})


@pytest.fixture
async def loopback(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    hosts = hosts_of(server.parts.configuration, "127.0.0.1")
    transport = httpx.ASGITransport(app=serving_app(ServerContext(server.parts, hosts=hosts)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:9", "[::1]:8080", "localhost."])
async def test_on_loopback_it_answers_to_the_names_of_the_machine(loopback: httpx.AsyncClient, host: str) -> None:
    assert (await loopback.get("/api/v1/executions", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example.com", "evil.example.com:8080", "127.0.0.1.evil.example.com", "", "x:y", "[::1"]
)
async def test_to_another_name_that_leads_there_it_does_not(loopback: httpx.AsyncClient, host: str) -> None:
    answer = await loopback.get("/api/v1/executions", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["code"] == "unknown-host"


def test_elsewhere_it_answers_to_the_names_that_are_configured() -> None:
    named = configuration_from({"security": {"hosts": ["Api.Example.com"]}})
    assert hosts_of(named, "0.0.0.0") == frozenset({"api.example.com"})
    assert hosts_of(configuration_from({}), "0.0.0.0") is None
    assert "api.example.com" in (hosts_of(named, "localhost") or ())


async def test_a_body_that_says_it_is_too_large_is_not_read(open_test_server: OpenServer) -> None:
    async with open_test_server({"security": {"max_body": 2_000}}) as server:
        answer = await server.post(KEYS, content=b"x" * 2_001, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        for length in ("x", "-1", "1" * 40):
            answer = await server.post(KEYS, content=b"{}", headers={**JSON, "Content-Length": length})
            assert answer.status_code in (400, 413)


async def test_a_body_that_turns_out_to_be_too_large_is_not_read_to_its_end(
    open_test_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 1_000
            yield b" " * 1_000

    async with open_test_server({"security": {"max_body": 5_000}}) as server:
        answer = await server.post(KEYS, content=endless(), headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        assert read <= 10_000
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert (await server.get(KEYS)).json()["items"] == []


async def test_headers_that_are_too_large_are_refused(server: Server) -> None:
    answer = await server.get(KEYS, headers={"X-Much": "x" * 70_000})
    assert (answer.status_code, answer.json()["code"]) == (431, "headers-too-large")


async def test_web_sockets_are_refused(server: Server) -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/api/v1/executions", "headers": [], "scheme": "ws"}
    await serving_app(server.context)(scope, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
