"""When compensation begins, what bounds it, and what may come in between."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import Conflict, ErrorInfo
from stepwell.decider.compensation import start_problem
from stepwell.decider.turn import Decision
from stepwell.execution.commands import EndExecution, StopStep
from stepwell.execution.evolve import evolve, fold
from stepwell.execution.history import (
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    ExecutionCancelled,
    LateCompletion,
    StepCompensated,
    UndoingAsked,
)
from stepwell.execution.inputs import TimersDue
from stepwell.execution.status import StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS
from stepwell.execution.verbs import Cancel, Compensate, Rollback, Terminate
from stepwell.execution.work import Report
from tests.decider.compensating import Twin, failing, stories
from tests.decider.story import BOOM, FLAKY, SECOND, dispatched, kinds

LEAF = "- {name: %s, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}%s}"


def spec(*names: str, head: str = "", more: str = "") -> str:
    """Steps one after the other, each with what undoes it, and `end`, which fails."""
    after = ["", *names]
    lines = [LEAF % (name, f", depends_on: {after[at]}" if after[at] else "") for at, name in enumerate(names)]
    end = f"- {{name: end, type: python, config: {{task: work}}, depends_on: {names[-1]}{more}}}"
    return f"{head}\nsteps:\n" + "\n".join(f"  {line}" for line in [*lines, end])


def compensating(*names: str, head: str = "", more: str = "") -> Twin:
    """An execution of these steps in which `end` has just failed."""
    story = Twin(spec(*names, head=head, more=more))
    for name in names:
        story.report(name, {"id": name})
    story.report("end", BOOM)
    return story


# ── An operator starts it ────────────────────────────────────────────────────────────────────────────────────────────

MANUAL = "compensation: {mode: manual}"


def test_manual_compensation_waits_for_an_operator() -> None:
    story = compensating("a", head=MANUAL)
    assert story.state.status == "compensating"
    assert story.state.compensation_awaited
    assert story.state.compensation_reason == "step 'end' failed: it went boom"
    assert story.work == {}
    assert story.run.next_due() is None
    assert story.time(3_600 * SECOND).events == []


def test_an_operator_starts_it_and_that_is_recorded_with_who_and_why() -> None:
    story = compensating("a", "b", head=MANUAL)
    story.time(60 * SECOND)
    decision = story.when(Compensate(by="ada", reason="now is a good time"))
    (started,) = [event for event in decision.events if isinstance(event, CompensationStarted)]
    assert (started.started_by, started.why) == ("ada", "now is a good time")
    assert started.reason == "step 'end' failed: it went boom"
    story.run_on()
    assert story.undone() == ["b", "a"]
    assert story.state.error == ErrorInfo(
        "boom", "step 'end' failed: it went boom", {"step": "end", "cause": "it went boom"}
    )


def test_starting_it_is_refused_where_nothing_waits_for_that() -> None:
    running = Twin(spec("a"))
    assert start_problem(running.state) == "no compensation of execution x waits to be started: it is running"
    begun = compensating("a")
    assert (
        start_problem(begun.state) == "no compensation of execution x waits to be started: its compensation has begun"
    )
    begun.run_on()
    assert start_problem(begun.state) == "no compensation of execution x waits to be started: it is failed"
    for story in (running, begun):
        with pytest.raises(Conflict):
            story.when(Compensate(by="ada"))


def test_manual_compensation_with_nothing_to_undo_does_not_wait() -> None:
    story = Twin(spec("a", head=MANUAL))
    story.report("a", BOOM)
    assert story.state.compensation == "nothing"
    assert story.state.status == "failed"
    assert not story.events(CompensationAwaited)


def test_its_time_counts_from_when_the_operator_started_it() -> None:
    story = compensating("a", head="compensation: {mode: manual, timeout: 5s}")
    story.time(60 * SECOND)
    story.when(Compensate(by="ada"))
    assert story.run.next_due() == story.at + 5 * SECOND


def test_cancelling_while_it_waits_ends_the_execution_and_undoes_nothing() -> None:
    story = compensating("a", head=MANUAL)
    decision = story.when(Cancel(by="ada", reason="leave it"))
    assert kinds(decision) == ["EndTurned", "ExecutionCancelled"]
    assert any(isinstance(command, EndExecution) for command in decision.commands)
    assert story.state.status == "cancelled"
    assert story.state.compensation is None
    assert not story.state.compensation_awaited
    assert story.undone() == []


# ── A bound for the whole ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", ["reverse", "parallel"])
def test_when_its_time_is_up_what_runs_is_stopped_and_the_rest_stays_undone(strategy: str) -> None:
    head = f"config: {{max_parallel_steps: 1}}\ncompensation: {{timeout: 5s, strategy: {strategy}}}"
    story = compensating("a", "b", "c", head=head)
    first = next(iter(story.work))
    story.report(first)
    running = next(iter(story.work))
    assert story.run.next_due() == 5 * SECOND
    decision = story.time(5 * SECOND)
    assert kinds(decision) == ["StepCancelled", "CompensationEnded", "ExecutionFailed"]
    assert [type(command) for command in decision.commands] == [StopStep, EndExecution]
    assert decision.events[1] == CompensationEnded(5 * SECOND, "failed", "the compensation timed out after 5s")
    assert story.state.compensation == "failed"
    assert story.state.compensation_problem == "the compensation timed out after 5s"
    assert story.status(first) == "completed"
    assert story.status(running) == "cancelled"
    assert sorted(story.statuses().values()) == ["compensated", "completed", "completed", "failed"]
    assert len(story.undone()) == 2


def test_an_undoing_that_waits_for_its_next_try_is_cut_off_too() -> None:
    head = (
        "compensation: {timeout: 5s}\nconfig: {retry_policy: {max_attempts: 9, backoff: constant, initial_delay: 3s}}"
    )
    story = Twin(spec("a", head=head))
    story.report("a")
    for _ in range(9):
        if "end" in story.work:
            story.report("end", BOOM)
    story.report("a[undo]", FLAKY)
    story.time(3 * SECOND)
    story.report("a[undo]", FLAKY)
    assert story.run.next_due() == 5 * SECOND
    story.time(2 * SECOND)
    assert story.status("a[undo]") == "cancelled"
    assert story.state.status == "failed"


def test_its_time_does_not_count_once_it_is_through() -> None:
    story = compensating("a", head="compensation: {timeout: 5s}")
    story.run_on()
    assert story.state.compensation == "done"
    assert story.run.next_due() is None


# ── What still runs when it begins ───────────────────────────────────────────────────────────────────────────────────

SIDE_BY_SIDE = "%s\nsteps:\n  " + LEAF % ("slow", "") + "\n  - {name: end, type: python, config: {task: work}}"


def test_running_steps_are_awaited_and_what_they_did_is_undone() -> None:
    story = Twin(SIDE_BY_SIDE % "")
    assert kinds(story.report("end", BOOM)) == ["StepFailed"]
    assert dispatched(story.report("slow")) == ["slow[undo]"]


def test_running_steps_are_stopped_where_the_workflow_says_so() -> None:
    story = Twin(SIDE_BY_SIDE % "config: {cancellation: cancel_running}")
    decision = story.report("end", BOOM)
    assert kinds(decision) == [
        "StepFailed", "StepCancelled", "CompensationStarted", "CompensationEnded", "ExecutionFailed",
    ]  # fmt: skip
    assert story.status("slow") == "cancelled"
    assert story.state.compensation == "nothing"


def test_without_compensation_running_steps_are_awaited_all_the_same() -> None:
    head = "config: {cancellation: cancel_running, on_error: {strategy: terminate}}"
    story = Twin(SIDE_BY_SIDE % head)
    assert kinds(story.report("end", BOOM)) == ["StepFailed"]
    assert story.status("slow") == "running"


def test_draining_lets_everything_run_before_it_compensates() -> None:
    head = "config: {cancellation: cancel_running, failure_mode: drain}"
    story = Twin(SIDE_BY_SIDE % head)
    assert kinds(story.report("end", BOOM)) == ["StepFailed"]
    assert dispatched(story.report("slow")) == ["slow[undo]"]


def late(story: Twin, key: str, attempt: int = 1) -> Decision:
    """The result of work that had been stopped comes all the same."""
    return story.when(Report(execution="x", step=key, attempt=attempt, started_at=story.at, result={"id": key}))


def two_running(head: str) -> Twin:
    """`a` has completed and `slow` was stopped because `end` failed; what undoes `a` runs."""
    lines = [LEAF % ("a", ""), LEAF % ("slow", ""), "- {name: end, type: python, config: {task: work}}"]
    story = Twin(f"{head}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))
    story.report("a")
    story.work.pop("slow")
    story.report("end", BOOM)
    assert story.status("slow") == "cancelled"
    return story


STOP = "config: {cancellation: cancel_running}"


@pytest.mark.parametrize("strategy", ["reverse", "forward", "parallel"])
def test_the_result_of_stopped_work_that_comes_all_the_same_is_undone_too(strategy: str) -> None:
    story = two_running(f"{STOP}\ncompensation: {{strategy: {strategy}}}")
    decision = late(story, "slow")
    assert kinds(decision)[0] == "LateCompletion"
    assert story.status("slow") == "completed"
    assert dispatched(decision) == (["slow[undo]"] if strategy == "parallel" else [])
    story.run_on()
    assert story.undone() == ["a", "slow"]
    assert story.status("slow") == "compensated"
    assert story.state.compensation == "done"


def test_it_counts_once_and_only_for_the_attempt_that_was_stopped() -> None:
    story = two_running(STOP)
    assert kinds(late(story, "slow", attempt=7)) == []
    assert kinds(late(story, "slow")) == ["LateCompletion"]
    assert kinds(late(story, "slow")) == []
    failed = Report(execution="x", step="slow", attempt=1, started_at=0, error=BOOM)
    assert kinds(story.when(failed)) == []


def test_once_compensation_is_through_it_comes_too_late() -> None:
    story = two_running(STOP)
    story.report("a[undo]")
    assert story.ended
    assert late(story, "slow").events == []


def test_while_an_operator_is_waited_for_it_is_recorded_and_undone_later() -> None:
    story = two_running(f"{STOP}\n{MANUAL}")
    assert kinds(late(story, "slow")) == ["LateCompletion"]
    story.when(Compensate(by="ada"))
    story.run_on()
    assert story.undone() == ["slow", "a"]


def test_the_list_sees_what_came_late() -> None:
    args = "{id: '{{ steps.slow.output.id }}'}"
    undo = f"compensation: {{steps: [{{name: u, type: python, config: {{task: undo, args: {args}}}}}]}}"
    story = two_running(f"{STOP}\n{undo}")
    late(story, "slow")
    story.run_on()
    assert story.configs()["u"] == {"id": "slow"}


def test_what_ran_when_the_time_of_the_execution_was_up_is_not_undone_unless_its_result_comes() -> None:
    head = "config: {timeout: 10s}"
    lines = [LEAF % ("a", ""), LEAF % ("slow", "")]
    for comes in (False, True):
        story = Twin(f"{head}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))
        story.report("a")
        story.when(TimersDue(), 10 * SECOND)
        story.work.pop("slow", None)
        assert story.status("slow") == "cancelled"
        if comes:
            assert isinstance(late(story, "slow").events[0], LateCompletion)
        story.run_on()
        assert story.undone() == (["a", "slow"] if comes else ["a"])


# ── Cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cancelling_while_it_compensates_lets_it_go_on_and_ends_as_cancelled() -> None:
    story = compensating("a", "b")
    decision = story.when(Cancel(by="ada", reason="no use"))
    assert decision.events == [EndTurned(0, "ada", "no use")]
    assert story.run_on() == ["b[undo]", "a[undo]"]
    assert story.state.status == "cancelled"
    assert story.events(ExecutionCancelled) == [ExecutionCancelled(0, "ada", "no use")]
    assert story.state.compensation == "done"


def test_cancelled_or_not_what_could_not_be_undone_fails_the_execution() -> None:
    story = compensating("a")
    story.when(Cancel(by="ada", reason="no use"))
    story.run_on(failing("a[undo]", error=BOOM))
    assert story.state.status == "failed"
    assert story.state.error is not None
    assert story.state.error.type == "compensation_failed"


def test_a_cancel_that_compensates_undoes_and_ends_as_cancelled() -> None:
    story = Twin(spec("a", head="config: {cancellation: {policy: cancel_running, compensate: true}}"))
    story.report("a", {"id": 1})
    story.when(Cancel(by="ada", reason="wrong order"))
    assert story.state.status == "compensating"
    assert story.run_on() == ["a[undo]"]
    assert story.undone() == ["a"]
    assert story.state.status == "cancelled"
    assert story.state.cancel_reason == "wrong order"


def test_what_undoes_after_a_cancel_sees_an_error_that_says_so() -> None:
    body = "compensate: {type: python, config: {task: undo, args: {why: '{{ error.type }}: {{ error.message }}'}}}"
    lines = [
        f"- {{name: a, type: python, config: {{task: work}}, {body}}}",
        "- {name: b, type: wait, config: {for: 1h}, depends_on: a}",
    ]
    story = Twin("config: {cancellation: {compensate: true}}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))
    story.report("a")
    story.when(Cancel(by="ada", reason="wrong order"))
    story.run_on()
    assert story.configs()["a[undo]"] == {"why": "cancelled: wrong order"}


def test_terminating_stops_it_and_says_that_not_all_was_undone() -> None:
    story = compensating("a", "b")
    decision = story.when(Terminate(by="ada", reason="enough"))
    assert kinds(decision)[:2] == ["StepCancelled", "CompensationEnded"]
    assert story.state.status == "cancelled"
    assert story.state.compensation == "failed"
    assert "enough" in story.state.compensation_problem


def test_nothing_is_recorded_of_stopped_work_where_nothing_will_be_undone() -> None:
    head = "config: {cancellation: {policy: cancel_running, compensate: false}}"
    lines = [LEAF % ("a", ""), "- {name: w, type: python, config: {task: work}}"]
    story = Twin(f"{head}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))
    story.when(Cancel(by="ada", stop=True))
    assert story.state.status == "cancelled"
    assert late(story, "a").events == []


# ── Going back ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_going_back_to_a_checkpoint_undoes_only_what_completed_after_it() -> None:
    lines = [
        LEAF % ("a", ""),
        LEAF % ("b", ", depends_on: a, checkpoint: half"),
        LEAF % ("c", ", depends_on: b"),
        LEAF % ("d", ", depends_on: c"),
        "- {name: e, type: wait_for_event, config: {event_type: go}, depends_on: d}",
    ]
    listed = "compensation: {steps: [{name: u, type: python, config: {task: undo}}]}"
    story = Twin(f"{listed}\nsteps:\n" + "\n".join(f"  {line}" for line in lines))
    for name in "abcd":
        story.report(name)
    story.when(Rollback(by="ada", checkpoint="half"))
    assert story.state.status == "compensating"
    story.report("d[undo]")
    story.report("c[undo]")
    assert story.undone() == ["d", "c"]
    assert story.state.status == "running"
    assert list(story.work) == ["c"]
    story.report("c")
    story.report("d")
    story.when(Cancel(by="ada", compensate=True))
    assert story.run_on() == ["d[undo]", "c[undo]", "b[undo]", "a[undo]", "u"]


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_legal_move_of_compensation_is_walked() -> None:
    kinds_of_moves = {
        CompensationAwaited, CompensationEnded, CompensationStarted, EndTurned, LateCompletion, StepCompensated,
        UndoingAsked,
    }  # fmt: skip
    walked = set[tuple[Any, type]]()
    for story in stories():
        state = fold(story.history[:1])
        for event in story.history[1:]:
            key = getattr(event, "step", None)
            before = state.steps[key].status if key in state.steps else StepStatus.PENDING
            walked.add((state.status if key is None else before, type(event)))
            evolve(state, event)
    legal = {move for move in (*STEP_TRANSITIONS, *EXECUTION_TRANSITIONS) if move[1] in kinds_of_moves}
    assert {f"{status}: {kind.__name__}" for status, kind in legal - walked} == set()
