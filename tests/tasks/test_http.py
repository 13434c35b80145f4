"""Steps of type `http`, against real servers."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from stepwell.ports.work import TaskError, TaskResult
from stepwell.tasks import http as http_module
from stepwell.tasks.client import HttpClient
from stepwell.tasks.http import HttpHandler
from tests.conformance.dispatcher import PATIENCE
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import answering, raw_server, saying


@pytest.fixture
async def handler() -> AsyncIterator[HttpHandler]:
    handler = HttpHandler(HttpClient())
    yield handler
    await handler.close()


async def call(handler: HttpHandler, **config: Any) -> TaskResult:
    return await handler.run(config, PlainContext())


async def failure(handler: HttpHandler, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await call(handler, **config)
    return raised.value


# What is sent


async def test_a_plain_get_says_who_asks_and_for_which_step(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(saying({"ok": True}))
    result = await call(handler, url=f"{server.url}/x?a=1", query={"b": [1, 2], "c": None})
    assert result.value == {"ok": True}
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/x?a=1&b=1&b=2", b"")
    assert seen.headers["idempotency-key"] == "e1/call"
    assert seen.headers["user-agent"].startswith("stepwell/")
    assert "content-type" not in seen.headers


@pytest.mark.parametrize(
    ("config", "content_type", "body"),
    [
        ({"body": {"a": [1, None, "ü"]}}, "application/json", '{"a":[1,null,"ü"]}'),
        ({"body": [1]}, "application/json", "[1]"),
        ({"body": 5}, "application/json", "5"),
        ({"body": False}, "application/json", "false"),
        ({"body": "hello ü"}, "text/plain; charset=utf-8", "hello ü"),
        ({"form": {"a": "x y", "b": [1, True]}}, "application/x-www-form-urlencoded", "a=x+y&b=1&b=true"),
        ({"body": "<x/>", "headers": {"content-TYPE": "text/xml"}}, "text/xml", "<x/>"),
    ],
)
async def test_a_body_is_sent_as_what_it_is(
    handler: HttpHandler, serve: Serve, config: dict[str, Any], content_type: str, body: str
) -> None:
    server = await serve(saying(None))
    await call(handler, url=server.url, method="post", **config)
    (seen,) = server.seen
    assert (seen.method, seen.headers["content-type"], seen.body.decode()) == ("POST", content_type, body)


async def test_a_step_may_set_its_own_headers_and_drop_ours(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(saying(None))
    headers = {"X-Number": 5, "x-flag": True, "idempotency-key": "mine", "User-Agent": None}
    await call(handler, url=server.url, headers=headers)
    seen = server.seen[0].headers
    assert (seen["x-number"], seen["x-flag"], seen["idempotency-key"]) == ("5", "true", "mine")
    assert "stepwell" not in seen.get("user-agent", "")


async def test_credentials_in_the_url_become_a_header_and_are_not_shown(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(status=403))
    url = server.url.replace("//", "//ann:hunter22@")
    error = await failure(handler, url=url + "/x?token=hunter22")
    assert server.seen[0].headers["authorization"] == "Basic YW5uOmh1bnRlcjIy"
    assert error.message == f"GET {server.url}/x?token=*** was answered 403 Forbidden"
    assert "hunter22" not in str(error.details)


async def test_a_body_that_its_schema_refuses_is_not_sent_and_an_answer_is_checked_too(
    handler: HttpHandler, serve: Serve
) -> None:
    server = await serve(saying({"id": "x"}))
    schema = {"required": ["title"], "properties": {"title": {"type": "string"}}}
    error = await failure(handler, url=server.url, method="POST", body={"title": 5}, request_schema=schema)
    assert (error.type, error.retryable, server.seen) == ("validation_error", False, [])
    assert error.message == 'the request does not satisfy its schema: title: 5 is not of type "string"'
    wanted = {"properties": {"id": {"type": "integer"}}}
    error = await failure(handler, url=server.url, query={"title": "t"}, request_schema=schema, response_schema=wanted)
    assert (error.type, error.details) == (
        "invalid_response",
        {"errors": [{"field": "id", "message": '"x" is not of type "integer"'}]},
    )
    fine = await call(handler, url=server.url, method="POST", body={"title": "t"}, request_schema=schema)
    assert fine.value == {"id": "x"}
    error = await failure(handler, url=server.url, response_schema={"type": 5})
    assert error.type == "invalid_config"


@pytest.mark.parametrize(
    "config",
    [
        {"headers": {"X-A": "b\r\nEvil: 1"}},
        {"headers": {"X-A": "b\0"}},
        {"headers": {"X-A": "b\ud800"}},
        {"headers": {"X-A\r\nEvil": "b"}},
        {"headers": {"": "b"}},
        {"headers": {"X A": "b"}},
        {"headers": {"X-A": {"nested": 1}}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"headers": {"Proxy-Authorization": "x"}},
        {"method": "GET / HTTP/1.1\r\nEvil: 1\r\n\r\nGET"},
        {"method": "CONNECT"},
        {"method": ""},
        {"body": {"a": float("nan")}},
        {"body": "a\ud800"},
        {"body": "x", "form": {"a": 1}},
        {"form": {"a": {"b": 1}}},
        {"query": {"a": {"b": 1}}},
    ],
)
async def test_a_request_that_could_be_misunderstood_is_not_sent(
    handler: HttpHandler, serve: Serve, config: dict[str, Any]
) -> None:
    server = await serve(saying(None))
    error = await failure(handler, url=server.url, **config)
    assert (error.type, error.retryable) == ("invalid_request", False)
    assert server.seen == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "url"),
        ({"url": 5}, "url"),
        ({"url": "http://h", "headers": "x"}, "headers"),
        ({"url": "http://h", "verb": "GET"}, "verb"),
        ({"url": "http://h", "timeout": "soon"}, "timeout"),
    ],
)
async def test_a_wrong_configuration_is_named(handler: HttpHandler, config: dict[str, Any], reason: str) -> None:
    error = await failure(handler, **config)
    assert (error.type, error.retryable) == ("invalid_config", False)
    assert reason in error.message


# What is made of the answer


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        ('{"a": "ü"}'.encode("latin-1"), "application/json; charset=latin-1", {"a": "ü"}),
        (b"[1.5, 18446744073709551615]", "application/vnd.x+json", [1.5, 2**64 - 1]),
        (b"hello", "text/plain", "hello"),
        ("größer".encode("latin-1"), "text/plain; charset=iso-8859-1", "größer"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"a,b", "text/csv", "a,b"),
        (b"", "application/json", None),
        (b"", "image/png", None),
    ],
)
async def test_an_answer_is_read_as_the_type_it_declares(
    handler: HttpHandler, serve: Serve, body: bytes, content_type: str, value: Any
) -> None:
    server = await serve(answering(body=body, headers={"Content-Type": content_type}))
    assert (await call(handler, url=server.url)).value == value


@pytest.mark.parametrize(("body", "value"), [(b'{"a": 1}', {"a": 1}), (b"hello", "hello")])
async def test_an_answer_that_declares_nothing_is_json_if_it_can_be(
    handler: HttpHandler, body: bytes, value: Any
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with raw_server(head + body) as url:
        assert (await call(handler, url=url)).value == value


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"{", "application/json", "is not JSON"),
        (b"NaN", "application/json", "it holds NaN, which JSON does not know"),
        (b'{"a": [-Infinity]}', "application/json", "it holds -Infinity"),
        (b"1e999", "application/json", "out of range"),
        (b"[" * 5_000, "application/json", "is not JSON"),
        (b"\xff", "text/plain", "cannot be read as utf-8 text"),
        (b"x", "text/plain; charset=klingon", "cannot be read as klingon text"),
        (b"\x89PNG", "image/png", "is of type image/png, which is neither JSON nor text"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_clear_error(
    handler: HttpHandler, serve: Serve, body: bytes, content_type: str, reason: str
) -> None:
    server = await serve(answering(body=body, headers={"Content-Type": content_type}))
    error = await failure(handler, url=f"{server.url}/x")
    assert (error.type, error.retryable) == ("invalid_response", False)
    assert error.message.startswith(f"the answer to GET {server.url}/x ")
    assert reason in error.message


async def test_status_and_headers_are_offered_to_the_output_mapping(handler: HttpHandler, serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        response = web.json_response({"id": 7}, status=201, headers={"X-Total": "3"})
        response.headers.add("Link", "<a>")
        response.headers.add("Link", "<b>")
        return response

    server = await serve(answer)
    result = await call(handler, url=server.url, method="POST")
    assert result.scope is not None
    assert result.scope["response_status"] == 201
    assert result.scope["response_headers"]["x-total"] == "3"
    assert result.scope["response_headers"]["link"] == "<a>, <b>"


async def test_head_has_no_value(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(body=b'{"a": 1}', headers={"Content-Type": "application/json"}))
    assert (await call(handler, url=server.url, method="HEAD")).value is None


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (300, 304, 400, 401, 404, 409, 422)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 599)),
    ],
)
async def test_a_status_that_is_no_success_is_an_error(
    handler: HttpHandler, serve: Serve, status: int, retryable: bool
) -> None:
    server = await serve(answering(status=status))
    error = await failure(handler, url=server.url, method="PUT")
    assert (error.type, error.retryable) == ("http_error", retryable)
    assert f"PUT {server.url} was answered {status}" in error.message
    assert error.details is not None
    assert error.details["status"] == status


async def test_the_error_shows_the_beginning_of_the_answer(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(text="no " * 1_000, status=500))
    error = await failure(handler, url=server.url)
    assert error.details is not None
    assert len(error.details["body"]) == 500
    assert error.details["body"].startswith("no no no")
    assert "no no no" in error.message


async def test_the_error_does_not_show_binary_answers(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(body=b"\x00" * 10, status=500, headers={"Content-Type": "image/png"}))
    assert (await failure(handler, url=server.url)).message.endswith(": (10 bytes of image/png)")


async def test_only_the_expected_statuses_are_success(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(text="gone", status=404))
    assert (await call(handler, url=server.url, expect_status=404)).value == "gone"
    assert (await call(handler, url=server.url, expect_status=[200, 404])).value == "gone"
    server.answer = answering(text="fine", status=200)
    error = await failure(handler, url=server.url, expect_status=404)
    assert (error.type, error.retryable) == ("http_error", False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "Wed, 21 Oct 2026 07:29:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
async def test_when_to_try_again_is_in_the_details(
    handler: HttpHandler, serve: Serve, headers: dict[str, str], expected: int | None
) -> None:
    server = await serve(answering(status=503, headers=headers))
    error = await failure(handler, url=server.url)
    assert error.details is not None
    assert error.details.get("retry_after") == expected


# Limits


async def test_an_answer_that_is_too_large_is_refused(
    handler: HttpHandler, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_RESPONSE_BYTES", 1_000)
    server = await serve(answering(text="x" * 1_001))
    error = await failure(handler, url=server.url)
    assert (error.type, error.retryable) == ("response_too_large", False)
    assert "larger than 1000 bytes" in error.message
    server.answer = answering(text="x" * 1_000)
    assert (await call(handler, url=server.url)).value == "x" * 1_000


async def test_an_endless_error_answer_is_still_an_error_with_its_status(handler: HttpHandler, serve: Serve) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)

    server = await serve(endless)
    assert (await failure(handler, url=server.url)).details is not None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_compressed_answers_are_read(handler: HttpHandler, serve: Serve, encoding: str) -> None:
    text = b"hello " * 1_000
    packed = {
        "gzip": gzip.compress(text, mtime=0),
        "deflate": zlib.compress(text),
        "raw deflate": zlib.compress(text)[2:-4],
    }
    headers = {"Content-Encoding": encoding.removeprefix("raw "), "Content-Type": "text/plain"}
    server = await serve(answering(body=packed[encoding], headers=headers))
    assert (await call(handler, url=server.url)).value == "hello " * 1_000


async def test_gzip_in_several_members_is_read_to_the_end(handler: HttpHandler, serve: Serve) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    server = await serve(answering(body=gzip.compress(b"one ") + gzip.compress(b"two"), headers=headers))
    assert (await call(handler, url=server.url)).value == "one two"


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused(handler: HttpHandler, serve: Serve) -> None:
    bomb = gzip.compress(b"\0" * (64 * 1024 * 1024))
    assert len(bomb) < 100_000
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    server = await serve(answering(body=bomb, headers=headers))
    assert (await failure(handler, url=server.url)).type == "response_too_large"


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"nonsense", "gzip", "is damaged"),
        (gzip.compress(b"x" * 1_000, mtime=0)[:-9], "gzip", "broke off"),
        (b"x", "br", "compressed as 'br'"),
        (b"x", "gzip, gzip", "compressed as 'gzip, gzip'"),
    ],
)
async def test_damaged_compression_is_an_error(
    handler: HttpHandler, serve: Serve, body: bytes, encoding: str, reason: str
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "text/plain"}
    server = await serve(answering(body=body, headers=headers))
    error = await failure(handler, url=server.url)
    assert error.type == "invalid_response"
    assert reason in error.message


async def test_a_server_that_does_not_answer_in_time_is_a_timeout(handler: HttpHandler, serve: Serve) -> None:
    gone = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    server = await serve(hang)
    error = await failure(handler, url=f"{server.url}/x", timeout="50ms")
    assert (error.type, error.retryable) == ("timeout", True)
    assert error.message == f"GET {server.url}/x timed out after 50ms"
    async with asyncio.timeout(PATIENCE):
        await gone.wait()


# When there is no answer


async def test_a_refused_connection_is_an_error_that_may_pass(handler: HttpHandler) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x?token=hunter22"
    error = await failure(handler, url=url)
    assert (error.type, error.retryable) == ("connection_error", True)
    assert error.message == f"GET {url.split('?')[0]}?token=*** failed: Connection refused"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the server closed the connection before it answered"),
        (b"SSH-2.0-OpenSSH\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "the answer broke off"),
    ],
)
async def test_a_broken_answer_is_an_error_that_may_pass(handler: HttpHandler, answer: bytes, reason: str) -> None:
    async with raw_server(answer) as url:
        error = await failure(handler, url=url, method="POST")
    assert (error.type, error.retryable) == ("connection_error", True)
    assert error.message.endswith(f"failed: {reason}")


async def test_a_name_that_does_not_resolve_is_an_error_that_may_pass(
    handler: HttpHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", refuse)
    error = await failure(handler, url="http://nowhere.example/x")
    assert (error.type, error.retryable) == ("connection_error", True)
    assert error.message == "GET http://nowhere.example/x failed: the name nowhere.example cannot be resolved"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "-", "2130706433", "127.1"])
async def test_odd_host_names_are_errors_and_never_worse(handler: HttpHandler, host: str) -> None:
    async with asyncio.timeout(PATIENCE):
        error = await failure(handler, url=f"http://{host}:1/")
    assert error.type in ("invalid_request", "connection_error", "forbidden_address")


# Connections


async def test_cookies_are_not_kept(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(answering(text="x", headers={"Set-Cookie": "session=1; Path=/"}))
    for _ in range(2):
        await call(handler, url=server.url)
    assert "cookie" not in server.seen[1].headers


async def test_a_proxy_of_the_environment_is_not_used(
    handler: HttpHandler, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await serve(saying(1))
    assert (await call(handler, url=server.url)).value == 1


async def test_a_closed_client_can_be_used_again(serve: Serve) -> None:
    handler = HttpHandler(HttpClient())
    server = await serve(saying(1))
    for _ in range(2):
        assert (await call(handler, url=server.url)).value == 1
        await handler.close()
        await handler.close()


async def test_many_requests_run_at_once(handler: HttpHandler, serve: Serve) -> None:
    together = asyncio.Barrier(110)

    async def answer(request: web.Request) -> web.StreamResponse:
        await together.wait()
        return web.json_response(1)

    server = await serve(answer)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(call(handler, url=server.url) for _ in range(110)))
