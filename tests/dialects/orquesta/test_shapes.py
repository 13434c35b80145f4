"""An execution in the words of Orquesta."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.dialects.orquesta.shapes import status_of, tasks_of, workflow_of
from tests.dialects.orquesta.conducting import workflow
from tests.dialects.task_graph.running import a_place, fails, gives

ITEMS = workflow("""
    input: [{n: 2}]
    tasks:
      many:
        with: <% list(range(ctx(n))) %>
        action: ops.build
        next: [{do: many_more}]
      many_more:
        action: ops.check
        next: [{when: <% failed() %>, do: fail}]
    output: [{n: <% ctx(n) %>}]
""")


def report(status: str, *steps: dict[str, Any], error: Any = None) -> dict[str, Any]:
    failed = [each["name"] for each in steps if each["status"] == "failed"]
    return {"status": status, "steps": list(steps), "error": error, "failed_steps": failed}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (report("pending"), "requested"),
        (report("waiting"), "running"),
        (report("paused"), "paused"),
        (report("paused", {"name": "a", "status": "running"}), "pausing"),
        (report("completed"), "succeeded"),
        (report("failed", error={"type": "timeout"}), "timeout"),
        (report("failed", {"name": "a", "status": "failed"}, error={"type": "timeout"}), "failed"),
        (report("cancelled"), "canceled"),
    ],
)
def test_statuses_have_other_words(made: dict[str, Any], expected: str) -> None:
    assert status_of(made) == expected


async def test_the_records_of_an_execution_and_its_tasks() -> None:
    async with a_place({"ops.build": gives("ok"), "ops.check": fails("no")}) as place:
        made = await place.run(ITEMS)
    record = workflow_of(made)
    assert (record["status"], record["input"], record["output"]) == ("failed", {"n": 2}, {"n": 2})
    assert next((each["task_id"], each["message"]) for each in record["errors"]) == ("many_more", "no")
    many, more = tasks_of(made)
    assert (many["task_id"], many["visit"], many["status"], many["itemized"]) == ("many", 1, "succeeded", True)
    assert many["items"] == [
        {"item_id": 0, "status": "succeeded", "result": "ok"}, {"item_id": 1, "status": "succeeded", "result": "ok"},
    ]  # fmt: skip
    assert (more["task_id"], more["status"], more["itemized"], more["items"]) == ("many_more", "failed", False, [])
    assert more["result"]["message"] == "no"
