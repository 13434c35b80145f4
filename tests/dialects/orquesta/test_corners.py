"""Corners of the language. What is expected was recorded by hand from orquesta 1.2.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.execution.verbs import Retry
from tests.decider.played import attempts
from tests.dialects.orquesta.conducting import Conducted, boom, found

BY: dict[str, Any] = {"by": "ada", "reason": "mended"}


# Variables


def test_a_published_mapping_goes_into_the_one_before_and_anything_else_takes_its_place() -> None:
    story = Conducted("""
        vars: [{m: {a: 0, deep: {x: 1}}}, {n: {a: 0}}]
        tasks:
          one:
            action: ops.check
            next: [{publish: [{m: {b: 1, deep: {y: 2}}}, {n: 5}], do: two}]
          two:
            action: ops.tell m=<% ctx(m) %> n=<% ctx(n) %>
            next: [{publish: [{n: {c: 3}}, {m: {a: null}}]}]
        output: [{m: <% ctx(m) %>}, {n: <% ctx(n) %>}]
    """)
    assert story.given_to("two") == {"m": {"a": 0, "b": 1, "deep": {"x": 1, "y": 2}}, "n": 5}
    assert story.output == {"m": {"a": None, "b": 1, "deep": {"x": 1, "y": 2}}, "n": {"c": 3}}


def test_within_one_entry_a_later_variable_sees_the_published_value_alone() -> None:
    story = Conducted("""
        vars: [{m: {a: 0}}]
        tasks: {one: {next: [{publish: [{m: {b: 1}}, {seen: <% ctx(m) %>}]}]}}
        output: [{m: <% ctx(m) %>}, {seen: <% ctx(seen) %>}]
    """)
    assert story.output == {"m": {"a": 0, "b": 1}, "seen": {"b": 1}}


def test_a_branch_that_comes_later_to_a_join_puts_back_what_it_did_not_change() -> None:
    story = Conducted("""
        vars: [{n: 0}, {m: 0}]
        tasks:
          start: {action: ops.check, next: [{publish: [{n: 1}, {m: 1}], do: [left, right]}]}
          left: {action: ops.check, next: [{publish: n=2, do: end}]}
          right: {action: ops.check, next: [{publish: m=2, do: end}]}
          end: {join: all, action: ops.tell n=<% ctx(n) %> m=<% ctx(m) %>}
    """)
    assert story.given_to("end") == {"n": 1, "m": 2}


@pytest.mark.parametrize(
    ("task", "gives", "expected"),
    [
        # what leads to a task is not in the output when that never ran
        ("{action: ops.check, next: [{publish: v=1, do: end}]}", [], {"v": "-"}),
        ("{action: ops.check, next: [{publish: v=1, do: [end, noop]}]}", [], {"v": 1}),
        ("{action: ops.check, next: [{publish: v=1, do: [end, continue]}]}", [], {"v": 1}),
        ("{action: ops.check, next: [{publish: v=1}]}", [], {"v": 1}),
        ("{action: ops.check, next: [{publish: v=1, do: retry}]}", [], {"v": "-"}),
        ("{action: ops.check, next: [{publish: v=1, do: [end, fail]}, {publish: v=2, do: end}]}", [], {"v": 1}),
        ("{action: ops.check, next: [{when: <% failed() %>, publish: v=1}]}", [boom()], {"v": 1}),
    ],
)
def test_the_output_sees_what_was_published_on_ways_that_have_ended(
    task: str, gives: list[Any], expected: dict[str, Any]
) -> None:
    story = Conducted(
        f"""
        vars: [{{v: "-"}}]
        tasks:
          a: {task}
          other: {{next: [{{when: <% failed() %>, do: end}}]}}
          end: {{join: all, action: ops.tell}}
        output: [{{v: <% ctx(v) %>}}]
    """,
        {"a": gives},
    )
    assert story.output == expected


def test_what_a_task_publishes_after_the_workflow_has_failed_is_not_in_the_output_unless_it_leads_nowhere() -> None:
    text = """
        vars: [{{v: 0}}, {{w: 0}}]
        tasks:
          a: {{action: ops.check}}
          b: {{action: ops.build, next: [{{publish: v=1, do: c}}, {{publish: w=1, do: {do}}}]}}
          c: {{action: ops.tell}}
          {more}
        output: [{{v: <% ctx(v) %>}}, {{w: <% ctx(w) %>}}]
    """
    for do, expected in (("noop", {"v": 0, "w": 1}), ("d", {"v": 0, "w": 0})):
        story = Conducted(text.format(do=do, more="" if do == "noop" else "d: {action: ops.tell}"), {"a": [boom()]})
        assert (story.status, story.tasks, story.output) == ("failed", ["a", "b"], expected)


def test_of_several_ways_that_of_the_task_that_began_last_counts() -> None:
    story = Conducted("""
        tasks:
          a: {next: [{publish: v=a, do: c}]}
          b: {next: [{publish: v=b, do: d}]}
          c: {action: ops.check}
          d: {action: ops.tell}
        output: [{v: <% ctx(v) %>}]
    """)
    assert story.output == {"v": "b"}


# Output


def test_an_entry_of_the_output_that_fails_fails_the_workflow_and_keeps_the_others() -> None:
    story = Conducted("""
        vars: [{n: 1}]
        tasks: {a: {action: ops.check, next: [{publish: x=2}]}}
        output: [{x: <% ctx(x) %>}, {y: <% ctx(n).y %>}, {q: <% ctx(y) %>}, {r: <% ctx(x) + 1 %>}]
    """)
    assert (story.status, story.output) == ("failed", {"x": 2, "r": 3})
    assert story.error.type == "invalid_output"


def test_an_output_of_which_nothing_can_be_computed_is_none() -> None:
    story = Conducted("vars: [{n: 1}]\ntasks: {a: {}}\noutput: [{y: <% ctx(n).y %>}]")
    assert (story.status, story.output) == ("failed", None)


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<% ctx(n) %>-", "None-"),
        ("{{ ctx('n') }}{{ ctx('t') }}", "NoneTrue"),
        ("<% ctx(t) %> <% ctx(l) %> <% ctx(m) %>", """True [1, 'a', None, 2.5] {'a': [True, "it's"]}"""),
        ("{{ ctx('l') }} {{ ctx('m') }}", """[1, 'a', None, 2.5] {'a': [True, "it's"]}"""),
        (" <% ctx(t) %> ", " True "),
        ("<% 7 / 2 %>! <% 7.0 / 2 %>! <% ctx(s) %>", "3! 3.5! q"),
        ("<% dict(a => 1) %>! <% list(1, 'x') %>! <% ctx(s) %>", "{'a': 1}! [1, 'x']! q"),
        ("{{ ctx('t') | string }}", "True"),
        ("<% ctx(t) %>", True),
        ("{{ ctx('n') }}", None),
    ],
)
def test_in_a_text_values_are_written_as_python_writes_them(text: str, expected: Any) -> None:
    written = json.dumps(text)
    story = Conducted(
        'vars: [{n: null}, {t: true}, {l: [1, a, null, 2.5]}, {m: {a: [true, "it\'s"]}}, {s: q}]\n'
        f"tasks: {{a: {{action: ops.tell, input: {{text: {written}}}}}}}"
    )
    assert story.given_to("a") == {"text": expected}


def test_the_status_of_a_task_that_has_not_run_is_a_word() -> None:
    story = Conducted("""
        tasks:
          a: {next: [{publish: s="<% task_status(a) %> <% task_status(b) %>", do: b}]}
          b: {action: ops.tell s=<% ctx(s) %>}
    """)
    assert story.given_to("b") == {"s": "succeeded null"}


# Items


ITEMS = """
    tasks:
      a:
        with: {{items: "<% list(1, 2, 3, 4) %>", concurrency: {at_once}}}
        action: ops.check n=<% item() %>
        next: [{{publish: r=<% result() %>}}]
    output: [{{r: <% ctx(r) %>}}]
"""


def test_after_an_item_has_failed_further_ones_begin_as_long_as_others_are_at_work() -> None:
    story = Conducted(ITEMS.format(at_once=2), {"a": ["1", boom(x=2), "3", "4"]})
    assert (story.status, len(story.tasks)) == ("failed", 4)
    assert story.output == {"r": ["1", {"x": 2}, "3", "4"]}
    story = Conducted(ITEMS.format(at_once=1), {"a": ["1", boom(x=2)]})
    assert (story.status, len(story.tasks)) == ("failed", 2)


def test_a_retry_tries_all_items_again_and_sees_all_their_results() -> None:
    text = """
        tasks:
          a:
            with: <% list(1, 2) %>
            action: ops.check n=<% item() %>
            retry: {{count: 2, delay: 3, when: {when}}}
            next: [{{publish: r=<% result() %>}}]
        output: [{{r: <% ctx(r) %>}}]
    """
    story = Conducted(text.format(when="<% failed() %>"), {"a": [boom(), "b", "c", "d"]})
    assert (story.status, story.output, story.seconds) == ("completed", {"r": ["c", "d"]}, 3)
    story = Conducted(text.format(when="<% 5 in result() %>"), {"a": [1, 5, 5, 1, 2, 3]})
    assert (story.status, story.output, len(story.tasks)) == ("completed", {"r": [2, 3]}, 6)
    story = Conducted(text.format(when="<% failed() %>"), {"a": [boom(), "b"] * 3})
    assert (story.status, len(story.tasks)) == ("failed", 6)


def test_run_again_by_hand_only_the_items_that_failed_are() -> None:
    story = Conducted(ITEMS.format(at_once=4), {"a": ["1", boom(), "3", "4"]})
    story.take(Retry(**BY))
    story.again({"a": ["2"]})
    assert (story.status, story.output, len(story.tasks)) == ("completed", {"r": ["1", "2", "3", "4"]}, 5)


# Retries


def test_how_often_and_after_how_long_a_task_is_tried_again_may_be_computed() -> None:
    story = Conducted(
        """
        vars: [{n: 1}]
        tasks:
          a:
            action: ops.check
            retry: {count: <% ctx(n) + 1 %>, delay: "{{ ctx('n') * 2 }}"}
            next: [{when: <% failed() %>, do: noop}]
    """,
        {"a": [boom(), boom(), boom(), None]},
    )
    assert (story.status, attempts(story)) == ("completed", [("a", 0.0), ("a", 2.0), ("a", 4.0)])


def test_a_wait_that_is_no_number_ends_the_tries_and_says_so() -> None:
    story = Conducted(
        "vars: [{n: soon}]\ntasks: {a: {action: ops.check, retry: {count: 2, delay: <% ctx(n) %>}}}", {"a": [boom()]}
    )
    assert (story.status, story.tasks) == ("failed", ["a"])
    assert "the wait before another try is no number of seconds: 'soon'" in story.problem("a").message


# Joins and cycles


def test_a_join_behind_a_cycle_goes_on_with_every_round() -> None:
    story = Conducted(
        """
        tasks:
          start: {action: ops.check, next: [{do: [turn, tell]}]}
          turn:
            action: ops.build
            next: [{do: tell}, {when: <% result() = more %>, do: turn}]
          tell: {join: all, action: ops.tell}
    """,
        {"turn": ["more", "more", "done"]},
    )
    assert story.status == "completed"
    assert (story.tasks.count("turn"), story.tasks.count("tell")) == (3, 3)


def test_a_join_by_count_goes_on_once() -> None:
    story = Conducted("""
        tasks:
          start: {action: ops.check, next: [{do: [a, b, c]}]}
          a: {action: ops.check, next: [{do: end}]}
          b: {action: ops.check, next: [{do: end}]}
          c: {action: ops.check, next: [{do: end}]}
          end: {join: 2, action: ops.tell}
    """)
    assert (story.status, story.tasks.count("end")) == ("completed", 1)


def test_a_cycle_that_nothing_leads_into_is_pointed_out_and_never_runs() -> None:
    text = "tasks: {a: {action: ops.check, next: [{do: end}]}, b: {next: [{do: c}]}, c: {next: [{do: b}]}, end: {}}"
    assert [(each.code, each.severity) for each in found(text)] == [("never-started", "warning")] * 2
    story = Conducted(text)
    assert (story.status, story.tasks, story.of("b", "c", "end")) == (
        "completed",
        ["a"],
        ["skipped", "skipped", "completed"],
    )


# What cannot be computed


@pytest.mark.parametrize(
    "task",
    [
        "{action: ops.tell, input: {v: <% ctx(n).y %>}, next: [{do: noop}]}",
        "{action: ops.tell, input: {v: <% ctx(n).y %>}, next: [{when: <% failed() %>, do: c}]}",
        "{with: <% ctx(n) %>, action: ops.tell, next: [{do: c}]}",
        "{action: <% ctx(n).y %>, next: [{do: noop}]}",
        "{action: ops.tell, delay: <% ctx(l) %>, next: [{do: noop}]}",
    ],
)
def test_a_task_whose_input_cannot_be_computed_fails_the_workflow_whatever_follows_it(task: str) -> None:
    rest = ", c: {action: ops.check}" if "do: c" in task else ""
    story = Conducted(f"vars: [{{n: 1}}, {{l: later}}]\ntasks: {{a: {{next: [{{do: b}}]}}, b: {task}{rest}}}")
    assert (story.status, story.tasks) == ("failed", [])


@pytest.mark.parametrize("entry", ["{when: <% ctx(n).y %>, do: b}", "{publish: [{x: <% ctx(n).y %>}], do: b}"])
def test_neither_does_an_entry_help_when_one_beside_it_cannot_be_computed(entry: str) -> None:
    story = Conducted(
        f"vars: [{{n: 1}}]\ntasks: {{a: {{action: ops.check, next: [{entry}, {{do: noop}}]}}, b: {{action: ops.tell}}}}"
    )
    assert (story.status, story.tasks) == ("failed", ["a"])
