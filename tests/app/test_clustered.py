"""What the servers of a cluster do besides running executions: each thing once, whichever of them stands still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stepwell import task
from stepwell.app.approval_minding import LOOK_EVERY, TOLD_WITHIN
from stepwell.app.courier import CLAIM
from stepwell.app.subscriptions import Subscriptions
from stepwell.base.durations import HOUR, MINUTE, SECOND
from stepwell.base.instants import from_rfc3339
from stepwell.execution.verbs import Cancel
from tests.app.clustered import TAKEN_OVER, Member, Servers, servers
from tests.app.scheduling import workflow

TELLS = pytest.mark.parametrize("tells", [True, False], ids=["told", "looking"])

# Schedules


async def started_for(made: Servers) -> list[int]:
    """The times that executions were started for, in order."""
    reading = made.leading().parts.reading
    states = [await reading.state(item.id) for item in await made.executions()]
    return sorted(from_rfc3339(state.input["due_at"]) for state in states)


def dead(made: Servers) -> list[Member]:
    return [each for each in made.members if each.clock.frozen]


EVERY_MINUTE = workflow({"schedule": {"every": "1m"}, "map": {"due_at": "{{ event.data.due_at }}"}})


@TELLS
async def test_a_time_starts_one_execution_whoever_leads(monkeypatch: pytest.MonkeyPatch, *, tells: bool) -> None:
    async with servers(monkeypatch, tells=tells) as made:
        await made.apply(EVERY_MINUTE)
        for _ in range(3):
            leading = made.leading()
            await made.clock.advance(5 * MINUTE)
            leading.freeze()
            await made.clock.advance(5 * MINUTE)
            assert made.leading() is not leading
            await leading.thaw()
            await made.clock.advance(MINUTE)
        due = await started_for(made)
        assert len(due) in (33, 34)
        assert due == [due[0] + each * MINUTE for each in range(len(due))]


@pytest.mark.parametrize("is_made", [False, True], ids=["before it is written", "once it is written"])
async def test_a_server_that_dies_at_the_due_time_takes_no_start_with_it(
    monkeypatch: pytest.MonkeyPatch, *, is_made: bool
) -> None:
    async with servers(monkeypatch) as made:
        await made.apply(EVERY_MINUTE)

        def fires(name: str, args: tuple[Any, ...], named: Mapping[str, Any], done: bool) -> bool:
            """For the first server that comes to it."""
            return name == "write" and done is is_made and bool(named.get("posts")) and not dead(made)

        for member in made.members:
            member.store.halts = fires
        await made.clock.advance(MINUTE)
        assert len(dead(made)) == 1
        await made.clock.advance(TAKEN_OVER)
        assert len(await started_for(made)) == 1
        await made.clock.advance(3 * MINUTE)
        due = await started_for(made)
        assert due == [due[0] + each * MINUTE for each in range(4)]
        for member in dead(made):
            await member.thaw()
        await made.clock.settle()
        assert await started_for(made) == due


# Questions

ASKS = workflow(
    name="asks",
    steps=[
        {
            "name": "approve",
            "type": "approval",
            "config": {
                "prompt": "May it be?",
                "assigned_to": ["ada"],
                "reminder": {"after": "1h", "every": "1h"},
                "escalation": {"after": "90m", "to": ["boss"]},
            },
        }
    ],
)


def reminded(made: Servers) -> list[tuple[int, str]]:
    """Which server has told whom."""
    return [(number, who) for number, notice in made.told for who in notice["recipients"]]


async def test_people_are_reminded_of_a_question_by_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers(monkeypatch, 3) as made:
        for member in made.members:
            await member.start(ASKS)
        await made.clock.advance(3 * HOUR + LOOK_EVERY)
        people = [who for _, who in reminded(made)]
        assert (people.count("ada"), people.count("boss")) == (3 * 3, 3)


async def test_people_are_reminded_of_what_a_server_asked_that_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers(monkeypatch) as made:
        asking, other = made.members
        await asking.start(ASKS)
        await made.clock.advance(SECOND)
        asking.freeze()
        await made.clock.advance(HOUR + LOOK_EVERY)
        assert reminded(made) == [(other.number, "ada")]


@pytest.mark.parametrize("is_leading", [False, True], ids=["another", "the one that leads"])
async def test_a_question_that_its_server_could_not_note_is_found(
    monkeypatch: pytest.MonkeyPatch, *, is_leading: bool
) -> None:
    def notes(name: str, args: tuple[Any, ...], named: Mapping[str, Any], done: bool) -> bool:
        return name == "write" and any(each.kind == "approval" for each in args[0])

    async with servers(monkeypatch) as made:
        asking = made.leading() if is_leading else made.other(made.leading())
        asking.store.halts = notes
        await asking.start(ASKS)
        await made.clock.advance(TAKEN_OVER)
        assert asking.clock.frozen
        await made.clock.advance(HOUR + LOOK_EVERY)
        assert reminded(made) == [(made.other(asking).number, "ada")]


@pytest.mark.parametrize("is_told", [False, True], ids=["before they are told", "once they are told"])
async def test_a_server_that_dies_while_it_reminds_is_stood_in_for(
    monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    async with servers(monkeypatch) as made:
        await made.members[0].start(ASKS)
        await made.clock.advance(HOUR - SECOND)

        def begins(name: str, args: tuple[Any, ...], named: Mapping[str, Any], done: bool) -> bool:
            if name != "write" or dead(made):
                return False
            return bool(named.get("entries")) and not done if is_told else done

        for member in made.members:
            member.store.halts = begins
        await made.clock.advance(SECOND)
        (begun,) = dead(made)
        told = [(begun.number, "ada")] if is_told else []
        assert reminded(made) == told
        await made.clock.advance(TOLD_WITHIN + LOOK_EVERY)
        told.append((made.other(begun).number, "ada"))
        assert reminded(made) == told
        await begun.thaw()
        await made.clock.advance(SECOND)
        assert reminded(made) == told
        keys = {notice["message"] for _, notice in made.told}
        assert len(keys) == 1


# Subscriptions


def messages(made: Servers) -> list[str]:
    """The ids of those that were sent, in order."""
    return [id_ for _, id_, _ in made.sent]


async def subscribe(made: Servers) -> None:
    given = {"id": "s", "url": "https://receiver.example/", "types": ["*.execution.completed.*"]}
    member = made.members[0]
    await member.parts.service(Subscriptions).create(given, by="ann", now=member.clock.now())
    await made.clock.advance(5 * SECOND)


@TELLS
async def test_a_message_is_sent_by_one_server_and_after_its_death_by_another(
    monkeypatch: pytest.MonkeyPatch, *, tells: bool
) -> None:
    async with servers(monkeypatch, tells=tells) as made:
        await subscribe(made)
        executions: list[str] = []
        for _ in range(10):
            for member in made.members:
                executions.append(await member.start(workflow()))
                await made.clock.advance(2 * SECOND)
        (number,) = {number for number, _, _ in made.sent}
        assert len(messages(made)) == len(set(messages(made))) == 20
        delivering = made.members[number]
        delivering.freeze()
        other = made.other(delivering)
        for _ in range(10):
            executions.append(await other.start(workflow()))
            await made.clock.advance(SECOND)
        await made.clock.advance(CLAIM)
        assert len(messages(made)) == len(set(messages(made))) == 30
        await delivering.thaw()
        await made.clock.advance(TAKEN_OVER)
        executions.append(await delivering.start(workflow()))
        await made.clock.advance(MINUTE)
        assert len(messages(made)) == len(set(messages(made))) == len(executions)


async def test_a_subscription_that_has_nothing_to_tell_costs_three_questions_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with servers(monkeypatch, 3) as made:
        await made.clock.advance(MINUTE)
        before = await asked_in_a_minute(made)
        await subscribe(made)
        assert await asked_in_a_minute(made) - before < 200


async def asked_in_a_minute(made: Servers) -> int:
    """What all servers ask the store when nothing happens."""
    before = sum(each.store.asked for each in made.members)
    await made.clock.advance(MINUTE)
    return sum(each.store.asked for each in made.members) - before


@pytest.mark.parametrize("is_sent", [False, True], ids=["before it is sent", "once it is sent"])
async def test_what_a_server_was_at_when_it_died_is_sent_by_another(
    monkeypatch: pytest.MonkeyPatch, *, is_sent: bool
) -> None:
    async with servers(monkeypatch) as made:
        await subscribe(made)
        await made.members[0].start(workflow())
        await made.clock.advance(SECOND)
        ((number, _, _),) = made.sent
        delivering = made.members[number]
        other = made.other(delivering)

        def sends(name: str, args: tuple[Any, ...], named: Mapping[str, Any], done: bool) -> bool:
            return not done and len(made.sent) > 1 if is_sent else done and name == "feed"

        delivering.store.halts = sends
        execution = await other.start(workflow())
        await made.clock.advance(SECOND)
        assert delivering.clock.frozen
        before = [number] if is_sent else []
        assert [at for at, id_, _ in made.sent if execution in id_] == before
        await made.clock.advance(CLAIM)
        assert [at for at, id_, _ in made.sent if execution in id_] == [*before, other.number]


# Alerts

DEEP = {"metric": "waits", "op": ">", "threshold": 0, "channels": ["ops"]}


async def test_an_alert_is_told_once_and_its_end_too_whoever_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers(monkeypatch, alerts={"deep": DEEP}, alerting={"every": "30s"}) as made:
        execution = await made.members[0].start(workflow(steps=[WAITS]))
        await made.clock.advance(5 * MINUTE)
        leading = made.leading()
        assert [notice["title"] for _, notice in made.told] == ["Alert: deep"]
        leading.freeze()
        await made.clock.advance(5 * MINUTE)
        assert len(made.told) == 1
        await cancel(made.leading(), execution)
        await made.clock.advance(5 * MINUTE)
        assert [notice["title"] for _, notice in made.told] == ["Alert: deep", "Resolved: deep"]
        await leading.thaw()
        await made.clock.advance(5 * MINUTE)
        assert len(made.told) == 2


@task
async def broken() -> None:
    raise ConnectionError("nobody answers")


async def test_an_alert_sees_what_every_server_has(monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = {
        "open": {"metric": "open_breakers", "op": ">", "threshold": 0},
        "other": {"metric": "open_breakers", "op": ">", "threshold": 0, "workflow": "other"},
        "line": {"metric": "queue_depth", "op": ">", "threshold": 1},
    }
    calls = {"name": "call", "type": "broken", "circuit_breaker": {"threshold": 1, "open_for": "1h"}}
    waits = {"name": "take", "type": "elsewhere", "queue": "q"}
    async with servers(monkeypatch, alerts=alerts, alerting={"every": "30s"}, tasks=(broken,)) as made:
        elsewhere = made.other(made.leading())
        await elsewhere.start(workflow(steps=[calls], name="calls"))
        await made.clock.advance(MINUTE)
        assert [notice["title"] for _, notice in made.told] == ["Alert: open"]
        for _ in range(2):
            await elsewhere.start(workflow(steps=[waits], name="takes"))
        await made.clock.advance(MINUTE)
        assert [notice["title"] for _, notice in made.told] == ["Alert: open", "Alert: line"]


@pytest.mark.parametrize("is_told", [False, True], ids=["before they are told", "once they are told"])
async def test_a_server_that_dies_while_it_tells_of_an_alert_is_stood_in_for(
    monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    async with servers(monkeypatch, alerts={"deep": DEEP}, alerting={"every": "30s"}) as made:
        leading = made.leading()
        states: list[Any] = []

        def begins(name: str, args: tuple[Any, ...], named: Mapping[str, Any], done: bool) -> bool:
            if name != "write" or not any(each.kind == "alert" for each in args[0]):
                return False
            states.append(done)
            return states == ([False, True, False] if is_told else [False, True])

        leading.store.halts = begins
        await made.other(leading).start(workflow(steps=[WAITS]))
        while not leading.clock.frozen:
            await made.clock.advance(SECOND)
        before = [(leading.number, "Alert: deep")] if is_told else []
        assert [(number, notice["title"]) for number, notice in made.told] == before
        await made.clock.advance(MINUTE)
        assert len(made.told) == len(before) + 1


WAITS = {"name": "waits", "type": "wait_for_event", "config": {"event_type": "never"}}


async def cancel(member: Member, execution: str) -> None:
    await member.parts.operators.ask(execution, Cancel(by="ann", reason="test"))
