"""What happens when a step fails: retries, actions, edges, and the strategy of the workflow."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.definition.model import Action, ErrorStrategy
from stepwell.execution.commands import RunStep, StopStep
from stepwell.execution.history import AttemptFailed, ExecutionFailed, StepCancelled, StepFailed
from stepwell.execution.work import Assignment, Report
from tests.decider.story import (
    BOOM,
    FLAKY,
    SECOND,
    TIMEOUT,
    Story,
    begun,
    dispatched,
    kinds,
    on,
    retries,
    says,
    step,
    workflow,
)


def assignment(story: Story) -> Assignment:
    """What was dispatched last."""
    return [command.assignment for command in story.commands if isinstance(command, RunStep)][-1]


def failure(story: Story) -> ErrorInfo:
    """The execution's error."""
    (failed,) = [event for event in story.history if isinstance(event, ExecutionFailed)]
    return failed.error


# Retries


def test_without_a_policy_nothing_is_retried() -> None:
    story = begun(workflow(step("a")))
    assert kinds(story.failed("a", FLAKY)) == ["StepFailed", "ExecutionFailed"]


def test_a_retryable_failure_is_tried_again_at_the_exact_instant() -> None:
    story = begun(workflow(step("a", retry=retries(2, initial_delay=3 * SECOND))))
    assert story.failed("a", FLAKY, after=10).events == [AttemptFailed(10, "a", 1, 0, FLAKY, 10 + 3 * SECOND)]
    assert story.run.next_due() == 10 + 3 * SECOND
    assert dispatched(story.time(3 * SECOND - 1)) == []
    assert dispatched(story.time(1)) == ["a"]
    assert assignment(story).attempt == 2


def test_backoff_grows_and_max_attempts_counts_every_try() -> None:
    policy = retries(4, backoff="exponential", initial_delay=SECOND, multiplier=3.0, max_delay=5 * SECOND)
    story = begun(workflow(step("a", retry=policy)))
    waits = []
    for _ in range(3):
        (event,) = story.failed("a", FLAKY).events
        assert isinstance(event, AttemptFailed)
        waits.append(event.retry_at - event.at)
        story.time(waits[-1])
    assert waits == [SECOND, 3 * SECOND, 5 * SECOND]
    assert kinds(story.failed("a", FLAKY)) == ["StepFailed", "ExecutionFailed"]
    assert story.step("a").attempts == 4


def test_a_failure_that_is_not_retryable_is_not_tried_again() -> None:
    story = begun(workflow(step("a", retry=retries(5))))
    assert kinds(story.failed("a", BOOM)) == ["StepFailed", "ExecutionFailed"]


def test_jitter_is_the_same_on_every_replay_and_another_for_every_try() -> None:
    definition = workflow(step("a", retry=retries(3, jitter=0.5)), step("b", retry=retries(3, jitter=0.5)))

    def instants() -> list[int]:
        story = begun(definition)
        for name in ("a", "b"):
            story.failed(name, FLAKY)
        story.crash()
        story.time(2 * SECOND)
        story.failed("a", FLAKY)
        return [event.retry_at for event in story.history if isinstance(event, AttemptFailed)]

    assert instants() == instants()
    assert len(set(instants())) == 3


def test_retry_when_decides_instead_of_what_the_error_says() -> None:
    policy = retries(3, when="{{ error.type == 'boom' and attempt < 2 }}")
    story = begun(workflow(step("a", retry=policy)))
    assert kinds(story.failed("a", BOOM)) == ["AttemptFailed"]
    story.time(SECOND)
    assert kinds(story.failed("a", BOOM)) == ["StepFailed", "ExecutionFailed"]


@pytest.mark.parametrize(("error", "retried"), [(TIMEOUT, True), (FLAKY, False)])
def test_retry_when_can_ask_how_the_try_ended(error: ErrorInfo, retried: bool) -> None:
    story = begun(workflow(step("a", retry=retries(2, when="{{ failed() and timed_out() and result is null }}"))))
    assert (kinds(story.failed("a", error)) == ["AttemptFailed"]) is retried


def test_retry_when_that_cannot_be_evaluated_asks_for_no_retry() -> None:
    story = begun(workflow(step("a", retry=retries(3, when="{{ error.details.status == 503 }}"))))
    assert kinds(story.failed("a", FLAKY)) == ["StepFailed", "ExecutionFailed"]


def test_the_policy_of_the_workflow_holds_for_steps_without_their_own() -> None:
    story = begun(workflow(step("a"), step("b", retry=retries(1)), retry=retries(2)))
    assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed"]
    assert story.failed("b", FLAKY).events[0] == StepFailed(0, "b", 0, FLAKY)


def test_on_failure_retry_says_how_often_and_the_policy_how_patiently() -> None:
    settings: dict[str, Any] = {
        "on_failure": says("retry", max_attempts=2),
        "retry": retries(9, initial_delay=7 * SECOND),
    }
    story = begun(workflow(step("a", **settings)))
    assert story.failed("a", FLAKY).events == [AttemptFailed(0, "a", 1, 0, FLAKY, 7 * SECOND)]
    story.time(7 * SECOND)
    assert kinds(story.failed("a", FLAKY)) == ["StepFailed", "ExecutionFailed"]


def test_on_timeout_retry_tries_a_timeout_again_and_nothing_else() -> None:
    definition = workflow(step("a", on_timeout=says("retry", max_attempts=2)))
    assert kinds(begun(definition).failed("a", TIMEOUT)) == ["AttemptFailed"]
    assert kinds(begun(definition).failed("a", FLAKY)) == ["StepFailed", "ExecutionFailed"]


def test_a_retry_runs_with_the_settings_of_the_first_try() -> None:
    see = {"task": "work", "args": {"n": "{{ vars.n }}", "at": "{{ now() }}", "id": "{{ uuid() }}"}}
    story = begun(workflow(step("b", publish=(("n", 2),)), step("a", config=see, retry=retries(2)), vars=(("n", 1),)))
    first = assignment(story)
    story.done("b")
    story.failed("a", FLAKY)
    story.crash()
    story.time(SECOND)
    assert story.state.variables == {"n": 2}
    assert assignment(story) == msgspec.structs.replace(first, attempt=2)


# Reports that mean nothing


def test_a_second_report_of_the_same_try_changes_nothing() -> None:
    story = begun(workflow(step("a"), step("b", "a")))
    report = Report(execution="x", step="a", attempt=1, started_at=0, result=1)
    story.when(report)
    assert story.when(report).events == []
    assert story.step("a").output == 1


def test_a_report_of_an_earlier_try_changes_nothing() -> None:
    story = begun(workflow(step("a", retry=retries(2))))
    story.failed("a", FLAKY)
    late = Report(execution="x", step="a", attempt=1, started_at=0, result="too late")
    assert story.when(late).events == []
    story.time(SECOND)
    assert story.when(late).events == []
    story.done("a", "in time")
    assert story.step("a").output == "in time"


def test_a_report_after_the_end_changes_nothing() -> None:
    story = begun(workflow(step("a")))
    story.done("a")
    assert story.when(Report(execution="x", step="a", attempt=1, started_at=0)).events == []


def test_a_report_for_a_step_that_does_not_exist_changes_nothing() -> None:
    story = begun(workflow(step("a")))
    assert story.when(Report(execution="x", step="other", attempt=1, started_at=0)).events == []


# Actions


@pytest.mark.parametrize("action", ["continue", "skip"])
def test_continue_lets_those_that_depend_on_the_step_run(action: Action) -> None:
    story = begun(workflow(step("a", on_failure=says(action)), step("b", "a")))
    assert dispatched(story.failed("a")) == ["b"]
    story.done("b")
    assert story.state.status == "completed"
    assert story.statuses() == {"a": "failed", "b": "completed"}


def test_the_message_of_terminate_becomes_the_message_of_the_execution() -> None:
    message = "Order {{ input.order }} failed: {{ error.message }} (try {{ attempt }})"
    story = begun(workflow(step("a", on_failure=says("terminate", message=message))), {"order": 7})
    story.failed("a")
    assert failure(story).message == "Order 7 failed: it went boom (try 1)"
    assert failure(story).details == {"step": "a", "cause": "it went boom"}
    assert failure(story).type == "boom"


def test_a_message_can_ask_how_the_step_ended() -> None:
    message = "{{ 'too slow' if timed_out() else 'broken' }}"
    story = begun(workflow(step("a", on_failure=says("terminate", message=message))))
    story.failed("a", TIMEOUT)
    assert failure(story).message == "too slow"


def test_a_message_that_cannot_be_built_does_not_hide_the_cause() -> None:
    story = begun(workflow(step("a", on_failure=says("terminate", message="{{ input.nothing }}"))))
    story.failed("a")
    assert failure(story).message.startswith("it went boom (the message of its action cannot be built: ")


def test_without_a_message_the_error_names_the_step() -> None:
    story = begun(workflow(step("a")))
    story.failed("a")
    assert failure(story).message == "step 'a' failed: it went boom"


def test_on_timeout_goes_before_on_failure_when_the_time_was_up() -> None:
    definition = workflow(
        step("a", on_failure=says("terminate", message="broken"), on_timeout=says("terminate", message="too slow"))
    )
    late, broken = begun(definition), begun(definition)
    late.failed("a", TIMEOUT)
    broken.failed("a")
    assert (failure(late).message, failure(broken).message) == ("too slow", "broken")


def test_on_failure_holds_for_timeouts_when_nothing_else_is_said() -> None:
    story = begun(workflow(step("a", on_failure=says("continue"))))
    assert kinds(story.failed("a", TIMEOUT)) == ["StepFailed", "ExecutionCompleted"]


def test_an_action_comes_after_the_last_try() -> None:
    story = begun(workflow(step("a", on_failure=says("continue"), retry=retries(2)), step("b", "a")))
    assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed"]
    story.time(SECOND)
    assert dispatched(story.failed("a", FLAKY)) == ["b"]


def test_a_failure_that_an_edge_handles_leaves_the_execution_completed_and_the_step_failed() -> None:
    story = begun(workflow(step("a"), step("cure", on("a", "failure")), step("next", "a")))
    assert story.failed("a").events[0] == StepFailed(0, "a", 0, BOOM, "edge")
    story.done("cure")
    assert story.state.status == "completed"
    assert story.statuses() == {"a": "failed", "cure": "completed", "next": "skipped"}


def test_a_dependency_that_a_failure_kills_does_not_handle_it() -> None:
    story = begun(workflow(step("a"), step("late", on("a", "timeout")), step("strict", on("a", "success"))))
    assert kinds(story.failed("a")) == ["StepFailed", "ExecutionFailed"]


# fail_fast and drain


def test_fail_fast_lets_running_steps_finish_and_starts_nothing_new() -> None:
    story = begun(workflow(step("a"), step("b"), step("after", "b")))
    assert kinds(story.failed("a")) == ["StepFailed"]
    assert kinds(story.done("b", 7)) == ["StepCompleted", "ExecutionFailed"]
    assert story.step("b").output == 7
    assert story.status("after") == "pending"


def test_fail_fast_cancels_waits_and_pending_retries() -> None:
    story = begun(
        workflow(
            step("a"),
            step("timer", type="wait", config={"for": "1h"}),
            step("wait", type="wait_for_event", config={"event_type": "go"}),
            step("flaky", retry=retries(2)),
        )
    )
    story.failed("flaky", FLAKY)
    decision = story.failed("a")
    assert [event.step for event in decision.events if isinstance(event, StepCancelled)] == ["timer", "wait", "flaky"]
    assert kinds(decision)[-1] == "ExecutionFailed"
    assert story.run.next_due() is None


def test_fail_fast_cancels_waits_at_once_and_not_when_the_last_running_step_has_ended() -> None:
    story = begun(workflow(step("a"), step("b"), step("pause", type="wait", config={"for": "1h"})))
    assert kinds(story.failed("a")) == ["StepFailed", "StepCancelled"]
    assert story.statuses() == {"a": "failed", "b": "running", "pause": "cancelled"}


def test_fail_fast_cancels_a_wait_that_would_have_timed_out_at_the_same_instant() -> None:
    config = {"event_type": "go", "timeout": "1s"}
    story = begun(workflow(*[step(name, type="wait_for_event", config=config) for name in ("a", "b")]))
    assert kinds(story.time(SECOND)) == ["StepFailed", "StepCancelled", "ExecutionFailed"]


def test_fail_fast_does_not_try_a_running_step_again() -> None:
    story = begun(workflow(step("a"), step("flaky", retry=retries(2))))
    story.failed("a")
    assert kinds(story.failed("flaky", FLAKY)) == ["StepFailed", "ExecutionFailed"]
    assert failure(story).details == {"step": "a", "cause": "it went boom"}


def test_fail_fast_starts_no_retry_that_is_due_at_the_instant_of_the_failure() -> None:
    story = begun(
        workflow(
            step("a", type="wait_for_event", config={"event_type": "go", "timeout": "1s"}),
            step("flaky", retry=retries(2)),
        )
    )
    story.failed("flaky", FLAKY)
    decision = story.time(SECOND)
    assert dispatched(decision) == []
    assert kinds(decision) == ["StepFailed", "StepCancelled", "ExecutionFailed"]


def test_fail_fast_decides_nothing_more_about_the_steps_behind() -> None:
    story = begun(workflow(step("a"), step("b"), step("c", "a", "b"), step("d", "c")))
    story.failed("a")
    story.crash()
    story.failed("b")
    assert story.statuses() == {"a": "failed", "b": "failed", "c": "pending", "d": "pending"}


def test_drain_runs_whatever_can_still_be_reached() -> None:
    story = begun(
        workflow(
            step("a"), step("b"), step("after", "b"), step("dead", "a"), step("flaky", retry=retries(2)),
            failure_mode="drain",
        )
    )  # fmt: skip
    story.failed("a")
    assert kinds(story.failed("flaky", FLAKY)) == ["AttemptFailed"]
    assert dispatched(story.done("b")) == ["after"]
    assert dispatched(story.time(SECOND)) == ["flaky"]
    story.done("flaky")
    assert kinds(story.done("after")) == ["StepCompleted", "ExecutionFailed"]
    assert story.status("dead") == "skipped"


def test_the_first_unhandled_failure_is_the_error_of_a_draining_execution() -> None:
    story = begun(workflow(step("a"), step("b"), failure_mode="drain"))
    story.failed("b", ErrorInfo("first", "this came first"))
    story.failed("a")
    assert failure(story).type == "first"


# The strategy of the workflow


def test_the_strategy_terminate_does_not_compensate() -> None:
    definition = workflow(step("a"), undo=(step("undo"),), on_error=ErrorStrategy(strategy="terminate"))
    story = begun(definition)
    assert kinds(story.failed("a")) == ["StepFailed", "ExecutionFailed"]


def test_the_strategy_continue_completes_all_the_same() -> None:
    definition = workflow(
        step("a"), step("b"), on_error=ErrorStrategy(strategy="continue"), output_values={"b": "{{ steps.b.output }}"}
    )
    story = begun(definition)
    story.failed("a")
    assert kinds(story.done("b", 2)) == ["StepCompleted", "ExecutionCompleted"]
    assert story.state.output == {"b": 2}


def test_the_strategy_continue_cannot_complete_without_a_valid_output() -> None:
    definition = workflow(
        step("a"), on_error=ErrorStrategy(strategy="continue"), output_values={"a": "{{ steps.a.output }}"}
    )
    story = begun(definition)
    story.failed("a")
    assert failure(story).type == "invalid_output"


@pytest.mark.parametrize("mode", ["fail_fast", "drain"])
def test_the_strategy_continue_does_not_complete_what_ran_out_of_time(mode: str) -> None:
    definition = workflow(
        step("a"), step("b"), on_error=ErrorStrategy(strategy="continue"), deadline=SECOND, failure_mode=mode
    )
    story = begun(definition)
    story.failed("a")
    story.time(SECOND)
    assert failure(story).type == "timeout"
    assert failure(story).message == "the workflow passed its deadline; before that: it went boom"


def test_the_strategy_continue_does_not_complete_what_is_stuck() -> None:
    definition = workflow(step("a", "b"), step("b", "a"), on_error=ErrorStrategy(strategy="continue"))
    assert failure(begun(definition)).type == "stuck"


@pytest.mark.parametrize("strategy", [None, "continue"])
def test_strict_failures_fail_an_execution_with_a_failed_step(strategy: Literal["continue"] | None) -> None:
    settings: dict[str, Any] = {"strict_failures": True, "on_error": ErrorStrategy(strategy=strategy)}
    handled = begun(workflow(step("a", on_failure=says("continue")), step("b"), **settings))
    handled.failed("a")
    handled.done("b")
    assert failure(handled).message == "failed steps: a (strict_failures)"
    unhandled = begun(workflow(step("a"), **settings))
    unhandled.failed("a")
    assert unhandled.state.status == "failed"


def test_an_expression_that_fails_says_where_it_stands() -> None:
    story = begun(workflow(step("a", config={"task": "work", "args": {"x": "{{ input.missing }}"}})))
    error = story.step("a").error
    assert error is not None
    assert error.type == "expression_error"
    assert error.details is not None
    assert error.details["where"] == "args.x"
    assert error.details["expression"] == "input.missing"
    assert "input.missing" in error.message


def test_stopping_a_step_names_its_current_try() -> None:
    story = begun(workflow(step("a", retry=retries(2)), deadline=5 * SECOND))
    story.failed("a", FLAKY)
    story.time(SECOND)
    assert StopStep("x/a/2") in story.time(4 * SECOND).commands
