"""Questions to people, in Python: which wait, and what becomes of answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell import StepwellError, WorkflowEngine
from stepwell.app.approvals import Approvals
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.execution.event import ANSWER, Event
from stepwell.execution.history import ApprovalRequested
from stepwell.tasks.registry import task
from tests.app.test_workflow_engine import MEMORY, document

BOOLEAN = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}


def asking(name: str = "ask", **config: Any) -> dict[str, Any]:
    return {"name": name, "type": "approval", "config": {"prompt": "Ship {{ input.n }}?", **config}}


SHIP = document(
    {"name": "first", "type": "wait", "config": {"for": "1ms"}},
    {**asking(response_schema=BOOLEAN, assigned_to=["ada", "bob"], timeout="1h"), "depends_on": "first"},
    {**asking("later"), "depends_on": "ask"},
    output={"values": {"ok": "{{ steps.ask.output.response.ok }}", "by": "{{ steps.ask.output.by }}"}},
)


class Asked:
    """A watcher that knows how many questions were asked."""

    def __init__(self) -> None:
        self.count = 0
        self.news = asyncio.Event()

    def committed(self, execution: str, definition: Any, events: Any) -> None:
        self.count += sum(isinstance(event, ApprovalRequested) for event in events)
        self.news.set()

    async def until(self, count: int) -> None:
        while self.count < count:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def engine(asked: Asked) -> AsyncIterator[WorkflowEngine]:
    async with WorkflowEngine(MEMORY, observer=asked) as engine:
        yield engine


async def refusal(engine: WorkflowEngine, execution: str, step: str, response: Any, by: str = "ada") -> StepwellError:
    with pytest.raises((UsageError, Conflict, NotFound)) as raised:
        await engine.respond(execution, step, response, by=by)
    return raised.value


async def test_a_question_is_listed_with_all_that_is_needed_to_answer_it(engine: WorkflowEngine, asked: Asked) -> None:
    assert await engine.approvals() == []
    execution = await engine.start_workflow(SHIP, {"n": 7})
    await asked.until(1)
    (found,) = await engine.approvals()
    assert found["since"] < found["due_at"]
    assert {name: found[name] for name in found if name not in ("since", "due_at")} == {
        "execution_id": execution,
        "workflow": "test",
        "version": "1.0.0",
        "status": "waiting",
        "step": "ask",
        "prompt": "Ship 7?",
        "assigned_to": ["ada", "bob"],
        "response_schema": BOOLEAN,
        "respond": f"stepwell approval respond {execution} ask --response '{{\"ok\": true}}' --by ada",
    }


async def test_an_answer_completes_the_step(engine: WorkflowEngine, asked: Asked) -> None:
    execution = await engine.start_workflow(SHIP, {"n": 7})
    await asked.until(1)
    published = await engine.respond(execution, "ask", {"ok": False}, by="bob")
    assert (published.waits, published.duplicate) == (1, False)
    await asked.until(2)
    (found,) = await engine.approvals()
    assert (found["step"], found["assigned_to"]) == ("later", None)
    await engine.respond(execution, "later", None)
    assert (await engine.result(execution))["output"] == {"ok": False, "by": "bob"}
    assert await engine.approvals() == []


async def test_a_wrong_answer_is_refused_before_it_is_sent(engine: WorkflowEngine, asked: Asked) -> None:
    execution = await engine.start_workflow(SHIP, {"n": 7})
    await asked.until(1)
    before = (await engine.get_workflow_status(execution)).report
    error = await refusal(engine, execution, "ask", {"ok": "yes"})
    assert (error.code, error.exit_status) == ("invalid-answer", 2)
    assert error.message == 'step \'ask\' cannot take this answer: ok: "yes" is not of type "boolean"'
    error = await refusal(engine, execution, "ask", {"ok": True}, by="eve")
    assert error.message.endswith("eve may not answer; it is for ada, bob")
    error = await refusal(engine, execution, "ask", {"ok": float("nan")})
    assert error.code == "invalid-answer"
    assert (await engine.get_workflow_status(execution)).report == before


async def test_what_asks_nothing_cannot_be_answered_and_it_is_said_why(engine: WorkflowEngine, asked: Asked) -> None:
    execution = await engine.start_workflow(SHIP, {"n": 7})
    await asked.until(1)
    error = await refusal(engine, execution, "later", 1)
    assert (error.code, error.hint) == ("not-waiting", "asked now: ask")
    assert error.message.endswith("has not asked yet; the execution is waiting")
    error = await refusal(engine, execution, "first", 1)
    assert error.message.endswith("asks nobody: its type is wait")
    error = await refusal(engine, execution, "aks", 1)
    assert (error.code, error.hint) == ("unknown-step", "did you mean 'ask'?")
    error = await refusal(engine, "nobody", "ask", 1)
    assert error.code == "unknown-execution"
    await engine.respond(execution, "ask", {"ok": True}, by="bob")
    await asked.until(2)
    error = await refusal(engine, execution, "ask", {"ok": True})
    assert (error.code, error.hint) == ("already-answered", "asked now: later")
    assert error.message.endswith("was answered already by bob")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"default": {"ok": False}}, "it took its default answer"),
        ({}, "it is failed: nobody answered within 1ms"),
    ],
)
async def test_what_is_answered_too_late_is_said_to_be(engine: WorkflowEngine, config: Any, said: str) -> None:
    execution = await engine.start_workflow(document(asking(timeout="1ms", **config)), {"n": 7})
    await engine.result(execution)
    error = await refusal(engine, execution, "ask", 1)
    assert (error.code, error.message.endswith(said)) == ("not-waiting", True)


async def test_every_item_of_a_step_asks_a_question_of_its_own(engine: WorkflowEngine, asked: Asked) -> None:
    each = {**asking(assigned_to="{{ item }}"), "for_each": {"items": ["ada", "bob"]}}
    execution = await engine.start_workflow(document(each), {"n": 7})
    await asked.until(2)
    assert [(one["step"], one["assigned_to"]) for one in await engine.approvals()] == [
        ("ask[0]", ["ada"]),
        ("ask[1]", ["bob"]),
    ]
    error = await refusal(engine, execution, "ask", 1)
    assert error.hint == "asked now: ask[0], ask[1]"
    assert (await refusal(engine, execution, "ask[1]", 1)).code == "invalid-answer"
    await engine.respond(execution, "ask[1]", 1, by="bob")
    await engine.respond(execution, "ask[0]", 1, by="ada")
    assert (await engine.result(execution))["status"] == "completed"


async def test_secrets_in_a_question_are_not_shown(engine: WorkflowEngine, asked: Asked) -> None:
    question = asking(prompt="Is {{ input.password }} yours?", assigned_to="ada")
    await engine.start_workflow(document(question), {"password": "correct horse"})
    await asked.until(1)
    (found,) = await engine.approvals()
    assert (found["prompt"], found["assigned_to"]) == ("***", ["ada"])


async def test_nobody_is_asked_by_a_secret(engine: WorkflowEngine) -> None:
    question = asking(prompt="Yours?", assigned_to="{{ input.password }}")
    report = await engine.result(await engine.start_workflow(document(question), {"password": "correct horse"}))
    assert report["status"] == "failed"
    assert "assigned_to must not hold a secret" in report["error"]["message"]
    assert "correct horse" not in str(report)


async def test_an_answer_that_no_engine_has_taken_yet_counts(tmp_path: Path, asked: Asked) -> None:
    config = {"state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")}}
    async with WorkflowEngine(config, observer=asked) as engine:
        execution = await engine.start_workflow(SHIP, {"n": 7})
        await asked.until(1)
        session = await engine._open()
        store, approvals = session.store, Approvals(session.store, engine._reading(session), " --store x.db")
        session.engine._inbox._look = asyncio.Event()  # nobody looks any more
        wrong = {"execution": execution, "step": "ask", "response": {"ok": 1}, "by": "ada"}
        await store.publish(Event(id="wrong", type=ANSWER, source="somebody", data=wrong), 1, 2)
        assert "answered_by" not in (await approvals.list())["items"][0], "that answer will be refused"
        event = await approvals.answer(execution, "ask", {"ok": True}, "bob", 1)
        await store.publish(event, 1, 2)
        assert (await approvals.list())["items"][0]["answered_by"] == "bob"
        with pytest.raises(Conflict, match="was answered already by bob") as raised:
            await approvals.answer(execution, "ask", {"ok": True}, "ada", 1)
        assert raised.value.hint is not None
        assert raised.value.hint.endswith(f"stepwell run --resume {execution} --store x.db")
    async with WorkflowEngine(config, observer=asked) as engine:
        await asked.until(2)
        report = (await engine.get_workflow_status(execution)).report
        assert report["steps"][1]["output"] == {"response": {"ok": True}, "by": "bob"}


async def test_the_list_goes_on_where_it_ended(engine: WorkflowEngine, asked: Asked) -> None:
    flow = document(asking("a"), asking("b"))
    executions = [await engine.start_workflow(flow, {"n": n}) for n in range(2)]
    await asked.until(4)
    session = await engine._open()
    approvals = Approvals(session.store, engine._reading(session))
    first = await approvals.list(limit=3)
    second = await approvals.list(limit=3, cursor=first["next"])
    found = [(item["execution_id"], item["step"]) for item in (*first["items"], *second["items"])]
    assert found == [(execution, step) for execution in executions for step in "ab"]
    assert second["next"] is None


async def test_a_task_asks_by_its_result_and_its_step_completes_with_the_answer(asked: Asked) -> None:
    @task("quote")
    async def quote(amount: int) -> dict[str, Any]:
        asks = {"prompt": f"Pay {amount}?", "assigned_to": ["ada"], "response_schema": BOOLEAN, "timeout_seconds": 3600}
        return {"__inquiry": asks}

    quoted = {"name": "q", "type": "python", "config": {"task": "quote", "args": {"amount": "{{ input.n }}"}}}
    asking = document(quoted, output={"values": {"out": "{{ steps.q.output }}"}})
    async with WorkflowEngine(MEMORY, tasks=[quote], observer=asked) as engine:
        execution = await engine.start_workflow(asking, {"n": 7})
        await asked.until(1)
        (found,) = await engine.approvals()
        assert (found["step"], found["prompt"], found["assigned_to"]) == ("q", "Pay 7?", ["ada"])
        assert found["since"] < found["due_at"]
        error = await refusal(engine, execution, "q", {"ok": True}, by="eve")
        assert error.message.endswith("eve may not answer; it is for ada")
        await engine.respond(execution, "q", {"ok": True}, by="ada")
        assert (await engine.result(execution))["output"] == {"out": {"response": {"ok": True}, "by": "ada"}}
        error = await refusal(engine, execution, "q", {"ok": True})
        assert (error.code, "was answered already by ada" in error.message) == ("already-answered", True)
