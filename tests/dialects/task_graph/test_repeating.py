"""Items that are chosen, loops, and tasks that are run again by an operator."""

from __future__ import annotations

from typing import Any

from stepwell.dialects.task_graph.shapes import task_records
from stepwell.ports.work import TaskError
from tests.dialects.meaning import definition_of
from tests.dialects.task_graph.running import a_place, gives, graph, statuses


async def test_items_that_are_left_out_are_recorded_as_such() -> None:
    document = graph("""
        tasks:
          - name: each
            action: ops.do
            with_items: {items: "{{ [1, 2, 3, 4] }}", when: "{{ item % 2 == 0 }}"}
            input: {n: "{{ item }}"}
        output_map: {all: "{{ task.each.results }}"}
    """)
    async with a_place({"ops.do": lambda given: given["n"] * 10}) as place:
        report = await place.run(document)
    assert place.actions["ops.do"].inputs == [{"n": 2}, {"n": 4}]
    said = [(each["index"], each["status"], each["output"]) for each in report["output"]["all"]]
    assert said == [(0, "skipped", None), (1, "completed", 20), (2, "skipped", None), (3, "completed", 40)]
    records = task_records(report, definition_of(document))
    shown = [(each["task_name"], each["task_index"], each["status"]) for each in records]
    assert ("each", 0, "skipped") in shown


async def test_a_task_is_repeated_until_its_result_is_right_or_it_was_often_enough() -> None:
    document = graph("""
        tasks:
          - name: poll
            action: ops.poll
            repeat: {until: "{{ result().done }}", max_iterations: %s, delay: 5}
            on_failure: give_up
          - {name: give_up, action: core.noop}
    """)

    for most, status, tries in ((10, "completed", 3), (2, "failed", 2)):
        polled: list[int] = []

        def poll(given: Any, polled: list[int] = polled) -> dict[str, bool]:
            polled.append(1)
            return {"done": len(polled) == 3}

        async with a_place({"ops.poll": poll}) as place:
            report = await place.run(document.replace("%s", str(most)))
            assert (len(polled), statuses(report)["poll"]) == (tries, status)
            assert place.seconds() == 5 * (tries - 1)


async def test_a_failed_workflow_is_run_again_from_the_task_that_failed() -> None:
    document = graph("""
        tasks:
          - {name: first, action: ops.first, on_success: second}
          - {name: second, action: ops.second, on_success: third}
          - {name: third, action: ops.third}
    """)
    broken = [True]

    def second(given: object) -> str:
        if broken.pop() if broken else False:
            raise TaskError("gone", "not there")
        return "there"

    async with a_place({"ops.first": gives(1), "ops.second": second, "ops.third": gives(3)}) as place:
        report = await place.run(document)
        assert (report["status"], report["failed_steps"]) == ("failed", ["second"])
        await place.engine.handle(report["execution_id"]).retry(reason="it is there now")
        report = await place.end(report["execution_id"])
    assert statuses(report) == {"first": "completed", "second": "completed", "third": "completed"}
    assert [len(each.at) for each in place.actions.values()] == [1, 2, 1]
