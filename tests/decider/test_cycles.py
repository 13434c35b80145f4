"""Steps that run more than once: cycles with `max_visits`."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.execution.work import Assignment
from tests.decider.played import Played
from tests.decider.story import BOOM, FLAKY

REVIEW = """
    vars: {rounds: 0}
    steps:
    - {name: draft, type: work, next: [{to: review}]}
    - {name: review, type: work, max_visits: 4,
       decision: [{when: "{{ result() == 'good' }}", next: publish}, {default: fix}]}
    - {name: fix, type: work, next: [{to: review}]}
    - {name: publish, type: work}
    - {name: tell, type: noop, depends_on: publish}
"""


def verdicts(*said: Any) -> dict[str, Any]:
    """What `review` says, visit by visit."""
    left = list(said)
    return {"review": lambda work: left.pop(0)}


def test_a_cycle_runs_until_an_edge_leads_out_and_every_visit_is_an_instance_of_its_own() -> None:
    story = Played(REVIEW).go(verdicts("bad", "bad", "good"))
    assert story.ran == ["draft", "review", "fix", "review#2", "fix#2", "review#3", "publish"]
    assert story.status == "completed"
    assert story.of("tell") == "completed"


def test_what_stands_in_a_cycle_and_was_never_reached_is_skipped() -> None:
    story = Played(REVIEW).go(verdicts("good"))
    assert story.statuses == {
        "draft": "completed", "review": "completed", "publish": "completed", "fix": "skipped", "tell": "completed",
    }  # fmt: skip


def test_one_visit_too_many_fails_the_step_and_says_so() -> None:
    story = Played(REVIEW).go(verdicts("bad", "bad", "bad", "bad"))
    assert story.status == "failed"
    assert story.error.type == "max_visits"
    assert "step 'review' was visited 4 times, which is its max_visits" in story.error.message
    assert story.times("review") == 4
    assert story.of("publish") == "pending"


def test_one_visit_too_many_can_be_continued_and_then_nothing_of_the_cycle_goes_on() -> None:
    goes_on = REVIEW.replace("max_visits: 4", "max_visits: 2, on_failure: {action: continue}")
    story = Played(goes_on).go(verdicts("bad", "bad"))
    assert story.ran == ["draft", "review", "fix", "review#2", "fix#2"]
    assert story.of("review#3", "publish", "tell") == ["failed", "skipped", "skipped"]
    assert story.status == "completed"


def test_steps_read_the_latest_visit_from_outside_and_their_own_round_from_inside() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: count}]}
        - {name: count, type: work, max_visits: 5, decision: [{when: "{{ result() < 3 }}", next: more}, {default: out}]}
        - {name: more, type: work, config: {sees: "{{ steps.count.output }}"}, next: [{to: count}]}
        - {name: out, type: work, config: {sees: "{{ steps.count.output }}", more: "{{ steps.more.output }}"}}
    """)
    story.done("count", result=1)
    assert story.given_to("more") == {"sees": 1}
    story.done("more", result="first").done("count#2", result=2)
    assert story.given_to("more#2") == {"sees": 2}
    story.done("more#2", result="second").done("count#3", result=3)
    assert story.given_to("out") == {"sees": 3, "more": "second"}


def test_an_edge_that_leads_back_may_ask_for_a_delay() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: poll}]}
        - name: poll
          type: work
          max_visits: 10
          next: [{when: "{{ result() == 'wait' }}", to: later}, {when: "{{ result() == 'ready' }}", to: z}]
        - {name: later, type: noop, next: [{to: poll, delay: 5s}]}
        - {name: z, type: noop}
    """)
    story.done("poll", result="wait")
    assert story.running == []
    story.time(5).done("poll#2", result="wait").time(5).done("poll#3", result="ready")
    assert story.status == "completed"
    assert story.seconds == 10


def test_a_cycle_behind_a_dead_path_is_skipped_and_so_is_what_it_leads_to() -> None:
    story = Played("""
        steps:
        - {name: a, type: noop, on_failure: b}
        - {name: b, type: noop, max_visits: 3, next: [{to: c}]}
        - {name: c, type: noop, next: [{when: false, to: b}, {to: out}]}
        - {name: out, type: noop}
        - {name: behind, type: noop, depends_on: out}
    """).go()
    assert story.of("b", "c", "out", "behind") == ["skipped"] * 4
    assert story.status == "completed"


def test_an_exit_that_is_taken_several_times_runs_its_target_once() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: start, type: noop, next: [{to: turn}]}
        - name: turn
          type: set
          max_visits: 5
          config: {n: "{{ vars.n + 1 }}"}
          next: [{to: out}, {when: "{{ vars.n < 3 }}", to: back}]
        - {name: back, type: noop, next: [{to: turn}]}
        - {name: out, type: work}
    """).go()
    assert story.state.variables == {"n": 3}
    assert story.ran == ["out"]
    assert story.status == "completed"


def test_an_exit_that_is_never_taken_leaves_its_target_skipped_once_the_cycle_is_through() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: start, type: noop, next: [{to: turn}]}
        - name: turn
          type: set
          max_visits: 5
          config: {n: "{{ vars.n + 1 }}"}
          next: [{when: "{{ vars.n > 7 }}", to: out}, {when: "{{ vars.n < 3 }}", to: back}]
        - {name: back, type: noop, next: [{to: turn}]}
        - {name: out, type: work}
    """).go()
    assert story.of("out") == "skipped"
    assert story.status == "completed"


def test_what_waits_for_an_exit_of_a_cycle_and_for_something_else_waits_for_both() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: start, type: noop, next: [{to: turn}]}
        - name: turn
          type: work
          max_visits: 5
          next: [{when: "{{ result() }}", to: out}, {when: "{{ not result() }}", to: back}]
        - {name: back, type: noop, next: [{to: turn}]}
        - {name: other, type: work, next: [{to: out}]}
        - {name: out, type: work}
    """)
    story.done("turn", result=False).done("turn#2", result=True)
    assert story.running == ["other"]
    assert story.done("other").running == ["out"]


def test_in_every_round_of_a_cycle_an_and_join_waits_for_both_sides_of_that_round() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: start, type: noop, next: [{to: split}]}
        - {name: split, type: noop, max_visits: 3, next: [{to: [left, right]}]}
        - {name: left, type: work, next: [{to: meet}]}
        - {name: right, type: work, next: [{to: meet}]}
        - name: meet
          type: work
          join: all
          decision: [{when: "{{ result() == 'again' }}", next: split}, {default: out}]
        - {name: out, type: noop}
    """)
    story.done("left")
    assert story.running == ["right"]
    story.done("right").done("meet", result="again")
    assert story.running == ["left#2", "right#2"]
    story.done("right#2")
    assert story.running == ["left#2"]
    story.done("left#2").done("meet#2", result="enough")
    assert story.status == "completed"
    assert story.times("meet") == 2


def test_exclusive_ways_through_a_cycle_meet_again_in_every_round() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: ask}]}
        - name: ask
          type: work
          max_visits: 9
          decision: [{when: "{{ result() == 'left' }}", next: left}, {default: right}]
        - {name: left, type: work, next: [{to: meet}]}
        - {name: right, type: work, next: [{to: meet}]}
        - {name: meet, type: work, decision: [{when: "{{ result() }}", next: ask}, {default: out}]}
        - {name: out, type: noop}
    """)
    says = iter(["left", "right", "left"])
    more = iter([True, True, False])
    story.go({"ask": lambda work: next(says), "meet": lambda work: next(more)})
    assert story.ran == ["ask", "left", "meet", "ask#2", "right", "meet#2", "ask#3", "left#2", "meet#3"]
    assert story.status == "completed"


NESTED = """
    vars: {inner: 0, outer: 0}
    steps:
    - {name: start, type: noop, next: [{to: outer}]}
    - {name: outer, type: set, max_visits: 9, config: {outer: "{{ vars.outer + 1 }}", inner: 0}, next: [{to: inner}]}
    - name: inner
      type: set
      max_visits: 20
      config: {inner: "{{ vars.inner + 1 }}"}
      decision: [{when: "{{ vars.inner < 3 }}", next: more}, {default: check}]
    - {name: more, type: noop, next: [{to: inner}]}
    - {name: check, type: work, decision: [{when: "{{ vars.outer < 2 }}", next: outer}, {default: out}]}
    - {name: out, type: noop}
"""


def test_a_cycle_in_a_cycle_begins_anew_in_every_round_of_the_outer_one() -> None:
    story = Played(NESTED).go()
    assert story.status == "completed"
    assert [key for key in story.statuses if key.startswith("inner")] == [
        "inner", "inner#2", "inner#3", "inner#4", "inner#5", "inner#6",
    ]  # fmt: skip
    assert story.ran == ["check", "check#2"]


def test_two_cycles_may_share_a_step() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: hub}]}
        - name: hub
          type: work
          max_visits: 9
          decision:
          - {when: "{{ result() == 'left' }}", next: left}
          - {when: "{{ result() == 'right' }}", next: right}
          - {default: out}
        - {name: left, type: work, next: [{to: hub}]}
        - {name: right, type: work, next: [{to: hub}]}
        - {name: out, type: noop}
    """)
    says = iter(["left", "right", "right", "left", "out"])
    story.go({"hub": lambda work: next(says)})
    assert story.ran == ["hub", "left", "hub#2", "right", "hub#3", "right#2", "hub#4", "left#2", "hub#5"]
    assert story.status == "completed"


def test_a_failure_in_a_cycle_may_lead_back() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: attempt}]}
        - {name: attempt, type: work, max_visits: 3, on_success: out, on_failure: repair}
        - {name: repair, type: work, next: [{to: attempt}]}
        - {name: out, type: noop}
    """).go({"attempt": lambda work: BOOM if work.step == "attempt" else 1})
    assert story.ran == ["attempt", "repair", "attempt#2"]
    assert story.status == "completed"


def test_an_unhandled_failure_in_a_cycle_ends_the_execution() -> None:
    story = Played(REVIEW).go({"review": "bad", "fix": BOOM})
    assert story.status == "failed"
    assert story.of("publish") == "pending"


def test_retries_in_a_cycle_are_counted_for_each_visit() -> None:
    flaky = REVIEW.replace(
        "{name: fix, type: work", "{name: fix, type: work, retry: {max_attempts: 2, initial_delay: 1s}"
    )
    broken = {"fix": True, "fix#2": True}

    def work(assignment: Assignment) -> Any:
        if assignment.step.startswith("review"):
            return "good" if assignment.step == "review#3" else "bad"
        return FLAKY if broken.pop(assignment.step, False) else 1

    story = Played(flaky).go(work)
    assert story.ran == ["draft", "review", "fix", "fix", "review#2", "fix#2", "fix#2", "review#3", "publish"]
    assert story.step("fix#2").attempts == 2


def test_a_wait_in_a_cycle_waits_anew_in_every_round() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: hear}]}
        - name: hear
          type: wait_for_event
          max_visits: 9
          config: {event_type: word}
          decision: [{when: "{{ result().event_data.last }}", next: out}, {default: more}]
        - {name: more, type: noop, next: [{to: hear}]}
        - {name: out, type: noop}
    """)
    story.event("word", last=False)
    assert story.of("hear", "hear#2") == ["completed", "waiting"]
    story.event("word", last=False).event("word", last=True)
    assert story.status == "completed"
    assert len([key for key in story.statuses if key.startswith("hear")]) == 3


def test_a_construct_in_a_cycle_has_instances_of_its_own_in_every_visit() -> None:
    story = Played("""
        steps:
        - {name: start, type: noop, next: [{to: each}]}
        - {name: each, type: work, max_visits: 3, for_each: {items: [1, 2]}, next: [{to: check}]}
        - {name: check, type: work, decision: [{when: "{{ result() }}", next: each}, {default: out}]}
        - {name: out, type: noop}
    """)
    again = iter([True, False])
    story.go({"check": lambda work: next(again)})
    assert story.ran == ["each[0]", "each[1]", "check", "each[#2,0]", "each[#2,1]", "check#2"]
    assert story.status == "completed"


def test_behind_a_branch_that_was_not_taken_a_join_of_a_number_is_skipped_like_any_other() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, decision: [{when: "{{ result() }}", next: x}, {default: y}]}
        - {name: x, type: noop, next: [{to: [p, q, r]}]}
        - {name: p, type: work, next: [{to: m}]}
        - {name: q, type: work, next: [{to: m}]}
        - {name: r, type: work, next: [{to: m}]}
        - {name: m, type: work, join: 2}
        - {name: y, type: noop}
    """).go({"a": False})
    assert story.of("m", "y") == ["skipped", "completed"]
    assert story.status == "completed"


@pytest.mark.parametrize("order", [("p", "q", "r"), ("p", "r", "q"), ("r", "p", "q"), ("q", "r", "p"), ("r", "q", "p")])
def test_a_join_of_a_number_that_some_come_to_in_vain_fails_the_execution_in_whatever_order_they_end(
    order: tuple[str, str, str],
) -> None:
    story = Played("""
        steps:
        - {name: p, type: work, on_failure: {action: continue}, next: [{to: m}]}
        - {name: q, type: work, on_failure: {action: continue}, next: [{to: m}]}
        - {name: r, type: work, on_failure: {action: continue}, next: [{to: m}]}
        - {name: m, type: work, join: 2}
    """)
    for key in order:
        story.done(key) if key == "r" else story.failed(key)
    assert story.error.message == "step 'm' waits for 2 of 3 edges, and only 1 can be taken"


def test_a_second_entry_of_a_cycle_is_not_waited_for_again_in_later_rounds() -> None:
    story = Played("""
        steps:
        - {name: begin, type: noop, next: [{to: [write, check]}]}
        - {name: write, type: work, max_visits: 5, next: [{to: check}]}
        - {name: check, type: work, join: all, decision: [{when: "{{ result() }}", next: write}, {default: out}]}
        - {name: out, type: noop}
    """)
    story.done("write").done("check", result=True)
    assert story.running == ["write#2"]
    story.done("write#2")
    assert story.running == ["check#2"]
    assert story.done("check#2", result=False).status == "completed"


LATE = """
steps:
- {name: s, type: noop}
- {name: split, type: work, depends_on: s, join: any, max_visits: 5}
- {name: a, type: work, depends_on: split}
- {name: b, type: work, depends_on: split}
- name: m
  type: work
  depends_on: [a, b]
  join: any
  decision: [{when: "{{ result().again }}", next: split}]
- {name: z, type: work, depends_on: m}
"""


@pytest.mark.parametrize("b_has_begun_again", [False, True])
def test_who_is_too_late_for_a_join_does_not_count_in_the_next_round(b_has_begun_again: bool) -> None:
    story = Played(LATE).done("split", "a").done("m", result={"again": True})
    if b_has_begun_again:
        story.done("split#2")
    story.done("b")
    assert "m#2" not in story.statuses
    if not b_has_begun_again:
        story.done("split#2")
    story.done("b#2")
    assert "m#2" in story.running
    story.done("m#2", result={"again": False}).done("a#2", "z")
    assert (story.status, story.times("m"), story.times("z")) == ("completed", 2, 1)


def test_what_follows_one_who_is_too_late_does_not_count_in_the_next_round_either() -> None:
    between = LATE.replace("depends_on: [a, b]", "depends_on: [a, c]")
    story = Played(between + "- {name: c, type: work, depends_on: b}")
    story.done("split", "a").done("m", result={"again": True}).done("split#2")
    story.done("b").done("c")
    assert "m#2" not in story.statuses
    story.done("b#2").done("c#2")
    assert "m#2" in story.running


def test_a_join_waits_for_its_other_edges_however_often_a_loop_inside_the_loop_leads_to_it() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: o, type: noop, next: a}
        - {name: a, type: work, join: any, max_visits: 3, next: [s, u]}
        - {name: s, type: work, join: any, max_visits: 3, publish: {n: "{{ vars.n + 1 }}"},
           next: [{when: "{{ vars.n < 2 }}", to: s}, t]}
        - {name: u, type: work, next: t}
        - {name: t, type: work, join: sync, next: [{when: "{{ false }}", to: a}]}
    """)
    story.done("a", "s", "s#2")
    assert story.running == ["u"]
    story.done("u", "t")
    assert (story.status, story.times("t")) == ("completed", 1)


def test_an_edge_that_a_later_round_of_the_inner_loop_takes_is_taken() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: o, type: noop, next: a}
        - {name: a, type: work, join: any, max_visits: 3, next: [s, u]}
        - {name: s, type: work, join: any, max_visits: 3, publish: {n: "{{ vars.n + 1 }}"},
           next: [{when: "{{ vars.n < 2 }}", to: s}, {when: "{{ vars.n == 2 }}", to: t}]}
        - {name: u, type: work, next: [{when: "{{ false }}", to: t}]}
        - {name: t, type: work, join: sync, next: [{when: "{{ false }}", to: a}]}
    """)
    story.done("a", "s", "s#2")
    assert story.running == ["u"]
    story.done("u")
    assert story.running == ["t"]
    story.done("t")
    assert story.status == "completed"


def test_a_cycle_is_over_although_a_step_of_it_was_cancelled_before_it_was_reached() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, cancels: c, next: b}
        - {name: b, type: work, join: any, max_visits: 3, next: [c, d]}
        - {name: c, type: work, next: [{when: "{{ false }}", to: b}, {to: z}]}
        - {name: d, type: work, next: [{when: "{{ false }}", to: b}]}
        - {name: z, type: work}
    """)
    story.done("a", "b", "d")
    assert (story.status, story.of("c", "z")) == ("completed", ["cancelled", "skipped"])
