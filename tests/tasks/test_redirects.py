"""Redirects, and where requests may not go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from stepwell.ports.work import TaskError
from stepwell.tasks.addresses import AddressGuard
from stepwell.tasks.client import HttpClient
from stepwell.tasks.http import HttpHandler
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import Answer, Server, saying


@pytest.fixture
async def handler() -> AsyncIterator[HttpHandler]:
    handler = HttpHandler(HttpClient())
    yield handler
    await handler.close()


async def call(handler: HttpHandler, **config: Any) -> Any:
    return (await handler.run(config, PlainContext())).value


async def failure(handler: HttpHandler, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await call(handler, **config)
    return raised.value


def redirecting(status: int, target: str) -> Answer:
    """Redirect `/old` to the target, and answer everything else."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/old":
            return web.Response(status=status, headers={"Location": target})
        return web.json_response("arrived")

    return answer


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"), (302, "GET", "GET"), (303, "GET", "GET"), (307, "GET", "GET"), (308, "GET", "GET"),
        (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"), (308, "POST", "POST"),
        (301, "PUT", "PUT"), (302, "DELETE", "DELETE"), (303, "PUT", "GET"), (307, "PUT", "PUT"),
        (303, "HEAD", "HEAD"), (301, "HEAD", "HEAD"),
    ],
)  # fmt: skip
async def test_method_and_body_follow_the_standard(
    handler: HttpHandler, serve: Serve, status: int, method: str, becomes: str
) -> None:
    server = await serve(redirecting(status, "/new?x=1"))
    body = {"a": 1} if method in ("POST", "PUT") else None
    await call(handler, url=f"{server.url}/old", method=method, body=body)
    seen = server.seen[1]
    kept = body is not None and becomes == method
    assert (seen.method, seen.path) == (becomes, "/new?x=1")
    assert seen.body == (b'{"a":1}' if kept else b"")
    assert ("content-type" in seen.headers) is kept
    assert seen.headers["idempotency-key"] == "e1/call"


async def test_credentials_stay_with_their_origin(handler: HttpHandler, serve: Serve) -> None:
    headers = {"Authorization": "Bearer t", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "text/plain", "Host": "h"}
    other = await serve(saying("arrived"))
    server = await serve(redirecting(307, f"{other.url}/new"))
    assert await call(handler, url=f"{server.url}/old", method="POST", headers=headers, body="x") == "arrived"
    assert server.seen[0].headers["x-api-key"] == "k"
    (seen,) = other.seen
    assert not {"authorization", "cookie", "x-api-key"} & seen.headers.keys()
    assert (seen.headers["accept"], seen.headers["host"], seen.body) == ("text/plain", other.url[7:], b"x")


async def test_credentials_are_kept_within_their_origin(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(redirecting(302, "/new"))
    await call(handler, url=f"{server.url}/old", headers={"Authorization": "Bearer t"})
    assert server.seen[1].headers["authorization"] == "Bearer t"


async def test_credentials_in_a_redirects_url_are_not_used(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(saying("arrived"))
    server.answer = redirecting(302, server.url.replace("//", "//ann:pass@") + "/new")
    assert await call(handler, url=f"{server.url}/old") == "arrived"
    assert "authorization" not in server.seen[1].headers


@pytest.mark.parametrize(("count", "fine"), [(5, True), (6, False)])
async def test_five_redirects_are_followed_and_no_more(
    handler: HttpHandler, serve: Serve, count: int, fine: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        left = int(request.path[1:])
        return (
            web.json_response("arrived")
            if left == 0
            else web.Response(status=302, headers={"Location": f"/{left - 1}"})
        )

    server = await serve(answer)
    if fine:
        assert await call(handler, url=f"{server.url}/{count}") == "arrived"
    else:
        error = await failure(handler, url=f"{server.url}/{count}")
        assert (error.type, error.retryable) == ("redirect_error", False)
        assert "more than 5" in error.message


@pytest.mark.parametrize("target", ["ftp://h/x", "file:///etc/passwd", "javascript:1", "http://h\\@x", "//[::1"])
async def test_a_redirect_to_something_else_than_http_is_refused(
    handler: HttpHandler, serve: Serve, target: str
) -> None:
    server = await serve(redirecting(302, target))
    assert (await failure(handler, url=f"{server.url}/old")).type in ("redirect_error", "connection_error")
    assert len(server.seen) == 1


async def test_a_redirect_without_a_target_is_an_answer(handler: HttpHandler, serve: Serve) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302)

    server = await serve(answer)
    assert (await failure(handler, url=server.url)).type == "http_error"


async def test_a_redirect_that_is_expected_is_not_followed(handler: HttpHandler, serve: Serve) -> None:
    server = await serve(redirecting(302, "/new"))
    await call(handler, url=f"{server.url}/old", expect_status=302)
    assert len(server.seen) == 1


# Forbidden addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/", "http://0.0.0.0:{port}/", "http://[::]:{port}/", "http://224.0.0.1/",
        "http://255.255.255.255/", "http://metadata.google.internal/", "http://METADATA/", "http://100.100.100.200/",
    ],
)  # fmt: skip
async def test_no_request_goes_to_a_forbidden_address_directly_or_by_a_redirect(
    handler: HttpHandler, serve: Serve, url: str
) -> None:
    server = await serve(saying("arrived"))
    url = url.replace("{port}", server.url.rpartition(":")[2])
    error = await failure(handler, url=url)
    assert (error.type, error.retryable) == ("forbidden_address", False)
    server.answer = redirecting(307, url)
    error = await failure(handler, url=f"{server.url}/old", method="POST", body="x")
    assert error.type == "forbidden_address"
    assert len(server.seen) == 1


class Names:
    """Resolves every name to the next of some addresses."""

    def __init__(self, server: Server, *addresses: str) -> None:
        self._port = int(server.url.rpartition(":")[2])
        self._addresses = list(addresses)

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        target = (address, self._port, 0, 0) if ":" in address else (address, self._port)
        return [(family, socket.SOCK_STREAM, 6, "", target)]


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0"])
async def test_a_name_that_leads_to_a_forbidden_address_is_refused(
    handler: HttpHandler, serve: Serve, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    server = await serve(saying("arrived"))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(server, address).getaddrinfo)
    error = await failure(handler, url="http://innocent.example/")
    assert (error.type, error.retryable) == ("forbidden_address", False)
    assert error.message == "GET http://innocent.example/ is refused: no step may connect to innocent.example"
    assert server.seen == []


async def test_a_name_that_changes_its_address_between_two_hops_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(redirecting(302, "http://rebinding.example/new"))
    names = Names(server, "127.0.0.1", "169.254.169.254")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    handler = HttpHandler(HttpClient())
    port = server.url.rpartition(":")[2]
    error = await failure(handler, url=f"http://first.example:{port}/old")
    await handler.close()
    assert error.type == "forbidden_address"
    assert len(server.seen) == 1


async def test_private_networks_can_be_refused_too(serve: Serve) -> None:
    server = await serve(saying("arrived"))
    handler = HttpHandler(HttpClient(AddressGuard(allow_private=False)))
    for url in (server.url, server.url.replace("127.0.0.1", "localhost"), "http://10.0.0.1/", "http://[::1]/"):
        assert (await failure(handler, url=url)).type == "forbidden_address"
    await handler.close()
    assert server.seen == []
