"""Alert rules: when they fire, when they are over, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.alert_rules import Figures, Rule, RuleState, moved, rules_of
from stepwell.app.alerting import Alerts
from stepwell.app.configuration import configuration_from
from stepwell.app.monitoring import Monitoring
from stepwell.app.telling import People
from stepwell.base.errors import ConfigurationError, Conflict, NotFound, UsageError
from stepwell.execution.status import ExecutionStatus
from stepwell.ports.ledger import JournalQuery
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.services.secrets import CombinedSecrets
from stepwell.store.memory.store import MemoryStore
from stepwell.telemetry.metrics import Gauges
from tests.virtual_clock import VirtualClock

SECOND = 1_000_000
MINUTE = 60 * SECOND


class Told(TaskHandler):
    """Remembers who was told what; fails when `is_broken`."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        self.is_broken = False

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        if self.is_broken:
            raise RuntimeError("no network")
        self.notices.append(config)
        deliveries = [{"channel": "ops", "recipient": None, "delivered": True, "reason": None}]
        return TaskResult({"deliveries": deliveries, "delivered": 1, "undelivered": 0})

    async def close(self) -> None:
        return


class Scene:
    """Alerts whose one gauge the test sets."""

    def __init__(self, alerts: Alerts, clock: VirtualClock, told: Told, store: MemoryStore) -> None:
        self.alerts = alerts
        self.clock = clock
        self.told = told
        self.store = store
        self.depth = 0

    async def gauges(self) -> Gauges:
        return Gauges(queues={"task": self.depth})

    async def pass_time(self, duration: int) -> None:
        await self.clock.advance(duration)


Open = Callable[..., AbstractAsyncContextManager[Scene]]


@asynccontextmanager
async def scene(
    alerts: dict[str, Any] | None = None, store: MemoryStore | None = None, told: Told | None = None, **more: Any
) -> AsyncIterator[Scene]:
    configuration = configuration_from({
        "notifications": {"ops": "log:"}, "alerting": {"every": "30s"}, "alerts": alerts or {}, **more,
    })  # fmt: skip
    clock, told = VirtualClock(), told or Told()
    store = MemoryStore(store.content if store is not None else None)
    await store.open()
    people = People(told, CombinedSecrets([]), clock, "stepwell")
    opened: Scene | None = None

    async def gauges() -> Gauges:
        assert opened is not None
        return await opened.gauges()

    figures = Figures(store, Monitoring(store, clock, None, fresh=0), gauges, clock.now)
    async with Alerts(configuration, store, figures, people, clock).open() as made:
        opened = Scene(made, clock, told, store)
        yield opened
    await store.close()


DEEP = {"metric": "queue_depth", "op": ">", "threshold": 10, "resolve_at": 5, "channels": ["ops"]}


async def test_a_rule_fires_once_and_is_over_only_beyond_the_other_threshold() -> None:
    async with scene({"deep": DEEP}) as world:
        await world.pass_time(MINUTE)
        assert world.told.notices == []
        world.depth = 11
        await world.pass_time(5 * MINUTE)
        assert [notice["title"] for notice in world.told.notices] == ["Alert: deep"]
        assert world.told.notices[0]["priority"] == "high"
        world.depth = 8  # below the threshold, and not yet back
        await world.pass_time(5 * MINUTE)
        assert (await world.alerts.state("deep")).status == "firing"
        world.depth = 5
        await world.pass_time(MINUTE)
        assert [notice["title"] for notice in world.told.notices] == ["Alert: deep", "Resolved: deep"]


async def test_a_rule_that_must_hold_for_a_while_is_pending_before_it_fires() -> None:
    async with scene({"deep": {**DEEP, "for": "2m"}}) as world:
        world.depth = 11
        await world.pass_time(MINUTE)
        assert (await world.alerts.state("deep")).status == "pending"
        world.depth = 0
        await world.pass_time(MINUTE)
        assert (await world.alerts.state("deep")).status == "ok"
        world.depth = 11
        await world.pass_time(MINUTE)
        assert world.told.notices == []
        await world.pass_time(3 * MINUTE)
        assert [notice["title"] for notice in world.told.notices] == ["Alert: deep"]


async def test_a_restart_tells_nobody_twice() -> None:
    async with scene({"deep": DEEP}) as world:
        world.depth = 11
        await world.pass_time(MINUTE)
        store = world.store
        assert len(world.told.notices) == 1
    async with scene({"deep": DEEP}, store=store) as world:
        world.depth = 11
        await world.pass_time(5 * MINUTE)
        assert world.told.notices == []
        world.depth = 0
        await world.pass_time(MINUTE)
        assert [notice["title"] for notice in world.told.notices] == ["Resolved: deep"]


async def test_of_two_nodes_one_tells() -> None:
    told = Told()
    async with scene({"deep": DEEP}, told=told) as first, scene({"deep": DEEP}, store=first.store, told=told) as second:
        first.depth = second.depth = 11
        await asyncio.gather(first.alerts.look(), second.alerts.look())
        await asyncio.gather(first.alerts.look(), second.alerts.look())
        assert len(told.notices) == 1


async def test_a_channel_that_fails_is_recorded_and_changes_nothing() -> None:
    async with scene({"deep": DEEP}) as world:
        world.told.is_broken = True
        world.depth = 11
        await world.pass_time(MINUTE)
        history = await world.alerts.history("deep")
        assert [(each.get("to"), each.get("told")) for each in history] == [(None, "firing"), ("firing", None)]
        assert history[0]["deliveries"] == [
            {"channel": "ops", "recipient": None, "delivered": False, "reason": "RuntimeError: no network"}
        ]
        assert (await world.alerts.state("deep")).status == "firing"
        assert world.alerts.problem() is None


async def test_what_changes_is_journalled_with_the_state() -> None:
    async with scene({"deep": DEEP}) as world:
        world.depth = 11
        await world.pass_time(MINUTE)
        rows = await world.store.journal(JournalQuery(kind="alert", subject="deep"))
        assert msgspec.json.decode(rows[0].body) == {
            "from": "ok", "to": "firing", "metric": "queue_depth", "value": 11.0, "threshold": 10.0,
        }  # fmt: skip


async def test_rules_are_made_changed_and_deleted() -> None:
    async with scene() as world:
        rule = Rule(name="mine", metric="queue_depth", threshold=3)
        await world.alerts.add(rule)
        with pytest.raises(Conflict):
            await world.alerts.add(rule)
        world.depth = 4
        await world.pass_time(MINUTE)
        assert (await world.alerts.state("mine")).status == "firing"
        await world.alerts.replace(msgspec.structs.replace(rule, threshold=10))
        await world.pass_time(MINUTE)
        assert (await world.alerts.state("mine")).status == "ok"
        await world.alerts.remove("mine")
        with pytest.raises(NotFound):
            await world.alerts.rule("mine")


async def test_a_rule_of_the_configuration_is_not_changed_over_the_api() -> None:
    async with scene({"deep": DEEP}) as world:
        with pytest.raises(Conflict, match="configuration"):
            await world.alerts.remove("deep")


async def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'error_rate'"):
        rules_of(configuration_from({"alerts": {"x": {"metric": "eror_rate", "threshold": 1}}}))
    async with scene() as world:
        with pytest.raises(UsageError, match="'queue_depth'"):
            await world.alerts.add(Rule(name="x", metric="queue_dept", threshold=1))


@pytest.mark.parametrize(
    "alert",
    [
        {"metric": "waits", "threshold": 1, "resolve_at": 2},
        {"metric": "waits", "op": "<", "threshold": 1, "resolve_at": 0.5},
        {"metric": "waits", "threshold": "nan"},
        {"metric": "waits", "threshold": 1, "window": "0s"},
        {"metric": "waits", "threshold": 1, "for": "-1s"},
        {"metric": "waits", "threshold": 1, "channels": ["nowhere"]},
        {"metric": "waits"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(alert: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"alerts\.x"):
        rules_of(configuration_from({"alerts": {"x": alert}}))


def test_a_service_level_becomes_rules() -> None:
    rules = rules_of(configuration_from({"sla": {"orders": {"max_duration": "2m", "success_rate": 99.5}}}))
    assert [(rule.name, rule.metric, rule.op, rule.threshold) for rule in rules.values()] == [
        ("orders.max_duration", "execution_time.max", ">", 120.0),
        ("orders.success_rate", "success_rate", "<", 99.5),
    ]
    with pytest.raises(ConfigurationError, match="promises"):
        configuration_from({"sla": {"orders": {}}})


async def test_a_rate_of_nothing_leaves_a_rule_as_it_is() -> None:
    async with scene({"bad": {"metric": "error_rate", "threshold": 1}}) as world:
        await world.pass_time(MINUTE)
        assert await world.alerts.state("bad") == RuleState()
        assert world.told.notices == []


@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 20)), max_size=40),
    op=st.sampled_from([">", ">=", "<", "<="]),
    gap=st.floats(0, 5),
    lasting=st.integers(0, 5),
)
def test_a_rule_only_fires_when_it_holds_and_is_only_over_when_it_does_not(
    values: list[float | None], op: Any, gap: float, lasting: int
) -> None:
    resolve_at = 10 - gap if op in (">", ">=") else 10 + gap
    rule = Rule(name="r", metric="waits", op=op, threshold=10, resolve_at=resolve_at, for_=lasting)
    state = RuleState()
    for now, value in enumerate(values):
        after = moved(rule, state, value, now)
        if after.status == "firing" and state.status != "firing":
            assert value is not None
            assert rule.is_beyond(value)
            assert now - (state.since if state.status == "pending" else now) >= lasting
        if state.status == "firing" and after.status != "firing":
            assert value is not None
            assert not rule.is_beyond(value)
        if value is None:
            assert after == state
        state = after


def test_statuses_of_executions_that_have_not_ended_are_all_looked_at() -> None:
    from stepwell.app.alert_rules import UNFINISHED

    ended = {"completed", "failed", "cancelled"}
    assert set(UNFINISHED) == {status.value for status in ExecutionStatus} - ended | {"waiting"}
