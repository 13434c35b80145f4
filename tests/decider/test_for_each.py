"""`for_each`: a step once for every item of a list."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.execution.work import Assignment
from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY, TIMEOUT
from tests.decider.test_cost import counting


def for_each(says: str, more: str = "") -> str:
    """A workflow with one step that runs for each of something, and one behind it."""
    return f"""
steps:
- name: f
  type: work
  config: {{i: "{{{{ item }}}}", n: "{{{{ index }}}}"}}
  for_each: {{{says}}}
  {more or "description: nothing more"}
- {{name: z, type: noop, depends_on: f}}
output: {{values: {{out: "{{{{ steps.f.output | default('none') }}}}"}}}}
"""


def doubled(work: Assignment) -> Any:
    return work.config["i"] * 2


def broken_at(*items: Any, error: ErrorInfo = BOOM) -> Any:
    """Work that fails for these items."""
    return {"f": lambda work: error if work.config["i"] in items else work.config["i"]}


def test_the_step_runs_once_for_each_item_and_the_results_stand_in_the_order_of_the_items() -> None:
    story = Played(for_each("items: [1, 2, 3]"))
    assert story.running == ["f[0]", "f[1]", "f[2]"]
    story.done("f[2]", result="c").done("f[0]", result="a").done("f[1]", result="b")
    assert story.output == {"out": ["a", "b", "c"]}


def test_every_run_sees_its_item_and_its_number() -> None:
    story = Played(for_each('items: ["x", "y"]'))
    assert [story.given_to(key) for key in story.running] == [{"i": "x", "n": 0}, {"i": "y", "n": 1}]


def test_the_names_of_item_and_number_may_be_chosen() -> None:
    story = Played("""
        steps:
        - {name: f, type: work, config: {i: "{{ host }}-{{ place }}"},
           for_each: {items: [a, b], as: host, index: place}}
    """)
    assert [story.given_to(key) for key in story.running] == [{"i": "a-0"}, {"i": "b-1"}]


def test_no_items_are_no_runs_and_the_step_completes_with_an_empty_list() -> None:
    story = Played(for_each("items: []"))
    assert story.ran == []
    assert story.status == "completed"
    assert story.output == {"out": []}
    assert story.of("z") == "completed"


@pytest.mark.parametrize(("items", "kind"), [("text", "str"), ({"a": 1}, "dict"), (7, "int"), (None, "NoneType")])
def test_items_that_are_no_list_fail_the_step_and_say_what_they_are(items: Any, kind: str) -> None:
    story = Played(for_each('items: "{{ input.items }}"'), {"items": items})
    assert story.problem("f").type == "invalid_items"
    assert story.problem("f").message == f"the items must be a list, not {kind}"
    assert story.status == "failed"


def test_items_that_cannot_be_evaluated_fail_the_step_and_may_be_handled() -> None:
    story = Played(for_each('items: "{{ input.nothing }}"', "on_failure: {action: continue}"))
    assert story.problem("f").type == "expression_error"
    assert story.status == "completed"


def test_no_more_than_ten_run_at_once_when_nothing_is_said() -> None:
    story = Played(for_each('items: "{{ range(25) }}"'))
    assert len(story.running) == 10
    story.done("f[3]")
    assert story.running[-1] == "f[10]"
    assert len(story.running) == 10


def test_no_more_than_the_concurrency_run_at_once_and_items_begin_in_order() -> None:
    story = Played(for_each("items: [a, b, c, d, e], concurrency: 2"))
    assert story.running == ["f[0]", "f[1]"]
    story.done("f[1]")
    assert story.running == ["f[0]", "f[2]"]
    story.go()
    assert story.ran == ["f[0]", "f[1]", "f[2]", "f[3]", "f[4]"]


def test_the_limit_of_the_workflow_holds_for_items_too() -> None:
    story = Played("config: {max_parallel_steps: 3}\n" + for_each("items: [a, b, c, d, e], concurrency: 4"))
    assert story.running == ["f[0]", "f[1]", "f[2]"]
    story.done("f[0]")
    assert story.running == ["f[1]", "f[2]", "f[3]"]


def test_a_batch_is_a_list_of_items_the_last_may_be_shorter_and_the_number_is_that_of_the_batch() -> None:
    story = Played(for_each("items: [1, 2, 3, 4, 5], batch_size: 2"))
    assert [story.given_to(key) for key in story.running] == [
        {"i": [1, 2], "n": 0}, {"i": [3, 4], "n": 1}, {"i": [5], "n": 2},
    ]  # fmt: skip
    story.go({"f": lambda work: sum(work.config["i"])})
    assert story.output == {"out": [3, 7, 5]}


def test_concurrency_counts_batches_where_there_are_batches() -> None:
    story = Played(for_each("items: [1, 2, 3, 4, 5], batch_size: 2, concurrency: 1"))
    assert story.running == ["f[0]"]
    assert story.done("f[0]").running == ["f[1]"]


def test_items_whose_condition_does_not_hold_are_recorded_as_skipped_and_their_results_are_null() -> None:
    story = Played(for_each('items: [1, 2, 3, 4], concurrency: 1, when: "{{ item % 2 == 0 }}"')).go({"f": doubled})
    assert story.ran == ["f[1]", "f[3]"]
    assert story.of("f[0]", "f[2]") == ["skipped", "skipped"]
    assert story.reason("f[0]") == "condition"
    assert story.output == {"out": [None, 4, None, 8]}


def test_a_condition_of_items_that_cannot_be_evaluated_fails_the_step() -> None:
    story = Played(for_each('items: [{n: 1}, {}], when: "{{ item.n == 1 }}"')).go()
    assert story.problem("f").type == "expression_error"
    assert story.status == "failed"


def test_all_items_left_out_completes_the_step() -> None:
    story = Played(for_each("items: [1, 2], when: false")).go()
    assert story.output == {"out": [None, None]}


def test_the_condition_of_the_step_itself_is_asked_once_and_sees_no_item() -> None:
    story = Played(for_each("items: [1, 2]", "when: false")).go()
    assert story.of("f") == "skipped"
    assert story.ran == []
    assert story.of("z") == "completed"


# Failures


def test_a_failed_item_lets_those_that_run_finish_starts_no_further_one_and_fails_the_step_with_the_list() -> None:
    story = Played(for_each("items: [a, b, c, d, e], concurrency: 2"))
    story.failed("f[0]")
    assert story.running == ["f[1]"]
    story.done("f[1]")
    assert story.problem("f").type == "items_failed"
    assert story.problem("f").message == "1 of 5 items failed; item 0: it went boom"
    assert details(story.problem("f"))["errors"][0]["index"] == 0
    assert details(story.problem("f"))["errors"][0]["error"]["type"] == "boom"
    assert story.ran == ["f[0]", "f[1]"]
    assert story.error.type == "items_failed"


def test_failed_items_are_told_by_their_numbers() -> None:
    story = Played(for_each("items: [a, b, c]")).go(broken_at("a", "c"))
    assert story.problem("f").message.startswith("2 of 3 items failed")
    assert [each["index"] for each in details(story.problem("f"))["errors"]] == [0, 2]


def test_with_on_error_continue_all_items_run_and_the_failed_ones_have_no_result() -> None:
    story = Played(for_each("items: [1, 2, 3], concurrency: 1, on_error: continue")).go(broken_at(2))
    assert story.status == "completed"
    assert story.output == {"out": [1, None, 3]}
    assert story.of("f[1]") == "failed"
    assert story.problem("f[1]").type == "boom"


def test_a_failing_step_with_items_may_be_continued_as_any_other() -> None:
    story = Played(for_each("items: [1, 2]", "on_failure: {action: continue}")).go(broken_at(1))
    assert story.of("f", "z") == ["failed", "completed"]
    assert story.status == "completed"


def test_a_failing_step_with_items_takes_its_failure_edge() -> None:
    story = Played("""
        steps:
        - {name: f, type: work, for_each: {items: [1, 2]}, config: {i: "{{ item }}"}, on_failure: cure}
        - {name: cure, type: work, config: {why: "{{ steps.f.error.message }}"}}
    """)
    story.failed("f[1]").done("f[0]")
    assert story.given_to("cure") == {"why": "1 of 2 items failed; item 1: it went boom"}
    assert story.done("cure").status == "completed"


def test_a_fallback_value_stands_in_for_all_items() -> None:
    story = Played(for_each("items: [1, 2]", "on_failure: {action: fallback, fallback: [9, 9]}")).go(broken_at(1))
    assert story.output == {"out": [9, 9]}


@pytest.mark.parametrize(
    ("fallback", "degraded"), [('{n: "{{ item }}"}', {"n": 2}), ('{type: other, config: {n: "{{ item }}"}}', {"n": 2})]
)
def test_the_fallback_of_a_bulkhead_stands_in_for_the_item_that_was_rejected(fallback: str, degraded: Any) -> None:
    full = ErrorInfo("bulkhead_full", "4 run already")
    story = Played(for_each("items: [1, 2]", f"bulkhead: {{max_concurrent: 4, fallback: {fallback}}}"))
    story.go(lambda work: full if work.step == "f[1]" else work.config)
    assert story.output == {"out": [{"i": 1, "n": 0}, degraded]}


def test_when_nothing_but_time_was_lacking_a_step_with_items_has_timed_out() -> None:
    text = for_each("items: [1, 2, 3]", "timeout: 5s\n  on_timeout: {action: continue}")
    story = Played(text).go(broken_at(1, 3, error=TIMEOUT))
    assert story.problem("f").type == "timeout"
    assert story.problem("f").message.startswith("2 of 3 items failed; item 0: it took too long")
    assert story.status == "completed"


def test_every_item_is_retried_by_itself() -> None:
    tries: list[str] = []

    def work(assignment: Assignment) -> Any:
        tries.append(assignment.step)
        return FLAKY if assignment.step == "f[1]" and tries.count("f[1]") < 3 else 1

    story = Played(for_each("items: [a, b]", "retry: {max_attempts: 3, initial_delay: 1s}")).go(work)
    assert sorted(tries) == ["f[0]", "f[1]", "f[1]", "f[1]"]
    assert story.step("f[1]").attempts == 3
    assert story.status == "completed"


def test_the_output_of_an_item_is_shaped_by_itself_and_what_is_published_is_the_whole() -> None:
    story = Played("""
        vars: {all: []}
        steps:
        - name: f
          type: work
          for_each: {items: [a, b]}
          output: {what: "{{ response }}", of: "{{ item }}"}
          publish: {all: "{{ response }}"}
    """).go({"f": 7})
    assert story.state.variables["all"] == [{"what": 7, "of": "a"}, {"what": 7, "of": "b"}]


def test_a_workflow_that_fails_elsewhere_lets_running_items_finish_and_begins_no_other() -> None:
    story = Played("steps:\n- {name: other, type: work}\n" + for_each("items: [1, 2, 3], concurrency: 1")[7:])
    story.failed("other")
    assert story.running == ["f[0]"]
    story.done("f[0]")
    assert story.status == "failed"
    assert details(story.error)["step"] == "other"
    assert story.of("f") == "cancelled"
    assert story.times("f") == 1


def test_draining_runs_all_items_although_the_workflow_has_failed() -> None:
    story = Played(
        "config: {failure_mode: drain}\nsteps:\n- {name: other, type: work}\n"
        + for_each("items: [1, 2, 3], concurrency: 1")[7:]
    )
    story.failed("other").go()
    assert story.times("f") == 3
    assert story.of("f", "z") == ["completed", "completed"]
    assert story.status == "failed"


# Items of steps that no worker does


def test_items_may_wait_for_events_each_for_its_own() -> None:
    story = Played("""
        steps:
        - name: f
          type: wait_for_event
          for_each: {items: [ada, bob]}
          config: {event_type: signed, filter: {who: "{{ item }}"}}
        output: {values: {out: "{{ steps.f.output }}"}}
    """)
    story.event("signed", who="bob")
    assert story.of("f[0]", "f[1]") == ["waiting", "completed"]
    story.event("signed", who="ada")
    assert story.output == {"out": [{"event_data": {"who": "ada"}}, {"event_data": {"who": "bob"}}]}


def test_items_may_be_asked_of_people() -> None:
    story = Played("""
        steps:
        - {name: f, type: approval, for_each: {items: [ada, bob]}, config: {prompt: "ok?", assigned_to: "{{ item }}"}}
    """)
    story.answer("f[1]", "yes", by="bob")
    story.answer("f[0]", "no", by="ada")
    assert story.status == "completed"
    assert [each["response"] for each in story.step("f").output] == ["no", "yes"]


def test_items_may_be_sub_workflows() -> None:
    story = Played("""
        steps:
        - {name: f, type: workflow, for_each: {items: [1, 2], concurrency: 1},
           config: {name: child, input: {n: "{{ item }}"}}}
    """)
    assert [each.input for each in story.children.values()] == [{"n": 1}]
    story.child("f[0]", {"r": 1}).child("f[1]", {"r": 2})
    assert story.step("f").output == [{"r": 1}, {"r": 2}]
    assert len({each.child for each in story.children.values()}) == 2


def test_items_may_wait_one_after_the_other() -> None:
    story = Played("""
        steps:
        - {name: f, type: wait, for_each: {items: [1, 2, 3], concurrency: 1}, config: {for: "{{ item }}s"}}
    """).go()
    assert story.seconds == 6
    assert story.status == "completed"


def test_items_may_be_groups_of_steps() -> None:
    story = Played("""
        steps:
        - name: f
          type: parallel_group
          for_each: {items: [x, y], as: letter}
          config:
            steps:
            - {name: a, type: work, config: {l: "{{ letter }}"}}
            - {name: b, type: work, depends_on: a, config: {a: "{{ steps.a.output }}"}}
    """)
    assert story.running == ["a[0]", "a[1]"]
    story.done("a[1]", result="of y")
    assert story.given_to("b[1]") == {"a": "of y"}
    story.done("a[0]", result="of x").go()
    assert story.step("f").output == [{"a": "of x", "b": None}, {"a": "of y", "b": None}]


# Many


def test_an_item_costs_the_same_among_many_as_among_few() -> None:
    def calls_per_item(count: int) -> float:
        story = Played(for_each('items: "{{ range(input.n) }}"'), {"n": count}, replays=False)
        with counting() as calls:
            story.go(turns=count + 1)
        return calls[0] / count

    assert calls_per_item(2_000) < 1.2 * calls_per_item(200)


def test_ten_thousand_items_come_to_their_end() -> None:
    story = Played(for_each('items: "{{ range(10000) }}"'), replays=False).go({"f": doubled}, turns=10_001)
    assert story.status == "completed"
    assert story.output["out"][-1] == 19_998
