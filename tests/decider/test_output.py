"""The output of the workflow: by `values`, by `schema`, and when it is not valid."""

from __future__ import annotations

from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed
from stepwell.execution.history import ExecutionFailed
from tests.decider.story import Story, begun, kinds, says, step, workflow


def ended(results: dict[str, Any], **settings: Any) -> Story:
    """An execution whose steps, one after the other, gave these results."""
    names = list(results)
    steps = [step(name, *names[:position][-1:]) for position, name in enumerate(names)]
    story = begun(workflow(*steps, **settings), settings.get("given"))
    for name, result in results.items():
        story.done(name, result)
    return story


def error_of(story: Story) -> ErrorInfo:
    """The execution's error."""
    (failed,) = [event for event in story.history if isinstance(event, ExecutionFailed)]
    return failed.error


OBJECT = {"type": "object"}


def test_without_values_and_schema_there_is_no_output() -> None:
    assert ended({"a": {"x": 1}}).state.output is None


def test_values_are_rendered_at_the_end() -> None:
    story = ended(
        {"a": {"x": 1}, "b": 2}, output_values={"x": "{{ steps.a.output.x }}", "both": ["{{ steps.b.output }}"]}
    )
    assert story.state.output == {"x": 1, "both": [2]}


def test_an_undefined_value_fails_the_execution_and_names_the_expression() -> None:
    error = error_of(ended({"a": {}}, output_values={"id": "{{ steps.a.output.id }}"}))
    assert error.type == "invalid_output"
    assert "steps.a.output.id is not defined" in error.message
    assert error.details is not None
    assert error.details["where"] == "id"


def test_a_default_opts_out_of_that() -> None:
    story = ended({"a": {}}, output_values={"id": "{{ steps.a.output.id | default(null) }}"})
    assert story.state.output == {"id": None}


def test_by_schema_a_property_is_taken_from_the_variables_first() -> None:
    schema = {**OBJECT, "properties": {"id": {}, "other": {}}}
    story = ended({"a": {"id": "from a step"}}, output_schema=schema, vars=(("id", "from vars"),))
    assert story.state.output == {"id": "from vars"}


def test_by_schema_a_property_is_taken_from_the_newest_output_that_has_it() -> None:
    schema = {**OBJECT, "properties": {"id": {}, "name": {}}}
    story = begun(workflow(step("a"), step("b"), step("c"), output_schema=schema))
    story.done("a", {"id": "a", "name": "ada"})
    story.done("c", {"id": "c"})
    story.crash()
    story.done("b", {"other": 1})
    assert story.state.output == {"id": "c", "name": "ada"}


def test_by_schema_only_completed_steps_and_objects_count() -> None:
    schema = {**OBJECT, "properties": {"id": {}}}
    story = begun(
        workflow(step("a"), step("b", "a", on_failure=says("continue")), step("c", "b"), output_schema=schema)
    )
    story.done("a", {"id": "a"})
    story.failed("b")
    story.done("c", ["id"])
    assert story.state.output == {"id": "a"}


def test_the_output_is_checked_against_the_schema_and_every_problem_is_named() -> None:
    schema = {**OBJECT, "properties": {"id": {"type": "integer"}}, "required": ["id", "name"]}
    error = error_of(ended({"a": {"id": "seven"}}, output_schema=schema))
    assert error.type == "invalid_output"
    assert 'id: "seven" is not of type "integer"' in error.message
    assert '"name" is a required property' in error.message


def test_values_are_checked_against_the_schema_too() -> None:
    settings = {"output_schema": {"properties": {"n": {"maximum": 3}}}, "output_values": {"n": "{{ steps.a.output }}"}}
    assert error_of(ended({"a": 4}, **settings)).type == "invalid_output"
    assert ended({"a": 3}, **settings).state.output == {"n": 3}


def test_a_secret_in_the_output_stays_sealed_and_is_not_told_when_it_is_wrong() -> None:
    settings: dict[str, Any] = {"output_values": {"key": "{{ input.password }}"}}
    fine = begun(workflow(step("a"), **settings), {"password": "hunter2"})
    fine.done("a")
    assert fine.state.output == {"key": Sealed("hunter2")}
    wrong = begun(
        workflow(step("a"), output_schema={"properties": {"key": {"type": "integer"}}}, **settings),
        {"password": "hunter2"},
    )
    wrong.done("a")
    assert "hunter2" not in repr(wrong.history[1:])
    assert "*** is not of type" in error_of(wrong).message


def test_an_output_that_grew_too_large_to_be_stored_fails_the_execution_and_nothing_else() -> None:
    chain = [
        step(f"s{n}", *([f"s{n - 1}"] if n else []), type="set", config={}, output=_doubling(n)) for n in range(60)
    ]
    story = begun(workflow(*chain))
    assert story.state.status == "failed"
    assert "makes the whole larger than 8 MiB" in error_of(story).message


def _doubling(position: int) -> dict[str, Any]:
    if not position:
        return {"l": "x" * 100, "r": "x" * 100}
    before = f"{{{{ steps.s{position - 1}.output }}}}"
    return {"l": before, "r": before}


def test_an_output_that_grew_too_deep_to_be_stored_fails_its_step() -> None:
    def nested(position: int) -> Any:
        return {"in": f"{{{{ steps.s{position - 1}.output }}}}" if position else "bottom"}

    chain = [step(f"s{n}", *([f"s{n - 1}"] if n else []), type="set", config={}, output=nested(n)) for n in range(100)]
    story = begun(workflow(*chain))
    assert "nested more than 64 deep" in error_of(story).message


def test_the_end_is_one_event() -> None:
    story = begun(workflow(step("a")))
    assert kinds(story.done("a"))[-1] == "ExecutionCompleted"
    assert [type(event).__name__ for event in story.history].count("ExecutionCompleted") == 1
