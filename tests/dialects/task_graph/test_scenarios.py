"""What a task graph does when it runs."""

from __future__ import annotations

import pytest

from stepwell.ports.work import TaskError
from tests.dialects.task_graph.running import Place, a_place, fails, gives, graph, statuses


async def test_tasks_run_one_after_the_other() -> None:
    document = graph("""
        tasks:
          - {name: a, action: ops.do, input: {n: 1}, on_success: b}
          - {name: b, action: ops.do, input: {n: 2}, on_success: c}
          - {name: c, action: ops.do, input: {n: "{{ task.b.result.n + 1 }}"}}
        output_map: {last: "{{ task.c.result.n }}"}
        """)
    async with a_place({"ops.do": lambda given: given}) as place:
        report = await place.run(document)
    assert [given["n"] for given in place.actions["ops.do"].inputs] == [1, 2, 3]
    assert (report["status"], report["output"]) == ("completed", {"last": 3})


async def test_two_entry_points_lead_into_one_task_that_runs_once() -> None:
    document = graph("""
        tasks:
          - {name: left, action: ops.slow, input: {seconds: 5}, on_success: final}
          - {name: right, action: ops.slow, input: {seconds: 2}, on_success: final}
          - {name: final, action: ops.final, input: {seen: ["{{ task.left.status }}", "{{ task.right.status }}"]}}
        """)
    async with a_place({"ops.slow": lambda given: place.sleep(given["seconds"]), "ops.final": gives(1)}) as place:
        await place.run(document)
    assert place.actions["ops.slow"].at == [0, 0]
    assert place.actions["ops.final"].at == [5]
    assert place.actions["ops.final"].inputs == [{"seen": ["completed", "completed"]}]


async def test_exclusive_branches_converge_once() -> None:
    document = graph("""
        parameters: {kind: {type: string, required: true}}
        tasks:
          - name: choose
            action: core.noop
            decision: [{when: "{{ kind == 'big' }}", next: big}, {default: small}]
          - {name: big, action: ops.do, on_success: end}
          - {name: small, action: ops.do, on_success: end}
          - {name: end, action: ops.end}
        """)
    async with a_place({"ops.do": gives(1), "ops.end": gives(2)}) as place:
        report = await place.run(document, {"kind": "big"})
    assert len(place.actions["ops.end"].at) == 1
    assert statuses(report) == {"choose": "completed", "big": "completed", "small": "skipped", "end": "completed"}


async def test_seven_items_in_batches_of_three_two_at_once() -> None:
    document = graph("""
        tasks:
          - name: roll
            action: ops.deploy
            with_items: "{{ range(7) }}"
            batch_size: 3
            concurrency: 2
            input: {hosts: "{{ item }}", batch: "{{ index }}"}
            publish:
              - results: "{{ task.roll.result.results }}"
              - total: "{{ task.roll.result.total }}"
              - count: "{{ task.roll.total_count }}"
        output_map: {results: "{{ results }}", total: "{{ total }}", count: "{{ vars.count }}"}
        """)
    async with a_place({"ops.deploy": lambda given: _deployed(place, given)}) as place:
        report = await place.run(document)
    action = place.actions["ops.deploy"]
    assert [given["hosts"] for given in action.inputs] == [[0, 1, 2], [3, 4, 5], [6]]
    assert (action.at, action.most) == ([0, 0, 10], 2)
    assert [(each["index"], each["status"], each["output"]) for each in report["output"]["results"]] == [
        (0, "completed", 3),
        (1, "completed", 3),
        (2, "completed", 1),
    ]
    assert (report["output"]["total"], report["output"]["count"]) == (3, 3)


async def _deployed(place: Place, given: dict[str, list[int]]) -> int:
    await place.sleep(10)
    return len(given["hosts"])


async def test_retry_with_exponential_backoff_waits_2_4_8() -> None:
    document = graph("""
        tasks:
          - {name: flaky, action: ops.flaky, retry: {count: 3, delay: 2, backoff: exponential}}
        """)
    async with a_place({"ops.flaky": fails()}) as place:
        report = await place.run(document)
    assert place.actions["ops.flaky"].at == [0, 2, 6, 14]
    assert report["status"] == "failed"


SLOW = """
    tasks:
      - {name: slow, action: ops.slow, timeout: 2, on_failure: failed, %s}
      - {name: failed, action: core.noop}
      - {name: late, action: core.noop}
      - {name: next, action: core.noop}
    """


async def test_a_timeout_takes_its_own_way_where_there_is_one() -> None:
    stopped: list[float] = []
    async with a_place({"ops.slow": lambda given: _stopped(place, stopped)}) as place:
        report = await place.run(graph(SLOW % "on_timeout: late, on_success: next"))
    assert statuses(report) == {"slow": "failed", "failed": "skipped", "late": "completed", "next": "skipped"}
    assert stopped == [2]
    assert report["status"] == "completed"


async def test_a_timeout_without_a_way_of_its_own_is_a_failure() -> None:
    async with a_place({"ops.slow": lambda given: place.sleep(60)}) as place:
        report = await place.run(graph(SLOW % "on_success: next, on_complete: late"))
    assert statuses(report) == {"slow": "failed", "failed": "completed", "late": "completed", "next": "skipped"}


async def _stopped(place: Place, stopped: list[float]) -> None:
    """Work that takes a minute, and notes when it is stopped."""
    try:
        await place.sleep(60)
    finally:
        stopped.append(place.seconds())


APART = """
    tasks:
      - name: slow
        action: ops.slow
        timeout: 2
        next:
          - {when: "{{ failed() }}", do: [failed]}
          - {when: "{{ timed_out() and parameters.patient }}", do: [late]}
      - {name: failed, action: core.noop}
      - {name: late, action: core.noop}
    parameters: {patient: {type: boolean, default: true}}
    """


@pytest.mark.parametrize(("patient", "taken"), [(True, ["late"]), (False, [])])
async def test_failed_is_not_about_timeouts_where_timed_out_is_asked(patient: bool, taken: list[str]) -> None:
    async with a_place({"ops.slow": lambda given: place.sleep(60)}) as place:
        report = await place.run(graph(APART), {"patient": patient})
    assert [name for name, status in statuses(report).items() if status == "completed"] == taken


CHOICE = """
    parameters: {n: {type: integer}}
    tasks:
      - name: choose
        action: core.noop
        decision:
          - {when: "{{ n > 10 }}", next: large}
          - {when: "{{ n > 5 }}", next: medium}
          %s
      - {name: large, action: core.noop}
      - {name: medium, action: core.noop}
      - {name: small, action: core.noop}
    """


@pytest.mark.parametrize(
    ("n", "taken"), [(20, ["choose", "large"]), (7, ["choose", "medium"]), (1, ["choose", "small"])]
)
@pytest.mark.parametrize("default", ["{default: true, next: small}", "{default: small}"])
async def test_a_decision_takes_the_first_branch_that_holds_else_the_default(
    n: int, taken: list[str], default: str
) -> None:
    async with a_place() as place:
        report = await place.run(graph(CHOICE % f"- {default}"), {"n": n})
    assert [name for name, status in statuses(report).items() if status == "completed"] == taken


async def test_a_decision_without_a_default_may_take_nothing() -> None:
    async with a_place() as place:
        document = graph(CHOICE % "").replace("{name: small, action: core.noop}", "{name: small, action: core.noop}")
        report = await place.run(document.replace("  - {name: small, action: core.noop}\n", ""), {"n": 1})
    assert report["status"] == "completed"
    assert statuses(report) == {"choose": "completed", "large": "skipped", "medium": "skipped"}


async def test_a_failure_handled_by_its_branch_completes() -> None:
    document = graph("""
        tasks:
          - {name: work, action: ops.fail, on_success: happy, on_failure: recover}
          - {name: happy, action: core.noop}
          - {name: recover, action: core.echo, input: {message: "{{ task.work.error.message }}"}}
        output_map: {said: "{{ task.recover.result.stdout }}"}
        """)
    async with a_place({"ops.fail": fails("no disk")}) as place:
        report = await place.run(document)
    assert (report["status"], report["output"]) == ("completed", {"said": "no disk"})
    assert report["failed_steps"] == ["work"]


async def test_an_unhandled_failure_lets_the_rest_go_on() -> None:
    document = graph("""
        tasks:
          - {name: broken, action: ops.fail, on_success: never}
          - {name: never, action: core.noop}
          - {name: slow, action: ops.slow, on_success: after}
          - {name: after, action: core.noop}
        """)
    async with a_place({"ops.fail": fails(), "ops.slow": lambda given: place.sleep(5)}) as place:
        report = await place.run(document)
    assert report["status"] == "failed"
    assert statuses(report) == {"broken": "failed", "never": "skipped", "slow": "completed", "after": "completed"}


@pytest.mark.parametrize(
    ("command", "status", "after"),
    [("noop", "completed", "skipped"), ("continue", "failed", "skipped"), ("fail", "failed", "skipped")],
)
async def test_commands_say_what_a_failure_means(command: str, status: str, after: str) -> None:
    document = graph(f"""
        tasks:
          - name: work
            action: ops.fail
            next:
              - {{when: "{{{{ failed() }}}}", publish: [{{seen: yes it did}}], do: [{command}]}}
              - {{when: "{{{{ succeeded() }}}}", do: [after]}}
          - {{name: after, action: core.noop}}
        """)
    async with a_place({"ops.fail": fails("no disk")}) as place:
        report = await place.run(document)
    assert (report["status"], statuses(report)["after"]) == (status, after)
    assert report["variables"]["seen"] == "yes it did"
    if command == "fail":
        assert "no disk" in report["error"]["message"]


async def test_the_command_fail_fails_what_has_succeeded() -> None:
    document = graph("""
        tasks:
          - {name: work, action: core.noop, on_success: fail}
        """)
    async with a_place() as place:
        report = await place.run(document)
    assert report["status"] == "failed"
    assert "task 'work' says that the workflow has failed" in report["error"]["message"]


async def test_the_command_retry_runs_a_task_again() -> None:
    document = graph("""
        tasks:
          - name: poll
            action: ops.poll
            next:
              - {when: "{{ succeeded() and result().n < 3 }}", do: retry}
              - {when: "{{ succeeded() }}", do: [done]}
          - {name: done, action: core.noop}
        """)
    seen: list[int] = []

    def poll(given: object) -> dict[str, int]:
        seen.append(1)
        return {"n": len(seen)}

    async with a_place({"ops.poll": poll}) as place:
        report = await place.run(document)
    assert (len(seen), statuses(report)) == (3, {"poll": "completed", "done": "completed"})


ON_ERROR = """
    tasks:
      - name: call
        action: ops.call
        retry: {count: 3, delay: 1, on_error: "%s"}
    """


@pytest.mark.parametrize(
    ("condition", "tries"),
    [
        ("{{ result.error_code == 'busy' }}", 4),
        ("{{ result().error_code == 'gone' }}", 1),
        ("{{ task.call.error.type == 'unavailable' }}", 4),
        ("{{ error.type == 'timeout' }}", 1),
        ("{{ error.details.nothing.like.it }}", 1),
    ],
)
async def test_only_errors_that_on_error_wants_are_tried_again(condition: str, tries: int) -> None:
    def call(given: object) -> None:
        raise TaskError("unavailable", "not now", details={"error_code": "busy"}, retryable=False)

    async with a_place({"ops.call": call}) as place:
        report = await place.run(graph(ON_ERROR % condition))
    assert len(place.actions["ops.call"].at) == tries
    assert report["status"] == "failed"
    undecided = "whether to try again cannot be decided: error.details.nothing is not defined"
    assert (undecided in report["steps"][0]["error"]["message"]) == ("nothing" in condition)


async def test_a_skipped_task_leads_nowhere_unless_that_is_asked() -> None:
    document = graph("""
        tasks:
          - name: optional
            action: core.noop
            when: "{{ parameters.wanted | default('no') }}"
            next:
              - {when: "{{ succeeded() or failed() }}", do: [after]}
              - {when: "{{ skipped() }}", do: [instead]}
          - {name: after, action: core.noop}
          - {name: instead, action: core.noop}
          - {name: join, action: core.noop, depends_on: [{step: instead, on: complete}]}
        """)
    async with a_place() as place:
        report = await place.run(document)
    assert statuses(report) == {
        "optional": "skipped",
        "after": "skipped",
        "instead": "completed",
        "join": "completed",
    }


async def test_a_cycle_runs_as_often_as_it_may() -> None:
    document = graph("""
        vars: {n: 0}
        tasks:
          - {name: begin, action: core.noop, on_success: count}
          - name: count
            action: core.noop
            max_visits: 5
            publish: [{n: "{{ n + 1 }}"}]
            next:
              - {when: "{{ succeeded() and n < 3 }}", do: [wait]}
              - {when: "{{ succeeded() and n >= 3 }}", do: [done]}
          - {name: wait, action: core.sleep, input: {seconds: 10}, on_success: count}
          - {name: done, action: core.noop}
        output_map: {n: "{{ vars.n }}"}
        """)
    async with a_place() as place:
        report = await place.run(document)
    assert (report["status"], report["output"], place.seconds()) == ("completed", {"n": 3}, 20)


async def test_a_condition_that_cannot_be_evaluated_fails_the_task() -> None:
    document = graph("""
        parameters: {who: {type: object, default: {}}}
        tasks:
          - {name: a, action: ops.do, when: "{{ who.name.first == 'ann' }}", on_failure: b}
          - {name: b, action: core.noop}
        """)
    async with a_place({"ops.do": gives(1)}) as place:
        report = await place.run(document)
    assert place.actions["ops.do"].at == []
    assert (statuses(report), report["status"]) == ({"a": "failed", "b": "completed"}, "completed")


async def test_an_expression_that_cannot_be_published_fails_the_task() -> None:
    document = graph("""
        tasks:
          - {name: a, action: ops.do, publish: [{x: "{{ result().nothing }}"}], on_success: b, on_failure: c}
          - {name: b, action: core.noop}
          - {name: c, action: core.noop}
        """)
    async with a_place({"ops.do": gives({})}) as place:
        report = await place.run(document)
    assert statuses(report) == {"a": "failed", "b": "skipped", "c": "completed"}


async def test_no_items_are_a_success() -> None:
    document = graph("""
        tasks:
          - {name: a, action: ops.do, with_items: "{{ [] }}", publish: [{n: "{{ task.a.result }}"}], on_success: b}
          - {name: b, action: core.noop}
        """)
    async with a_place({"ops.do": gives(1)}) as place:
        report = await place.run(document)
    assert place.actions["ops.do"].at == []
    assert report["variables"] == {"n": {"results": [], "total": 0}}
    assert statuses(report) == {"a": "completed", "b": "completed"}


async def test_what_became_of_items_is_there_when_some_have_failed() -> None:
    document = graph("""
        tasks:
          - name: a
            action: ops.do
            with_items: [1, 2, 3]
            input: {n: "{{ item }}"}
            on_failure: b
          - name: b
            action: core.echo
            input: {message: "{{ length(task.a.failed_items) }} of {{ task.a.total_count }}: {{ task.a.status }}"}
        output_map: {said: "{{ task.b.result.message }}", outputs: "{{ task.a.results | map(attribute='output') }}"}
        """)

    def do(given: dict[str, int]) -> int:
        if given["n"] == 2:
            raise RuntimeError("two")
        return given["n"] * 10

    async with a_place({"ops.do": do}) as place:
        report = await place.run(document)
    assert report["output"] == {"said": "1 of 3: failed", "outputs": [10, None, 30]}


async def test_a_single_value_is_no_list_of_items() -> None:
    document = graph("""
        parameters: {n: {}}
        tasks: [{name: a, action: core.noop, with_items: "{{ n }}"}]
        """)
    async with a_place() as place:
        report = await place.run(document, {"n": "one"})
    assert report["error"]["type"] == "invalid_items"


async def test_tasks_side_by_side_have_conditions_retries_and_timeouts_of_their_own() -> None:
    document = graph("""
        tasks:
          - name: both
            type: parallel
            tasks:
              - {name: flaky, action: ops.fail, retry: {count: 1, delay: 3}}
              - {name: slow, action: ops.slow, timeout: 2}
              - {name: off, action: ops.slow, when: "{{ false }}"}
              - {name: good, action: core.echo message=hi}
            on_failure: see
          - name: see
            action: core.echo
            input: {message: "{{ task.both.result.results }}"}
        output_map: {results: "{{ task.see.result.message }}"}
        """)
    async with a_place({"ops.fail": fails(), "ops.slow": lambda given: place.sleep(60)}) as place:
        report = await place.run(document)
        assert place.seconds() == 3
    assert [(each["task"], each["status"]) for each in report["output"]["results"]] == [
        ("flaky", "failed"),
        ("slow", "timeout"),
        ("off", "skipped"),
        ("good", "completed"),
    ]
    assert report["output"]["results"][3]["output"]["stdout"] == "hi"


async def test_a_join_runs_when_so_many_have_come() -> None:
    document = graph("""
        tasks:
          - {name: a, action: ops.slow, input: {seconds: 1}, on_success: two}
          - {name: b, action: ops.slow, input: {seconds: 5}, on_success: two}
          - {name: c, action: ops.slow, input: {seconds: 3}, on_success: two}
          - {name: two, action: ops.two, join: 2}
        """)
    async with a_place({"ops.slow": lambda given: place.sleep(given["seconds"]), "ops.two": gives(2)}) as place:
        await place.run(document)
    assert place.actions["ops.two"].at == [3]


async def test_a_join_that_can_no_longer_be_met_fails_with_a_reason() -> None:
    document = graph("""
        tasks:
          - {name: a, action: core.noop, on_success: both}
          - {name: b, action: ops.fail, on_success: both, on_failure: other}
          - {name: both, action: core.noop, join: all}
          - {name: other, action: core.noop}
        """)
    async with a_place({"ops.fail": fails()}) as place:
        report = await place.run(document)
    assert statuses(report)["both"] == "skipped"
    numbered = document.replace("join: all", "join: 2")
    async with a_place({"ops.fail": fails()}) as place:
        report = await place.run(numbered)
    assert report["error"]["type"] == "join_unsatisfiable"


async def test_a_delay_is_waited_for() -> None:
    async with a_place({"ops.do": gives(1)}) as place:
        await place.run(graph("tasks: [{name: a, action: ops.do, delay: 7}]"))
    assert place.actions["ops.do"].at == [7]


async def test_the_tasks_of_on_error_run_when_it_has_failed() -> None:
    document = graph("""
        on_error: [{name: tell, action: ops.tell, input: {said: "{{ error.message }}"}}]
        tasks: [{name: a, action: ops.fail}]
        """)
    async with a_place({"ops.fail": fails("no disk"), "ops.tell": gives(1)}) as place:
        report = await place.run(document)
    assert report["status"] == "failed"
    assert "no disk" in place.actions["ops.tell"].inputs[0]["said"]


async def test_a_secret_parameter_is_shown_nowhere() -> None:
    document = graph("""
        parameters: {token: {type: string, secret: true}}
        tasks: [{name: a, action: ops.do, input: {token: "{{ token }}"}}]
        """)
    async with a_place({"ops.do": gives({})}) as place:
        report = await place.run(document, {"token": "xyzzy"})
    assert place.actions["ops.do"].inputs == [{"token": "xyzzy"}]
    assert "xyzzy" not in str(report)


async def test_the_start_of_the_workflow_stays_what_it_was() -> None:
    document = graph("""
        tasks:
          - {name: a, action: core.sleep seconds=30, on_success: b}
          - {name: b, action: core.echo, input: {message: "{{ system.workflow_start }} {{ system.timestamp }}"}}
        output_map: {said: "{{ task.b.result.message }}"}
        """)
    async with a_place() as place:
        report = await place.run(document)
    started, now = report["output"]["said"].split()
    assert started == report["created_at"]
    assert now != started
