"""Retry and rerun: what runs again, with which attempts, keys and settings, and what keeps its results."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed
from stepwell.decider.turn import Decision
from stepwell.execution.commands import ReleaseLock, ResolveDeadLetter, RunStep, StopStep
from stepwell.execution.history import Intervened, StepReset
from stepwell.execution.inputs import LockGranted
from stepwell.execution.verbs import Pause, Rerun, Resume, Retry
from stepwell.execution.work import Assignment
from tests.decider.story import BOOM, FLAKY, SECOND, config_of, dispatched, kinds
from tests.decider.verb_story import Checked, told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
CHAIN = """
steps:
  - {name: a, type: python, config: {task: t, args: {at: "{{ now() }}", id: "{{ uuid() }}"}}}
  - {name: b, type: python, config: {task: t, args: {of: "{{ steps.a.output }}"}}, depends_on: [a]}
  - {name: c, type: python, config: {task: t}, depends_on: [b]}
  - {name: d, type: python, config: {task: t}}
config: {on_error: {strategy: terminate}}
"""
ITEMS = """
steps:
  - name: f
    type: python
    config: {task: t, args: {n: "{{ item }}"}}
    for_each: {items: [0, 1, 2, 3], concurrency: 2}
  - {name: z, type: python, config: {task: t, args: {all: "{{ steps.f.output }}"}}, depends_on: [f]}
config: {on_error: {strategy: terminate}}
"""


def assignment(decision: Decision, key: str) -> Assignment:
    """The work for that step that the decision dispatches."""
    found = (command.assignment for command in decision.commands if isinstance(command, RunStep))
    return next(one for one in found if one.step == key)


def failed_at(body: str, *ways: str) -> Checked:
    """A story that has failed; of each way, `!` at its end makes the step fail."""
    story = told(body)
    for way in ways:
        story.failed(way[:-1]) if way.endswith("!") else story.done(way)
    assert story.state.status.value == "failed"
    return story


# Retry


def test_a_retry_runs_what_failed_again_and_what_had_not_run_because_of_it() -> None:
    story = failed_at(CHAIN, "a!", "d")
    decision = story.when(Retry(**BY))
    assert decision.events[:2] == [
        Intervened(0, "retry", "ada", "why", {"steps": ["a"], "settings": False}),
        StepReset(0, "a"),
    ]
    assert decision.said == "tried again: a"
    assert (story.state.failure, story.state.error, story.state.completed_at) == (None, None, None)
    story.done_all("a", "b", "c")
    assert story.state.status.value == "completed"


def test_a_retried_step_is_the_same_work_with_further_attempts() -> None:
    story = told(CHAIN)
    first = assignment(Decision([], story.commands), "a")
    story.failed("a")
    story.done("d")
    again = assignment(story.when(Retry(**BY), 50 * SECOND), "a")
    assert (again.id, again.attempt) == ("x/a/2", 2)
    assert (again.idempotency_key, again.config, again.scheduled_at) == (first.idempotency_key, first.config, 0)


def test_a_retried_step_has_all_its_attempts_again() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, retry: {max_attempts: 2, initial_delay: 1s}}]")
    for expected in (2, 4, 6):
        assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed"]
        story.time(60 * SECOND)
        assert story.step("a").attempts == expected
        story.failed("a", FLAKY)
        assert story.state.status.value == "failed"
        story.when(Retry(**BY))


def test_settings_that_were_recorded_are_kept_by_a_retry_and_new_ones_put_over_them() -> None:
    story = told("""
    vars: {n: 1}
    steps:
      - {name: s, type: set, config: {n: 2}}
      - {name: a, type: python, config: {task: t, args: {n: "{{ vars.n }}"}}}
    """)
    story.failed("a")
    again = story.when(Retry(**BY, steps=("a",), settings={"queue": "slow"}))
    assert config_of(again, "a") == {"task": "t", "args": {"n": 2}, "queue": "slow"}
    story.crash()
    assert story.failed("a").events
    assert config_of(story.when(Retry(**BY)), "a") == {"task": "t", "args": {"n": 2}, "queue": "slow"}


def test_new_settings_are_sealed_where_the_old_ones_were() -> None:
    story = told(
        """
    input: {schema: {properties: {pin: {type: string, secret: true}}}}
    steps: [{name: a, type: python, config: {task: t, args: {pin: "{{ input.pin }}"}}}]
    """,
        {"pin": "1234"},
    )
    story.failed("a")
    decision = story.when(Retry(**BY, steps=("a",), settings={"args": {"pin": "4321"}, "task": "u"}))
    assert config_of(decision, "a") == {"task": "u", "args": Sealed({"pin": "4321"})}


def test_a_retry_resolves_the_dead_letters_of_what_it_resets() -> None:
    story = failed_at(CHAIN, "a!", "d!")
    orders = {key: story.step(key).order for key in ("a", "d")}
    decision = story.when(Retry(**BY))
    letters = [command.id for command in decision.commands if isinstance(command, ResolveDeadLetter)]
    assert sorted(letters) == [f"x/a/{orders['a']}", f"x/d/{orders['d']}"]


def test_one_of_two_failures_is_retried_and_the_other_still_ends_the_execution() -> None:
    story = failed_at(CHAIN, "a!", "d!")
    assert dispatched(story.when(Retry(**BY, steps=("a",)))) == ["a"]
    story.done_all("a", "b")
    story.done("c")
    assert story.state.error is not None
    assert (story.state.status.value, story.state.error.message) == ("failed", "step 'd' failed: it went boom")
    assert dispatched(story.when(Retry(**BY))) == ["d"]
    story.done("d")
    assert story.state.status.value == "completed"


def test_what_a_retry_refuses() -> None:
    story = failed_at(CHAIN, "a!", "d")
    assert "'d' has not failed: it is completed" in story.refuses(Retry(**BY, steps=("d",)), "step-not-failed").message
    story.refuses(Retry(**BY, steps=("b",)), "never-executed")
    assert "'c'" in str(story.refuses(Retry(**BY, steps=("cc",)), "unknown-step").hint)
    no_output = told("""
    steps: [{name: a, type: python, config: {task: t}}]
    output: {values: {n: "{{ steps.a.output.n }}"}}
    """)
    no_output.done("a", {})
    assert no_output.state.status.value == "failed"
    assert "output" in no_output.refuses(Retry(**BY), "nothing-to-retry").message


def test_steps_cancelled_by_the_failure_run_again_and_those_cancelled_on_purpose_do_not() -> None:
    story = told("""
    steps:
      - {name: quick, type: python, config: {task: t}, cancels: [slow]}
      - {name: slow, type: wait, config: {for: 1h}}
      - {name: other, type: wait, config: {for: 1h}}
      - {name: bad, type: python, config: {task: t}}
    config: {on_error: {strategy: terminate}}
    """)
    story.done("quick")
    story.failed("bad")
    assert story.statuses() == {"quick": "completed", "slow": "cancelled", "other": "cancelled", "bad": "failed"}
    story.when(Retry(**BY))
    assert story.statuses() == {"quick": "completed", "slow": "cancelled", "other": "waiting", "bad": "running"}


def test_paths_that_were_dead_because_of_the_failure_are_looked_at_again() -> None:
    story = told("""
    config: {failure_mode: drain, on_error: {strategy: terminate}}
    steps:
      - {name: a, type: python, config: {task: t}}
      - {name: b, type: python, config: {task: t}, depends_on: [a]}
    """)
    story.failed("a")
    assert story.status("b") == "skipped"
    story.when(Retry(**BY))
    story.done("a")
    assert story.at_work == ["b"]


def test_an_execution_that_ran_out_of_time_gets_its_time_again() -> None:
    story = told(CHAIN.replace("terminate}}", "terminate}, timeout: 10s}"))
    story.time(10 * SECOND)
    assert story.state.status.value == "failed"
    assert sorted(dispatched(story.when(Retry(**BY), 5 * SECOND))) == ["a", "d"]
    assert story.run.next_due() == 25 * SECOND


def test_an_execution_past_its_deadline_is_not_retried() -> None:
    story = told(CHAIN.replace("terminate}}", "terminate}, deadline: 10s}"))
    story.time(10 * SECOND)
    for verb in (Retry(**BY), Rerun(**BY, step="a")):
        assert "its deadline passed at 1970-01-01T00:00:10" in story.refuses(verb, "deadline-passed").message


def test_hooks_run_again_when_it_fails_again() -> None:
    story = told("""
    config: {on_error: {strategy: terminate, steps: [{name: tell, type: python, config: {task: t}}]}}
    steps: [{name: a, type: python, config: {task: t}}]
    """)
    for attempt in (1, 2):
        story.failed("a")
        assert story.step("tell").attempts == attempt
        story.done("tell")
        assert story.state.status.value == "failed"
        story.when(Retry(**BY))
    story.done("a")
    assert story.state.status.value == "completed"


def test_of_items_only_those_that_failed_run_again_and_the_rest_follows() -> None:
    story = failed_at(ITEMS, "f[0]", "f[1]!", "f[2]")
    assert dispatched(story.when(Retry(**BY))) == ["f[1]"]
    assert story.status("f") == "running"
    assert dispatched(story.done("f[1]", "one")) == ["f[2]", "f[3]"][1:]
    decision = story.done("f[3]", "three")
    assert config_of(decision, "z") == {"task": "t", "args": {"all": [None, "one", None, "three"]}}


def test_one_item_can_be_retried_alone() -> None:
    story = failed_at(ITEMS, "f[0]!", "f[1]!")
    assert dispatched(story.when(Retry(**BY, steps=("f[1]",)))) == ["f[1]"]
    story.done("f[1]")
    assert story.state.status.value == "failed"
    assert "1 of 4 items failed; item 0" in (story.step("f").error or BOOM).message


def test_a_round_of_a_loop_is_retried_in_its_place() -> None:
    story = failed_at(
        """
    config: {on_error: {strategy: terminate}}
    steps:
      - name: l
        type: loop
        config:
          count: 2
          steps:
            - {name: x, type: python, config: {task: t}}
            - {name: y, type: python, config: {task: t}, depends_on: [x]}
    """,
        "x[0]",
        "y[0]",
        "x[1]!",
    )
    assert dispatched(story.when(Retry(**BY))) == ["x[1]"]
    story.done_all("x[1]", "y[1]")
    assert story.state.status.value == "completed"


def test_a_group_that_failed_keeps_what_had_completed_in_it() -> None:
    story = failed_at(
        """
    config: {on_error: {strategy: terminate}}
    steps:
      - name: g
        type: parallel_group
        config:
          fail_fast: true
          steps:
            - {name: p, type: python, config: {task: t}}
            - {name: q, type: python, config: {task: t}}
            - {name: r, type: python, config: {task: t}}
    """,
        "p",
        "q!",
    )
    assert story.step("r").status.value == "cancelled"
    assert dispatched(story.when(Retry(**BY))) == ["q", "r"]
    story.done_all("q", "r")
    assert story.state.status.value == "completed"


def test_a_construct_that_was_cut_short_goes_on() -> None:
    story = told("""
    config: {on_error: {strategy: terminate}}
    steps:
      - name: g
        type: conditional
        config:
          condition: "{{ true }}"
          then: [{name: p, type: python, config: {task: t}}, {name: q, type: wait, config: {for: 1h}}]
      - {name: l, type: loop, config: {count: 2, steps: [{name: x, type: wait, config: {for: 1h}}]}}
      - {name: z, type: python, config: {task: t}}
    """)
    story.done("p")
    story.failed("z")
    assert (story.status("q"), story.status("x[0]")) == ("cancelled", "cancelled")
    story.when(Retry(**BY))
    assert story.statuses() == {"g": "running", "l": "running", "z": "running"}
    story.time(3_600 * SECOND)
    story.time(3_600 * SECOND)
    story.done("z")
    assert story.state.status.value == "completed"
    assert story.step("p").attempts == 1


def test_a_step_whose_stand_in_failed_too_is_retried_with_it() -> None:
    story = failed_at(
        """
    config: {on_error: {strategy: terminate}}
    steps:
      - {name: a, type: python, config: {task: t}, on_failure: {action: fallback, fallback: other}}
      - {name: other, type: python, config: {task: t}}
    """,
        "a!",
        "other!",
    )
    assert dispatched(story.when(Retry(**BY))) == ["a"]
    assert dispatched(story.failed("a")) == ["other"]
    story.done("other")
    assert story.state.status.value == "completed"


def test_a_step_with_a_lock_asks_for_it_again() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, mutex: {key: lock}}]")
    story.when(LockGranted("a", "lock"))
    story.failed("a")
    assert kinds(story.when(Retry(**BY)))[-1] == "StepHeld"
    assert dispatched(story.when(LockGranted("a", "lock"))) == ["a"]


# Rerun


def test_a_rerun_runs_the_step_and_all_behind_it_again_and_the_rest_keeps_its_results() -> None:
    story = told(CHAIN)
    story.done("a", 1)
    story.done_all("b", "c")
    story.done("d", 4)
    decision = story.when(Rerun(**BY, step="b"))
    assert decision.said == "run again: b, c"
    assert decision.events[0] == Intervened(
        0, "rerun", "ada", "why", {"step": "b", "keep_items": False, "settings": False}
    )
    assert story.statuses() == {"a": "completed", "b": "running", "c": "pending", "d": "completed"}
    assert (story.step("a").output, story.step("d").output) == (1, 4)
    story.done_all("b", "c")
    assert story.state.status.value == "completed"


def test_a_rerun_is_other_work_with_keys_and_random_values_of_its_own() -> None:
    story = told(CHAIN)
    first = assignment(Decision([], story.commands), "a")
    story.done("a")
    again = assignment(story.when(Rerun(**BY, step="a"), SECOND), "a")
    assert (again.id, again.idempotency_key) == ("x/a/2", "x/a/r1")
    assert again.config["args"]["id"] != first.config["args"]["id"]
    assert again.config["args"]["at"] != first.config["args"]["at"]
    third = assignment(story.when(Rerun(**BY, step="a")), "a")
    assert (third.id, third.idempotency_key) == ("x/a/3", "x/a/r2")


def test_a_rerun_can_have_other_settings() -> None:
    story = told(CHAIN)
    story.done_all("a", "b")
    decision = story.when(Rerun(**BY, step="b", settings={"args": {"of": 9}}))
    assert config_of(decision, "b") == {"task": "t", "args": {"of": 9}}


def test_what_runs_behind_the_step_is_stopped_first() -> None:
    story = told(CHAIN)
    story.done("a")
    decision = story.when(Rerun(**BY, step="a"))
    assert StopStep("x/b/1") in decision.commands
    assert story.done("b").events == []  # a late result of the work that was stopped


def test_a_rerun_while_it_is_paused_waits_for_the_end_of_the_pause() -> None:
    story = told(CHAIN)
    story.done("a")
    story.when(Pause(**BY))
    assert dispatched(story.when(Rerun(**BY, step="a"))) == []
    assert dispatched(story.when(Resume(**BY))) == ["a"]


@pytest.mark.parametrize(
    ("step", "code"),
    [("c", "never-executed"), ("nothing", "unknown-step"), ("s", "never-executed"), ("f", "ambiguous-step")],
)
def test_what_a_rerun_refuses(step: str, code: str) -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}}
      - {name: s, type: noop, when: "{{ false }}"}
      - {name: c, type: python, config: {task: t}, depends_on: [a]}
      - {name: l, type: loop, config: {count: 2, concurrency: 2, steps: [{name: f, type: python, config: {task: t}}]}}
    """)
    error = story.refuses(Rerun(**BY, step=step), code)
    assert step in error.message
    if code == "ambiguous-step":
        assert error.hint == "f[0], f[1]"


def test_a_rerun_from_inside_a_construct_runs_that_on_and_what_is_behind_it() -> None:
    story = told("""
    steps:
      - name: g
        type: conditional
        config:
          condition: "{{ true }}"
          then:
            - {name: p, type: python, config: {task: t}}
            - {name: q, type: python, config: {task: t}, depends_on: [p]}
      - {name: z, type: python, config: {task: t}, depends_on: [g]}
    """)
    story.done_all("p", "q", "z")
    assert story.when(Rerun(**BY, step="q")).said == "run again: q, z"
    assert (story.status("p"), story.status("g")) == ("completed", "running")
    story.done_all("q", "z")
    assert story.state.status.value == "completed"


def test_a_rerun_of_a_construct_runs_all_that_is_inside_it() -> None:
    story = told(ITEMS)
    story.done_all("f[0]", "f[1]", "f[2]", "f[3]", "z")
    assert dispatched(story.when(Rerun(**BY, step="f"))) == ["f[0]", "f[1]"]
    assert story.step("f[0]").attempts == 2


def test_a_rerun_of_a_round_runs_those_after_it_again() -> None:
    story = told("""
    steps:
      - name: l
        type: loop
        config: {count: 3, steps: [{name: x, type: python, config: {task: t}}]}
    """)
    story.done_all("x[0]", "x[1]", "x[2]")
    assert story.when(Rerun(**BY, step="x[1]")).said == "run again: x[1], x[2]"
    assert story.step("l").iteration == 1
    story.done_all("x[1]", "x[2]")
    assert story.state.status.value == "completed"


def test_items_that_completed_can_be_kept() -> None:
    kept = ITEMS.replace("concurrency: 2", "concurrency: 4, on_error: continue")
    story = told(kept)
    story.done_all("f[0]", "f[1]")
    story.failed("f[2]")
    story.done_all("f[3]", "z")
    decision = story.when(Rerun(**BY, step="f", keep_items=True))
    assert (dispatched(decision), decision.said) == (["f[2]"], "run again: f, f[2], z")
    story.done_all("f[2]", "z")
    assert story.state.status.value == "completed"
    story.refuses(Rerun(**BY, step="f", keep_items=True), "no-items")
    story.refuses(Rerun(**BY, step="z", keep_items=True), "no-items")


def test_of_steps_that_run_in_circles_what_came_later_runs_again() -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}, next: [{to: [b]}]}
      - name: b
        type: python
        config: {task: t}
        max_visits: 3
        next: [{when: "{{ steps.b.output == 1 }}", to: [a2]}, {when: "{{ steps.b.output != 1 }}", to: [c]}]
      - {name: a2, type: python, config: {task: t}, next: [{to: [b]}]}
      - {name: c, type: python, config: {task: t}}
    """)
    story.done("a")
    story.done("b", 1)
    story.done("a2")
    story.done("b#2", 2)
    story.done("c")
    assert story.when(Rerun(**BY, step="b")).said == "run again: b#2, c"
    assert story.at_work == ["b#2"]
    assert dispatched(story.done("b#2", 1)) == ["a2#2"]


def test_a_delayed_step_of_a_construct_is_run_again_after_its_delay() -> None:
    story = told("""
    steps:
      - name: g
        type: parallel_group
        config: {steps: [{name: p, type: python, config: {task: t}, delay: 1s}, {name: q, type: noop}]}
    """)
    story.time(SECOND)
    story.done("p")
    story.when(Rerun(**BY, step="p"))
    assert (story.status("g"), story.status("p")) == ("running", "waiting")
    assert dispatched(story.time(SECOND)) == ["p"]
    story.done("p")
    assert story.state.status.value == "completed"


def test_settings_of_a_construct_cannot_be_edited() -> None:
    story = told(ITEMS)
    story.done_all("f[0]", "f[1]", "f[2]", "f[3]", "z")
    error = story.refuses(Rerun(**BY, step="f", settings={"x": 1}), "no-settings")
    assert "'f' is a for_each" in error.message


def test_a_step_that_holds_a_lock_gives_it_back_when_it_is_run_again() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, mutex: {key: lock}}]")
    story.when(LockGranted("a", "lock"))
    decision = story.when(Rerun(**BY, step="a"))
    assert decision.commands.count(ReleaseLock("lock", "a")) == 1
    assert kinds(decision)[-1] == "StepHeld"
