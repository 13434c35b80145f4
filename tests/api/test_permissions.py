"""Who may do what: every role at every path."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stepwell.api.authorization import named_in
from stepwell.api.permissions import PERMISSIONS, UNAUDITED, WHOLE_SERVER
from stepwell.api.server import build, routes_of, serving_app
from stepwell.app.access import ROLES, Caller, Role
from stepwell.app.audit import Doer
from stepwell.app.security import Security
from tests.api.conftest import OpenServer, Server

ADA = Doer(name="ada", proof="system")


async def test_every_route_has_a_permission_and_every_permission_a_route(server: Server) -> None:
    assert set(routes_of(build(server.context))) == set(PERMISSIONS)


def test_what_is_said_of_a_path_is_said_of_one_that_there_is() -> None:
    assert PERMISSIONS.keys() >= UNAUDITED
    assert PERMISSIONS.keys() >= WHOLE_SERVER


def test_what_changes_something_takes_more_than_looking() -> None:
    looking = {line for line, permission in PERMISSIONS.items() if line[0] != "GET" and permission == "viewer"}
    assert looking <= UNAUDITED


def test_only_these_are_open_to_anybody() -> None:
    prefixes = ("/openapi.json", "/docs", "/healthz", "/readyz", "/api/v1/webhooks/", "/answer/")
    assert {
        path for (_, path), who in PERMISSIONS.items() if who == "anybody" and not path.startswith(prefixes)
    } == set()


@pytest.fixture
async def closed(open_test_server: OpenServer) -> AsyncIterator[tuple[Server, dict[Role, dict[str, str]]]]:
    """A server that asks who calls, and how each role says it."""
    async with open_test_server() as server:
        keys = server.parts.service(Security).keys
        tokens = {role: (await keys.create(role, role, None, None, ADA)).token for role in ROLES}
        yield server, {role: {"Authorization": f"Bearer {token}"} for role, token in tokens.items()}


def _path(template: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in template.split("/"))


LINES = sorted(line for line in PERMISSIONS if line[1] != "/api/v1/events/stream")
"""A stream does not end, so that it is tried by itself."""


async def test_each_role_may_call_what_it_may_and_nothing_else(
    closed: tuple[Server, dict[Role, dict[str, str]]],
) -> None:
    server, headers = closed
    wrong: list[str] = []
    for method, template in LINES:
        permission = PERMISSIONS[method, template]
        for role in (None, *ROLES):
            if role == "admin" and template.startswith("/api/v1/api-keys"):
                continue  # it would revoke the keys of the others
            answer = await server.client.request(method, _path(template), headers=headers[role] if role else {})
            is_refused = answer.status_code in (401, 403)
            may = permission == "anybody" or (role is not None and ROLES.index(role) >= ROLES.index(permission))
            if is_refused == may or answer.status_code >= 500:
                wrong.append(f"{method} {template} as {role}: {answer.status_code}")
            if not may and answer.status_code != (401 if role is None else 403):
                wrong.append(f"{method} {template} as {role}: {answer.status_code}, refused otherwise")
    assert wrong == []


@pytest.mark.parametrize("role", [None, "viewer"])
async def test_the_stream_of_events_takes_a_viewer(
    closed: tuple[Server, dict[Role, dict[str, str]]], role: Role | None
) -> None:
    server, headers = closed
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"} if sent else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    named = [(name.lower().encode(), value.encode()) for name, value in headers[role].items()] if role else []
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": "/api/v1/events/stream", "raw_path": b"/api/v1/events/stream", "query_string": b"",
             "root_path": "", "headers": named, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}  # fmt: skip
    await serving_app(server.context)(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == (200 if role else 401)


async def test_what_concerns_all_namespaces_takes_who_may_see_them_all(open_test_server: OpenServer) -> None:
    async with open_test_server() as server:
        keys = server.parts.service(Security).keys
        token = (await keys.create("ada", "admin", ["payments"], None, ADA)).token
        for method, template in sorted(WHOLE_SERVER):
            headers = {"Authorization": f"Bearer {token}"}
            answer = await server.client.request(method, _path(template), headers=headers)
            assert answer.status_code == 403, (method, template)
            assert "all namespaces" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("template", "parameters", "named"),
    [
        ("/api/v1/executions/{execution_id}/pause", {"execution_id": "7"}, "execution:7"),
        ("/api/v1/workflows/{name}/versions/{version}", {"name": "a.b", "version": "1"}, "workflow:a.b/version:1"),
        ("/api/v1/policies/{kind}/{name:path}", {"kind": "k", "name": "a/b"}, "policy:k/a/b"),
        ("/api/v1/events", {}, ""),
        ("/answer/{token}", {"token": "hunter2"}, "answer:***"),
    ],
)
def test_the_log_names_what_a_path_names(template: str, parameters: dict[str, str], named: str) -> None:
    assert named_in(template, parameters) == named


def test_each_role_has_what_those_before_it_have() -> None:
    for position, role in enumerate(ROLES):
        caller = Caller(name="x", role=role)
        assert [caller.has(other) for other in ROLES] == [number <= position for number in range(len(ROLES))]
