"""What stands in for a step that failed: a value, a body, another step. And the steps of `on_error`."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import SecretRef
from stepwell.execution.history import FallbackStarted, HooksStarted
from stepwell.execution.work import Assignment
from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY, TIMEOUT

FULL = ErrorInfo("bulkhead_full", "4 run and 2 wait already")


def fallback(says: str, more: str = "", steps: str = "", spec: str = "") -> str:
    """A workflow whose step `a` has something to stand in for it, and a step behind it."""
    return f"""
{spec}
steps:
- name: a
  type: work
  on_failure: {{action: fallback, fallback: {says}}}
  {more or "description: nothing more"}
{steps or "- {name: unused, type: noop}"}
- {{name: z, type: work, depends_on: a, config: {{a: "{{{{ steps.a.output }}}}"}}}}
output: {{values: {{out: "{{{{ steps.a.output }}}}"}}}}
"""


# A value


@pytest.mark.parametrize("value", [7, "text", "[1, 2]", "{n: 1}", "false"])
def test_a_value_stands_in_for_the_output_of_a_failed_step(value: Any) -> None:
    story = Played(fallback(value)).go({"a": BOOM})
    assert story.status == "completed"
    assert story.of("a", "z") == ["failed", "completed"]
    assert story.step("a").handled == "fallback"
    assert story.problem("a").message == "it went boom"


def test_a_value_may_be_made_from_the_error_and_from_other_steps() -> None:
    story = Played(fallback('{why: "{{ error.type }}", tries: "{{ attempt }}", n: "{{ input.n }}"}'), {"n": 3})
    story.failed("a")
    assert story.given_to("z") == {"a": {"why": "boom", "tries": 1, "n": 3}}


def test_a_value_that_cannot_be_made_fails_the_step_with_that_error() -> None:
    story = Played(fallback('{n: "{{ input.nothing }}"}')).go({"a": BOOM})
    assert story.problem("a").type == "expression_error"
    assert story.status == "failed"


def test_secrets_in_a_value_stay_references() -> None:
    story = Played(fallback('{key: "{{ secrets.KEY }}"}')).failed("a")
    assert story.step("a").output == {"key": SecretRef("KEY")}


def test_a_step_with_a_stand_in_takes_its_success_edges_and_not_its_failure_edges() -> None:
    story = Played("""
        steps:
        - {name: a, type: work,
           on_failure: {action: fallback, fallback: 7}, next: [{when: "{{ succeeded() }}", to: well}]}
        - {name: well, type: noop}
        - {name: strict, type: noop, depends_on: [{step: a, on: success}]}
        - {name: badly, type: noop, depends_on: [{step: a, on: skipped}]}
    """).go({"a": BOOM})
    assert story.of("strict", "badly") == ["completed", "skipped"]
    assert story.status == "completed"


def test_a_failure_edge_goes_before_the_fallback() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: 7}}
        - {name: cure, type: work, depends_on: [{step: a, on: failure}]}
    """).failed("a")
    assert story.step("a").handled == "edge"
    assert story.step("a").output is None
    assert story.done("cure").status == "completed"


def test_the_fallback_comes_after_the_last_try() -> None:
    story = Played(fallback("7", "retry: {max_attempts: 2, initial_delay: 1s}"))
    story.failed("a", FLAKY)
    assert story.of("a") == "retrying"
    story.time(1).failed("a", FLAKY)
    assert story.step("a").handled == "fallback"


def test_a_timeout_may_have_a_stand_in_of_its_own() -> None:
    text = fallback("7", "on_timeout: {action: fallback, fallback: 8}")
    assert Played(text).go({"a": TIMEOUT}).output == {"out": 8}
    assert Played(text).go({"a": BOOM}).output == {"out": 7}


# A body


def test_a_body_runs_in_place_of_the_step_and_its_result_is_the_output() -> None:
    story = Played(fallback('{type: other, config: {why: "{{ error.message }}"}}'))
    story.failed("a")
    assert story.running == ["a[fallback]"]
    assert story.work["a[fallback]"].type == "other"
    assert story.given_to("a[fallback]") == {"why": "it went boom"}
    story.done("a[fallback]", result=5)
    assert story.given_to("z") == {"a": 5}


def test_a_body_that_fails_fails_the_step_which_tells_of_both() -> None:
    story = Played(fallback("{type: other}"))
    story.failed("a").failed("a[fallback]", ErrorInfo("other", "so did I"))
    assert story.problem("a").type == "boom"
    assert story.problem("a").message == "it went boom (and its fallback failed: so did I)"
    assert story.status == "failed"
    assert details(story.error)["step"] == "a"


def test_a_body_is_retried_by_its_own_policy() -> None:
    story = Played(fallback("{type: other, retry: {max_attempts: 2, initial_delay: 1s}}"))
    story.failed("a").failed("a[fallback]", FLAKY)
    assert story.of("a", "a[fallback]") == ["running", "retrying"]
    story.time(1).done("a[fallback]", result=1)
    assert story.done("z").output == {"out": 1}


@pytest.mark.parametrize(
    ("body", "out"),
    [("{type: noop}", None), ("{type: set, config: {n: 1}}", {"n": 1}), ("{type: wait, config: {for: 1h}}", None)],
)
def test_a_body_may_be_a_step_that_the_engine_does_itself(body: str, out: Any) -> None:
    assert Played(fallback(body)).go({"a": BOOM}).output == {"out": out}


def test_a_body_may_wait_for_an_event() -> None:
    story = Played(fallback("{type: wait_for_event, config: {event_type: e, timeout: 1h}}")).failed("a")
    story.event("e", n=1)
    assert story.given_to("z") == {"a": {"event_data": {"n": 1}}}


def test_a_body_may_be_a_sub_workflow() -> None:
    story = Played(fallback("{type: workflow, config: {name: child}}")).failed("a").child("a[fallback]", {"n": 1})
    assert story.given_to("z") == {"a": {"n": 1}}


def test_the_body_stops_with_the_workflow() -> None:
    story = Played(fallback("{type: wait, config: {for: 1h}}", spec="config: {deadline: 1m}")).failed("a").time("1m")
    assert story.of("a", "a[fallback]") == ["cancelled", "cancelled"]
    assert story.status == "failed"


def test_a_failure_elsewhere_begins_no_fallback() -> None:
    story = Played(fallback("{type: other}", steps="- {name: o, type: work}"))
    story.failed("o").failed("a")
    assert story.ran == ["a", "o"]
    assert story.status == "failed"


def test_in_a_draining_workflow_fallbacks_run_after_a_failure_elsewhere() -> None:
    story = Played(fallback("{type: other}", steps="- {name: o, type: work}", spec="config: {failure_mode: drain}"))
    story.failed("o").failed("a")
    assert story.running == ["a[fallback]"]
    story.go()
    assert story.of("z") == "completed"
    assert story.status == "failed"


def test_the_bodies_of_items_stand_in_for_each_item() -> None:
    story = Played("""
        steps:
        - name: g
          type: loop
          config:
            items: [1, 2]
            steps:
            - {name: a, type: work, on_failure: {action: fallback, fallback: {type: other, config: {i: "{{ item }}"}}}}
    """).go(lambda work: BOOM if work.type == "work" else work.config["i"])
    assert story.ran == ["a[0]", "a[0,fallback]", "a[1]", "a[1,fallback]"]
    assert story.step("g").output == [{"a": 1}, {"a": 2}]


def test_a_construct_may_have_a_body_that_stands_in_for_it() -> None:
    story = Played("""
        steps:
        - name: g
          type: parallel_group
          on_failure: {action: fallback, fallback: {type: other}}
          config: {steps: [{name: x, type: work}, {name: y, type: work}]}
        output: {values: {out: "{{ steps.g.output }}"}}
    """).go({"x": BOOM, "g": "instead"})
    assert story.ran == ["x", "y", "g[fallback]"]
    assert story.output == {"out": "instead"}


def test_the_time_of_a_construct_does_not_bound_what_stands_in_for_it() -> None:
    story = Played("""
        steps:
        - name: g
          type: parallel_group
          timeout: 5s
          on_failure: {action: fallback, fallback: {type: wait, config: {for: 1h}}}
          config: {steps: [{name: x, type: work}]}
    """).go({"x": BOOM})
    assert story.status == "completed"
    assert story.seconds == 3600


# Another step


SPARE = "- {name: b, type: work, config: {n: 1}}"


def test_another_step_runs_in_place_of_the_failed_one_and_its_output_counts() -> None:
    story = Played(fallback("b", steps=SPARE))
    assert story.of("b") == "pending"
    story.failed("a")
    assert story.running == ["b"]
    story.done("b", result=5)
    assert story.given_to("z") == {"a": 5}
    assert story.of("a", "b") == ["failed", "completed"]


def test_a_step_that_is_only_there_to_stand_in_is_skipped_when_it_is_not_needed() -> None:
    story = Played(fallback("b", steps=SPARE)).go({"a": 1})
    assert story.of("b") == "skipped"
    assert story.status == "completed"


def test_the_order_in_which_both_are_written_does_not_matter() -> None:
    story = Played("""
        steps:
        - {name: b, type: work}
        - {name: a, type: work, on_failure: {action: fallback, fallback: b}}
    """)
    assert story.running == ["a"]
    assert story.failed("a").running == ["b"]


def test_when_the_stand_in_fails_too_the_step_has_failed_and_tells_of_both() -> None:
    story = Played(fallback("b", steps=SPARE)).failed("a").failed("b", ErrorInfo("other", "so did I"))
    assert story.problem("a").message == "it went boom (and its fallback failed: so did I)"
    assert details(story.error)["step"] == "a"
    assert story.step("b").handled == "stand_in"
    assert story.status == "failed"


def test_a_stand_in_may_have_a_stand_in() -> None:
    story = Played(
        fallback(
            "b", steps="- {name: b, type: work, on_failure: {action: fallback, fallback: c}}\n- {name: c, type: work}"
        )
    )
    story.failed("a").failed("b")
    assert story.running == ["c"]
    story.done("c", result="third")
    assert story.given_to("z") == {"a": "third"}


def test_a_chain_of_stand_ins_that_all_fail_fails_the_first_step() -> None:
    story = Played(
        fallback(
            "b", steps="- {name: b, type: work, on_failure: {action: fallback, fallback: c}}\n- {name: c, type: work}"
        )
    )
    story.go({"a": BOOM, "b": BOOM, "c": BOOM})
    assert story.status == "failed"
    assert details(story.error)["step"] == "a"


def test_a_stand_in_with_steps_behind_it_is_followed_by_them_only_when_it_ran() -> None:
    steps = SPARE + "\n- {name: after, type: work, depends_on: b}"
    assert Played(fallback("b", steps=steps)).go({"a": BOOM}).of("after") == "completed"
    assert Played(fallback("b", steps=steps)).go().of("after") == "skipped"


def test_two_steps_may_share_a_stand_in_which_then_runs_for_each_of_them() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: b, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: s, type: work}
        output: {values: {a: "{{ steps.a.output }}", b: "{{ steps.b.output }}"}}
    """)
    story.failed("b")
    assert story.running == ["a", "s"]
    story.done("s", result="for b").failed("a")
    assert story.running == ["s#2"]
    story.done("s#2", result="for a")
    assert story.output == {"a": "for a", "b": "for b"}


def test_two_steps_that_share_a_stand_in_may_fail_at_the_same_time() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: b, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: s, type: work}
        output: {values: {a: "{{ steps.a.output }}", b: "{{ steps.b.output }}"}}
    """)
    story.failed("b").failed("a")
    assert story.running == ["s", "s#2"]
    story.done("s#2", result="second").done("s", result="first")
    assert story.output == {"a": "second", "b": "first"}


def test_of_two_that_share_a_stand_in_one_may_do_without() -> None:
    story = (
        Played("""
        steps:
        - {name: a, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: b, type: work, on_failure: {action: fallback, fallback: s}}
        - {name: s, type: work}
    """)
        .done("a")
        .failed("b")
        .done("s")
    )
    assert story.status == "completed"


def test_failure_and_timeout_may_have_different_stand_ins() -> None:
    text = fallback("b", "on_timeout: {action: fallback, fallback: c}", SPARE + "\n- {name: c, type: work}")
    assert Played(text).failed("a", TIMEOUT).running == ["c"]
    story = Played(text).failed("a")
    assert story.running == ["b"]
    assert story.of("c") in ("pending", "skipped")
    assert story.done("b", "z").status == "completed"


def test_a_stand_in_whose_own_condition_does_not_hold_leaves_the_failure_standing() -> None:
    story = Played(fallback("b", steps="- {name: b, type: work, when: false}")).go({"a": BOOM})
    assert story.of("a", "b") == ["failed", "skipped"]
    assert story.status == "failed"


def test_a_stand_in_may_be_a_construct() -> None:
    story = Played(
        fallback(
            "g",
            steps="- {name: g, type: parallel_group, config: {steps: [{name: x, type: work}, {name: y, type: work}]}}",
        )
    )
    story.failed("a").done("x", result=1).done("y", result=2)
    assert story.given_to("z") == {"a": {"x": 1, "y": 2}}


# Bulkheads


def test_a_call_that_a_bulkhead_rejects_runs_the_fallback_of_the_bulkhead() -> None:
    text = fallback("7", "bulkhead: {max_concurrent: 4, max_queue_size: 2, fallback: {degraded: true}}")
    story = Played(text).failed("a", FULL)
    assert story.given_to("z") == {"a": {"degraded": True}}


def test_a_bulkhead_that_is_declared_for_several_steps_has_a_fallback_too() -> None:
    story = Played("""
        config: {policies: {narrow: {bulkhead: {max_concurrent: 4, fallback: {degraded: "{{ error.type }}"}}}}}
        steps:
        - {name: a, type: work, bulkhead: narrow}
        - {name: z, type: work, depends_on: a, config: {a: "{{ steps.a.output }}"}}
    """).failed("a", FULL)
    assert story.given_to("z") == {"a": {"degraded": "bulkhead_full"}}


def test_other_failures_do_not_run_the_fallback_of_the_bulkhead() -> None:
    text = fallback("7", "bulkhead: {max_concurrent: 4, max_queue_size: 2, fallback: {degraded: true}}")
    assert Played(text).go({"a": BOOM}).output == {"out": 7}


def test_a_rejected_call_without_a_fallback_of_its_bulkhead_is_a_failure_like_any_other() -> None:
    assert Played(fallback("7", "bulkhead: {max_concurrent: 4}")).go({"a": FULL}).output == {"out": 7}


def test_a_bulkhead_alone_may_have_a_fallback() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, bulkhead: {max_concurrent: 4, fallback: {type: degrade,
           config: {why: "{{ error.type }}"}}}}
        output: {values: {out: "{{ steps.a.output }}"}}
    """).failed("a", ErrorInfo("bulkhead_timeout", "waited 30s"))
    assert story.given_to("a[fallback]") == {"why": "bulkhead_timeout"}
    story.done("a[fallback]", result="less")
    assert story.output == {"out": "less"}


def test_a_fallback_is_recorded_with_the_error_that_asked_for_it() -> None:
    story = Played(fallback("b", steps=SPARE)).failed("a")
    (started,) = story.happened(FallbackStarted)
    assert (started.step, started.error) == ("a", BOOM)


# Hooks

HOOKED = """
    config:
      on_error:
        strategy: terminate
        steps:
        - {name: tell, type: work,
           config: {why: "{{ error.message }}", step: "{{ error.details.step }}", a: "{{ steps.a.failed }}"}}
        - {name: clean, type: work, depends_on: tell}
    steps:
    - {name: a, type: work}
    - {name: b, type: work, depends_on: a}
"""


def test_after_a_failure_the_steps_of_on_error_run_and_see_the_error() -> None:
    story = Played(HOOKED).failed("a")
    assert story.running == ["tell"]
    assert story.given_to("tell") == {"why": "step 'a' failed: it went boom", "step": "a", "a": True}
    story.done("tell")
    assert story.running == ["clean"]
    assert story.done("clean").status == "failed"
    assert story.error.message == "step 'a' failed: it went boom"


def test_without_a_failure_they_do_not_run() -> None:
    story = Played(HOOKED).go()
    assert story.status == "completed"
    assert story.ran == ["a", "b"]
    assert story.happened(HooksStarted) == []


@pytest.mark.parametrize("broken", ["tell", "clean"])
def test_a_step_of_on_error_that_fails_changes_neither_the_error_nor_the_end(broken: str) -> None:
    story = Played(HOOKED).go({"a": BOOM, broken: ErrorInfo("worse", "and I")})
    assert story.status == "failed"
    assert story.error.type == "boom"
    assert story.of(broken) == "failed"


def test_steps_of_on_error_are_retried_and_may_wait() -> None:
    text = HOOKED.replace(
        "depends_on: tell}", "depends_on: tell, retry: {max_attempts: 2, initial_delay: 5s}, delay: 10s}"
    )
    story = Played(text).failed("a").done("tell")
    assert story.running == []
    story.time(10).failed("clean", FLAKY).time(5).done("clean")
    assert story.status == "failed"
    assert story.seconds == 15


def test_running_steps_are_awaited_before_the_steps_of_on_error_run() -> None:
    story = Played(HOOKED + "    - {name: slow, type: work}\n").failed("a")
    assert story.running == ["slow"]
    assert story.done("slow").running == ["tell"]


def test_the_steps_of_on_error_run_when_the_workflow_is_out_of_time() -> None:
    story = Played(HOOKED.replace("on_error:\n        strategy", "deadline: 1m\n      on_error:\n        strategy")
                   .replace(', step: "{{ error.details.step }}"', "")).time("1m")  # fmt: skip
    assert story.stopped == ["a"]
    assert story.running == ["tell"]
    assert story.given_to("tell")["why"] == "the workflow passed its deadline"
    assert story.go().status == "failed"


def test_the_steps_of_on_error_may_hold_constructs() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate, steps: [{name: t, type: work, for_each: {items: [ops, dev]},
           config: {to: "{{ item }}", why: "{{ error.type }}"}}]}}
        steps:
        - {name: a, type: work}
    """).failed("a")
    assert [story.given_to(key) for key in story.running] == [
        {"to": "ops", "why": "boom"},
        {"to": "dev", "why": "boom"},
    ]
    assert story.go().status == "failed"


def test_with_the_strategy_continue_the_steps_of_on_error_run_and_the_workflow_completes() -> None:
    story = Played(HOOKED.replace("strategy: terminate", "strategy: continue")).go({"a": BOOM})
    assert story.status == "completed"
    assert story.of("tell", "clean") == ["completed", "completed"]


def test_hooks_run_once_before_compensation() -> None:
    story = Played(HOOKED.replace("strategy: terminate", "strategy: compensate") + """
    compensation: {steps: [{name: undo, type: work}]}
""").failed("a")  # fmt: skip
    assert story.running == ["tell"]
    story.done("tell").done("clean")
    assert story.running == ["undo"]
    assert story.done("undo").status == "failed"


def test_an_output_that_cannot_be_built_runs_the_steps_of_on_error() -> None:
    def work(assignment: Assignment) -> Any:
        return assignment.config["why"] if assignment.step == "tell" else 1

    text = HOOKED.replace(', step: "{{ error.details.step }}"', "")
    story = Played(text + '    output: {values: {x: "{{ steps.b.output.nothing }}"}}\n').go(work)
    assert story.status == "failed"
    assert "nothing" in story.step("tell").output
