"""Documents with `execution` or `saga`: what they mean natively."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.dialects.loading import settings_in
from tests.dialects.execution.reading import loaded, native, step_of
from tests.dialects.execution.running import document
from tests.dialects.meaning import definition_of


def test_activities_run_one_after_another_with_the_variables_that_they_have_parameters_for() -> None:
    spec = native("execution: {workflow: w, activities: [{name: notify_team}, {name: again, activity: notify_team}]}")
    assert spec["steps"] == [
        {"name": "notify_team", "type": "python", "config": {"task": "notify_team", "available": "{{ input }}"}},
        {
            "name": "again",
            "type": "python",
            "depends_on": ["notify_team"],
            "config": {"task": "notify_team", "available": "{{ input }}"},
        },
    ]


def test_activities_may_say_what_they_depend_on() -> None:
    spec = native(
        """
        execution:
          workflow: w
          activities:
            - {name: a}
            - {name: b, depends_on: []}
            - {name: c, depends_on: [a, b]}
            - {name: d, depends_on: a}
        """
    )
    assert [step.get("depends_on") for step in spec["steps"]] == [None, None, ["a", "b"], ["a"]]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${workflow.ticket_id}", "{{ input.ticket_id }}"),
        ("ticket ${ workflow.ticket.id } of ${trigger.by}", "ticket {{ input.ticket.id }} of {{ input.by }}"),
        ("${workflow['a b'][0]}", "{{ input['a b'][0] }}"),
        ("${event.payload.id}", "{{ input.id }}"),
        ("${trigger.data['id']}", "{{ input['id'] }}"),
        ("${activities.before.output.id}", "{{ steps.before.output.id }}"),
        ("${execution.id}", "{{ execution.id }}"),
        ("${upper(workflow.name) | default('x')}", "{{ upper(input.name) | default('x') }}"),
        ("{{ workflow.x }}", "{{ '{{' }} workflow.x }}"),
        ("${event.type}", "{{ input.event.type }}"),
    ],
)
def test_expressions_are_read_in_dollar_braces(written: str, meant: str) -> None:
    text = f"""
        execution:
          workflow: w
          activities:
            - name: before
            - name: a
              input:
                x: "{written}"
    """
    assert native(text)["steps"][1]["config"]["args"] == {"x": meant}


def test_what_is_published_hides_what_came_with_the_event() -> None:
    spec = native(
        """
        execution:
          workflow: w
          activities:
            - {name: a, publish: {agent: "${output.agent_id}", by: "${workflow.by}"}}
            - {name: b, params: {x: "${workflow.agent}", y: "${workflow.ticket}", z: "${event.payload.agent}"}}
            - {name: c, output: {all: "${workflow}"}}
        """
    )
    first, second, third = spec["steps"]
    assert first["publish"] == {"agent": "{{ response.agent_id }}", "by": "{{ vars.by | default(input.by) }}"}
    assert second["config"]["args"] == {
        "x": "{{ vars.agent | default(input.agent) }}",
        "y": "{{ input.ticket }}",
        "z": "{{ input.agent }}",
    }
    assert third["config"]["available"] == "{{ merge(input, vars) }}"
    assert third["publish"] == {"all": "{{ merge(input, vars) }}"}


def test_who_reads_more_of_the_event_than_its_payload_is_given_the_event() -> None:
    spec = native(
        'execution: {workflow: w, trigger: {event: "t:*"}, activities: [{name: a, input: {x: "${event.id}"}}]}'
    )
    assert spec["triggers"] == [{"event": "t:*", "map": "{{ merge(event.data, {'event': event}) }}"}]


def test_conditions_are_paths_in_the_payload_however_they_are_written() -> None:
    spec = native(
        """
        execution:
          workflow: w
          trigger:
            event: ticket:created
            active: false
            conditions:
              priority: high
              "${event.payload.customer.tier}": {~in: [gold, silver]}
              context.event.message.payload.by: {~isnull: false}
              ~or: [{"{{context.event.message.payload.n}}": {~gte: 3}}, {tags: {~contains: vip}}]
          activities: [{name: a}]
        """
    )
    assert spec["triggers"] == [
        {
            "event": "ticket:created",
            "filter": {
                "priority": "high",
                "customer.tier": {"~in": ["gold", "silver"]},
                "by": {"~isnull": False},
                "~or": [{"n": {"~gte": 3}}, {"tags": {"~contains": "vip"}}],
            },
            "active": False,
        }
    ]


def test_a_filter_of_an_activity_is_a_condition_over_the_variables() -> None:
    step = step_of('{name: a, filters: {priority: high, "n": {~gt: -1}}}', '{name: b, publish: {n: "${output}"}}')
    assert step["when"] == "{{ satisfies(merge(input, vars), {'priority': 'high', 'n': {'~gt': -1}}) }}"


@pytest.mark.parametrize(
    ("activity", "key", "meant"),
    [
        ("{name: a, timeout: 90}", "timeout", "1m30s"),
        ("{name: a, on_failure: continue}", "on_failure", {"action": "continue"}),
        ("{name: a, on_failure: abort}", "on_failure", {"action": "terminate"}),
        ("{name: a, on_failure: compensate}", "on_failure", {"action": "compensate"}),
        ("{name: a, fallback: {activity: skip}}", "on_failure", {"action": "skip"}),
        (
            "{name: a, fallback: {activity: b, notify: true}}",
            "on_failure",
            {
                "action": "fallback",
                "notify": True,
                "fallback": {"type": "python", "config": {"task": "b", "available": "{{ input }}"}},
            },
        ),
        (
            "{name: a, compensation: undo_a}",
            "compensate",
            {"type": "python", "config": {"task": "undo_a", "available": "{{ input }}"}},
        ),
    ],
)
def test_what_an_activity_says_about_failure(activity: str, key: str, meant: Any) -> None:
    assert step_of(activity)[key] == meant


def test_waits_grow_by_a_multiplier_and_a_retry_says_everything() -> None:
    retry = step_of("{name: a, retry: {max_attempts: 4, backoff: {initial: 2s, multiplier: 3}}}")["retry"]
    assert retry == {"max_attempts": 4, "backoff": "exponential", "initial_delay": "2s", "multiplier": 3.0}
    usual = step_of("{name: a, retry: {max_attempts: 4}}")["retry"]
    assert usual == {"max_attempts": 4, "backoff": "exponential", "initial_delay": "1s", "multiplier": 2}


def test_an_activity_that_needs_approval_is_asked_for_and_fails_when_it_is_refused() -> None:
    spec = native(
        "execution: {workflow: w, activities: [{name: a}, {name: b, approval: {approver: ann}, on_failure: continue}]}"
    )
    _, asks, refused, step = spec["steps"]
    assert (asks["name"], asks["type"], asks["depends_on"]) == ("approve_b", "approval", ["a"])
    assert asks["config"]["assigned_to"] == "ann"
    assert (refused["type"], refused["config"]["type"]) == ("fail", "unauthorized")
    assert refused["on_failure"] == step["on_failure"] == {"action": "continue"}
    assert step["depends_on"] == ["refused_b"]
    (only,) = native("execution: {workflow: w, activities: [{name: a, approval: {required: false}}]}")["steps"]
    assert only["type"] == "python"


def test_a_sleep_is_a_wait_that_holds_no_worker() -> None:
    step = step_of("{name: pause, activity: 'workflows:sleep-platform', input: {duration: 5m}}")
    assert (step["type"], step["config"]) == ("wait", {"for": "5m"})


def test_activities_may_be_services_on_the_net() -> None:
    spec = native(
        """
        execution: {workflow: w, activities: [{name: create, activity: "tickets:create"}, {name: look, input: {id: 5}}]}
        ---
        activities:
          - name: tickets:create
            http_config: {endpoint_url: "http://127.0.0.1:1/tickets/${workflow.id}", headers: {x-a: b}}
            request_schema: {required: [title]}
            throttler: {limit: 3, ttl: 60, key: "${workflow.customer}"}
          - {name: look, http_config: {endpoint_url: "http://127.0.0.1:1/look", httpVerb: GET}}
        """
    )
    create, look = spec["steps"]
    assert create["config"] == {
        "url": "http://127.0.0.1:1/tickets/{{ input.id }}",
        "method": "POST",
        "headers": {"x-a": "b"},
        "request_schema": {"required": ["title"]},
        "body": "{{ input }}",
    }
    assert spec["config"]["policies"][create["rate_limit"]] == {
        "rate_limit": {"limit": 3, "per": "1m", "key": "{{ input.customer }}"}
    }
    assert look["config"] == {"url": "http://127.0.0.1:1/look", "method": "GET", "query": {"id": 5}}


def test_breakers_and_bulkheads_are_of_an_activity_whichever_steps_run_it() -> None:
    spec = native(
        """
        execution: {workflow: w, activities: [{name: a}, {name: b, activity: a}]}
        ---
        circuit_breaker: {threshold: 3, timeout: 10s, reset: 1m, monitoring: {enabled: true, metrics: [latency]}}
        ---
        bulkhead: {max_concurrent: 2, fallback: {activity: c}}
        """
    )
    assert [step["circuit_breaker"] for step in spec["steps"]] == ["a_circuit_breaker"] * 2
    policies = spec["config"]["policies"]
    breaker = policies["a_circuit_breaker"]["circuit_breaker"]
    assert (breaker["threshold"], breaker["call_timeout"], breaker["open_for"]) == (3, "10s", "1m")
    bulkhead = policies["a_bulkhead"]["bulkhead"]
    assert bulkhead["fallback"] == {"type": "python", "config": {"task": "c", "available": "{{ input }}"}}


def test_parts_of_compensation_are_merged_and_reverse_is_the_usual_order() -> None:
    spec = native(
        """
        execution:
          workflow: w
          activities: [{name: assign_agent}, {name: other, activity: create_ticket}]
          compensation: {activities: [{name: clear_sla}, {name: tell, activity: notify_team, params: {x: 1}}]}
        ---
        compensation: {mode: manual, timeout: 5m, notification: true}
        ---
        compensation_activities:
          assign_agent: {activity: unassign_agent, params: {id: "${workflow.id}"}}
        ---
        saga: {steps: [{activity: create_ticket, compensation: delete_ticket}]}
        """
    )
    compensation = spec["compensation"]
    assert (compensation["strategy"], compensation["mode"], compensation["timeout"]) == ("reverse", "manual", "5m")
    assert compensation["notification"] is True
    assert compensation["steps"] == [
        {"name": "clear_sla", "type": "python", "config": {"task": "clear_sla", "available": "{{ input }}"}},
        {"name": "tell", "type": "python", "config": {"task": "notify_team", "args": {"x": 1}}},
    ]
    undo = [step["compensate"]["config"]["task"] for step in spec["steps"]]
    assert undo == ["unassign_agent", "delete_ticket"]
    assert spec["steps"][0]["compensate"]["config"]["args"] == {"id": "{{ input.id }}"}


def test_a_saga_is_a_workflow_by_itself() -> None:
    text = "saga: {steps: [{activity: 'tickets:create', compensation: {activity: b, params: {x: 1}}}, {activity: c}]}"
    definition = definition_of(document(text))
    assert (definition.name, definition.version) == ("saga", "1.0.0")
    assert [step.name for step in definition.steps] == ["tickets_create", "c"]
    assert definition.compensation.strategy == "reverse"


def test_fragments_of_the_same_name_are_merged() -> None:
    spec = native(
        """
        error_handling: {activity_error: {retry: {max_attempts: 2}}}
        ---
        execution: {workflow: w, version: 2, activities: [{name: a}]}
        ---
        error_handling: {workflow_error: {strategy: abort}}
        ---
        error_handling: {activity_error: {retry: {max_attempts: 2}, fallback: {activity: skip}}}
        """
    )
    assert spec["config"]["retry_policy"]["max_attempts"] == 2
    assert spec["config"]["on_error"] == {"strategy": "terminate"}
    assert spec["steps"][0]["on_failure"] == {"action": "skip"}


def test_what_the_engine_gives_out_and_what_is_not_applied_is_pointed_out() -> None:
    text = """
        execution: {workflow: w, activities: [{name: a}], compensation: {activities: [{name: b}]}}
        ---
        state: {id: wf_1, status: running, current_activity: a, variables: {x: 1}}
        ---
        metrics: {execution_time: {avg: 45}}
        ---
        tracing: {enabled: true, sampling_rate: 0.1, components: [workflow_engine]}
        ---
        logging: {level: info, components: [state_manager], format: {timestamp: string}}
        ---
        concurrency: {max_workflows: 10, max_activities: 5, queuing: {strategy: fifo, timeout: 30s}}
    """
    assert [(each.span.line, each.code, each.severity) for each in loaded(text).diagnostics] == [
        (1, "unlinked-compensation", "warning"),
        (3, "output-only", "warning"),
        (5, "output-only", "warning"),
    ]


def test_what_a_document_says_of_logs_and_traces_becomes_configuration() -> None:
    text = """
        execution: {workflow: w, activities: [{name: a}]}
        ---
        tracing: {enabled: true, sampling_rate: 0.1, components: [workflow_engine]}
        ---
        logging: {level: info, components: [state_manager], format: {timestamp: string}}
    """
    definition = loaded(text).definition
    assert definition is not None
    assert settings_in(definition) == {
        "logging": {"level": "info", "components": ["state_manager"], "format": "json"},
        "tracing": {"enabled": True, "sampling_rate": 0.1, "components": ["workflow_engine"]},
    }


def test_the_dialect_may_be_said() -> None:
    assert definition_of("dialect: execution\nsaga: {steps: [{activity: a}]}\n").dialect == "execution"
