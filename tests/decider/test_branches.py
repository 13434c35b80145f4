"""Separate branches: a step that several edges lead to runs once for each, and sees what was published on its way."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.spans import Source
from stepwell.decider.branches import Branches
from stepwell.definition.loading import load
from tests.decider.played import Played, document
from tests.decider.story import BOOM

SPLIT = """
    config: {branches: separate}
    vars: {by: nobody}
    steps:
    - {name: start, type: work, next: [{to: [left, right]}]}
    - {name: left, type: work, next: [{to: both, publish: {by: left}}]}
    - {name: right, type: work, next: [{to: both, publish: {by: right}}]}
    - {name: both, type: work, config: {by: "{{ vars.by }}"}, next: [{to: [one, two]}]}
    - {name: one, type: work, next: [{to: end, publish: {one: "{{ vars.by }}"}}]}
    - {name: two, type: work, next: [{to: end}]}
    - {name: end, type: work, join: all, config: {by: "{{ vars.by }}", one: "{{ vars.one }}"}}
    output: {values: {one: "{{ vars.one }}"}}
"""


def seen(story: Played, *keys: str) -> list[Any]:
    return [story.step(key).input for key in keys]


def findings(spec: str) -> list[tuple[str, str]]:
    loaded = load(Source("w.yaml", document(spec)))
    return [(each.code, each.message) for each in loaded.diagnostics]


def test_what_follows_a_step_that_runs_twice_runs_twice_and_its_joins_do() -> None:
    story = Played(SPLIT).go()
    assert sorted(story.ran) == sorted(
        ["start", "left", "right", "both", "both#2", "one", "one#2", "two", "two#2", "end", "end#2"]
    )
    assert story.status == "completed"


def test_each_sees_what_was_published_on_its_own_way() -> None:
    story = Played(SPLIT).go()
    assert seen(story, "both", "both#2") == [{"by": "left"}, {"by": "right"}]
    assert seen(story, "end", "end#2") == [{"by": "left", "one": "left"}, {"by": "right", "one": "right"}]


def test_the_output_sees_all_that_was_published_and_of_the_same_name_that_of_the_way_whose_end_began_last() -> None:
    for ends in (("end#2", "end"), ("end", "end#2")):
        story = Played(SPLIT)
        story.done("start", "left", "right", "both", "both#2", "one", "one#2", "two", "two#2")
        assert story.done(*ends).output == {"one": "right"}


def test_a_step_is_read_as_it_ran_on_the_same_way() -> None:
    story = Played("""
        config: {branches: separate}
        steps:
        - {name: start, type: work, next: [{to: [left, right]}]}
        - {name: left, type: work, next: [{to: both}]}
        - {name: right, type: work, next: [{to: both}]}
        - {name: both, type: work, next: [{to: then}]}
        - {name: then, type: work, config: {both: "{{ steps.both.output }}", start: "{{ steps.start.output }}"}}
    """)
    story.done("start", result="s").done("left", "right").done("both", result=1).done("both#2", result=2)
    assert seen(story, "then", "then#2") == [{"both": 1, "start": "s"}, {"both": 2, "start": "s"}]


def test_parallel_branches_do_not_see_each_others_variables() -> None:
    story = Played("""
        config: {branches: separate}
        vars: {n: 0}
        steps:
        - {name: a, type: work, next: [{to: b, publish: {n: 1}}]}
        - {name: x, type: work, next: [{to: y, publish: {n: 2}}]}
        - {name: b, type: work, config: {n: "{{ vars.n }}"}}
        - {name: y, type: work, config: {n: "{{ vars.n }}"}}
    """)
    assert seen(story.done("a", "x"), "b", "y") == [{"n": 1}, {"n": 2}]


def test_where_branches_meet_the_one_that_comes_last_wins_also_with_what_it_did_not_change() -> None:
    story = Played("""
        config: {branches: separate}
        vars: {n: 0, m: 0}
        steps:
        - {name: start, type: work, next: [{to: [a, x], publish: {n: 1, m: 1}}]}
        - {name: a, type: work, next: [{to: end, publish: {n: 2}}]}
        - {name: x, type: work, next: [{to: end, publish: {m: 2}}]}
        - {name: end, type: work, join: all, config: {n: "{{ vars.n }}", m: "{{ vars.m }}"}}
    """)
    assert seen(story.done("start", "a", "x"), "end") == [{"n": 1, "m": 2}]


def test_a_join_counts_steps_and_not_edges() -> None:
    spec = """
        config: {branches: separate}
        steps:
        - {name: a, type: work, next: [{to: end, when: "{{ result() > 0 }}"}, {to: end, when: "{{ result() > 1 }}"}]}
        - {name: b, type: work, next: [{to: end}]}
        - {name: c, type: work, next: [{to: end}]}
        - {name: end, type: work, join: 2}
    """
    assert Played(spec).done("a", result=2).running == ["b", "c"]
    story = Played(spec).done("a", result=2).done("b")
    assert story.running == ["c", "end"]
    assert story.done("end", "c").status == "completed"
    assert story.ran.count("end") == 1


def test_a_join_that_was_reached_by_too_few_fails_the_execution_at_its_end_and_says_so() -> None:
    story = Played("""
        config: {branches: separate}
        steps:
        - {name: a, type: work, next: [{to: end}]}
        - {name: b, type: work, next: [{to: end, when: "{{ result() == 'go' }}"}]}
        - {name: end, type: work, join: all}
        - {name: after, type: work, depends_on: end}
    """)
    assert story.done("a").status == "running"
    assert story.done("b").status == "failed"
    assert story.error.type == "join_unsatisfiable"
    assert "step 'end' waits for 2 steps, and was reached by 1" in story.error.message


def test_a_join_that_nothing_reached_is_skipped() -> None:
    story = Played("""
        config: {branches: separate}
        steps:
        - {name: a, type: work, next: [{to: end, when: "{{ failed() }}"}]}
        - {name: b, type: work, next: [{to: end, when: "{{ failed() }}"}]}
        - {name: end, type: work, join: all}
    """).go()
    assert story.status == "completed"
    assert story.of("end") == "skipped"


def test_a_step_may_lead_back_to_itself_and_every_round_sees_what_the_one_before_published() -> None:
    results = ["no", "no", "yes"]
    story = Played("""
        config: {branches: separate}
        vars: {n: 0}
        steps:
        - {name: begin, type: work, next: [{to: ask}]}
        - {name: ask, type: work, max_visits: 9, config: {n: "{{ vars.n }}"},
           next: [{when: "{{ result() == 'no' }}", to: ask, publish: {n: "{{ vars.n + 1 }}"}},
                  {when: "{{ result() == 'yes' }}", to: end}]}
        - {name: end, type: work, config: {n: "{{ vars.n }}"}}
    """).go({"ask": lambda work: results.pop(0)})
    assert story.ran == ["begin", "ask", "ask#2", "ask#3", "end"]
    assert seen(story, "ask", "ask#3", "end") == [{"n": 0}, {"n": 2}, {"n": 2}]


def test_a_join_inside_a_loop_waits_anew_in_every_round() -> None:
    rounds = [1, 2]
    story = Played("""
        config: {branches: separate}
        steps:
        - {name: begin, type: work, next: [{to: fork}]}
        - {name: fork, type: work, max_visits: 9, next: [{to: [a, b]}]}
        - {name: a, type: work, next: [{to: meet}]}
        - {name: b, type: work, next: [{to: meet}]}
        - {name: meet, type: work, join: all, next: [{to: fork, when: "{{ result() < 2 }}"}]}
    """).go({"meet": lambda work: rounds.pop(0)})
    assert story.ran == ["begin", "fork", "a", "b", "meet", "fork#2", "a#2", "b#2", "meet#2"]
    assert story.status == "completed"


def test_what_stands_inside_a_step_sees_what_the_step_sees() -> None:
    story = Played("""
        config: {branches: separate}
        vars: {n: 0}
        steps:
        - {name: a, type: work, next: [{to: many, publish: {n: 7}}]}
        - {name: many, type: work, for_each: {items: [1]}, config: {n: "{{ vars.n }}"}}
    """).done("a")
    assert seen(story, "many[0]") == [{"n": 7}]


def test_a_step_tries_all_its_items_again_and_what_the_workflow_says_of_tries_does_not_come_on_top() -> None:
    story = Played("""
        config: {branches: separate, retry_policy: {max_attempts: 5, retry_on: [boom]}}
        steps:
        - {name: many, type: work, for_each: {items: [1]}, retry: {max_attempts: 2, retry_on: [items_failed]}}
    """)
    story.failed("many[0]").time("2s").failed("many[~2,0]")
    assert (story.ran, story.status) == (["many[0]", "many[~2,0]"], "failed")


def test_the_output_can_be_given_of_a_failed_execution_too() -> None:
    spec = """
        config: {branches: separate}
        vars: {said: nothing}
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() }}", publish: {said: "{{ result().why }}"}, handles: false}]}
        output: {values: {said: "{{ vars.said }}"}, on_failure: true}
    """
    story = Played(spec).failed("a", BOOM.__class__("boom", "it broke", details={"why": "rust"}))
    assert (story.status, story.output) == ("failed", {"said": "rust"})


def test_an_output_that_cannot_be_built_is_left_out_of_a_failure() -> None:
    story = Played("""
        steps: [{name: a, type: work}]
        output: {values: {a: "{{ steps.a.output }}"}, on_failure: true}
    """).failed("a")
    assert (story.status, story.output) == ("failed", None)
    assert story.error.type == BOOM.type


def test_an_edge_that_does_not_handle_a_failure_leaves_it_standing() -> None:
    spec = """
        config: {failure_mode: drain}
        steps:
        - {name: a, type: work, next: [{when: "{{ failed() }}", to: tell, handles: HANDLES}]}
        - {name: tell, type: work}
    """
    assert Played(spec.replace("HANDLES", "true")).failed("a").done("tell").status == "completed"
    assert Played(spec.replace("HANDLES", "false")).failed("a").done("tell").status == "failed"


def test_a_step_that_was_cancelled_before_it_was_led_to_keeps_nothing_open() -> None:
    story = Played("""
        config: {branches: separate}
        steps:
        - {name: a, type: work, cancels: c, next: b}
        - {name: b, type: work, next: c}
        - {name: c, type: work}
        - {name: d, type: work, depends_on: [{step: b, on: timeout}]}
        - {name: e, type: work}
    """)
    story.done("a", "b")
    assert (story.of("c"), story.running) == ("cancelled", ["e"])
    story.done("e")
    assert (story.status, story.of("d")) == ("completed", "skipped")


def test_what_is_put_together_on_a_way_follows_the_variables_that_all_see() -> None:
    branches, first = Branches({}), {"n": 1}
    assert branches.merged(("a",), first, {"a": {"m": 2}}) == {"n": 1, "m": 2}
    first["n"] = 3
    assert branches.merged(("a",), first, {"a": {"m": 2}}) == {"n": 3, "m": 2}


SEPARATE = "config: {branches: separate}\nsteps:\n"


@pytest.mark.parametrize(
    ("steps", "code", "says"),
    [
        ("- {name: a, type: noop, next: [{to: b}]}\n- {name: b, type: noop, join: sync}", "wrong-value", "sync"),
        (
            "- {name: a, type: noop, next: [{to: b}]}\n- {name: b, type: noop, join: 2}",
            "impossible-join",
            "1 steps lead",
        ),
        ("- {name: a, type: noop, join: all}", "no-effect", "no edge leads"),
        (
            (
                "- {name: a, type: noop, next: [{to: [s, t]}]}\n- {name: b, type: noop, next: [{to: s}]}\n"
                "- {name: s, type: noop, next: [{to: j}]}\n- {name: t, type: noop, next: [{to: j}]}\n"
                "- {name: j, type: noop, join: all}"
            ),
            "impossible-join",
            "never comes together",
        ),
        (
            "- {name: g, type: parallel_group, config: {steps: [{name: i, type: noop, publish: {x: 1}}]}}",
            "misplaced-key",
            "nothing is published there",
        ),
        (
            "- {name: g, type: parallel_group, config: {steps: [{name: i, type: set, config: {x: 1}}]}}",
            "wrong-value",
            "nothing is published there",
        ),
        (
            "- {name: a, type: noop, on_failure: {action: fallback, fallback: b}}\n- {name: b, type: noop}",
            "wrong-value",
            "stand in",
        ),
        ("- {name: a, type: noop, next: [{to: a}]}", "self-dependency", "leads to itself"),
    ],
)
def test_what_has_no_meaning_where_branches_are_separate_is_found(steps: str, code: str, says: str) -> None:
    assert any(found == code and says in message for found, message in findings(SEPARATE + steps))
