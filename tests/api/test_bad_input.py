"""Whatever comes in, the answer is the right status and a problem document that names what is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell.api.server import serving_app
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, YAML, problem_of, registered, workflow

JSON = {"Content-Type": "application/json"}
PATHS = ["/workflows/hello/executions", "/executions/x/pause", "/executions/actions", "/events"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"input": {"a": 1, "a": 2}}',
        b'{"input": NaN}',
        b'{"input": Infinity}',
        b'{"input": "\\ud800"}',
        b'{"\\udc00": 1}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"input": 1e999}',
        b'{"input": 123456789012345678901234567890}',
        b'{"input": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe{}",
        b"{",
        b"{'a': 1}",
        b"   ",
    ],
)
async def test_doubtful_json_is_refused(server: Server, path: str, body: bytes) -> None:
    await registered(server, workflow())
    answer = await server.post(API + path, content=body, headers=JSON)
    assert problem_of(answer, 400, "invalid-json")["errors"]
    assert (await server.get(f"{API}/executions")).json()["items"] == []


async def test_an_integer_of_thousands_of_digits_is_refused_in_words_of_ours(server: Server) -> None:
    answer = await server.post(f"{API}/events", content=b"[" + b"9" * 5_000 + b"]", headers=JSON)
    detail = problem_of(answer, 400, "invalid-json")["detail"]
    assert detail == "the body is not usable JSON: an integer of 5,000 characters has more than 64 bits"


async def test_a_parameter_where_there_are_none_is_told_so(server: Server) -> None:
    problem = problem_of(await server.get(f"{API}/cluster?x=1"), 400, "invalid-parameter")
    assert problem["detail"] == "x: there is no parameter 'x'; there are none here"


async def test_a_syntax_error_has_its_place(server: Server) -> None:
    answer = await server.post(f"{API}/executions/x/pause", content=b'{\n "reason": }', headers=JSON)
    [error] = problem_of(answer, 400, "invalid-json")["errors"]
    assert (error["line"], error["column"]) == (2, 12)


@pytest.mark.parametrize("path", [*PATHS, "/workflows", "/workflows/validate"])
async def test_another_type_of_content_is_refused(server: Server, path: str) -> None:
    for kind in ("image/png", "application/xml"):
        answer = await server.post(API + path, content=b"{}", headers={"Content-Type": kind})
        assert problem_of(answer, 415, "unsupported-media-type")["errors"][0]["parameter"] == "Content-Type"


@pytest.mark.parametrize("path", [*PATHS, "/workflows"])
async def test_a_large_body_is_refused_before_it_is_read(open_test_server: OpenServer, path: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1_000

    async with open_test_server({"security": {"max_body": 2_000}}) as server:
        for content in (b" " * 3_000, parts()):
            answer = await server.post(API + path, content=content, headers=JSON)
            problem_of(answer, 413, "body-too-large")


async def test_what_is_asked_for_must_be_there_to_be_had(server: Server) -> None:
    for accepted in ("text/html", "application/json;q=0", "image/*"):
        answer = await server.get(f"{API}/executions", headers={"Accept": accepted})
        assert problem_of(answer, 406, "not-acceptable")["errors"][0]["parameter"] == "Accept"
    for accepted in ("*/*", "application/*", "text/html, application/json;q=0.1"):
        assert (await server.get(f"{API}/executions", headers={"Accept": accepted})).status_code == 200


async def test_a_wrong_method_is_answered_with_the_right_ones(server: Server) -> None:
    answer = await server.delete(f"{API}/executions")
    problem_of(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    options = await server.client.options(f"{API}/workflows")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    problem_of(await server.get(f"{API}/nothing"), 404, "not-found")
    problem_of(await server.get(f"{API}/executions/"), 404, "not-found")


async def test_head_is_get_without_the_body(server: Server) -> None:
    get, head = await server.get(f"{API}/executions"), await server.client.head(f"{API}/executions")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ünïcode"])
async def test_a_key_that_is_none_is_refused(server: Server, key: str) -> None:
    await registered(server, workflow())
    for path in ("/workflows/hello/executions", "/executions/x/fork"):
        headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
        answer = await server.post(API + path, content=b"{}", headers=headers)
        assert problem_of(answer, 400, "invalid-header")["errors"][0]["parameter"] == "Idempotency-Key"


async def test_text_that_is_not_utf8_is_no_workflow(server: Server) -> None:
    problem_of(await server.post(f"{API}/workflows", content=b"\xff", headers=YAML), 400, "invalid-text")
    problem_of(await server.post(f"{API}/workflows", content=b"", headers=YAML), 400, "invalid-text")
    unknown = await server.post(f"{API}/workflows", content=b"a: 1", headers=YAML, params={"dialect": "natve"})
    assert "native" in problem_of(unknown, 400, "unknown-dialect")["hint"]


@pytest.mark.parametrize("path", ["/executions/%00", "/executions/%ff", f"/executions/{'x' * 5_000}", "/workflows/%2e"])
async def test_an_id_that_is_none_is_not_found_or_refused(server: Server, path: str) -> None:
    answer = await server.get(API + path)
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/events", "/workflows", "/workflows/hello/executions", "/schedules", "/webhooks/x"])
async def test_whoever_hangs_up_before_he_has_said_all_is_no_defect(
    server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [{"type": "http.request", "body": b'{"half', "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": API + path, "raw_path": (API + path).encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    await serving_app(server.context)(scope, receive, send)
    assert messages == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_defect_is_told_without_its_traceback(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(query: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(server.parts.reading, "executions", broken)
    problem = problem_of(await server.get(f"{API}/executions"), 500, "internal-error")
    assert "secret" not in json.dumps(problem)
    number = problem["detail"].rsplit(" ", 1)[1]
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)
