"""Task graphs that people intervene in: pauses, cancellations, questions; and the whole example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepwell.base.errors import Conflict, UsageError
from stepwell.base.spans import Source
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.execution.verbs import Pause, Resume
from tests.dialects.task_graph.running import SECOND, Function, Place, a_place, fails, gives, graph, statuses
from tests.engine.world import a_world

EXAMPLES = Path(__file__).parents[3] / "examples" / "dialects" / "task-graph"


def definition(text: str) -> WorkflowDefinition:
    loaded = load(Source("graph.yaml", text))
    assert loaded.definition is not None, [finding.message for finding in loaded.diagnostics]
    return loaded.definition


async def test_pause_kill_resume() -> None:
    """A pause lets what runs end; the process dies; a new one goes on where it stood, when it is resumed."""
    chain = definition(
        graph("""
            tasks:
              - {name: a, action: ops.do, on_success: b}
              - {name: b, action: ops.do, on_success: c}
              - {name: c, action: ops.do}
            """)
    )
    async with a_world() as world:
        execution = await world.start(chain)
        await world.engine.operate(execution, Pause(by="ann", reason="lunch"))
        await world.done("a", 1)
        assert (await world.state(execution)).status == "paused"
        assert world.work.steps() == []
        await world.crash()
        assert (await world.state(execution)).pause_reason == "lunch"
        assert world.work.steps() == []
        await world.engine.operate(execution, Resume(by="ann"))
        await world.clock.settle()
        assert world.work.steps() == ["b"]
        await world.done("b", 2)
        await world.done("c", 3)
        assert await world.statuses(execution) == {"a": "completed", "b": "completed", "c": "completed"}


async def test_it_is_paused_once_and_resumed_only_when_paused() -> None:
    slow = graph("tasks: [{name: a, action: ops.slow}]")
    async with a_place({"ops.slow": lambda given: place.sleep(5)}) as place:
        execution = await place.start(slow)
        handle = place.engine.handle(execution)
        with pytest.raises(Conflict):
            await handle.resume(by="ann")
        await handle.pause("lunch", by="ann")
        await handle.pause("lunch", by="ann")
        await handle.resume(by="ann")
        assert (await place.end(execution))["status"] == "completed"


PARENT = """
    cancellation_policy: %s
    tasks:
      - {name: before, action: core.noop, on_success: child}
      - {name: child, action: test.child, on_success: after}
      - {name: after, action: core.noop}
    """
CHILD = """
ref: test.child
version: "1.0.0"
cancellation_policy: %s
tasks:
  - {name: slow, action: ops.slow, on_success: more}
  - {name: more, action: core.noop}
"""


@pytest.mark.parametrize(
    ("policy", "ended_at", "slow"), [("allow_finish", 10.0, "completed"), ("cancel_running", 2.0, "cancelled")]
)
async def test_cancelling_reaches_a_nested_workflow(policy: str, ended_at: float, slow: str) -> None:
    async with a_place({"ops.slow": lambda given: place.sleep(10)}) as place:
        await place.engine.register_workflow(CHILD % policy)
        execution = await place.start(graph(PARENT % policy))
        await place.clock.advance(2 * SECOND)
        await place.engine.handle(execution).cancel("no longer needed", by="ann")
        report = await place.end(execution)
        (child,) = report["children"]
        nested = await place.end(child["execution_id"])
        assert (report["status"], nested["status"]) == ("cancelled", "cancelled")
        assert statuses(report)["after"] != "completed"
        assert statuses(nested)["slow"] == slow
        assert place.seconds() == pytest.approx(ended_at)
        with pytest.raises(Conflict):
            await place.engine.handle(execution).cancel(by="ann")


async def test_an_action_that_is_a_workflow_gives_its_output() -> None:
    child = """
ref: test.child
version: "1.0.0"
parameters: {n: {type: integer, required: true}}
tasks: [{name: twice, action: core.echo, input: {message: "{{ n * 2 }}"}}]
output_map: {twice: "{{ task.twice.result.message }}"}
"""
    parent = graph("""
        tasks:
          - {name: one, action: test.child, input: {n: 4}, on_success: two}
          - {name: two, type: workflow, action: test.child n=5}
        output_map: {got: ["{{ task.one.result.twice }}", "{{ task.two.output.twice }}"]}
        """)
    async with a_place() as place:
        await place.engine.register_workflow(child)
        report = await place.run(parent)
        assert report["output"] == {"got": [8, 10]}
        assert (await place.report(report["execution_id"]))["children"] != []


ASK = """
    tasks:
      - name: ask
        action: core.ask
        timeout: 60
        input:
          prompt: "Go?"
          assigned_to: [ann]
          response_schema: {go: {type: boolean, required: true}}
        next:
          - {when: "{{ succeeded() and result().response.go }}", do: [go]}
          - {when: "{{ timed_out() }}", do: [late]}
      - {name: go, action: core.noop}
      - {name: late, action: core.noop}
    output_map: {answer: "{{ task.ask.result.response | default('none') }}"}
    """


async def test_only_the_one_who_was_asked_may_answer_and_only_as_was_asked_and_once() -> None:
    async with a_place() as place:
        execution = await place.start(graph(ASK))
        with pytest.raises(UsageError, match="bob may not answer"):
            await place.engine.respond(execution, "ask", {"go": True}, by="bob")
        with pytest.raises(UsageError, match="go"):
            await place.engine.respond(execution, "ask", {"go": "perhaps"}, by="ann")
        await place.engine.respond(execution, "ask", {"go": True}, by="ann")
        report = await place.end(execution)
        with pytest.raises(Conflict):
            await place.engine.respond(execution, "ask", {"go": False}, by="ann")
    assert report["output"] == {"answer": {"go": True}}
    assert statuses(report) == {"ask": "completed", "go": "completed", "late": "skipped"}


async def test_a_question_that_nobody_answers_times_out() -> None:
    async with a_place() as place:
        report = await place.run(graph(ASK))
        assert place.seconds() == 60
    assert statuses(report) == {"ask": "failed", "go": "skipped", "late": "completed"}


async def test_a_question_may_have_an_answer_for_when_nobody_gives_one() -> None:
    document = graph(ASK).replace("prompt:", "default: {go: true}\n      prompt:")
    async with a_place() as place:
        report = await place.run(document)
    assert report["output"] == {"answer": {"go": True}}


async def test_a_disabled_workflow_cannot_be_started() -> None:
    document = graph("enabled: false\ntasks: [{name: a, action: core.noop}]")
    async with a_place() as place:
        with pytest.raises(Conflict, match="Workflow is disabled") as refused:
            await place.start(document)
        assert refused.value.code == "workflow-disabled"
        await place.engine.register_workflow(document)
        report = await place.run("ref: test.other\nversion: 1.0.0\ntasks: [{name: a, action: test.graph}]\n")
    assert report["status"] == "failed"
    assert "Workflow is disabled" in report["error"]["message"]


HOSTS = [{"name": f"h{number}"} for number in range(7)]


def shipping(**other: Function) -> dict[str, Function]:
    actions: dict[str, Function] = {
        "shipping.build": gives({"artifact": "app.tar"}),
        "shipping.test": gives("ok"),
        "shipping.scan": gives("clean"),
        "shipping.deploy_to": lambda given: {"deployed": len(given["hosts"]), "artifact": given["artifact"]},
    }
    return {**actions, **other}


async def deployed(place: Place, strategy: str) -> dict[str, Any]:
    document = (EXAMPLES / "deploy.yaml").read_text()
    return await place.run(document, {"version": "2.1", "hosts": HOSTS, "strategy": strategy})


async def test_the_example_deploys_in_batches() -> None:
    async with a_place(shipping()) as place:
        report = await deployed(place, "rolling")
    assert report["status"] == "completed"
    assert report["output"]["report"] == "3 batches"
    assert [each["output"]["deployed"] for each in report["output"]["deployed"]] == [3, 3, 1]
    assert statuses(report)["canary"] == "skipped"
    assert place.actions["shipping.scan"].at == []


async def test_the_example_deploys_a_canary_first() -> None:
    async with a_place(shipping()) as place:
        report = await deployed(place, "canary")
    assert (report["status"], report["output"]["report"]) == ("completed", "3 batches")
    hosts = [[host["name"] for host in given["hosts"]] for given in place.actions["shipping.deploy_to"].inputs]
    assert hosts == [["h0"], ["h0", "h1", "h2"], ["h3", "h4", "h5"], ["h6"]]
    assert place.actions["shipping.scan"].inputs == [{}]


async def test_the_example_tells_of_a_failed_build() -> None:
    async with a_place(shipping(**{"shipping.build": fails()})) as place:
        report = await deployed(place, "rolling")
    assert statuses(report)["tell"] == "completed"
    assert (report["status"], report["output"]["report"]) == ("completed", "nothing")
    assert place.actions["shipping.build"].at == [0, 2, 6, 14]


async def test_the_example_reports_and_tells_of_a_failed_batch() -> None:
    def deploy(given: dict[str, Any]) -> Any:
        if given.get("batch") == 1:
            raise RuntimeError("no route to h4")
        return {}

    async with a_place(shipping(**{"shipping.deploy_to": deploy})) as place:
        report = await deployed(place, "rolling")
    assert (statuses(report)["tell"], statuses(report)["report"]) == ("completed", "completed")
    assert (report["status"], report["failed_steps"][0]) == ("completed", "roll")


@pytest.mark.parametrize(("risky", "answer", "status", "said"), [
    (False, None, "completed", "just so releasing shop"),
    (True, {"go": True}, "completed", "carefully releasing shop"),
    (True, {"go": False}, "completed", "not released"),
    (True, None, "failed", None),
])  # fmt: skip
async def test_the_second_example_asks_before_a_release(risky: bool, answer: Any, status: str, said: Any) -> None:
    async with a_place() as place:
        execution = await place.start((EXAMPLES / "release.yaml").read_text(), {"service": "shop", "risky": risky})
        if answer is not None:
            await place.engine.respond(execution, "ask", answer, by="ann")
        report = await place.end(execution)
    assert (report["status"], (report["output"] or {}).get("said")) == (status, said)


def test_a_plan_can_be_made_of_every_example() -> None:
    for name in ("deploy.yaml", "release.yaml"):
        assert Plan(definition((EXAMPLES / name).read_text())).nodes


async def test_an_action_asks_by_its_result_and_the_answer_is_what_its_task_gave() -> None:
    text = graph("""
        tasks:
          - name: quote
            action: ops.quote
            on_success: [{when: "result().response.go", publish: [{said: "{{ result().response.go }}"}], do: pay}]
          - {name: pay, action: ops.pay}
        output_map: {said: "{{ workflow.said }}", by: "{{ task.quote.result.by }}"}
        """)
    schema = {"type": "object", "required": ["go"], "properties": {"go": {"type": "boolean"}}}
    asks = {"prompt": "Pay?", "assigned_to": ["ann"], "response_schema": schema, "timeout_seconds": 60}
    async with a_place({"ops.quote": gives({"__inquiry": asks}), "ops.pay": gives(None)}) as place:
        execution = await place.start(text)
        with pytest.raises(UsageError, match="bob may not answer"):
            await place.engine.respond(execution, "quote", {"go": True}, by="bob")
        await place.engine.respond(execution, "quote", {"go": True}, by="ann")
        report = await place.end(execution)
    assert statuses(report) == {"quote": "completed", "pay": "completed"}
    assert report["output"] == {"said": True, "by": "ann"}
