"""`join: each`: a step that runs once for every taken edge, and what stands behind it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.decider.played import Played
from tests.decider.story import BOOM

EACH = """
    steps:
    - {name: a, type: work, next: [{to: mail}]}
    - {name: b, type: work, next: [{to: mail}]}
    - {name: mail, type: work, join: each, config: {a: "{{ steps.a.completed }}"}, next: [{to: z}]}
    - {name: z, type: work}
"""


def test_each_runs_the_step_once_for_every_taken_edge_without_waiting_for_the_others() -> None:
    story = Played(EACH).done("b")
    assert story.running == ["a", "mail"]
    story.done("a", "mail")
    assert story.running == ["mail#2"]


def test_what_stands_behind_each_waits_for_all_instances() -> None:
    story = Played(EACH).done("a", "mail", "b")
    assert story.running == ["mail#2"]
    story.done("mail#2")
    assert story.running == ["z"]
    assert story.done("z").status == "completed"


def test_a_dead_edge_makes_no_instance() -> None:
    story = Played(EACH.replace("{name: b, type: work, next", "{name: b, type: work, when: false, next")).go()
    assert story.ran == ["a", "mail", "z"]


def test_when_all_edges_are_dead_each_is_skipped_and_so_is_what_stands_behind_it() -> None:
    dead = EACH.replace("type: work, next: [{to: mail}]", "type: work, when: false, next: [{to: mail}]")
    story = Played(dead).go()
    assert story.of("mail", "z") == ["skipped", "skipped"]
    assert story.status == "completed"


@pytest.mark.parametrize("join", ["any", "sync", "all", 1])
def test_behind_each_a_join_runs_once(join: Any) -> None:
    story = Played(EACH.replace("{name: z, type: work}", f"{{name: z, type: work, join: {join}}}")).go()
    assert sorted(story.ran) == ["a", "b", "mail", "mail#2", "z"]
    assert story.status == "completed"


def test_any_behind_each_runs_at_the_first_instance() -> None:
    story = Played(EACH.replace("{name: z, type: work}", "{name: z, type: work, join: any}")).done("a", "mail")
    assert story.running == ["b", "z"]


def test_each_behind_each_runs_for_every_instance() -> None:
    story = Played(EACH.replace("{name: z, type: work}", "{name: z, type: work, join: each}")).go()
    assert sorted(story.ran) == ["a", "b", "mail", "mail#2", "z", "z#2"]
    assert story.status == "completed"


def test_each_behind_other_joins_runs_once_for_each_of_them() -> None:
    story = Played("""
        steps:
        - {name: a, type: noop, next: [{to: [x, y]}]}
        - {name: b, type: noop, next: [{to: [x, y]}]}
        - {name: x, type: noop, join: all, next: [{to: m}]}
        - {name: y, type: noop, join: any, next: [{to: m}]}
        - {name: m, type: work, join: each}
    """).go()
    assert story.ran == ["m", "m#2"]
    assert story.status == "completed"


def test_a_failed_instance_that_nothing_handles_fails_the_execution() -> None:
    story = Played(EACH).done("a").failed("mail")
    assert story.done("b").status == "failed"


def test_a_failed_instance_that_is_handled_takes_its_own_edges() -> None:
    story = Played(
        EACH.replace("join: each, ", "join: each, on_failure: sorry, ") + "    - {name: sorry, type: work}\n"
    )
    story.done("a", "b").failed("mail").done("mail#2")
    assert sorted(story.running) == ["sorry", "z"]
    assert story.done("sorry", "z").status == "completed"


def test_behind_each_behind_each_a_join_waits_for_all_instances() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work}
        - {name: c, type: work}
        - {name: e, type: work, join: each, depends_on: [a, b]}
        - {name: f, type: work, join: each, depends_on: [e]}
        - {name: z, type: work, depends_on: [f, c]}
    """)
    story.done("a", "e", "f", "c")
    assert story.running == ["b"]
    story.done("b", "e#2")
    assert story.running == ["f#2"]
    story.done("f#2", "z")
    assert (story.status, story.times("z")) == ("completed", 1)


def test_behind_each_behind_a_loop_a_join_waits_for_the_end_of_the_loop() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - {name: o, type: noop, next: l}
        - {name: l, type: work, join: any, max_visits: 3, publish: {n: "{{ vars.n + 1 }}"},
           next: [{when: "{{ vars.n < 2 }}", to: w}, e]}
        - {name: w, type: work, next: l}
        - {name: e, type: work, join: each, next: z}
        - {name: z, type: work}
    """)
    story.done("l", "e")
    assert story.running == ["w"]
    story.done("w", "l#2")
    assert story.running == ["e#2"]
    story.done("e#2", "z")
    assert (story.status, story.times("z")) == ("completed", 1)


def test_what_stands_behind_each_runs_when_the_last_edge_turns_out_dead_after_all_instances() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work, on_failure: {action: continue}}
        - {name: e, type: work, join: each, depends_on: [a, {step: b, on: success}]}
        - {name: z, type: work, depends_on: [e]}
    """)
    story.done("a", "e").failed("b")
    assert story.running == ["z"]
    story.done("z")
    assert story.status == "completed"


def test_a_cycle_is_over_when_each_before_it_has_led_into_it_several_times() -> None:
    story = Played("""
        steps:
        - {name: a, type: work, next: e}
        - {name: b, type: work, next: e}
        - {name: e, type: work, join: each, next: c}
        - {name: c, type: work, join: each, max_visits: 5, next: [{when: "{{ false }}", to: c}, z]}
        - {name: z, type: work, join: sync}
    """).go()
    assert (story.status, story.times("c"), story.times("z")) == ("completed", 2, 1)


def test_behind_a_stand_in_for_each_instance_a_join_runs_once() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work}
        - {name: e, type: work, join: each, depends_on: [a, b], on_failure: {action: fallback, fallback: s}}
        - {name: s, type: work, next: z}
        - {name: c, type: work, next: z}
        - {name: z, type: work, join: sync}
    """).go({"e": BOOM})
    assert (story.status, story.times("e"), story.times("s"), story.times("z")) == ("completed", 2, 2, 1)


def test_a_group_is_cut_short_by_a_failure_elsewhere_when_an_instance_of_each_has_not_run() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - name: g
          type: parallel_group
          config:
            steps:
            - {name: a, type: work}
            - {name: b, type: work}
            - {name: e, type: work, join: each, depends_on: [a, b]}
        - {name: z, type: work}
    """)
    story.done("a").failed("z").done("b")
    assert story.running == ["e"]
    story.done("e")
    assert (story.status, story.of("g")) == ("failed", "cancelled")
