"""Rate limits with a key: under which value a step is counted."""

from __future__ import annotations

from typing import Any

from stepwell.decider.outstanding import outstanding
from stepwell.decider.rate_keys import LONGEST
from stepwell.execution.commands import Command, RunStep
from stepwell.execution.history import RateKeyed, StepScheduled
from stepwell.execution.verbs import Rerun
from stepwell.policy.gates import Named
from stepwell.policy.limits import RateLimit
from tests.decider.played import Played
from tests.decider.story import FLAKY, SECOND

SECRET = "input: {schema: {type: object, properties: {pin: {type: string, secret: true}}}}\n"


class Limited(Played):
    """An execution of which it is noted which rate limits its attempts come to."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.limits: list[Named[RateLimit]] = []
        super().__init__(*args, **more)

    def note(self, command: Command) -> None:
        if isinstance(command, RunStep):
            assert command.gates is not None
            assert command.gates.rate_limit is not None
            self.limits.append(command.gates.rate_limit)
        super().note(command)

    def names(self) -> list[str]:
        return [limit.name for limit in self.limits]


def limited(key: str, given: Any = None, before: str = "", more: str = "") -> Limited:
    limit = f"rate_limit: {{limit: 5, per: 1s, key: '{key}'}}"
    return Limited(f"{before}steps: [{{name: a, type: work, {limit}{more}}}]", given)


def test_the_value_is_a_part_of_the_name_of_the_gate_and_recorded() -> None:
    story = limited("{{ input.customer }}", {"customer": "acme"})
    own = RateLimit(limit=5, per=SECOND)
    assert story.limits == [Named(f"{story.plan.definition.name}/a:acme", own, is_one_of_many=True)]
    assert [type(event) for event in story.history[2:4]] == [StepScheduled, RateKeyed]


def test_values_that_are_no_text_are_counted_by_their_json() -> None:
    for value, name in ((7, "7"), (None, "null"), ({"b": 1, "a": [True]}, '{"a": [true], "b": 1}'), ("", "")):
        assert limited("{{ input.x }}", {"x": value}).names()[0].partition(":")[2] == name


def test_a_long_value_is_counted_by_its_digest() -> None:
    kept, other = ("x" * LONGEST, "x" * (LONGEST + 1))
    assert limited("{{ input.x }}", {"x": kept}).names()[0].endswith(f":{kept}")
    digested = limited("{{ input.x }}", {"x": other}).names()[0].partition(":")[2]
    assert len(digested) < LONGEST
    assert "xx" not in digested


def test_a_policy_that_steps_share_counts_the_value_that_each_of_them_has() -> None:
    story = Limited(
        "config: {policies: {slow: {rate_limit: {limit: 1, per: 1s, key: '{{ input.who }}'}}}}\n"
        "steps: [{name: a, type: work, rate_limit: slow}, {name: b, type: work, rate_limit: slow}]",
        {"who": "ada"},
    )
    name = f"{story.plan.definition.name}/slow:ada"
    assert story.names() == [name, name]


def test_items_are_counted_by_what_the_key_makes_of_each() -> None:
    story = limited("{{ item }}", {"xs": ["p", "q", "p"]}, more=", for_each: {items: '{{ input.xs }}'}")
    assert [name.partition(":")[2] for name in story.names()] == ["p", "q", "p"]


def test_further_tries_and_what_is_done_after_a_crash_come_to_the_same_gate() -> None:
    story = limited("{{ vars.n }} {{ uuid() }}", before="vars: {n: 1}\n", more=", retry: {max_attempts: 2}")
    story.failed("a", FLAKY).time("10s")
    assert len(story.limits) == 2
    (again,) = [one for one in outstanding(story._replayed()) if isinstance(one, RunStep)]
    assert again.gates is not None
    assert [*story.limits, again.gates.rate_limit] == [story.limits[0]] * 3


def test_a_step_that_is_run_again_is_counted_by_what_its_key_gives_then() -> None:
    story = limited("{{ now() }}")
    story.done("a").time("5s")
    story.take(Rerun(by="ada", reason="again", step="a"))
    assert len(set(story.names())) == 2


def test_a_key_that_has_no_value_or_a_secret_one_fails_the_step() -> None:
    missing = limited("{{ input.nothing.there }}", {})
    secret = limited("{{ input.pin }}", {"pin": "1234"}, before=SECRET)
    for story in (missing, secret):
        assert story.problem("a").type == "expression_error"
        assert story.limits == []
    assert "the key of a rate limit must not hold a secret" in secret.problem("a").message
