"""`conditional`: one of several blocks runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY

TWO = """
    steps:
    - name: c
      type: conditional
      config:
        condition: "{{ input.n > 1 }}"
        then:
        - {name: a, type: work}
        - {name: a2, type: work, depends_on: a}
        else:
        - {name: b, type: work}
    - {name: z, type: noop, depends_on: c}
    output: {values: {out: "{{ steps.c.output }}"}}
"""

CASES = """
    steps:
    - name: c
      type: conditional
      config:
        cases:
        - {when: "{{ input.n > 10 }}", steps: [{name: huge, type: work}]}
        - {when: "{{ input.n > 1 }}", steps: [{name: large, type: work}]}
        default: [{name: small, type: work}]
    - {name: z, type: noop, depends_on: c}
"""


def test_when_the_condition_holds_the_first_block_runs_and_the_other_is_skipped() -> None:
    story = Played(TWO, {"n": 2})
    assert story.running == ["a"]
    assert story.of("b") == "skipped"
    assert story.reason("b") == "not_taken"
    story.done("a", result=1).done("a2", result=2)
    assert story.output == {"out": {"a": 1, "a2": 2}}


def test_when_it_does_not_hold_the_other_block_runs() -> None:
    story = Played(TWO, {"n": 1})
    assert story.running == ["b"]
    assert story.of("a", "a2") == ["skipped", "skipped"]
    assert story.done("b", result=3).output == {"out": {"b": 3}}


def test_without_an_else_nothing_runs_and_the_step_completes() -> None:
    story = Played(TWO.replace("        else:\n        - {name: b, type: work}\n", ""), {"n": 0})
    assert story.ran == []
    assert story.output == {"out": {}}
    assert story.of("z") == "completed"


@pytest.mark.parametrize(("n", "block"), [(50, "huge"), (5, "large"), (0, "small")])
def test_of_several_cases_the_first_that_holds_runs_else_the_default(n: int, block: str) -> None:
    story = Played(CASES, {"n": n})
    assert story.running == [block]
    assert sorted(story.of("huge", "large", "small")) == ["running", "skipped", "skipped"]
    assert story.go().status == "completed"


def test_conditions_behind_the_first_that_holds_are_not_evaluated() -> None:
    story = Played(CASES.replace("{{ input.n > 1 }}", "{{ input.nothing }}"), {"n": 50})
    assert story.running == ["huge"]


def test_a_condition_that_cannot_be_evaluated_fails_the_step_and_no_block_runs() -> None:
    story = Played(TWO, {})
    assert story.problem("c").type == "expression_error"
    assert story.status == "failed"
    assert story.ran == []


def test_such_a_failure_may_be_handled() -> None:
    story = Played(TWO.replace("type: conditional", "type: conditional\n      on_failure: {action: continue}"), {})
    assert story.of("c", "z") == ["failed", "completed"]
    assert story.of("a", "b") == ["pending", "pending"]


@pytest.mark.parametrize("value", [0, "", [], {}, None, False])
def test_what_is_empty_counts_as_false(value: Any) -> None:
    story = Played(TWO.replace("{{ input.n > 1 }}", "{{ input.n }}"), {"n": value})
    assert story.running == ["b"]


def test_a_step_that_reads_one_of_the_branch_not_taken_can_ask_whether_it_ran() -> None:
    story = Played("""
        steps:
        - {name: c, type: conditional, config: {condition: false, then: [{name: a, type: work}]}}
        - {name: z, type: work, depends_on: c, config: {ran: "{{ steps.a.completed }}", was: "{{ steps.a.status }}"}}
    """)
    assert story.given_to("z") == {"ran": False, "was": "skipped"}


def test_the_output_of_a_step_of_the_branch_not_taken_is_not_there() -> None:
    story = Played("""
        steps:
        - {name: c, type: conditional, config: {condition: false, then: [{name: a, type: work}]}}
        - {name: z, type: work, depends_on: c, config: {x: "{{ steps.a.output }}"}}
    """)
    assert "steps.a.output is not there: step 'a' was skipped" in story.problem("z").message


def test_a_failure_in_the_block_fails_the_step_and_names_both() -> None:
    story = Played(TWO, {"n": 2}).failed("a")
    assert story.problem("c").message == "step 'a' failed: it went boom"
    assert story.error.message == "step 'c' failed: step 'a' failed: it went boom"
    assert story.of("a2") == "pending"


def test_a_failure_in_the_block_that_is_handled_there_is_no_failure_of_the_step() -> None:
    story = Played("""
        steps:
        - name: c
          type: conditional
          config: {condition: true, then: [{name: a, type: work, on_failure: cure}, {name: cure, type: work}]}
    """).go({"a": BOOM})
    assert story.status == "completed"
    assert story.of("a", "cure", "c") == ["failed", "completed", "completed"]


def test_a_retried_condition_is_asked_anew_and_runs_new_instances() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - name: c
          type: conditional
          retry: {max_attempts: 2, initial_delay: 1s}
          config:
            condition: "{{ vars.n == 0 }}"
            then: [{name: count, type: set, config: {n: 1}}, {name: a, type: work, depends_on: count}]
            else: [{name: b, type: work}]
    """)
    story.failed("a", FLAKY).time(1)
    assert story.running == ["b[~2]"]
    story.done("b[~2]", result=5)
    assert story.step("c").output == {"b": 5}
    assert story.status == "completed"


def test_fail_fast_stops_what_waits_in_the_block_when_one_of_it_has_failed() -> None:
    story = Played("""
        steps:
        - name: c
          type: conditional
          config:
            condition: true
            then: [{name: a, type: work}, {name: slow, type: work}, {name: w, type: wait, config: {for: 1h}},
               {name: b, type: noop, depends_on: slow}]
    """)
    story.failed("a")
    assert story.of("w") == "cancelled"
    assert story.running == ["slow"]
    story.done("slow")
    assert story.of("b") == "pending"
    assert story.status == "failed"
    assert story.seconds == 0


def test_draining_runs_what_can_still_be_reached_in_the_block() -> None:
    story = Played("""
        config: {failure_mode: drain}
        steps:
        - name: c
          type: conditional
          config:
            condition: true
            then: [{name: a, type: work}, {name: w, type: wait, config: {for: 1h}},
               {name: b, type: work, depends_on: w}]
    """)
    story.failed("a").go()
    assert story.ran == ["a", "b"]
    assert story.seconds == 3600
    assert story.problem("c").message == "step 'a' failed: it went boom"
    assert story.status == "failed"


def test_a_failure_outside_lets_the_block_finish_what_runs_and_begins_nothing_more_in_it() -> None:
    story = Played(TWO.replace("    steps:\n", "    steps:\n    - {name: other, type: work}\n", 1), {"n": 2})
    story.failed("other")
    assert story.running == ["a"]
    story.done("a")
    assert story.of("a2", "c") == ["pending", "cancelled"]
    assert details(story.error)["step"] == "other"


def test_joins_that_can_no_longer_be_met_fail_the_block() -> None:
    story = Played(
        """
        steps:
        - name: c
          type: conditional
          on_failure: {action: continue}
          config:
            condition: true
            then:
            - {name: a, type: work, when: "{{ input.both }}", next: [{to: m}]}
            - {name: b, type: work, next: [{to: m}]}
            - {name: m, type: work, join: 2}
    """,
        {"both": False},
    ).go()
    assert story.problem("c").type == "join_unsatisfiable"
    assert "waits for 2 of 2 edges, and only 1 can be taken" in story.problem("c").message
    assert story.status == "completed"


def test_conditions_in_conditions() -> None:
    story = Played(
        """
        steps:
        - name: outer
          type: conditional
          config:
            condition: "{{ input.a }}"
            then:
            - {name: inner, type: conditional, config: {condition: "{{ input.b }}",
               then: [{name: x, type: work}], else: [{name: y, type: work}]}}
            else: [{name: q, type: work}]
    """,
        {"a": True, "b": False},
    )
    assert story.running == ["y"]
    assert story.of("x", "q") == ["skipped", "skipped"]
    assert story.done("y").status == "completed"


def test_steps_in_blocks_of_a_branch_not_taken_are_left_alone_and_read_as_not_run() -> None:
    story = Played("""
        steps:
        - name: outer
          type: conditional
          config:
            condition: false
            then: [{name: inner, type: loop, config: {count: 2, steps: [{name: x, type: work}]}}]
        - {name: z, type: work, depends_on: outer, config: {x: "{{ steps.x.completed }}"}}
    """)
    assert story.given_to("z") == {"x": False}


def test_a_join_that_can_no_longer_be_met_begins_nothing_more_in_the_block_and_cancels_what_waits() -> None:
    story = Played("""
        steps:
        - name: c
          type: conditional
          config:
            condition: true
            then:
            - {name: a, type: work, on_failure: {action: continue}, next: [{to: m}]}
            - {name: b, type: work, next: [{to: [m, after]}]}
            - {name: m, type: work, join: 2}
            - {name: after, type: work}
            - {name: slow, type: work}
            - {name: w, type: wait, config: {for: 1h}}
    """)
    story.failed("a")
    assert story.of("w") == "waiting", "nothing has come to the join: it may be that nothing will"
    story.done("b")
    assert story.running == ["slow"]
    assert story.of("w", "after") == ["cancelled", "pending"]
    story.done("slow")
    assert story.error.type == "join_unsatisfiable"
