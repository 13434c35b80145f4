"""Edges: when they are taken, how joins decide, what is skipped."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.definition.model import DependencyOn, Edge, Join, Step, WorkflowDefinition
from stepwell.execution.history import ExecutionFailed, StepSkipped
from tests.decider.story import BOOM, TIMEOUT, begun, dispatched, kinds, on, says, step, workflow


def pushes(name: str, *to: str, **settings: Any) -> Step:
    """A step that goes on with others when it succeeds."""
    return step(name, edges=(Edge(to=to),), **settings)


# Starting


def test_steps_without_edges_start_together_in_the_order_of_the_definition() -> None:
    story = begun(workflow(step("b"), step("a"), step("c", "a")))
    assert [command.assignment.step for command in story.commands if hasattr(command, "assignment")] == ["b", "a"]


def test_a_step_starts_when_the_last_of_those_it_depends_on_has_completed() -> None:
    story = begun(workflow(step("a"), step("b"), step("c", "a", "b")))
    assert dispatched(story.done("b")) == []
    assert dispatched(story.done("a")) == ["c"]


def test_the_end_comes_when_the_last_step_has_ended() -> None:
    story = begun(workflow(step("a"), step("b", "a")))
    story.done("a")
    assert kinds(story.done("b")) == ["StepCompleted", "ExecutionCompleted"]


# Predicates


@pytest.mark.parametrize(
    ("predicate", "outcome", "runs"),
    [
        ("satisfied", "success", True),
        ("satisfied", "handled", False),
        ("satisfied", "continued", True),
        ("satisfied", "timed out", False),
        ("satisfied", "not wanted", True),
        ("satisfied", "dead", False),
        ("success", "success", True),
        ("success", "handled", False),
        ("success", "continued", False),
        ("success", "timed out", False),
        ("success", "not wanted", False),
        ("success", "dead", False),
        ("failure", "success", False),
        ("failure", "handled", True),
        ("failure", "continued", True),
        ("failure", "timed out", True),
        ("failure", "not wanted", False),
        ("failure", "dead", False),
        ("timeout", "success", False),
        ("timeout", "handled", False),
        ("timeout", "continued", False),
        ("timeout", "timed out", True),
        ("timeout", "not wanted", False),
        ("timeout", "dead", False),
        ("complete", "success", True),
        ("complete", "handled", True),
        ("complete", "continued", True),
        ("complete", "timed out", True),
        ("complete", "not wanted", False),
        ("complete", "dead", False),
        ("skipped", "success", False),
        ("skipped", "handled", False),
        ("skipped", "continued", False),
        ("skipped", "timed out", False),
        ("skipped", "not wanted", True),
        ("skipped", "dead", False),
    ],
)
def test_an_edge_is_taken_by_how_its_source_ended(predicate: DependencyOn, outcome: str, runs: bool) -> None:
    settings: dict[str, Any] = {"on_failure": says("continue")} if outcome == "continued" else {}
    if outcome == "not wanted":
        settings["when"] = False
    dead = on("first", "skipped" if outcome == "dead" else "success")
    story = begun(
        workflow(
            step("first"),
            step("a", dead, **settings),
            step("b", on("a", predicate)),
            step("cure", on("a", "complete")),  # so that the failure is handled whatever `b` says
        )
    )
    story.done("first")
    if outcome == "success":
        story.done("a")
    elif outcome in ("handled", "continued"):
        story.failed("a")
    elif outcome == "timed out":
        story.failed("a", TIMEOUT)
    assert (story.status("b") == "running") is runs
    assert (story.status("b") == "skipped") is not runs


def test_a_timeout_takes_the_timeout_edge_and_not_the_failure_edge() -> None:
    story = begun(workflow(step("a"), step("late", on("a", "timeout")), step("broken", on("a", "failure"))))
    assert dispatched(story.failed("a", TIMEOUT)) == ["late"]
    assert story.status("broken") == "skipped"


def test_another_failure_takes_the_failure_edge_and_not_the_timeout_edge() -> None:
    story = begun(workflow(step("a"), step("late", on("a", "timeout")), step("broken", on("a", "failure"))))
    assert dispatched(story.failed("a", BOOM)) == ["broken"]
    assert story.status("late") == "skipped"


# Skipping


def test_a_step_behind_a_dead_path_is_skipped_and_so_is_everything_behind_it() -> None:
    story = begun(workflow(step("a"), step("cure", on("a", "failure")), step("b", "cure"), step("c", "b")))
    decision = story.done("a")
    assert kinds(decision) == ["StepCompleted", "StepSkipped", "StepSkipped", "StepSkipped", "ExecutionCompleted"]
    assert {event.reason for event in decision.events if isinstance(event, StepSkipped)} == {"dead_path"}


def test_a_step_skipped_by_its_own_condition_satisfies_those_behind_it() -> None:
    story = begun(workflow(step("a"), step("optional", "a", when="{{ false }}"), step("c", "optional")))
    decision = story.done("a")
    assert dispatched(decision) == ["c"]
    assert story.step("optional").reason == "condition"


def test_the_output_of_a_step_skipped_by_its_own_condition_is_null() -> None:
    see = {"task": "work", "args": {"seen": "{{ steps.optional.output }}"}}
    story = begun(workflow(step("optional", when=False), step("c", "optional", config=see)))
    (command,) = story.commands
    assert getattr(command, "assignment").config["args"] == {"seen": None}  # noqa: B009


def test_a_condition_is_looked_at_when_the_step_is_due_and_not_before() -> None:
    story = begun(workflow(step("a"), step("b", "a", when="{{ steps.a.output.go }}")))
    assert dispatched(story.done("a", {"go": True})) == ["b"]


def test_a_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    story = begun(workflow(step("a"), step("b", "a", when="{{ steps.a.output.go }}")))
    story.done("a", {})
    assert story.status("b") == "failed"
    assert story.step("b").error is not None
    assert "steps.a.output.go" in story.step("b").error.message  # type: ignore[union-attr]


# Joins


def diamond(join: Join | None) -> WorkflowDefinition:
    """Three ways to `z`, each of which may fail without harm."""
    ways = [step(name, "a", on_failure=says("continue")) for name in ("x", "y", "w")]
    return workflow(step("a"), *ways, step("z", *[on(way.name, "success") for way in ways], join=join))


def test_join_all_skips_at_the_first_dead_edge() -> None:
    story = begun(diamond("all"))
    story.done("a")
    assert "StepSkipped" in kinds(story.failed("y"))
    assert story.status("z") == "skipped"


def test_join_all_is_what_depends_on_means() -> None:
    story = begun(diamond(None))
    story.done_all("a", "x", "y")
    assert dispatched(story.done("w")) == ["z"]


def test_join_sync_waits_until_every_edge_is_decided() -> None:
    story = begun(diamond("sync"))
    story.done("a")
    assert dispatched(story.done("x")) == []
    assert dispatched(story.failed("y")) == []
    assert dispatched(story.done("w")) == ["z"]


def test_join_sync_is_skipped_when_every_edge_is_dead() -> None:
    story = begun(diamond("sync"))
    story.done("a")
    for name in ("x", "y", "w"):
        story.failed(name)
    assert story.status("z") == "skipped"
    assert story.status("a") == "completed"


def test_join_any_runs_at_the_first_taken_edge_and_only_once() -> None:
    story = begun(diamond("any"))
    story.done("a")
    assert dispatched(story.failed("x")) == []
    assert dispatched(story.done("y")) == ["z"]
    assert dispatched(story.done("w")) == []


def test_join_any_is_skipped_when_every_edge_is_dead_and_the_execution_goes_on() -> None:
    story = begun(diamond("any"))
    story.done("a")
    for name in ("x", "y", "w"):
        decision = story.failed(name)
    assert kinds(decision)[-2:] == ["StepSkipped", "ExecutionCompleted"]


def test_join_any_still_runs_only_once_when_the_process_was_restarted_in_between() -> None:
    story = begun(diamond("any"))
    story.done_all("a", "x")
    story.crash()
    assert dispatched(story.done("y")) == []
    story.done("z")
    story.crash()
    assert kinds(story.done("w"))[-1] == "ExecutionCompleted"


def test_join_n_runs_at_the_nth_taken_edge_and_only_once() -> None:
    story = begun(diamond(2))
    story.done("a")
    assert dispatched(story.done("w")) == []
    assert dispatched(story.done("x")) == ["z"]
    assert dispatched(story.done("y")) == []


def test_join_n_that_can_no_longer_be_reached_fails_the_execution_and_names_the_join() -> None:
    story = begun(diamond(2))
    story.done("a")
    story.failed("x")
    story.failed("y")
    decision = story.done("w")
    failed = decision.events[-1]
    assert isinstance(failed, ExecutionFailed)
    assert failed.error.type == "join_unsatisfiable"
    assert failed.error.message == "step 'z' waits for 2 of 3 edges, and only 1 can be taken"


def test_join_n_out_of_reach_starts_nothing_new_but_lets_running_steps_finish() -> None:
    story = begun(workflow(*diamond(3).steps, step("after", "w")))
    story.done("a")
    story.failed("x")
    assert story.state.status == "running"
    story.done("y")
    assert dispatched(story.done("w")) == []
    assert story.status("after") == "pending"
    assert story.state.status == "failed"


def test_join_n_out_of_reach_lets_a_draining_execution_run_what_is_reachable() -> None:
    story = begun(workflow(*diamond(3).steps, step("after", "w"), failure_mode="drain"))
    story.done("a")
    story.failed("x")
    story.done("y")
    assert dispatched(story.done("w")) == ["after"]
    story.done("after")
    assert story.state.error is not None
    assert story.state.error.type == "join_unsatisfiable"


# Pushed edges


def test_pushed_edges_start_their_targets() -> None:
    story = begun(workflow(pushes("a", "b", "c"), step("b"), step("c")))
    assert dispatched(story.done("a")) == ["b", "c"]


def test_pushed_edges_of_exclusive_branches_meet_again_and_run_their_target_once() -> None:
    story = begun(
        workflow(
            pushes("a", "left", "right"),
            pushes("left", "end", when="{{ input.left }}"),
            pushes("right", "end", when="{{ not input.left }}"),
            step("end"),
        ),
        {"left": True},
    )
    story.done("a")
    assert dispatched(story.done("left")) == ["end"]


def test_a_pushed_edge_of_a_step_that_was_skipped_is_dead() -> None:
    story = begun(workflow(pushes("a", "b", when=False), step("b")))
    assert story.statuses() == {"a": "skipped", "b": "skipped"}
    assert story.state.status == "completed"


@pytest.mark.parametrize("outcome", ["failure", "complete"])
def test_a_pushed_edge_on_failure_or_on_completion_handles_a_failure(outcome: str) -> None:
    edge = Edge(to=("cure",), on=outcome)  # type: ignore[arg-type]
    story = begun(workflow(step("a", edges=(edge,)), step("cure")))
    assert dispatched(story.failed("a")) == ["cure"]
    story.done("cure")
    assert story.state.status == "completed"


def test_a_step_with_both_kinds_of_edges_waits_for_all_of_them() -> None:
    story = begun(workflow(pushes("a", "c"), step("b"), step("c", "b")))
    assert dispatched(story.done("a")) == []
    assert dispatched(story.done("b")) == ["c"]


# Never a silent hang


def test_steps_that_can_never_start_fail_the_execution_with_a_reason() -> None:
    story = begun(workflow(step("a"), step("b", "c"), step("c", "b")))
    decision = story.done("a")
    failed = decision.events[-1]
    assert isinstance(failed, ExecutionFailed)
    assert failed.error.type == "stuck"
    assert "b, c" in failed.error.message


def test_a_wide_fan_in_of_skipped_steps_ends_without_deep_recursion() -> None:
    chain = [step(f"s{n}", *([on("s0", "failure")] if n == 1 else [f"s{n - 1}"] if n else [])) for n in range(3_000)]
    story = begun(workflow(*chain))
    story.done("s0")
    assert story.state.status == "completed"
    assert story.status("s2999") == "skipped"
