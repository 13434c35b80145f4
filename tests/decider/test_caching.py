"""The cache of results: keys, what is put in, and what is taken out."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.decider.outstanding import outstanding
from stepwell.execution.commands import Command, KeepResult, RunStep
from stepwell.execution.history import ResultKeyed, ResultReused, StepCompleted, StepScheduled
from stepwell.execution.inputs import ResultFound
from stepwell.execution.verbs import Rerun
from stepwell.execution.work import Report
from tests.decider.played import Played
from tests.decider.story import FLAKY, SECOND

BOOM = ErrorInfo("boom", "it went boom")
SECRET = "input: {schema: {type: object, properties: {pin: {type: string, secret: true}}}}\n"


class Cached(Played):
    """An execution of which it is noted what is looked up and what is kept."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.looked: dict[str, str | None] = {}
        self.kept: list[KeepResult] = []
        super().__init__(*args, **more)

    def note(self, command: Command) -> None:
        if isinstance(command, RunStep):
            self.looked[command.assignment.step] = command.cached
        elif isinstance(command, KeepResult):
            self.kept.append(command)
        super().note(command)

    def found(self, key: str, result: Any = None, *, attempt: int = 1, scope: Any = None) -> None:
        self.work.pop(key, None)
        self.take(ResultFound(key, attempt, result, scope, "other", 7))

    def keys(self) -> dict[str, str]:
        return {event.step: event.key for event in self.happened(ResultKeyed)}


def key_of(config: str, given: Any = None) -> str:
    story = Cached(f"{SECRET}steps: [{{name: a, type: work, cache: {config}}}]", given)
    return story.keys()["a"]


def test_the_key_is_recorded_and_looked_up_before_the_work_is_dispatched() -> None:
    story = Cached("steps: [{name: a, type: work, cache: {key: k}}, {name: b, type: work}]")
    assert story.looked == {"a": story.keys()["a"], "b": None}
    assert [type(event) for event in story.history[2:4]] == [StepScheduled, ResultKeyed]


def test_what_is_looked_up_is_the_same_after_a_crash() -> None:
    story = Cached("vars: {n: 1}\nsteps: [{name: a, type: work, cache: {key: '{{ vars.n }} {{ uuid() }}'}}]")
    (again,) = [one for one in outstanding(story._replayed()) if isinstance(one, RunStep)]
    assert again.cached == story.looked["a"]


def test_the_key_depends_on_the_definition_the_step_and_what_the_expression_gives() -> None:
    base = key_of("{key: '{{ input.x }}'}", {"x": 1})
    assert base == key_of("{key: '{{ input.x }}'}", {"x": 1})
    assert base != key_of("{key: '{{ input.x }}'}", {"x": 2})
    assert base != key_of("{key: '{{ input.x }}'}", {"x": "1"})
    assert base != key_of("{key: '{{ input.x }}', ttl: 1h}", {"x": 1})
    story = Cached("steps: [{name: a, type: work, cache: {key: k}}, {name: b, type: work, cache: {key: k}}]")
    assert len(set(story.keys().values())) == 2


def test_the_order_in_which_an_object_is_written_is_no_part_of_the_key() -> None:
    one, other = ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}})
    assert key_of("{key: '{{ input.x }}'}", one) == key_of("{key: '{{ input.x }}'}", other)


def test_secrets_in_a_key_are_not_to_be_read_from_it() -> None:
    whole = "{key: {a: ['{{ input.pin }}', '{{ secrets.T }}', 'x {{ secrets.T }}']}}"
    for config in ("{key: '{{ input.pin }}'}", whole):
        key = key_of(config, {"pin": "hunter2"})
        assert len(key) == 64
        assert "hunter2" not in key
        assert key != key_of(config, {"pin": "hunter3"})


def test_items_have_keys_of_their_own_and_equal_ones_share_theirs() -> None:
    story = Cached("""
        steps:
        - {name: a, type: work, for_each: {items: [1, 2, 1]}, cache: {key: "{{ item }}"}}
    """)
    keys = story.keys()
    assert keys["a[0]"] == keys["a[2]"] != keys["a[1]"]


def test_a_key_that_cannot_be_computed_fails_the_step() -> None:
    story = Cached("""
        steps:
        - {name: b, type: work}
        - {name: a, type: work, cache: {key: "{{ steps.b.output.x }}"}}
    """)
    assert story.of("a") == "failed"
    assert story.problem("a").type == "expression_error"
    assert "a" not in story.work


# Putting in


def test_the_result_of_a_completed_step_is_kept_with_its_completion() -> None:
    story = Cached("steps: [{name: a, type: work, cache: {key: k, ttl: 10s}, output: {n: '{{ response.n }}'}}]")
    story.work.clear()
    report = Report(
        execution="x", step="a", attempt=1, started_at=0, result={"n": 1, "m": 2}, scope={"response_status": 200}
    )
    story.at = SECOND
    decision = story.take(report)
    assert isinstance(decision.events[0], StepCompleted)
    assert [one for one in decision.commands if isinstance(one, KeepResult)] == [
        KeepResult(story.keys()["a"], {"n": 1, "m": 2}, {"response_status": 200}, 11 * SECOND)
    ]


def test_without_a_ttl_a_result_is_kept_for_good() -> None:
    story = Cached("steps: [{name: a, type: work, cache: {key: k}}]").done("a", result=1)
    assert [one.expires_at for one in story.kept] == [None]


@pytest.mark.parametrize("step", [
    "type: work", "type: work, on_failure: {action: continue}", "type: work, output: {n: '{{ response.n.m.o }}'}",
])  # fmt: skip
def test_the_result_of_a_step_that_fails_is_not_kept(step: str) -> None:
    story = Cached(f"steps: [{{name: a, {step}, cache: {{key: k}}}}]")
    if "output" in step:
        story.done("a", result={"n": 1})
    else:
        story.failed("a", BOOM)
    assert (story.of("a"), story.kept) == ("failed", [])


def test_only_the_try_that_counts_is_kept() -> None:
    story = Cached("""
        steps:
        - {name: a, type: work, cache: {key: k}, retry: {max_attempts: 3, initial_delay: 1s, when: result() != 2}}
    """)
    story.done("a", result=1).time("1s")
    assert story.looked["a"] == story.keys()["a"]
    story.done("a", result=2)
    assert [one.result for one in story.kept] == [2]


# Taking out


def test_a_result_from_the_cache_completes_the_step_as_the_work_would_have() -> None:
    story = Cached("""
        steps:
        - name: a
          type: work
          cache: {key: k}
          output: {n: "{{ response.n + 1 }}", status: "{{ response_status }}"}
          publish: {got: "{{ response.n }}"}
        - {name: b, type: work, depends_on: a}
    """)
    story.found("a", {"n": 1}, scope={"response_status": 200})
    assert story.step("a").output == {"n": 2, "status": 200}
    assert (story.state.variables, story.running) == ({"got": 1}, ["b"])
    assert story.happened(ResultReused) == [ResultReused(0, "a", "other", 7)]
    assert (story.state.cached["a"].execution, story.state.cached["a"].made_at) == ("other", 7)
    assert story.kept == []


def test_a_result_that_comes_too_late_changes_nothing() -> None:
    story = Cached("steps: [{name: a, type: work, cache: {key: k}, retry: {max_attempts: 2}}]").failed("a", FLAKY)
    for attempt in (1, 2):
        assert story.take(ResultFound("a", attempt, 1, None, "other", 7)).events == []
    story.go()
    assert story.take(ResultFound("a", 2, 1, None, "other", 7)).events == []


def test_what_was_not_done_here_is_not_undone_here() -> None:
    spec = """
        steps:
        - {name: a, type: work, cache: {key: k}, compensate: {type: work}}
        - {name: b, type: work, depends_on: a}
    """
    reused = Cached(spec)
    reused.found("a")
    reused.failed("b", BOOM)
    assert (reused.status, reused.state.compensation) == ("failed", "nothing")
    done = Cached(spec).done("a").failed("b", BOOM)
    assert done.running == ["a[undo]"]


def test_what_an_operator_has_run_again_runs() -> None:
    story = Cached("steps: [{name: a, type: work, cache: {key: k}}, {name: b, type: work, depends_on: a}]")
    story.found("a")
    story.take(Rerun(by="ada", reason="it is wrong", step="a"))
    assert story.looked["a"] is None
    assert not story.state.cached["a"].execution
    story.done("a", result=2)
    assert [one.result for one in story.kept] == [2]
