"""Steps of type `service_call`, against real servers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from stepwell.base.errors import NotFound
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.ports.services import Service
from stepwell.ports.work import TaskError, TaskResult
from stepwell.services.registry import ServiceTable
from stepwell.tasks.builtin import builtin_handlers
from stepwell.tasks.client import HttpClient
from stepwell.tasks.registry import RuleRegistry, TaskRegistry
from stepwell.tasks.service_call import ServiceCallHandler
from tests.conformance.dispatcher import SECRETS, assignment, echo
from tests.tasks.certificates import Files, make_certificates
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import answering, saying
from tests.virtual_clock import VirtualClock
from tests.worker.harness import LocalHarness

Call: TypeAlias = Callable[..., Awaitable[TaskResult]]


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Call a service: `call(service, endpoint="/x", ...)`."""
    client = HttpClient()

    async def run(service: Service, **config: Any) -> TaskResult:
        handler = ServiceCallHandler(ServiceTable({service.name: service}), client)
        return await handler.run({"service": service.name, **config}, PlainContext(SECRETS))

    yield run
    await client.close()


async def failure(call: Call, service: Service, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await call(service, **config)
    return raised.value


async def test_the_endpoint_is_called_below_the_services_url(call: Call, serve: Serve) -> None:
    server = await serve(saying({"id": "u1"}, status=201))
    users = Service(name="users", url=server.url + "/v1")
    result = await call(users, endpoint="/api/users", method="POST", payload={"name": "ann"}, query={"dry": True})
    assert result.value == {"id": "u1"}
    assert result.scope is not None
    assert result.scope["response_status"] == 201
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/api/users?dry=true", b'{"name":"ann"}')
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == "e1/call"


async def test_a_call_without_a_method_is_a_get(call: Call, serve: Serve) -> None:
    server = await serve(saying(None))
    await call(Service(name="users", url=server.url), endpoint="/x", method=None, payload=None)
    assert (server.seen[0].method, server.seen[0].path) == ("GET", "/x")


async def test_an_unknown_service_is_named(call: Call) -> None:
    handler = ServiceCallHandler(ServiceTable({}), HttpClient())
    with pytest.raises(NotFound, match="users") as raised:
        await handler.run({"service": "users", "endpoint": "/"}, PlainContext())
    assert raised.value.code == "unknown-service"


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": SecretRef("TOKEN")}, "authorization", f"Bearer {SECRETS['TOKEN']}"),
        ({"bearer": "plain"}, "authorization", "Bearer plain"),
        ({"basic": {"username": "ann", "password": Sealed("hunter22")}}, "authorization", "Basic YW5uOmh1bnRlcjIy"),
        (
            {"header": {"name": "X-Key", "value": SecretText(("k-", SecretRef("TOKEN")))}},
            "x-key",
            f"k-{SECRETS['TOKEN']}",
        ),
    ],
)
async def test_a_service_is_told_who_asks(
    call: Call, serve: Serve, auth: dict[str, Any], header: str, value: str
) -> None:
    server = await serve(saying(None))
    await call(Service(name="users", url=server.url, auth=auth), endpoint="/x")
    assert server.seen[0].headers[header] == value


async def test_a_services_headers_are_sent_and_a_steps_own_win(call: Call, serve: Serve) -> None:
    server = await serve(saying(None))
    headers = {"X-Tenant": "t1", "X-Trace": SecretRef("TOKEN"), "Accept": "text/plain"}
    users = Service(name="users", url=server.url, headers=headers, auth={"bearer": "service"})
    await call(users, endpoint="/x", headers={"accept": "application/json", "Authorization": "Bearer step"})
    seen = server.seen[0].headers
    assert (seen["x-tenant"], seen["x-trace"]) == ("t1", SECRETS["TOKEN"])
    assert (seen["accept"], seen["authorization"]) == ("application/json", "Bearer step")


@pytest.mark.parametrize("auth", [{}, {"digest": "x"}, {"basic": {"username": "ann"}}, {"bearer": 5}])
async def test_an_unknown_kind_of_auth_is_refused(call: Call, auth: dict[str, Any]) -> None:
    error = await failure(call, Service(name="users", url="http://127.0.0.1:1", auth=auth), endpoint="/")
    assert (error.type, error.retryable) == ("invalid_request", False)


async def test_credentials_in_a_services_url_become_a_header(call: Call, serve: Serve) -> None:
    server = await serve(answering(status=404))
    url = server.url.replace("//", "//ann:hunter22@")
    error = await failure(call, Service(name="users", url=url), endpoint="/x")
    assert server.seen[0].headers["authorization"] == "Basic YW5uOmh1bnRlcjIy"
    assert "hunter22" not in f"{error.message} {error.details}"


async def test_the_endpoint_cannot_lead_away_from_the_service(call: Call, serve: Serve) -> None:
    server = await serve(saying(None))
    for endpoint in ("http://169.254.169.254/", "//evil.example", "/a/../../b", "/%2e%2e/b"):
        error = await failure(call, Service(name="users", url=server.url + "/base"), endpoint=endpoint)
        assert error.type == "invalid_request"
    assert server.seen == []


async def test_the_steps_timeout_wins_over_the_services(call: Call, serve: Serve) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    server = await serve(hang)
    error = await failure(call, Service(name="users", url=server.url, timeout=20_000), endpoint="/x")
    assert (error.type, error.message) == ("timeout", f"GET {server.url}/x timed out after 20ms")
    error = await failure(call, Service(name="users", url=server.url), endpoint="/x", timeout="10ms")
    assert error.message.endswith("timed out after 10ms")


async def test_a_service_has_its_own_limit_of_an_answers_size(call: Call, serve: Serve) -> None:
    server = await serve(answering(text="x" * 11))
    error = await failure(call, Service(name="users", url=server.url, max_response_bytes=10), endpoint="/x")
    assert error.type == "response_too_large"


# TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Files:
    return make_certificates(tmp_path)


async def test_a_certificate_of_an_unknown_authority_is_refused(call: Call, serve: Serve, certificates: Files) -> None:
    server = await serve(saying("fine"), certificates.server_context())
    error = await failure(call, Service(name="users", url=server.url), endpoint="/x")
    assert (error.type, error.retryable) == ("tls_error", False)
    assert "the server's certificate is refused: " in error.message
    assert server.seen == []


async def test_a_certificate_for_another_name_is_refused(call: Call, serve: Serve, certificates: Files) -> None:
    server = await serve(saying("fine"), certificates.server_context())
    url = server.url.replace("127.0.0.1", "localhost")
    users = Service(name="users", url=url, ca_file=certificates.authority)
    assert (await failure(call, users, endpoint="/x")).type == "tls_error"


async def test_a_further_authority_can_be_trusted(call: Call, serve: Serve, certificates: Files) -> None:
    server = await serve(saying("fine"), certificates.server_context())
    users = Service(name="users", url=server.url, ca_file=certificates.authority)
    assert (await call(users, endpoint="/x")).value == "fine"


async def test_the_check_can_be_switched_off(call: Call, serve: Serve, certificates: Files) -> None:
    server = await serve(saying("fine"), certificates.server_context())
    assert (await call(Service(name="users", url=server.url, verify=False), endpoint="/x")).value == "fine"


async def test_the_client_can_show_a_certificate(call: Call, serve: Serve, certificates: Files) -> None:
    server = await serve(saying("fine"), certificates.server_context(ask_client=True))
    users = Service(name="users", url=server.url, ca_file=certificates.authority)
    assert (await failure(call, users, endpoint="/x")).type == "connection_error"
    known = Service(
        name="users",
        url=server.url,
        ca_file=certificates.authority,
        client_cert=certificates.certificate,
        client_key=certificates.key,
    )
    assert (await call(known, endpoint="/x")).value == "fine"


async def test_a_missing_certificate_file_is_a_clear_error(call: Call, certificates: Files) -> None:
    users = Service(name="users", url="https://127.0.0.1:1", ca_file=certificates.authority + ".missing")
    error = await failure(call, users, endpoint="/x")
    assert (error.type, error.retryable) == ("invalid_config", False)
    assert "No such file" in error.message


async def test_nothing_is_sent_from_https_to_http(call: Call, serve: Serve, certificates: Files) -> None:
    plain = await serve(saying("plain"))

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": plain.url})

    server = await serve(answer, certificates.server_context())
    users = Service(name="users", url=server.url, ca_file=certificates.authority)
    error = await failure(call, users, endpoint="/x")
    assert (error.type, plain.seen) == ("redirect_error", [])
    assert "from https to http" in error.message


async def test_another_server_is_checked_even_if_this_one_is_not(call: Call, serve: Serve, certificates: Files) -> None:
    other = await serve(saying("other"), certificates.server_context())

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": other.url})

    server = await serve(answer)
    assert (await failure(call, Service(name="users", url=server.url, verify=False), endpoint="/x")).type == "tls_error"
    assert other.seen == []


# In a worker


async def test_whatever_a_service_echoes_no_secret_is_reported(serve: Serve) -> None:
    async def echo_back(request: web.Request) -> web.StreamResponse:
        said = {
            "authorization": request.headers["Authorization"],
            "body": await request.text(),
            "path": request.raw_path,
        }
        return web.json_response(said, status=int(request.query["status"]))

    server = await serve(echo_back)
    auth = {"basic": {"username": "ann", "password": SecretRef("TOKEN")}}
    services = ServiceTable({"users": Service(name="users", url=server.url, auth=auth)})
    handlers = builtin_handlers(services, TaskRegistry(), RuleRegistry())
    harness = LocalHarness(echo, handlers=handlers)
    for step, status in (("fails", 500), ("works", 200)):
        config = {
            "service": "users",
            "endpoint": SecretText(("/u/", Sealed("pass wörd/1"))),
            "method": "POST",
            "payload": {"password": Sealed("pass wörd/1")},
            "query": {"status": status},
        }
        harness.dispatcher.dispatch(assignment(step, type="service_call", config=config))
    await harness.report(2)
    await harness.worker.close()
    failed, worked = sorted(harness.reports, key=lambda report: report.step)
    assert failed.error is not None
    assert failed.error.details is not None
    everything = f"{failed.error.message} {failed.error.details} {worked.result}"
    for secret in (SECRETS["TOKEN"], "pass wörd", "pass%20w", "p\\u00f6", "w%C3%B6rd"):
        assert secret not in everything
    assert failed.error.message.count("***") >= 3
    assert all(isinstance(value, Sealed) for value in worked.result.values())


async def test_a_step_that_is_stopped_hangs_up(serve: Serve) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            gone.set()

    server = await serve(hang)
    services = ServiceTable({"users": Service(name="users", url=server.url)})
    handlers = builtin_handlers(services, TaskRegistry(), RuleRegistry())
    harness = LocalHarness(echo, handlers=handlers)
    work = assignment(type="service_call", config={"service": "users", "endpoint": "/x"})
    harness.dispatcher.dispatch(work)
    async with asyncio.timeout(10):
        await begun.wait()
        harness.dispatcher.stop(work.id)
        await gone.wait()
    await harness.worker.close()
    assert harness.reports == []


async def test_calls_are_balanced_over_the_instances_and_a_dead_one_is_left_out(serve: Serve) -> None:
    first, second = await serve(saying({"from": 1})), await serve(saying({"from": 2}))
    both = Service(name="users", url=first.url, urls=(first.url, second.url), balance="round_robin")
    services = ServiceTable({"users": both}, VirtualClock())
    handler = ServiceCallHandler(services, HttpClient())
    answers = [(await handler.run({"service": "users"}, PlainContext())).value["from"] for _ in range(4)]
    assert sorted(answers) == [1, 1, 2, 2]
    await first.stop()
    outcomes = []
    for _ in range(12):
        try:
            outcomes.append((await handler.run({"service": "users"}, PlainContext())).value["from"])
        except TaskError as error:
            outcomes.append(error.type)
    assert Counter(outcomes) == {"connection_error": 3, 2: 9}
    assert outcomes[-3:] == [2, 2, 2]
    assert [state.left_out_until is None for state in services.instances("users")] == [False, True]
    await handler.close()
