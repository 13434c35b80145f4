"""Workflows of activities on the command line: events that start them, and what their files say about the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepwell.app.configuration import completed, configuration_from
from stepwell.app.workflow_engine import WorkflowEngine
from stepwell.base.errors import NotFound
from stepwell.cli.opening import configured_for
from tests.cli.conftest import Stepwell
from tests.conformance.dispatcher import PATIENCE
from tests.dialects.meaning import definition_of

TICKET = """
execution:
  workflow: ticket
  trigger: {event: "ticket:created", conditions: {priority: high}}
  activities: [{name: pause, activity: "workflows:sleep-platform", input: {duration: 1ms}}]
---
concurrency: {max_workflows: 7, max_activities: 3, queuing: {timeout: 30s}}
---
logging: {level: debug}
"""


@pytest.fixture
def registered(folder: Path, stepwell: Stepwell) -> None:
    (folder / "ticket.yaml").write_text(TICKET)
    assert stepwell("workflow", "apply", "ticket.yaml").status == 0


@pytest.mark.usefixtures("registered")
def test_who_publishes_an_event_is_told_what_it_starts_and_what_not(stepwell: Stepwell) -> None:
    low = stepwell("event", "publish", "ticket:created", "-d", '{"priority": "low"}', "--id", "e1")
    assert low == (
        0,
        (
            "event e1 accepted; nothing waits for it yet, and it is kept for 7d for waits that begin later\n"
            '  did not start ticket 1.0.0: its filter asks for {"priority": "high"}\n'
        ),
        "",
    )
    high = stepwell("event", "publish", "ticket:created", "-d", '{"priority": "high"}', "--id", "e2")
    assert high.out.startswith("event e2 accepted; it starts 1 execution\n  started ticket 1.0.0: execution ")
    assert high.err == (
        "no engine is running on this store: what it starts begins when an engine takes up what is unfinished\n"
    )
    again = stepwell("event", "publish", "ticket:created", "-d", '{"priority": "high"}', "--id", "e2", "-o", "json")
    assert (again.json()["duplicate"], again.json()["firings"]) == (True, [])
    listed = stepwell("event", "publish", "ticket:created", "-d", '{"priority": "high"}', "-o", "json", "-q").json()
    (firing,) = listed["firings"]
    assert (firing["workflow"], firing["version"], firing["trigger"], firing["outcome"]) == (
        "ticket", "1.0.0", 0, "started",
    )  # fmt: skip


@pytest.mark.usefixtures("registered")
def test_another_run_leaves_what_is_to_be_started_to_an_engine_that_takes_over(stepwell: Stepwell) -> None:
    started = stepwell("event", "publish", "ticket:created", "-d", '{"priority": "high"}', "-o", "json").json()
    (execution,) = (firing["execution_id"] for firing in started["firings"])
    assert stepwell("run", "ticket.yaml", "-q").status == 0
    assert stepwell("execution", "show", execution).status == 2

    async def take_over() -> str:
        async with WorkflowEngine({"state_store": {"type": "sqlite", "path": "stepwell.db"}}) as engine:
            while True:
                try:
                    return str((await engine.result(execution))["status"])
                except NotFound:
                    await asyncio.sleep(0)

    assert asyncio.run(asyncio.wait_for(take_over(), PATIENCE)) == "completed"


def test_what_a_file_says_about_the_engine_holds_where_the_configuration_says_nothing() -> None:
    definition = definition_of(TICKET)
    usual = configured_for(definition, configuration_from({}))
    assert (usual.execution.max_workflows, usual.execution.max_concurrent_tasks) == (7, 3)
    assert (usual.execution.queuing.timeout, usual.logging.level) == (30_000_000, "debug")
    said = configured_for(definition, configuration_from({"execution": {"max_workflows": 5, "queuing": {}}}))
    assert (said.execution.max_workflows, said.execution.max_concurrent_tasks) == (5, 3)
    assert said.execution.queuing.timeout == 30_000_000
    plain = configuration_from({"logging": {"level": "error"}})
    assert completed(plain, {}) == plain
    assert configured_for(definition, plain).logging.level == "error"
