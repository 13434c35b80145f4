"""What expressions see of an execution."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.decider.outstanding import outstanding
from stepwell.definition.model import Step
from stepwell.execution.commands import RunStep
from tests.decider.story import FLAKY, SECOND, Story, begun, config_of, on, retries, says, step, workflow


def seen(*expressions: str, steps: tuple[Step, ...] = (), given: Any = None, **settings: Any) -> list[Any]:
    """What these expressions give in the settings of a step that runs after `steps`, which need no worker."""
    config = {"values": [f"{{{{ {expression} }}}}" for expression in expressions]}
    after = [one.name for one in steps]
    story = begun(workflow(*steps, step("see", *after, type="set", config=config), **settings), given)
    assert story.status("see") == "completed", story.step("see").error
    values: list[Any] = story.step("see").output["values"]
    return values


def test_the_input_has_two_names() -> None:
    assert seen("input.n", "parameters.n", given={"n": 7}) == [7, 7]


def test_the_variables_have_two_names() -> None:
    assert seen("vars.n", "variables.n", vars=(("n", 7),)) == [7, 7]


def test_steps_have_three_names() -> None:
    done = step("a", type="set", config={"n": 7})
    assert seen("steps.a.output.n", "task.a.result.n", "tasks.a.output.n", steps=(done,)) == [7, 7, 7]


def test_the_execution_has_three_names_and_tells_its_original_start() -> None:
    names = ("workflow", "system", "execution")
    started = "1970-01-01T00:00:00Z"
    for name in names:
        fields = [f"{name}.{field}" for field in ("id", "name", "version", "started_at")]
        assert seen(*fields, name="orders") == ["x", "orders", "1.0.0", started]


def test_a_step_tells_how_it_ended() -> None:
    story = begun(
        workflow(
            step("a", retry=retries(2), on_failure=says("continue")),
            step("b", "a", type="set", config={"seen": _fields("a")}),
        )
    )
    story.failed("a", FLAKY, after=SECOND)
    story.time(SECOND)
    story.failed("a", FLAKY, after=SECOND)
    assert story.step("b").output["seen"] == {
        "status": "failed",
        "completed": False,
        "failed": True,
        "skipped": False,
        "attempts": 2,
        "started_at": "1970-01-01T00:00:02Z",
        "completed_at": "1970-01-01T00:00:03Z",
        "error": {"type": "connection_error", "message": "nobody answers", "details": {}, "retryable": True},
    }


def _fields(name: str) -> dict[str, str]:
    fields = ("status", "completed", "failed", "skipped", "attempts", "started_at", "completed_at", "error")
    return {field: f"{{{{ steps.{name}.{field} }}}}" for field in fields}


def test_a_known_step_that_did_not_run_is_not_completed() -> None:
    fields = ("completed", "failed", "skipped", "status", "attempts", "started_at", "error")
    expressions = [f"steps.later.{field}" for field in fields]
    config = {"values": [f"{{{{ {expression} }}}}" for expression in expressions]}
    story = begun(workflow(step("see", type="set", config=config), step("later", "see")))
    assert story.step("see").output == {"values": [False, False, False, "pending", 0, None, None]}


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("steps.craete.output", "did you mean 'create'?"),
        ("steps.create.outptu", "did you mean 'output'?"),
        ("input.nmae", "did you mean 'name'?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(expression: str, hint: str) -> None:
    create = step("create", type="noop")
    see = step("see", "create", type="set", config={"x": f"{{{{ {expression} }}}}"})
    story = begun(workflow(create, see), {"name": "ada"})
    error = story.step("see").error
    assert error is not None
    assert hint in error.message


READS_A = {"x": "{{ steps.a.output }}"}


def why_not(story: Story) -> str:
    """Why the output of `a` was not there for `see`."""
    error = story.step("see").error
    assert error is not None
    return error.message


def test_the_output_of_a_step_that_has_not_run_is_not_there() -> None:
    story = begun(workflow(step("see", type="set", config=READS_A), step("a", "see")))
    assert "steps.a.output is not there: step 'a' has not run" in why_not(story)


def test_the_output_of_a_running_step_is_not_there() -> None:
    story = begun(workflow(step("a"), step("see", type="set", config=READS_A)))
    assert "step 'a' has not completed (it is running)" in why_not(story)


def test_the_output_of_a_failed_step_is_not_there() -> None:
    story = begun(workflow(step("a", on_failure=says("continue")), step("see", "a", type="set", config=READS_A)))
    story.failed("a")
    assert "step 'a' failed" in why_not(story)


def test_the_output_of_a_step_on_a_dead_path_is_not_there() -> None:
    skipped = step("a", on("first", "failure"))
    see = step("see", "first", type="set", config=READS_A)
    story = begun(workflow(step("first", type="noop"), skipped, see))
    assert "step 'a' was skipped" in why_not(story)


def test_default_opts_out_of_an_output_that_is_not_there() -> None:
    assert seen("steps.later.output.id | default('none')", steps=(step("later", when=False),)) == ["none"]


# In `output`, `publish`, and around them


def test_output_sees_the_response_and_what_the_task_adds() -> None:
    shape = {
        "id": "{{ response.id }}",
        "same": "{{ result.id }}",
        "code": "{{ response_status }}",
        "raw": "{{ response }}",
    }
    story = begun(workflow(step("a", output=shape)))
    story.done("a", {"id": 7}, response_status=201)
    assert story.step("a").output == {"id": 7, "same": 7, "code": 201, "raw": {"id": 7}}


def test_publish_sees_the_response_the_output_and_earlier_entries() -> None:
    publish = (
        ("raw", "{{ response.id }}"),
        ("shaped", "{{ steps.a.output.user }}"),
        ("sum", "{{ vars.raw + vars.shaped + vars.before }}"),
        ("done", "{{ steps.a.completed }}"),
    )
    shape = {"user": "{{ response.id + 1 }}"}
    story = begun(workflow(step("a", output=shape, publish=publish), vars=(("before", 100),)))
    story.done("a", {"id": 7})
    assert story.state.variables == {"before": 100, "raw": 7, "shaped": 8, "sum": 115, "done": True}


def test_an_output_that_cannot_be_built_fails_the_step() -> None:
    story = begun(workflow(step("a", output={"id": "{{ response.id }}"})))
    story.done("a", {})
    assert story.status("a") == "failed"
    assert story.state.variables == {}


def test_a_publish_that_cannot_be_built_fails_the_step_and_publishes_nothing() -> None:
    story = begun(workflow(step("a", publish=(("n", 1), ("m", "{{ response.m }}")))))
    story.done("a", {})
    assert story.status("a") == "failed"
    assert story.state.variables == {}


def test_later_variables_see_earlier_ones_and_the_input() -> None:
    story = Story(workflow(vars=(("a", "{{ input.n }}"), ("b", "{{ vars.a + 1 }}"))), {"n": 1})
    assert story.state.variables == {"a": 1, "b": 2}


# Recorded values


def test_now_is_the_instant_of_the_turn_and_the_same_again_after_a_crash() -> None:
    config = {"task": "work", "args": {"at": "{{ now() }}", "id": "{{ uuid() }}", "n": "{{ random() }}"}}
    story = begun(workflow(step("a"), step("b", "a", config=config)))
    decision = story.done("a", after=5 * SECOND)
    first = config_of(decision, "b")
    story.crash()
    again = outstanding(story.run)
    assert [command.assignment.config for command in again if isinstance(command, RunStep)] == [first]
    assert "1970-01-01T00:00:05" in str(first["args"]["at"])


def test_two_steps_draw_different_values() -> None:
    draw = {"id": "{{ uuid() }}"}
    story = begun(workflow(step("a", type="set", config=draw), step("b", type="set", config=draw)))
    assert story.step("a").output != story.step("b").output


# Secrets


def test_what_is_derived_from_a_secret_input_is_sealed_everywhere() -> None:
    config = {"task": "work", "args": {"header": "Basic {{ input.password }}", "plain": "{{ input.user }}"}}
    story = Story(workflow(step("a", config=config, output={"key": "{{ input.password | upper }}"})), USER)
    sent = config_of(story.begin(), "a")
    assert sent["args"] == {"header": Sealed("Basic hunter2"), "plain": "ada"}
    story.done("a")
    assert story.step("a").output == {"key": Sealed("HUNTER2")}


USER = {"user": "ada", "password": "hunter2"}


def test_a_secret_of_the_secret_store_stays_a_reference() -> None:
    config = {"task": "work", "args": {"token": "{{ secrets.TOKEN }}", "header": "Bearer {{ secrets.TOKEN }}"}}
    sent = config_of(Story(workflow(step("a", config=config))).begin(), "a")
    assert sent["args"] == {"token": SecretRef("TOKEN"), "header": SecretText(("Bearer ", SecretRef("TOKEN")))}


def test_messages_show_a_mask_in_place_of_a_secret() -> None:
    story = begun(workflow(step("a", type="fail", config={"message": "{{ input.password }}"})), USER)
    assert story.state.error is not None
    assert story.state.error.message == "step 'a' failed: ***"
    action = says("terminate", message="{{ input.password }} for {{ input.user }}")
    other = begun(workflow(step("a", type="fail", on_failure=action)), USER)
    assert other.state.error is not None
    assert other.state.error.message == "***"
