"""Work through NATS in its corners: what is lost on the way, what is slow, what is too large, who is idle."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats
import pytest

from stepwell.base.errors import Conflict, StepwellError, StoreError
from stepwell.ports.work import TaskContext
from stepwell.worker import nats_fetching, nats_parts, nats_pull
from stepwell.worker.known import GREETED_FOR
from stepwell.worker.nats_fetching import NatsFetching
from stepwell.worker.nats_messages import Hello
from stepwell.worker.nats_names import Names
from stepwell.worker.queues import LEASE
from stepwell.worker.remote import REFUSED
from tests.conformance.dispatcher import PATIENCE, SECOND, assignment, echo
from tests.servers.nats import shared_server
from tests.worker.nats_harness import NatsHarness
from tests.worker.test_nats import Gate, put, until, waiting_tickets


@pytest.fixture
async def harness() -> AsyncIterator[NatsHarness]:
    made = NatsHarness(shared_server().url, look_seconds=0.1)
    await made.open()
    yield made
    await made.close()


async def test_what_is_asked_for_is_asked_for_again_when_a_server_forgot_it(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_pull, "EXPIRES_SECONDS", 0)
    monkeypatch.setattr(nats_pull, "GRACE_SECONDS", 0.2)
    fetching = NatsFetching(harness.options, harness.clock, "w1", ["q"], {})
    await fetching.open()
    await fetching.link.up()
    asked: list[str] = []
    client = fetching.link.client
    publish = client.publish

    async def forgets(subject: str, *more: Any, **named: Any) -> None:
        if "CONSUMER.MSG.NEXT" not in subject:
            return await publish(subject, *more, **named)
        asked.append(subject)
        if len(asked) == 1:
            return None
        monkeypatch.setattr(nats_pull, "EXPIRES_SECONDS", 20)
        return await publish(subject, *more, **named)

    monkeypatch.setattr(client, "publish", forgets)
    assert (await fetching.poll(1, 300_000)).assignments == []
    put(harness.node, "a")
    monkeypatch.setattr(nats_pull, "EXPIRES_SECONDS", 20)
    polled = await fetching.poll(1, 5_000_000)
    assert [handed.step for handed in polled.assignments] == ["a"]
    await fetching.close()


async def test_nodes_that_do_not_answer_do_not_use_up_each_others_leases(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_fetching, "PATIENCE", 0.3)
    monkeypatch.setattr(nats_fetching, "ALL_PATIENCE", 0.3)
    client = await nats.connect(shared_server().url)
    names = Names(harness.options.prefix)

    async def frozen(message: Any) -> None:
        """It says nothing."""

    fetching = NatsFetching(harness.options, harness.clock, "w1", ["q"], {})
    await fetching.open()
    await fetching.link.up()
    ids = [f"e{number}/a/1" for number in range(10)]
    for number, id_ in enumerate(ids):
        await client.subscribe(f"{names.node(f'frozen{number}')}.*", cb=frozen)
        fetching._homes[id_] = nats_fetching._Home(f"frozen{number}")
    await client.flush()
    async with asyncio.timeout(2.0):  # one after the other: 6 seconds
        beat = await fetching.heartbeat(ids)
    assert (sorted(beat.kept), beat.lost) == (ids, [])
    await fetching.close()
    await client.close()


async def test_a_node_that_says_what_is_not_understood_does_not_keep_signs_of_life_from_others(
    harness: NatsHarness,
) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    client = await nats.connect(shared_server().url)

    async def answers(message: Any) -> None:
        await message.respond(b"nonsense")

    await client.subscribe(f"{Names(harness.options.prefix).node('strange')}.*", cb=answers)
    await client.flush()
    fetching = harness.workers["w1"].fetching
    fetching._homes["e9/x/1"] = nats_fetching._Home("strange")
    beat = await fetching.heartbeat(["e9/x/1", "e1/a/1"])
    assert "e1/a/1" in beat.kept
    assert not beat.lost
    with pytest.raises(ConnectionError, match="what is not understood"):
        await fetching.heartbeat(["e9/x/1"])
    await client.close()


async def test_while_nats_is_away_what_comes_and_goes_leaves_nothing_behind() -> None:
    place = socket.socket()
    place.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else gets the port
    harness = NatsHarness(f"nats://127.0.0.1:{place.getsockname()[1]}")
    await harness.node.door.open()
    for number in range(100):
        (work,) = put(harness.node, f"s{number}")
        await harness.clock.settle()
        harness.node.stop(work.id)
    await harness.clock.settle()
    tickets = harness.node.door._tickets
    assert (len(tickets._to_send), harness.node.door.outstanding) == (0, 0)
    await harness.close()
    place.close()


async def test_a_ticket_that_is_not_needed_any_more_when_it_is_written_is_taken_back(harness: NatsHarness) -> None:
    tickets = harness.node.door._tickets
    publish = tickets._publish

    async def slow(js: Any, ticket: Any) -> Any:
        made = await publish(js, ticket)
        harness.node.stop("e1/a/1")
        return made

    tickets._publish = slow  # type: ignore[method-assign]
    put(harness.node, "a")
    await harness.rest()
    assert await waiting_tickets(harness) == 0


async def test_work_that_is_given_back_while_its_ticket_is_confirmed_gets_another_ticket() -> None:
    harness = NatsHarness(shared_server().url)  # lost tickets are looked for too seldom to help
    await harness.open()
    tickets, queues = harness.node.door._tickets, harness.node.queues
    publish, first = tickets._publish, True

    async def slow(js: Any, ticket: Any) -> Any:
        nonlocal first
        made = await publish(js, ticket)
        if first:
            first = False
            client = await nats.connect(shared_server().url)
            pulling = await client.jetstream().pull_subscribe(
                "", durable=Names(harness.options.prefix).consumer(("q", ())), stream=tickets._names.stream
            )
            (message,) = await pulling.fetch(1, timeout=PATIENCE)
            assert queues.take("w9", ["e1/a/1"]).assignments
            await message.ack_sync()
            queues.release("w9", ["e1/a/1"], lambda workflow: True)
            await client.close()
        return made

    tickets._publish = slow  # type: ignore[method-assign]
    put(harness.node, "a")
    await until(lambda: not first)
    await harness.rest()
    assert await waiting_tickets(harness) == 1
    await harness.add_worker("w1", echo)
    assert (await harness.report()).step == "a"
    await harness.close()


async def test_a_result_that_is_larger_than_any_is_the_error_of_the_attempt(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_parts, "LARGEST", 2_000_000)

    async def much(config: Any, context: TaskContext) -> Any:
        return "x" * 2_000_000

    await harness.add_worker("w1", much)
    put(harness.node, "a")
    error = (await harness.report()).error
    assert error is not None
    assert error.type == REFUSED
    assert error.message.startswith("its result could not be reported: a document of 2,000,")


async def test_workers_with_a_free_place_are_counted(harness: NatsHarness) -> None:
    def idle() -> int:
        return sum(each.idle_workers for each in harness.node.queues.states() if each.name == "q")

    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    await until(lambda: idle() == 1)
    await greet(harness, Hello("other", ["q"]))
    await greet(harness, Hello("full", ["q"], free=0))
    await until(lambda: idle() == 2)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    await greet(harness, Hello("w1", ["q"], free=harness.workers["w1"].fetching._free))
    await until(lambda: idle() == 1)
    await harness.clock.advance(GREETED_FOR + 1)
    assert idle() == 0
    assert [each.name for each in harness.node.queues.workers()] == ["full", "other", "w1"]


async def greet(harness: NatsHarness, hello: Hello) -> None:
    client = await nats.connect(shared_server().url)
    await client.publish(Names(harness.options.prefix).hello, msgspec.json.encode(hello))
    await client.flush()
    await client.close()


async def test_a_defect_in_dealing_with_a_message_is_in_the_log(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*given: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(harness.node.queues, "greet", breaks)
    await greet(harness, Hello("w1", ["q"]))
    await until(lambda: "a message from NATS could not be dealt with" in caplog.text)
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_a_stream_that_is_kept_on_another_number_of_servers_is_said_once(
    harness: NatsHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.options = msgspec.structs.replace(harness.options, replicas=3)
    node = await harness.add_node()
    node.dispatch(assignment("a", queue="other"))
    await harness.rest()
    assert caplog.text.count("is kept on 1 servers, and `nats.replicas` says 3") == 1
    assert node.door.problem() is None


async def test_leases_are_kept_by_signs_of_life_over_nats(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work)
    put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    for _ in range(6):
        await harness.advance(LEASE // 3)
    assert [(each.waiting, each.running) for each in harness.node.queues.states()] == [(0, 1)]


async def test_what_a_worker_is_at_goes_on_when_another_node_takes_it_from_one_that_lives(
    harness: NatsHarness,
) -> None:
    gate, other = Gate(), Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    (work,) = put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    node = await harness.add_node()
    harness.node.leave(work.id)
    await harness.advance(LEASE // 3)  # nobody has it
    assert gate.stopped == []
    put(node, "a")
    async with asyncio.timeout(PATIENCE):
        while [each.running for each in node.queues.states()] != [1]:
            await harness.advance(LEASE // 3)
    await harness.add_worker("w2", other.work)
    gate.open.set()
    assert (await harness.report()).result == "a"
    assert (gate.begun, gate.stopped, other.begun) == (["a"], [], [])


async def test_a_result_goes_to_the_node_that_took_the_work_from_one_that_lives(harness: NatsHarness) -> None:
    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    (work,) = put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    node = await harness.add_node()
    harness.node.leave(work.id)
    gate.open.set()
    await harness.rest()
    put(node, "a")
    while not harness.reports:
        await harness.advance(SECOND)
    assert ([report.result for report in harness.reports], gate.begun) == (["a"], ["a"])


@pytest.mark.parametrize(
    "error", [StoreError("not recorded yet", code="not-recorded"), StepwellError("closed", code="engine-closed")]
)
async def test_a_report_that_is_refused_for_a_passing_reason_is_given_again(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch, error: StepwellError
) -> None:
    reports = harness.node.queued.reports
    complete, errors = reports.complete, [error]

    async def refuses(*given: Any) -> None:
        if errors:
            raise errors.pop()
        await complete(*given)

    monkeypatch.setattr(reports, "complete", refuses)
    await harness.add_worker("w1", echo)
    put(harness.node, "a", config={"n": 1})
    while not harness.reports:
        await harness.advance(SECOND)
    assert [report.result for report in harness.reports] == [{"n": 1}]


async def test_a_report_to_a_node_that_lost_its_shard_in_that_moment_goes_to_the_next(
    harness: NatsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = harness.node.queued.reports

    async def lost(*given: Any) -> None:
        raise Conflict("the shard is lost", code="shard-lost")

    monkeypatch.setattr(reports, "complete", lost)
    gate = Gate()
    await harness.add_worker("w1", gate.work, slots=1)
    (work,) = put(harness.node, "a")
    await until(lambda: gate.begun == ["a"])
    node = await harness.add_node()
    gate.open.set()
    await harness.rest()
    harness.node.leave(work.id)
    put(node, "a")
    while not harness.reports:
        await harness.advance(SECOND)
    assert ([report.result for report in harness.reports], gate.begun) == (["a"], ["a"])
