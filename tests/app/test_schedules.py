"""Schedules: what is declared and made, what fires, and that every time that is due starts one execution."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.schedule_documents import SCHEDULE
from stepwell.base.durations import DAY, HOUR, MINUTE, SECOND
from stepwell.base.errors import Conflict, InvalidInput, NotFound, StepwellError, StoreError, UsageError
from stepwell.base.instants import from_rfc3339
from stepwell.base.spans import Source
from stepwell.dialects.task_graph.packs import workflow_of_rule
from stepwell.dialects.writing import as_text
from stepwell.store.factory import store_for
from stepwell.store.memory.store import MemoryStore
from tests.app.scheduling import MONDAY, Node, node_on, workflow
from tests.conformance.dispatcher import PATIENCE
from tests.servers.postgres import postgres_server
from tests.virtual_clock import VirtualClock

HOURLY = {"schedule": {"cron": "@hourly"}}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(MONDAY)


@pytest.fixture
async def node(store: MemoryStore, clock: VirtualClock) -> AsyncIterator[Node]:
    async with node_on(store, clock) as opened:
        yield opened


async def ids(node: Node) -> list[tuple[str, str]]:
    return [(item["id"], item["status"]) for item in (await node.schedules.list())["items"]]


async def show(node: Node, id_: str = "report:0") -> dict[str, Any]:
    return await node.schedules.show(id_)


# What workflows declare


async def test_a_declared_schedule_starts_its_workflow_at_every_time(node: Node) -> None:
    await node.register(workflow(HOURLY))
    await node.clock.advance(3 * HOUR)
    assert await node.started() == ["2026-11-16T09:00:00Z", "2026-11-16T10:00:00Z", "2026-11-16T11:00:00Z"]
    seen = await show(node)
    assert (seen["status"], seen["next_at"]) == ("active", "2026-11-16T12:00:00Z")
    assert [each["due_at"] for each in seen["last"]] == (await node.started())[::-1]
    assert {each["outcome"] for each in seen["last"]} == {"started"}
    assert await node.inputs() == [{}, {}, {}]


async def test_the_input_and_the_filter_see_the_time(node: Node) -> None:
    trigger = {
        "schedule": {"every": "1h"},
        "filter": "event.data.due_at != '2026-11-16T10:00:00Z'",
        "map": {
            "due": "{{ event.data.due_at }}",
            "before": "{{ event.data.last_due_at }}",
            "by": "{{ event.subject }}",
        },
    }
    await node.register(workflow(trigger))
    await node.clock.advance(3 * HOUR)
    assert await node.inputs() == [
        {"due": "2026-11-16T09:00:00Z", "before": None, "by": "report:0"},
        {"due": "2026-11-16T11:00:00Z", "before": "2026-11-16T10:00:00Z", "by": "report:0"},
    ]
    assert [outcome for outcome, _ in await node.noted()] == ["started", "filtered", "started"]


async def test_schedules_come_change_and_go_with_the_versions_that_declare_them(node: Node) -> None:
    await node.register(workflow(HOURLY, {"schedule": {"every": "1d"}}))
    assert await ids(node) == [("report:0", "active"), ("report:1", "active")]
    await node.register(workflow({"schedule": {"every": "2h"}}, version="1.1.0"))
    assert await ids(node) == [("report:0", "active")]
    assert (await show(node))["every"] == "2h"
    await node.store.set_default("report", "1.0.0", at=node.clock.now(), by="ann")
    node.runner.look()
    await node.clock.settle()
    assert [id_ for id_, _ in await ids(node)] == ["report:0", "report:1"]
    for version in ("1.0.0", "1.1.0"):
        await node.store.set_lifecycle("report", version, "deprecated", at=node.clock.now(), by="ann")
    node.runner.look()
    await node.clock.settle()
    assert await ids(node) == []
    await node.clock.advance(DAY)
    assert await node.started() == []


async def test_a_new_version_with_the_same_times_goes_on_where_the_old_one_was(node: Node) -> None:
    await node.register(workflow(HOURLY))
    await node.schedules.pause("report:0", by="ann", now=node.clock.now(), reason="holidays")
    await node.register(workflow(HOURLY, version="1.1.0"))
    seen = await show(node)
    assert (seen["version"], seen["status"], seen["paused"]["reason"]) == ("1.1.0", "paused", "holidays")


async def test_a_trigger_that_is_not_active_and_a_disabled_workflow_start_nothing(node: Node) -> None:
    await node.register(workflow({**HOURLY, "active": False}))
    await node.register(workflow(HOURLY, name="disabled", config={"enabled": False}))
    await node.clock.advance(2 * HOUR)
    assert await node.started() == []
    assert (await show(node))["status"] == "inactive"
    last = (await show(node, "disabled:0"))["last"]
    assert [(each["outcome"], each["reason"]) for each in last] == [("filtered", "the workflow is not enabled")] * 2
    assert len(await node.noted()) == 2


async def test_a_rule_of_a_pack_fires_at_its_times_and_hands_on_what_it_knows(node: Node) -> None:
    rule = {
        "ref": "p.sweep",
        "trigger_ref": "core.cron",
        "trigger_params": {"expression": "0 30 * * * *"},
        "action_ref": "core.noop",
        "action_params": {"since": "{{ event.payload.last_due_at }}"},
    }
    text = as_text(workflow_of_rule(rule, "1.0.0"), "json")
    source = Source("sweep.yaml", text, dialect="task-graph")
    await node.session.definitions.register(source, at=node.clock.now(), by="ann", reason=None)
    node.runner.look()
    await node.clock.advance(2 * HOUR)
    assert await node.started() == ["2026-11-16T08:30:00Z", "2026-11-16T09:30:00Z"]
    payloads = [given["event"]["payload"] for given in await node.inputs()]
    assert [payload["due_at"] for payload in payloads] == await node.started()
    assert payloads[1]["last_due_at"] == "2026-11-16T08:30:00Z"


async def test_a_one_off_time_fires_once_and_is_done(node: Node) -> None:
    await node.register(workflow({"schedule": {"at": "2026-11-16T10:30:00", "timezone": "Europe/Berlin"}}))
    await node.clock.advance(DAY)
    assert await node.started() == ["2026-11-16T09:30:00Z"]
    assert (await show(node))["status"] == "done"


async def test_jitter_is_the_same_everywhere_and_no_more_than_asked_for(node: Node) -> None:
    await node.register(workflow({"schedule": {"cron": "@hourly", "jitter": "10m"}}))
    upcoming = (await node.schedules.upcoming("report:0", 3, node.clock.now()))["items"]
    await node.clock.advance(3 * HOUR + 10 * MINUTE)
    assert await node.started() == [each["starts_at"] for each in upcoming]
    for each in upcoming:
        assert 0 <= from_rfc3339(each["starts_at"]) - from_rfc3339(each["due_at"]) <= 10 * MINUTE
    assert len({from_rfc3339(each["starts_at"]) - from_rfc3339(each["due_at"]) for each in upcoming}) == 3


# Missed times


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (None, ["2026-11-16T12:00:00Z"]),
        ("one", ["2026-11-16T12:00:00Z"]),
        ("skip", []),
        ("all", [f"2026-11-16T{hour:02}:00:00Z" for hour in (9, 10, 11, 12)]),
    ],
)
async def test_times_missed_while_nothing_ran_are_made_up_for_as_said(
    store: MemoryStore, clock: VirtualClock, catch_up: str | None, expected: list[str]
) -> None:
    said = {"catch_up": catch_up} if catch_up is not None else {}
    async with node_on(store, clock) as node:
        await node.register(workflow({"schedule": {"cron": "@hourly", **said}}))
    clock.set(MONDAY + 4 * HOUR + 30 * MINUTE)
    async with node_on(store, clock) as node:
        due = [due for outcome, due in await node.noted() if outcome == "started"]
        assert due == expected
        assert len(await node.started()) == len(expected)
        missed = [due for outcome, due in await node.noted() if outcome == "filtered"]
        assert missed == ([] if catch_up == "all" else ["2026-11-16T09:00:00Z"])
        assert (await show(node))["next_at"] == "2026-11-16T13:00:00Z"


async def test_what_is_due_before_a_server_first_looks_was_missed_and_is_made_up_for(
    store: MemoryStore, clock: VirtualClock
) -> None:
    async with node_on(store, clock, running=False) as node:
        await node.register(workflow({"schedule": {"at": "2026-11-16T08:05:00Z"}}))
    clock.set(MONDAY + HOUR)
    async with node_on(store, clock) as node:
        assert len(await node.started()) == 1


async def test_no_more_than_a_thousand_times_are_made_up_for(store: MemoryStore, clock: VirtualClock) -> None:
    async with node_on(store, clock) as node:
        await node.register(workflow({"schedule": {"every": "1s", "catch_up": "all"}}))
    clock.set(MONDAY + HOUR)
    async with node_on(store, clock) as node:
        assert sum(outcome == "started" for outcome, _ in await node.noted()) == 1_000
        last = (await show(node))["last"][0]
        assert (last["due_at"], last["at"]) == ("2026-11-16T09:00:00Z", "2026-11-16T09:00:00Z")


async def test_what_passes_while_a_schedule_is_paused_was_not_missed(node: Node) -> None:
    await node.register(workflow({"schedule": {"cron": "@hourly", "catch_up": "all"}}))
    await node.schedules.pause("report:0", by="ann", now=node.clock.now())
    await node.clock.advance(3 * HOUR)
    await node.schedules.resume("report:0", now=node.clock.now())
    await node.clock.advance(HOUR)
    assert await node.started() == ["2026-11-16T12:00:00Z"]


# Exactly once


async def test_two_nodes_on_one_store_start_one_execution_for_each_time(
    store: MemoryStore, clock: VirtualClock
) -> None:
    other = MemoryStore(store.content)
    await other.open()
    async with node_on(store, clock) as one, node_on(other, clock) as two:
        await one.register(workflow({"schedule": {"every": "1m"}}))
        two.runner.look()
        await clock.advance(30 * MINUTE)
        assert len(await one.started()) == 30
        assert len(await one.noted()) == 30
    await other.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_two_engines_on_one_database_start_one_execution_for_each_time(
    kind: str, tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_KEY", base64.b64encode(bytes(32)).decode())
    url = postgres_server().fresh_url() if kind == "postgresql" else f"sqlite:{tmp_path / 'x.db'}"
    one, other = store_for(url), store_for(url)
    await one.open()
    await other.open()
    async with node_on(one, clock, running=False) as first, node_on(other, clock, running=False) as second:
        await first.register(workflow({"schedule": {"every": "1m", "catch_up": "all"}}))
        for _ in range(10):
            await asyncio.gather(first.runner.run_due(), second.runner.run_due())
            clock.set(clock.now() + MINUTE)
        async with asyncio.timeout(PATIENCE):
            while len(await first.started()) < 9:
                await asyncio.sleep(0)
        noted = await first.noted()
        assert [outcome for outcome, _ in noted] == ["started"] * 9
        assert len({due for _, due in noted}) == 9
    await one.close()
    await other.close()


async def test_old_firings_are_forgotten(store: MemoryStore, clock: VirtualClock) -> None:
    async with node_on(store, clock, running=False) as node:
        await node.register(workflow({"schedule": {"every": "30d"}}))
        for _ in range(8):
            await node.runner.run_due()
            clock.set(clock.now() + 30 * DAY)
        assert [due[:7] for _, due in await node.noted()] == ["2027-03", "2027-04", "2027-05", "2027-06"]


class Breaking(MemoryStore):
    """Fails at a write: before it, or after it and before anybody hears of it."""

    breaks: str | None = None

    async def write(self, *args: Any, **settings: Any) -> Any:
        breaks, self.breaks = self.breaks, None
        if breaks == "before":
            raise StoreError("the power is gone")
        written = await super().write(*args, **settings)
        if breaks == "after":
            raise StoreError("the power is gone")
        return written


@pytest.mark.parametrize("breaks", ["before", "after"])
async def test_a_crash_around_the_write_neither_loses_nor_doubles_a_start(clock: VirtualClock, breaks: str) -> None:
    store = Breaking()
    await store.open()
    async with node_on(store, clock, running=False) as node:
        await node.register(workflow(HOURLY))
        await node.runner.run_due()
        clock.set(MONDAY + HOUR)
        store.breaks = breaks
        with pytest.raises(StoreError):
            await node.runner.run_due()
    async with node_on(store, clock, running=False) as node:
        await node.runner.run_due()
        await clock.settle()
        assert await node.started() == ["2026-11-16T09:00:00Z"]
        assert await node.noted() == [("started", "2026-11-16T09:00:00Z")]
    await store.close()


async def test_a_store_that_fails_for_a_while_is_tried_again(clock: VirtualClock) -> None:
    store = Breaking()
    await store.open()
    async with node_on(store, clock) as node:
        await node.register(workflow(HOURLY))
        store.breaks = "before"
        await clock.advance(HOUR)
        assert await node.started() == []
        assert node.runner.problem() == "schedules cannot be run (store-unavailable)"
        await clock.advance(MINUTE)
        assert await node.started() == ["2026-11-16T09:00:30Z"]
        assert node.runner.problem() is None
    await store.close()


async def test_a_time_starts_one_execution_also_when_it_is_asked_for_again(node: Node) -> None:
    await node.register(workflow(HOURLY))
    await node.clock.advance(2 * HOUR)
    since, until = MONDAY - 2 * HOUR, MONDAY + 2 * HOUR
    made = (await node.schedules.backfill("report:0", since, until, by="bob", now=node.clock.now()))["items"]
    assert [(each["due_at"], each["outcome"]) for each in made] == [
        ("2026-11-16T06:00:00Z", "started"),
        ("2026-11-16T07:00:00Z", "started"),
        ("2026-11-16T08:00:00Z", "started"),
        ("2026-11-16T09:00:00Z", "present"),
    ]
    assert {each["by"] for each in made} == {"bob"}
    await node.clock.settle()
    assert len(await node.started()) == 5


async def test_nothing_overlaps_where_that_is_not_allowed(node: Node) -> None:
    waiting = [{"name": "wait", "type": "wait", "config": {"for": "90m"}}]
    trigger = {"schedule": {"cron": "@hourly", "overlap": "skip"}}
    await node.register(workflow(trigger, steps=waiting))
    await node.clock.advance(4 * HOUR)
    assert await node.started() == ["2026-11-16T09:00:00Z", "2026-11-16T11:00:00Z"]
    reasons = [each["reason"] for each in (await show(node))["last"] if each["outcome"] == "filtered"]
    assert all(reason.startswith("what it started before still runs: execution ") for reason in reasons)
    assert len(reasons) == 2


# What people do


async def test_a_schedule_is_made_fires_with_its_input_and_is_deleted(node: Node) -> None:
    schema = {"schema": {"properties": {"n": {"type": "integer"}, "token": {"type": "string", "secret": True}}}}
    await node.register(workflow(input=schema))
    given = {"id": "nightly", "workflow": "report", "cron": "0 9 * * *", "input": {"n": 1, "token": "s3cret"}}
    made = await node.schedules.create(given, by="ann", now=node.clock.now())
    assert (made["input"], made["created_by"], made["next_at"]) == (
        {"n": 1, "token": "***"},
        "ann",
        "2026-11-16T09:00:00Z",
    )
    document = await node.store.document(SCHEDULE, "nightly")
    assert document is not None
    assert b"s3cret" not in document.body
    await node.clock.advance(2 * HOUR)
    (input_,) = await node.inputs()
    assert (input_["n"], input_["token"].value) == (1, "s3cret")
    with pytest.raises(Conflict, match="already") as taken:
        await node.schedules.create(given, by="ann", now=node.clock.now())
    assert taken.value.code == "schedule-exists"
    await node.schedules.delete("nightly", now=node.clock.now())
    assert await ids(node) == []


@pytest.mark.parametrize(
    ("given", "error", "code"),
    [
        ({"workflow": "none", "every": "1h"}, NotFound, "unknown-workflow"),
        ({"workflow": "report", "version": "9.0.0", "every": "1h"}, NotFound, "unknown-version"),
        ({"workflow": "report"}, UsageError, "bad-schedule"),
        ({"workflow": "report", "at": "2020-01-01T00:00:00Z"}, UsageError, "bad-schedule"),
        ({"workflow": "report", "cron": "* * *"}, UsageError, "bad-schedule"),
        ({"workflow": "report", "every": "1h", "id": "a b"}, UsageError, "bad-schedule"),
        ({"workflow": "report", "every": "1h", "id": "pay.nightly"}, UsageError, "bad-schedule"),
        ({"workflow": "report", "every": "1h", "input": {"n": "x"}}, InvalidInput, "invalid-input"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused(
    node: Node, given: dict[str, Any], error: type[StepwellError], code: str
) -> None:
    await node.register(workflow(input={"schema": {"properties": {"n": {"type": "integer"}}}}))
    with pytest.raises(error) as refused:
        await node.schedules.create(given, by="ann", now=node.clock.now())
    assert refused.value.code == code


async def test_a_schedule_can_be_fired_at_once_also_when_it_is_paused(node: Node) -> None:
    await node.register(workflow(HOURLY))
    await node.schedules.pause("report:0", by="ann", now=node.clock.now())
    made = [await node.schedules.run_now("report:0", by="bob", now=node.clock.now()) for _ in range(2)]
    await node.clock.settle()
    assert [each["outcome"] for each in made] == ["started", "started"]
    assert len(await node.started()) == 2
    assert (await show(node))["last"][0]["by"] == "bob"


async def test_a_declared_schedule_is_not_deleted(node: Node) -> None:
    await node.register(workflow(HOURLY))
    with pytest.raises(Conflict) as refused:
        await node.schedules.delete("report:0", now=node.clock.now())
    assert refused.value.code == "schedule-declared"


async def test_a_schedule_whose_workflow_is_gone_says_so_and_goes_on(node: Node) -> None:
    await node.register(workflow())
    await node.schedules.create({"id": "s", "workflow": "report", "every": "1h"}, by="ann", now=node.clock.now())
    await node.store.set_lifecycle("report", "1.0.0", "deprecated", at=node.clock.now(), by="ann")
    await node.store.set_lifecycle("report", "1.0.0", "retired", at=node.clock.now(), by="ann")
    await node.clock.advance(HOUR)
    seen = await show(node, "s")
    assert (seen["last"][0]["outcome"], seen["status"]) == ("refused", "active")
    assert "retired" in seen["last"][0]["reason"]


async def test_who_may_not_see_a_workflow_does_not_see_its_schedules(node: Node) -> None:
    await node.register(workflow(HOURLY))
    assert (await node.schedules.list(sees=lambda name: name != "report"))["items"] == []
    with pytest.raises(NotFound):
        await node.schedules.show("report:0", sees=lambda name: False)


async def test_pages_of_schedules_go_on_where_they_ended(node: Node) -> None:
    await node.register(workflow(*[HOURLY] * 5))
    seen: list[str] = []
    page = await node.schedules.list(limit=2)
    while True:
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        page = await node.schedules.list(limit=2, after=page["next"])
    assert seen == [f"report:{n}" for n in range(5)]


@pytest.mark.parametrize(("since", "until"), [(0, 0), (HOUR, 0), (0, 100 * DAY)])
async def test_a_range_that_is_none_is_not_made_up_for(node: Node, since: int, until: int) -> None:
    await node.register(workflow(HOURLY))
    with pytest.raises(UsageError) as refused:
        await node.schedules.backfill("report:0", MONDAY + since, MONDAY + until, by="bob", now=node.clock.now())
    assert refused.value.code == "bad-range"


async def test_making_a_schedule_wakes_what_fires_it(node: Node) -> None:
    await node.register(workflow())
    await node.clock.advance(10 * SECOND)
    at = {"id": "s", "workflow": "report", "at": "2026-11-16T08:00:20Z"}
    await node.schedules.create(at, by="ann", now=node.clock.now())
    await asyncio.sleep(0)
    await node.clock.advance(10 * SECOND)
    assert await node.started() == ["2026-11-16T08:00:20Z"]
