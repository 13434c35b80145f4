"""Operators and what failed inside of constructs: settled by hand, tried again, or left alone as it was handled."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import Conflict
from stepwell.execution.verbs import CompleteStep, Retry, SkipStep, Verb
from tests.decider.played import Played

BY: dict[str, Any] = {"by": "ada", "reason": "why"}


@pytest.mark.parametrize("verb", [SkipStep(**BY, step="a", force=True), CompleteStep(**BY, step="a", force=True)])
@pytest.mark.parametrize(
    "construct",
    [
        "type: conditional, config: {condition: true, then: [STEPS]}",
        "type: loop, config: {count: 1, steps: [STEPS]}",
        "type: parallel_group, config: {fail_fast: false, steps: [STEPS]}",
    ],
)
def test_the_last_step_of_a_block_may_be_settled_by_hand_when_another_has_failed(verb: Verb, construct: str) -> None:
    steps = "{name: a, type: work}, {name: b, type: work}"
    story = Played(f"""
        config: {{on_error: {{strategy: terminate}}}}
        steps:
        - {{name: c, {construct.replace("STEPS", steps)}}}
    """)
    path = "[0]" if "loop" in construct else ""
    story.failed(f"b{path}")
    assert story.running == [f"a{path}"]
    story.take(verb)
    assert (story.status, story.running, story.of("c")) == ("failed", [], "failed")


def test_the_last_item_beside_one_that_failed_may_be_settled_by_hand() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - {name: c, type: work, for_each: {items: [1, 2]}}
    """)
    story.failed("c[0]")
    story.take(CompleteStep(**BY, step="c[1]", force=True))
    assert (story.status, story.of("c[0]", "c[1]", "c")) == ("failed", ["failed", "completed", "failed"])


def test_a_step_in_a_block_may_be_settled_by_hand_when_the_execution_has_failed() -> None:
    story = Played("""
        config: {on_error: {strategy: terminate}}
        steps:
        - {name: c, type: conditional, config: {condition: true, then: [{name: a, type: work}]}}
        - {name: b, type: work}
    """)
    story.failed("b")
    story.take(CompleteStep(**BY, step="a", force=True))
    assert (story.status, story.of("a", "c")) == ("failed", ["completed", "completed"])


HANDLED = """
config: {on_error: {strategy: terminate}}
steps:
- {name: l, type: loop, config: {count: 1, steps: [{name: a, type: work}]},
   on_failure: {action: fallback, fallback: 5}, next: [b, c]}
- {name: b, type: work, next: c}
- {name: w, type: work, next: c}
- {name: c, type: work}
- {name: z, type: work}
- {name: e, type: noop, join: each, depends_on: z}
"""


def test_a_retry_leaves_alone_what_failed_inside_of_a_construct_whose_failure_was_handled() -> None:
    story = Played(HANDLED)
    story.failed("a[0]").done("b").failed("z")
    assert story.running == ["w"]
    story.failed("w")
    story.take(Retry(**BY))
    assert story.running == ["w", "z"]
    story.done("w", "c", "z")
    assert (story.status, story.times("a"), story.times("b")) == ("completed", 1, 1)


@pytest.mark.parametrize("step", ["l", "a[0]"])
def test_what_stands_behind_a_handled_failure_that_is_retried_has_run_and_counts_once(step: str) -> None:
    story = Played(HANDLED)
    story.failed("a[0]").done("b").failed("z").failed("w")
    story.take(Retry(**BY, steps=("w", "z", step)))
    story.done("a[0]")
    assert (story.of("l"), story.running) == ("completed", ["w", "z"])
    story.done("w")
    assert story.running == ["z", "c"]
    story.done("z", "c")
    assert (story.status, story.times("b"), story.times("c")) == ("completed", 1, 1)


def test_what_failed_inside_of_a_construct_whose_failure_was_handled_cannot_be_settled_after_the_end() -> None:
    story = Played(HANDLED)
    story.failed("a[0]").done("b").failed("z").failed("w")
    with pytest.raises(Conflict) as caught:
        story.take(SkipStep(**BY, step="a"))
    assert caught.value.code == "step-ended"


@pytest.mark.parametrize("waits", [False, True])
def test_a_cycle_that_runs_is_not_over_when_what_led_to_it_is_settled_otherwise(waits: bool) -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: b, type: work, depends_on: [{step: a, on: complete}], max_visits: 3}
        - {name: c, type: work, depends_on: b, on_success: b}
    """)
    story.failed("a")
    if not waits:
        story.done("b")
    story.take(SkipStep(**BY, step="a"))
    if waits:
        story.done("b")
    story.done("c", "b#2", "c#2", "b#3")
    assert story.running == ["c#3"]
    story.done("c#3")
    assert (story.times("b"), story.times("c")) == (3, 3)


def test_each_is_not_over_while_it_runs_when_what_led_to_it_is_settled_otherwise() -> None:
    story = Played("""
        steps:
        - {name: a, type: work}
        - {name: e, type: work, join: each, depends_on: [{step: a, on: complete}]}
        - {name: z, type: work, join: each, depends_on: [e]}
    """)
    story.failed("a").take(SkipStep(**BY, step="a"))
    assert (story.running, story.of("z")) == (["e"], "pending")
    story.done("e")
    assert story.running == ["z"]
    story.done("z")
    assert story.status == "completed"
