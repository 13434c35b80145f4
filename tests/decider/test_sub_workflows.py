"""`workflow`: another workflow as a step."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.decider.subworkflow import MAX_DEPTH
from stepwell.execution.inputs import ChildEnded
from stepwell.execution.verbs import Cancel
from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY


def parent(more: str = "", config: str = "", steps: str = "", spec: str = "") -> str:
    """A workflow with a sub-workflow and a step behind it."""
    return f"""
{spec}
steps:
- name: sub
  type: workflow
  {more or "description: nothing more"}
  config: {{name: child, version: "1.2.0", input: {{n: "{{{{ input.n | default(1) }}}}"}}{config}}}
{steps or "- {name: z, type: noop, depends_on: sub}"}
output: {{values: {{out: "{{{{ steps.sub.output | default(none) }}}}"}}}}
"""


def test_the_step_starts_an_execution_of_its_own_and_waits_for_its_end() -> None:
    story = Played(parent(), {"n": 7})
    started = story.children["sub"]
    assert (started.workflow, started.version, started.input, started.depth) == ("child", "1.2.0", {"n": 7}, 1)
    assert story.of("sub") == "waiting"
    assert story.step("sub").child == started.child


def test_the_output_of_the_sub_workflow_is_that_of_the_step() -> None:
    story = Played(parent()).child("sub", {"total": 3})
    assert story.output == {"out": {"total": 3}}


def test_the_output_may_be_shaped() -> None:
    story = Played(parent('output: {sum: "{{ response.total }}"}')).child("sub", {"total": 3})
    assert story.output == {"out": {"sum": 3}}


def test_a_failed_sub_workflow_fails_the_step_with_its_error_inside() -> None:
    story = Played(parent()).child("sub", error=ErrorInfo("boom", "step 'x' failed: it went boom"))
    error = story.problem("sub")
    child = story.children["sub"].child
    assert error.type == "workflow_failed"
    assert error.message == f"sub-workflow {child} failed: step 'x' failed: it went boom"
    assert details(error)["execution"] == child
    assert details(error)["error"]["type"] == "boom"
    assert story.status == "failed"


def test_a_cancelled_sub_workflow_fails_the_step() -> None:
    story = Played(parent()).child("sub", status="cancelled")
    assert story.problem("sub").type == "workflow_cancelled"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unknown_workflow", "there is no workflow 'child'"),
        ("invalid_input", "n: must be text"),
        ("version_retired", "x"),
    ],
)
def test_a_sub_workflow_that_cannot_be_started_fails_the_step_with_that_reason(kind: str, message: str) -> None:
    story = Played(parent()).child("sub", error=ErrorInfo(kind, message))
    assert story.problem("sub").type == kind
    assert story.problem("sub").message.endswith(f"could not be started: {message}")


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("on_failure: {action: continue}", ""),
        ("on_failure: cure", "- {name: cure, type: noop}"),
        ("on_failure: {action: fallback, fallback: {total: 0}}", ""),
    ],
)
def test_a_failed_sub_workflow_may_be_handled_like_any_failure(more: str, steps: str) -> None:
    story = Played(parent(more, steps=steps)).child("sub", error=BOOM)
    assert story.status == "completed"


def test_a_retry_starts_another_execution() -> None:
    story = Played(parent("retry: {max_attempts: 2, initial_delay: 1s}"))
    first = story.children["sub"].child
    story.child("sub", error=FLAKY)
    assert story.of("sub") == "retrying"
    story.time(1)
    second = story.children["sub"].child
    assert second != first
    story.take(ChildEnded("sub", first, "completed", {"late": 1}))
    assert story.of("sub") == "waiting"
    assert story.child("sub", {"total": 1}).output == {"out": {"total": 1}}


def test_when_its_time_is_up_the_sub_workflow_is_cancelled_and_the_step_has_timed_out() -> None:
    story = Played(parent("timeout: 1h"))
    child = story.children["sub"].child
    story.time("1h")
    assert story.told == [(child, "cancel")]
    assert story.problem("sub").type == "timeout"
    assert story.problem("sub").message == f"sub-workflow {child} did not end within 1h"
    story.take(ChildEnded("sub", child, "cancelled"))
    assert story.status == "failed"


@pytest.mark.parametrize(("action", "after"), [("late", "completed"), ("{action: continue}", "completed")])
def test_on_timeout_decides_what_follows(action: str, after: str) -> None:
    steps = "- {name: late, type: noop}" if action == "late" else ""
    story = Played(parent(f"timeout: 1h\n  on_timeout: {action}", steps=steps)).time("1h")
    assert story.status == after


def test_without_waiting_the_step_completes_at_once_with_the_id_of_the_execution() -> None:
    story = Played(parent(config=", wait: false"))
    assert story.output == {"out": {"execution_id": story.children["sub"].child}}
    assert story.status == "completed"


def test_the_end_of_a_sub_workflow_that_nobody_waits_for_changes_nothing() -> None:
    story = Played(parent(config=", wait: false", steps="- {name: a, type: work}"))
    before = len(story.history)
    story.child("sub", {"total": 1})
    assert len(story.history) == before


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": 7}, "name must be text, not 7"),
        ({"name": ""}, "name must be text, not ''"),
        ({"version": 2}, "version must be text, not 2"),
        ({"input": [1]}, "input must be an object, not list"),
        ({"wait": "yes"}, "wait must be true or false, not 'yes'"),
    ],
)
def test_settings_that_make_no_sense_fail_the_step(config: dict[str, Any], says: str) -> None:
    given = {"name": "child", "version": None, "input": {}, "wait": True, **config}
    story = Played(
        """
        steps:
        - name: sub
          type: workflow
          config: {name: "{{ input.name }}", version: "{{ input.version }}", input: "{{ input.input }}",
             wait: "{{ input.wait }}"}
        """,
        given,
    )
    assert story.problem("sub").type == "invalid_config"
    assert story.problem("sub").message == f"workflow: {says}"
    assert story.children == {}


def test_a_sub_workflow_that_would_be_too_deep_is_not_started() -> None:
    story = Played(parent(), depth=MAX_DEPTH)
    assert story.problem("sub").type == "too_deep"
    assert "at most 32 are allowed" in story.problem("sub").message
    assert story.children == {}


def test_a_sub_workflow_is_cancelled_with_the_step_that_waits_for_it() -> None:
    story = Played(parent(steps="- {name: a, type: work, cancels: [sub]}"))
    story.done("a")
    assert story.told == [(story.children["sub"].child, "cancel")]
    assert story.of("sub") == "cancelled"


def test_a_cancelled_execution_has_its_sub_workflows_cancelled_and_waits_for_them() -> None:
    story = Played(parent())
    story.take(Cancel(by="ada", reason="why"))
    child = story.children["sub"].child
    assert (story.told, story.of("sub"), story.status) == ([(child, "cancel")], "waiting", "running")
    story.take(ChildEnded("sub", child, "cancelled"))
    assert story.status == "cancelled"


def test_a_sub_workflow_that_runs_when_another_step_fails_is_awaited_like_any_work() -> None:
    story = Played(parent(steps="- {name: a, type: work}"))
    story.failed("a")
    assert (story.told, story.of("sub"), story.status) == ([], "waiting", "running")
    story.take(ChildEnded("sub", story.children["sub"].child, "completed"))
    assert (story.of("sub"), story.status) == ("completed", "failed")


def test_the_same_execution_starts_the_same_children_when_it_is_decided_again() -> None:
    assert Played(parent()).children == Played(parent()).children


def test_a_sub_workflow_for_each_round_is_an_execution_of_its_own() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2, 3]
            concurrency: 3
            steps: [{name: sub, type: workflow, config: {name: child, input: {n: "{{ item }}"}}}]
    """)
    assert [each.input for each in story.children.values()] == [{"n": 1}, {"n": 2}, {"n": 3}]
    for key in list(story.children):
        story.child(key, {"of": key})
    assert story.step("l").output[2] == {"sub": {"of": "sub[2]"}}
