"""Documents with `execution` or `saga`: what they mean natively, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.loading import Loaded
from stepwell.definition.model import Step, WorkflowDefinition
from stepwell.dialects.loading import load, settings_in
from stepwell.dialects.native.writing import document_of
from tests.dialects.execution.running import document
from tests.dialects.meaning import definition_of

W = "execution: {workflow: w, activities: [{name: a}]}\n---\n"
ACTIVITIES = Known(tasks={"notify_team", "assign_agent", "set_sla", "unassign_agent", "clear_sla"})


def loaded(text: str, known: Known | None = None) -> Loaded:
    return load(Source("test.yaml", document(text)), known=known)


def native(text: str) -> dict[str, Any]:
    """The native `spec` that a document means."""
    spec: dict[str, Any] = document_of(definition_of(document(text)))["spec"]
    return spec


def step_of(activity: str, *others: str) -> dict[str, Any]:
    """The native step of the first of the activities, which are written as mappings in flow style."""
    text = "execution:\n  workflow: w\n  activities:\n" + "".join(f"    - {each}\n" for each in (activity, *others))
    step: dict[str, Any] = native(text)["steps"][0]
    return step


def found(text: str, known: Known | None = None) -> list[str]:
    """`line:column code message` of every error."""
    return [_shown(each) for each in loaded(text, known).diagnostics if each.severity == "error"]


def _shown(finding: Diagnostic) -> str:
    return f"{finding.span.line}:{finding.span.column} {finding.code} {finding.message}"


def wrong(activity: str) -> list[str]:
    """The errors in a workflow of one activity, without their lines."""
    text = f"execution:\n  workflow: w\n  activities:\n    - {activity}\n"
    return [each.partition(" ")[2] for each in found(text)]


# What it means


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


# What is wrong with it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("execution: {activities: [{name: a}]}", ["1:12 missing-key the key `workflow` is missing in `execution`"]),
        ("execution: {workflow: w}", ["1:12 missing-key the key `activities` is missing in `execution`"]),
        ("execution: {workflow: w, activities: []}", ["1:38 no-steps there are no steps here"]),
        (
            "execution: {workflow: w, activities: {a: b}}",
            ["1:38 wrong-type `activities`: expected a list, saw a mapping"],
        ),
        (
            "execution: {workflow: a b, activities: [{name: a}]}",
            ["1:23 bad-name 'a b' is not a name: letters, digits, _ . and -, beginning with a letter or _"],
        ),
        (
            "execution: {workflow: w, activities: [{name: a}, {name: a}]}",
            ["1:57 duplicate-name there are two steps 'a'; the first is in line 1"],
        ),
        (
            "error_handling: {activity_error: {fallback: {activity: skip}}}",
            ["1:1 not-a-workflow `error_handling` by itself is no workflow: there is neither `execution` nor `saga`"],
        ),
        (
            "state: {id: x}\n---\nmetrics: {}\n",
            ["1:1 not-a-workflow `state`, `metrics` by itself is no workflow: there is neither `execution` nor `saga`"],
        ),
        (
            W + "bulkheads: {max_concurrent: 1}",
            ["3:1 unknown-key the key `bulkheads` is not known here"],
        ),
        (
            W + "execution: {workflow: v}",
            ["3:13 conflicting-keys `workflow` is said twice, and not the same: first in line 1"],
        ),
        (
            W + "- 1",
            ["3:1 wrong-type expected a mapping, saw a list"],
        ),
        (
            W + "compensation_activities: {b: {activity: c}}",
            ["3:27 unknown-step there is no activity 'b' to undo"],
        ),
        (
            (
                "execution: {workflow: w, activities: [{name: a}], compensation: {mode: manual}}\n---\n"
                "compensation: {mode: automatic}"
            ),
            ["3:16 conflicting-keys `mode` is said twice, and not the same: first in line 1"],
        ),
        (
            (
                "execution: {workflow: w, activities: [{name: a, compensation: b}]}\n---\n"
                "saga: {steps: [{activity: a, compensation: c}]}"
            ),
            ["3:44 conflicting-keys 'a' is undone by 'c' here, and by 'b' elsewhere"],
        ),
        (
            W + "circuit_breaker: {threshold: 0, reset: 0}",
            [
                "3:30 wrong-value `threshold`: must be at least 1, saw the number 0",
                "3:40 bad-duration `reset`: must be longer than zero",
            ],
        ),
        (
            W + "tracing: {sampling_rate: 1.5}",
            ["3:26 wrong-value `sampling_rate`: must be at most 1, saw the number 1.5"],
        ),
        (
            W + "logging: {level: loud, components: [kitchen]}",
            [
                "3:18 wrong-value `level`: expected debug, info, warning or error, saw 'loud'",
                (
                    "3:37 wrong-value `components[0]`: expected workflow_engine, activity_executor or state_manager, "
                    "saw 'kitchen'"
                ),
            ],
        ),
        (
            W + "resources: {cpu: {request: 4, limit: 2}, memory: {limit: 2Gx}}",
            [
                "3:28 wrong-value 4 are asked for, and 2 may be used",
                (
                    "3:58 bad-quantity `limit`: '2Gx' is not an amount; "
                    "expected a number of bytes such as 512Mi, 2Gi or 1000000"
                ),
            ],
        ),
        (
            W + "concurrency: {max_workflows: 0, queuing: {strategy: lifo}}",
            [
                "3:30 wrong-value `max_workflows`: must be at least 1, saw the number 0",
                "3:53 wrong-value `strategy`: expected fifo, saw 'lifo'",
            ],
        ),
        (
            "execution: {workflow: w, trigger: {event: e, conditions: {p: {~is: high}}}, activities: [{name: a}]}",
            ["1:63 unknown-operator there is no operator '~is'"],
        ),
        (
            (
                "execution: {workflow: w, trigger: {event: e, conditions: {p: {~in: x}, q: {~regex: '('}}}, "
                "activities: [{name: a}]}"
            ),
            ["1:68 wrong-value ~in takes a list", "1:84 wrong-value ~regex takes a regular expression"],
        ),
    ],
)
def test_what_is_wrong_with_documents_is_said_at_its_place(text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (
            "{name: a, retry: {max_attempts: 0}}",
            ["wrong-value `max_attempts`: must be at least 1, saw the number 0"],
        ),
        (
            "{name: a, retry: {max_attempts: 2, backoff: {multiplier: 0.5}}}",
            ["wrong-value `multiplier`: must be at least 1, saw the number 0.5"],
        ),
        (
            "{name: a, retry: {max_attempts: 2, backoff: {initial: soon}}}",
            ["bad-duration `initial`: 'soon' is not a duration"],
        ),
        (
            "{name: a, on_failure: retry}",
            ["wrong-value `on_failure`: expected compensate, abort or continue, saw 'retry'"],
        ),
        (
            "{name: a, on_failure: abort, fallback: {activity: b}}",
            ["conflicting-keys `on_failure` and `fallback` both say what its failure does"],
        ),
        (
            "{name: a, input: {}, params: {}}",
            ["conflicting-keys `input` and `params` mean the same; only one of them can be given"],
        ),
        ("{name: a, depends_on: b}", ["unknown-step there is no step 'b'"]),
        (
            "{name: a, filters: high}",
            ["wrong-type `filters`: expected a mapping from paths to values or operators, saw 'high'"],
        ),
        ("{name: a, filters: {'${error.x}': 1}}", ["wrong-value 'error.x' is no path in the payload of an event"]),
        ("{name: a, activity: 'workflows:sleep-platform'}", ["missing-key a sleep needs `duration` in its input"]),
        ("{name: a, input: {x: '${workflow.x'}}", ["expression-syntax this '${' is not closed"]),
        ("{name: a, input: {x: '${ticket_id}'}}", ["expression-syntax the name 'ticket_id' means nothing here"]),
        ("{name: a, input: {x: '${event}'}}", ["expression-syntax the event as a whole cannot be read"]),
        ("{name: a, input: {x: '${activities.b.output}'}}", ["unknown-step there is no step 'b'"]),
        ("{name: a, input: {x: '${workflow.x.upper()}'}}", ["method-call"]),
        ("{nmae: a}", ["missing-key", "unknown-key the key `nmae` is not known here"]),
    ],
)
def test_what_is_wrong_with_an_activity_is_said(activity: str, expected: list[str]) -> None:
    said = wrong(activity)
    assert len(said) == len(expected), said
    for finding, beginning in zip(said, expected, strict=True):
        assert finding.startswith(beginning)


def test_an_activity_that_nobody_registered_is_refused_and_the_known_ones_are_named() -> None:
    text = "execution: {workflow: w, activities: [{name: asign_agent}, {name: b, fallback: {activity: nowhere}}]}"
    findings = loaded(text, ACTIVITIES).diagnostics
    assert [(each.span.column, each.code, each.message) for each in findings] == [
        (46, "unknown-task", "there is no task 'asign_agent'"),
        (67, "unknown-task", "there is no task 'b'"),
        (91, "unknown-task", "there is no task 'nowhere'"),
    ]
    assert findings[0].hint == "did you mean 'assign_agent'?"
    assert findings[1].hint == "known: assign_agent, clear_sla, notify_team, set_sla, unassign_agent"


def test_keys_of_two_dialects_are_refused() -> None:
    findings = loaded("execution: {workflow: w, activities: [{name: a}]}\napiVersion: workflow/v1\n").diagnostics
    assert [each.code for each in findings] == ["ambiguous-dialect"]


def test_every_part_of_a_file_has_its_place() -> None:
    definition: WorkflowDefinition = definition_of(
        document(
            """
            execution:
              workflow: w
              activities:
                - name: a
            ---
            compensation_activities:
              a: {activity: b}
            """
        )
    )
    step: Step = definition.steps[0]
    assert definition.spans.at(step.path).line == 4
    assert step.compensate is not None
    assert definition.spans.at(step.compensate.path).line == 7


def test_an_unknown_activity_is_refused_wherever_it_stands() -> None:
    text = """
        execution:
          workflow: w
          activities: [{name: set_sla, compensation: one}]
          compensation: {activities: [{name: two}]}
        ---
        bulkhead: {max_concurrent: 1, fallback: {activity: three}}
        ---
        compensation_activities: {set_sla: {activity: one, params: {}}}
    """
    errors = [each for each in loaded(text, ACTIVITIES).diagnostics if each.severity == "error"]
    assert [(each.span.line, each.code, each.message) for each in errors] == [
        (4, "unknown-task", "there is no task 'two'"),
        (6, "unknown-task", "there is no task 'three'"),
        (8, "unknown-task", "there is no task 'one'"),
    ]


def test_a_throttler_whose_key_is_wrong_is_told_once() -> None:
    (told,) = found(
        """
        execution: {workflow: w, activities: [{name: create, activity: "tickets:create"}]}
        ---
        activities:
          - name: tickets:create
            http_config: {endpoint_url: "http://127.0.0.1:1/tickets"}
            throttler: {limit: 3, ttl: 60, key: "${workflow.team"}
        """
    )
    assert told.partition(" ")[2].startswith("expression-syntax")
