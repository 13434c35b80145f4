"""Going on with another version, and as another execution."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import Conflict, StepwellError
from stepwell.decider.decide import decide, decide_fork
from stepwell.decider.outstanding import outstanding
from stepwell.decider.plan import Plan
from stepwell.decider.replay import replay
from stepwell.decider.turn import Decision
from stepwell.decider.verbs_migrate import problems
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.commands import AwaitEvent, ReleaseLock, RunStep, TakeLock
from stepwell.execution.history import ExecutionForked
from stepwell.execution.inputs import Begin, LockGranted
from stepwell.execution.verbs import Cancel, Migrate, Pause, Resume
from tests.decider.story import FLAKY, SECOND, dispatched, kinds
from tests.decider.verb_story import Checked, decides_by, document, told

BY: dict[str, Any] = {"by": "ada", "reason": "why"}
OLD = """
steps:
  - {name: a, type: python, config: {task: t}}
  - {name: b, type: python, config: {task: t}, depends_on: [a]}
"""


def migrate(story: Checked, to: WorkflowDefinition, **names: str) -> Decision:
    """Move the execution, and compare it with one folded from its history."""
    plan = Plan(to)
    verb = Migrate(**BY, version=to.version, digest=to.digest, names=names)
    folded = replay(story.plan, story.history)
    decision = decide(story.run, verb, story.at, plan)
    assert decide(folded, verb, story.at, plan) == decision
    story.plan = plan
    story.history += decision.events
    story.commands += decision.commands
    folded = replay(plan, story.history)
    assert (folded.state, decides_by(folded)) == (story.state, decides_by(story.run))
    return decision


def refused(story: Checked, to: WorkflowDefinition, **names: str) -> StepwellError:
    """Why it is not moved; nothing has changed."""
    before = len(story.history), decides_by(story.run)
    verb = Migrate(**BY, version=to.version, digest=to.digest, names=names)
    with pytest.raises(Conflict) as caught:
        decide(story.run, verb, story.at, Plan(to))
    assert (len(story.history), decides_by(story.run)) == before
    return caught.value


def new(body: str) -> WorkflowDefinition:
    return document(body, "2.0.0")


# Migrate


def test_an_execution_goes_on_with_the_steps_of_the_other_version() -> None:
    story = told(OLD)
    more = new(f"{OLD.rstrip()}\n  - {{name: z, type: python, config: {{task: t}}, depends_on: [b]}}\n")
    decision = migrate(story, more)
    assert decision.said == "test 1.0.0 → 2.0.0"
    assert (story.state.version, story.state.digest) == ("2.0.0", more.digest)
    story.done_all("a", "b", "z")
    assert story.state.status.value == "completed"


def test_a_step_that_was_put_behind_one_that_has_completed_runs() -> None:
    story = told(OLD)
    story.done("a")
    decision = migrate(
        story, new(f"{OLD.rstrip()}\n  - {{name: z, type: python, config: {{task: t}}, depends_on: [a]}}\n")
    )
    assert dispatched(decision) == ["z"]


def test_work_that_has_begun_keeps_its_settings() -> None:
    story = told(OLD)
    migrate(story, new(OLD.replace("{task: t}", "{task: t, args: {n: 1}}")))
    (again,) = outstanding(story.run)
    assert isinstance(again, RunStep)
    assert again.assignment.config == {"task": "t"}
    story.done("a")
    assert story.commands[-1].assignment.config == {"task": "t", "args": {"n": 1}}  # type: ignore[union-attr]


def test_a_step_that_has_ended_can_get_another_name() -> None:
    story = told(OLD)
    story.done("a", 7)
    renamed = new("""
    steps:
      - {name: first, type: python, config: {task: t}}
      - {name: b, type: python, config: {task: t}, depends_on: [first]}
      - {name: z, type: transform, config: {value: "{{ steps.first.output }}"}, depends_on: [b]}
    """)
    assert "step 'a' has run, and that version has no 'a'" in refused(story, renamed).message
    migrate(story, renamed, a="first")
    assert (story.status("first"), story.step("first").output) == ("completed", 7)
    assert story.done("b").commands[0].assignment.config == {"value": 7}  # type: ignore[union-attr]


def test_who_stood_in_line_leaves_it_when_the_other_version_limits_nothing() -> None:
    story = Checked(document(f"config: {{concurrency: {{key: k, limit: 1}}}}\n{OLD}"))
    (asked,) = story.when(Begin()).commands
    assert isinstance(asked, TakeLock)
    assert asked.name == "test:k"
    migrate(story, new(OLD))
    decision = story.when(Begin())
    assert (decision.commands[0], dispatched(decision)) == (ReleaseLock("test:k", ""), ["a"])
    assert story.when(LockGranted("", "test:k")).events == []
    story.done_all("a", "b")
    assert story.state.status.value == "completed"


def test_a_step_that_has_a_lock_gives_it_back_at_its_end_whatever_the_other_version_says() -> None:
    story = told(OLD.replace("name: a,", "name: a, mutex: press,"))
    story.when(LockGranted("a", "press"))
    migrate(story, new(OLD))
    assert ReleaseLock("press", "a") in story.done("a").commands


def test_new_variables_get_their_first_values() -> None:
    story = told(f"vars: {{x: 1}}\n{OLD}")
    migrate(story, new(f"vars: {{x: 5, y: '{{{{ vars.x + 1 }}}}'}}\n{OLD}"))
    assert story.state.variables == {"x": 1, "y": 2}


def test_a_paused_and_a_waiting_execution_are_moved_as_they_are() -> None:
    waiting = OLD.replace("type: python, config: {task: t}}", "type: wait_for_event, config: {event_type: go}}", 1)
    story = told(waiting)
    story.when(Pause(**BY))
    migrate(story, new(waiting))
    assert (story.state.status.value, story.status("a")) == ("paused", "waiting")
    story.when(Resume(**BY))
    assert dispatched(story.event("a")) == ["b"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("steps: [{name: b, type: python, config: {task: t}}]", "that version has no 'a'"),
        ("steps: [{name: a, type: transform, config: {value: 1}}]", "is of type 'transform' there, and was 'python'"),
        (
            "steps: [{name: g, type: parallel_group, config: {steps: [{name: a, type: python, config: {task: t}}]}}]",
            "stands in another place there",
        ),
        (
            f"input: {{schema: {{required: [n], properties: {{n: {{type: integer}}}}}}}}\n{OLD}",
            "its input does not satisfy the schema of that version, at input",
        ),
        (f"vars: {{x: '{{{{ input.none }}}}'}}\n{OLD}", "the new variable 'x' cannot be computed"),
    ],
)
def test_an_execution_that_does_not_fit_is_not_moved_and_the_reason_said(body: str, reason: str) -> None:
    story = told(OLD)
    error = refused(story, new(body))
    assert error.code == "cannot-migrate"
    assert reason in error.message


def test_a_construct_must_be_the_same_and_have_the_block_that_runs() -> None:
    body = """
    steps:
      - name: g
        type: conditional
        config: {cases: [{when: "{{ true }}", steps: [{name: p, type: python, config: {task: t}}]}]}
    """
    story = told(body)
    other = body.replace('cases: [{when: "{{ true }}", steps: ', 'condition: "{{ true }}", then: ').replace(
        "}}]}]}", "}}]}"
    )
    assert "stands in another place" in refused(story, new(other)).message
    repeated = told("steps: [{name: f, type: python, config: {task: t}, for_each: {items: [1]}}]")
    assert "step 'f'" in refused(repeated, new("steps: [{name: f, type: python, config: {task: t}}]")).message


def test_what_mappings_of_names_are_refused() -> None:
    story = told(OLD)
    to = new(OLD.replace("name: b", "name: c"))
    assert "version 1.0.0 has no step 'x'" in refused(story, to, x="c").message
    assert "version 2.0.0 has no step 'd'" in refused(story, to, b="d").message
    assert "two steps cannot become one" in refused(story, to, a="c", b="c").message
    running = new(OLD.replace("name: a", "name: first").replace("[a]", "[first]"))
    assert "only a step that has ended can get another name" in refused(story, running, a="first").message


def test_the_check_alone_names_every_reason() -> None:
    story = told(OLD)
    story.done("a")
    found = problems(story.run, Plan(new("steps: [{name: b, type: noop}]")), {})
    assert len(found) == 2


def test_the_same_version_and_an_ended_execution_are_refused() -> None:
    story = told(OLD)
    assert refused(story, document(OLD)).code == "same-version"
    story.done_all("a", "b")
    assert refused(story, new(OLD)).code == "already-ended"


# Fork


def fork(story: Checked, at: int) -> tuple[Checked, Decision]:
    """Another execution that begins as this one stands."""
    other = Checked(story.plan.definition)
    other.history = list(story.history)
    other.run = replay(story.plan, story.history)
    said = ExecutionForked(at, "ada", "why", "y", "x", b"other", at - story.at)
    decision = decide_fork(other.run, said)
    other.at = at
    other.history += decision.events
    other.commands = list(decision.commands)
    folded = replay(story.plan, other.history)
    assert (folded.state, decides_by(folded)) == (other.state, decides_by(other.run))
    return other, decision


def test_a_fork_keeps_what_is_done_and_begins_anew_what_is_under_way() -> None:
    story = told(f"{OLD.rstrip()}\n  - {{name: w, type: wait_for_event, config: {{event_type: go, timeout: 1h}}}}\n")
    story.done("a", 7)
    other, decision = fork(story, 500 * SECOND)
    assert kinds(decision)[0] == "ExecutionForked"
    assert (other.state.id, other.state.forked_from, other.step("a").output) == ("y", "x", 7)
    work = [command.assignment for command in decision.commands if isinstance(command, RunStep)]
    assert [(one.id, one.idempotency_key) for one in work] == [("y/b/2", "y/b")]
    assert [command.step for command in decision.commands if isinstance(command, AwaitEvent)] == ["w"]
    assert other.step("w").due == 500 * SECOND + 3_600 * SECOND
    other.done("b")
    other.event("w")
    assert (other.state.status.value, story.state.status.value) == ("completed", "running")


def test_time_stands_still_between_the_two() -> None:
    story = told("""
    config: {deadline: 1h}
    steps: [{name: a, type: python, config: {task: t}, retry: {max_attempts: 2, initial_delay: 10s, backoff: constant}}]
    """)
    story.failed("a", FLAKY)
    other, _ = fork(story, 1_000 * SECOND)
    assert (other.step("a").due, other.state.deadline) == (1_010 * SECOND, 4_600 * SECOND)
    assert other.state.created_at == 1_000 * SECOND


def test_a_fork_of_a_paused_execution_is_paused() -> None:
    story = told(OLD)
    story.when(Pause(**BY))
    other, decision = fork(story, 0)
    assert (other.state.status.value, dispatched(decision)) == ("paused", [])
    assert dispatched(other.when(Resume(**BY))) == ["a"]


def test_there_is_nothing_to_fork_where_it_is_at_its_end() -> None:
    for verb, code in ((Cancel(**BY), "being-cancelled"), (Cancel(**BY, stop=True), "already-ended")):
        story = told(OLD)
        story.when(verb)
        with pytest.raises(Conflict) as caught:
            decide_fork(story.run, ExecutionForked(0, "ada", "why", "y", "x", b"other"))
        assert caught.value.code == code
