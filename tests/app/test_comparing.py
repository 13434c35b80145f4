"""Two executions side by side: each difference that there can be."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.comparing import ComparedStep, Comparison, Difference, compare, comparison_document, differences
from stepwell.app.recorded import Recorded
from stepwell.base.values import Sealed
from stepwell.definition.model import Fallback, StepBody, WorkflowDefinition
from tests.decider.story import BOOM, FLAKY, SECOND, Story, begun, on, retries, says, step, workflow


def recorded(story: Story) -> Recorded:
    story.crash()
    return Recorded(1, story.plan.definition, story.state, story.history)


def compared(a: Story, b: Story) -> Comparison:
    return compare(recorded(a), recorded(b))


def of(comparison: Comparison, name: str) -> ComparedStep:
    return next(one for one in comparison.steps if one.name == name)


CHAIN = workflow(step("a"), step("b", "a"))


def chain(first: Any = 1, second: Any = 2, given: Any = None, definition: WorkflowDefinition = CHAIN) -> Story:
    """An execution of two steps that completed."""
    story = begun(definition, given)
    story.done("a", first, after=SECOND)
    story.done("b", second, after=SECOND)
    return story


def test_an_execution_does_not_differ_from_itself() -> None:
    comparison = compared(chain(), chain())
    assert comparison.definition["same"]
    assert (comparison.input, comparison.parting, comparison.output) == ((), None, ())
    assert [one.differs for one in comparison.steps] == [(), ()]
    assert comparison.ratio == 1


def test_inputs_differ_by_path() -> None:
    a = chain(given={"order": {"id": 7, "tags": ["x"]}, "same": 1})
    b = chain(given={"order": {"id": 8, "tags": ["x", "y"]}, "same": 1})
    assert compared(a, b).input == (
        Difference(path="input.order.id", a=7, b=8), Difference(path="input.order.tags[1]", b="y"),
    )  # fmt: skip


def test_secrets_are_neither_shown_nor_compared() -> None:
    comparison = compared(chain(given={"pin": Sealed("1234")}), chain(given={"pin": Sealed("5678")}))
    assert comparison.input == ()
    assert "1234" not in str(comparison)
    other = compared(chain(given={"pin": Sealed("1234")}), chain(given={"pin": None}))
    assert other.input == (Difference(path="input.pin", a="***", b=None),)


def test_outputs_differ_by_the_first_path() -> None:
    comparison = compared(chain({"n": 1, "m": [1, 2]}), chain({"n": 1, "m": [1, 3], "k": 0}))
    assert of(comparison, "a").output == Difference(path="a.m[1]", a=2, b=3)
    assert of(comparison, "a").differs == ("output",)
    assert comparison.parting is None, "other data, the same way"


def test_a_step_that_failed_in_one_alone_is_where_they_part() -> None:
    good, bad = chain(), begun(CHAIN)
    bad.failed("a", BOOM)
    comparison = compared(good, bad)
    assert comparison.parting is not None
    assert (comparison.parting.a or {})["event"] == "StepCompleted"
    assert (comparison.parting.b or {})["error"]["type"] == "boom"
    assert (of(comparison, "a").a.instances, of(comparison, "a").b.instances) == ({"completed": 1}, {"failed": 1})
    assert of(comparison, "a").differs == ("path", "error")
    assert (of(comparison, "b").a.instances, of(comparison, "b").b.instances) == ({"completed": 1}, {})
    assert (comparison.a.status, comparison.b.status) == ("completed", "failed")
    assert comparison.b.error is not None
    assert comparison.ratio is None or comparison.ratio < 1


def test_a_step_that_was_skipped_in_one_alone_is_told() -> None:
    definition = workflow(step("a", when="{{ input.wanted }}"), step("b", "a"))
    without = begun(definition, {"wanted": False})
    without.done("b")
    comparison = compared(chain(given={"wanted": True}, definition=definition), without)
    assert of(comparison, "a").b.instances == {"skipped": 1}
    assert ((comparison.parting and comparison.parting.b) or {})["event"] == "StepSkipped"


def test_one_that_has_not_ended_is_compared_as_far_as_it_is() -> None:
    comparison = compared(chain(), begun(CHAIN))
    assert comparison.b.duration is None
    assert comparison.parting is not None
    assert (comparison.parting.a or {})["event"] == "StepCompleted"
    assert comparison.parting.b is None


def test_attempts_and_times_are_compared() -> None:
    definition = workflow(step("a", retry=retries(3)), step("b", "a"))
    slow = begun(definition)
    slow.failed("a", FLAKY)
    slow.time(SECOND)
    slow.done("a", 1, after=SECOND)
    slow.done("b", 2, after=SECOND)
    comparison = compared(chain(definition=definition), slow)
    assert (of(comparison, "a").a.attempts, of(comparison, "a").b.attempts) == (1, 2)
    assert of(comparison, "a").differs == ("attempts",)
    assert (comparison.a.attempts, comparison.b.attempts) == (2, 3)
    assert comparison.ratio == 1.5
    assert ((comparison.parting and comparison.parting.b) or {})["event"] == "AttemptFailed"


def test_what_ran_side_by_side_may_end_in_another_order() -> None:
    definition = workflow(step("a"), step("b"))
    one, other = begun(definition), begun(definition)
    one.done_all("a", "b")
    other.done_all("b", "a")
    assert compared(one, other).parting is None


def test_the_way_that_an_edge_took_is_a_difference() -> None:
    definition = workflow(step("a"), step("b", on("a", "success")), step("c", on("a", "failure")))
    good, bad = begun(definition), begun(definition)
    good.done("a")
    bad.failed("a")
    comparison = compared(good, bad)
    assert of(comparison, "c").a.instances == {"skipped": 1}
    assert of(comparison, "c").b.instances == {"running": 1}


def test_the_instances_of_a_loop_are_counted() -> None:
    loop = step("loop", type="loop", config={"items": "{{ input.items }}"}, blocks=(("steps", (step("work"),)),))
    few, many = begun(workflow(loop), {"items": [1, 2]}), begun(workflow(loop), {"items": [1, 2, 3]})
    for story, count in ((few, 2), (many, 3)):
        for number in range(count):
            story.done(f"work[{number}]", number)
    comparison = compared(few, many)
    assert of(comparison, "work").a.instances == {"completed": 2}
    assert of(comparison, "work").b.instances == {"completed": 3}
    assert ((comparison.parting and comparison.parting.b) or {})["event"] == "IterationStarted"


def test_what_undoes_a_step_or_stands_in_for_it_is_compared_apart_from_it() -> None:
    undo, stand_in = StepBody(type="python"), StepBody(type="python")
    careful = step("a", compensate=undo, on_failure=says("fallback", fallback=Fallback(body=stand_in)))
    story = begun(workflow(careful, step("b", "a")))
    story.failed("a")
    story.done("a[fallback]")
    story.failed("b")
    plain = begun(workflow(careful, step("b", "a")))
    plain.done("a")
    plain.failed("b")
    plain.done("a[undo]")
    comparison = compared(story, plain)
    assert (of(comparison, "a").a.instances, of(comparison, "a").b.instances) == ({"failed": 1}, {"compensated": 1})
    assert of(comparison, "a[fallback]").a.instances == {"completed": 1}
    assert of(comparison, "a[undo]").b.instances == {"completed": 1}


def test_definitions_differ_by_their_steps() -> None:
    newer = workflow(step("a", timeout=SECOND), step("c", "a"))
    comparison = compared(chain(), begun(newer))
    found = comparison.definition
    assert not found["same"]
    assert [one["name"] for one in found["steps"]["removed"]] == ["b"]
    assert [one["name"] for one in found["steps"]["added"]] == ["c"]
    assert [one["name"] for one in found["steps"]["changed"]] == ["a"]


def test_outputs_of_the_whole_differ_by_path() -> None:
    definition = workflow(step("a"), step("b", "a"), output_values={"n": "{{ steps.b.output }}"})
    comparison = compared(chain(definition=definition), chain(second=3, definition=definition))
    assert comparison.output == (Difference(path="output.n", a=2, b=3),)


def test_the_document_is_json_and_leaves_out_what_is_not_there() -> None:
    document = comparison_document(compared(chain(given={"n": 1}), chain(given={})))
    assert json.loads(json.dumps(document)) == document
    assert document["input"] == [{"path": "input.n", "a": 1}]
    assert document["a"]["created_at"] == "1970-01-01T00:00:00Z"
    assert (document["a"]["duration_ms"], document["steps"][0]["a"]["duration_ms"]) == (2_000, 1_000)


@pytest.mark.parametrize(
    ("a", "b", "paths"),
    [
        (1, 1, []),
        (1, 1.0, []),
        (1, True, ["x"]),
        ({"a": None}, {}, ["x.a"]),
        ([1, 2], [1], ["x[1]"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}], "c": 0}, ["x.a[0].b", "x.c"]),
        ({"a": 1}, [1], ["x"]),
    ],
)
def test_values_differ_where_they_do(a: Any, b: Any, paths: list[str]) -> None:
    assert [each.path for each in differences(a, b, "x")] == paths


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_values_differ_when_and_only_when_a_difference_is_found(a: Any, b: Any) -> None:
    assert not list(differences(a, a, "x"))
    assert bool(list(differences(a, b, "x"))) == (json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True))
    mirrored = [(each.path, each.b, each.a) for each in differences(b, a, "x")]
    found = [(each.path, each.a, each.b) for each in differences(a, b, "x")]
    assert sorted(found, key=str) == sorted(mirrored, key=str)
    assert all(each.a is not msgspec.UNSET or each.b is not msgspec.UNSET for each in differences(a, b, "x"))
