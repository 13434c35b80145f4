"""Compensation: what is undone, in which order, and how that ends."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.definition.model import Compensation, ErrorStrategy, Step
from stepwell.execution.history import CompensationEnded, CompensationStarted, ExecutionFailed, StepSkipped
from tests.decider.story import (
    FLAKY,
    SECOND,
    Story,
    begun,
    config_of,
    dispatched,
    kinds,
    on,
    retries,
    says,
    step,
    workflow,
)


def undoing(name: str, of: str, **settings: Any) -> Step:
    """A compensation step that needs the output of a step."""
    return step(name, config={"task": "undo", "args": {"id": f"{{{{ steps.{of}.output.id }}}}"}}, **settings)


def failed_after(*done: str, undo: tuple[Step, ...], **settings: Any) -> Story:
    """An execution in which these steps completed, and then `end` failed."""
    steps = [step(name) for name in done]
    story = begun(workflow(*steps, step("end", *done), undo=undo, **settings))
    for name in done:
        story.done(name, {"id": f"{name}-1"})
    story.failed("end")
    return story


def reason(story: Story) -> str:
    """Why compensation started."""
    (started,) = [event for event in story.history if isinstance(event, CompensationStarted)]
    return started.reason


def test_steps_run_one_after_the_other_in_listed_order() -> None:
    story = failed_after("a", undo=(step("u2"), step("u1"), step("u3")))
    assert story.status("u2") == "running"
    assert dispatched(story.done("u2")) == ["u1"]
    assert dispatched(story.done("u1")) == ["u3"]
    assert kinds(story.done("u3")) == ["StepCompleted", "CompensationEnded", "ExecutionFailed"]
    assert story.state.compensation == "done"


def test_the_strategy_reverse_inverts_the_listed_order() -> None:
    undo = (step("u1"), step("u2"))
    compensation = Compensation(steps=undo, strategy="reverse", declared=True)
    story = failed_after("a", undo=undo, compensation=compensation)
    assert story.status("u2") == "running"
    assert dispatched(story.done("u2")) == ["u1"]


def test_compensation_steps_read_the_outputs_and_the_error() -> None:
    undo = step("u", config={"task": "undo", "args": {"id": "{{ steps.a.output.id }}", "why": "{{ error.message }}"}})
    story = failed_after("a", undo=(undo,))
    (command,) = [command for command in story.commands if getattr(command, "assignment", None)][-1:]
    assert getattr(command, "assignment").config["args"] == {"id": "a-1", "why": "it went boom"}  # noqa: B009
    story.crash()
    assert story.run.state.steps["u"].input is not None, "an error may be another one when it is rendered again"


def test_running_steps_are_awaited_first_and_undone_too() -> None:
    story = begun(workflow(step("a"), step("slow"), undo=(undoing("u", "slow"),)))
    assert kinds(story.failed("a")) == ["StepFailed"]
    decision = story.done("slow", {"id": "s-1"})
    assert kinds(decision) == ["StepCompleted", "CompensationStarted", "StepScheduled"]
    assert config_of(decision, "u")["args"] == {"id": "s-1"}


def test_a_step_whose_condition_does_not_hold_is_skipped() -> None:
    undo = (step("u1", when="{{ steps.a.failed }}"), step("u2", when="{{ steps.a.completed }}"))
    story = failed_after("a", undo=undo)
    assert story.status("u1") == "skipped"
    assert story.step("u1").reason == "condition"
    assert story.status("u2") == "running"


@pytest.mark.parametrize("where", ["config", "when"])
def test_a_reference_to_a_step_that_never_completed_skips_with_the_reason_and_is_never_called(where: str) -> None:
    reads = undoing("u", "never") if where == "config" else step("u", when="{{ steps.never.output.id == 1 }}")
    story = begun(workflow(step("a"), step("never", "a"), undo=(reads, step("u2"))))
    decision = story.failed("a")
    (skipped,) = [event for event in decision.events if isinstance(event, StepSkipped)]
    assert skipped.reason == "unavailable"
    assert "steps.never.output is not there: step 'never' has not run" in skipped.message
    assert dispatched(decision) == ["u2"]


@pytest.mark.parametrize("fate", ["failed", "skipped", "cancelled"])
def test_what_did_not_complete_is_not_undone(fate: str) -> None:
    step_of = {
        "failed": step("x", on_failure=says("continue")),
        "skipped": step("x", when=False),
        "cancelled": step("x", type="wait", config={"for": "1h"}),
    }
    story = begun(workflow(step_of[fate], step("a"), undo=(undoing("u", "x"),)))
    if fate == "failed":
        story.failed("x")
    story.failed("a")
    assert story.status("x") == fate
    assert story.step("u").reason == "unavailable"
    assert story.state.compensation == "nothing"


def test_a_reference_with_a_default_is_called_all_the_same() -> None:
    undo = step("u", config={"task": "undo", "args": {"id": "{{ steps.never.output.id | default('none') }}"}})
    story = begun(workflow(step("a"), step("never", "a"), undo=(undo,)))
    assert config_of(story.failed("a"), "u")["args"] == {"id": "none"}


def test_a_failing_compensation_is_recorded_and_the_others_run() -> None:
    story = failed_after("a", undo=(step("u1"), step("u2")))
    assert dispatched(story.failed("u1")) == ["u2"]
    decision = story.done("u2")
    assert decision.events[1] == CompensationEnded(0, "failed")
    assert story.status("u1") == "failed"
    assert story.state.status == "failed"


def test_a_compensation_whose_settings_cannot_be_rendered_is_recorded_and_the_others_run() -> None:
    story = failed_after("a", undo=(step("u1", config={"task": "undo", "args": "{{ input.nothing }}"}), step("u2")))
    assert story.status("u1") == "failed"
    assert story.status("u2") == "running"


def test_a_failing_compensation_is_retried_by_its_policy() -> None:
    story = failed_after("a", undo=(step("u1", retry=retries(2)), step("u2")))
    assert kinds(story.failed("u1", FLAKY)) == ["AttemptFailed"]
    story.crash()
    assert story.run.next_due() == SECOND
    assert dispatched(story.time(SECOND)) == ["u1"]
    assert dispatched(story.done("u1")) == ["u2"]


def test_nothing_to_undo_is_an_outcome() -> None:
    story = failed_after("a", undo=(step("u1", when=False),))
    assert story.state.compensation == "nothing"


def test_control_steps_compensate_too() -> None:
    undo = (
        step("note", type="set", config={"undone": True}),
        step("pause", type="wait", config={"for": "1s"}),
        step("ack", type="wait_for_event", config={"event_type": "go", "timeout": "1s"}),
        step("last"),
    )
    story = failed_after("a", undo=undo)
    assert story.state.variables == {"undone": True}
    assert story.status("pause") == "waiting"
    story.time(SECOND)
    assert story.status("ack") == "waiting"
    story.time(SECOND)
    assert story.status("ack") == "failed"
    story.done("last")
    assert story.state.compensation == "failed"


def test_compensation_goes_on_where_it_was_after_a_crash() -> None:
    story = failed_after("a", undo=(step("u1"), step("u2"), step("u3")))
    story.done("u1")
    story.crash()
    assert dispatched(story.done("u2")) == ["u3"]


def test_time_limits_of_the_workflow_do_not_stop_compensation() -> None:
    story = failed_after("a", undo=(step("u"),), timeout=5 * SECOND, deadline=9 * SECOND)
    assert story.run.next_due() is None
    assert story.time(60 * SECOND).events == []
    story.done("u")
    assert story.state.compensation == "done"


# What starts it, and how it is told


def test_compensation_starts_by_itself_when_the_workflow_says_how_to_undo() -> None:
    story = failed_after("a", undo=(step("u"),))
    assert reason(story) == "step 'end' failed: it went boom"


@pytest.mark.parametrize("mode", ["fail_fast", "drain"])
def test_an_action_may_ask_for_it_against_the_strategy_of_the_workflow(mode: str) -> None:
    definition = workflow(
        step("first"), step("a", on_failure=says("compensate")), undo=(step("u"),), failure_mode=mode,
        on_error=ErrorStrategy(strategy="terminate"),
    )  # fmt: skip
    story = begun(definition)
    story.failed("first")
    assert dispatched(story.failed("a")) == ["u"]


def test_asking_for_it_handles_no_failure_even_with_an_edge() -> None:
    story = begun(
        workflow(step("a", on_failure=says("compensate")), step("cure", on("a", "failure")), undo=(step("u"),))
    )
    assert dispatched(story.failed("a")) == ["u"]
    story.done("u")
    assert story.state.status == "failed"


def test_asking_for_it_when_there_is_nothing_declared_is_told_as_nothing() -> None:
    story = begun(workflow(step("a", on_failure=says("compensate"))))
    assert kinds(story.failed("a")) == ["StepFailed", "CompensationStarted", "CompensationEnded", "ExecutionFailed"]
    assert story.state.compensation == "nothing"


def test_running_out_of_time_compensates() -> None:
    story = begun(workflow(step("a"), undo=(step("u"),), deadline=SECOND))
    decision = story.time(SECOND)
    assert kinds(decision) == ["ExecutionFailing", "StepCancelled", "CompensationStarted", "StepScheduled"]
    assert reason(story) == "the workflow passed its deadline"


def test_an_output_that_cannot_be_built_compensates() -> None:
    story = begun(workflow(step("a"), undo=(step("u"),), output_values={"x": "{{ steps.a.output.x }}"}))
    assert dispatched(story.done("a", {})) == ["u"]
    decision = story.done("u")
    assert isinstance(decision.events[-1], ExecutionFailed)
    assert decision.events[-1].error.type == "invalid_output"


def test_the_error_after_compensation_is_that_of_the_failure() -> None:
    story = failed_after("a", undo=(step("u"),))
    story.failed("u", ErrorInfo("other", "undoing failed"))
    (failed,) = [event for event in story.history if isinstance(event, ExecutionFailed)]
    assert failed.error.type == "boom"
