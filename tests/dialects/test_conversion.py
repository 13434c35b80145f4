"""A workflow converted to another dialect does the same there, or the conversion is refused by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from stepwell import WorkflowEngine, task
from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.loading import Loaded
from stepwell.dialects.loading import load
from stepwell.dialects.table import DIALECTS
from stepwell.dialects.writing import Written, write
from tests.virtual_clock import VirtualClock


@task("demo.double")
async def double(n: int) -> dict[str, int]:
    return {"n": 2 * n}


@task("demo.collect")
async def collect(first: int, second: int) -> dict[str, list[int]]:
    return {"all": [first, second]}


@task("demo.refuse")
async def refuse() -> None:
    raise ValueError("never")


TASKS = (double, collect, refuse)
KNOWN = Known(tasks=frozenset({"demo.double", "demo.collect", "demo.refuse"}))


class Case(NamedTuple):
    """A document, and the input that it is run with."""

    dialect: str
    text: str
    given: dict[str, Any]


NATIVE_HEAD = "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: demo, version: '1.0.0'}\n"

CASES = {
    "native sequence": Case(
        "native",
        NATIVE_HEAD
        + """
spec:
  input: {schema: {type: object, properties: {n: {type: integer}}, required: [n]}}
  steps:
    - {name: a, type: demo.double, config: {n: "{{ input.n }}"}}
    - {name: b, type: demo.double, depends_on: [a], config: {n: "{{ steps.a.output.n + 1 }}"}}
  output: {values: {n: "{{ steps.b.output.n }}"}}
""",
        {"n": 4},
    ),
    "native branches": Case(
        "native",
        NATIVE_HEAD
        + """
spec:
  input: {schema: {type: object, properties: {n: {type: integer}}, required: [n]}}
  vars: {found: 0}
  steps:
    - name: a
      type: demo.double
      config: {n: "{{ input.n }}"}
      next:
        - {when: "{{ succeeded() and result().n > 5 }}", to: [large], publish: {found: "{{ result().n }}"}}
        - {when: "{{ succeeded() and result().n <= 5 }}", to: [small]}
    - {name: large, type: demo.double, config: {n: "{{ vars.found }}"}}
    - {name: small, type: noop}
  output: {values: {found: "{{ vars.found }}"}}
""",
        {"n": 4},
    ),
    "native constructs": Case(
        "native",
        NATIVE_HEAD
        + """
spec:
  steps:
    - name: m
      type: loop
      config: {count: 2, steps: [{name: inside, type: checkpoint, config: {name: here}}]}
""",
        {},
    ),
    "activities": Case(
        "execution",
        """
execution:
  workflow: demo
  activities:
    - {name: a, activity: demo.double, input: {n: 3}, publish: {n: "${output.n}"}}
    - {name: b, activity: demo.double, input: {n: "${workflow.n}"}}
""",
        {},
    ),
    "step map": Case(
        "step-map",
        """
id: demo
steps:
  collect: {type: input, input: {data: {message: hello}}}
  process:
    type: process
    depends_on: [collect]
    input: {rules: [{type: transform, field: message, operation: uppercase}]}
""",
        {},
    ),
    "task graph": Case(
        "task-graph",
        """
ref: demo.demo
label: Demo
version: "1.0.0"
parameters: {n: {type: integer, default: 2}}
vars: {kept: []}
tasks:
  - name: a
    action: demo.double
    input: {n: "{{ parameters.n }}"}
    publish: [{kept: "{{ result().n }}"}]
    on_success: b
  - {name: b, action: demo.collect, input: {first: "{{ task.a.result.n }}", second: "{{ vars.kept }}"}}
output_map: {all: "{{ task.b.result.all }}"}
""",
        {"n": 5},
    ),
    "task graph with items": Case(
        "task-graph",
        """
ref: demo.demo
label: Demo
version: "1.0.0"
tasks:
  - name: a
    action: demo.double
    with_items: "{{ [1, 2, 3] }}"
    concurrency: 2
    input: {n: "{{ item }}"}
    on_success: b
  - {name: b, action: core.noop}
""",
        {},
    ),
    "task graph that fails": Case(
        "task-graph",
        """
ref: demo.demo
label: Demo
version: "1.0.0"
tasks:
  - {name: a, action: demo.refuse, on_failure: b}
  - {name: b, action: demo.double, input: {n: 1}}
  - {name: c, action: demo.refuse}
""",
        {},
    ),
    "orquesta": Case(
        "orquesta",
        """
version: 1.0
input: [n]
vars: [{kept: 0}]
tasks:
  a:
    action: demo.double
    input: {n: <% ctx().n %>}
    next:
      - when: <% succeeded() %>
        publish: [{kept: <% result().n %>}]
        do: b
  b: {action: demo.double, input: {n: <% ctx(kept) %>}}
output: [{kept: <% ctx().kept %>}]
""",
        {"n": 5},
    ),
}
WAYS = [(name, to) for name in CASES for to in DIALECTS]

REFUSED = {"native constructs": {"execution", "step-map", "task-graph", "orquesta"}}
"""What surely cannot be said there."""


@pytest.mark.parametrize(("name", "to"), WAYS)
async def test_it_does_the_same_or_is_refused_by_name(name: str, to: str) -> None:
    case = CASES[name]
    converted = _converted(case, to)
    lost = _lost(converted)
    if lost:
        assert all(lost)
        return
    assert to not in REFUSED.get(name, set())
    assert await _result(converted.text, to, case.given) == await _result(case.text, case.dialect, case.given)


def test_each_dialect_can_say_more_than_its_own() -> None:
    said = {(CASES[name].dialect, to) for name, to in WAYS if not _lost(_converted(CASES[name], to))}
    for dialect in DIALECTS:
        assert {(dialect, "native"), (dialect, "task-graph"), (dialect, dialect)} <= said


def _lost(written: Written) -> list[str]:
    return [each.what for each in written.unsaid if each.weight == "lost"]


def _converted(case: Case, to: str) -> Written:
    loaded: Loaded = load(Source("demo.yaml", case.text, case.dialect), known=KNOWN)
    assert loaded.definition is not None, [str(each) for each in loaded.diagnostics]
    return write(loaded.definition, to)


async def _result(text: str, dialect: str, given: dict[str, Any]) -> Any:
    """How an execution ends: its status and output, and what each step came to."""
    async with WorkflowEngine({"state_store": {"type": "memory"}}, tasks=TASKS, clock=VirtualClock()) as engine:
        execution = await engine.start_workflow(text, given, dialect=dialect)
        report = await engine.result(execution)
    steps = {step["name"]: (step["status"], step["output"]) for step in report["steps"] if "__" not in step["name"]}
    return {"status": report["status"], "output": report["output"], "steps": steps}
