"""`approval`: a question to people."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.decider.approval import answer_problem
from stepwell.execution.history import AnswerRefused
from tests.decider.played import Played

ASKED = """
    steps:
    - name: ok
      type: approval
      config:
        prompt: "Pay {{ input.amount }}?"
        response_schema: {type: object, required: [yes], properties: {yes: {type: boolean}}}
        assigned_to: [ada, bob]
        timeout: 1h
    - {name: pay, type: work, depends_on: ok, when: "{{ steps.ok.output.response.yes }}"}
    output: {values: {out: "{{ steps.ok.output | default(none) }}"}}
"""


def asked(more: str = "", config: str = "", steps: str = "") -> str:
    """A workflow with a question to anybody."""
    return f"""
steps:
- name: ok
  type: approval
  {more or "description: nothing more"}
  config: {{prompt: well{config}}}
{steps or "- {name: z, type: noop, depends_on: ok}"}
output: {{values: {{out: "{{{{ steps.ok.output | default(none) }}}}"}}}}
"""


def test_the_step_waits_for_an_answer_which_becomes_its_output_with_who_gave_it() -> None:
    story = Played(ASKED, {"amount": 5})
    assert story.of("ok") == "waiting"
    story.answer("ok", {"yes": True}, by="bob")
    assert story.running == ["pay"]
    assert story.step("ok").output == {"response": {"yes": True}, "by": "bob"}


def test_the_question_is_recorded_as_people_see_it() -> None:
    story = Played(ASKED, {"amount": 5})
    assert story.step("ok").input["prompt"] == "Pay 5?"  # type: ignore[index]
    assert story.step("ok").input["assigned_to"] == ["ada", "bob"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("by", "response", "says"),
    [
        ("eve", {"yes": True}, "eve may not answer; it is for ada, bob"),
        ("", {"yes": True}, "nobody may not answer; it is for ada, bob"),
        ("ada", {}, '"yes" is a required property'),
        ("ada", {"yes": "maybe"}, "yes: "),
        ("ada", None, "response: "),
    ],
)
def test_an_answer_by_the_wrong_person_or_of_the_wrong_shape_is_refused_and_the_question_stays(
    by: str, response: Any, says: str
) -> None:
    story = Played(ASKED, {"amount": 5}).answer("ok", response, by=by)
    (refused,) = story.happened(AnswerRefused)
    assert refused.by == by
    assert says in refused.reason
    assert story.of("ok") == "waiting"
    story.answer("ok", {"yes": False}, by="ada")
    assert story.of("ok", "pay") == ["completed", "skipped"]


def test_anybody_may_answer_when_nobody_is_named() -> None:
    story = Played(asked()).answer("ok", "fine")
    assert story.output == {"out": {"response": "fine", "by": None}}


def test_one_person_may_be_named_without_a_list() -> None:
    story = Played(asked(config=", assigned_to: ada")).answer("ok", 1, by="bob").answer("ok", 2, by="ada")
    assert story.output == {"out": {"response": 2, "by": "ada"}}


def test_a_second_answer_changes_nothing() -> None:
    story = Played(asked(steps="- {name: z, type: work, depends_on: ok}"))
    story.answer("ok", "first")
    before = len(story.history)
    story.answer("ok", "second")
    assert len(story.history) == before
    assert story.step("ok").output["response"] == "first"


def test_an_answer_to_another_step_is_none_to_this_one() -> None:
    story = Played("""
        steps:
        - {name: one, type: approval, config: {prompt: a}}
        - {name: two, type: approval, config: {prompt: b}}
    """).answer("two", "b")
    assert story.of("one", "two") == ["waiting", "completed"]


def test_without_an_answer_in_time_the_default_is_the_answer() -> None:
    story = Played(asked(config=", timeout: 1h, default: {yes: false}")).time("1h")
    assert story.output == {"out": {"response": {"yes": False}, "by": None, "timed_out": True}}
    assert story.waits == {}


def test_without_an_answer_and_without_a_default_the_step_times_out() -> None:
    story = Played(asked(config=", timeout: 1h")).time("1h")
    assert story.problem("ok").type == "timeout"
    assert story.problem("ok").message == "nobody answered within 1h"
    assert story.status == "failed"


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("on_timeout: late", "- {name: late, type: noop}"),
        ("on_timeout: {action: continue}", ""),
        ("on_timeout: {action: fallback, fallback: {response: no}}", ""),
    ],
)
def test_on_timeout_decides_what_follows(more: str, steps: str) -> None:
    story = Played(asked(more, ", timeout: 1h", steps)).time("1h")
    assert story.status == "completed"
    assert story.of("ok") == "failed"


def test_a_question_that_timed_out_may_be_asked_again() -> None:
    story = Played(asked("retry: {max_attempts: 2, initial_delay: 1m}", ", timeout: 1h")).time("1h")
    assert story.of("ok") == "retrying"
    story.time("1m")
    assert story.of("ok") == "waiting"
    assert story.answer("ok", "yes").status == "completed"


def test_without_a_timeout_it_waits_for_ever() -> None:
    story = Played(asked())
    assert story.run.next_due() is None
    assert story.answer("ok", 1).status == "completed"


def test_an_answer_at_the_very_instant_of_the_timeout_counts_when_it_is_recorded_first() -> None:
    story = Played(asked(config=", timeout: 1h")).time("59m")
    story.at += 60_000_000
    story.answer("ok", "just in time")
    assert story.status == "completed"


def test_a_timeout_that_is_no_duration_fails_the_step() -> None:
    story = Played(asked(config=', timeout: "{{ input.t }}"'), {"t": "soon"})
    assert story.problem("ok").type == "invalid_config"
    assert story.status == "failed"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('response_schema: {type: object, required: ["{{ input.n }}"]}', "response_schema cannot be used: "),
        ('response_schema: {type: integer}, default: "{{ input.word }}"', "default: "),
    ],
)
def test_a_question_that_cannot_be_answered_when_it_is_known_fails_the_step(config: str, says: str) -> None:
    story = Played(asked(config=f", {config}"), {"n": 7, "word": "seven"})
    assert story.problem("ok").type == "invalid_config"
    assert says in story.problem("ok").message


def test_a_secret_may_stand_in_what_may_be_answered() -> None:
    secret = "input: {schema: {type: object, properties: {pin: {type: string, secret: true}}}}"
    schema = 'response_schema: {enum: ["{{ input.pin }}"]}'
    story = Played(secret + asked(config=f", {schema}"), {"pin": "hunter22"})
    story.answer("ok", "guess")
    assert story.of("ok") == "waiting"
    story.answer("ok", "hunter22")
    assert story.of("ok") == "completed"


def test_what_a_schema_that_cannot_be_used_asks_for_is_refused_and_breaks_nothing() -> None:
    for schema in (True, 5, {"type": "nonsense"}, {"required": 5}):
        problem = answer_problem({"response_schema": schema}, "ada", True)
        assert problem is not None
        assert problem.startswith("response_schema cannot be used: ")


def test_a_question_is_withdrawn_when_the_workflow_fails() -> None:
    story = Played(asked(steps="- {name: a, type: work}")).failed("a")
    assert story.of("ok") == "cancelled"
    assert story.waits == {}


def test_the_shape_of_the_output_may_be_said() -> None:
    story = Played(asked('output: {said: "{{ response.response }}"}')).answer("ok", "yes")
    assert story.output == {"out": {"said": "yes"}}


@pytest.mark.parametrize(
    ("assigned", "says"),
    [
        ("{{ input.pin }}", "assigned_to must not hold a secret"),
        ("[ada, '{{ input.pin }}']", "assigned_to must not hold a secret"),
        ("{{ vars.boss }}", "assigned_to must not hold a secret"),
        ("[ada, '{{ input.n }}']", "assigned_to must be a name or a list of names, not 7"),
    ],
)
def test_a_question_that_nobody_could_answer_is_not_asked(assigned: str, says: str) -> None:
    assigned = f"'{assigned}'" if assigned.startswith("{") else assigned
    spec = (
        "input: {schema: {type: object, properties: {pin: {type: string, secret: true}}}}\n"
        "vars: {boss: '{{ secrets.BOSS }}'}"
    )
    story = Played(spec + asked(config=f", assigned_to: {assigned}"), {"pin": "ada", "n": 7})
    assert story.problem("ok").type == "invalid_config"
    assert story.problem("ok").message.startswith(f"approval: {says}")
    assert "ada" not in story.problem("ok").message
