"""How users of task graphs see an execution."""

from __future__ import annotations

from typing import Any

from stepwell.dialects.task_graph import shapes
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import SECOND, Function, a_place, fails, gives, graph

MIXED = graph("""
    label: Everything at once
    description: For looking at
    tags: [x]
    vars: {n: 1}
    parameters: {who: {type: string}}
    tasks:
      - {name: good, action: ops.good, on_success: after}
      - {name: after, action: core.noop, when: "{{ false }}"}
      - {name: slow, action: ops.slow, timeout: 3, retry: {count: 1, delay: 5}, on_complete: end}
      - {name: end, action: core.noop}
      - {name: items, action: ops.item, with_items: "{{ range(3) }}", batch_size: 2, input: {n: "{{ item }}"}}
      - name: both
        type: parallel
        tasks: [{name: one, action: ops.good}, {name: two, action: ops.bad}]
        next: [{when: "{{ failed() }}", do: noop}]
    """)


WORK: dict[str, Function] = {"ops.item": lambda given: len(given["n"]), "ops.slow": gives(None)}


async def looked_at(at: float | None = None) -> tuple[dict[str, Any], Any]:
    """The report of the mixture, after so many seconds or at its end, and its definition."""
    async with a_place({"ops.good": gives({"ok": 1}), "ops.bad": fails("no disk"), **WORK}) as place:
        place.actions["ops.slow"].lasts = 60
        execution = await place.start(MIXED, {"who": "ann"})
        if at is not None:
            await place.clock.advance(round(at * SECOND))
            return await place.report(execution), definition_of(MIXED)
        return await place.end(execution), definition_of(MIXED)


async def test_the_result_counts_tasks() -> None:
    report, _ = await looked_at()
    assert shapes.result_of(report) == {
        "status": "completed",
        "output": None,
        "completed_tasks": 4,
        "failed_tasks": 3,
        "skipped_tasks": 1,
        "error_message": None,
    }


async def test_the_progress_says_what_runs_and_what_is_in_line() -> None:
    report, _ = await looked_at(at=1)
    progress = shapes.progress_of(report)
    assert (progress["status"], progress["paused"]) == ("running", False)
    assert (progress["executing_tasks"], progress["scheduled_tasks"]) == (["slow"], [])
    assert progress["total_tasks"] == 8
    later, _ = await looked_at(at=4)
    assert shapes.progress_of(later)["scheduled_tasks"] == ["slow"]


async def test_there_is_a_record_for_every_task_and_item() -> None:
    report, definition = await looked_at()
    records = {(each["task_name"], each["task_index"]): each for each in shapes.task_records(report, definition)}
    slow = records["slow", None]
    assert (slow["status"], slow["timed_out"], slow["timeout_seconds"]) == ("timeout", True, 3.0)
    assert slow["error"]["message"] == "Task timed out after 3 seconds"
    assert (slow["retry_count"], slow["max_retries"], slow["next_retry_at"]) == (1, 1, None)
    assert [records["items", index]["result"] for index in (0, 1)] == [2, 1]
    assert [records["items", index]["task_batch"] for index in (0, 1)] == [0, 1]
    assert records["items", None]["result"] == {
        "results": [{"index": 0, "status": "completed", "output": 2}, {"index": 1, "status": "completed", "output": 1}],
        "total": 2,
    }
    assert records["both", None]["error"]["type"] == "parallel_execution_error"
    assert [each["task"] for each in records["both", None]["result"]["results"]] == ["one", "two"]
    assert records["after", None]["status"] == "skipped"


async def test_a_retry_is_in_line_until_its_time_comes() -> None:
    report, definition = await looked_at(at=4)
    slow = next(each for each in shapes.task_records(report, definition) if each["task_name"] == "slow")
    assert slow["status"] == "scheduled"
    assert slow["next_retry_at"] is not None


async def test_the_record_of_an_execution_has_its_graph_and_its_variables() -> None:
    report, definition = await looked_at(at=1)
    record = shapes.execution_record(report, definition)
    assert record["current_tasks"] == ["slow"]
    assert record["variables"] == {"n": 1}
    assert record["task_graph"]["entry_points"] == ["good", "slow", "items", "both"]
    assert {"from": "slow", "to": "end", "on": "complete", "when": None} in record["task_graph"]["edges"]
    assert shapes.context_of(report)["parameters"] == {"who": "ann"}
    assert shapes.definition_record(definition)["pack"] == "test"


async def test_a_pause_is_a_flag_beside_the_status() -> None:
    async with a_place({"ops.slow": lambda given: place.sleep(5)}) as place:
        execution = await place.start(graph("tasks: [{name: a, action: ops.slow}]"))
        await place.engine.handle(execution).pause("lunch", by="ann")
        report = await place.report(execution)
    progress = shapes.progress_of(report)
    assert (progress["status"], progress["paused"], progress["pause_reason"]) == ("running", True, "lunch")
    said = shapes.notification_of(report, "workflow.paused", "2026-11-20T10:00:00Z")
    assert (said["entity_id"], said["current_tasks"]) == (execution, ["a"])


async def test_what_is_handed_on_says_whether_it_succeeded() -> None:
    async with a_place({"ops.bad": fails("no disk"), "ops.slow": lambda given: place.sleep(60)}) as place:
        good = await place.run(graph("tasks: [{name: a, action: core.noop}]\noutput_map: {n: 1}"))
        own = await place.run(graph("tasks: [{name: a, action: core.noop}]\noutput_map: {succeeded: maybe}"))
        bad = await place.run(graph("tasks: [{name: a, action: ops.bad}]"))
        late = await place.run(graph("timeout: 2\ntasks: [{name: a, action: ops.slow}]"))
        failing = await place.run(graph("tasks: [{name: a, action: core.noop, on_success: fail}]"))
    assert shapes.payload_of(good) == {"succeeded": True, "n": 1}
    assert shapes.payload_of(own) == {"succeeded": "maybe"}
    assert shapes.payload_of(bad) == {"error": "step 'a' failed: no disk", "succeeded": False}
    assert (shapes.status_of(bad), shapes.status_of(late)) == ("failed", "timeout")
    assert shapes.result_of(failing)["failed_tasks"] == 0
    assert shapes.progress_of(failing)["total_tasks"] == 1
