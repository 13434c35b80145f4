"""Documents of activities, some of them drawn."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

NAMES: Final = ("notify", "assign", "set_sla", "close")
API: Final = """{
  "name": "High priority ticket",
  "type": "EVENT", "subType": "WORKFLOW", "version": 3, "metadata": {"any": "thing"},
  "triggerEvent": "ticket:created",
  "filters": {"{{context.event.message.payload.priority}}": {"~in": ["high", "urgent"]}},
  "isActive": false,
  "activities": [
    {
      "name": "tickets:create",
      "http_config": {"endpoint_url": "http://127.0.0.1:1/{{context.event.message.payload.id}}", "httpVerb": "POST"},
      "request_schema": {"type": "object"},
      "throttler": {"limit": 3, "ttl": 60, "key": "id {{context.event.message.payload.id}}"}
    }
  ],
  "workflowDefinition": [
    {
      "stepIdentifier": 1,
      "activity": {"uniqueIdentifier": "notify_team", "autoUpgradeToLatestVersion": true},
      "input": {"ticket": "{{context.event.message.payload.id}}", "at": "{{ context.event.message.timestamp }}"},
      "retryPolicy": {"maximumAttempts": 3, "initialInterval": 1, "backoffCoefficient": 2},
      "onFailure": "CONTINUE",
      "executionTimeout": 30
    },
    {
      "stepIdentifier": 2,
      "activity": {"uniqueIdentifier": "wait"},
      "isSleepActivity": true, "input": {"duration": 60}, "dependencies": []
    },
    {
      "stepIdentifier": 3,
      "activity": "tickets:create",
      "dependencies": [1, 2],
      "onFailure": "COMPENSATE",
      "requireApproval": true, "approver": {"id": "u1", "email": "bob@example.com"},
      "filters": {"customer.vip": true},
      "compensationActivity": {"activity": {"uniqueIdentifier": "delete_ticket"}, "input": {"id": "x"}}
    },
    {"stepIdentifier": 4, "activity": "close"}
  ]
}
"""

_texts = st.sampled_from((
    "plain", "${workflow.ticket_id}", "a ${workflow.agent} b", "${workflow}", "${event.payload.agent}", "${event.type}",
    "${upper(workflow.name | default('x'))}", "{{ not one }}", "${execution.id}", "${workflow.agent.names[0]}",
))  # fmt: skip
_values = st.one_of(_texts, st.integers(-5, 5), st.booleans(), st.lists(_texts, max_size=2))
_inputs = st.dictionaries(st.sampled_from(("x", "y")), _values, max_size=2)
_durations = st.sampled_from(("1s", "90s", "5m", "250ms"))
_filters = st.sampled_from((
    {"priority": "high"},
    {"n": {"~gte": -2, "~lt": 3.5}, "~or": [{"a.b": {"~isnull": True}}, {"tags": {"~contains": "vip"}}]},
    {"list": {"~in": ["a", 1, None]}},
))  # fmt: skip
_retries = st.fixed_dictionaries(
    {"max_attempts": st.integers(1, 5)},
    optional={"backoff": st.fixed_dictionaries({}, optional={"initial": _durations, "multiplier": st.integers(1, 3)})},
)
_fallbacks = st.fixed_dictionaries(
    {"activity": st.sampled_from(("skip", "degrade"))}, optional={"notify": st.booleans()}
)
_undoings = st.one_of(
    st.just("undo"), st.fixed_dictionaries({"activity": st.just("undo")}, optional={"params": _inputs})
)


@st.composite
def _activities(draw: st.DrawFn) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        earlier = [each["name"] for each in made]
        optional: dict[str, st.SearchStrategy[Any]] = {
            "activity": st.sampled_from(("work", "tickets:create", "remote")),
            "input": _inputs,
            "publish": st.fixed_dictionaries({}, optional={"agent": st.just("${output.agent}"), "n": st.just(1)}),
            "filters": _filters,
            "retry": _retries,
            "timeout": _durations,
            "approval": st.sampled_from(({}, {"approver": "ann"}, {"approver": ["ann", "bob"]}, {"required": False})),
            "compensation": _undoings,
        }
        if earlier:
            optional["depends_on"] = st.lists(st.sampled_from(earlier), unique=True)
        activity = draw(st.fixed_dictionaries({"name": st.just(name)}, optional=optional))
        failing = draw(st.sampled_from(("", "on_failure", "fallback")))
        if failing:
            one_of = st.sampled_from(("abort", "continue", "compensate"))
            activity[failing] = draw(_fallbacks if failing == "fallback" else one_of)
        made.append(activity)
    return made


_triggers = st.fixed_dictionaries(
    {"event": st.sampled_from(("ticket:created", "ticket:*"))},
    optional={"conditions": _filters, "active": st.booleans()},
)
_compensations = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.sampled_from(("reverse", "forward", "parallel")),
        "mode": st.sampled_from(("automatic", "manual")),
        "timeout": _durations,
        "notification": st.booleans(),
        "activities": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(("revert", "clear"))}, optional={"params": _inputs}),
            unique_by=lambda each: str(each["name"]),
            max_size=2,
        ),
    },
)
_MANIFEST: Final = {
    "name": "remote",
    "http_config": {"endpoint_url": "http://127.0.0.1:1/x", "headers": {"x-id": "${workflow.ticket_id}"}},
    "response_schema": {"type": "object"},
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document with `execution` and whatever else may stand beside it."""
    execution: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"workflow": st.just("drawn"), "activities": _activities()},
            optional={
                "version": st.sampled_from((1, 7, "1.2.3")),
                "description": st.just("What it does."),
                "trigger": _triggers,
                "compensation": _compensations,
            },
        )
    )
    beside = st.fixed_dictionaries(
        {"activities": st.just([_MANIFEST])},
        optional={
            "error_handling": st.fixed_dictionaries(
                {},
                optional={
                    "activity_error": st.fixed_dictionaries({}, optional={"retry": _retries, "fallback": _fallbacks}),
                    "workflow_error": st.sampled_from((
                        {"strategy": "compensate"},
                        {"strategy": "abort", "notification": {"channels": ["slack"], "recipients": ["ops"]}},
                        {"strategy": "continue", "notification": {"channels": ["slack", "email"]}},
                    )),
                },
            ),
            "circuit_breaker": st.just({"threshold": 3, "timeout": "10s", "reset": "1m"}),
            "bulkhead": st.fixed_dictionaries(
                {"max_concurrent": st.just(2)}, optional={"fallback": st.just({"activity": "degrade"})}
            ),
            "compensation_activities": st.just({NAMES[0]: {"activity": "undo", "params": {"x": "${workflow.x}"}}}),
        },
    )  # fmt: skip
    document: dict[str, Any] = {"execution": execution, **draw(beside)}
    if execution["activities"][0].get("compensation") is not None:
        document.pop("compensation_activities", None)
    return document
