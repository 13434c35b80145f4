"""What a task asks people by its result: `{"__inquiry": {...}}`."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed
from stepwell.decider.decide import decide
from stepwell.execution.event import ANSWER, Event
from stepwell.execution.history import AnswerRefused, EventLate, StepCompleted
from stepwell.execution.inputs import EventArrived
from stepwell.execution.verbs import Cancel, Migrate, Pause, Rerun, Resume, SkipStep
from tests.decider.played import Played, attempts, planned
from tests.decider.story import BOOM, SECOND

TOO_LONG = ErrorInfo("timeout", "it took too long", retryable=True)
BY: dict[str, Any] = {"by": "ada", "reason": "why not"}
YES = {"type": "object", "required": ["yes"], "properties": {"yes": {"type": "boolean"}}}


def asks(**said: Any) -> dict[str, Any]:
    """A result that asks."""
    return {"__inquiry": {"prompt": "Pay?", **said}}


def asked(more: str = "", **said: Any) -> Played:
    """An execution whose task has asked, after a second of work."""
    story = Played(f"""
        vars: {{seen: null}}
        steps:
        - name: ok
          type: work
          config: {{amount: "{{{{ input.n }}}}", at: "{{{{ now() }}}}"}}
          publish: {{seen: "{{{{ response.response }}}}"}}
          {more or "description: nothing more"}
        - {{name: pay, type: work, depends_on: ok, when: "{{{{ steps.ok.output.response != 'no' }}}}"}}
        output: {{values: {{out: "{{{{ steps.ok.output | default(none) }}}}", seen: "{{{{ vars.seen }}}}"}}}}
    """, {"n": 5}).time(1)  # fmt: skip
    return story.done("ok", result=asks(**said))


def late(story: Played) -> EventArrived:
    """An answer that comes when nobody waits for it."""
    data = {"execution": story.state.id, "step": "ok", "by": "ada", "response": 1}
    return EventArrived("ok", Event(id="late", type=ANSWER, source="test", data=data))


# What comes of it


def test_the_step_waits_and_holds_no_worker() -> None:
    story = asked()
    assert story.of("ok") == "waiting"
    assert (story.running, story.state.in_flight, story.state.waiting) == ([], 0, 1)
    assert story.happened(StepCompleted) == []
    assert story.step("ok").question == {"prompt": "Pay?"}


def test_the_answer_is_the_result_which_output_publish_and_edges_see() -> None:
    story = asked().answer("ok", "well", by="bob")
    assert story.running == ["pay"]
    assert story.step("ok").output == {"response": "well", "by": "bob"}
    assert story.go().output == {"out": {"response": "well", "by": "bob"}, "seen": "well"}


def test_the_output_of_the_step_is_made_of_the_answer() -> None:
    story = asked("output: {said: '{{ response.response }}', who: '{{ response.by }}'}").answer("ok", 1, by="bob")
    assert story.step("ok").output == {"said": 1, "who": "bob"}


@pytest.mark.parametrize(
    ("by", "response", "says"),
    [
        ("eve", {"yes": True}, "eve may not answer; it is for ada, bob"),
        ("", {"yes": True}, "nobody may not answer"),
        ("ada", {"yes": "maybe"}, "yes: "),
    ],
)
def test_an_answer_by_the_wrong_person_or_of_the_wrong_shape_is_refused(by: str, response: Any, says: str) -> None:
    story = asked(assigned_to=["ada", "bob"], response_schema=YES).answer("ok", response, by=by)
    (refused,) = story.happened(AnswerRefused)
    assert says in refused.reason
    assert story.of("ok") == "waiting"
    assert story.answer("ok", {"yes": True}, by="ada").of("ok") == "completed"


def test_a_second_answer_changes_nothing() -> None:
    story = asked().answer("ok", "first")
    before = len(story.history)
    assert len(story.answer("ok", "second").history) == before


def test_without_an_answer_in_time_the_default_is_the_answer() -> None:
    story = asked(timeout_seconds=1.5, default="no").time("1499ms")
    assert story.of("ok") == "waiting"
    story.time("1ms")
    assert story.step("ok").output == {"response": "no", "by": None, "timed_out": True}
    assert (story.waits, story.of("pay")) == ({}, "skipped")


def test_without_an_answer_and_without_a_default_the_step_times_out_and_a_late_answer_is_noted() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work, on_timeout: {action: continue}}
        - {name: other, type: work}
    """)
    story.done("ok", result=asks(timeout_seconds=60)).time(60)
    assert (story.problem("ok").type, story.problem("ok").message) == ("timeout", "nobody answered within 1m")
    assert story.waits == {}
    story.take(late(story))
    assert len(story.happened(EventLate)) == 1


def test_the_timeout_of_the_step_bounds_its_work_and_not_those_who_are_asked() -> None:
    story = asked("timeout: 5s").time("1h")
    assert story.of("ok") == "waiting"


def test_when_nobody_answers_the_task_runs_again_as_its_policy_says_with_the_same_settings() -> None:
    story = asked("retry: {max_attempts: 2, initial_delay: 3s}", timeout_seconds=10)
    story.time(13)
    assert story.running == ["ok"]
    assert story.given_to("ok") == {"amount": 5, "at": "1970-01-01T00:00:00Z"}
    assert [key for key, _ in attempts(story)] == ["ok", "ok"]
    assert story.step("ok").question is None
    story.done("ok", result=asks(prompt="Again?")).answer("ok", "yes")
    assert story.step("ok").output == {"response": "yes", "by": None}


def test_a_further_try_that_fails_by_itself_has_no_late_answers() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work, retry: {max_attempts: 2}, on_failure: {action: continue}}
        - {name: other, type: work}
    """)
    story.done("ok", result=asks(timeout_seconds=1)).time(9)
    story.failed("ok", TOO_LONG).take(late(story))
    assert story.of("ok", "other") == ["failed", "running"]
    assert story.happened(EventLate) == []


# What ends it otherwise


def test_a_cancelled_execution_asks_no_more() -> None:
    story = asked()
    story.take(Cancel(**BY))
    assert (story.status, story.of("ok"), story.waits) == ("cancelled", "cancelled", {})


def test_a_failure_elsewhere_cancels_what_is_asked() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work}
        - {name: bad, type: work}
    """)
    story.done("ok", result=asks()).failed("bad")
    assert (story.status, story.of("ok"), story.waits) == ("failed", "cancelled", {})


def test_nobody_is_asked_when_the_execution_has_failed_meanwhile() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work}
        - {name: bad, type: work}
    """)
    story.failed("bad").done("ok", result=asks())
    assert (story.status, story.of("ok"), story.waits) == ("failed", "cancelled", {})


def test_a_paused_execution_takes_the_answer_and_begins_nothing() -> None:
    story = asked()
    story.take(Pause(**BY))
    story.answer("ok", 1)
    assert (story.of("ok"), story.running) == ("completed", [])
    story.take(Resume(**BY))
    assert story.running == ["pay"]


def test_an_operator_may_skip_it() -> None:
    story = asked()
    story.take(SkipStep(**BY, step="ok"))
    assert (story.of("ok"), story.waits) == ("skipped", {})


def test_run_again_by_an_operator_it_is_another_attempt() -> None:
    story = asked().answer("ok", 1)
    story.go()
    story.take(Rerun(**BY, step="ok"))
    assert story.work["ok"].attempt == 2
    story.done("ok", result=asks(prompt="Again?")).answer("ok", 2)
    assert story.step("ok").output == {"response": 2, "by": None}


def test_its_settings_are_kept_when_another_version_would_render_others() -> None:
    story = asked("retry: {max_attempts: 2}", timeout_seconds=60)
    plan = planned(story.text.replace('"1.0.0"', '"2.0.0"').replace("amount:", "sum:"))
    verb = Migrate(**BY, version=plan.definition.version, digest=plan.definition.digest)
    story.history += decide(story.run, verb, story.at, plan).events
    story.plan = plan
    story.time(62)
    assert story.given_to("ok")["amount"] == 5


# Where it stands


def test_every_item_may_ask() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work, for_each: {items: [1, 2]}}
        output: {values: {out: "{{ steps.ok.output }}"}}
    """)
    story.done("ok[1]", "ok[0]", result=asks()).answer("ok[0]", "a").answer("ok[1]", "b")
    assert story.output == {"out": [{"response": "a", "by": None}, {"response": "b", "by": None}]}


def test_a_lock_is_held_until_it_is_answered() -> None:
    story = Played("""
        steps:
        - {name: ok, type: work, mutex: m}
        - {name: other, type: work, mutex: m}
    """).done("ok", result=asks())
    assert story.running == []
    assert story.answer("ok", 1).running == ["other"]


def test_what_undoes_may_ask() -> None:
    story = (
        Played("""
        config: {on_error: {strategy: compensate}}
        steps:
        - {name: a, type: work, compensate: {type: work}}
        - {name: b, type: work, depends_on: a}
    """)
        .done("a")
        .failed("b", BOOM)
    )
    (undo,) = story.running
    story.done(undo, result=asks())
    assert story.status == "compensating"
    story.answer(undo, "undone")
    assert (story.status, story.of("a")) == ("failed", "compensated")


# What is none, and what is a wrong one


@pytest.mark.parametrize("result", [{"__inquiry": "Pay?"}, {"__inquiry": {"prompt": "x"}, "more": 1}, None, []])
def test_what_is_no_inquiry_is_a_result_as_any(result: Any) -> None:
    story = Played("steps: [{name: ok, type: work}]").done("ok", result=result)
    assert story.step("ok").output == result


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"prompt": None}, "prompt must be text"),
        ({"prompt": ""}, "prompt must be text"),
        ({"response_schema": {"type": "no such"}}, "response_schema cannot be used: "),
        ({"response_schema": "text"}, "response_schema must be a JSON Schema"),
        ({"response_schema": YES, "default": {"yes": 1}}, "default: yes: "),
        ({"timeout_seconds": 0}, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": True}, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": "1h"}, "timeout_seconds must be a positive number"),
        ({"timeout_seconds": 1e12}, "timeout_seconds: "),
        ({"assigned_to": Sealed("ada")}, "assigned_to must not hold a secret"),
        ({"assigned_to": ["ada", 7]}, "assigned_to must be a name or a list of names, not 7"),
        ({"timeout": 5}, "__inquiry has 'timeout'; expected prompt, "),
    ],
)
def test_a_wrong_inquiry_fails_the_step_at_once_and_says_what_is_wrong(said: dict[str, Any], says: str) -> None:
    story = asked("retry: {max_attempts: 3}", **said)
    assert story.problem("ok").type == "invalid_inquiry"
    assert says in story.problem("ok").message
    assert (story.of("ok"), story.waits) == ("failed", {})


def test_what_is_null_is_not_said() -> None:
    story = asked(response_schema=None, assigned_to=None, timeout_seconds=None)
    assert story.run.next_due() is None
    assert story.at == SECOND
    assert story.answer("ok", 1).step("ok").output == {"response": 1, "by": None}
