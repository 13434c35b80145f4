"""Which failures are tried again, how often and when; timeouts of steps and of the whole; what an end looks like."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.execution.history import AttemptFailed
from stepwell.execution.work import Assignment
from tests.decider.played import Played, attempts
from tests.decider.story import BOOM, FLAKY, TIMEOUT


def retried(policy: str, more: str = "") -> str:
    """A workflow with one step of that policy."""
    return f"steps: [{{name: a, type: work, retry: {policy}{more}}}]"


def waits(story: Played) -> list[float]:
    """The seconds between one try and the next."""
    instants = [at for _, at in attempts(story)]
    return [later - earlier for earlier, later in pairwise(instants)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{max_attempts: 4, backoff: constant, initial_delay: 2s}", [2, 2, 2]),
        ("{max_attempts: 4, backoff: linear, initial_delay: 2s}", [2, 4, 6]),
        ("{max_attempts: 4, backoff: exponential, initial_delay: 2s}", [2, 4, 8]),
        ("{max_attempts: 4, backoff: exponential, initial_delay: 1s, multiplier: 3}", [1, 3, 9]),
        ("{max_attempts: 5, backoff: exponential, initial_delay: 2s, max_delay: 5s}", [2, 4, 5, 5]),
        ("{max_attempts: 5, backoff: linear, initial_delay: 2s, max_delay: 5s}", [2, 4, 5, 5]),
        ("{max_attempts: 3, backoff: constant, initial_delay: 5s, max_delay: 5s}", [5, 5]),
        ("{max_attempts: 3, backoff: exponential, initial_delay: 1s, multiplier: 1}", [1, 1]),
        ("{max_attempts: 3, initial_delay: 0}", [0, 0]),
        ("{max_attempts: 1}", []),
    ],
)
def test_the_waits_between_tries_follow_the_policy_and_max_attempts_counts_them_all(
    policy: str, expected: list[float]
) -> None:
    story = Played(retried(policy)).go({"a": FLAKY})
    assert waits(story) == expected
    assert story.step("a").attempts == len(expected) + 1
    assert story.status == "failed"


def test_huge_exponents_do_not_overflow() -> None:
    policy = "{max_attempts: 100, backoff: exponential, initial_delay: 1s, multiplier: 1000, max_delay: 1m}"
    story = Played(retried(policy), replays=False).go({"a": FLAKY})
    assert waits(story)[-1] == 60
    assert story.step("a").attempts == 100


@pytest.mark.parametrize(
    ("policy", "error", "tries"),
    [
        ("{max_attempts: 2, initial_delay: 0}", FLAKY, 2),
        ("{max_attempts: 2, initial_delay: 0}", BOOM, 1),
        ("{max_attempts: 2, initial_delay: 0, retry_on: [boom]}", BOOM, 2),
        ("{max_attempts: 2, initial_delay: 0, retry_on: [boom]}", FLAKY, 1),
        ("{max_attempts: 2, initial_delay: 0, give_up_on: [connection_error]}", FLAKY, 1),
        ("{max_attempts: 2, initial_delay: 0, give_up_on: [boom]}", FLAKY, 2),
        ("{max_attempts: 2, initial_delay: 0, retry_on: [boom], give_up_on: [boom]}", BOOM, 1),
        ("{max_attempts: 2, initial_delay: 0, when: \"{{ error.type == 'boom' }}\"}", BOOM, 2),
        ("{max_attempts: 2, initial_delay: 0, when: \"{{ error.type == 'boom' }}\"}", FLAKY, 1),
        ('{max_attempts: 2, initial_delay: 0, when: "{{ error.retryable }}"}', FLAKY, 2),
        ('{max_attempts: 2, initial_delay: 0, when: "{{ timed_out() }}"}', TIMEOUT, 2),
        ('{max_attempts: 2, initial_delay: 0, when: "{{ timed_out() }}"}', BOOM, 1),
        ('{max_attempts: 9, initial_delay: 0, when: "{{ attempt < 4 }}"}', BOOM, 4),
        ('{max_attempts: 2, initial_delay: 0, when: "{{ error.details.nothing }}"}', FLAKY, 1),
        ('{max_attempts: 2, initial_delay: 0, when: "{{ true }}", give_up_on: [boom]}', BOOM, 1),
        ("{max_attempts: 2, initial_delay: 0}", TIMEOUT, 2),
        ("{max_attempts: 2, initial_delay: 0, give_up_on: [timeout]}", TIMEOUT, 1),
    ],
)
def test_whether_a_failure_is_tried_again_is_decided_by_its_type_by_the_task_and_by_the_condition(
    policy: str, error: ErrorInfo, tries: int
) -> None:
    story = Played(retried(policy)).go({"a": error})
    assert story.step("a").attempts == tries


def test_a_result_may_ask_for_another_try() -> None:
    story = Played(
        retried("{max_attempts: 5, backoff: constant, initial_delay: 3s, when: \"{{ result().state == 'pending' }}\"}")
    )
    story.done("a", result={"state": "pending"})
    assert story.of("a") == "retrying"
    assert story.problem("a").type == "unwanted_result"
    story.time(3).done("a", result={"state": "ready"})
    assert story.step("a").output == {"state": "ready"}
    assert story.step("a").error is None
    assert story.status == "completed"


def test_when_the_tries_are_used_up_the_last_result_counts_whatever_is_asked_of_it() -> None:
    story = Played(retried("{max_attempts: 2, initial_delay: 0, when: \"{{ response == 'bad' }}\"}")).go({"a": "bad"})
    assert story.step("a").attempts == 2
    assert story.step("a").output == "bad"
    assert story.status == "completed"


@pytest.mark.parametrize("when", ["{{ attempt < 9 }}", "{{ error.retryable }}", "{{ failed() }}"])
def test_a_condition_that_is_not_about_results_asks_for_no_further_try_of_a_success(when: str) -> None:
    story = Played(retried(f'{{max_attempts: 3, when: "{when}"}}')).go({"a": 1})
    assert story.step("a").attempts == 1
    assert story.status == "completed"


def test_a_condition_over_results_that_cannot_be_evaluated_asks_for_no_further_try() -> None:
    story = Played(retried('{max_attempts: 3, when: "{{ result().nothing }}"}')).go({"a": 1})
    assert story.step("a").attempts == 1
    assert story.status == "completed"


def test_a_failure_elsewhere_ends_the_tries_for_a_better_result() -> None:
    story = Played(
        'steps: [{name: a, type: work, retry: {max_attempts: 3, when: "{{ result() == 1 }}"}}, {name: b, type: work}]'
    )
    story.failed("b").done("a", result=1)
    assert story.of("a") == "completed"
    assert story.status == "failed"


def test_every_try_is_recorded_with_its_error() -> None:
    errors = iter([FLAKY, ErrorInfo("http_error", "503", {"status": 503}, retryable=True)])
    story = Played(retried("{max_attempts: 3, initial_delay: 1s}")).go({"a": lambda work: next(errors, 1)})
    told = [(event.attempt, event.error.type) for event in story.happened(AttemptFailed)]
    assert told == [(1, "connection_error"), (2, "http_error")]


def test_all_tries_of_a_step_have_the_same_idempotency_key_and_an_id_of_their_own() -> None:
    seen: list[tuple[str, str]] = []

    def work(assignment: Assignment) -> Any:
        seen.append((assignment.idempotency_key, assignment.id))
        return FLAKY if len(seen) < 3 else 1

    Played(retried("{max_attempts: 3, initial_delay: 0}")).go(work)
    assert seen == [("x/a", "x/a/1"), ("x/a", "x/a/2"), ("x/a", "x/a/3")]


def test_on_failure_retry_tries_so_often_and_then_the_step_has_failed() -> None:
    story = Played(
        "steps: [{name: a, type: work, on_failure: {action: retry, max_attempts: 3},"
        " retry: {initial_delay: 0, max_attempts: 1}}]"
    )
    story.go({"a": FLAKY})
    assert story.step("a").attempts == 3
    assert story.status == "failed"


def test_transitions_fire_only_after_the_last_try() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, retry: {max_attempts: 2, initial_delay: 1s}, on_failure: cure, on_success: well}
        - {name: cure, type: noop}
        - {name: well, type: noop}
    """).failed("a", FLAKY)
    assert story.of("cure", "well") == ["pending", "pending"]
    story.time(1).done("a")
    assert story.of("cure", "well") == ["skipped", "completed"]


# The whole


def test_the_timeout_of_the_workflow_stops_running_work_and_fails_with_a_timeout() -> None:
    story = Played("config: {timeout: 30s}\nsteps: [{name: a, type: work}, {name: b, type: work, depends_on: a}]").time(
        30
    )
    assert story.stopped == ["a"]
    assert story.of("a", "b") == ["cancelled", "pending"]
    assert story.error.type == "timeout"
    assert story.error.message == "the workflow timed out after 30s"


def test_waiting_does_not_count_against_the_timeout_of_the_workflow_so_that_a_wait_may_be_longer() -> None:
    story = (
        Played("""
        config: {timeout: 30m}
        steps:
        - {name: w, type: wait_for_event, config: {event_type: e, timeout: 24h}}
        - {name: a, type: work, depends_on: w}
    """)
        .time("23h")
        .event("e")
    )
    assert story.running == ["a"]
    assert story.time("29m").done("a").status == "completed"


def test_the_deadline_counts_everything() -> None:
    story = Played("config: {deadline: 1h}\nsteps: [{name: w, type: wait, config: {for: 2h}}]").go()
    assert story.error.message == "the workflow passed its deadline"
    assert story.seconds == 3600


@pytest.mark.parametrize(
    "inside",
    [
        "{name: x, type: loop, config: {count: 3, steps: [{name: d, type: work}]}}",
        (
            "{name: x, type: parallel_group,"
            " config: {steps: [{name: d, type: work}, {name: e, type: wait, config: {for: 2h}}]}}"
        ),
        "{name: x, type: work, for_each: {items: [1, 2, 3], concurrency: 1}}",
        "{name: x, type: work, repeat: {until: false}}",
        "{name: x, type: conditional, config: {condition: true, then: [{name: d, type: work}]}}",
        "{name: x, type: dynamic, config: {task: make}}",
        "{name: x, type: state_machine, config: {initial: a, states: {a: {on_enter: [{name: d, type: work}]}}}}",
        "{name: x, type: workflow, config: {name: child}}",
        "{name: x, type: approval, config: {prompt: well}}",
        "{name: x, type: work, mutex: taken}",
        "{name: x, type: work, on_failure: {action: fallback, fallback: {type: other}}}",
    ],
)
def test_the_deadline_stops_whatever_is_at_work(inside: str) -> None:
    story = Played(f"config: {{deadline: 1h}}\nsteps: [{inside}]", locked=("taken",)).time("1h")
    assert story.status == "failed"
    assert story.of("x") == "cancelled"
    assert story.work == {}
    assert story.waits == {}


def test_siblings_in_flight_finish_and_later_steps_do_not_start() -> None:
    story = (
        Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work}
        - {name: c, type: work, depends_on: b}
    """)
        .failed("a")
        .done("b", result=5)
    )
    assert story.status == "failed"
    assert story.step("b").output == 5
    assert story.of("c") == "pending"


def test_terminate_ends_with_its_message() -> None:
    story = Played(
        'steps: [{name: a, type: work, on_failure: {action: terminate, message: "no {{ error.type }}"}}]'
    ).go({"a": BOOM})
    assert story.error.message == "no boom"


def test_continue_lets_dependents_run_and_leaves_the_failure_visible() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: continue}}
        - {name: b, type: work, depends_on: a,
           config: {failed: "{{ steps.a.failed }}", why: "{{ steps.a.error.message }}"}}
    """).failed("a")
    assert story.given_to("b") == {"failed": True, "why": "it went boom"}
    assert story.done("b").status == "completed"
    assert story.of("a") == "failed"
