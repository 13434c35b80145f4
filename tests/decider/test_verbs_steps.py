"""Steps that an operator skips, or completes, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.execution.commands import ForgetWait, StopStep
from stepwell.execution.verbs import CompleteStep, SkipStep, Verb
from tests.decider.story import FLAKY, SECOND, config_of, dispatched, kinds
from tests.decider.verb_story import told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
CHAIN = """
steps:
  - {name: a, type: python, config: {task: t}}
  - {name: b, type: python, config: {task: t, args: {of: "{{ steps.a.output }}"}}, depends_on: [a]}
  - {name: c, type: python, config: {task: t}, depends_on: [b]}
config: {on_error: {strategy: terminate}}
"""


def test_a_skipped_step_satisfies_those_that_wait_for_it() -> None:
    story = told(CHAIN)
    decision = story.when(SkipStep(**BY, step="a", force=True))
    assert StopStep("x/a/1") in decision.commands
    assert config_of(decision, "b") == {"task": "t", "args": {"of": None}}
    assert (story.step("a").reason, story.step("a").message) == ("operator", "why")


def test_a_step_that_is_not_due_yet_is_skipped_when_its_turn_comes() -> None:
    story = told(CHAIN)
    assert story.when(SkipStep(**BY, step="b")).said == "step 'b' is skipped"
    assert story.at_work == ["a", "c"]
    story.done_all("a", "c")
    assert story.state.status.value == "completed"


def test_a_completed_step_has_the_output_that_was_given() -> None:
    story = told(f"{CHAIN}output: {{values: {{n: '{{{{ steps.b.output.n }}}}'}}}}\n")
    decision = story.when(CompleteStep(**BY, step="a", output=5, force=True))
    assert config_of(decision, "b")["args"] == {"of": 5}
    story.when(CompleteStep(**BY, step="b", output={"n": 7}, force=True))
    story.done("c")
    assert story.state.output == {"n": 7}


def test_what_it_publishes_and_its_edges_see_the_output_that_was_given() -> None:
    story = told("""
    vars: {n: 0}
    steps:
      - name: a
        type: python
        config: {task: t}
        publish: {n: "{{ response }}"}
        next: [{when: "{{ response == 1 }}", to: [one]}, {when: "{{ response != 1 }}", to: [other]}]
      - {name: one, type: python, config: {task: t}}
      - {name: other, type: python, config: {task: t}}
    """)
    story.when(CompleteStep(**BY, step="a", output=1, force=True))
    assert (story.state.variables, story.at_work) == ({"n": 1}, ["one"])


@pytest.mark.parametrize("verb", [SkipStep(**BY, step="a"), CompleteStep(**BY, step="a")])
def test_a_running_step_is_left_alone_unless_forced(verb: Verb) -> None:
    assert "--force" in str(told(CHAIN).refuses(verb, "step-running").hint)


def test_what_waits_or_is_to_be_retried_is_skipped() -> None:
    story = told("""
    steps:
      - {name: w, type: wait_for_event, config: {event_type: go}}
      - {name: r, type: python, config: {task: t}, retry: {max_attempts: 2, initial_delay: 1h}}
      - {name: z, type: python, config: {task: t}, depends_on: [w, r]}
    """)
    story.failed("r", FLAKY)
    decision = story.when(SkipStep(**BY, step="w"))
    assert any(isinstance(command, ForgetWait) for command in decision.commands)
    assert dispatched(story.when(SkipStep(**BY, step="r"))) == ["z"]
    assert story.time(3_600 * SECOND).events == []


def test_a_step_that_has_ended_is_left_as_it_is() -> None:
    story = told(CHAIN)
    story.done("a")
    assert "it is completed" in story.refuses(SkipStep(**BY, step="a"), "step-ended").message
    story.refuses(SkipStep(**BY, step="none"), "unknown-step")


@pytest.mark.parametrize("verb", [SkipStep(**BY, step="b"), CompleteStep(**BY, step="b")])
def test_the_step_that_failed_an_execution_is_settled_and_the_rest_goes_on(verb: Verb) -> None:
    story = told(CHAIN)
    story.done("a")
    story.failed("b")
    assert story.state.status.value == "failed"
    assert kinds(story.when(verb))[:2] == ["Intervened", "StepReset"]
    story.done("c")
    assert story.state.status.value == "completed"
    story.refuses(SkipStep(**BY, step="b"), "already-ended")


def test_another_step_of_a_failed_execution_is_not_settled() -> None:
    story = told(CHAIN)
    story.failed("a")
    story.refuses(SkipStep(**BY, step="c"), "already-ended")


def test_the_last_step_of_a_construct_is_skipped_and_that_goes_on() -> None:
    story = told("""
    steps:
      - name: g
        type: parallel_group
        config: {steps: [{name: p, type: python, config: {task: t}}, {name: q, type: noop}]}
      - {name: z, type: python, config: {task: t}, depends_on: [g]}
    """)
    assert dispatched(story.when(SkipStep(**BY, step="p", force=True))) == ["z"]


def test_a_whole_construct_is_completed_by_hand() -> None:
    story = told("""
    steps:
      - {name: f, type: python, config: {task: t}, for_each: {items: [1, 2]}}
      - {name: z, type: python, config: {task: t, args: {x: "{{ steps.f.output }}"}}, depends_on: [f]}
    """)
    decision = story.when(CompleteStep(**BY, step="f", output=["x"], force=True))
    assert {command.assignment_id for command in decision.commands if isinstance(command, StopStep)} == {
        "x/f[0]/1",
        "x/f[1]/1",
    }
    assert config_of(decision, "z")["args"] == {"x": ["x"]}


def test_an_item_of_a_construct_that_has_ended_is_not_settled() -> None:
    story = told("""
    steps:
      - {name: f, type: python, config: {task: t}, for_each: {items: [1], on_error: continue}}
      - {name: z, type: python, config: {task: t}, depends_on: [f]}
    """)
    story.failed("f[0]")
    assert "stands in 'f', which has ended" in story.refuses(SkipStep(**BY, step="f[0]"), "step-ended").message


def test_a_step_of_a_circle_is_settled_only_when_it_is_its_turn() -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}, next: [{to: [b]}]}
      - {name: b, type: python, config: {task: t}, max_visits: 2, next: [{when: "{{ steps.b.output == 1 }}", to: [c]}]}
      - {name: c, type: python, config: {task: t}, next: [{to: [b]}]}
    """)
    story.refuses(SkipStep(**BY, step="c"), "step-not-due")
    story.done("a")
    story.when(CompleteStep(**BY, step="b", output=1, force=True))
    assert story.at_work == ["c"]
    assert dispatched(story.when(SkipStep(**BY, step="c", force=True))) == []


def test_how_a_state_machine_waits_is_not_settled_by_hand() -> None:
    story = told("""
    steps:
      - name: m
        type: state_machine
        config: {initial: a, states: {a: {transitions: [{event: go, to: b}]}, b: {final: true}}}
    """)
    waits = next(key for key in story.state.steps if key != "m")
    story.refuses(CompleteStep(**BY, step=waits, output=1), "no-step")
    story.when(CompleteStep(**BY, step="m", output=1, force=True))
    assert story.state.status.value == "completed"


def test_a_step_that_is_to_begin_after_a_delay_is_skipped() -> None:
    story = told("""
    steps:
      - name: g
        type: parallel_group
        config: {steps: [{name: p, type: python, config: {task: t}, delay: 1h}]}
    """)
    story.when(SkipStep(**BY, step="p"))
    assert story.state.status.value == "completed"


def test_two_steps_settled_one_after_the_other_leave_nothing_to_wait_for() -> None:
    story = told(CHAIN)
    for name in "cba":
        story.when(SkipStep(**BY, step=name, force=True))
    assert story.state.status.value == "completed"
    assert list(story.statuses().values()) == ["skipped"] * 3
