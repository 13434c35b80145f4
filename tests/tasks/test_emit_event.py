"""Steps of type `emit_event`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine
from stepwell.execution.event import LARGEST_DATA, Event
from stepwell.ports.work import TaskError
from stepwell.tasks.emit_event import EmitEventHandler
from tests.tasks.context import PlainContext
from tests.virtual_clock import VirtualClock

LARGEST = "x" * (LARGEST_DATA - 2)
"""With its quotes the most that an event may hold."""

LISTENER = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: listener, version: 1.0.0}
spec:
  triggers: [{event: "order:paid"}]
  steps: [{name: a, type: noop}]
  output: {values: {seen: "{{ input.order }}"}}
"""
SPEAKER = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: speaker, version: 1.0.0}
spec:
  steps:
    - {name: tell, type: emit_event, config: {type: "order:paid", data: {order: 7}, subject: "order/7"}}
    - {name: hear, type: wait_for_event, depends_on: tell, config: {event_type: "order:paid", timeout: 1h}}
"""


async def test_an_emitted_event_starts_and_wakes_what_waits_for_it(tmp_path: Path) -> None:
    async with WorkflowEngine({"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}) as engine:
        await engine.register_workflow(LISTENER)
        report = await engine.execute_workflow(SPEAKER)
        assert report["status"] == "completed"
        told = next(step for step in report["steps"] if step["name"] == "tell")["output"]
        assert told == {"id": f"{report['execution_id']}/tell", "type": "order:paid", "source": "stepwell/speaker"}
        assert [each["started"] for each in await engine.trigger_counts()] == [1]


class Publishing:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.handler = EmitEventHandler(self.publish, VirtualClock())

    async def publish(self, event: Event, trace: str) -> bool:
        self.events.append(event)
        return True

    async def run(self, **config: Any) -> Any:
        return (await self.handler.run(config, PlainContext())).value


async def test_a_second_try_emits_the_same_event() -> None:
    publishing = Publishing()
    await publishing.run(type="a")
    await publishing.run(type="a")
    assert {(event.source, event.id) for event in publishing.events} == {("stepwell/shop", "e1/call")}


@pytest.mark.parametrize(
    "config", [{}, {"type": " "}, {"type": "stepwell.approval.answered"}, {"type": "a", "source": "me"}]
)
async def test_what_cannot_be_an_event_is_refused(config: dict[str, Any]) -> None:
    publishing = Publishing()
    with pytest.raises(TaskError) as raised:
        await publishing.run(**config)
    assert raised.value.type == "invalid_config"
    assert publishing.events == []


async def test_an_event_that_is_too_large_is_refused() -> None:
    publishing = Publishing()
    await publishing.run(type="a", data=LARGEST)
    with pytest.raises(TaskError, match="takes at most 262,144 bytes as JSON, and this 262,145") as raised:
        await publishing.run(type="a", data=LARGEST + "x")
    assert (raised.value.type, raised.value.retryable) == ("event_too_large", False)
    assert len(publishing.events) == 1
