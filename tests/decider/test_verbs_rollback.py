"""Rolling back to a checkpoint: what is undone, what begins again, and what stays."""

from __future__ import annotations

from typing import Any

from stepwell.execution.commands import ResolveDeadLetter, StopStep
from stepwell.execution.history import CheckpointReached, Intervened, RolledBack
from stepwell.execution.verbs import Pause, Rollback
from tests.decider.story import dispatched, kinds
from tests.decider.verb_story import Checked, told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
UNDO = "compensate: {type: python, config: {task: undo}}"
SAGA = f"""
vars: {{n: 0}}
config: {{on_error: {{strategy: terminate}}}}
steps:
  - {{name: a, type: python, config: {{task: t}}, {UNDO}}}
  - {{name: here, type: checkpoint, depends_on: [a]}}
  - {{name: b, type: python, config: {{task: t}}, depends_on: [here], publish: {{n: "{{{{ response }}}}"}}, {UNDO}}}
  - {{name: c, type: python, config: {{task: t}}, depends_on: [b], {UNDO}, checkpoint: late}}
  - {{name: d, type: python, config: {{task: t}}, depends_on: [c]}}
"""


def at_d() -> Checked:
    story = told(SAGA)
    story.done("a")
    story.done("b", 1)
    story.done("c")
    return story


def test_a_checkpoint_is_reached_when_its_step_completes_and_keeps_the_variables() -> None:
    story = told(SAGA)
    decision = story.done("a")
    assert decision.events[2] == CheckpointReached(0, "here", "here")
    story.done("b", 1)
    story.done("c")
    assert {name: point.variables for name, point in story.state.checkpoints.items()} == {
        "here": {"n": 0},
        "late": {"n": 1},
    }


def test_what_completed_after_the_checkpoint_is_undone_in_reverse_order_and_runs_again() -> None:
    story = at_d()
    decision = story.when(Rollback(**BY, checkpoint="here"))
    seq = story.state.checkpoints["here"].seq
    assert decision.events[0] == Intervened(0, "rollback", "ada", "why", {"checkpoint": "here", "seq": seq})
    assert StopStep("x/d/1") in decision.commands
    assert decision.said == "undoes 2 steps, and goes on from 'here' then"
    assert dispatched(decision) == ["c[undo]"]
    assert story.state.status.value == "compensating"
    assert dispatched(story.done("c[undo]")) == ["b[undo]"]
    back = story.done("b[undo]")
    assert RolledBack(0, "here") in back.events
    assert (story.state.status.value, story.state.variables) == ("running", {"n": 0})
    assert story.statuses() == {"a": "completed", "here": "completed", "b": "running", "c": "pending", "d": "pending"}
    assert (story.commands[-1].assignment.id, story.commands[-1].assignment.idempotency_key) == ("x/b/2", "x/b/r1")  # type: ignore[union-attr]
    assert list(story.state.checkpoints) == ["here"]
    story.done("b", 5)
    story.done_all("c", "d")
    assert (story.state.status.value, story.state.variables) == ("completed", {"n": 5})


def test_what_runs_again_is_undone_again_when_it_is_rolled_back_again() -> None:
    story = at_d()
    for attempt in (1, 2):
        story.when(Rollback(**BY, checkpoint="here"))
        assert story.at_work == ["c[undo]"]
        assert story.step("c[undo]").attempts == attempt
        story.done_all("c[undo]", "b[undo]")
        story.done("b", 1)
        story.done("c")


def test_a_rollback_of_what_has_ended_reopens_it() -> None:
    story = at_d()
    story.failed("d")
    order = story.step("d").order
    assert story.state.status.value == "failed"
    decision = story.when(Rollback(**BY, checkpoint="late"))
    assert ResolveDeadLetter(f"x/d/{order}") in decision.commands
    assert (story.state.status.value, dispatched(decision)) == ("running", ["d"])
    story.done("d")
    assert story.state.status.value == "completed"
    story.when(Rollback(**BY, checkpoint="here"))
    story.done_all("c[undo]", "b[undo]")
    assert story.at_work == ["b"]


def test_a_paused_execution_goes_on_when_it_is_rolled_back() -> None:
    story = at_d()
    story.when(Pause(**BY))
    decision = story.when(Rollback(**BY, checkpoint="late"))
    assert kinds(decision)[0] == "ExecutionResumed"
    assert (story.state.status.value, story.at_work) == ("running", ["d"])


def test_what_cannot_be_undone_fails_the_execution() -> None:
    story = at_d()
    story.when(Rollback(**BY, checkpoint="here"))
    story.failed("c[undo]")
    story.done("b[undo]")
    assert story.state.error is not None
    assert (story.state.status.value, story.state.error.type) == ("failed", "rollback_failed")
    assert "'here'" in story.state.error.message
    story.refuses(Rollback(**BY, checkpoint="here"), "compensated")


def test_an_unknown_checkpoint_is_refused_naming_those_that_were_reached() -> None:
    story = at_d()
    assert (
        story.refuses(Rollback(**BY, checkpoint="hear"), "unknown-checkpoint").hint == "reached so far: 'here', 'late'"
    )
    assert told(SAGA).refuses(Rollback(**BY, checkpoint="here"), "unknown-checkpoint").hint == "reached so far: none"


def test_a_construct_that_ran_at_the_checkpoint_runs_on_from_there() -> None:
    story = told("""
    steps:
      - name: l
        type: loop
        config:
          count: 3
          steps:
            - {name: x, type: python, config: {task: t}, checkpoint: round}
            - {name: y, type: python, config: {task: t}, depends_on: [x]}
      - {name: z, type: python, config: {task: t}, depends_on: [l]}
    """)
    story.done_all("x[0]", "y[0]", "x[1]", "y[1]")
    story.when(Rollback(**BY, checkpoint="round"))
    assert story.at_work == ["y[1]"]
    story.done_all("y[1]", "x[2]", "y[2]", "z")
    story.when(Rollback(**BY, checkpoint="round"))
    assert (story.at_work, story.step("l").iteration) == (["y[2]"], 2)
    story.done_all("y[2]", "z")
    assert story.state.status.value == "completed"


def test_what_ran_beside_the_checkpoint_begins_again() -> None:
    story = told("""
    steps:
      - {name: slow, type: python, config: {task: t}, compensate: {type: python, config: {task: undo}}}
      - {name: here, type: checkpoint}
      - {name: z, type: python, config: {task: t}, depends_on: [slow]}
    """)
    story.done("slow")
    story.when(Rollback(**BY, checkpoint="here"))
    story.done("slow[undo]")
    assert story.statuses() == {"slow": "running", "here": "completed", "z": "pending"}


def test_a_checkpoint_inside_of_a_construct_that_cannot_begin_in_its_middle_is_refused() -> None:
    story = told("""
    steps:
      - {name: d, type: dynamic, config: {task: make}}
      - {name: w, type: python, config: {task: t}, checkpoint: here}
    """)
    made = [{"name": name, "type": "python", "config": {"task": "t"}} for name in ("p", "q")]
    story.done(story.at_work[0], made)
    story.done_all("p", "w")
    error = story.refuses(Rollback(**BY, checkpoint="here"), "cannot-reopen")
    assert "lies within 'd', of type 'dynamic'" in error.message


def test_every_step_can_be_a_checkpoint_of_its_own_name() -> None:
    story = told(SAGA.replace("config: {on_error", "config: {checkpoints: automatic, on_error"))
    for name in ("a", "b", "c"):
        story.done(name, 1)
    assert list(story.state.checkpoints) == ["a", "here", "b", "late", "c"]
    decision = story.when(Rollback(**BY, checkpoint="b"))
    assert decision.said == "undoes 1 step, and goes on from 'b' then"
    assert dispatched(decision) == ["c[undo]"]
    story.done("c[undo]")
    assert story.statuses() == {"a": "completed", "here": "completed", "b": "completed", "c": "running", "d": "pending"}
