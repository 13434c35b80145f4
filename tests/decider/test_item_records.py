"""What expressions read of the items of a step, and of one that ran out of time."""

from __future__ import annotations

from typing import Any

from stepwell.base.errors import ErrorInfo
from tests.decider.played import Played
from tests.decider.story import BOOM

ITEMS = """
steps:
  - name: each
    type: work
    config: {n: "{{ item }}"}
    for_each: {items: "{{ input.items }}", concurrency: %d}
    on_complete: see
  - {name: see, type: set, config: {records: "{{ steps.each.items }}", late: "{{ steps.each.timed_out }}"}}
"""


def seen(items: list[int], results: dict[str, Any], concurrency: int = 10) -> dict[str, Any]:
    story = Played(ITEMS % concurrency, {"items": items})
    for key, result in results.items():
        if isinstance(result, ErrorInfo):
            story.failed(key, result)
        else:
            story.done(key, result=result)
    output: dict[str, Any] = story.step("see").output
    return output


def test_every_item_has_a_record_in_order() -> None:
    records = seen([1, 2], {"each[1]": "b", "each[0]": "a"})["records"]
    assert records == [
        {"index": 0, "status": "completed", "output": "a"},
        {"index": 1, "status": "completed", "output": "b"},
    ]


def test_the_records_are_there_when_the_step_has_failed() -> None:
    records = seen([1, 2, 3], {"each[0]": "a", "each[1]": BOOM}, concurrency=1)["records"]
    assert [(each["status"], each["output"]) for each in records] == [
        ("completed", "a"), ("failed", None), ("pending", None),
    ]  # fmt: skip
    assert records[1]["error"]["message"] == BOOM.message


def test_of_no_items_there_are_no_records() -> None:
    assert seen([], {}) == {"records": [], "late": False}


def test_a_step_without_items_has_no_records() -> None:
    story = Played("""
        steps:
          - {name: a, type: noop}
          - {name: see, type: set, depends_on: [a], config: {r: "{{ steps.a.items }}"}}
        """)
    assert story.step("see").output == {"r": None}


def test_a_step_that_ran_out_of_time_says_so() -> None:
    late = ErrorInfo("timeout", "too slow", retryable=True)
    assert seen([1], {"each[0]": late})["late"] is True
    assert seen([1], {"each[0]": BOOM})["late"] is False


def test_the_end_of_the_step_itself_sees_them() -> None:
    story = Played("""
        steps:
          - name: each
            type: work
            for_each: {items: [1, 2]}
            publish: {count: "{{ length(steps.each.items) }}"}
        """)
    story.done("each[0]", "each[1]")
    assert story.state.variables["count"] == 2
