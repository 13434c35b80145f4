"""`timeout` on a `wait`, and on what takes no time."""

from __future__ import annotations

import pytest

from stepwell.execution.history import TimerStarted
from tests.decider.played import Played


def test_a_wait_that_takes_longer_than_it_may_times_out() -> None:
    story = Played("steps: [{name: w, type: wait, timeout: 2s, config: {for: 5s}}]").time("1s")
    assert story.of("w") == "waiting"
    story.time("1s")
    assert (story.of("w"), story.problem("w").type, story.seconds) == ("failed", "timeout", 2)
    assert story.problem("w").message == "step 'w' timed out after 2s, before its wait was over"


@pytest.mark.parametrize("timeout", ["5s", "9s"])
def test_a_wait_that_ends_in_time_completes(timeout: str) -> None:
    story = Played(f"steps: [{{name: w, type: wait, timeout: {timeout}, config: {{for: 5s}}}}]").go()
    assert (story.status, story.of("w"), story.seconds) == ("completed", "completed", 5)
    assert story.happened(TimerStarted) == [TimerStarted(0, "w", 5_000_000)]


def test_the_timeout_of_a_wait_takes_its_edge_and_its_action() -> None:
    edge = Played(
        "steps: [{name: w, type: wait, timeout: 1s, config: {for: 5s}, on_timeout: t}, {name: t, type: noop}]"
    )
    assert (edge.go().status, edge.of("w", "t")) == ("completed", ["failed", "completed"])
    action = Played(
        "steps: [{name: w, type: wait, timeout: 1s, config: {for: 5s}, on_timeout: {action: fallback, fallback: 7}}]"
    ).go()
    assert (action.status, action.step("w").output) == ("completed", 7)


def test_a_wait_that_timed_out_is_tried_again_only_when_it_says_so() -> None:
    plain = Played("config: {retry_policy: {max_attempts: 3}}\nsteps: [{name: w, type: wait, timeout: 1s, "
                   "config: {for: 5s}}]").go()  # fmt: skip
    assert (plain.step("w").attempts, plain.seconds) == (1, 1)
    story = Played("""
        steps: [{name: w, type: wait, timeout: 2s, retry: {max_attempts: 2, initial_delay: 1s}, config: {for: 5s}}]
    """).go()
    assert (story.of("w"), story.step("w").attempts, story.seconds) == ("failed", 2, 5)


def test_a_wait_until_an_instant_may_be_bounded_too() -> None:
    spec = "steps: [{name: w, type: wait, timeout: 1s, config: {until: '1970-01-01T00:00:09Z'}}]"
    assert Played(spec).go().problem("w").type == "timeout"


def test_an_action_may_ask_for_another_try_of_a_wait() -> None:
    story = Played("""
        steps:
        - {name: w, type: wait, timeout: 2s, config: {for: "{{ input.for }}"}, on_failure: {action: retry}}
    """, {"for": "5s"})  # fmt: skip
    story.time("2s")
    assert story.of("w") == "retrying"


@pytest.mark.parametrize("step", [
    "type: noop", "type: set, config: {n: 1}", "type: checkpoint", "type: fail, on_failure: {action: continue}",
])  # fmt: skip
def test_what_takes_no_time_cannot_run_out_of_it(step: str) -> None:
    story = Played(f"steps: [{{name: s, {step}, timeout: 1s}}]").go()
    assert (story.status, story.at) == ("completed", 0)
