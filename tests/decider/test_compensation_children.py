"""Sub-workflows in compensation: those that are undone by their own definitions, and those that compensate."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.execution.commands import AnswerParent, CompensateChild, EndExecution, StartChild, TellChild
from stepwell.execution.history import CompensationStarted, StepCompensated, UndoingAsked
from stepwell.execution.inputs import ChildCompensated, ChildEnded, CompensateSelf
from stepwell.execution.verbs import Cancel, Compensate
from tests.decider.compensating import Twin, failing
from tests.decider.story import BOOM, SECOND, Story, dispatched, kinds

PARENT = """
%s
steps:
  - {name: a, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
  - {name: sub, type: workflow, config: {name: other}, depends_on: a%s}
  - {name: end, type: python, config: {task: work}, depends_on: sub}
"""


def commands(story: Story, kind: type) -> list[Any]:
    """What was commanded of this kind."""
    return [command for command in story.commands if isinstance(command, kind)]


def parent(head: str = "compensation: {}", more: str = "") -> Twin:
    """An execution whose sub-workflow has completed, and of which `end` has failed."""
    story = Twin(PARENT % (head, more))
    story.report("a")
    child = story.step("sub").child
    story.when(ChildEnded("sub", child, "completed", {"n": 1}))
    story.report("end", BOOM)
    return story


# ── In the execution that asks ───────────────────────────────────────────────────────────────────────────────────────


def test_a_completed_sub_workflow_is_asked_to_undo_itself_in_its_turn() -> None:
    story = parent()
    child = story.step("sub").child
    assert commands(story, CompensateChild) == [CompensateChild("sub[undo]", child, "step 'end' failed: it went boom")]
    assert story.events(UndoingAsked) == [UndoingAsked(0, "sub[undo]", child)]
    assert story.work == {}, "what it rests on is undone after it"
    decision = story.when(ChildCompensated("sub[undo]", "done"))
    assert kinds(decision)[:2] == ["StepCompleted", "StepCompensated"]
    assert dispatched(decision) == ["a[undo]"]
    story.run_on()
    assert story.state.compensation == "done"
    assert [event.step for event in story.events(StepCompensated)] == ["sub", "a"]


def test_a_sub_workflow_that_cannot_undo_everything_is_a_failed_compensation() -> None:
    story = parent()
    story.when(ChildCompensated("sub[undo]", "failed", "failed: pay[undo]"))
    error = story.step("sub[undo]").error
    assert error is not None
    assert error.message == f"sub-workflow {story.step('sub').child} could not undo everything: failed: pay[undo]"
    assert story.run_on() == ["a[undo]"]
    assert story.state.compensation == "failed"
    assert story.status("sub") == "completed"


def test_a_sub_workflow_with_nothing_to_undo_stays_as_it_is() -> None:
    story = parent()
    story.when(ChildCompensated("sub[undo]", "nothing", "it is failed"))
    story.report("a[undo]", BOOM)
    assert story.status("sub") == "completed"
    assert story.step("sub[undo]").output["message"] == "it is failed"


def test_a_step_that_says_itself_how_its_sub_workflow_is_undone_does_not_ask_it() -> None:
    story = parent(more=", compensate: {type: python, config: {task: undo}}")
    assert commands(story, CompensateChild) == []
    story.run_on()
    assert story.undone() == ["sub", "a"]


@pytest.mark.parametrize("again", [ChildCompensated("sub[undo]", "done"), ChildCompensated("nobody", "done")])
def test_an_answer_that_nobody_waits_for_changes_nothing(again: ChildCompensated) -> None:
    story = parent()
    story.when(ChildCompensated("sub[undo]", "done"))
    assert story.when(again).events == []


def test_the_time_of_the_compensation_bounds_a_sub_workflow_too() -> None:
    story = parent("compensation: {timeout: 5s}")
    story.time(5 * SECOND)
    assert story.status("sub[undo]") == "cancelled"
    assert story.state.compensation == "failed"
    assert story.when(ChildCompensated("sub[undo]", "done")).events == []


def test_the_sub_workflow_of_every_item_is_asked_and_each_in_its_turn() -> None:
    each = "for_each: {items: [1, 2]}, config: {name: other, input: {n: '{{ item }}'}}"
    steps = [f"{{name: sub, type: workflow, {each}}}", "{name: end, type: fail, depends_on: sub}"]
    story = Twin("compensation: {}\nsteps:\n" + "\n".join(f"  - {line}" for line in steps))
    for key in ("sub[1]", "sub[0]"):
        story.when(ChildEnded(key, story.step(key).child, "completed"))
    for key in ("sub[0]", "sub[1]"):
        asked = commands(story, CompensateChild)[-1]
        assert (asked.step, asked.child) == (f"{key[:-1]},undo]", story.step(key).child)
        story.when(ChildCompensated(asked.step, "done"))
    assert story.state.compensation == "done"


@pytest.mark.parametrize(("status", "outcome"), [("completed", "done"), ("failed", "failed")])
def test_what_undoes_a_step_may_be_a_sub_workflow(status: str, outcome: str) -> None:
    undo = "compensate: {type: workflow, config: {name: undoer, input: {id: '{{ steps.a.output }}'}}}"
    steps = [f"{{name: a, type: python, config: {{task: work}}, {undo}}}", "{name: end, type: fail, depends_on: a}"]
    story = Twin("steps:\n" + "\n".join(f"  - {line}" for line in steps))
    story.report("a", 7)
    (started,) = commands(story, StartChild)
    assert (started.step, started.workflow, started.input) == ("a[undo]", "undoer", {"id": 7})
    story.when(ChildEnded("a[undo]", started.child, status, error=BOOM if status == "failed" else None))
    assert story.state.compensation == outcome
    assert story.status("a") == ("compensated" if outcome == "done" else "completed")


def test_a_sub_workflow_that_had_completed_before_it_was_cancelled_undoes_itself_too() -> None:
    leaf = "{name: a, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}"
    sub, end = "{name: sub, type: workflow, config: {name: other}}", "{name: end, type: python, config: {task: work}}"
    spec = "config: {cancellation: cancel_running}\ncompensation: {}\nsteps:\n"
    story = Twin(spec + "\n".join(f"  - {line}" for line in (leaf, sub, end)))
    child = story.step("sub").child
    story.report("a")
    story.report("end", BOOM)
    assert story.status("sub") == "cancelled"
    assert kinds(story.when(ChildEnded("sub", child, "cancelled"))) == []
    assert kinds(story.when(ChildEnded("sub", child, "completed", {"n": 1}))) == ["LateCompletion"]
    story.report("a[undo]")
    assert commands(story, CompensateChild)[0].child == child
    story.when(ChildCompensated("sub[undo]", "done"))
    assert story.status("sub") == "compensated"
    assert story.state.compensation == "done"


def test_a_sub_workflow_alone_is_no_reason_to_compensate() -> None:
    spec = (
        "steps:\n  - {name: sub, type: workflow, config: {name: other}}\n  - {name: end, type: fail, depends_on: sub}"
    )
    story = Twin(spec)
    story.when(ChildEnded("sub", story.step("sub").child, "completed"))
    assert not story.events(CompensationStarted)
    asked = Twin("config: {on_error: {strategy: compensate}}\n" + spec)
    asked.when(ChildEnded("sub", asked.step("sub").child, "completed"))
    assert commands(asked, CompensateChild)


# ── In the sub-workflow ──────────────────────────────────────────────────────────────────────────────────────────────

CHILD = """
%s
steps:
  - name: pay
    type: python
    config: {task: work}
    compensate: {type: python, config: {task: undo, args: {why: "{{ error.type }}"}}}
  - name: loops
    type: loop
    depends_on: pay
    config:
      count: 2
      steps:
        - name: inner
          type: python
          config: {task: work}
          compensate: {type: python, config: {task: undo, args: {id: "{{ steps.inner.output.id }}"}}}
"""
ASKED = CompensateSelf("p", "sub[undo]", "step 'end' failed: it went boom")


def child(head: str = "") -> Twin:
    """A sub-workflow that has completed."""
    story = Twin(CHILD % head)
    story.run_on(lambda work: {"id": work.step})
    assert story.state.status == "completed"
    story.commands.clear()
    return story


def test_a_completed_execution_undoes_itself_when_its_parent_asks() -> None:
    story = child()
    story.when(ASKED)
    assert story.state.status == "compensating"
    assert story.run_on() == ["inner[1,undo]", "inner[0,undo]", "pay[undo]"]
    assert story.configs()["inner[0,undo]"] == {"id": "inner[0]"}
    assert story.configs()["pay[undo]"] == {"why": "undone"}
    assert story.state.status == "cancelled"
    assert commands(story, AnswerParent) == [AnswerParent("p", "sub[undo]", "done")]
    assert len(commands(story, EndExecution)) == 1


def test_what_it_cannot_undo_it_tells_its_parent() -> None:
    story = child()
    story.when(ASKED)
    story.run_on(failing("pay[undo]", error=BOOM))
    assert story.state.status == "failed"
    assert commands(story, AnswerParent) == [AnswerParent("p", "sub[undo]", "failed", "failed: pay[undo]")]


def test_asked_twice_it_undoes_once_and_answers_twice() -> None:
    story = child()
    story.when(ASKED)
    assert story.when(ASKED) == story.when(ASKED)
    story.run_on()
    decision = story.when(ASKED)
    assert decision.events == []
    assert decision.commands == [AnswerParent("p", "sub[undo]", "done")]


def test_one_with_nothing_to_undo_answers_at_once_and_stays_completed() -> None:
    story = Twin("steps:\n  - {name: a, type: python, config: {task: work}}")
    story.run_on()
    decision = story.when(ASKED)
    assert decision.events == []
    assert decision.commands == [AnswerParent("p", "sub[undo]", "nothing")]


@pytest.mark.parametrize("ends", [True, False])
def test_one_that_has_not_completed_has_nothing_to_undo(ends: bool) -> None:
    story = Twin(CHILD % "config: {on_error: {strategy: terminate}}")
    if ends:
        story.report("pay", BOOM)
    decision = story.when(ASKED)
    assert decision.events == []
    said = "it is failed" if ends else "it is running"
    assert decision.commands == [AnswerParent("p", "sub[undo]", "nothing", said)]


def test_one_whose_compensation_is_manual_waits_for_its_own_operator() -> None:
    story = child("compensation: {mode: manual}")
    story.when(ASKED)
    assert story.state.compensation_awaited
    story.when(Compensate(by="ada"))
    story.run_on()
    assert commands(story, AnswerParent) == [AnswerParent("p", "sub[undo]", "done")]


def test_one_that_is_cancelled_while_it_undoes_itself_still_answers() -> None:
    story = child()
    story.when(ASKED)
    story.when(Cancel(by="ada", reason="x"))
    story.run_on()
    assert commands(story, AnswerParent) == [AnswerParent("p", "sub[undo]", "done")]
    waiting = child("compensation: {mode: manual}")
    waiting.when(ASKED)
    waiting.when(Cancel(by="ada", reason="x"))
    assert waiting.state.status == "cancelled"
    assert [answer.outcome for answer in commands(waiting, AnswerParent)] == ["failed"]


# ── A workflow that compensates in place of what the definition says ─────────────────────────────────────────────────

INSTEAD = """
vars: {n: 3}
compensation: {steps: [{name: listed, type: python, config: {task: undo}}]%s}
steps:
  - {name: a, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
  - name: b
    type: python
    depends_on: a
    config: {task: work}
    on_failure: {action: compensate, compensation_workflow: cleanup, message: "so it is"}
"""


def instead(more: str = "") -> Twin:
    """An execution whose failed step asks for another workflow to compensate."""
    story = Twin(INSTEAD % more, {"customer": 7})
    story.report("a", {"id": "a-1"})
    story.report("b", BOOM)
    return story


def test_the_workflow_that_the_action_names_is_started_with_the_context() -> None:
    story = instead()
    (started,) = commands(story, StartChild)
    assert (started.step, started.workflow) == ("b[compensation]", "cleanup")
    assert started.input == {
        "execution": "x",
        "workflow": "test",
        "input": {"customer": 7},
        "vars": {"n": 3},
        "steps": {"a": {"id": "a-1"}},
        "error": {"type": "boom", "message": "it went boom", "details": {}, "retryable": False},
        "failed_step": "b",
    }
    assert story.state.status == "compensating"


@pytest.mark.parametrize(("status", "outcome"), [("completed", "done"), ("failed", "failed"), ("cancelled", "failed")])
def test_how_it_ends_is_how_the_compensation_ends(status: str, outcome: str) -> None:
    story = instead()
    (started,) = commands(story, StartChild)
    error = BOOM if status == "failed" else None
    story.when(ChildEnded("b[compensation]", started.child, status, error=error))
    assert story.state.compensation == outcome
    assert story.state.status == "failed"
    assert story.state.error is not None
    assert story.state.error.message == "so it is"
    assert story.undone() == []
    assert story.status("listed") == "pending"


def test_when_it_cannot_be_started_the_inline_compensation_runs_and_that_is_recorded() -> None:
    story = instead()
    (started,) = commands(story, StartChild)
    unknown = ErrorInfo("unknown_workflow", "no workflow 'cleanup' is registered")
    story.when(ChildEnded("b[compensation]", started.child, "failed", error=unknown))
    reason = story.events(CompensationStarted)[-1].reason
    assert reason.startswith("step 'b' failed: it went boom (")
    assert "no workflow 'cleanup' is registered" in reason
    assert reason.endswith("the inline compensation runs)")
    assert story.run_on() == ["a[undo]", "listed"]
    assert story.state.compensation == "done"
    assert story.state.compensation_reason == reason


def test_the_mode_and_the_time_of_the_compensation_hold_for_it_too() -> None:
    story = instead(", mode: manual, timeout: 5s")
    assert commands(story, StartChild) == []
    story.when(Compensate(by="ada"))
    assert len(commands(story, StartChild)) == 1
    story.time(5 * SECOND)
    assert story.state.compensation == "failed"
    assert [command.verb for command in commands(story, TellChild)] == ["cancel"]
