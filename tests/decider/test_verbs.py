"""Pause, resume, cancel, terminate; and which verb makes sense in which status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepwell.base.errors import Conflict
from stepwell.decider.decide import decide
from stepwell.execution.commands import EndExecution, ForgetWait, StopStep
from stepwell.execution.evolve import evolve, fold
from stepwell.execution.history import (
    AttemptFailed,
    CancelRequested,
    ExecutionCancelled,
    ExecutionFailing,
    ExecutionForked,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    Intervened,
    RolledBack,
    StepReopened,
    StepReset,
)
from stepwell.execution.inputs import Begin, LockGranted, TimersDue
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
    name_of,
)
from tests.decider.story import BOOM, FLAKY, SECOND, Story, dispatched, kinds
from tests.decider.verb_moves import verb_stories
from tests.decider.verb_story import Checked, document, told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
CHAIN = """
steps:
  - {name: a, type: python, config: {task: t}, checkpoint: begun}
  - {name: b, type: python, config: {task: t}, depends_on: [a]}
config: {on_error: {strategy: terminate}}
"""
UNDOES = """
steps:
  - {name: a, type: python, config: {task: t}, compensate: {type: python, config: {task: undo}}}
  - {name: b, type: python, config: {task: t}, depends_on: [a]}
"""


# Every verb in every status


def pending() -> Checked:
    return Checked(document(CHAIN))


def running() -> Checked:
    story = told(CHAIN)
    story.done("a")
    return story


def paused() -> Checked:
    story = running()
    story.when(Pause(**BY))
    return story


def compensating() -> Checked:
    story = told(UNDOES)
    story.done("a")
    story.failed("b")
    return story


def completed() -> Checked:
    story = running()
    story.done("b")
    return story


def failed() -> Checked:
    story = running()
    story.failed("b")
    return story


def cancelled() -> Checked:
    story = running()
    story.when(Terminate(**BY))
    return story


STATUSES: tuple[Callable[[], Checked], ...] = (pending, running, paused, compensating, completed, failed, cancelled)
VERBS: dict[str, Verb] = {
    name_of(verb): verb
    for verb in (
        Pause(**BY),
        Resume(**BY),
        Cancel(**BY),
        Terminate(**BY),
        Retry(**BY),
        Rerun(**BY, step="a"),
        Rollback(**BY, checkpoint="begun"),
        SkipStep(**BY, step="b", force=True),
        CompleteStep(**BY, step="b", force=True),
        Compensate(**BY),
    )
}
ENDED = "already-ended"
ILLEGAL = "illegal-verb"
UNDOING = "compensating"
#             pending  running      paused       compensating completed    failed   cancelled
OUTCOMES = {
    "pause":         (ILLEGAL, "", "", UNDOING, ENDED, ENDED, ENDED),
    "resume":        ("not-paused", "not-paused", "", "not-paused", ENDED, ENDED, ENDED),
    "cancel":        ("", "", "", "", ENDED, ENDED, ENDED),
    "terminate":     ("", "", "", "", ENDED, ENDED, ENDED),
    "retry":         ("not-failed", "not-failed", "not-failed", "not-failed", "not-failed", "", "not-failed"),
    "rerun":         (ILLEGAL, "", "", UNDOING, "", "", ""),
    "rollback":      (ILLEGAL, "", "", UNDOING, "", "", ""),
    "skip-step":     (ILLEGAL, "", "", UNDOING, ENDED, "", ENDED),
    "complete-step": (ILLEGAL, "", "", UNDOING, ENDED, "", ENDED),
    "compensate":    (ILLEGAL, ILLEGAL, ILLEGAL, "not-awaited", ENDED, ENDED, ENDED),
}  # fmt: skip
"""By verb, for each status in their order: the code of the refusal, or nothing where it is done."""


@pytest.mark.parametrize("verb", OUTCOMES)
@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.__name__)
def test_a_verb_is_done_or_refused_by_the_status(status: Callable[[], Checked], verb: str) -> None:
    story = status()
    code = OUTCOMES[verb][STATUSES.index(status)]
    if code:
        error = story.refuses(VERBS[verb], code)
        assert story.state.status.value in error.message or code == "not-awaited"
        assert error.hint is not None
        assert error.hint.startswith("possible now: ")
    else:
        assert story.when(VERBS[verb]).said


@pytest.mark.parametrize("verb", [verb for verb in OUTCOMES if verb not in ("pause",)])
def test_who_and_why_is_recorded(verb: str) -> None:
    for status, code in zip(STATUSES, OUTCOMES[verb], strict=True):
        if code == "":
            events: list[Any] = status().when(VERBS[verb]).events
            said = next(event for event in events if hasattr(event, "by"))
            assert (said.by, said.reason) == ("ada", "why")


def test_what_an_execution_that_is_being_cancelled_refuses() -> None:
    story = running()
    story.when(Cancel(**BY))
    for verb in (Pause(**BY), Rerun(**BY, step="a"), Rollback(**BY, checkpoint="begun"), SkipStep(**BY, step="b")):
        assert "it is being cancelled: why" in story.refuses(verb, "being-cancelled").message


@pytest.mark.parametrize("verb", [Retry(**BY), Rerun(**BY, step="a"), SkipStep(**BY, step="b")])
def test_what_was_undone_is_not_built_upon(verb: Verb) -> None:
    story = compensating()
    story.done("a[undo]")
    assert (story.state.status.value, story.state.compensation) == ("failed", "done")
    refused = story.refuses(verb, "compensated")
    assert "was undone" in refused.message
    assert refused.hint == "possible now: fork"


def cancelling() -> Checked:
    story = running()
    story.when(Cancel(**BY))
    return story


def undone() -> Checked:
    story = compensating()
    story.done("a[undo]")
    return story


@pytest.mark.parametrize("status", [*STATUSES, cancelling, undone], ids=lambda status: status.__name__)
def test_a_refusal_names_what_is_possible_and_nothing_else(status: Callable[[], Checked]) -> None:
    refused = {name: error for name in VERBS if (error := _refusal(status(), name)) is not None}
    named = {name for error in refused.values() for name in str(error.hint).removeprefix("possible now: ").split(", ")}
    assert named
    assert named <= {*(VERBS.keys() - refused.keys()), "fork", "migrate"}


def _refusal(story: Checked, verb: str) -> Conflict | None:
    try:
        story.when(VERBS[verb])
    except Conflict as error:
        return error
    return None


def test_a_compensation_that_had_nothing_to_undo_stands_in_nobodys_way() -> None:
    story = told(UNDOES)
    story.failed("a")
    assert (story.state.status.value, story.state.compensation) == ("failed", "nothing")
    assert dispatched(story.when(Retry(**BY))) == ["a"]
    story.done_all("a", "b")
    assert (story.state.status.value, story.state.compensation) == ("completed", None)


# Pause


def test_a_pause_lets_running_work_finish_and_starts_nothing_new() -> None:
    story = told(CHAIN)
    assert story.when(Pause(**BY)).events == [ExecutionPaused(0, "ada", "why")]
    assert kinds(story.done("a")) == ["StepCompleted", "CheckpointReached"]
    assert (story.statuses(), story.state.pause_reason) == ({"a": "completed", "b": "pending"}, "why")
    resumed = story.when(Resume(by="bob", reason="go on"))
    assert resumed.events[0] == ExecutionResumed(0, "bob", "go on")
    assert dispatched(resumed) == ["b"]
    assert story.state.pause_reason == ""


def test_a_paused_execution_that_is_through_ends_when_it_goes_on() -> None:
    story = told(CHAIN)
    story.done("a")
    story.when(Pause(**BY))
    assert kinds(story.done("b")) == ["StepCompleted"]
    assert kinds(story.when(Resume(**BY))) == ["ExecutionResumed", "ExecutionCompleted"]


def test_pausing_twice_changes_nothing_and_says_so() -> None:
    story = paused()
    again = story.when(Pause(by="bob", reason="other"))
    assert (again.events, again.said) == ([], "it is paused already: why")


def test_no_retry_begins_while_it_is_paused() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, retry: {max_attempts: 2, initial_delay: 1s}}]")
    story.when(Pause(**BY))
    assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed"]
    assert story.run.next_due() is None
    assert story.time(10 * SECOND).events == []
    assert dispatched(story.when(Resume(**BY))) == ["a"]


def test_a_wait_that_is_over_is_noted_and_what_follows_does_not_start() -> None:
    story = told("""
    steps:
      - {name: timer, type: wait, config: {for: 1s}}
      - {name: news, type: wait_for_event, config: {event_type: go}}
      - {name: late, type: wait_for_event, config: {event_type: go, timeout: 1s}, on_timeout: {action: continue}}
      - {name: after, type: python, config: {task: t}, depends_on: [timer, news, late]}
    """)
    story.when(Pause(**BY))
    assert story.run.next_due() == SECOND
    assert kinds(story.event("news")) == ["EventReceived", "StepCompleted"]
    assert kinds(story.time(SECOND)) == ["StepFailed", "StepCompleted"]
    assert dispatched(story.when(Resume(**BY))) == ["after"]


def test_a_delay_that_is_over_starts_nothing_while_it_is_paused() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, delay: 1s}]")
    story.when(Pause(**BY))
    assert story.time(SECOND).events == []
    assert dispatched(story.when(Resume(**BY))) == ["a"]


def test_a_lock_that_is_granted_while_it_is_paused_is_taken_and_the_step_does_not_start() -> None:
    story = told("steps: [{name: a, type: python, config: {task: t}, mutex: {key: lock}}]")
    story.when(Pause(**BY))
    assert kinds(story.when(LockGranted("a", "lock"))) == ["LockTaken"]
    assert dispatched(story.when(Resume(**BY))) == ["a"]


def test_a_loop_starts_no_further_round_while_it_is_paused() -> None:
    story = told("""
    steps:
      - {name: f, type: python, config: {task: t}, for_each: {items: [1, 2], concurrency: 1}}
    """)
    story.when(Pause(**BY))
    assert dispatched(story.done("f[0]")) == []
    assert dispatched(story.when(Resume(**BY))) == ["f[1]"]


def test_a_failure_while_it_is_paused_ends_the_execution_when_it_goes_on() -> None:
    story = told(CHAIN)
    story.when(Pause(**BY))
    assert kinds(story.failed("a")) == ["StepFailed"]
    assert story.state.status.value == "paused"
    assert kinds(story.when(Resume(**BY)))[-1] == "ExecutionFailed"


def test_paused_time_is_not_active_time_even_while_something_runs() -> None:
    story = told(f"{CHAIN.rstrip()[:-1]}, timeout: 10s}}")
    story.when(Pause(**BY), 4 * SECOND)
    assert story.run.next_due() is None
    story.when(Resume(**BY), 100 * SECOND)
    assert story.run.next_due() == 110 * SECOND
    assert story.time(6 * SECOND).events[0] == ExecutionFailing(110 * SECOND, story.state.failure)  # type: ignore[arg-type]


def test_a_deadline_that_passes_ends_the_pause() -> None:
    story = told(f"{CHAIN.rstrip()[:-1]}, deadline: 10s}}")
    story.done("a")
    story.when(Pause(**BY))
    assert story.run.next_due() == 10 * SECOND
    decision = story.time(10 * SECOND)
    assert kinds(decision) == ["ExecutionResumed", "ExecutionFailing", "StepCancelled", "ExecutionFailed"]


def test_a_step_that_can_start_only_after_a_milestone_starts_when_it_goes_on() -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}}
      - {name: b, type: python, config: {task: t}, milestone: {after: [a]}}
    """)
    story.when(Pause(**BY))
    story.done("a")
    story.crash()
    assert dispatched(story.when(Resume(**BY))) == ["b"]


# A failure that pauses


PAUSES = """
steps:
  - name: a
    type: python
    config: {task: t}
    retry: {max_attempts: 2, initial_delay: 1s, backoff: constant}
    on_failure: {action: pause, message: "look at {{ error.type }}"}
  - {name: b, type: python, config: {task: t}}
  - {name: c, type: python, config: {task: t}, depends_on: [a]}
"""


def test_a_failure_pauses_the_execution_and_the_step_is_tried_again_with_fresh_attempts() -> None:
    story = told(PAUSES)
    story.failed("a", FLAKY)
    story.time(SECOND)
    decision = story.failed("a", FLAKY)
    assert kinds(decision) == ["AttemptFailed", "ExecutionPaused"]
    assert decision.events[-1] == ExecutionPaused(SECOND, "", "step 'a' failed: look at connection_error", "a")
    assert story.at_work == ["b"]
    resumed = story.when(Resume(**BY))
    assert (dispatched(resumed), resumed.said) == (["a"], "resumed; tried again: a")
    assert story.step("a").attempts == 3
    assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed"]  # the first of two tries
    story.time(SECOND)
    assert kinds(story.failed("a", FLAKY)) == ["AttemptFailed", "ExecutionPaused"]


def test_a_second_failure_while_it_is_paused_is_tried_again_too() -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}, on_failure: {action: pause}}
      - {name: b, type: fail, config: {message: no}, on_failure: {action: pause}, depends_on: [c]}
      - {name: c, type: python, config: {task: t}, on_failure: {action: pause}}
    """)
    story.failed("a")
    story.failed("c")
    assert story.state.paused_steps == ["a", "c"]
    assert dispatched(story.when(Resume(**BY))) == ["a", "c"]
    assert kinds(story.done("c")) == ["StepCompleted", "AttemptFailed", "ExecutionPaused"]
    assert story.state.pause_reason == "step 'b' failed: no"


def test_a_step_that_paused_the_execution_can_be_skipped_instead() -> None:
    story = told(PAUSES.replace("max_attempts: 2", "max_attempts: 1"))
    story.failed("a")
    story.when(SkipStep(**BY, step="a"))
    assert dispatched(story.when(Resume(**BY))) == ["c"]


def test_a_failure_does_not_pause_what_has_failed_already() -> None:
    story = told(PAUSES.replace("max_attempts: 2", "max_attempts: 1"))
    story.failed("b")
    assert kinds(story.failed("a", BOOM)) == ["StepFailed", "ExecutionFailed"]


# Cancel


def test_a_cancel_lets_running_work_finish_and_withdraws_waits() -> None:
    story = told("""
    steps:
      - {name: a, type: python, config: {task: t}}
      - {name: w, type: wait_for_event, config: {event_type: go}}
      - {name: b, type: python, config: {task: t}, depends_on: [a]}
    """)
    decision = story.when(Cancel(**BY))
    assert decision.events[0] == CancelRequested(0, "ada", "why", False, False)
    assert (kinds(decision), decision.said) == (
        ["CancelRequested", "StepCancelled"],
        "cancelled as soon as 1 running step has ended",
    )
    assert isinstance(decision.commands[0], ForgetWait)
    assert story.step("w").reason == "cancelled by ada: why"
    ended = story.done("a")
    assert ended.events[-1] == ExecutionCancelled(0, "ada", "why")
    assert ended.commands == [EndExecution()]


def test_a_cancel_can_stop_running_work_as_the_definition_or_the_verb_says() -> None:
    stopping = f"{CHAIN.rstrip()[:-1]}, cancellation: cancel_running}}"
    for document_, verb in ((CHAIN, Cancel(**BY, stop=True)), (stopping, Cancel(**BY))):
        story = told(document_)
        decision = story.when(verb)
        assert decision.commands[0] == StopStep("x/a/1")
        assert kinds(decision) == ["CancelRequested", "StepCancelled", "ExecutionCancelled"]
    story = told(stopping)
    assert kinds(story.when(Cancel(**BY, stop=False))) == ["CancelRequested"]


def test_a_second_cancel_may_be_stricter_and_is_nothing_else() -> None:
    story = told(CHAIN)
    story.when(Cancel(**BY))
    again = story.when(Cancel(**BY))
    assert (again.events, again.said) == ([], "it is being cancelled already")
    assert kinds(story.when(Cancel(**BY, stop=True))) == ["CancelRequested", "StepCancelled", "ExecutionCancelled"]


def test_a_late_result_never_changes_the_end() -> None:
    story = told(CHAIN)
    story.when(Cancel(**BY))
    assert kinds(story.failed("a", FLAKY)) == ["StepFailed", "ExecutionCancelled"]
    assert story.done("a").events == []
    assert story.state.status.value == "cancelled"


def test_a_paused_execution_is_cancelled() -> None:
    story = told(CHAIN)
    story.when(Pause(**BY))
    story.when(Cancel(**BY))
    assert story.state.status.value == "running"
    assert kinds(story.done("a"))[-1] == "ExecutionCancelled"


@pytest.mark.parametrize("asked_by_verb", [True, False])
def test_a_cancel_compensates_when_the_definition_or_the_verb_says_so(asked_by_verb: bool) -> None:
    story = told(UNDOES if asked_by_verb else f"{UNDOES}config: {{cancellation: {{compensate: true}}}}")
    story.done("a")
    assert story.when(Cancel(**BY, compensate=True if asked_by_verb else None)).said.startswith("cancelled as soon")
    assert dispatched(story.done("b")) == ["a[undo]"]
    assert story.state.status.value == "compensating"
    assert kinds(story.done("a[undo]"))[-1] == "ExecutionCancelled"
    assert (story.state.compensation, story.state.cancel_reason) == ("done", "why")


def test_a_cancel_while_it_compensates_lets_that_go_on() -> None:
    story = compensating()
    story.when(Cancel(**BY))
    assert story.state.status.value == "compensating"
    story.done("a[undo]")
    assert story.state.status.value == "cancelled"


def test_what_has_not_begun_is_cancelled_at_once() -> None:
    story = Checked(document(CHAIN))
    assert kinds(story.when(Cancel(**BY))) == ["ExecutionCancelled"]
    assert story.when(Begin()).events == []


# Terminate


@pytest.mark.parametrize("status", [pending, running, paused, compensating], ids=lambda status: status.__name__)
def test_a_terminate_ends_it_at_once_whatever_it_does(status: Callable[[], Checked]) -> None:
    story = status()
    at_work = list(story.at_work)
    decision = story.when(Terminate(**BY))
    assert decision.events[-1] == ExecutionCancelled(0, "ada", "why")
    stopped = [command.assignment_id for command in decision.commands if isinstance(command, StopStep)]
    assert sorted(stopped) == sorted(f"x/{key}/1" for key in at_work)
    assert (story.state.in_flight, story.state.waiting) == (0, 0)
    assert story.when(TimersDue(), 1_000 * SECOND).events == []


def test_a_terminate_undoes_nothing() -> None:
    story = told(f"{UNDOES}config: {{cancellation: {{compensate: true}}}}")
    story.done("a")
    story.when(Terminate(**BY))
    assert (story.state.compensation, story.state.status.value) == (None, "cancelled")


def test_the_same_verb_decides_the_same_on_a_run_from_memory_and_on_one_from_history() -> None:
    one, other = running(), running()
    other.crash()
    assert decide(one.run, Cancel(**BY), 5) == decide(other.run, Cancel(**BY), 5)


def test_every_move_that_an_operator_causes_is_walked() -> None:
    """The other half of the tables is walked in tests/execution."""
    kinds_ = {
        CancelRequested, ExecutionForked, ExecutionMigrated, ExecutionPaused, ExecutionResumed, Intervened, RolledBack,
        StepReopened, StepReset,
    }  # fmt: skip
    legal = {move for move in (STEP_TRANSITIONS.keys() | EXECUTION_TRANSITIONS.keys()) if move[1] in kinds_}
    legal |= {(ExecutionStatus.PAUSED, ExecutionCancelled), (ExecutionStatus.PENDING, ExecutionCancelled)}
    legal |= {(ExecutionStatus.PAUSED, ExecutionFailing), (ExecutionStatus.COMPENSATING, ExecutionCancelled)}
    legal |= {(StepStatus.PENDING, AttemptFailed)}
    moves = set[tuple[Any, type]]().union(*(walked(story) for story in verb_stories()))
    assert {f"{status}: {kind.__name__}" for status, kind in legal - moves} == set()


def walked(story: Story) -> set[tuple[Any, type]]:
    """Every move of a story, as the tables write them."""
    moves = set[tuple[Any, type]]()
    state = fold(story.history[:1])
    for event in story.history[1:]:
        step = getattr(event, "step", None)
        if step is not None:
            moves.add((state.steps[step].status if step in state.steps else StepStatus.PENDING, type(event)))
        moves.add((state.status, type(event)))
        evolve(state, event)
    return moves
