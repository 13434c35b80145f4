"""What two definitions mean differently."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.app.difference import difference
from stepwell.base.spans import Source
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load_or_raise

BASE = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: shop, version: "1.0.0", tags: [a]}
spec:
  config: {timeout: 60s, retry_policy: {max_attempts: 2}}
  vars: {a: 1, b: "2"}
  steps:
    - name: one
      type: http
      timeout: 5s
      config: {url: "http://x/", body: {amount: 1, list: [1, 2]}}
    - {name: two, depends_on: one, type: set, config: {a: 3}}
    - name: pick
      type: conditional
      depends_on: one
      config: {condition: "{{ vars.a == 1 }}", then: [{name: inner, type: noop}], else: [{name: other, type: noop}]}
  compensation:
    steps:
      - {name: undo_one, type: noop}
      - {name: undo_two, type: noop}
"""


def loaded(*changes: tuple[str, str]) -> WorkflowDefinition:
    """The base with some of its text changed."""
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_or_raise(Source("shop.yaml", text))


def compared(*changes: tuple[str, str]) -> dict[str, Any]:
    """The difference between the base and the base with some of its text changed."""
    return difference(loaded(), loaded(*changes))


def changes_of(document: dict[str, Any], step: str) -> list[dict[str, Any]]:
    """What changed in a step."""
    (changes,) = [each["changes"] for each in document["steps"]["changed"] if each["name"] == step]
    return list(changes)


@pytest.mark.parametrize(
    "change",
    [
        ("timeout: 60s", "timeout: 1m"),
        ("vars: {a: 1", "vars: # a comment\n    {a: 1"),
        ("depends_on: one, type: set", "type: set, depends_on: [one]"),
        ('version: "1.0.0"', 'version: "1.1.0"'),
    ],
)
def test_another_way_to_write_the_same_is_no_difference(change: tuple[str, str]) -> None:
    document = compared(change)
    assert document["same"]
    assert document["steps"] == {"added": [], "removed": [], "changed": []}
    assert document["workflow"] == []


def test_both_are_named_with_their_versions_and_digests() -> None:
    document = compared(('version: "1.0.0"', 'version: "1.1.0"'))
    assert document["from"] == {"workflow": "shop", "version": "1.0.0", "digest": loaded().digest}
    assert (document["to"]["version"], document["to"]["digest"] == document["from"]["digest"]) == ("1.1.0", False)


def test_steps_that_came_and_went_are_named_with_type_and_place() -> None:
    document = compared(("{name: inner, type: noop}", "{name: fresh, type: wait, config: {for: 1s}}"))
    assert not document["same"]
    assert document["steps"]["added"] == [{"name": "fresh", "type": "wait", "place": "pick.then"}]
    assert document["steps"]["removed"] == [{"name": "inner", "type": "noop", "place": "pick.then"}]
    document = compared(("- {name: undo_one, type: noop}", "- {name: undo_all, type: noop}"))
    assert document["steps"]["added"] == [{"name": "undo_all", "type": "noop", "place": "compensation"}]


def test_a_changed_step_says_what_changed_in_it_and_nothing_else() -> None:
    document = compared(
        ("timeout: 5s", "timeout: 8s"), ("amount: 1, list: [1, 2]", "amount: true, list: [1, 3], more: {}")
    )
    assert changes_of(document, "one") == [
        {"path": "config.body.amount", "from": 1, "to": True},
        {"path": "config.body.list[1]", "from": 2, "to": 3},
        {"path": "config.body.more", "to": {}},
        {"path": "timeout", "from": "5s", "to": "8s"},
    ]
    assert [each["name"] for each in document["steps"]["changed"]] == ["one"]
    assert document["workflow"] == []


def test_what_is_no_longer_there_is_said_without_a_new_value() -> None:
    assert changes_of(compared(("      timeout: 5s\n", "")), "one") == [{"path": "timeout", "from": "5s"}]


def test_an_edge_that_changed_is_a_change_of_the_step_it_leads_to() -> None:
    changed = compared(("depends_on: one, type: set", "depends_on: {step: one, on: failure}, type: set"))
    assert changes_of(changed, "two") == [{"path": "depends_on[0].on", "to": "failure"}]


def test_a_step_that_moved_into_another_block_says_so() -> None:
    document = compared(
        ("then: [{name: inner, type: noop}]", "then: [{name: kept, type: noop}]"),
        ("else: [{name: other, type: noop}]", "else: [{name: other, type: noop}, {name: inner, type: noop}]"),
    )
    assert changes_of(document, "inner") == [{"path": "place", "from": "pick.then", "to": "pick.else"}]


def test_what_changed_outside_of_the_steps_has_its_path() -> None:
    document = compared(
        ("timeout: 60s", "timeout: 2m"),
        ("max_attempts: 2", "max_attempts: 3"),
        ('b: "2"', 'c: "2"'),
        ("tags: [a]", "tags: [a, b]"),
    )
    assert document["workflow"] == [
        {"path": "tags", "from": ["a"], "to": ["a", "b"]},
        {"path": "config.timeout", "from": "1m", "to": "2m"},
        {"path": "config.retry.max_attempts", "from": 2, "to": 3},
        {"path": "vars.b", "from": "2"},
        {"path": "vars.c", "to": "2"},
    ]


def test_the_order_of_compensation_steps_means_something_and_that_of_others_does_not() -> None:
    one, two = "- {name: undo_one, type: noop}", "- {name: undo_two, type: noop}"
    swapped = compared((f"{one}\n      {two}", f"{two}\n      {one}"))
    assert swapped["workflow"] == [
        {"path": "compensation.steps", "from": ["undo_one", "undo_two"], "to": ["undo_two", "undo_one"]}
    ]
    block = "    - {name: two, depends_on: one, type: set, config: {a: 3}}\n"
    assert compared((block, ""), ("  steps:\n    - name: one", f"  steps:\n{block}    - name: one"))["same"]
