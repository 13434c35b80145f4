"""Whatever is sent, nobody gets in who may not, nothing breaks, and nothing secret is repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.api.permissions import PERMISSIONS
from stepwell.app.audit import Doer
from stepwell.app.key_tokens import KeyToken
from stepwell.app.security import Security
from stepwell.base.durations import HOUR
from stepwell.base.errors import StoreError
from tests.api.conftest import OpenServer, Server

ADA = Doer(name="ada", proof="system")


@pytest.fixture
async def closed(open_test_server: OpenServer) -> AsyncIterator[Server]:
    """A server that asks who calls."""
    async with open_test_server() as server:
        await server.parts.service(Security).keys.create("ada", "admin", None, None, ADA)
        server.parts.service(Security).close_now()
        yield server


async def sent(server: Server, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """The status of the answer to a request that no client would send."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode("utf-8", "replace"), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"stepwell.test"), *headers], "client": ("203.0.113.7", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    transport: Any = server.client._transport
    await transport.app(scope, receive, send)
    return statuses[0]


_NAMES = st.sampled_from([b"authorization", b"x-api-key", b"origin", b"sec-fetch-site", b"content-type", b"cookie",
                          b"host", b"content-length", b"x-request-id", b"x-forwarded-for"])  # fmt: skip
_PATHS = st.sampled_from([template for _, template in PERMISSIONS if not template.endswith("/stream")]).map(
    lambda template: "/".join("x" if part.startswith("{") else part for part in template.split("/"))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "X"]),
    _PATHS | st.text(max_size=60).map(lambda text: f"/{text}"),
    st.lists(st.tuples(_NAMES, st.binary(max_size=80)), max_size=4),
    st.binary(max_size=50),
)
async def test_without_a_key_nothing_but_what_is_open_to_anybody_is_answered(
    closed: Server, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    closed.clock.set(closed.clock.now() + HOUR)
    status = await sent(closed, method, path, headers, body)
    is_open = any(
        PERMISSIONS.get((method if method != "HEAD" else "GET", template)) == "anybody"
        for template in (path, "/answer/{token}", "/api/v1/webhooks/{path:path}")
        if template == path or path.startswith(template.partition("{")[0])
    )
    assert status < 500 or (status == 503 and path == "/readyz")
    assert is_open or status >= 400 or (status in (200, 204) and method == "OPTIONS")


_TOKENS = st.builds(
    lambda id_, secret: KeyToken(id_, secret).text,
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=12),
    st.text("abcXYZ019", min_size=32, max_size=32),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_TOKENS)
async def test_a_well_formed_key_that_was_never_made_opens_nothing(closed: Server, token: str) -> None:
    closed.clock.set(closed.clock.now() + HOUR)
    headers = [(b"authorization", b"Bearer " + token.encode())]
    assert await sent(closed, "GET", "/api/v1/executions", headers, b"") == 401


async def test_an_answer_repeats_no_proof(closed: Server) -> None:
    for header in ("Authorization", "X-API-Key"):
        for value in ("Bearer hunter2hunter2", "Basic hunter2hunter2", "stepwell_hunter2hunter2"):
            answer = await closed.get("/api/v1/executions", headers={header: value})
            assert answer.status_code in (401, 429)
            assert "hunter2" not in answer.text + str(answer.headers)


async def test_a_store_that_fails_is_503_and_lets_nobody_in(closed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **more: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(closed.parts.store, "document", broken)
    token = KeyToken("a" * 12, "b" * 32).text
    answer = await closed.get("/api/v1/executions", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")


async def test_a_change_that_cannot_be_noted_is_not_said_to_be_done(
    open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_test_server() as server:

        async def full(*args: object, **more: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(server.parts.store, "write", full)
        event = {"specversion": "1.0", "id": "1", "source": "x", "type": "go"}
        answer = await server.post("/api/v1/events", json=event)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
