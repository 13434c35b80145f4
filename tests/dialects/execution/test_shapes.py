"""What is shown of executions, in the dialect's words."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.durations import DAY, HOUR, SECOND
from stepwell.dialects.execution import shapes
from stepwell.dialects.execution.shapes import Ran
from stepwell.execution.status import ExecutionStatus, StepStatus
from tests.dialects.execution.running import Stage, a_stage, broken

NOON = 1_790_000_000_000_000 // DAY * DAY + 12 * HOUR

TICKET = """
    execution:
      workflow: ticket
      version: 3
      activities:
        - {name: assign_agent, publish: {assigned_agent: "${output.agent_id}"}}
        - {name: set_sla, approval: {approver: ann}, compensation: clear_sla}
        - {name: pause, activity: "workflows:sleep-platform", input: {duration: 1h}}
        - {name: flaky, retry: {max_attempts: 2}, fallback: {activity: skip}}
        - {name: last}
"""


def assign_agent(ticket_id: str) -> dict[str, Any]:
    return {"agent_id": "A-456"}


async def states(stage: Stage, execution: str) -> dict[str, str]:
    records = await stage.engine.get_activity_states(execution)
    return {record["name"]: record["status"] for record in records}


async def test_state_activity_states_and_records_of_the_api_follow_an_execution() -> None:
    activities: dict[str, Any] = {
        "assign_agent": assign_agent,
        "set_sla": lambda ticket_id: "4h",
        "flaky": broken,
        "last": broken,
    }
    async with a_stage({**activities, "clear_sla": lambda: None}) as stage:
        execution = await stage.start(TICKET, {"ticket_id": "T-123"})
        report = await stage.report(execution)
        assert shapes.state(report) == {
            "id": execution,
            "status": "suspended",
            "started_at": report["started_at"],
            "current_activity": "set_sla",
            "variables": {"ticket_id": "T-123", "assigned_agent": "A-456"},
        }
        assert shapes.instance(report) == {
            "id": execution,
            "workflowId": "ticket",
            "version": 3,
            "status": "SUSPENDED",
            "startedAt": report["started_at"],
            "completedAt": None,
        }
        first, second = shapes.tasks(report)[:2]
        assert first == {
            "id": f"{execution}/assign_agent",
            "stepIdentifier": "assign_agent",
            "activity": "assign_agent",
            "status": "FINISHED",
            "input": {"ticket_id": "T-123"},
            "result": {"agent_id": "A-456"},
            "isRetry": False,
            "isCompensation": False,
            "executionTime": 0.0,
            "startedAt": report["started_at"],
            "lastUpdatedAt": report["started_at"],
        }
        assert (second["activity"], second["status"]) == ("set_sla", "AWAITING_USER_INPUT")

        await stage.engine.respond(execution, "approve_set_sla", {"approved": True}, by="ann")
        await stage.clock.settle()
        assert shapes.state(await stage.report(execution))["current_activity"] == "pause"
        await stage.clock.advance(HOUR)
        report = await stage.report(execution)
        assert (shapes.status(report), shapes.instance(report)["status"]) == ("retrying", "RETRYING")
        assert (await states(stage, execution))["flaky"] == "retrying"

        report = await stage.end(execution)
        assert shapes.instance(report)["status"] == "FAILED"
        assert shapes.state(report)["current_activity"] is None
        assert await states(stage, execution) == {
            "assign_agent": "completed",
            "set_sla": "completed",
            "pause": "completed",
            "flaky": "skipped",
            "last": "failed",
            "set_sla[undo]": "completed",
        }
        activities_seen = {each["name"]: each for each in await stage.engine.get_activity_states(execution)}
        assert activities_seen["assign_agent"] == {
            "id": f"{execution}/assign_agent",
            "name": "assign_agent",
            "status": "completed",
            "started_at": report["started_at"],
            "completed_at": report["started_at"],
            "input": {"ticket_id": "T-123"},
            "output": {"agent_id": "A-456"},
            "attempts": [
                {
                    "attempt": 1,
                    "status": "completed",
                    "started_at": report["started_at"],
                    "completed_at": report["started_at"],
                    "error": None,
                }
            ],
        }
        tries = activities_seen["flaky"]["attempts"]
        assert [(each["attempt"], each["status"], each["error"]["message"]) for each in tries] == [
            (1, "failed", "it broke"),
            (2, "failed", "it broke"),
        ]
        assert tries[0]["started_at"] < tries[1]["started_at"]
        (slept,) = activities_seen["pause"]["attempts"]
        assert (slept["status"], slept["started_at"] < slept["completed_at"]) == ("completed", True)
        records = {record["stepIdentifier"]: record for record in shapes.tasks(report)}
        assert records["flaky"]["isRetry"]
        assert records["set_sla[undo]"]["isCompensation"]


async def test_an_activity_that_was_not_approved_is_unauthorized_and_steps_have_their_numbers() -> None:
    text = """
        {"name": "w", "workflowDefinition": [{"stepIdentifier": 7, "activity": "a", "requireApproval": true}]}
    """
    async with a_stage({"a": lambda: 1}) as stage:
        execution = await stage.start(text)
        await stage.engine.respond(execution, "approve_step_7", {"approved": False})
        (record,) = shapes.tasks(await stage.end(execution))
        assert (record["stepIdentifier"], record["activity"], record["status"]) == (7, "step_7", "UNAUTHORIZED")


async def test_several_activities_at_work_are_all_current() -> None:
    text = """
        execution:
          workflow: w
          activities:
            - {name: a, activity: "workflows:sleep-platform", input: {duration: 5}}
            - {name: b, activity: "workflows:sleep-platform", input: {duration: 9}, depends_on: []}
    """
    async with a_stage({}) as stage:
        report = await stage.report(await stage.start(text))
        assert shapes.state(report)["current_activity"] == ["a", "b"]


def test_every_status_has_a_word() -> None:
    assert {*map(str, ExecutionStatus), *map(str, StepStatus), "waiting"} <= set(shapes.STATUSES)
    words = set(shapes.STATUSES.values())
    assert words - {"skipped"} == set(shapes.INSTANCE_STATUSES)
    assert words - {"compensating"} == set(shapes.TASK_STATUSES)


# Figures


def ran(seconds: float, status: str = "completed", ago: int = HOUR) -> Ran:
    return Ran(status, NOON - ago - round(seconds * SECOND), NOON - ago)


def test_monitoring_counts_what_is_active_and_what_ended_today() -> None:
    runs = [
        *[ran(45)] * 3,
        ran(45, "failed"),
        ran(45, "cancelled"),
        ran(10, ago=13 * HOUR),
        Ran("running", NOON),
        Ran("pending"),
    ]
    assert shapes.monitoring(runs, NOON, 4) == {
        "active_workflows": 2,
        "completed_today": 3,
        "failed_today": 1,
        "average_duration": "45s",
        "current_load": "medium",
    }


def test_without_any_executions_there_are_zeros() -> None:
    assert shapes.monitoring([], NOON, 10) == {
        "active_workflows": 0,
        "completed_today": 0,
        "failed_today": 0,
        "average_duration": "0s",
        "current_load": "low",
    }
    assert shapes.metrics([], NOON) == {
        "execution_time": {"avg": None, "p95": None, "p99": None},
        "success_rate": None,
        "error_rate": None,
        "throughput": 0,
    }


@pytest.mark.parametrize(
    ("active", "expected"), [(0, "low"), (49, "low"), (50, "medium"), (79, "medium"), (80, "high")]
)
def test_the_load_is_low_below_half_and_high_from_four_fifths(active: int, expected: str) -> None:
    assert shapes.load(active, 100) == expected
    assert shapes.load(active, None) == "low"


def test_metrics_are_of_what_ended_within_the_window() -> None:
    runs = [
        *(ran(seconds) for seconds in range(1, 100)),
        ran(100, "failed"),
        ran(7, "cancelled"),
        ran(1, ago=25 * HOUR),
    ]
    assert shapes.metrics([*runs, Ran("running", NOON)], NOON) == {
        "execution_time": {"avg": 50.5, "p95": 95, "p99": 99},
        "success_rate": 99.0,
        "error_rate": 1.0,
        "throughput": round(100 / 24, 2),
    }


async def test_an_engine_tells_the_figures_of_its_store() -> None:
    async with a_stage({"a": lambda: 1, "b": broken}) as stage:
        for activity in ("a", "a", "a", "b"):
            await stage.run(f"execution: {{workflow: w, activities: [{{name: {activity}}}]}}")
        execution = await stage.start("saga: {steps: [{activity: a}, {activity: a, name: b, approval: {}}]}")
        assert (await stage.engine.get_workflow_state(execution))["current_activity"] == "b"
        records = await stage.engine.get_activity_states(execution)
        assert [(each["name"], each["status"]) for each in records] == [("a", "completed"), ("b", "pending")]
        figures = await stage.engine.monitoring()
        assert (figures["completed_today"], figures["failed_today"], figures["active_workflows"]) == (3, 1, 1)
        assert (await stage.engine.metrics())["success_rate"] == 75.0
