"""`set`, `noop`, `fail`: steps that are over in the turn in which they are due."""

from __future__ import annotations

from collections.abc import Sequence

from tests.decider.story import begun, dispatched, kinds, says, step, workflow


def test_noop_completes_at_once_and_those_behind_it_start_in_the_same_turn() -> None:
    story = begun(workflow(step("a", type="noop"), step("b", "a", type="noop"), step("c", "b")))
    assert kinds_of(story.history) == ["Created", "Started", "Completed", "Completed", "Scheduled"]


def kinds_of(history: Sequence[object]) -> list[str]:
    """The kinds of these events, shortly."""
    return [type(event).__name__.removeprefix("Execution").removeprefix("Step") for event in history]


def test_set_gives_variables_new_values_and_they_are_its_output() -> None:
    config = {"n": "{{ vars.n + 1 }}", "list": ["{{ input.x }}"]}
    story = begun(workflow(step("a", type="set", config=config), step("b", "a"), vars=(("n", 1),)), {"x": 7})
    assert story.state.variables == {"n": 2, "list": [7]}
    assert story.step("a").output == {"n": 2, "list": [7]}


def test_set_that_cannot_be_rendered_fails_and_sets_nothing() -> None:
    story = begun(workflow(step("a", type="set", config={"n": 1, "m": "{{ input.x }}"})))
    assert story.status("a") == "failed"
    assert story.state.variables == {}


def test_set_whose_output_cannot_be_built_sets_nothing() -> None:
    story = begun(workflow(step("a", type="set", config={"n": 1}, output={"x": "{{ response.m }}"})))
    assert story.status("a") == "failed"
    assert story.state.variables == {}


def test_fail_fails_with_its_message_and_type() -> None:
    config = {"message": "no {{ input.what }} left", "type": "sold_out"}
    story = begun(workflow(step("a", type="fail", config=config)), {"what": "seats"})
    error = story.step("a").error
    assert error is not None
    assert (error.type, error.message, error.retryable) == ("sold_out", "no seats left", False)


def test_fail_says_something_when_it_is_not_told_what() -> None:
    error = begun(workflow(step("a", type="fail"))).step("a").error
    assert error is not None
    assert (error.type, error.message) == ("failed", "step 'a' says that this has failed")


def test_fail_can_be_handled() -> None:
    story = begun(workflow(step("a", type="fail", on_failure=says("continue")), step("b", "a")))
    assert dispatched(story.done("b")) == []
    assert story.state.status == "completed"


def test_a_condition_skips_a_control_step() -> None:
    story = begun(workflow(step("a", type="fail", when="{{ input.broken }}")), {"broken": False})
    assert kinds_of(story.history)[-1] == "Completed"
    assert story.status("a") == "skipped"


def test_a_long_chain_of_control_steps_is_one_turn_without_deep_recursion() -> None:
    chain = [step(f"s{n}", *([f"s{n - 1}"] if n else []), type="noop") for n in range(3_000)]
    story = begun(workflow(*chain))
    assert story.state.status == "completed"


def test_begin_is_one_turn() -> None:
    story = begun(workflow(step("a", type="noop")))
    assert kinds(story.begin()) == []
