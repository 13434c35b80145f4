"""`wait` and `wait_for_event`: timers, events, and the races between the two."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed, SecretRef
from stepwell.definition.model import Step
from stepwell.execution.commands import AwaitEvent, ForgetWait
from stepwell.execution.event import Event
from stepwell.execution.history import EventLate, EventReceived, StepCompleted, TimerStarted, VariablesSet, WaitStarted
from stepwell.execution.inputs import EventArrived
from tests.decider.story import SECOND, begun, dispatched, kinds, on, retries, says, step, workflow

HOUR = 3_600 * SECOND


def waits(name: str, *after: Any, filter: Any = None, timeout: Any = None, **settings: Any) -> Step:  # noqa: A002
    """A step that waits for the event `go`."""
    config = {"event_type": "go", "filter": filter, "timeout": timeout}
    given = {key: value for key, value in config.items() if value is not None}
    return step(name, *after, type="wait_for_event", config=given, **settings)


# Timers


@pytest.mark.parametrize(
    ("config", "due"),
    [
        ({"for": "90s"}, 90 * SECOND),
        ({"for": 2}, 2 * SECOND),
        ({"for": "{{ input.minutes }}m"}, 180 * SECOND),
        ({"for": 0}, 0),
        ({"until": "1970-01-01T00:00:05Z"}, 5 * SECOND),
        ({"until": "1970-01-01T01:00:05+01:00"}, 5 * SECOND),
        ({"until": "1969-12-31T23:59:59Z"}, -SECOND),
    ],
)
def test_a_wait_ends_at_its_exact_instant(config: dict[str, Any], due: int) -> None:
    story = begun(workflow(step("pause", type="wait", config=config), step("b", "pause")), {"minutes": 3})
    assert story.history[-1] == TimerStarted(0, "pause", due)
    assert story.run.next_due() == due
    assert kinds(story.time(max(due, 1) - 1)) == ([] if due > 0 else ["StepCompleted", "StepScheduled"])
    story.time(1)
    assert story.status("b") == "running"


@pytest.mark.parametrize(
    "config",
    [
        {"for": "soon"},
        {"for": -1},
        {},
        {"until": "tomorrow"},
        {"until": 5},
        {"for": "{{ input.password }}"},
        {"until": "{{ input.password }}"},
    ],
)
def test_a_wait_with_a_wrong_time_fails_and_tells_no_secret(config: dict[str, Any]) -> None:
    story = begun(workflow(step("pause", type="wait", config=config)), {"password": "1h-hunter2"})
    error = story.step("pause").error
    assert error is not None
    assert error.type == "invalid_config"
    assert "hunter2" not in repr(story.history[1:])


def test_a_waiting_step_holds_no_place_under_the_limit_of_parallel_steps() -> None:
    pause = step("pause", type="wait", config={"for": "1h"})
    story = begun(workflow(pause, step("a"), step("b"), max_parallel_steps=1))
    assert story.statuses() == {"pause": "waiting", "a": "running", "b": "pending"}


def test_timers_end_in_the_order_of_their_times_when_many_are_due() -> None:
    pauses = [step(name, type="wait", config={"for": seconds}) for name, seconds in (("c", 3), ("a", 1), ("b", 2))]
    story = begun(workflow(*pauses))
    decision = story.time(10 * SECOND)
    assert [event.step for event in decision.events if isinstance(event, StepCompleted)] == ["a", "b", "c"]


# Events


def test_a_wait_is_told_to_the_store_and_forgotten_when_an_event_woke_it() -> None:
    story = begun(workflow(waits("wait", filter={"user": "{{ input.user }}"}, timeout="1h")), {"user": 7})
    assert story.history[-1] == WaitStarted(0, "wait", "go", {"user": 7}, HOUR)
    assert story.commands == [AwaitEvent("wait", "go", {"user": 7})]
    decision = story.event("wait", user=7)
    assert kinds(decision) == ["EventReceived", "StepCompleted", "ExecutionCompleted"]
    assert decision.commands[0] == ForgetWait("wait", "go", {"user": 7})


def test_the_result_of_a_wait_is_the_data_of_the_event() -> None:
    plain, mapped = waits("plain"), waits("mapped", output={"id": "{{ event.id }}", "n": "{{ response.event_data.n }}"})
    story = begun(workflow(plain, mapped))
    story.event("plain", n=1)
    story.event("mapped", id="e7", n=2)
    assert story.step("plain").output == {"event_data": {"n": 1}}
    assert story.step("mapped").output == {"id": "e7", "n": 2}


def test_a_wait_publishes_what_came() -> None:
    story = begun(workflow(waits("wait", publish=(("n", "{{ result.event_data.n }}"),))))
    assert VariablesSet(0, "wait", {"n": 3}) in story.event("wait", n=3).events


@pytest.mark.parametrize(
    "came", [{"data": {"user": 8}}, {"data": {}}, {"data": None}, {"data": {"user": 7}, "type": "other"}]
)
def test_another_event_wakes_nothing(came: dict[str, Any]) -> None:
    story = begun(workflow(waits("wait", filter={"user": 7})))
    event = Event(id="e", source="s", **{"type": "go", **came})
    assert story.when(EventArrived("wait", event)).events == []
    assert story.status("wait") == "waiting"


def test_an_event_for_a_step_that_does_not_wait_changes_nothing() -> None:
    story = begun(workflow(step("a"), waits("wait", "a")))
    assert story.event("wait").events == []
    assert story.event("a").events == []
    assert story.event("nobody").events == []


def test_an_event_that_came_before_the_wait_began_wakes_it() -> None:
    story = begun(workflow(step("a"), waits("wait", "a")))
    story.done("a")
    assert "EventReceived" in kinds(story.event("wait", early=True))


def test_an_event_that_came_early_and_was_taken_already_wakes_no_second_wait() -> None:
    story = begun(workflow(waits("first"), waits("second", "first")))
    story.event("first", id="e1")
    assert story.event("second", id="e1", early=True).events == []
    assert "EventReceived" in kinds(story.event("second", id="e2", early=True))


def test_one_event_wakes_every_matching_wait_once() -> None:
    story = begun(workflow(waits("one"), waits("two"), waits("other", filter={"user": 8})))
    for name in ("one", "two", "other"):
        story.event(name, user=7)
    assert story.statuses() == {"one": "completed", "two": "completed", "other": "waiting"}
    received = [event.step for event in story.history if isinstance(event, EventReceived)]
    assert received == ["one", "two"]


def test_the_same_event_handed_over_twice_counts_once_also_after_a_crash() -> None:
    story = begun(workflow(waits("wait"), step("b", "wait")))
    story.event("wait")
    story.crash()
    assert story.event("wait").events == []


def test_the_same_id_from_another_source_is_another_event() -> None:
    story = begun(workflow(waits("first"), waits("second", "first")))
    story.when(EventArrived("first", Event(id="1", type="go", source="ab")))
    other = EventArrived("second", Event(id="b1", type="go", source="a"), early=True)
    assert "EventReceived" in kinds(story.when(other))


# Running out of time, and races


def test_a_wait_that_runs_out_of_time_fails_with_a_timeout() -> None:
    story = begun(workflow(waits("wait", timeout="90s"), step("late", on("wait", "timeout"))))
    decision = story.time(90 * SECOND)
    assert dispatched(decision) == ["late"]
    assert decision.commands[0] == ForgetWait("wait", "go", None)
    assert story.step("wait").error is not None
    assert story.step("wait").error.message == "no event 'go' came within 1m30s"  # type: ignore[union-attr]


def test_a_wait_has_an_hour_unless_it_says_otherwise() -> None:
    story = begun(workflow(waits("wait"), waits("none", timeout=0)))
    assert story.step("wait").due == HOUR
    assert story.step("none").due == 0


def test_a_timeout_that_is_recorded_first_wins_and_the_event_is_recorded_as_late() -> None:
    story = begun(workflow(waits("wait", timeout="1s", on_timeout=says("continue")), step("b", "wait")))
    story.time(SECOND)
    assert story.event("wait", id="e1").events == [EventLate(SECOND, "wait", "test", "e1")]
    assert story.event("wait", id="e1").events == []
    assert story.status("wait") == "failed"


def test_an_event_that_is_recorded_first_wins_though_the_time_is_up() -> None:
    story = begun(workflow(waits("wait", timeout="1s")))
    story.at = 5 * SECOND
    assert kinds(story.event("wait")) == ["EventReceived", "StepCompleted", "ExecutionCompleted"]
    assert story.time(0).events == []


def test_an_event_that_does_not_match_is_not_recorded_as_late() -> None:
    story = begun(
        workflow(waits("wait", timeout="1s", filter={"n": 1}, on_timeout=says("continue")), step("b", "wait"))
    )
    story.time(SECOND)
    assert story.event("wait", n=2).events == []


def test_the_workflows_retry_policy_does_not_repeat_a_wait() -> None:
    story = begun(workflow(waits("wait", timeout="1s"), retry=retries(3)))
    assert kinds(story.time(SECOND)) == ["StepFailed", "ExecutionFailed"]


# Filters


def test_a_filter_may_be_an_expression_over_the_event() -> None:
    story = begun(workflow(waits("wait", filter="{{ event.data.amount > input.limit }}")), {"limit": 10})
    assert story.commands == [AwaitEvent("wait", "go", None)]
    assert story.event("wait", id="e1", amount=10).events == []
    assert "EventReceived" in kinds(story.event("wait", id="e2", amount=11))


def test_an_event_without_the_field_that_an_expression_reads_does_not_match() -> None:
    story = begun(workflow(waits("wait", filter="{{ event.data.amount > 10 }}")))
    assert story.event("wait", other=1).events == []
    assert story.status("wait") == "waiting"


def test_a_filter_that_reads_a_step_which_never_completed_fails_the_wait() -> None:
    story = begun(
        workflow(step("a", on_failure=says("continue")), waits("wait", "a", filter="{{ event.id == steps.a.output }}"))
    )
    story.failed("a")
    decision = story.event("wait")
    assert kinds(decision) == ["StepFailed", "ExecutionFailed"]
    assert decision.commands[0] == ForgetWait("wait", "go", None)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"event_type": "go", "filter": [1]}, "a filter is a map"),
        ({"event_type": "go", "filter": {"a": {"~like": 1}}}, "unknown operator '~like'"),
        ({"event_type": "go", "filter": {"a": {"~regex": "("}}}, "~regex takes a regular expression"),
        ({"event_type": "go", "filter": {"a": {"~in": 1}}}, "~in takes a list"),
        ({"event_type": "", "filter": {}}, "event_type must be text"),
        ({"event_type": "{{ input.password }}"}, "event_type must be text, not ***"),
        ({"event_type": "{{ input.number }}"}, "event_type must be text, not 5"),
        ({"event_type": "go", "timeout": "{{ input.password }}"}, "timeout: *** is not a duration"),
    ],
)
def test_a_wait_with_wrong_settings_fails_and_tells_no_secret(config: dict[str, Any], problem: str) -> None:
    story = begun(workflow(step("wait", type="wait_for_event", config=config)), {"password": "hunter2", "number": 5})
    error = story.step("wait").error
    assert error is not None
    assert error.type == "invalid_config"
    assert problem in error.message
    assert "hunter2" not in repr(story.history[1:])


def test_a_filter_may_hold_a_secret_input_and_matches_its_content() -> None:
    story = begun(workflow(waits("wait", filter={"code": "{{ input.password }}"})), {"password": "hunter2"})
    assert story.commands == [AwaitEvent("wait", "go", {"code": Sealed("hunter2")})]
    assert story.event("wait", code="wrong").events == []
    assert "EventReceived" in kinds(story.event("wait", code="hunter2"))


def test_a_secret_that_is_fetched_later_matches_nothing() -> None:
    story = begun(workflow(waits("wait", filter={"code": "{{ secrets.CODE }}"})))
    assert story.step("wait").filter == {"code": SecretRef("CODE")}
    assert story.event("wait", code="secrets.CODE").events == []
