"""Edges that a step names itself: conditions, decisions, what they publish, delays. Documents as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from tests.decider.played import Played
from tests.decider.story import BOOM, TIMEOUT

ROUTES = """
    steps:
    - name: a
      type: work
      next:
      - {when: "{{ succeeded() and result().n > 1 }}", to: [large]}
      - {when: "{{ succeeded() and result().n > 5 }}", to: [huge]}
      - {when: "{{ succeeded() }}", to: [always, also]}
    - {name: large, type: noop}
    - {name: huge, type: noop}
    - {name: always, type: noop}
    - {name: also, type: noop}
"""


@pytest.mark.parametrize(
    ("n", "runs"), [(0, ["always", "also"]), (2, ["large", "always", "also"]), (9, ["large", "huge", "always", "also"])]
)
def test_every_edge_whose_condition_holds_is_taken_and_the_others_are_dead(n: int, runs: list[str]) -> None:
    story = Played(ROUTES).go({"a": {"n": n}})
    assert [name for name, status in story.statuses.items() if status == "completed"][1:] == runs
    assert {story.of(name) for name in ("large", "huge", "always", "also") if name not in runs} <= {"skipped"}
    assert story.status == "completed"


DECISION = """
    steps:
    - name: a
      type: work
      decision:
      - {default: true, next: other}
      - {when: "{{ result() > 1 }}", next: large}
      - {when: "{{ result() > 5 }}", next: huge}
    - {name: large, type: noop}
    - {name: huge, type: noop}
    - {name: other, type: noop}
"""


@pytest.mark.parametrize(("n", "chosen"), [(0, "other"), (2, "large"), (9, "large")])
def test_of_a_decision_the_first_branch_that_holds_is_taken_and_the_default_last_of_all(n: int, chosen: str) -> None:
    story = Played(DECISION).go({"a": n})
    assert [name for name in ("large", "huge", "other") if story.of(name) == "completed"] == [chosen]


def test_a_decision_in_which_nothing_holds_and_nothing_is_the_default_takes_no_branch() -> None:
    story = Played(
        DECISION.replace("      - {default: true, next: other}\n", "      - {when: false, next: other}\n")
    ).go({"a": 0})
    assert story.of("large", "huge", "other") == ["skipped"] * 3
    assert story.status == "completed"


def test_a_decision_is_not_taken_by_a_step_that_fails() -> None:
    story = Played(DECISION).go({"a": BOOM})
    assert story.status == "failed"
    assert story.ran == ["a"]


def test_the_default_may_be_written_as_a_key_of_its_own() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, decision: [{when: "{{ result() > 1 }}", next: b}, {default: c}]}
        - {name: b, type: noop}
        - {name: c, type: noop}
    """).go({"a": 0})
    assert story.of("b", "c") == ["skipped", "completed"]


OUTCOMES = """
    steps:
    - {name: a, type: work, on_success: well, on_failure: badly, on_timeout: slowly, on_complete: anyway}
    - {name: well, type: noop}
    - {name: badly, type: noop}
    - {name: slowly, type: noop}
    - {name: anyway, type: noop}
"""


@pytest.mark.parametrize(
    ("outcome", "taken"),
    [(1, ["well", "anyway"]), (BOOM, ["badly", "anyway"]), (TIMEOUT, ["slowly", "anyway"])],
    ids=["success", "failure", "timeout"],
)
def test_the_edges_by_outcome_are_taken_by_how_the_step_ended(outcome: Any, taken: list[str]) -> None:
    story = Played(OUTCOMES).go({"a": outcome})
    assert [name for name in ("well", "badly", "slowly", "anyway") if story.of(name) == "completed"] == taken
    assert story.status == "completed"


def test_a_timeout_takes_the_failure_edge_when_there_is_no_other() -> None:
    story = Played(OUTCOMES.replace("on_timeout: slowly, ", "")).go({"a": TIMEOUT})
    assert story.of("badly") == "completed"


def test_a_condition_over_the_error_chooses_the_cure() -> None:
    story = Played("""
        steps:
        - name: a
          type: work
          next:
          - {when: "{{ failed() and error.type == 'boom' }}", to: cure}
          - {when: "{{ failed() and error.type != 'boom' }}", to: report}
        - {name: cure, type: noop}
        - {name: report, type: noop}
    """).go({"a": BOOM})
    assert story.of("cure", "report") == ["completed", "skipped"]
    assert story.status == "completed"
    assert story.step("a").handled == "edge"


def test_a_failure_whose_conditions_all_fail_is_not_handled() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() and error.type == 'other' }}", to: cure}]}
        - {name: cure, type: noop}
    """).go({"a": BOOM})
    assert story.status == "failed"
    assert story.step("a").handled == ""


def test_a_condition_that_cannot_be_evaluated_fails_the_step_that_had_succeeded() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: [{when: "{{ result().nothing > 1 }}", to: b}]}
        - {name: b, type: noop}
    """).go({"a": {"n": 1}})
    assert story.problem("a").type == "expression_error"
    assert "nothing" in story.problem("a").message
    assert story.status == "failed"


def test_a_condition_that_cannot_be_evaluated_takes_the_failure_edge_when_there_is_one() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: cure, decision: [{when: "{{ result().nothing }}", next: b}, {default: b}]}
        - {name: b, type: noop}
        - {name: cure, type: noop}
    """).go({"a": {}})
    assert story.of("a", "b", "cure") == ["failed", "skipped", "completed"]
    assert story.status == "completed"


def test_a_condition_on_failure_that_cannot_be_evaluated_leaves_the_failure_standing_and_is_told() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() and error.details.nothing }}", to: b}]}
        - {name: b, type: noop}
    """).go({"a": BOOM})
    assert story.problem("a").type == "boom"
    assert "an edge cannot be decided" in story.problem("a").message
    assert story.status == "failed"


# What edges publish


def test_an_edge_publishes_when_it_is_taken_and_later_entries_see_earlier_ones() -> None:
    story = Played("""
        vars: {n: 0, way: none, twice: 0}
        steps:
        - name: a
          type: work
          next:
          - {when: "{{ result() > 5 }}", to: b, publish: {n: "{{ result() }}", twice: "{{ vars.n * 2 }}"}}
          - {when: "{{ result() <= 5 }}", to: c, publish: {way: small}}
        - {name: b, type: work, config: {sees: "{{ vars.twice }}"}}
        - {name: c, type: noop}
    """)
    story.done("a", result=7)
    assert story.given_to("b") == {"sees": 14}
    assert story.state.variables == {"n": 7, "way": "none", "twice": 14}


def test_what_the_step_publishes_is_seen_by_what_its_edges_publish_and_ask() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - name: a
          type: work
          publish: {n: "{{ response }}"}
          next: [{when: "{{ vars.n == 7 }}", to: b, publish: {m: "{{ vars.n + 1 }}"}}]
        - {name: b, type: noop}
    """).go({"a": 7})
    assert story.state.variables == {"n": 7, "m": 8}
    assert story.of("b") == "completed"


def test_a_failure_edge_publishes_the_error() -> None:
    story = Played("""
        vars: {why: ""}
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() }}", to: cure, publish: {why: "{{ error.message }}"}}]}
        - {name: cure, type: noop}
        output: {values: {why: "{{ vars.why }}"}}
    """).go({"a": BOOM})
    assert story.output == {"why": "it went boom"}


def test_what_an_edge_publishes_that_cannot_be_evaluated_fails_the_step() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: [{to: b, publish: {n: "{{ response.nothing }}"}}]}
        - {name: b, type: noop}
    """).go({"a": {}})
    assert story.problem("a").type == "expression_error"
    assert story.ran == ["a"]


def test_edges_to_nowhere_handle_the_outcome() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() }}", to: []}]}
        - {name: b, type: work}
    """).go({"a": BOOM})
    assert story.status == "completed"
    assert story.of("a", "b") == ["failed", "completed"]


# Delays


def test_an_edge_may_ask_its_target_to_wait() -> None:
    story = Played("""
        steps:
        - {name: a, type: noop, next: [{to: [b], delay: 5s}, {to: [c]}]}
        - {name: b, type: work}
        - {name: c, type: work}
    """)
    assert story.running == ["c"]
    story.time("4999ms")
    assert story.running == ["c"]
    story.time("1ms")
    assert story.running == ["c", "b"]


def test_where_edges_meet_the_longest_delay_counts_and_that_of_the_step_comes_on_top() -> None:
    story = Played("""
        steps:
        - {name: a, type: noop, next: [{to: c, delay: 5s}]}
        - {name: b, type: noop, next: [{to: c, delay: 2s}]}
        - {name: c, type: work, delay: 1s}
    """)
    story.go()
    assert story.seconds == 6


def test_a_step_that_waits_out_its_delay_holds_no_worker_and_is_cancelled_by_a_failure() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work, delay: 1h}
    """)
    assert story.of("b") == "waiting"
    story.failed("a")
    assert story.of("b") == "cancelled"
    assert story.status == "failed"


def test_a_step_skipped_after_its_delay_is_skipped() -> None:
    story = Played("""
        vars: {wanted: true}
        steps:
        - {name: b, type: work, delay: 10s, when: "{{ vars.wanted }}"}
        - {name: a, type: set, config: {wanted: false}}
    """).go()
    assert story.of("b") == "skipped"
    assert story.seconds == 10


# Handled failures by the side


def test_when_an_edge_of_a_failed_step_leads_to_a_join_it_counts_as_taken_there() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: z}
        - {name: b, type: work, on_success: z}
        - {name: z, type: work, join: all}
    """)
    story.failed("a", ErrorInfo("http_error", "503"))
    assert story.running == ["b"]
    assert story.done("b").running == ["z"]
    assert story.done("z").status == "completed"


# Steps that were skipped

SKIPPED = """
    steps:
    - name: a
      type: work
      when: "{{ input.wanted }}"
      next:
      - {when: "{{ skipped() }}", to: instead, publish: {why: left out}}
      - {when: "{{ not failed() }}", to: no}
      - {to: after}
    - {name: instead, type: noop}
    - {name: no, type: noop}
    - {name: after, type: noop}
    - {name: behind, type: noop, depends_on: a}
"""


def test_an_edge_that_asks_for_it_is_taken_by_a_step_that_its_own_condition_skipped_and_no_other_pushed_edge_is() -> (
    None
):
    story = Played(SKIPPED, {"wanted": False}).go()
    assert story.of("a", "instead", "no", "after", "behind") == [
        "skipped",
        "completed",
        "skipped",
        "skipped",
        "completed",
    ]
    assert story.state.variables == {"why": "left out"}


def test_an_edge_that_asks_whether_the_step_was_skipped_is_dead_when_it_was_not() -> None:
    story = Played(SKIPPED, {"wanted": True}).go()
    assert story.of("a", "instead", "no", "after") == ["completed", "skipped", "completed", "completed"]


def test_a_dead_path_takes_no_edge_not_even_one_that_asks_for_skipped_steps() -> None:
    story = Played("""
        steps:
        - {name: first, type: noop, on_failure: a}
        - {name: a, type: work, next: [{when: "{{ skipped() }}", to: b}]}
        - {name: b, type: noop}
    """).go()
    assert story.of("a", "b") == ["skipped", "skipped"]
