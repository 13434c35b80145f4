"""`dynamic`: steps that are known only when the workflow runs."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.execution.history import StepsAdded
from tests.decider.played import Played, details
from tests.decider.story import FLAKY

MADE = """
    vars: {secret: hidden}
    steps:
    - {name: d, type: dynamic, config: {task: make, args: {n: 2}}}
    - {name: z, type: noop, depends_on: d}
    output: {values: {out: "{{ steps.d.output }}"}}
"""

GIVEN = """
    steps:
    - {name: d, type: dynamic, config: {steps: "{{ input.steps }}"}}
    - {name: z, type: noop, depends_on: d}
    output: {values: {out: "{{ steps.d.output }}"}}
"""

X: dict[str, Any] = {"name": "x", "type": "work"}
Y: dict[str, Any] = {"name": "y", "type": "work", "depends_on": "x"}


def test_a_task_makes_the_steps_and_they_run_like_any_others() -> None:
    story = Played(MADE)
    assert story.running == ["d[make]"]
    assert story.given_to("d[make]") == {"task": "make", "args": {"n": 2}}
    story.done("d[make]", result=[X, Y])
    assert story.running == ["x"]
    story.done("x", result=1)
    assert story.running == ["y"]
    story.done("y", result=2)
    assert story.output == {"out": {"x": 1, "y": 2}}


def test_the_steps_may_be_given_by_an_expression() -> None:
    story = Played(GIVEN, {"steps": [X, Y]}).go({"x": 1, "y": 2})
    assert story.output == {"out": {"x": 1, "y": 2}}


def test_the_steps_are_recorded_and_are_the_same_after_a_crash() -> None:
    story = Played(MADE).done("d[make]", result=[X, Y])
    (added,) = story.happened(StepsAdded)
    assert added.steps == [X, Y]
    story.run = story._replayed()
    assert story.done("x").running == ["y"]


def test_texts_in_made_steps_are_taken_as_they_are_and_never_evaluated() -> None:
    step = {"name": "x", "type": "work", "config": {"a": "{{ vars.secret }}", "b": "{{ secrets.KEY }}"}}
    story = Played(MADE).done("d[make]", result=[step])
    assert story.given_to("x") == {"a": "{{ vars.secret }}", "b": "{{ secrets.KEY }}"}


def test_no_steps_complete_the_step() -> None:
    story = Played(GIVEN, {"steps": []})
    assert story.output == {"out": {}}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ([X, X], "x"),
        ([{"name": "z", "type": "work"}], "a step called 'z' is there already"),
        ([{"name": "d", "type": "work"}], "a step called 'd' is there already"),
        ([{"type": "work"}], "name"),
        ([{"name": "input", "type": "work"}], "input"),
        ([{"name": "x", "type": "work", "depends_on": "nobody"}], "nobody"),
        ([{"name": "x", "type": "work", "depends_on": "z"}], "z"),
        ([{"name": "x", "type": "work", "depends_on": "y"}, Y], "x"),
        ([{"name": "x", "typo": 1}], "typo"),
        ("text", "list"),
        (7, "list"),
        (None, "list"),
        ({"name": "x"}, "list"),
        ([7], "steps[0] must be a mapping, not int"),
        ([{**X, "when": "true"}], "'when', which a generated step cannot have"),
        ([{"name": "g", "type": "parallel_group", "config": {"steps": [X]}}], "'parallel_group', which"),
    ],
)
def test_what_is_no_list_of_steps_fails_that_step_and_says_why(made: Any, says: str) -> None:
    story = Played(MADE).done("d[make]", result=made)
    error = story.problem("d")
    assert error.type == "invalid_steps"
    assert error.message.startswith("step 'd' cannot add steps: ")
    assert says in error.message
    assert story.status == "failed"
    assert story.ran == ["d[make]"]


def test_such_a_failure_may_be_handled() -> None:
    story = Played(
        MADE.replace("config: {task", "on_failure: {action: continue}, config: {task").replace(
            "steps.d.output", "steps.d.status"
        )
    )
    story.done("d[make]", result="nothing")
    assert story.status == "completed"


def test_a_task_that_fails_fails_the_step() -> None:
    story = Played(MADE).failed("d[make]")
    assert story.problem("d").message == "step 'd' failed: it went boom"
    assert story.status == "failed"


def test_a_failure_of_a_made_step_fails_the_step_that_made_it() -> None:
    story = Played(MADE).done("d[make]", result=[X, Y]).failed("x")
    assert story.problem("d").message == "step 'x' failed: it went boom"
    assert story.of("y") == "pending"


def test_a_made_step_may_handle_its_own_failure() -> None:
    handled = {**X, "on_failure": {"action": "continue"}}
    story = Played(MADE).done("d[make]", result=[handled, Y]).failed("x")
    assert story.running == ["y"]


def test_a_made_step_may_be_retried() -> None:
    made = [{"name": "x", "type": "work", "retry": {"max_attempts": 2, "initial_delay": "1s"}}]
    story = Played(MADE).done("d[make]", result=made).failed("x", FLAKY).time(1).done("x")
    assert story.status == "completed"
    assert story.step("x").attempts == 2


def test_the_result_of_the_making_task_is_asked_for_again_when_the_step_is_retried() -> None:
    story = Played(MADE.replace("config: {task", "retry: {max_attempts: 2, initial_delay: 1s}, config: {task"))
    story.done("d[make]", result=[X]).failed("x", FLAKY).time(1)
    assert story.running == ["d[~2,make]"]
    story.done("d[~2,make]", result=[X]).done("x[~2]", result=5)
    assert story.output == {"out": {"x": 5}}


def test_steps_made_in_a_loop_are_those_of_their_round() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config: {count: 2, steps: [{name: d, type: dynamic, config: {task: make}}]}
    """)
    story.done("d[0,make]", result=[X]).done("x[0]", result=1).done("d[1,make]", result=[X, Y])
    story.done("x[1]", result=2).done("y[1]", result=3)
    assert story.step("l").output == [{"d": {"x": 1}}, {"d": {"x": 2, "y": 3}}]


def test_the_timeout_of_a_dynamic_step_stops_what_it_made() -> None:
    story = Played(MADE.replace("config: {task", "timeout: 5s, config: {task")).done("d[make]", result=[X, Y]).time(5)
    assert story.stopped == ["x"]
    assert story.problem("d").type == "timeout"


def test_a_failure_elsewhere_begins_no_further_made_step() -> None:
    story = Played(MADE.replace("steps:\n", "steps:\n    - {name: o, type: work}\n", 1)).done("d[make]", result=[X, Y])
    story.failed("o").done("x")
    assert story.times("y") == 0
    assert story.status == "failed"
    assert details(story.error)["step"] == "o"


def test_a_failure_elsewhere_while_the_steps_are_made_begins_none_of_them() -> None:
    story = Played(MADE.replace("steps:\n", "steps:\n    - {name: o, type: work}\n", 1)).failed("o")
    story.done("d[make]", result=[X, Y])
    assert story.ran == ["o", "d[make]"]
    assert story.of("d") == "cancelled"
    assert story.status == "failed"


def test_many_steps_may_be_made_at_once() -> None:
    made = [{"name": f"s{n}", "type": "work"} for n in range(20)]
    story = Played(GIVEN, {"steps": made}).go({f"s{n}": n for n in range(20)})
    assert story.output["out"]["s19"] == 19
