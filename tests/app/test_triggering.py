"""Events that start workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.configuration import configuration_from
from stepwell.app.session import open_store
from stepwell.app.triggering import Firing, Triggering
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.base.errors import UsageError
from stepwell.cli.opening import definitions_of, reading_codec
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.event import Event, EventTooLarge
from stepwell.execution.history import ExecutionCompleted, HistoryEvent
from stepwell.ports.listings import ExecutionQuery
from tests.conformance.dispatcher import PATIENCE

MEMORY = {"state_store": {"type": "memory"}}


def workflow(*triggers: dict[str, Any], name: str = "ticket", version: str = "1.0.0", **spec: Any) -> dict[str, Any]:
    steps = [{"name": "only", "type": "transform", "config": {"value": "{{ input }}"}}]
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": version},
        "spec": {"triggers": list(triggers), "steps": steps, **spec},
    }


@pytest.fixture
async def engine() -> AsyncIterator[WorkflowEngine]:
    async with WorkflowEngine(MEMORY) as engine:
        yield engine


async def outcome(engine: WorkflowEngine, type_: str, data: Any = None, **more: Any) -> list[tuple[str, str, Any]]:
    """The outcomes of publishing: (workflow, outcome, output of the only step or the reason)."""
    published = await engine.publish_event(type_, data, **more)
    return [await _told(engine, firing) for firing in published.firings]


async def _told(engine: WorkflowEngine, firing: Firing) -> tuple[str, str, Any]:
    if firing.outcome != "started":
        return firing.workflow, firing.outcome, firing.reason
    assert firing.execution_id is not None
    report = await engine.result(firing.execution_id)
    return firing.workflow, firing.outcome, report["steps"][0]["output"]


# What is started


async def test_an_event_starts_every_workflow_with_a_trigger_for_its_type(engine: WorkflowEngine) -> None:
    await engine.register_workflow(workflow({"event": "ticket:created"}))
    await engine.register_workflow(workflow({"event": "ticket:*"}, {"event": "other"}, name="any"))
    await engine.register_workflow(workflow({"schedule": {"every": "1h"}}, name="timed"))
    assert await outcome(engine, "ticket:created", {"id": 7}) == [
        ("any", "started", {"id": 7}),
        ("ticket", "started", {"id": 7}),
    ]
    assert await outcome(engine, "ticket:closed:late") == [("any", "started", {})]
    assert await outcome(engine, "tickets", {}) == []


async def test_a_trigger_says_which_events_it_wants_and_what_the_input_is(engine: WorkflowEngine) -> None:
    trigger = {
        "event": "paid",
        "filter": {"amount": {"~gte": 10}, "~or": [{"by": "card"}, {"by": {"~isnull": True}}]},
        "map": {"order": "{{ event.data.order }}", "when": "{{ event.id }}"},
    }
    await engine.register_workflow(workflow(trigger))
    started = await outcome(engine, "paid", {"amount": 10, "order": "o1"}, id="e1")
    assert started == [("ticket", "started", {"order": "o1", "when": "e1"})]
    for data, asked in [({"amount": 9}, '{"amount": {"~gte": 10}}'), (None, '{"amount": {"~gte": 10}}')]:
        assert await outcome(engine, "paid", data) == [("ticket", "filtered", f"its filter asks for {asked}")]
    ((_, kind, reason),) = await outcome(engine, "paid", {"amount": 10, "by": "cash"})
    assert (kind, reason[:31]) == ("filtered", 'its filter asks for {"~or": [{"')


async def test_a_filter_may_be_an_expression_and_what_is_missing_in_the_event_is_no_error(
    engine: WorkflowEngine,
) -> None:
    await engine.register_workflow(workflow({"event": "paid", "filter": "event.data.amount > 10"}))
    assert await outcome(engine, "paid", {"amount": 11}) == [("ticket", "started", {"amount": 11})]
    reason = "its filter does not hold: event.data.amount > 10"
    assert await outcome(engine, "paid", {"amount": 10}) == [("ticket", "filtered", reason)]
    ((_, kind, reason),) = await outcome(engine, "paid", {})
    assert (kind, reason.startswith("its filter cannot be decided: ")) == ("filtered", True)


@pytest.mark.parametrize(
    ("trigger", "data"),
    [
        ({"event": "paid"}, [1]),
        ({"event": "paid", "map": {"x": "{{ event.data.x }}"}}, {}),
        ({"event": "paid"}, {"n": "x"}),
    ],
)
async def test_an_input_that_the_workflow_does_not_accept_is_refused_and_said(
    engine: WorkflowEngine, trigger: dict[str, Any], data: Any
) -> None:
    schema = {"schema": {"properties": {"n": {"type": "integer"}}}}
    await engine.register_workflow(workflow(trigger, input=schema))
    ((_, kind, reason),) = await outcome(engine, "paid", data)
    assert kind == "refused"
    assert reason


# Which workflows count


async def test_only_the_default_version_counts_and_only_while_it_is_active(engine: WorkflowEngine) -> None:
    store = (await engine._open()).store
    await engine.register_workflow(workflow({"event": "old"}))
    await engine.register_workflow(workflow({"event": "new"}, version="1.1.0"))
    await engine.register_workflow(workflow({"event": "draft"}, version="2.0.0"), lifecycle="draft")
    assert [await outcome(engine, type_) for type_ in ("old", "draft")] == [[], []]
    assert len(await outcome(engine, "new")) == 1

    await store.set_default("ticket", "1.0.0", at=1, by="ann")
    assert (len(await outcome(engine, "old")), await outcome(engine, "new")) == (1, [])
    for version in ("1.1.0", "1.0.0"):
        await store.set_lifecycle("ticket", version, "deprecated", at=1, by="ann")
    assert [await outcome(engine, type_) for type_ in ("old", "new")] == [[], []]


async def test_a_trigger_that_is_not_active_starts_nothing(engine: WorkflowEngine) -> None:
    await engine.register_workflow(workflow({"event": "paid", "active": False}))
    await engine.register_workflow(workflow({"event": "paid"}, name="disabled", config={"enabled": False}))
    assert await outcome(engine, "paid") == [
        ("disabled", "filtered", "the workflow is not enabled"),
        ("ticket", "filtered", "the trigger is not active"),
    ]


async def test_an_event_needs_a_type(engine: WorkflowEngine) -> None:
    with pytest.raises(UsageError, match="an event needs a type"):
        await engine.publish_event(" ")


async def test_an_event_that_is_too_large_is_refused_and_not_kept(engine: WorkflowEngine) -> None:
    with pytest.raises(EventTooLarge, match="takes at most 262,144 bytes as JSON, and this 262,145"):
        await engine.publish_event("paid", "ö" * 131_071 + "x", id="e1")
    assert not (await engine.publish_event("paid", "ö" * 131_071, id="e1")).duplicate


# Once


async def test_an_event_that_was_accepted_before_starts_nothing_not_even_what_was_registered_since(
    engine: WorkflowEngine,
) -> None:
    await engine.register_workflow(workflow({"event": "paid"}))
    first = await engine.publish_event("paid", {}, id="e1")
    await engine.register_workflow(workflow({"event": "paid"}, name="later"))
    again = await engine.publish_event("paid", {}, id="e1")
    assert (len(first.started), again.duplicate, again.firings) == (1, True, ())
    assert len((await engine.publish_event("paid", {}, id="e1", source="other")).started) == 2


async def test_events_with_the_same_key_start_one_execution(engine: WorkflowEngine) -> None:
    await engine.register_workflow(workflow({"event": "paid", "dedupe_key": "{{ event.data.order }}"}))
    first = await engine.publish_event("paid", {"order": 1})
    (again,) = (await engine.publish_event("paid", {"order": 1})).firings
    assert (again.outcome, (again.execution_id,)) == ("present", first.started)
    assert len((await engine.publish_event("paid", {"order": 2})).started) == 1
    assert await engine.trigger_counts() == [
        {"workflow": "ticket", "trigger": 0, "started": 2, "present": 1, "filtered": 0, "refused": 0}
    ]


async def test_a_wait_of_what_an_event_starts_does_not_take_that_event(engine: WorkflowEngine) -> None:
    wait = {"name": "next", "type": "wait_for_event", "config": {"event_type": "paid", "timeout": "1h"}}
    await engine.register_workflow(workflow({"event": "paid"}, steps=[wait]))
    (execution,) = (await engine.publish_event("paid", {"n": 1})).started
    published = await engine.publish_event("paid", {"n": 2})
    assert published.waits == 1
    assert (await engine.result(execution))["steps"][0]["output"] == {"event_data": {"n": 2}}


class Ended:
    """Waits until an execution has ended."""

    def __init__(self) -> None:
        self.one = asyncio.Event()

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        if any(isinstance(event, ExecutionCompleted) for event in events):
            self.one.set()


async def test_what_is_started_when_no_engine_is_there_begins_in_the_next_that_takes_over(tmp_path: Path) -> None:
    config = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}
    async with WorkflowEngine(config) as engine:
        await engine.register_workflow(workflow({"event": "paid"}))
    event = Event(id="e1", type="paid", source="shop", data={"n": 1})
    async with open_store(configuration_from(config)) as store:
        triggering = Triggering(store, definitions_of(store).stored)
        published = await triggering.publish(event, reading_codec(), 1, 2)
        assert not published.engine_present
        assert (await triggering.publish(event, reading_codec(), 1, 2)).duplicate
    ended = Ended()
    async with WorkflowEngine(config, observer=ended) as engine:
        await asyncio.wait_for(ended.one.wait(), PATIENCE)
        (execution,) = published.started
        assert (await engine.result(execution))["input"] == {"n": 1}
        assert (await engine.publish_event("paid", {}, source="shop", id="e1")).duplicate
        assert len((await (await engine._open()).store.list(ExecutionQuery())).items) == 1
