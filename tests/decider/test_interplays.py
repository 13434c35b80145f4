"""What operators do to constructs, stand-ins, circles and locks at unlucky moments; every story is replayed."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import Conflict
from stepwell.decider.decide import decide
from stepwell.decider.plan import Plan
from stepwell.execution.codec import Codec
from stepwell.execution.history import (
    CompensationStarted,
    ExecutionFailing,
    Intervened,
    StepCancelled,
    StepHeld,
    StepSkipped,
)
from stepwell.execution.inputs import LockGranted, TimersDue
from stepwell.execution.verbs import (
    Cancel,
    CompleteStep,
    Migrate,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
)
from stepwell.execution.work import Report
from tests.decider.played import Played
from tests.decider.story import FLAKY, SECOND, TIMEOUT
from tests.decider.verb_story import document, told
from tests.execution.ciphers import Toy

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
CODEC = Codec(Toy())


def refused(story: Played, verb: Verb, code: str) -> str:
    """The verb is refused with this code, and nothing has changed; the message."""
    before = CODEC.encode_state(story.state), len(story.history)
    with pytest.raises(Conflict) as caught:
        story.take(verb)
    assert (caught.value.code, CODEC.encode_state(story.state), len(story.history)) == (code, *before)
    return str(caught.value)


# Locks

LOCKED = """
config: {on_error: {strategy: terminate}}
steps:
- {name: g, type: parallel_group, mutex: m, config: {steps: [{name: x, type: work}, {name: y, type: work}]}}
- {name: z, type: work, mutex: m}
"""


def test_a_construct_that_has_given_its_lock_back_begins_as_a_whole_by_asking_for_it() -> None:
    story = Played(LOCKED).done("x").failed("y")
    assert (story.status, story.locks["m"]) == ("failed", [])
    story.take(Retry(**BY))
    assert (story.locks["m"], story.running) == (["g", "z"], ["x", "y"])
    story.done("x", "y", "z")
    assert (story.status, story.locks["m"]) == ("completed", [])


def test_items_of_a_step_with_a_lock_are_run_again_under_it() -> None:
    story = Played("steps: [{name: a, type: work, mutex: m, for_each: {items: [1, 2]}}]").failed("a[0]").failed("a[1]")
    story.take(Retry(**BY))
    assert story.locks["m"] == ["a"]
    story.done("a[0]", "a[1]")
    assert (story.status, story.locks["m"]) == ("completed", [])


def test_items_are_not_kept_where_the_lock_was_given_back() -> None:
    story = Played("steps: [{name: a, type: work, mutex: m, for_each: {items: [1, 2]}}]").done("a[0]").failed("a[1]")
    assert "has given its lock back" in refused(story, Rerun(**BY, step="a", keep_items=True), "cannot-reopen")


def test_items_that_completed_are_kept_where_a_failure_paused_the_execution() -> None:
    items = "{name: a, type: work, for_each: {items: [1, 2]}, on_failure: {action: pause}}"
    story = Played(f"steps: [{items}]").done("a[0]").failed("a[1]")
    story.take(Rerun(**BY, step="a", keep_items=True))
    assert (story.status, story.running) == ("paused", [])
    story.take(Resume(**BY))
    assert story.running == ["a[1]"]
    story.done("a[1]")
    assert (story.status, story.step("a").attempts) == ("completed", 1)


def test_items_are_not_kept_where_something_stands_in_for_the_whole() -> None:
    instead = "on_failure: {action: fallback, fallback: {type: work}}"
    story = Played(f"steps: [{{name: a, type: work, for_each: {{items: [1, 2]}}, {instead}}}]")
    story.done("a[0]").failed("a[1]")
    assert "something else stands in" in refused(story, Rerun(**BY, step="a", keep_items=True), "cannot-reopen")


def test_a_block_ends_when_the_last_step_in_it_turns_out_to_be_unreachable_at_a_resume() -> None:
    story = Played("""
        steps:
        - name: c
          type: conditional
          config:
            condition: true
            then:
            - {name: a, type: fail, on_failure: {action: continue}}
            - name: b
              type: wait_for_event
              config: {event_type: go, timeout: 2s}
              on_timeout: {action: pause}
              depends_on: [{step: a, on: complete}]
        - {name: z, type: noop, depends_on: [c]}
    """).time(2)
    assert story.status == "paused"
    story.take(SkipStep(**BY, step="a"))
    story.take(Resume(**BY))
    assert (story.status, story.of("b", "c", "z")) == ("completed", ["skipped", "completed", "completed"])


def test_a_step_in_a_construct_that_has_given_its_lock_back_is_not_run_again_alone() -> None:
    story = Played(LOCKED).done("x").failed("y")
    assert "which has given its lock back" in refused(story, Rerun(**BY, step="x"), "cannot-reopen")
    assert "which has given its lock back" in refused(story, Retry(**BY, steps=("y",)), "cannot-reopen")


def test_a_step_in_a_construct_that_holds_its_lock_is_run_again_in_it() -> None:
    story = Played(LOCKED).done("x")
    story.take(Rerun(**BY, step="x"))
    assert story.locks["m"] == ["g", "z"]
    story.done("x", "y", "z")
    assert (story.status, story.locks["m"]) == ("completed", [])


# Constructs that cannot go on in their middle


def test_what_is_inside_a_construct_that_waits_for_its_next_try_is_not_run_again() -> None:
    story = Played("""
        steps:
        - name: c
          type: loop
          timeout: 10s
          on_timeout: {action: retry, max_attempts: 2}
          config: {items: [1, 2], concurrency: 2, steps: [{name: x, type: work}]}
    """)
    story.failed("x[1]", TIMEOUT).time(10)
    assert story.of("c") == "retrying"
    assert "which is retrying" in refused(story, Rerun(**BY, step="x[0]"), "cannot-reopen")


def test_a_construct_that_stands_in_is_reset_with_the_step_that_it_stood_in_for() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: g}}
        - {name: g, type: parallel_group, config: {steps: [{name: x, type: work}, {name: y, type: work}]}}
    """)
    story.failed("a").failed("y").done("x")
    assert story.status == "failed"
    story.take(Retry(**BY))
    assert story.statuses == {"a": "running"}
    story.failed("a").done("x", "y")
    assert story.statuses == {"a": "failed", "g": "completed", "x": "completed", "y": "completed"}
    assert story.status == "completed"


def test_a_checkpoint_in_a_construct_that_is_undone_as_a_whole_is_no_place_to_go_back_to() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          compensate: {type: work}
          config: {count: 2, steps: [{name: c, type: checkpoint}, {name: x, type: work, depends_on: c}]}
        - {name: z, type: work, depends_on: l}
    """)
    story.done("x[0]")
    at_work = len(story.history)
    story.done("x[1]")
    assert at_work < len(story.history)
    assert "is undone as a whole" in refused(story, Rollback(**BY, checkpoint="c"), "cannot-reopen")


def test_a_construct_goes_on_where_it_was_cancelled_while_it_waited_for_its_next_try() -> None:
    story = Played("steps: [{name: f, type: work, on_failure: {action: pause}, for_each: {items: [0, 1]}}]")
    story.done("f[0]").failed("f[1]")
    assert story.status == "paused"
    story.take(Terminate(**BY))
    story.take(Rerun(**BY, step="f[1]"))
    story.done("f[1]", result=2)
    assert (story.status, story.step("f").output) == ("completed", [None, 2])


def test_what_is_run_again_in_a_round_forgets_all_of_the_later_rounds() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 2
            steps:
            - name: c
              type: conditional
              config: {condition: true, then: [{name: x, type: work}], else: [{name: y, type: work}]}
    """)
    story.done("x[0]", "x[1]")
    story.take(Rerun(**BY, step="x[0]"))
    assert [event.step for event in story.happened(StepSkipped)] == ["y[0]", "y[1]"]
    story.done("x[0]", "x[1]")
    assert [event.step for event in story.happened(StepSkipped)] == ["y[0]", "y[1]", "y[1]"]
    assert story.status == "completed"


# Stand-ins


@pytest.mark.parametrize("verb", [SkipStep(**BY, step="g"), CompleteStep(**BY, step="g", output=5)])
def test_a_stand_in_that_was_settled_by_hand_is_not_waited_for(verb: Verb) -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: g}}
        - {name: g, type: work}
    """)
    story.failed("a").failed("g")
    story.take(verb)
    story.failed("a")
    settled = isinstance(verb, CompleteStep)
    assert (story.status, story.step("a").output) == (("completed", 5) if settled else ("failed", None))


def test_a_body_that_stands_in_for_a_group_runs_on_when_the_execution_fails() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - name: g
          type: parallel_group
          config: {steps: [{name: x, type: work}]}
          on_failure: {action: fallback, fallback: {type: work}}
        - {name: b, type: work}
    """)
    story.failed("x").failed("b")
    assert (story.status, story.running) == ("running", ["g[fallback]"])
    story.done("g[fallback]", result=3)
    assert (story.status, story.of("g"), story.step("g").output) == ("failed", "failed", 3)


# Time


def test_a_step_whose_next_try_and_earlier_bound_fall_together_begins_once() -> None:
    """The second try of the loop would be over time at the instant at which its third one is due."""
    story = Played("""
        config: {failure_mode: drain, on_error: {strategy: terminate}}
        steps:
        - name: l
          type: loop
          timeout: 3s
          retry: {max_attempts: 3, when: true, initial_delay: 1s, backoff: exponential}
          config: {items: [1], steps: [{name: x, type: work}]}
    """)
    story.failed("x[0]", FLAKY).time(1)
    story.time(1).failed("x[~2,0]", FLAKY).time(2)
    assert story.running == ["x[~3,0]"]
    story.failed("x[~3,0]", FLAKY)
    assert story.status == "failed"


def test_a_next_try_that_cannot_begin_halts_the_execution_where_its_step_says_so() -> None:
    story = Played("""
        vars: {x: go}
        steps:
        - name: a
          type: wait_for_event
          config: {event_type: "{{ vars.x }}", timeout: 1s}
          retry: {max_attempts: 3, initial_delay: 1s}
          on_failure: {action: pause}
          on_timeout: {action: retry, max_attempts: 3}
        - {name: b, type: set, delay: 1500ms, config: {x: null}}
    """)
    story.time(5)
    assert (story.status, story.of("a"), story.problem("a").type) == ("paused", "retrying", "invalid_config")
    story.take(Resume(**BY))
    assert story.status == "paused"
    story.take(CompleteStep(**BY, step="a", output=1))
    story.take(Resume(**BY))
    assert story.status == "completed"


def test_an_execution_without_its_place_that_is_out_of_time_undoes_and_asks_for_no_more_time() -> None:
    story = told("""
config: {deadline: 10s, concurrency: {key: 7, limit: 1}}
steps: [{name: a, type: python, config: {task: t}}]
compensation:
  steps: [{name: u, type: python, config: {task: t}, retry: {max_attempts: 2, initial_delay: 1s}}]
""")
    story.when(LockGranted("", "test:7"))
    story.when(Cancel(**BY, stop=True, compensate=False))
    assert story.state.status.value == "cancelled"
    story.when(Rerun(**BY, step="a"), 9 * SECOND)
    assert story.state.unplaced
    decision = story.when(TimersDue(), SECOND)
    assert [type(event) for event in decision.events][:2] == [ExecutionFailing, CompensationStarted]
    assert story.run.next_due() is None
    story.failed("u", FLAKY)
    assert story.run.next_due() == 11 * SECOND
    story.when(TimersDue(), SECOND)
    story.done("u")
    assert (story.state.status.value, story.state.compensation) == ("failed", "done")


def test_paths_that_a_migration_looks_at_again_are_left_when_the_time_is_up() -> None:
    body = """
config: {deadline: 10s, on_error: {strategy: terminate}}
steps:
  - name: l
    type: loop
    config:
      count: 2
      steps:
        - {name: x, type: python, config: {task: t}}
        - {name: y, type: noop, depends_on: [{step: x, on: failure}]}
"""
    story = told(body)
    story.done("x[0]")
    to = document(body + "  - {name: z, type: noop}", "2.0.0")
    decision = decide(
        story.run, Migrate(**BY, version=to.version, digest=to.digest), story.at + 10 * SECOND, plan=Plan(to)
    )
    assert story.state.status.value == "failed"
    assert [event for event in decision.events if isinstance(event, StepSkipped)] == []


# Circles


def test_a_path_of_several_steps_in_a_circle_is_passed_by_as_a_whole_before_the_circle_is_over() -> None:
    story = Played("""
        steps:
        - {name: s, type: work, on_success: a}
        - {name: a, type: work, max_visits: 3}
        - {name: b, type: work, depends_on: a}
        - {name: c, type: work, depends_on: b, next: [{to: d}]}
        - {name: d, type: work, depends_on: {step: s, on: complete}, join: sync, next: [{when: "{{ false }}", to: a}]}
    """)
    story.failed("s")
    assert (story.running, story.statuses) == (["d"], {"s": "failed", "d": "running"})
    story.done("d")
    assert story.of("a", "b", "c", "d") == ["skipped", "skipped", "skipped", "completed"]


def test_a_circle_is_over_when_the_last_way_into_it_changes_nothing_any_more() -> None:
    story = Played("""
        steps:
        - {name: s, type: work, on_success: a}
        - {name: t, type: work, on_success: a}
        - {name: a, type: work, join: all, max_visits: 2, decision: [{when: "{{ true }}", next: b}]}
        - {name: b, type: work, next: [{to: a}], max_visits: 2}
        - {name: z, type: work, depends_on: {step: s, on: complete}}
    """)
    story.failed("s").done("t", "z")
    assert story.of("a", "b") == ["skipped", "skipped"]
    assert story.status == "completed"


# Stopping


def test_what_is_in_line_in_a_stopped_execution_is_not_taken_out_of_the_line_again() -> None:
    story = Played("""
        config: {max_parallel_steps: 1}
        steps:
        - {name: a, type: work, cancels: [c]}
        - {name: b, type: work}
        - {name: c, type: work}
    """)
    story.take(Cancel(**BY, stop=False))
    story.done("a")
    assert [event.step for event in story.happened(StepCancelled)] == ["c"]
    assert story.status == "cancelled"


def test_tries_of_steps_that_are_made_while_it_runs_are_those_of_the_step_when_it_says_so() -> None:
    story = Played("""
        config: {retry_policy: {max_attempts: 3}, on_error: {strategy: terminate}}
        steps: [{name: d, type: dynamic, config: {task: list}, retry: {max_attempts: 1}}]
    """)
    story.failed("d[make]", FLAKY)
    assert (story.status, story.ran) == ("failed", ["d[make]"])
    assert story.happened(Intervened) == []


def test_a_body_that_stands_in_for_a_step_with_a_lock_is_waited_for_after_a_crash_too() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - name: c
          type: conditional
          config:
            condition: true
            then:
            - name: a
              type: work
              mutex: m
              config: {n: "{{ input.nothing }}"}
              on_failure: {action: fallback, fallback: {type: work}}
    """)
    assert (story.running, story.step("a").held) == (["a[fallback]"], "")
    story.done("a[fallback]")
    assert (story.status, story.locks["m"]) == ("completed", [])


def test_a_step_that_halts_the_execution_because_its_lock_is_not_free_in_time_wants_it_no_more() -> None:
    story = Played(
        "steps: [{name: a, type: work, mutex: {key: m, timeout: 1s}, on_failure: {action: pause}}]", locked=("m",)
    )
    story.time(2)
    assert (story.status, story.locks["m"]) == ("paused", [""])
    story.unlock("m")
    story.take(Resume(**BY))
    assert (story.locks["m"], story.running) == (["a"], ["a"])
    story.done("a")
    assert (story.status, story.locks["m"]) == ("completed", [])


def test_paths_are_dead_again_before_a_delay_behind_them_begins_anew() -> None:
    story = Played("""
        steps:
        - {name: s, type: work, checkpoint: here, on_timeout: a, next: [{delay: 1s, to: z}]}
        - {name: a, type: work, on_complete: z}
        - {name: z, type: work}
    """)
    story.done("s").time(1).done("z")
    story.take(Rollback(**BY, checkpoint="here"))
    assert [type(event) for event in story.history[-2:]] == [StepSkipped, StepHeld]
    story.time(1).done("z")
    assert story.status == "completed"


@pytest.mark.parametrize("other", ["work", "wait, config: {for: 1h}"])
def test_a_group_that_has_enough_completes_although_the_execution_is_being_stopped(other: str) -> None:
    story = Played(f"""
        steps:
        - name: g
          type: parallel_group
          config: {{wait_for: any, steps: [{{name: x, type: work}}, {{name: y, type: {other}}}]}}
    """)
    story.take(Cancel(**BY, stop=False))
    story.done("x")
    assert (story.status, story.of("g", "x", "y")) == ("cancelled", ["completed", "completed", "cancelled"])


def test_a_group_that_had_enough_when_the_execution_failed_is_not_run_again() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - name: g
          type: parallel_group
          config: {wait_for: any, steps: [{name: x, type: work}, {name: y, type: wait, config: {for: 1h}}]}
        - {name: b, type: work}
    """)
    story.failed("b").done("x")
    assert (story.status, story.of("g")) == ("failed", "completed")
    story.take(Retry(**BY))
    assert story.running == ["b"]
    story.done("b")
    assert story.status == "completed"


def test_an_event_that_came_early_wakes_every_step_that_waited_before_it_woke_one() -> None:
    story = Played("""
        steps:
        - {name: s, type: work}
        - {name: a, type: wait_for_event, depends_on: s, config: {event_type: go}}
        - {name: b, type: wait_for_event, depends_on: s, config: {event_type: go}}
        - {name: c, type: wait_for_event, depends_on: a, config: {event_type: go}}
    """)
    story.event("go").done("s")
    assert story.of("a", "b", "c") == ["completed", "completed", "waiting"]
    story.event("go")
    assert story.status == "completed"


def test_every_visit_of_a_step_has_a_body_of_its_own_that_stands_in_for_it() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_success: c}
        - {name: b, type: work, on_success: c}
        - name: c
          type: wait_for_event
          join: each
          config: {event_type: go, timeout: 3s}
          on_timeout: {action: fallback, fallback: {type: work}}
        - {name: z, type: work, depends_on: c}
    """)
    story.done("a", "b").time(3)
    assert sorted(story.running) == ["c[#2,fallback]", "c[fallback]"]
    story.done("c[#2,fallback]", result=2)
    story.done("c[fallback]", result=1)
    assert (story.step("c").output, story.step("c#2").output, story.running) == (1, 2, ["z"])
    story.done("z")
    assert story.status == "completed"
    story.take(Rerun(**BY, step="b"))
    assert "c[#2,fallback]" not in story.statuses


def test_what_completed_too_late_counts_when_another_step_is_run_again() -> None:
    story = Played("""
        config: {cancellation: {policy: cancel_running, compensate: true}}
        compensation: {mode: manual, steps: [{name: u, type: noop}]}
        steps:
        - {name: a, type: work}
        - {name: b, type: work}
        - {name: z, type: work, depends_on: a}
    """)
    story.done("b")
    story.take(Cancel(**BY))
    assert story.status == "compensating"
    story.take(Report(execution="x", step="a", attempt=1, started_at=0, result=1))
    story.take(Cancel(**BY))
    assert (story.status, story.of("a")) == ("cancelled", "completed")
    story.take(Rerun(**BY, step="b"))
    assert story.running == ["b", "z"]


def test_a_step_that_was_cancelled_before_it_was_reached_counts_once_for_what_follows() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, cancels: c}
        - {name: b, type: work, on_success: d}
        - {name: c, type: work, depends_on: a, on_success: d, join: each}
        - {name: d, type: work}
    """)
    story.done("a")
    assert (story.of("c"), story.running) == ("cancelled", ["b"])
    story.done("b")
    assert story.running == ["d"]
    story.done("d")
    assert story.status == "completed"
