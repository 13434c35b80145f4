"""Why an execution does not move, or why it ended as it did: each reason, told from what is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stepwell.app.explaining import explain
from stepwell.app.explanation import Explanation, Reason, View, explanation_document
from stepwell.base.values import Sealed
from stepwell.definition.model import Compensation, Concurrency, Milestone, Mutex, Step, StepBody
from stepwell.execution.verbs import Cancel, Pause, Rerun
from stepwell.ports.records import Lock
from stepwell.worker.answers import Whereabouts
from tests.decider.story import (
    BOOM,
    FLAKY,
    SECOND,
    TIMEOUT,
    Story,
    begun,
    on,
    retries,
    says,
    step,
    workflow,
)

HOUR = 3_600 * SECOND


def why(story: Story, **known: Any) -> Explanation:
    """The explanation of a story as it stands, found from its history alone."""
    story.crash()
    known.setdefault("engine", "process 1 on here")
    return explain(View(story.run, story.history, story.at, **known))


def reasons(story: Story, **known: Any) -> dict[str, Reason]:
    """The reasons by kind; there must be one of each."""
    found = why(story, **known).reasons
    assert len({reason.kind for reason in found}) == len(found), found
    return {reason.kind: reason for reason in found}


def only(story: Story, **known: Any) -> Reason:
    """The one reason there is."""
    (reason,) = why(story, **known).reasons
    return reason


def wait(name: str, *after: Any, **config: Any) -> Step:
    return step(name, *after, type="wait_for_event", config={"event_type": "go", **config})


# What has not ended


def test_a_sub_workflow_is_explained_inside() -> None:
    child = begun(workflow(step("nap", type="wait", config={"for": "10s"})))
    inner = why(child)
    story = begun(workflow(step("sub", type="workflow", config={"name": "other"}, timeout=60 * SECOND)))
    started = story.step("sub").child
    assert only(story, children={started: inner}) == Reason(
        kind="workflow",
        step="sub",
        text=f"it waits for execution {started}, which it started",
        since=0,
        until=60 * SECOND,
        wakes="the end of that execution",
        why=inner,
    )
    assert only(story).why is None, "its start has not come to its engine yet"


def test_work_that_runs_says_since_when_and_how_long_it_may() -> None:
    story = Story(workflow(step("a", timeout=30 * SECOND, retry=retries(3))), at=5 * SECOND)
    story.begin()
    assert only(story) == Reason(
        kind="attempt",
        step="a",
        text="attempt 1 of 3 is at work",
        since=5 * SECOND,
        until=35 * SECOND,
        wakes="its result",
    )


def test_work_without_a_timeout_says_so() -> None:
    reason = only(begun(workflow(step("a"))))
    assert (reason.text, reason.until) == ("its only attempt is at work, and has no timeout of the step's own", None)


def whereabouts(**given: Any) -> Any:
    fields = {"worker": None, "heard_at": None, "deadline": None, "able": 0, "refusal": None}
    return lambda id_: Whereabouts(**{**fields, **given}) if id_.endswith("/a/1") else None


@pytest.mark.parametrize(
    ("fetched", "said", "until", "wakes"),
    [
        (
            lambda id_: None,
            "its only attempt is at work, or waits in the queue 'q' for a worker with the labels gpu=true",
            None,
            "its result",
        ),
        (
            whereabouts(),
            "its only attempt waits in the queue 'q' for a worker with the labels gpu=true: none is known here",
            None,
            "a worker of the queue 'q'",
        ),
        (
            whereabouts(able=2, refusal="there is no task 'a' here"),
            (
                "its only attempt waits in the queue 'q' for a worker with the labels gpu=true: 2 known here; "
                "the last one said: there is no task 'a' here"
            ),
            None,
            "a worker of the queue 'q'",
        ),
        (
            whereabouts(worker="w1", heard_at=0, deadline=9 * SECOND, able=1),
            "its only attempt is with worker 'w1'",
            9 * SECOND,
            "its result",
        ),
        (
            whereabouts(worker="w1", heard_at=-25 * SECOND, able=1),
            "its only attempt is with worker 'w1', which was not heard of for 25s",
            None,
            "its result",
        ),
    ],
)
def test_work_of_a_queue_says_who_has_it_or_who_is_missing(
    fetched: Any, said: str, until: int | None, wakes: str
) -> None:
    story = begun(workflow(step("a", queue="q", labels={"gpu": "true"}, timeout=30 * SECOND)))
    reason = only(story, fetched=fetched)
    assert (reason.text, reason.until, reason.wakes) == (said, until, wakes)


def test_a_later_attempt_counts_from_its_own_start() -> None:
    story = begun(workflow(step("a", timeout=30 * SECOND, retry=retries(3))))
    story.failed("a", FLAKY, after=2 * SECOND)
    story.time(SECOND)
    reason = only(story)
    assert (reason.text, reason.since, reason.until) == ("attempt 2 of 3 is at work", 3 * SECOND, 33 * SECOND)


def test_a_retry_says_when_it_is_due_and_after_which_error() -> None:
    story = begun(workflow(step("a", retry=retries(3))))
    story.failed("a", FLAKY, after=2 * SECOND)
    assert only(story) == Reason(
        kind="retry",
        step="a",
        text="attempt 2 of 3 is due, after: connection_error: nobody answers",
        since=2 * SECOND,
        until=3 * SECOND,
        wakes="the time",
    )


def test_a_wait_for_an_event_gives_the_command_that_wakes_it() -> None:
    story = begun(workflow(wait("paid", filter={"order": "{{ input.order }}"}, timeout="1h")), {"order": 7})
    assert only(story, options=" --store x.db") == Reason(
        kind="event",
        step="paid",
        text="it waits for an event 'go' for which {\"order\": 7}",
        since=0,
        until=HOUR,
        wakes="stepwell event publish go -d '{\"order\": 7}' --store x.db",
    )


def test_a_wait_whose_filter_is_an_expression_shows_it() -> None:
    reason = only(begun(workflow(wait("paid", filter="{{ event.data.n > 3 }}"))))
    assert reason.text == "it waits for an event 'go' for which {{ event.data.n > 3 }}"
    assert reason.wakes == "stepwell event publish go -d DATA"


def test_a_wait_without_a_filter_needs_no_data() -> None:
    reason = only(begun(workflow(wait("paid"))))
    assert (reason.text, reason.wakes) == ("it waits for an event 'go'", "stepwell event publish go")


def test_a_secret_in_a_filter_is_not_shown() -> None:
    story = begun(workflow(wait("paid", filter={"token": "{{ input.token }}"})), {"token": Sealed("s3cret")})
    reason = only(story)
    assert "s3cret" not in f"{reason.text}{reason.wakes}"
    assert reason.wakes == 'stepwell event publish go -d \'{"token": "***"}\''


def test_a_question_says_who_is_asked_what_and_how_to_answer() -> None:
    schema = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    config = {
        "prompt": "Ship {{ input.n }}?",
        "assigned_to": ["ada", "bob"],
        "response_schema": schema,
        "timeout": "1h",
        "default": {"ok": False},
    }
    story = begun(workflow(step("ask", type="approval", config=config)), {"n": 7})
    reason = only(story)
    assert (reason.kind, reason.since, reason.until) == ("approval", 0, HOUR)
    assert reason.text == ('it asks: Ship 7?; for ada, bob; without an answer in time, the answer is {"ok": false}')
    assert reason.wakes is not None
    assert reason.wakes == """stepwell approval respond x ask --response '{"ok": true}' --by ada"""
    answer: dict[str, Any] = {"execution": "x", "step": "ask", "by": "ada", "response": {"ok": True}}
    story.event("ask", "stepwell.approval.answered", **{**answer, "by": "eve"})
    assert only(story).text.endswith("the last answer was refused: eve may not answer; it is for ada, bob")
    story.event("ask", "stepwell.approval.answered", id="e2", **answer)
    assert why(story).status == "completed"


def test_a_state_machine_says_which_events_would_move_it() -> None:
    states = {
        "open": {"transitions": [{"event": "close", "to": "closed"}, {"event": "lock", "to": "closed"}]},
        "closed": {"final": True},
    }
    story = begun(workflow(step("door", type="state_machine", config={"initial": "open", "states": states})))
    assert {reason.wakes for reason in reasons_of(story, "event")} == {
        "stepwell event publish close", "stepwell event publish lock",
    }  # fmt: skip


def test_a_timer_says_until_when() -> None:
    story = begun(workflow(step("nap", type="wait", config={"for": "10s"})))
    expected = Reason(kind="timer", step="nap", text="it waits", since=0, until=10 * SECOND, wakes="the time")
    assert only(story) == expected


def test_a_delayed_start_says_until_when() -> None:
    story = begun(workflow(step("a", delay=5 * SECOND)))
    reason = only(story)
    assert (reason.kind, reason.since, reason.until) == ("delay", 0, 5 * SECOND)


def test_a_lock_names_who_holds_it_and_how_to_look_there() -> None:
    story = begun(workflow(step("a", mutex=Mutex(key="till", timeout=60 * SECOND))))
    line = [
        Lock(name="till", execution="other", step="sell", limit=1, since=0, held=True),
        Lock(name="till", execution="third", step="count", limit=1, since=0, held=False),
        Lock(name="till", execution="x", step="a", limit=1, since=0, held=False),
    ]
    assert only(story, locks={"till": line}) == Reason(
        kind="lock",
        step="a",
        text="it waits for the lock 'till', which step 'sell' of execution other has; 1 more wait before it",
        since=0,
        until=60 * SECOND,
        wakes="the end of what holds it: stepwell execution why other",
    )


def test_a_milestone_names_what_must_be_over_first() -> None:
    story = begun(workflow(step("a"), step("b"), step("c", milestone=Milestone(after=("a", "b")))))
    reason = reasons_of(story, "milestone")[0]
    assert (reason.step, reason.text) == ("c", "it is due, and may start only once 'a' and 'b' have completed")


def reasons_of(story: Story, kind: str, **known: Any) -> list[Reason]:
    return [reason for reason in why(story, **known).reasons if reason.kind == kind]


def test_a_step_without_a_place_names_the_limit_and_who_has_the_places() -> None:
    story = begun(workflow(step("a"), step("b"), step("c"), max_parallel_steps=2))
    (reason,) = reasons_of(story, "place")
    assert reason.step == "c"
    assert reason.text == "it is due, and waits for a place: max_parallel_steps is 2, and 'a' and 'b' run"
    assert reason.wakes == "the end of one of them"


def test_an_open_join_names_the_edges_that_are_undecided() -> None:
    story = begun(workflow(step("a"), step("b"), step("c"), step("d", "a", "b", "c")))
    story.done("a")
    (reason,) = reasons_of(story, "join")
    assert reason.step == "d"
    assert reason.text == "its join (all) is open: of 3 edges 1 taken"
    assert reason.wakes == "the end of 'b' and 'c'"


def test_a_join_of_which_nothing_is_decided_is_not_worth_a_word() -> None:
    story = begun(workflow(step("a"), step("b"), step("d", "a", "b")))
    assert reasons_of(story, "join") == []


def test_dead_edges_are_told_of_a_join_that_can_do_without() -> None:
    story = begun(workflow(step("a"), step("b"), step("c", on("a", "failure"), "b", join="sync")))
    story.done("a")
    (reason,) = reasons_of(story, "join")
    assert (reason.text, reason.wakes) == ("its join (sync) is open: of 2 edges 0 taken and 1 dead", "the end of 'b'")


def test_an_execution_in_line_says_its_place() -> None:
    story = Story(workflow(step("a")), at=3)
    assert only(story, place=4) == Reason(
        kind="line",
        text="it has not begun: it waits for a place under the engine's limit (max_workflows), in place 4 of the line",
        since=3,
        wakes="the end of one of those at work",
    )


def test_an_execution_that_nobody_runs_says_how_to_resume_it() -> None:
    story = begun(workflow(wait("paid")))
    reason = why(story, engine=None, options=" --store x.db").reasons[0]
    assert reason == Reason(
        kind="engine", text="no engine runs it at the moment", wakes="stepwell run --resume x --store x.db"
    )


def test_an_execution_that_has_failed_says_what_it_still_waits_for() -> None:
    story = begun(workflow(step("a"), step("b")))
    story.failed("a", after=SECOND)
    found = reasons(story)
    assert found["failing"].text == "it has failed, and nothing new starts: step 'a' failed: boom: it went boom"
    assert found["failing"].since == SECOND
    assert found["attempt"].step == "b"


def test_a_draining_execution_says_that_the_rest_runs_on() -> None:
    story = begun(workflow(step("a"), step("b"), failure_mode="drain"))
    story.failed("a")
    assert reasons(story)["failing"].text.startswith("it has failed, and what can still be reached runs on: ")


def test_compensation_says_why_it_runs_and_what_of_it() -> None:
    story = begun(workflow(step("a"), undo=(step("undo"),)))
    story.failed("a", after=SECOND)
    found = reasons(story)
    assert found["compensation"].text == "it undoes what was done: step 'a' failed: it went boom"
    assert (found["compensation"].since, found["attempt"].step) == (SECOND, "undo")


def test_a_paused_execution_says_who_paused_it_and_why_and_how_it_goes_on() -> None:
    story = begun(workflow(step("a"), step("b", "a")))
    story.when(Pause(by="ada", reason="the bank is closed"), after=SECOND)
    reason = reasons(story, options=" --store x.db")["paused"]
    assert reason.text == "it is paused by ada: the bank is closed; what runs may end, and nothing new starts"
    assert (reason.since, reason.wakes) == (SECOND, "stepwell execution resume x --store x.db")
    assert reasons(story)["attempt"].step == "a"


def test_a_step_whose_failure_paused_the_execution_is_named() -> None:
    story = begun(workflow(step("a", on_failure=says("pause"))))
    story.failed("a")
    found = reasons(story)
    assert found["paused"].text.endswith("; then 'a' will be tried again")
    assert found["retry"].text == "another attempt is due, after: boom: it went boom"
    assert (found["retry"].until, found["retry"].wakes) == (None, "the end of the pause")


def test_a_retry_waits_for_the_end_of_a_pause_and_not_for_the_time_alone() -> None:
    story = begun(workflow(step("a", retry=retries(2))))
    story.failed("a", FLAKY)
    story.when(Pause(by="ada"))
    found = reasons(story)["retry"]
    assert (found.text[:18], found.until, found.wakes) == ("attempt 2 of 2 is ", SECOND, "the end of the pause")


def test_work_that_an_operator_had_done_again_is_another_attempt() -> None:
    story = begun(workflow(step("a"), step("b", "a")))
    story.done("a")
    story.when(Rerun(by="ada", step="a"))
    assert reasons(story)["attempt"].text.startswith("another attempt is at work")


def test_an_execution_that_is_being_cancelled_says_so() -> None:
    story = begun(workflow(step("a"), step("b", "a")))
    story.when(Cancel(by="ada", reason="wrong customer"), after=SECOND)
    found = reasons(story)
    assert found["cancelling"].text == "it is being cancelled by ada: wrong customer; nothing new starts"
    assert (found["cancelling"].since, found["attempt"].step) == (SECOND, "a")


def test_compensation_that_waits_for_an_operator_says_how_it_is_started() -> None:
    compensation = Compensation(steps=(step("undo"),), mode="manual", declared=True)
    story = begun(workflow(step("a"), compensation=compensation))
    story.failed("a", after=SECOND)
    assert only(story) == Reason(
        kind="compensation_awaited",
        text="it waits for an operator to start the compensation: step 'a' failed: it went boom",
        since=SECOND,
        wakes="stepwell execution compensate x",
    )


def test_an_execution_that_waits_for_its_key_names_those_that_have_it() -> None:
    definition = workflow(step("a"), concurrency=Concurrency(key="{{ input.who }}", limit=1))
    story = Story(definition, {"who": "ada"}, at=SECOND)
    story.begin()
    held = [Lock(name="test:ada", execution="first", step="", limit=1, since=0, held=True)]
    reason = only(story, locks={"test:ada": held})
    where = "it waits for the place 'test:ada' of its workflow's concurrency, which execution first has"
    assert (reason.kind, reason.text) == ("concurrency", f"it has not begun: {where}")
    assert (reason.since, reason.wakes) == (SECOND, "the end of what holds it: stepwell execution why first")


def test_the_bounds_of_the_execution_are_told() -> None:
    story = begun(workflow(step("a"), timeout=60 * SECOND, deadline=HOUR))
    found = reasons(story)
    assert (found["timeout"].text, found["timeout"].until) == (
        "its timeout of 1m of active time ends it", 60 * SECOND,
    )  # fmt: skip
    assert (found["deadline"].text, found["deadline"].until) == ("its deadline ends it", HOUR)


def test_steps_inside_a_construct_are_told_by_their_instance() -> None:
    inner = (step("one"), step("two", "one"))
    loop = step("loop", type="loop", config={"items": ["x", "y"], "concurrency": 2}, blocks=(("steps", inner),))
    story = begun(workflow(loop))
    story.done("one[0]")
    assert {reason.step for reason in reasons_of(story, "attempt")} == {"two[0]", "one[1]"}


# What has ended


def told(story: Story) -> list[tuple[str | None, str]]:
    return [(reason.step, reason.text) for reason in why(story).reasons]


def test_an_execution_that_completed_says_so() -> None:
    story = begun(workflow(step("a")))
    story.done("a", after=SECOND)
    assert told(story) == [(None, "it came to its end: every step ended well or was skipped")]
    assert why(story).ended_at == SECOND


@pytest.mark.parametrize(
    ("steps", "handled"),
    [
        ([step("a", on_failure=says("continue"))], "its action let the execution go on"),
        ([step("a"), step("b", on("a", "failure"), type="noop")], "another step dealt with it: 'b'"),
    ],
    ids=["continue", "edge"],
)
def test_a_failure_that_was_handled_says_how(steps: Sequence[Step], handled: str) -> None:
    story = begun(workflow(*steps))
    story.failed("a")
    assert told(story) == [
        (None, "it came to its end, although steps failed"), ("a", f"it failed: boom: it went boom; {handled}"),
    ]  # fmt: skip


def test_an_execution_that_failed_names_the_step_first_that_ended_it() -> None:
    story = begun(workflow(step("z", on_failure=says("continue")), step("a", retry=retries(2)), step("b")))
    story.failed("z")
    story.failed("a", FLAKY)
    story.time(SECOND)
    story.failed("a", FLAKY)
    story.failed("b")
    assert told(story) == [
        (None, "it failed: connection_error: step 'a' failed: nobody answers"),
        ("a", "it failed after 2 attempts: connection_error: nobody answers; nothing handled it"),
        ("z", "it failed: boom: it went boom; its action let the execution go on"),
        ("b", "it failed: boom: it went boom; nothing handled it"),
    ]


def test_a_failed_execution_says_how_its_steps_are_tried_again() -> None:
    story = begun(workflow(step("a")))
    story.failed("a")
    assert why(story, options=" --store x.db").reasons[0].wakes == "stepwell execution retry x --store x.db"


def test_a_failed_execution_whose_effects_were_undone_cannot_be_tried_again_and_nothing_else_is_said() -> None:
    story = begun(workflow(step("a"), step("b", "a"), undo=(step("undo_a", config={"of": "{{ steps.a.output }}"}),)))
    story.done("a", 1)
    story.failed("b")
    story.done("undo_a")
    assert story.state.compensation == "done"
    assert why(story).reasons[0].wakes is None


def test_what_was_cut_off_by_the_end_is_named() -> None:
    story = begun(workflow(step("a"), wait("w")))
    story.failed("a", TIMEOUT)
    assert told(story)[-1] == ("w", "it was stopped: the execution has failed")


def test_compensation_is_told_step_by_step() -> None:
    undo = (
        step("undo_a", config={"task": "undo", "id": "{{ steps.a.output }}"}),
        step("undo_b", config={"task": "undo", "id": "{{ steps.b.output }}"}),
        step("undo_c"),
    )
    story = begun(workflow(step("a"), step("b", "a"), undo=undo))
    story.done("a", 1)
    story.failed("b")
    story.done("undo_a")
    story.failed("undo_c", BOOM)
    assert told(story)[-4:] == [
        (None, "compensation: not everything could be undone; it began because step 'b' failed: it went boom"),
        ("undo_a", "it has completed"),
        ("undo_b", "it was skipped: steps.b.output is not there: step 'b' failed"),
        ("undo_c", "it failed: boom: it went boom"),
    ]


def test_what_steps_say_themselves_about_undoing_is_told_by_the_step_that_is_undone() -> None:
    undo = StepBody(type="python", config={"task": "undo"})
    story = begun(workflow(step("a", compensate=undo), step("b", "a", compensate=undo), step("c", "b")))
    story.done_all("a", "b")
    story.failed("c")
    assert {(reason.kind, reason.step) for reason in why(story).reasons} == {
        ("compensation", None), ("attempt", "b[undo]"),
    }  # fmt: skip
    story.done("b[undo]")
    story.failed("a[undo]")
    assert told(story)[-3:] == [
        (None, "compensation: not everything could be undone; it began because step 'c' failed: it went boom"),
        ("b", "undoing it: it has completed"),
        ("a", "undoing it: it failed: boom: it went boom"),
    ]


def test_who_cancelled_it_is_told() -> None:
    story = begun(workflow(step("a")))
    story.when(Cancel(by="ada", reason="wrong customer"))
    story.done("a")
    assert told(story)[0] == (None, "it was cancelled by ada: wrong customer")


def test_an_execution_that_ran_out_of_time_says_so() -> None:
    story = begun(workflow(step("a"), timeout=60 * SECOND))
    story.time(60 * SECOND)
    assert told(story) == [
        (None, "it failed: the workflow timed out after 1m"), ("a", "it was stopped: the workflow ran out of time"),
    ]  # fmt: skip


def test_many_failures_are_counted() -> None:
    steps = [step(f"s{number}", on_failure=says("continue")) for number in range(25)]
    story = begun(workflow(*steps))
    for one in steps:
        story.failed(one.name)
    assert told(story)[-1] == (None, "5 more steps failed")


def test_the_document_has_times_as_text() -> None:
    story = begun(workflow(wait("paid", timeout="1h")))
    document = explanation_document(why(story))
    assert document["status"] == "waiting"
    assert document["engine"] == "process 1 on here"
    assert document["reasons"] == [
        {
            "kind": "event",
            "step": "paid",
            "text": "it waits for an event 'go'",
            "since": "1970-01-01T00:00:00Z",
            "until": "1970-01-01T01:00:00Z",
            "wakes": "stepwell event publish go",
            "why": None,
        }
    ]
