"""Telling people: what is recorded before anything is sent, and that nothing depends on how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed
from stepwell.decider.decide import decide_fork
from stepwell.decider.outstanding import outstanding
from stepwell.execution.commands import Command, Deliver
from stepwell.execution.history import (
    ExecutionFailed,
    ExecutionForked,
    NotificationRequested,
    NotificationSettled,
    StepFailed,
)
from stepwell.execution.inputs import QueueTimedOut
from stepwell.execution.verbs import Compensate, Resume
from stepwell.execution.work import Assignment, Report
from tests.decider.played import Played
from tests.decider.story import FLAKY

WORSE = ErrorInfo("worse", "it broke for good")
BY: dict[str, Any] = {"by": "ada", "reason": "why not"}


class Told(Played):
    """An execution whose deliveries are kept until the test reports on them."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.out: dict[str, Assignment] = {}
        super().__init__(*args, **more)

    def note(self, command: Command) -> None:
        if isinstance(command, Deliver):
            self.out[command.assignment.step] = command.assignment
        super().note(command)

    def deliver(self, key: str, reason: str = "", error: ErrorInfo | None = None) -> None:
        del self.out[key]
        result = {"deliveries": [{"delivered": not reason, "reason": reason or None}]}
        said: dict[str, Any] = {"error": error} if error is not None else {"result": result}
        self.take(Report(execution="x", step=key, attempt=1, started_at=self.at, **said))

    def pending(self) -> list[str]:
        """What is outstanding, in this execution and in one that is folded from its history."""
        keys = [one.assignment.step for one in outstanding(self.run) if isinstance(one, Deliver)]
        assert keys == [one.assignment.step for one in outstanding(self._replayed()) if isinstance(one, Deliver)]
        return keys

    @property
    def asked(self) -> list[NotificationRequested]:
        return self.happened(NotificationRequested)


ON_ERROR = "config: {on_error: {notify: {channels: [slack, email], recipients: [ops, boss]}}}\n"
WORK = ON_ERROR + "steps: [{name: a, type: work}]"


def test_one_delivery_for_every_channel_and_recipient_is_recorded_before_it_is_sent() -> None:
    story = Told(WORK).failed("a", WORSE)
    (asked,) = story.asked
    assert asked.deliveries == (("slack", "ops"), ("slack", "boss"), ("email", "ops"), ("email", "boss"))
    assert (asked.about, asked.title) == ("error", "played failed")
    assert asked.message == "step 'a' failed: it broke for good (execution x)"
    assert list(story.out) == ["@1.1", "@1.2", "@1.3", "@1.4"]
    first = story.out["@1.1"]
    assert (first.type, first.attempt, first.idempotency_key) == ("notify", 1, "x/@1.1")
    assert first.config == {
        "channels": ["slack"], "recipients": ["ops"], "title": "played failed", "message": asked.message,
        "priority": None,
    }  # fmt: skip
    kinds = [type(event) for event in story.history]
    assert kinds.index(NotificationRequested) < kinds.index(ExecutionFailed)


def test_the_execution_ends_without_waiting_and_deliveries_are_recorded_after_its_end() -> None:
    story = Told(WORK).failed("a", WORSE)
    assert story.status == "failed"
    assert story.pending() == ["@1.1", "@1.2", "@1.3", "@1.4"]
    story.deliver("@1.2")
    story.deliver("@1.1", "the service is gone")
    assert story.pending() == ["@1.3", "@1.4"]
    assert story.happened(NotificationSettled) == [
        NotificationSettled(0, 1, 2, True),
        NotificationSettled(0, 1, 1, False, "the service is gone"),
    ]
    assert [one.outcome for one in story.state.notifications[0].deliveries] == [
        "undelivered", "delivered", "pending", "pending",
    ]  # fmt: skip


def test_a_delivery_that_is_recorded_is_not_recorded_again() -> None:
    story = Told(WORK).failed("a", WORSE)
    story.deliver("@1.1")
    for key in ("@1.1", "@7.1"):
        decision = story.take(Report(execution="x", step=key, attempt=1, started_at=0, error=WORSE))
        assert decision.events == []


def test_what_the_worker_could_not_do_at_all_is_undelivered_with_its_reason() -> None:
    story = Told(WORK).failed("a", WORSE)
    story.deliver("@1.1", error=ErrorInfo("queue_timeout", "the worker was busy"))
    assert story.happened(NotificationSettled) == [NotificationSettled(0, 1, 1, False, "the worker was busy")]


@pytest.mark.parametrize("result", [None, [], Sealed({"deliveries": []}), {"deliveries": [{"delivered": False}]}])
def test_a_worker_that_says_nothing_of_use_has_not_delivered(result: Any) -> None:
    story = Told(WORK).failed("a", WORSE)
    story.take(Report(execution="x", step="@1.1", attempt=1, started_at=0, result=result))
    assert story.happened(NotificationSettled) == [NotificationSettled(0, 1, 1, False, "its channel does not say why")]


def test_a_reason_with_a_secret_in_it_is_recorded_without() -> None:
    story = Told(WORK).failed("a", WORSE)
    result = {"deliveries": [{"delivered": False, "reason": Sealed("the token hunter2 is refused")}]}
    story.take(Report(execution="x", step="@1.1", attempt=1, started_at=0, result=result))
    assert story.happened(NotificationSettled)[0].reason == "***"


def test_the_text_is_kept_no_longer_than_somebody_is_to_be_told() -> None:
    story = Told("config: {on_error: {notify: {channels: [slack]}}}\nsteps: [{name: a, type: work}]").failed("a")
    assert story.state.notifications[0].message
    story.deliver("@1.1")
    assert (story.state.notifications[0].message, story.state.untold) == ("", 0)


# Of a step


def test_the_failure_of_a_step_is_told_when_it_has_failed_for_good() -> None:
    story = Told("""
        steps:
        - name: a
          type: work
          retry: {max_attempts: 2, initial_delay: 1s}
          on_failure: {action: continue, notify: {channels: [slack], message: "{{ error.type }}, try {{ attempt }}"}}
    """)
    story.failed("a", FLAKY)
    assert story.asked == []
    story.time("1s").failed("a", FLAKY)
    (asked,) = story.asked
    assert (asked.about, asked.step, asked.title) == ("failure", "a", "played: step 'a' failed")
    assert asked.message == "connection_error, try 2"
    assert story.status == "completed"


def test_true_tells_whom_the_workflow_names() -> None:
    story = Told(
        ON_ERROR + "steps: [{name: a, type: work, on_failure: {action: skip, message: 'a: {{ error.message }}', "
        "notify: true}}]"
    ).failed("a", WORSE)
    (asked,) = story.asked
    assert (asked.about, len(asked.deliveries)) == ("failure", 4)
    assert asked.message == "a: it broke for good (execution x)"


def test_what_a_mapping_leaves_out_is_what_the_workflow_says() -> None:
    story = Told(
        ON_ERROR + "steps: [{name: a, type: work, on_failure: {action: skip, notify: {channels: [sms], title: T, "
        "priority: urgent}}}]"
    ).failed("a", WORSE)
    (asked,) = story.asked
    assert asked.deliveries == (("sms", "ops"), ("sms", "boss"))
    assert (asked.title, asked.priority, story.out["@1.1"].config["priority"]) == ("T", "urgent", "urgent")


def test_false_tells_nobody() -> None:
    story = Told(ON_ERROR + "steps: [{name: a, type: work, on_failure: {action: skip, notify: false}}]").failed("a")
    assert story.asked == []


def test_a_timeout_is_told_to_those_whom_its_own_action_names() -> None:
    spec = """
        steps:
        - name: a
          type: wait_for_event
          config: {event_type: e, timeout: 1s}
          on_failure: {action: continue, notify: {channels: [failure]}}
          {more}
    """
    own = "on_timeout: {action: continue, notify: {channels: [timeout]}}"
    for more, channels in (("", ["failure"]), (own, ["timeout"]), ("on_timeout: {action: continue}", [])):
        story = Told(spec.replace("{more}", more)).time("2s")
        assert [channel for asked in story.asked for channel, _ in asked.deliveries] == channels


def test_a_fallback_and_a_pause_are_told_too() -> None:
    for action in ("fallback, fallback: {n: 1}", "pause"):
        story = Told(
            f"steps: [{{name: a, type: work, on_failure: {{action: {action}, notify: {{channels: [c]}}}}}}]"
        ).failed("a", WORSE)
        assert [asked.about for asked in story.asked] == ["failure"]
    assert story.status == "paused"
    story.take(Resume(**BY))
    story.failed("a", WORSE)
    assert len(story.asked) == 2


def test_the_items_of_a_step_that_tries_again_tell_it_once() -> None:
    story = Told("""
        steps:
        - name: a
          type: work
          for_each: {items: [1, 2]}
          on_failure: {action: retry, max_attempts: 1, notify: {channels: [c]}}
    """).go({"a": WORSE})
    assert [asked.step for asked in story.asked] == ["a"]


def test_a_step_that_tells_may_be_tried_again_until_everybody_was_told() -> None:
    story = Told("""
        steps:
        - name: n
          type: notify
          config: {message: m}
          retry: {max_attempts: 3, initial_delay: 1s, when: result().undelivered > 0}
    """)
    story.done("n", result={"undelivered": 1}).time("1s").done("n", result={"undelivered": 0})
    assert (story.status, story.step("n").attempts) == ("completed", 2)


# Of the execution


def test_a_failure_that_something_deals_with_is_no_error_of_the_execution() -> None:
    story = Told(ON_ERROR + "steps: [{name: a, type: work, on_failure: b}, {name: b, type: work}]").go({"a": WORSE})
    assert (story.status, story.asked) == ("completed", [])


def test_an_error_is_told_once_whatever_follows_it() -> None:
    story = Told("""
        config: {on_error: {strategy: compensate, steps: [{name: h, type: work}], notify: {channels: [slack]}}}
        compensation: {steps: [{name: u, type: work}]}
        steps: [{name: a, type: work}]
    """).go({"a": WORSE})
    assert [asked.about for asked in story.asked] == ["error"]
    assert story.status == "failed"


def test_a_wait_for_a_place_in_vain_is_an_error() -> None:
    story = Told(WORK, begins=False)
    story.take(QueueTimedOut(1_000_000))
    (asked,) = story.asked
    assert asked.message.startswith("no place under the limit of workflows was free within 1s")


def test_what_is_told_may_read_the_error_and_the_workflow() -> None:
    story = Told(
        """
        config: {on_error: {notify: {channels: [c], recipients: ["{{ input.who }}"],
                                     message: "{{ execution.id }}: {{ error.message }} {{ steps.a.status }}"}}}
        steps: [{name: a, type: work}]
        """,
        {"who": ["ann", ["bob", None, "ann"]]},
    ).failed("a", WORSE)
    (asked,) = story.asked
    assert asked.deliveries == (("c", "ann"), ("c", "bob"))
    assert asked.message == "x: step 'a' failed: it broke for good failed"


def test_secrets_are_masked_in_what_is_told() -> None:
    story = Told(
        """
        input: {schema: {type: object, properties: {pin: {type: string, secret: true}}}}
        config: {on_error: {notify: {channels: [c], message: "{{ input.pin }} and {{ secrets.TOKEN }}"}}}
        steps: [{name: a, type: work}]
        """,
        {"pin": "hunter2"},
    ).failed("a", WORSE)
    assert "hunter2" not in repr(story.asked)
    assert "***" in story.asked[0].message


def test_a_long_message_is_cut() -> None:
    story = Told(WORK).failed("a", ErrorInfo("worse", "x" * 10_000))
    assert len(story.asked[0].message) == 4_000


def test_a_notification_that_cannot_be_built_changes_nothing_and_says_so() -> None:
    story = Told("""
        config: {on_error: {notify: {channels: [c], recipients: ["{{ steps.b.output.who }}"],
                                     title: "{{ steps.b.output.title }}"}}}
        steps: [{name: a, type: work}, {name: b, type: work, depends_on: a}]
    """).failed("a", WORSE)
    (asked,) = story.asked
    assert (story.status, asked.deliveries, asked.title) == ("failed", (("c", ""),), "played failed")
    assert "could not be built as it is written: steps.b.output" in asked.message


def test_without_any_channel_it_is_recorded_as_undelivered_at_once() -> None:
    story = Told("steps: [{name: a, type: work, on_failure: {action: skip, notify: true}}]").failed("a", WORSE)
    (settled,) = story.happened(NotificationSettled)
    assert (settled.delivered, story.out, story.state.untold) == (False, {}, 0)
    assert settled.reason == "no channel is named here, and none is in the configuration"


# Of compensation


COMPENSATED = """
    config: {on_error: {strategy: compensate}}
    compensation: {mode: %s, notification: {channels: [c]}, steps: [{name: u, type: work}]}
    steps: [{name: a, type: work}]
"""


def test_the_beginning_and_the_end_of_compensation_are_told() -> None:
    story = Told(COMPENSATED % "automatic").failed("a", WORSE)
    assert [asked.about for asked in story.asked] == ["compensation-started"]
    assert story.asked[0].message == "step 'a' failed: it broke for good (execution x)"
    story.failed("u", WORSE)
    assert [asked.about for asked in story.asked] == ["compensation-started", "compensation-ended"]
    assert story.asked[1].title == "compensation of played has ended"
    assert story.asked[1].message == "not everything could be undone (execution x)"


def test_people_are_told_that_compensation_waits_for_them() -> None:
    story = Told(COMPENSATED % "manual").failed("a", WORSE)
    assert [asked.about for asked in story.asked] == ["compensation-awaited"]
    story.take(Compensate(**BY))
    story.done("u")
    assert [asked.about for asked in story.asked][1:] == ["compensation-started", "compensation-ended"]


def test_what_is_told_of_compensation_may_read_the_error() -> None:
    spec = (COMPENSATED % "automatic").replace("[c]}", '[c], message: "{{ error.type }}"}')
    assert [asked.message for asked in Told(spec).go({"a": WORSE}).asked] == ["worse", "worse"]


# When executions go on elsewhere


def test_a_fork_leaves_what_is_pending_to_the_execution_it_came_from() -> None:
    story = Told(
        """
        steps:
        - {name: a, type: work, on_failure: {action: continue, notify: {channels: [c, d]}}}
        - {name: b, type: work}
        """
    ).failed("a", WORSE)
    story.deliver("@1.1")
    decide_fork(story.run, ExecutionForked(story.at, "ada", "what if", "y", "x", b"seed"))
    assert [one.outcome for one in story.state.notifications[0].deliveries] == ["delivered", "elsewhere"]
    assert [one for one in outstanding(story.run) if isinstance(one, Deliver)] == []


def test_a_failed_step_stays_what_it_is_whatever_becomes_of_its_notification() -> None:
    story = Told(
        "steps: [{name: a, type: work, on_failure: {action: continue, notify: {channels: [c]}}}, {name: b, type: work}]"
    ).failed("a", WORSE)
    before = [event for event in story.history if isinstance(event, StepFailed)]
    story.deliver("@1.1", "nobody is there")
    story.done("b")
    assert [event for event in story.history if isinstance(event, StepFailed)] == before
    assert story.status == "completed"
