"""What happens, as server-sent events."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.api import event_stream
from stepwell.api.server import serving_app
from stepwell.app.audit import Doer
from stepwell.app.security import Security
from stepwell.base.errors import StoreError
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, ASKING, problem_of, registered, started, workflow
from tests.api.streaming import streaming


async def all_sent() -> None:
    """Wait until nothing more is sent on any stream."""
    async with asyncio.timeout(20):
        while any("_send" in str(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.005)


async def test_an_execution_is_followed_to_its_end(server: Server) -> None:
    await registered(server, ASKING)
    id_ = await started(server, "asking")
    async with streaming(serving_app(server.context), f"{API}/executions/{id_}/events") as stream:
        before = await stream.until(3)
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert [each.type for each in before][-1] == "stepwell.step.waiting.v1"
        await server.post(f"{API}/executions/{id_}/cancel")
        await stream.end()
        told = stream.events()
    assert told[-1].type == "stepwell.execution.cancelled.v1"
    assert [int(each.id) for each in told] == sorted({int(each.id) for each in told})
    assert told[-1].data["subject"] == id_
    assert told[-1].data["data"]["workflow"] == "asking"


async def test_a_break_misses_nothing_and_the_end_says_that_there_is_no_more(server: Server) -> None:
    await registered(server, workflow())
    id_ = await started(server)
    path = f"{API}/executions/{id_}/events"
    async with streaming(serving_app(server.context), path) as stream:
        await stream.end()
        whole = stream.events()
    async with streaming(serving_app(server.context), path, last_event_id=whole[1].id) as stream:
        await stream.end()
        assert stream.events() == whole[2:]
    assert (await server.get(path, headers={"Last-Event-ID": whole[-1].id})).status_code == 204
    wrong = problem_of(await server.get(path, headers={"Last-Event-ID": "x"}), 400, "invalid-header")
    assert wrong["errors"][0]["parameter"] == "Last-Event-ID"


async def test_all_executions_are_followed_from_now_on(server: Server) -> None:
    await registered(server, workflow())
    await started(server)
    async with streaming(serving_app(server.context), f"{API}/events/stream") as stream:
        await stream.opened()
        id_ = await started(server)
        told = await stream.until(4)
        assert {each.data["data"]["execution_id"] for each in told} == {id_}
        assert not stream.is_over


async def test_all_executions_are_followed_from_a_place(server: Server) -> None:
    await registered(server, workflow())
    ids = [await started(server) for _ in range(3)]
    async with streaming(serving_app(server.context), f"{API}/events/stream", "after=0") as stream:
        told = await stream.until(12)
    assert list(dict.fromkeys(each.data["data"]["execution_id"] for each in told)) == ids
    middle = next(each for each in told if each.data["data"]["execution_id"] == ids[1] and "completed" in each.type)
    last = max(int(each.id) for each in told if each.data["data"]["execution_id"] == ids[1])
    async with streaming(serving_app(server.context), f"{API}/events/stream", last_event_id=str(last)) as stream:
        rest = await stream.until(4)
    assert {each.data["data"]["execution_id"] for each in rest} == {ids[2]}
    assert middle.data["specversion"] == "1.0"


async def test_a_reader_gets_what_it_asked_for_only(server: Server) -> None:
    for name in ("one", "two"):
        await registered(server, workflow(name))
        await started(server, name)
    query = "after=0&workflow=two&type=stepwell.execution.*"
    async with streaming(serving_app(server.context), f"{API}/events/stream", query) as stream:
        told = await stream.until(3)
    assert {each.type.split(".")[1] for each in told} == {"execution"}
    assert {each.data["data"]["workflow"] for each in told} == {"two"}


async def test_the_stream_ends_when_the_server_closes(server: Server) -> None:
    async with streaming(serving_app(server.context), f"{API}/events/stream") as stream:
        await stream.opened()
        server.context.closing.set()
        await stream.end()


async def test_an_idle_stream_shows_that_it_lives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.01)
    async with streaming(serving_app(server.context), f"{API}/events/stream") as stream:
        async with asyncio.timeout(20):
            while ": ping" not in stream.text:
                await asyncio.sleep(0.005)


async def test_a_reader_that_takes_nothing_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE", 0.01)
    await registered(server, workflow())
    async with streaming(serving_app(server.context), f"{API}/events/stream") as stream:
        await stream.opened()
        stream.slow.clear()
        await started(server)
        await all_sent()
    assert not stream.is_over


async def test_head_does_not_wait_for_events(server: Server) -> None:
    answer = await server.client.head(f"{API}/events/stream")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    problem_of(await server.get(f"{API}/events/stream", headers={"Accept": "application/json"}), 406, "not-acceptable")


async def test_a_reader_whose_key_is_revoked_is_told_no_more(
    open_test_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CHECKED_EVERY", 0.01)
    async with open_test_server() as server:
        doer = Doer(name="ada", proof="system")
        keys = server.parts.service(Security).keys
        issued = await keys.create("reader", "viewer", None, None, doer)
        other = await keys.create("other", "viewer", None, None, doer)
        server.parts.service(Security).close_now()
        app, path = serving_app(server.context), f"{API}/events/stream"
        async with (
            streaming(app, path, authorization=f"Bearer {issued.token}") as stream,
            streaming(app, path, authorization=f"Bearer {other.token}") as unharmed,
        ):
            await stream.opened()
            await unharmed.opened()
            await asyncio.sleep(0.05)
            assert not stream.is_over
            await keys.revoke(issued.key.id, doer)
            await stream.end()
            assert not unharmed.is_over


async def test_a_reader_of_an_open_server_is_told_no_more_once_it_asks_who_calls(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CHECKED_EVERY", 0.01)
    async with streaming(serving_app(server.context), f"{API}/events/stream") as stream:
        await stream.opened()
        server.parts.service(Security).close_now()
        await stream.end()


async def test_a_store_that_cannot_be_read_ends_the_stream_and_not_more(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*args: object) -> None:
        raise StoreError("the disk is gone")

    async with streaming(serving_app(server.context), f"{API}/events/stream", "after=0") as stream:
        await stream.opened()
        monkeypatch.setattr(server.parts.store, "feed", gone)
        await registered(server, workflow())
        await started(server)
        await all_sent()
    assert not stream.is_over
    assert "a reader of events is cut off: the disk is gone" in caplog.text
