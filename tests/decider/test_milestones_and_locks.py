"""What holds a step back although it is due: milestones and locks. And steps that cancel others."""

from __future__ import annotations

import pytest

from stepwell.decider.outstanding import outstanding
from stepwell.execution.commands import TakeLock
from stepwell.execution.history import LockTaken
from stepwell.execution.inputs import LockGranted
from stepwell.execution.verbs import Rerun
from tests.decider.played import Played
from tests.decider.story import BOOM, FLAKY

# Milestones

OFFER = """
    steps:
    - {name: offer, type: work}
    - {name: close, type: work, depends_on: offer}
    - {name: bid, type: work, milestone: {after: offer, before: close}}
    - {name: z, type: noop, depends_on: [{step: bid, on: success}]}
"""


def test_a_step_waits_until_its_milestone_is_reached_and_holds_no_worker_meanwhile() -> None:
    story = Played(OFFER)
    assert story.running == ["offer"]
    assert story.of("bid") == "waiting"
    story.done("offer")
    assert story.running == ["close", "bid"]


def test_a_step_that_is_due_after_the_milestone_has_passed_is_skipped_with_the_reason() -> None:
    story = Played(OFFER.replace("{name: bid, type: work,", "{name: bid, type: work, delay: 1h,")).done(
        "offer", "close"
    )
    story.time("1h")
    assert story.of("bid", "z") == ["skipped", "skipped"]
    assert story.reason("bid") == "milestone"
    assert story.step("bid").message == "step 'close' has ended"
    assert story.status == "completed"


def test_a_step_that_has_begun_runs_on_when_its_milestone_passes() -> None:
    story = Played(OFFER).done("offer", "close")
    assert story.running == ["bid"]
    assert story.done("bid").status == "completed"


@pytest.mark.parametrize("how", ["failed", "skipped"])
def test_a_milestone_that_can_no_longer_be_reached_does_not_hold_its_step_for_ever(how: str) -> None:
    offer = {"failed": "on_failure: {action: continue}", "skipped": "when: false"}[how]
    story = Played(f"""
        steps:
        - {{name: slow, type: work}}
        - {{name: offer, type: work, depends_on: slow, {offer}}}
        - {{name: bid, type: work, milestone: {{after: offer}}}}
    """).done("slow")
    if how == "failed":
        story.failed("offer")
    assert story.of("bid") == "skipped"
    assert story.step("bid").message == "step 'offer' has ended without completing"
    assert story.status == "completed"


def test_a_milestone_of_several_waits_for_all_of_them() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work}
        - {name: m, type: work, milestone: {after: [a, b]}}
    """).done("b")
    assert story.of("m") == "waiting"
    assert story.done("a").running == ["m"]


def test_only_before_means_that_it_starts_at_once_unless_that_is_over() -> None:
    text = """
        steps:
        - {name: gate, type: work}
        - {name: a, type: work}
        - {name: m, type: work, depends_on: a, milestone: {before: gate}}
    """
    assert Played(text).done("a").running == ["gate", "m"]
    assert Played(text).done("gate", "a").of("m") == "skipped"


def test_a_milestone_may_stand_around_a_round_and_every_round_looks_at_it() -> None:
    story = Played("""
        steps:
        - {name: gate, type: work}
        - name: l
          type: loop
          config:
            count: 2
            concurrency: 2
            steps: [{name: m, type: work, milestone: {after: gate}}]
    """)
    assert story.of("m[0]", "m[1]") == ["waiting", "waiting"]
    story.done("gate")
    assert story.running == ["m[0]", "m[1]"]


def test_in_a_round_the_milestone_is_that_of_the_same_round() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 2
            concurrency: 2
            steps: [{name: gate, type: work}, {name: m, type: work, milestone: {after: gate}}]
    """).done("gate[1]")
    assert story.of("m[0]", "m[1]") == ["waiting", "running"]


def test_a_step_that_waits_for_a_milestone_is_cancelled_with_the_workflow() -> None:
    story = Played(OFFER).failed("offer")
    assert story.of("bid") == "cancelled"
    assert story.status == "failed"


def test_a_milestone_and_a_condition_the_condition_is_asked_when_it_may_start() -> None:
    story = Played("""
        vars: {wanted: false}
        steps:
        - {name: offer, type: work, publish: {wanted: true}}
        - {name: bid, type: work, when: "{{ vars.wanted }}", milestone: {after: offer}}
    """).done("offer")
    assert story.running == ["bid"]


def test_a_milestone_that_nothing_can_reach_any_more_is_no_silent_hang() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, milestone: {after: b}, next: [{to: c}]}
        - {name: b, type: work, join: any, depends_on: [a, c]}
        - {name: c, type: noop, milestone: {after: a}}
    """)
    assert story.status == "failed"
    assert story.error.message == "nothing runs, and these steps wait for a milestone that nothing can reach: a"


# Locks

LOCKED = """
    steps:
    - {name: a, type: work, mutex: "account-{{ input.n }}"}
    - {name: b, type: work, mutex: "account-{{ input.n }}"}
"""


def test_two_steps_that_want_the_same_lock_run_one_after_the_other() -> None:
    story = Played(LOCKED, {"n": 7})
    assert story.running == ["a"]
    assert story.of("b") == "waiting"
    assert story.locks == {"account-7": ["a", "b"]}
    story.done("a")
    assert story.running == ["b"]
    story.done("b")
    assert story.status == "completed"


def test_a_lock_that_another_execution_holds_is_waited_for() -> None:
    story = Played(LOCKED, {"n": 7}, locked=("account-7",))
    assert story.running == []
    story.unlock("account-7")
    assert story.running == ["a"]


def test_steps_with_different_locks_run_side_by_side() -> None:
    story = Played("steps: [{name: a, type: work, mutex: one}, {name: b, type: work, mutex: two}]")
    assert story.running == ["a", "b"]


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_lock_is_given_back_however_its_step_ends(end: str) -> None:
    story = Played(
        "steps: [{name: a, type: work, mutex: m, on_failure: {action: continue}}, {name: b, type: work, mutex: m}]"
    )
    story.done("a") if end == "done" else story.failed("a")
    assert story.running == ["b"]


def test_a_lock_is_kept_between_two_tries() -> None:
    story = Played(
        "steps: [{name: a, type: work, mutex: m, retry: {max_attempts: 2, initial_delay: 1m}},"
        " {name: b, type: work, mutex: m}]"
    )
    story.failed("a", FLAKY)
    assert story.of("a", "b") == ["retrying", "waiting"]
    assert story.locks == {"m": ["a", "b"]}
    story.time("1m").done("a")
    assert story.running == ["b"]


def test_a_lock_is_kept_while_something_stands_in_for_its_step() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, mutex: m, on_failure: {action: fallback, fallback: {type: other}}}
        - {name: b, type: work, mutex: m}
    """).failed("a")
    assert story.running == ["a[fallback]"]
    assert story.done("a[fallback]").running == ["b"]


def test_the_lock_of_a_construct_is_held_until_all_in_it_is_over() -> None:
    story = Played("""
        steps:
        - {name: g, type: parallel_group, mutex: m, config: {steps: [{name: x, type: work}, {name: y, type: work}]}}
        - {name: b, type: work, mutex: m}
    """).done("x")
    assert story.running == ["y"]
    assert story.done("y").running == ["b"]


def test_a_lock_that_is_not_free_in_time_fails_the_step() -> None:
    story = Played("steps: [{name: a, type: work, mutex: {key: m, timeout: 10s}}]", locked=("m",)).time(10)
    assert story.problem("a").type == "lock_timeout"
    assert story.problem("a").message == "the lock 'm' was not free in time"
    assert story.locks == {"m": [""]}
    assert story.status == "failed"


def test_such_a_failure_may_be_handled() -> None:
    story = Played(
        "steps: [{name: a, type: work, mutex: {key: m, timeout: 10s}, on_failure: {action: continue}}]", locked=("m",)
    ).time(10)
    assert story.status == "completed"


def test_a_lock_granted_after_its_step_gave_up_is_given_back() -> None:
    story = Played(
        """
        steps:
        - {name: a, type: work, mutex: {key: m, timeout: 10s}, on_failure: {action: continue}}
        - {name: b, type: work}
    """,
        locked=("m",),
    ).time(10)
    story.locks["m"] = ["a"]
    story.take(LockGranted("a", "m"))
    assert story.locks == {"m": []}
    assert story.of("a") == "failed"


def test_a_lock_granted_after_the_end_is_given_back() -> None:
    story = Played("steps: [{name: a, type: work, mutex: {key: m, timeout: 10s}}]", locked=("m",)).time(10)
    story.locks["m"] = ["a"]
    story.take(LockGranted("a", "m"))
    assert story.locks == {"m": []}


def test_a_lock_granted_twice_is_taken_once() -> None:
    story = Played("steps: [{name: a, type: work, mutex: m}]")
    story.take(LockGranted("a", "m"))
    assert story.locks == {"m": ["a"]}
    assert len(story.happened(LockTaken)) == 1
    assert story.done("a").status == "completed"


def test_a_grant_of_what_was_asked_for_before_is_none_of_what_is_asked_for_again() -> None:
    story = Played(
        "steps: [{name: a, type: work, mutex: {key: m, timeout: 1s}, retry: {max_attempts: 2, initial_delay: 0s}}]",
        locked=("m",),
    )
    (first,) = [command for command in outstanding(story.run) if isinstance(command, TakeLock)]
    story.take(Rerun(by="ada", reason="", step="a"))
    (second,) = [command for command in outstanding(story.run) if isinstance(command, TakeLock)]
    assert first.at < second.at
    story.take(LockGranted("a", "m", first.at))
    assert (story.locks["m"], story.running) == (["", "a"], [])
    story.unlock("m")
    assert (story.locks["m"], story.running) == (["a"], ["a"])


def test_a_step_that_is_cancelled_while_it_waits_for_a_lock_wants_it_no_more() -> None:
    story = Played("steps: [{name: a, type: work, mutex: m}, {name: b, type: work}]", locked=("m",)).failed("b")
    assert story.locks == {"m": [""]}
    assert story.of("a") == "cancelled"


def test_a_step_that_is_cancelled_while_it_holds_a_lock_gives_it_back() -> None:
    story = Played("""
        steps:
        - name: g
          type: parallel_group
          config: {wait_for: any, steps: [{name: a, type: work, mutex: m}, {name: b, type: work}]}
        - {name: c, type: work, mutex: m, depends_on: g}
    """).done("b")
    assert story.of("a") == "cancelled"
    assert story.running == ["c"]


def test_a_lock_is_given_back_when_the_workflow_is_out_of_time() -> None:
    story = Played("config: {deadline: 1m}\nsteps: [{name: a, type: work, mutex: m}]").time("1m")
    assert story.locks == {"m": []}
    assert story.status == "failed"


def test_a_lock_whose_step_must_still_wait_for_a_place_is_held_meanwhile() -> None:
    story = Played("""
        config: {max_parallel_steps: 1}
        steps: [{name: b, type: work}, {name: a, type: work, mutex: m}]
    """)
    assert story.running == ["b"]
    assert story.done("b").running == ["a"]
    assert story.done("a").status == "completed"


def test_a_name_of_a_lock_that_cannot_be_evaluated_fails_the_step() -> None:
    story = Played(LOCKED, {})
    assert story.problem("a").type == "expression_error"
    assert story.status == "failed"
    assert story.locks == {}


def test_a_condition_is_asked_when_the_lock_is_there_and_a_step_that_is_skipped_gives_it_back() -> None:
    story = Played("""
        vars: {left: 1}
        steps:
        - {name: a, type: work, mutex: m, when: "{{ vars.left > 0 }}", publish: {left: 0}}
        - {name: b, type: work, mutex: m, when: "{{ vars.left > 0 }}", publish: {left: 0}}
    """).done("a")
    assert story.of("b") == "skipped"
    assert story.locks == {"m": []}
    assert story.status == "completed"


def test_the_steps_of_every_round_may_want_the_same_lock() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config: {count: 3, concurrency: 3, steps: [{name: before, type: work},
             {name: a, type: work, depends_on: before, mutex: m}]}
    """).done("before[2]", "before[0]", "before[1]")
    assert story.running == ["a[2]"]
    assert story.done("a[2]").running == ["a[0]"]
    assert story.go().status == "completed"


def test_a_lock_for_a_step_with_items_is_taken_once_for_all_of_them() -> None:
    story = Played("steps: [{name: a, type: work, mutex: m, for_each: {items: [1, 2]}}]")
    assert story.running == ["a[0]", "a[1]"]
    assert story.locks == {"m": ["a"]}
    assert story.go().status == "completed"


# Cancelling


def cancelling(victim: str, more: str = "") -> str:
    """A workflow in which `a`, once it completes, cancels `x`."""
    return f"""
steps:
- {{name: a, type: work, cancels: [x]}}
- {victim}
- {{name: z, type: noop, depends_on: x}}
{more}
"""


VICTIMS = {
    "work": "{name: x, type: work}",
    "a wait": "{name: x, type: wait_for_event, config: {event_type: e}}",
    "a timer": "{name: x, type: wait, config: {for: 1h}}",
    "a delay": "{name: x, type: work, delay: 1h}",
    "a lock": "{name: x, type: work, mutex: taken}",
    "a held lock": "{name: x, type: work, mutex: free}",
    "a milestone": "{name: x, type: work, milestone: {after: later}}\n- {name: later, type: work, depends_on: a}",
    "an approval": "{name: x, type: approval, config: {prompt: well}}",
    "a sub-workflow": "{name: x, type: workflow, config: {name: child}}",
    "items": "{name: x, type: work, for_each: {items: [1, 2], concurrency: 1}}",
    "a loop": "{name: x, type: loop, config: {count: 3, steps: [{name: deep, type: work}]}}",
    "a group": "{name: x, type: parallel_group,"
    " config: {steps: [{name: d, type: work}, {name: w, type: wait, config: {for: 1h}}]}}",
    "nothing yet": "{name: x, type: work, depends_on: y}\n- {name: y, type: work}",
    "behind it": "{name: x, type: work, depends_on: a}",
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_step_that_completes_cancels_those_it_names_whatever_they_are_doing(victim: str) -> None:
    story = Played(cancelling(VICTIMS[victim]), locked=("taken",))
    story.done("a")
    assert story.of("x") == "cancelled"
    assert story.reason("x") == "step 'a' has completed"
    assert story.of("z") == "skipped"
    story.go()
    assert story.status == "completed"
    assert story.times("x") <= 1


def test_a_step_that_fails_cancels_nothing() -> None:
    story = Played(cancelling(VICTIMS["work"]).replace("cancels: [x]", "cancels: [x], on_failure: {action: continue}"))
    story.failed("a")
    assert story.running == ["x"]


def test_a_step_that_has_ended_is_left_as_it_is() -> None:
    story = Played(cancelling(VICTIMS["work"])).done("x").done("a")
    assert story.of("x", "z") == ["completed", "completed"]


def test_a_step_that_waits_for_a_place_is_cancelled_too() -> None:
    story = Played("config: {max_parallel_steps: 1}" + cancelling(VICTIMS["work"])).done("a")
    assert story.of("x") == "cancelled"
    assert story.status == "completed"


def test_a_cancelled_step_is_neither_a_success_nor_a_failure() -> None:
    story = Played(
        cancelling(
            VICTIMS["work"],
            """
- {name: well, type: noop, depends_on: [{step: x, on: success}]}
- {name: badly, type: noop, depends_on: [{step: x, on: failure}]}
- {name: over, type: noop, depends_on: [{step: x, on: complete}]}
- {name: away, type: noop, depends_on: [{step: x, on: skipped}]}
- {name: meet, type: noop, join: sync, depends_on: [x, a]}
""",
        )
    ).done("a")
    assert story.of("well", "badly", "over", "away") == ["skipped"] * 4
    assert story.of("meet") == "completed"
    assert story.status == "completed"


def test_a_step_in_a_block_may_cancel_one_outside() -> None:
    story = Played("""
        steps:
        - {name: x, type: work}
        - {name: g, type: parallel_group, config: {steps: [{name: a, type: work, cancels: [x]}, {name: b, type: work}]}}
    """).done("a")
    assert story.of("x") == "cancelled"
    assert story.running == ["b"]


def test_a_step_may_cancel_the_construct_around_it_and_is_itself_completed() -> None:
    story = Played("""
        steps:
        - name: g
          type: loop
          config:
            count: 9
            steps: [{name: a, type: work, next: [{when: "{{ result() == 'stop' }}", to: stop}]},
               {name: stop, type: noop, cancels: [g]}]
        - {name: after, type: noop, join: sync, depends_on: [{step: g, on: success}, begin]}
        - {name: begin, type: noop}
    """)
    story.done("a[0]", result="on").done("a[1]", result="stop")
    assert story.of("stop[1]", "g", "after") == ["completed", "cancelled", "completed"]
    assert story.status == "completed"


def test_in_a_round_the_step_of_the_same_round_is_cancelled() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config: {count: 2, concurrency: 2, steps: [{name: a, type: work, cancels: [x]}, {name: x, type: work}]}
    """).done("a[1]")
    assert story.running == ["a[0]", "x[0]"]
    assert story.of("x[1]") == "cancelled"


def test_two_steps_may_cancel_each_other_so_that_the_first_wins() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, cancels: [b]}
        - {name: b, type: work, cancels: [a]}
        - {name: z, type: work, join: any, depends_on: [a, b]}
    """).done("b")
    assert story.of("a", "b") == ["cancelled", "completed"]
    assert story.running == ["z"]


def test_a_step_that_completes_at_once_cancels_one_that_was_due_in_the_same_turn() -> None:
    story = Played("""
        steps:
        - {name: a, type: noop, cancels: [x]}
        - {name: x, type: work}
    """)
    assert story.ran == []
    assert story.of("x") == "cancelled"
    assert story.status == "completed"


def test_a_step_behind_a_cancelled_one_runs_when_its_join_does_not_need_it() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, cancels: [x]}
        - {name: x, type: work}
        - {name: z, type: work, join: any, depends_on: [x, a]}
    """).done("a")
    assert story.running == ["z"]


def test_every_visit_of_a_cancelled_step_in_a_cycle_is_cancelled() -> None:
    story = (
        Played("""
        steps:
        - {name: start, type: noop, next: [{to: x}]}
        - {name: x, type: work, max_visits: 5, next: [{to: y}]}
        - {name: y, type: work, decision: [{when: "{{ result() }}", next: x}, {default: out}]}
        - {name: out, type: work}
        - {name: a, type: work, cancels: [x]}
    """)
        .done("x")
        .done("y", result=True)
    )
    assert sorted(story.running) == ["a", "x#2"]
    story.done("a")
    assert story.of("x#2", "out") == ["cancelled", "skipped"]
    assert story.status == "completed"


def test_the_failure_of_a_step_that_another_would_cancel_counts_when_it_comes_first() -> None:
    story = Played(cancelling(VICTIMS["work"])).failed("x", BOOM)
    assert story.running == ["a"]
    assert story.done("a").status == "failed"
