"""Workflows written in Python."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stepwell import InvalidDefinition, StepwellError, Workflow, WorkflowEngine, step, task
from stepwell.app.builder import Expression, StepKeys
from stepwell.definition.document import StepDoc
from stepwell.definition.reading import known_keys
from tests.dialects.meaning import definition_of, meaning

MEMORY = {"state_store": {"type": "memory"}}

DOCUMENT = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: orders, version: "2.0.0", description: Sells things, tags: [shop]}
spec:
  config: {retry_policy: {max_attempts: 3}, timeout: 30m, max_parallel_steps: 4, failure_mode: drain}
  input: {schema: {type: object, required: [order], properties: {order: {type: integer}, people: {}}}}
  vars: {tries: 0}
  triggers: [{event: "order:created"}]
  compensation: {strategy: reverse}
  steps:
    - name: charge
      type: python
      config: {task: charge, args: {order: "{{ input.order }}", note: "Order {{ input.order }}"}}
      retry: {max_attempts: 5, initial_delay: 1s}
      timeout: 90s
      compensate: {type: python, config: {task: refund, args: {receipt: "{{ steps.charge.output.receipt }}"}}}
    - name: tell-them
      type: http
      config: {url: "http://127.0.0.1/", body: ["{{ steps.charge.output['receipt'] }}"]}
      depends_on: [charge]
      when: "{{ (vars.tries == 0) }}"
      for_each: {items: "{{ input.people }}"}
      on_failure: {action: continue}
    - name: sorry
      type: parallel_group
      depends_on: [{step: charge, on: failure}, tell-them]
      config: {steps: [{name: one, type: noop}, {name: two, type: noop, depends_on: [one]}]}
      join: any
    - {name: last, type: transform, config: {value: "{{ steps['tell-them'].output }}"}, depends_on: [sorry]}
  output: {values: {receipt: "{{ steps.charge.output.receipt }}"}, schema: {type: object}}
"""


NAMELESS: Any = object()


def orders() -> Workflow:
    made = Workflow(
        "orders",
        version="2.0.0",
        description="Sells things",
        tags=["shop"],
        input={"type": "object", "required": ["order"], "properties": {"order": {"type": "integer"}, "people": {}}},
        vars={"tries": 0},
        output_schema={"type": "object"},
        retry=3,
        timeout="30m",
        max_parallel_steps=4,
        config={"failure_mode": "drain"},
        triggers=[{"event": "order:created"}],
        compensation={"strategy": "reverse"},
    )
    charge = made.step(
        "charge",
        task="charge",
        args={"order": made.input.order, "note": f"Order {made.input.order}"},
        retry={"max_attempts": 5, "initial_delay": "1s"},
        timeout=timedelta(seconds=90),
        compensate=step(task="refund", args={"receipt": Expression("steps.charge.output.receipt")}),
    )
    tell = made.step(
        "tell-them",
        type="http",
        config={"url": "http://127.0.0.1/", "body": [charge.output["receipt"]]},
        after=charge,
        when=made.vars.tries == 0,
        for_each=made.input.people,
        on_failure={"action": "continue"},
    )
    made.step(
        "sorry",
        type="parallel_group",
        config={"steps": [step("one", type="noop"), step("two", type="noop", after="one")]},
        after=[charge.on("failure"), tell],
        join="any",
    )
    made.step("last", type="transform", config={"value": tell.output}, after="sorry")
    made.returns(receipt=charge.output.receipt)
    return made


def test_a_builder_makes_the_document_that_one_would_write() -> None:
    built = orders()
    assert meaning(definition_of(built.to_yaml())) == meaning(definition_of(DOCUMENT))
    assert [each.name for each in built.steps] == ["charge", "tell-them", "sorry", "last"]


def test_the_document_is_made_of_plain_values() -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str and plain(part) for key, part in value.items())
        return all(map(plain, value)) if isinstance(value, list) else type(value) in (str, int, float, bool, type(None))

    assert plain(orders().to_dict())


def test_a_step_takes_every_key_of_a_document() -> None:
    renamed = {"depends_on": "after"}
    other = {"name", "with", "condition", "with_items", "batch_size", "concurrency", "parallel"}
    keys = {renamed.get(key, key) for key in known_keys(StepDoc)} - other
    assert StepKeys.__annotations__.keys() == keys | {"task", "args"}


def test_a_task_may_be_given_as_the_function() -> None:
    @task("named")
    def one() -> None: ...

    def two() -> None: ...

    assert step("a", task=one).document["config"] == {"task": "named"}
    assert step("a", task=two, args={"x": 1}).document["config"] == {"task": "two", "args": {"x": 1}}


def test_a_list_is_gone_through() -> None:
    assert step("a", type="noop", for_each=[1, 2]).document["for_each"] == {"items": [1, 2]}
    assert step("a", type="noop", for_each={"items": [1], "as": "x"}).document["for_each"]["as"] == "x"
    assert str(Workflow("w").item.name) == "{{ item.name }}"


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda w: w.step("a", type="noop", affter="b"), "unknown-key", "did you mean 'after'"),
        (lambda w: w.step("first", type="noop"), "duplicate-name", "'first' already"),
        (lambda w: w.step("a b", type="noop"), "bad-name", "'a b' is not a name"),
        (lambda w: w.step(5, type="noop"), "bad-name", "'5' is not a name"),
        (lambda w: w.step("input", type="noop"), "reserved-name", "'input'"),
        (lambda w: w.step("a", type="noop", after="frist"), "unknown-step", "did you mean 'first'"),
        (lambda w: w.step("a", type="noop", after=["first", step("x", type="noop")]), "unknown-step", "'x'"),
        (lambda w: w.step("a", type="noop", task="t"), "conflicting-keys", "not both"),
        (lambda w: w.step("a", type="noop", args={}), "conflicting-keys", "no `task`"),
        (lambda w: w.step("a", type="noop", compensate=step("b", task="t")), "conflicting-keys", "'b'"),
        (lambda w: w.step("a", type="noop", after=step(task="t")), "missing-name", "without a name"),
        (lambda w: w.add(step(task="t")), "missing-name", "needs a name"),
        (lambda w: step(task="t").output, "missing-name", "no name"),
        (lambda w: Workflow("w", config={"retrys": 1}), "unknown-key", "retry_policy"),
        (lambda w: step("a", task=NAMELESS), "missing-name", "@task"),
        (lambda w: (w.step("a", type="input", config={"data": {1, 2}}), w.to_dict()), "wrong-value", "{1, 2}"),
    ],
)
def test_what_is_wrong_is_said_at_once(make: Any, code: str, words: str) -> None:
    workflow = Workflow("w")
    workflow.step("first", type="noop")
    with pytest.raises(StepwellError) as caught:
        make(workflow)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_an_expression_is_no_value_yet() -> None:
    value = Workflow("w").input.x
    for use in (bool, list, hash):
        with pytest.raises(TypeError):
            use(value)
    assert not hasattr(value, "__deepcopy__")
    with pytest.raises(StepwellError, match="compared"):
        value == [1]  # noqa: B015
    assert repr(value[0]["a"]) == "Expression(\"input.x[0]['a']\")"


def test_the_whole_is_checked_when_asked_for() -> None:
    workflow = Workflow("w", input={"type": "object", "properties": {"order": {}}, "additionalProperties": False})
    workflow.step("a", type="transform", config={"value": workflow.input.ordre})
    with pytest.raises(InvalidDefinition, match="unknown-input"):
        workflow.check()
    orders().check()


def test_a_comparison_is_a_condition() -> None:
    given = Workflow("w").input
    written = [given.a == "it's", given.a != None, given.a < 1, given.a <= 1.5, given.a > given.b, given.a >= True]  # noqa: E711
    assert list(map(str, written)) == [
        '{{ (input.a == "it\'s") }}',
        "{{ (input.a != none) }}",
        "{{ (input.a < 1) }}",
        "{{ (input.a <= 1.5) }}",
        "{{ (input.a > input.b) }}",
        "{{ (input.a >= true) }}",
    ]


async def test_an_engine_takes_a_workflow_as_it_is() -> None:
    @task
    async def add(a: int, b: int) -> int:
        return a + b

    workflow = Workflow("sum", input={"required": ["a"]})
    first = workflow.step("first", task=add, args={"a": workflow.input.a, "b": 1})
    second = workflow.step("second", task=add, args={"a": first.output, "b": 10}, after=first)
    workflow.returns(total=second.output, words=f"it is {second.output}")
    async with WorkflowEngine(MEMORY, tasks=[add]) as engine:
        report = await engine.execute_workflow(workflow, {"a": 1})
        assert report["output"] == {"total": 12, "words": "it is 12"}
        await engine.register_workflow(workflow)
        assert (await engine.execute_workflow("sum", {"a": 2}))["output"]["total"] == 13
        assert (await engine.execute_workflow(workflow.to_yaml(), {"a": 3}))["output"]["total"] == 14
