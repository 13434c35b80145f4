"""What workflows of activities do from the event to the end, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from stepwell.base.durations import MINUTE
from tests.dialects.execution.running import a_stage, broken, statuses

TICKET = """
    execution:
      workflow: high_priority_ticket
      trigger:
        event: ticket:created
        conditions:
          priority: high
      activities:
        - name: notify_team
        - name: assign_agent
          publish: {assigned_agent: "${output.agent_id}"}
        - name: set_sla
      compensation:
        strategy: reverse
        activities:
          - name: revert_assignment
          - name: clear_sla
    ---
    error_handling:
      activity_error:
        retry:
          max_attempts: 3
          backoff: {initial: 1s, multiplier: 2}
    ---
    error_handling:
      workflow_error:
        strategy: compensate
        notification:
          channels: [slack, email]
          recipients: [workflow_admin]
    ---
    compensation_activities:
      assign_agent:
        activity: unassign_agent
        params: {ticket_id: "${workflow.ticket_id}", agent_id: "${workflow.assigned_agent}"}
"""


def notify_team(ticket_id: str, priority: str) -> None:
    pass


def assign_agent(ticket_id: str) -> dict[str, Any]:
    return {"success": True, "agent_id": "A-456"}


def set_sla(ticket_id: str, assigned_agent: str) -> str:
    return "4h"


def unassign_agent(ticket_id: str, agent_id: str) -> None:
    pass


def nothing() -> None:
    pass


ACTIVITIES: dict[str, Callable[..., Any]] = {
    "notify_team": notify_team,
    "assign_agent": assign_agent,
    "set_sla": set_sla,
    "unassign_agent": unassign_agent,
    "revert_assignment": nothing,
    "clear_sla": nothing,
}


async def test_an_event_of_high_priority_runs_three_activities_in_order_and_one_of_low_priority_none() -> None:
    async with a_stage(ACTIVITIES) as stage:
        await stage.register(TICKET)
        low = await stage.publish("ticket:created", {"ticket_id": "T-1", "priority": "low"})
        other = await stage.publish("ticket:closed", {"ticket_id": "T-2", "priority": "high"})
        await stage.clock.settle()
        assert (low.started, other.started, stage.calls) == ((), (), [])
        (filtered,) = low.firings
        assert (filtered.workflow, filtered.outcome) == ("high_priority_ticket", "filtered")
        assert filtered.reason == 'its filter asks for {"priority": "high"}'
        assert other.firings == ()

        high = await stage.publish("ticket:created", {"ticket_id": "T-123", "priority": "high"})
        (execution,) = high.started
        report = await stage.end(execution)
        assert report["status"] == "completed"
        assert [(name, given) for _, name, given in stage.calls] == [
            ("notify_team", {"ticket_id": "T-123", "priority": "high"}),
            ("assign_agent", {"ticket_id": "T-123"}),
            ("set_sla", {"ticket_id": "T-123", "assigned_agent": "A-456"}),
        ]
        assert report["variables"] == {"assigned_agent": "A-456"}
        counts = {"started": 1, "present": 0, "filtered": 1, "refused": 0}
        assert await stage.engine.trigger_counts() == [{"workflow": "high_priority_ticket", "trigger": 0, **counts}]


async def test_a_failing_activity_is_tried_at_0_1_and_3_seconds_then_all_is_undone_last_first_and_two_are_told() -> (
    None
):
    async with a_stage(ACTIVITIES | {"set_sla": broken}) as stage:
        report = await stage.run(TICKET, {"ticket_id": "T-123", "priority": "high"})
        assert [at for at, name, _ in stage.calls if name == "set_sla"] == [0.0, 1.0, 3.0]
        assert (report["status"], report["compensation"]) == ("failed", "done")
        undone = [(at, name, given) for at, name, given in stage.calls if at == 3.0 and name != "set_sla"]
        assert undone == [
            (3.0, "unassign_agent", {"ticket_id": "T-123", "agent_id": "A-456"}),
            (3.0, "clear_sla", {}),
            (3.0, "revert_assignment", {}),
        ]
        await stage.clock.settle()
        (told,) = (await stage.report(report["execution_id"]))["notifications"]
        delivered = [(each["channel"], each["recipient"], each["status"]) for each in told["deliveries"]]
        assert delivered == [("slack", "workflow_admin", "delivered"), ("email", "workflow_admin", "delivered")]


async def test_a_saga_whose_third_step_fails_is_undone_from_its_second_step_back() -> None:
    saga = """
        saga:
          steps:
            - {activity: create_ticket, compensation: delete_ticket}
            - {activity: assign_agent, compensation: unassign_agent}
            - {activity: set_sla}
    """

    def with_id(ticket_id: str) -> dict[str, str]:
        return {"id": ticket_id}

    def undo(ticket_id: str) -> None:
        pass

    names = {"create_ticket": with_id, "assign_agent": with_id, "delete_ticket": undo, "unassign_agent": undo}
    async with a_stage({**names, "set_sla": broken}) as stage:
        report = await stage.run(saga, {"ticket_id": "T-1"})
        assert stage.called() == ["create_ticket", "assign_agent", "set_sla", "unassign_agent", "delete_ticket"]
        assert (report["status"], report["compensation"]) == ("failed", "done")
        assert statuses(report) == {"create_ticket": "compensated", "assign_agent": "compensated", "set_sla": "failed"}


async def test_a_circuit_breaker_lets_the_sixth_call_fail_fast() -> None:
    text = """
        execution:
          workflow: charge
          activities: [{name: charge_card}]
        ---
        circuit_breaker: {threshold: 5, timeout: 60s, reset: 300s}
    """
    down = [True]

    def charge_card(n: int) -> str:
        if down[0]:
            raise ConnectionError("nobody answers")
        return "charged"

    async with a_stage({"charge_card": charge_card}) as stage:
        reports = [await stage.run(text, {"n": n}) for n in range(6)]
        assert [report["error"]["type"] for report in reports] == ["ConnectionError"] * 5 + ["circuit_open"]
        assert [given["n"] for _, _, given in stage.calls] == [0, 1, 2, 3, 4]

        down[0] = False
        await stage.clock.advance(5 * MINUTE)
        assert (await stage.run(text, {"n": 6}))["status"] == "completed"
        (gate,) = [gate for gate in await stage.engine.gates() if gate.kind == "circuit_breaker"]
        assert (gate.name, gate.state) == ("charge/charge_card_circuit_breaker", "closed")


async def test_a_bulkhead_of_10_and_100_has_10_of_111_calls_at_work_100_waiting_and_1_in_the_fallback() -> None:
    text = """
        execution:
          workflow: busy
          activities: [{name: work}]
        ---
        bulkhead:
          max_concurrent: 10
          max_queue_size: 100
          fallback: {activity: degrade_service}
    """
    release = asyncio.Event()
    inside = [0, 0]

    async def work(n: int) -> int:
        inside[0] += 1
        inside[1] = max(inside)
        await release.wait()
        inside[0] -= 1
        return n

    def degrade_service(n: int) -> str:
        return f"degraded {n}"

    async with a_stage(
        {"work": work, "degrade_service": degrade_service}, execution={"max_concurrent_tasks": 1_000}
    ) as stage:
        executions = [await stage.start(text, {"n": n}) for n in range(111)]
        (gate,) = await stage.engine.gates()
        assert (gate.kind, gate.running, gate.waiting, gate.rejected) == ("bulkhead", 10, 100, 1)
        assert stage.called().count("work") == 10
        assert (await stage.report(executions[110]))["steps"][0]["output"] == "degraded 110"
        release.set()
        ended = [await stage.end(execution) for execution in executions]
        assert {report["status"] for report in ended} == {"completed"}
        assert stage.called().count("work") == 110
        assert inside == [0, 10]
