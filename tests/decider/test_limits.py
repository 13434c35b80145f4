"""Bounds of the execution as a whole: steps in parallel, active time, the deadline, the queue."""

from __future__ import annotations

import pytest

from stepwell.execution.commands import EndExecution, StopStep
from stepwell.execution.history import ExecutionFailed
from stepwell.execution.inputs import Begin, QueueTimedOut, TimersDue
from tests.decider.story import FLAKY, SECOND, Story, begun, dispatched, kinds, retries, step, workflow


def error_of(story: Story) -> tuple[str, str]:
    """Type and message of the execution's error."""
    (failed,) = [event for event in story.history if isinstance(event, ExecutionFailed)]
    return failed.error.type, failed.error.message


# max_parallel_steps


def test_no_more_steps_run_than_allowed_and_the_next_starts_when_one_ends() -> None:
    story = begun(workflow(*[step(name) for name in "abcd"], max_parallel_steps=2))
    assert list(story.statuses().values()) == ["running", "running", "pending", "pending"]
    assert dispatched(story.done("b")) == ["c"]
    assert dispatched(story.done("c")) == ["d"]


def test_what_waits_for_a_place_starts_in_the_order_of_the_definition_also_after_a_crash() -> None:
    definition = workflow(step("a"), step("x", "b"), step("b"), step("y"), max_parallel_steps=2)
    for crashes in (False, True):
        story = begun(definition)
        story.done("a")
        assert story.statuses() == {"a": "completed", "x": "pending", "b": "running", "y": "running"}
        if crashes:
            story.crash()
        assert dispatched(story.done("b")) == ["x"]


def test_a_retry_that_is_due_waits_for_a_place() -> None:
    story = begun(workflow(step("a", retry=retries(2)), step("b"), step("c"), max_parallel_steps=1))
    story.failed("a", FLAKY)
    assert story.statuses() == {"a": "retrying", "b": "running", "c": "pending"}
    assert story.time(SECOND).events == []
    assert story.run.next_due() is None, "nothing is to be done by time alone"
    assert dispatched(story.done("b")) == ["a"]
    assert dispatched(story.done("a")) == ["c"]


def test_a_retry_that_waits_for_a_place_is_not_forgotten_in_a_crash() -> None:
    story = begun(workflow(step("a", retry=retries(2)), step("b"), max_parallel_steps=1))
    story.failed("a", FLAKY)
    story.time(SECOND)
    story.crash()
    assert story.run.next_due() == SECOND
    assert story.time(0).events == []
    assert dispatched(story.done("b")) == ["a"]


def test_a_place_is_free_again_when_a_step_waits_for_its_retry() -> None:
    story = begun(workflow(step("a", retry=retries(2)), step("b"), max_parallel_steps=1))
    assert dispatched(story.failed("a", FLAKY)) == ["b"]


# Active time


def test_an_execution_that_runs_out_of_active_time_stops_its_work_and_fails() -> None:
    story = begun(workflow(step("a"), step("b"), timeout=60 * SECOND))
    assert story.run.next_due() == 60 * SECOND
    assert story.time(60 * SECOND - 1).events == []
    decision = story.time(1)
    assert kinds(decision) == ["ExecutionFailing", "StepCancelled", "StepCancelled", "ExecutionFailed"]
    assert decision.commands == [StopStep("x/a/1"), StopStep("x/b/1"), EndExecution()]
    assert error_of(story) == ("timeout", "the workflow timed out after 1m")


def test_time_spent_only_waiting_is_not_active() -> None:
    story = begun(
        workflow(
            step("a"), step("pause", "a", type="wait", config={"for": "1h"}), step("b", "pause"), timeout=60 * SECOND
        )
    )
    story.done("a", after=50 * SECOND)
    assert story.run.next_due() == (50 + 3_600) * SECOND
    story.time(3_600 * SECOND)
    assert story.run.next_due() == (50 + 3_600 + 10) * SECOND
    story.crash()
    assert story.run.next_due() == (50 + 3_600 + 10) * SECOND
    story.time(10 * SECOND)
    assert error_of(story)[0] == "timeout"


def test_time_between_tries_is_not_active() -> None:
    story = begun(workflow(step("a", retry=retries(2, initial_delay=3_600 * SECOND)), timeout=60 * SECOND))
    story.failed("a", FLAKY, after=59 * SECOND)
    assert story.run.next_due() == 3_659 * SECOND


def test_steps_at_the_same_time_count_once() -> None:
    story = begun(workflow(step("a"), step("b"), timeout=60 * SECOND))
    story.done("a", after=40 * SECOND)
    assert story.run.next_due() == 60 * SECOND


# The deadline


def test_the_deadline_counts_everything_from_the_creation() -> None:
    definition = workflow(step("pause", type="wait", config={"for": "2h"}), deadline=3_600 * SECOND)
    story = Story(definition, at=5)
    story.when(Begin(), after=1_000 * SECOND)
    assert story.run.next_due() == 5 + 3_600 * SECOND
    story.time(2_600 * SECOND)
    assert error_of(story) == ("timeout", "the workflow passed its deadline")
    assert story.status("pause") == "cancelled"


@pytest.mark.parametrize("mode", ["fail_fast", "drain"])
def test_a_failing_execution_is_bounded_too(mode: str) -> None:
    story = begun(workflow(step("a"), step("slow"), step("after", "slow"), deadline=60 * SECOND, failure_mode=mode))
    story.failed("a")
    assert story.run.next_due() == 60 * SECOND
    story.time(60 * SECOND)
    assert story.status("slow") == "cancelled"
    assert error_of(story)[0] == "timeout"
    assert story.run.next_due() is None


def test_nothing_is_due_any_more_once_it_was_done() -> None:
    """Else whoever asks for the next instant would ask for ever."""
    story = begun(workflow(step("a"), step("pause", type="wait", config={"for": "1s"}), timeout=9 * SECOND))
    for _ in range(5):
        due = story.run.next_due()
        if due is None:
            break
        story.at = max(story.at, due)
        story.when(TimersDue())
    assert story.state.status == "failed"


def test_work_that_waits_for_a_place_is_not_started_when_the_time_is_up() -> None:
    story = begun(workflow(step("a"), step("b"), max_parallel_steps=1, timeout=SECOND, failure_mode="drain"))
    assert dispatched(story.time(SECOND)) == []
    assert story.statuses() == {"a": "cancelled", "b": "pending"}


# The queue of executions


def test_an_execution_that_waited_too_long_for_a_place_fails_with_its_own_kind_of_error() -> None:
    story = Story(workflow(step("a"), undo=(step("u"),)))
    decision = story.when(QueueTimedOut(30 * SECOND))
    assert kinds(decision) == ["ExecutionFailing", "ExecutionFailed"]
    assert error_of(story) == ("queue_timeout", "no place under the limit of workflows was free within 30s")
    assert story.when(Begin()).events == []


def test_an_execution_that_has_begun_does_not_wait_for_a_place_any_more() -> None:
    story = begun(workflow(step("a")))
    assert story.when(QueueTimedOut(SECOND)).events == []
    assert story.when(Begin()).events == []


def test_nothing_is_due_before_an_execution_begins() -> None:
    story = Story(workflow(step("a"), deadline=SECOND))
    assert story.run.next_due() is None
    assert story.time(2 * SECOND).events == []


def test_an_execution_without_steps_completes_at_once() -> None:
    story = Story(workflow())
    assert kinds(story.begin()) == ["ExecutionStarted", "ExecutionCompleted"]
