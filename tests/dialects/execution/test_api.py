"""Workflows of the product's API: `workflowDefinition`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.definition.diagnostics import Diagnostic
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from tests.dialects.execution.documents import API
from tests.dialects.execution.running import a_stage, broken, statuses
from tests.dialects.meaning import definition_of


def api(*steps: dict[str, Any], **more: Any) -> str:
    """A document with these steps, numbered."""
    numbered = [{"stepIdentifier": number, **step} for number, step in enumerate(steps, 1)]
    return json.dumps({"name": "w", **more, "workflowDefinition": numbered}, indent=1)


def native(text: str) -> dict[str, Any]:
    whole: dict[str, Any] = document_of(definition_of(text, "test.json"))
    return whole


def findings(text: str) -> list[Diagnostic]:
    return list(load(Source("test.json", text)).diagnostics)


def test_every_key_has_its_native_meaning() -> None:
    whole = native(API)
    assert whole["metadata"] == {
        "name": "High_priority_ticket",
        "version": "3.0.0",
        "description": "High priority ticket",
    }
    spec = whole["spec"]
    assert spec["config"]["on_error"] == {"strategy": "terminate"}
    assert spec["triggers"] == [
        {
            "event": "ticket:created",
            "filter": {"priority": {"~in": ["high", "urgent"]}},
            "map": "{{ merge(event.data, {'event': event}) }}",
            "active": False,
        }
    ]
    first, pause, asks, refused, third, last = spec["steps"]
    assert first["config"] == {
        "task": "notify_team",
        "args": {"ticket": "{{ input.id }}", "at": "{{ input.event.time }}"},
    }
    assert first["retry"] == {"max_attempts": 3, "backoff": "exponential", "initial_delay": "1s", "multiplier": 2.0}
    assert (first["timeout"], first["on_failure"]) == ("30s", {"action": "continue"})
    assert (pause["type"], pause["config"], "depends_on" in pause) == ("wait", {"for": 60}, False)
    assert asks["when"] == "{{ satisfies(input, {'customer.vip': true}) }}"
    assert asks["config"]["assigned_to"] == ["u1", "bob@example.com"]
    assert asks["depends_on"] == ["step_1", "step_2"]
    assert (refused["name"], third["depends_on"]) == ("refused_step_3", ["refused_step_3"])
    assert third["config"]["url"] == "http://127.0.0.1:1/{{ input.id }}"
    assert third["compensate"]["config"] == {"task": "delete_ticket", "args": {"id": "x"}}
    assert (last["depends_on"], last["config"]["available"]) == (["step_3"], "{{ input }}")


@pytest.mark.parametrize(
    ("text", "line", "code", "message"),
    [
        (json.dumps({"workflowDefinition": []}), 1, "missing-key", "the key `name` is missing"),
        (json.dumps({"name": "w", "workflowDefinition": []}), 1, "no-steps", "there are no steps here"),
        (
            json.dumps({"name": "w", "workflowDefinition": {}}),
            1,
            "wrong-type",
            "expected a list of steps, saw a mapping",
        ),
        (api({"activity": "a"}, isActiv=True), 3, "unknown-key", "the key `isActiv` is not known here"),
        (api({"activity": "a", "onFailure": "continue"}), 7, "wrong-value", "'continue' is written in capitals"),
        (api({"activity": {"version": 1}}), 6, "missing-key", "the key `uniqueIdentifier` is missing in `activity`"),
        (api({"activity": "a", "dependencies": [2]}), 8, "unknown-step", "there is no step 'step_2'"),
        (api({"activity": "a", "retryPolicy": {"maximumAttempts": 0}}), 8, "wrong-value", "must be at least 1"),
        (api({"activity": "a", "isSleepActivity": True}), 7, "missing-key", "a sleep needs `duration` in its input"),
        (
            api({"activity": "a", "input": {"x": "{{context.user}}"}}),
            8,
            "expression-syntax",
            "only the message of the event",
        ),
        (
            api({"activity": "a", "input": {"x": "{{workflow.x}}"}}),
            8,
            "expression-syntax",
            "the name 'workflow' means nothing",
        ),
        (
            api({"activity": "a", "input": {"x": "{{context.event.message.orgId}}"}}),
            8,
            "expression-syntax",
            "events carry no 'orgId' here",
        ),
        (
            api({"activity": "a", "filters": {"{{context.event.message.actor.id}}": 1}}),
            8,
            "wrong-value",
            "'context.event.message.actor.id' is no path in the payload",
        ),
        (
            api({"activity": "a"}, triggerEvent="e", filters={"p": {"~like": 1}}),
            6,
            "unknown-operator",
            "there is no operator '~like'",
        ),
        (
            api({"activity": "a"}, execution={"workflow": "w"}),
            3,
            "unknown-key",
            "the key `execution` is not known here",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_place(text: str, line: int, code: str, message: str) -> None:
    (found,) = [each for each in findings(text) if each.severity == "error"]
    assert (found.span.line, found.code) == (line, code)
    assert message in found.message


def test_what_means_nothing_here_is_pointed_out() -> None:
    text = api({"activity": {"uniqueIdentifier": "a", "version": 2}}, teamId="t", annotations=[{"entityType": "x"}])
    assert [(each.code, each.severity) for each in findings(text)] == [("no-effect", "warning")] * 3


async def test_steps_without_dependencies_run_side_by_side_and_a_failure_that_continues_stops_nobody() -> None:
    text = api(
        {"activity": "a", "dependencies": []},
        {"activity": "b", "dependencies": [], "onFailure": "CONTINUE"},
        {"activity": "c", "dependencies": [1, 2]},
    )
    async with a_stage({"a": lambda: 1, "b": broken, "c": lambda: 3}) as stage:
        report = await stage.run(text)
        assert report["status"] == "completed"
        assert statuses(report) == {"step_1": "completed", "step_2": "failed", "step_3": "completed"}
        assert stage.called() == ["a", "b", "c"]


@pytest.mark.parametrize(("on_failure", "undone"), [("COMPENSATE", ["undo_a"]), ("ABORT", []), (None, [])])
async def test_only_a_failure_that_compensates_undoes(on_failure: str | None, undone: list[str]) -> None:
    undo = {"activity": {"uniqueIdentifier": "undo_a"}, "input": {}}
    failing = {"activity": "b", **({"onFailure": on_failure} if on_failure is not None else {})}
    async with a_stage({"a": lambda: 1, "b": broken, "undo_a": lambda: None}) as stage:
        report = await stage.run(api({"activity": "a", "compensationActivity": undo}, failing))
        assert report["status"] == "failed"
        assert stage.called() == ["a", "b", *undone]
