"""Work through NATS when things go wrong: servers that die, nodes that go, messages that nobody understands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import nats
import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskContext
from stepwell.worker import nats_fetching
from stepwell.worker.nats_fetching import LOST_AFTER, NatsFetching
from stepwell.worker.nats_link import NatsOptions
from stepwell.worker.nats_names import Names, labels_token, token
from stepwell.worker.nats_parts import KEPT_SECONDS
from stepwell.worker.queues import LEASE
from tests.conformance.dispatcher import PATIENCE, SECOND, assignment, echo
from tests.servers.nats import NatsServer, new_server, shared_server
from tests.worker.nats_harness import NatsHarness, Node


class Gate:
    """Work that waits until it is let go, and notes who has begun and who was stopped."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun: list[str] = []
        self.stopped: list[str] = []

    async def work(self, config: Any, context: TaskContext) -> Any:
        self.begun.append(context.step)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.stopped.append(context.step)
            raise
        return context.step


@pytest.fixture
async def harness() -> AsyncIterator[NatsHarness]:
    made = NatsHarness(shared_server().url, look_seconds=0.1)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    server = new_server()
    yield server
    server.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def put(node: Any, *steps: str, **more: Any) -> list[Assignment]:
    made = [assignment(step, **more) for step in steps]
    for each in made:
        node.dispatch(each)
    return made


# NATS comes and goes


@pytest.mark.parametrize("loses_disk", [False, True])
async def test_nothing_is_lost_when_nats_is_killed(
    own_server: NatsServer, loses_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_fetching, "PATIENCE", 0.5)
    harness, gate = NatsHarness(own_server.url), Gate()
    await harness.open()
    await harness.add_worker("w1", gate.work, slots=3)
    steps = [f"s{number}" for number in range(10)]
    put(harness.node, *steps)
    await until(lambda: len(gate.begun) == 3)
    await harness.rest()
    own_server.kill()
    gate.open.set()
    await until(lambda: harness.node.door.problem() is not None)
    put(harness.node, "late")
    if loses_disk:
        own_server.lose_disk()
    own_server.start()
    while len(harness.reports) < 11:
        await harness.rest()
        await harness.clock.advance(SECOND)  # a report that was not heard is repeated
    await harness.rest()
    assert sorted(report.result for report in harness.reports) == sorted([*steps, "late"])
    assert sorted(gate.begun) == sorted([*steps, "late"])
    assert harness.node.door.problem() is None
    await harness.close()


async def test_a_stream_that_somebody_deletes_is_made_again_with_everything_in_it(harness: NatsHarness) -> None:
    put(harness.node, "a", "b")
    await harness.rest()
    client = await nats.connect(shared_server().url)
    assert await client.jetstream().delete_stream(Names(harness.options.prefix).stream)
    await client.close()
    put(harness.node, "c")
    await harness.add_worker("w1", echo)
    await harness.report(3)
    await harness.rest()
    assert sorted(report.step for report in harness.reports) == ["a", "b", "c"]


async def test_what_comes_before_nats_is_there_waits_and_is_said_once(
    own_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.kill()
    harness = NatsHarness(own_server.url.replace("//", "//me:pass-word@"))
    await harness.node.door.open()
    put(harness.node, "a")
    await asyncio.sleep(0.5)
    assert harness.node.door.problem() == f"NATS at {own_server.url.replace('//', '//***@')}: Connection refused"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "cannot be reached: Connection refused" in said[0]
    assert "pass-word" not in caplog.text
    assert [(each.name, each.waiting) for each in harness.node.queues.states()] == [("q", 1)]
    own_server.start()
    await harness.node.door.link.up()
    assert harness.node.door.problem() is None
    await harness.add_worker("w1", echo)
    assert (await harness.report()).step == "a"
    await harness.close()


async def test_wrong_credentials_are_said_without_showing_them(caplog: pytest.LogCaptureFixture) -> None:
    server = new_server(users=(("node", "right-one"),))
    harness = NatsHarness(server.url)
    wrong = NatsOptions(urls=[server.url], user="node", password="wrong-one")
    fetching = NatsFetching(wrong, harness.clock, "w1", ["q"], {})
    await fetching.open()
    with pytest.raises(ConfigurationError) as raised:
        await asyncio.wait_for(fetching.link.first(), PATIENCE)
    assert raised.value.code == "nats-refused"
    assert "Authorization Violation" in str(raised.value)
    await fetching.close()
    harness.options = NatsOptions(urls=[server.url.replace("//", "//node:right-one@")], prefix=harness.options.prefix)
    node = await harness.add_node()
    assert node.door.problem() is None
    await harness.close()
    server.close()
    assert "wrong-one" not in caplog.text
    assert "right-one" not in caplog.text


NODE = {"publish": ["stepwell.>", "$JS.API.>", "_INBOX.>"], "subscribe": ["stepwell.>", "_INBOX.>"]}
WORKER = {
    "publish": [
        "stepwell.node.>", "stepwell.nodes.*", "stepwell.hello", "stepwell.parts.>",
        "$JS.API.CONSUMER.>", "$JS.ACK.>", "_INBOX.>",
    ],
    "subscribe": ["stepwell.worker.>", "stepwell.places", "stepwell.parts.>", "_INBOX.>"],
}  # fmt: skip
"""What the documentation says that accounts need to be allowed."""


async def test_accounts_need_no_more_than_the_documentation_says() -> None:
    users = [
        {"user": "node", "password": "n", "permissions": NODE},
        {"user": "worker", "password": "w", "permissions": WORKER},
    ]
    server = new_server(more=f"authorization: {msgspec.json.encode({'users': users}).decode()}")
    harness, gate = NatsHarness(server.url), Gate()
    harness.options = NatsOptions(urls=[server.url.replace("//", "//node:n@")])
    node = await harness.add_node()
    harness.options = NatsOptions(urls=[server.url.replace("//", "//worker:w@")])
    await harness.add_worker("w1", echo, labels={"a": "b"})
    put(node, "large", config={"text": "x" * 3_000_000})
    put(node, "labelled", labels={"a": "b"})
    await harness.report(2)
    await harness.cut_off("w1")
    await harness.add_worker("w2", gate.work)
    (work,) = put(node, "stopped")
    await until(lambda: gate.begun == ["stopped"])
    await harness.advance(LEASE // 3)
    node.stop(work.id)
    await until(lambda: gate.stopped == ["stopped"])
    assert (harness.workers["w2"].fetching.link.problem(), node.door.problem()) == (None, None)
    await harness.close()
    server.close()


async def test_a_server_without_jetstream_is_a_problem_that_says_so() -> None:
    server = new_server(jetstream=False)
    harness = NatsHarness(server.url)
    await harness.node.door.open()
    await asyncio.wait_for(harness.node.door.link.first(), PATIENCE)
    fetching = NatsFetching(harness.options, harness.clock, "w1", ["q"], {})
    await fetching.open()
    await asyncio.wait_for(fetching.link.first(), PATIENCE)
    said = "JetStream is not available there: the server needs it enabled"
    assert (harness.node.door.problem(), fetching.link.problem()) == (f"NATS at {server.url}: {said}", said)
    await fetching.close()
    await harness.close()
    server.close()


@pytest.mark.parametrize("key", ["credentials", "ca_file", "client_cert", "client_key"])
def test_a_file_that_is_not_there_is_an_error(key: str) -> None:
    from stepwell.worker.nats_link import Link

    with pytest.raises(ConfigurationError) as raised:
        Link(msgspec.structs.replace(NatsOptions(urls=["nats://x"]), **{key: "/nowhere/file"}), "test").check()
    assert key in raised.value.message or raised.value.code == "missing-library"


def test_a_missing_library_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from stepwell.worker.nats_link import Link

    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    with pytest.raises(ConfigurationError) as raised:
        Link(NatsOptions(urls=["nats://x"]), "test").check()
    assert raised.value.code == "missing-library"
    assert raised.value.hint == "pip install 'stepwell[nats]'"


# Nodes come and go


async def vanish(node: Node) -> None:
    """As if its process was killed: nobody hears of it any more."""

    async def refused(gone: asyncio.Event) -> Any:
        raise ConnectionError("killed")

    node.door.link._connected = refused  # type: ignore[method-assign]
    await node.door.link.client.close()


async def test_what_a_worker_is_at_is_taken_up_by_the_node_that_takes_over(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    put(harness.node, "a", "b")
    await until(lambda: gate.begun == ["a"])
    await vanish(harness.node)
    node = await harness.add_node()
    put(node, "a", "b")
    await harness.advance(LEASE // 3)  # it says that it lives, and to whom
    await until(lambda: [each.running for each in node.queues.states()] == [1])
    gate.open.set()
    await harness.report(2)
    await harness.rest()
    assert sorted(report.result for report in harness.reports) == ["a", "b"]
    assert gate.begun == ["a", "b"]


async def test_a_result_is_told_to_whoever_has_the_work_now(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    await vanish(harness.node)
    gate.open.set()
    await harness.rest()
    assert harness.reports == []
    node = await harness.add_node()
    put(node, "a")
    while not harness.reports:
        await harness.advance(SECOND)
    assert [report.result for report in harness.reports] == ["a"]


async def test_work_that_no_node_asks_for_any_more_is_given_up(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    await vanish(harness.node)
    await harness.advance(LEASE // 3)
    await until(lambda: harness.workers["w1"].fetching._homes["e1/a/1"].node is None)
    assert harness.workers["w1"].remote.running == 1
    await harness.clock.advance(LOST_AFTER)
    while harness.workers["w1"].remote.running:
        await harness.advance(LEASE // 3)
    await until(lambda: gate.stopped == ["a"])


async def test_a_node_that_has_lost_work_cannot_stop_what_another_has_taken_over(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    (work,) = put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    node = await harness.add_node()
    put(node, "a")
    answering, harness.node.door._answer = harness.node.door._answer, _no_answer  # type: ignore[method-assign]
    harness.workers["w1"].fetching._homes["e1/a/1"].node = "a-node-that-is-gone"
    await harness.advance(LEASE // 3)
    await until(lambda: harness.workers["w1"].fetching._homes["e1/a/1"].node == node.door.node)
    harness.node.door._answer = answering  # type: ignore[method-assign]
    harness.node.stop(work.id)
    await harness.rest()
    assert gate.stopped == []
    gate.open.set()
    assert (await harness.report()).result == "a"


async def _no_answer(message: Any, body: bytes) -> None:
    """As of a node that is frozen."""


async def test_nobody_need_wait_for_what_waits_or_is_with_a_worker_on_nats(harness: NatsHarness) -> None:
    (work,) = put(harness.node, "a")
    await harness.rest()
    assert harness.node.outlives(work.id)
    polled = await harness.node.queues.poll("http", ["q"], 1, 0, lambda workflow: True)
    assert polled.assignments
    assert not harness.node.outlives(work.id)
    harness.node.queues.release("http", [work.id], lambda workflow: True)
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    await until(lambda: gate.begun == ["a"])
    await harness.advance(LEASE // 3)
    assert harness.node.outlives(work.id)
    gate.open.set()
    await harness.report()
    assert not harness.node.outlives(work.id)


async def test_tickets_of_a_node_that_was_killed_hold_up_nobody(harness: NatsHarness) -> None:
    put(harness.node, *(f"s{number}" for number in range(5)))
    await harness.rest()
    await vanish(harness.node)
    node = await harness.add_node()
    put(node, "own")
    await harness.add_worker("w1", echo, slots=1)
    assert (await harness.report()).step == "own"
    await harness.rest()
    assert await waiting_tickets(harness) == 0


async def test_a_node_that_ends_takes_its_tickets_along(harness: NatsHarness) -> None:
    put(harness.node, "a", "b")
    await harness.rest()
    assert await waiting_tickets(harness) == 2
    await harness.node.close()
    assert await waiting_tickets(harness) == 0


async def waiting_tickets(harness: NatsHarness) -> int:
    """How many stand in the stream."""
    client = await nats.connect(shared_server().url)
    info = await client.jetstream().stream_info(Names(harness.options.prefix).stream)
    await client.close()
    return int(info.state.messages)


# Stopping, waiting, giving back


async def test_stopping_reaches_a_worker_at_once(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    work, _ = put(harness.node, "a", "b")
    await until(lambda: gate.begun == ["a"])
    harness.node.stop(work.id)
    await until(lambda: gate.stopped == ["a"] and gate.begun == ["a", "b"])
    gate.open.set()
    await harness.report()
    assert [report.step for report in harness.reports] == ["b"]


async def test_a_worker_that_did_not_hear_of_a_stop_learns_it_when_it_says_that_it_lives(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    (work,) = put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    harness.node.door._closing = True  # nothing is told any more
    harness.node.stop(work.id)
    await harness.rest()
    assert gate.stopped == []
    await harness.advance(LEASE // 3)
    await until(lambda: gate.stopped == ["a"])


async def test_work_that_is_stopped_before_a_worker_has_it_leaves_no_ticket(harness: NatsHarness) -> None:
    work, _ = put(harness.node, "a", "b")
    await harness.rest()
    harness.node.stop(work.id)
    await harness.rest()
    assert await waiting_tickets(harness) == 1


async def test_work_that_is_fetched_over_http_leaves_no_ticket(harness: NatsHarness) -> None:
    put(harness.node, "a", "b")
    await harness.rest()
    polled = await harness.node.queues.poll("http", ["q"], 1, 0, lambda workflow: True)
    assert [handed.step for handed in polled.assignments] == ["a"]
    await harness.rest()
    assert await waiting_tickets(harness) == 1


async def test_only_so_many_tickets_are_out_at_once() -> None:
    harness = NatsHarness(shared_server().url, most_out=3)
    await harness.open()
    put(harness.node, *(f"s{number}" for number in range(10)))
    await harness.rest()
    assert (await waiting_tickets(harness), harness.node.door.outstanding) == (3, 3)
    assert [each.waiting for each in harness.node.queues.states()] == [10]
    await harness.add_worker("w1", echo)
    await harness.report(10)
    await harness.rest()
    assert (await waiting_tickets(harness), harness.node.door.outstanding) == (0, 0)
    await harness.close()


async def test_a_worker_that_drains_ends_when_its_work_is_reported_and_leaves_the_rest(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=2)
    put(harness.node, "a", "b", "c")
    await until(lambda: len(gate.begun) == 2)
    worker = harness.workers["w1"]
    worker.remote.drain()
    await harness.rest()
    gate.open.set()
    assert worker.running is not None
    await asyncio.wait_for(worker.running, PATIENCE)
    assert sorted(report.step for report in harness.reports) == ["a", "b"]
    await harness.add_worker("w2", echo)
    assert (await harness.report(3)).step == "c"


async def test_a_worker_that_gives_up_leaves_its_work_to_others_at_once(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    worker = harness.workers["w1"]
    worker.remote.give_up()
    assert worker.running is not None
    await asyncio.wait_for(worker.running, PATIENCE)
    await harness.add_worker("w2", echo)
    assert (await harness.report()).step == "a"


async def test_several_workers_of_several_nodes_do_everything_once(harness: NatsHarness) -> None:
    done: list[str] = []

    async def note(config: Any, context: TaskContext) -> Any:
        done.append(f"{context.execution}/{context.step}")

    other = await harness.add_node()
    for number in range(3):
        await harness.add_worker(f"w{number}", note, slots=5)
    for number in range(50):
        put(harness.node, f"s{number}")
        put(other, f"s{number}", execution="e2")
    await harness.report(100)
    await harness.rest()
    assert len(done) == len(set(done)) == len(harness.reports) == 100
    assert {each.name for each in harness.node.queues.workers()} == {"w0", "w1", "w2"}


async def test_a_ticket_that_is_there_twice_is_worked_on_once(harness: NatsHarness) -> None:
    gate = Gate()
    put(harness.node, "a")
    await harness.rest()
    client = await nats.connect(shared_server().url)
    subject = Names(harness.options.prefix).ticket(("q", ()), harness.node.door.node)
    for _ in range(3):
        await client.jetstream().publish(subject, b'{"id":"e1/a/1","node":"%s"}' % harness.node.door.node.encode())
    await client.close()
    await harness.add_worker("w1", gate.work)
    await harness.add_worker("w2", gate.work)
    await until(lambda: gate.begun == ["a"])
    await harness.rest()
    assert gate.begun == ["a"]
    assert await waiting_tickets(harness) == 0
    gate.open.set()
    await harness.report()


# What nobody understands


GARBAGE = [b"", b"\xff\xfe", b"null", b"[]", b"{}", b'{"id": 5}', b"[" * 5_000, b'{"parts":{"subject":"x","count":1}}']


async def test_garbage_is_refused_and_counted_and_work_goes_on(harness: NatsHarness) -> None:
    await harness.add_worker("w1", echo)
    names, door = Names(harness.options.prefix), harness.node.door
    client = await nats.connect(shared_server().url)
    for body in GARBAGE:
        for call in ("take", "heartbeat", "complete", "fail", "release", "nonsense"):
            answer = await client.request(f"{names.node(door.node)}.{call}", body, timeout=PATIENCE)
            assert msgspec.json.decode(answer.data)["error"]["code"] == "invalid-message"
            await client.publish(f"{names.all_nodes}.{call}", body)
        for subject in (names.hello, names.places, names.stops("w1")):
            await client.publish(subject, body)
        await client.jetstream().publish(names.ticket(("q", ()), door.node), body)
    gone = f'{{"parts":{{"subject":"{names.parts("nobody")}.1","count":2}}}}'.encode()
    await client.publish(f"{names.node(door.node)}.complete", gone)
    await client.flush()
    await harness.rest()
    assert door.garbage >= len(GARBAGE) * 6
    put(harness.node, "a")
    assert (await harness.report()).step == "a"
    await harness.rest()
    assert await waiting_tickets(harness) == 0
    await client.close()


async def test_a_report_on_what_nobody_waits_for_is_refused(harness: NatsHarness) -> None:
    client = await nats.connect(shared_server().url)
    subject = f"{Names(harness.options.prefix).node(harness.node.door.node)}.complete"
    answer = await client.request(subject, b'{"id": "e9/x/1", "result": 1}', timeout=PATIENCE)
    assert msgspec.json.decode(answer.data)["error"]["code"] == "not-assigned"
    await client.close()
    assert harness.reports == []


async def test_parts_are_kept_no_longer_than_they_are_asked_for(harness: NatsHarness) -> None:
    parts = harness.node.door._parts
    envelope = parts.fit(b"x" * 3_000_000)
    assert len(envelope) < 200
    await harness.add_worker("w1", echo)
    reader = harness.workers["w1"].fetching._parts
    assert await reader.whole(envelope) == b"x" * 3_000_000
    assert KEPT_SECONDS >= 30
    for key in list(parts._kept):
        parts._forget(key)
    with pytest.raises(ConnectionError, match="not kept any more"):
        await reader.whole(envelope)


# Names


def test_any_queue_has_a_subject_of_its_own() -> None:
    queues = ["q", "Q", "a.b", "a_2Eb", "*", ">", "", "_", "ü", "x" * 300, "x" * 301, "a b"]
    found = [token(queue) for queue in queues]
    assert len(set(found)) == len(queues)
    assert all(each and len(each) <= 100 and not set(each) & set(". *>\t") for each in found)
    assert labels_token((("gpu", "true"),)) != labels_token((("gpu", "true,x=y"),))
    consumers = {Names("p").consumer((queue, ())) for queue in queues}
    assert len(consumers) == len(queues)
