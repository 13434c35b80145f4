"""What single parts of workflows of activities do, on a virtual clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dialects.execution.running import SECOND, Stage, a_stage, broken, document, statuses


async def test_a_filter_lets_an_activity_run_only_when_the_variables_satisfy_it() -> None:
    text = """
        execution:
          workflow: w
          activities:
            - {name: a, publish: {n: "${output}"}}
            - {name: b, filters: {n: {~gte: 5}, kind: {~neq: test}}}
            - {name: c}
    """
    async with a_stage({"a": lambda n: n, "b": lambda n: n, "c": lambda: None}) as stage:
        assert statuses(await stage.run(text, {"n": 5}))["b"] == "completed"
        assert statuses(await stage.run(text, {"n": 4}))["b"] == "skipped"
        assert statuses(await stage.run(text, {"n": 5, "kind": "test"}))["b"] == "skipped"
        assert stage.called().count("c") == 3


async def test_a_variable_that_nobody_set_is_an_error_that_names_it() -> None:
    text = 'execution: {workflow: w, activities: [{name: a, input: {x: "${workflow.agent}"}}]}'
    async with a_stage({"a": lambda x: x}) as stage:
        report = await stage.run(text, {"agnet": 1})
        assert "agent" in report["error"]["message"]
        assert stage.calls == []


async def test_a_compensation_that_reads_a_variable_that_nobody_set_fails_and_the_others_run() -> None:
    text = """
        saga:
          steps:
            - {activity: a, compensation: undo_a}
            - {activity: b, compensation: {activity: undo_b, params: {x: "${workflow.nothing}"}}}
            - {activity: c}
    """
    activities: dict[str, Any] = {"a": lambda: 1, "b": lambda: 2, "c": broken, "undo_a": lambda: None}
    async with a_stage({**activities, "undo_b": lambda x: x}) as stage:
        report = await stage.run(text)
        assert (report["status"], report["compensation"]) == ("failed", "failed")
        assert stage.called() == ["a", "b", "c", "undo_a"]


async def test_the_fallback_runs_after_the_last_try_and_somebody_is_told() -> None:
    text = """
        execution: {workflow: w, activities: [{name: a}, {name: b}]}
        ---
        error_handling:
          activity_error:
            retry: {max_attempts: 2, backoff: {initial: 5s}}
            fallback: {activity: instead, notify: true}
    """
    async with a_stage({"a": broken, "b": lambda: 1, "instead": lambda x: x + 1}) as stage:
        report = await stage.run(text, {"x": 4})
        assert [(at, name) for at, name, _ in stage.calls] == [(0, "a"), (5, "a"), (5, "instead"), (5, "b")]
        assert (report["status"], report["steps"][0]["output"]) == ("completed", 5)
        await stage.clock.settle()
        assert len((await stage.report(report["execution_id"]))["notifications"]) == 1


async def test_a_fallback_that_fails_is_the_failure_of_the_workflow() -> None:
    text = "execution: {workflow: w, activities: [{name: a, fallback: {activity: b}}, {name: c}]}"
    async with a_stage({"a": broken, "b": broken, "c": lambda: 1}) as stage:
        assert (await stage.run(text))["status"] == "failed"
        assert stage.called() == ["a", "b"]


@pytest.mark.parametrize(("approved", "status"), [(True, "completed"), (False, "failed")])
async def test_an_activity_waits_for_the_approval_of_who_may_give_it(approved: bool, status: str) -> None:
    text = "execution: {workflow: w, activities: [{name: a-1, activity: a, approval: {approver: ann}}]}"
    async with a_stage({"a": lambda: 1}) as stage:
        execution = await stage.start(text)
        (asked,) = await stage.engine.approvals()
        assert (asked["step"], asked["assigned_to"], stage.calls) == ("approve_a-1", ["ann"], [])
        await stage.engine.respond(execution, "approve_a-1", {"approved": approved}, by="ann")
        report = await stage.end(execution)
        assert report["status"] == status
        assert stage.called() == (["a"] if approved else [])
        if not approved:
            assert report["error"]["type"] == "unauthorized"


async def test_an_event_may_be_read_beyond_its_payload() -> None:
    text = """
        execution:
          workflow: w
          trigger: {event: "ticket:*"}
          activities: [{name: a, input: {what: "${event.type} ${event.payload.n}", of: "${trigger.id}"}}]
    """
    async with a_stage({"a": lambda what, of: [what, of]}) as stage:
        await stage.register(text)
        (execution,) = (await stage.publish("ticket:closed", {"n": 3}, "e7")).started
        assert (await stage.end(execution))["steps"][0]["output"] == ["ticket:closed 3", "e7"]


async def test_a_sleep_holds_no_worker() -> None:
    text = (
        "execution: {workflow: w, activities: [{name: z, activity: 'workflows:sleep-platform', input: {duration: 5m}}]}"
    )
    async with a_stage({}) as stage:
        report = await stage.run(text)
        assert (report["status"], stage.seconds()) == ("completed", 300)


async def test_a_compensation_by_hand_waits_for_an_operator() -> None:
    text = """
        saga: {steps: [{activity: a, compensation: undo_a}, {activity: b}]}
        ---
        compensation: {mode: manual}
    """
    async with a_stage({"a": lambda: 1, "b": broken, "undo_a": lambda: None}) as stage:
        execution = await stage.start(text)
        report = await stage.report(execution)
        assert (report["status"], report["compensation"], stage.called()) == ("compensating", "waiting", ["a", "b"])


async def test_all_fragments_of_the_language_run_together() -> None:
    """The documents that the dialect was described with, as one file."""
    stage: Stage
    async with a_stage(
        {
            "notify_team": lambda: None,
            "assign_agent": lambda ticket_id: {"agent_id": "A-1"},
            "set_sla": broken,
            **dict.fromkeys(("unassign_agent", "revert_assignment", "clear_sla", "degrade_service"), lambda: None),
        }
    ) as stage:
        report = await stage.run(WHOLE, {"ticket_id": "T-1"})
        assert statuses(report) == {"notify_team": "completed", "assign_agent": "completed", "set_sla": "failed"}
        assert (report["status"], stage.called().count("set_sla")) == ("completed", 3)
        assert json.dumps(report)
        assert stage.seconds() == 3 * SECOND / SECOND


WHOLE = document(
    """
    execution:
      workflow: ticket
      activities: [{name: notify_team}, {name: assign_agent}, {name: set_sla}]
      compensation: {strategy: reverse, activities: [{name: revert_assignment}, {name: clear_sla}]}
    ---
    state: {id: wf_123, status: running, current_activity: assign_agent, variables: {ticket_id: T-123}}
    ---
    activity_state: {id: act_789, name: assign_agent, status: completed, output: {success: true}}
    ---
    monitoring: {active_workflows: 25, completed_today: 150, average_duration: "45s", current_load: medium}
    ---
    metrics: {execution_time: {avg: 45, p95: 120, p99: 180}, success_rate: 99.5, throughput: 100}
    ---
    logging: {level: info, components: [workflow_engine], format: {timestamp: string}}
    ---
    error_handling:
      activity_error: {retry: {max_attempts: 3, backoff: {initial: 1s, multiplier: 2}}, fallback: {activity: skip}}
    ---
    error_handling: {workflow_error: {strategy: compensate, notification: {channels: [slack], recipients: [ann]}}}
    ---
    compensation: {strategy: reverse, mode: automatic, timeout: 5m, notification: true}
    ---
    compensation_activities: {assign_agent: {activity: unassign_agent, params: {id: "${workflow.ticket_id}"}}}
    ---
    concurrency: {max_workflows: 1000, max_activities: 100, queuing: {strategy: fifo, timeout: 30s}}
    ---
    resources: {cpu: {limit: 4, request: 2}, memory: {limit: "2Gi", request: "1Gi"}}
    ---
    saga: {steps: [{activity: create_ticket, compensation: delete_ticket}, {activity: assign_agent}]}
    ---
    circuit_breaker: {threshold: 5, timeout: 60s, reset: 300s, monitoring: {enabled: true, metrics: [error_rate]}}
    ---
    bulkhead: {max_concurrent: 10, max_queue_size: 100, timeout: 30s, fallback: {activity: degrade_service}}
    ---
    tracing: {enabled: true, sampling_rate: 0.1, components: [workflow_engine, activity_executor]}
    """
)
