"""Documents with `execution` or `saga`: what is wrong with them."""

from __future__ import annotations

import pytest

from stepwell.definition.model import Step, WorkflowDefinition
from tests.dialects.execution.reading import ACTIVITIES, W, found, loaded, wrong
from tests.dialects.execution.running import document
from tests.dialects.meaning import definition_of


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
