"""Operating an execution from a Python program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine, WorkflowStatus, task
from stepwell.app.operating import NoAnswer, Operators, names_of
from stepwell.app.registry import Registry
from stepwell.app.session import owner_name
from stepwell.base.clock import SystemClock
from stepwell.base.errors import Conflict, NotFound, UsageError
from stepwell.base.spans import Source
from stepwell.definition.loading import load
from stepwell.execution.verbs import Pause
from tests.app.test_workflow_engine import document

MEMORY = {"state_store": {"type": "memory"}}


class Gates:
    """A task that works until it is let go, and fails when it is told to."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Any] = asyncio.Queue()
        self.go: asyncio.Queue[Any] = asyncio.Queue()

    def task(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        @task("work")
        async def work(given: Any = None) -> Any:
            await self.begun.put(given)
            outcome = await self.go.get()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return work


def chain(version: str = "1.0.0", *more: dict[str, Any]) -> dict[str, Any]:
    made = document(
        {"name": "a", "type": "work", "config": {"given": 1}, "checkpoint": "begun"},
        {"name": "b", "type": "work", "config": {"given": 2}, "depends_on": ["a"]},
        *more,
        config={"on_error": {"strategy": "terminate"}},
    )
    made["metadata"]["version"] = version
    return made


async def test_an_execution_is_paused_and_goes_on() -> None:
    gates = Gates()
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        handle = engine.handle(await engine.start_workflow(chain()))
        await gates.begun.get()
        answer = await handle.pause("look first", by="ada")
        assert (answer.changed, answer.status) == (True, "paused")
        await gates.go.put("one")
        seen = await engine.get_workflow_status(handle.id)
        assert (seen.status, seen.report["paused"]) == (WorkflowStatus.PAUSED, {"by": "ada", "reason": "look first"})
        assert (await handle.pause()).changed is False
        await handle.resume()
        assert await gates.begun.get() == 2
        await gates.go.put("two")
        report = await handle.result()
        assert (report["status"], report["paused"], report["checkpoints"]) == ("completed", None, ["begun"])
        with pytest.raises(Conflict, match="cannot be resumed: it is completed") as caught:
            await handle.resume()
        assert caught.value.hint == "possible now: rerun, rollback, fork"
        with pytest.raises(NotFound):
            await engine.handle("none").pause()


async def test_a_failed_execution_is_retried_with_other_settings() -> None:
    gates = Gates()
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        handle = engine.handle(await engine.start_workflow(chain()))
        await gates.go.put(ValueError("no"))
        assert (await handle.result())["status"] == "failed"
        await handle.retry(["a"], settings={"given": 5}, reason="a typing error")
        assert [await gates.begun.get(), await gates.begun.get()] == [1, 5]
        await handle.skip_step("b", reason="not needed")
        await gates.go.put(None)
        assert (await handle.result())["skipped_steps"] == ["b"]
        await handle.rerun("a")
        await gates.begun.get()
        await handle.complete_step("a", {"x": 1}, force=True)
        await gates.begun.get()
        await handle.rollback("begun")
        await gates.begun.get()
        assert (await handle.cancel(stop_running=True)).status == "cancelled"


async def test_an_execution_is_ended_at_once_and_a_fork_of_it_runs_on() -> None:
    gates = Gates()
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        handle = engine.handle(await engine.start_workflow(chain()))
        await gates.begun.get()
        forked = await handle.fork(3, reason="what if")
        await gates.begun.get()
        assert (await handle.terminate("a test")).status == "cancelled"
        other = engine.handle(forked.execution)
        for _ in range(2):
            await gates.go.put(None)
        report = await other.result()
        assert (report["status"], report["forked_from"]) == ("completed", handle.id)


def definition(document_: dict[str, Any]) -> Any:
    loaded = load(Source("<test>", json.dumps(document_)))
    assert loaded.definition is not None, loaded.diagnostics
    return loaded.definition


async def test_an_execution_is_moved_to_another_registered_version() -> None:
    gates = Gates()
    async with WorkflowEngine(MEMORY, tasks=[gates.task()]) as engine:
        handle = engine.handle(await engine.start_workflow(chain()))
        await gates.begun.get()
        session = await engine._open()
        registry = Registry(session.store)
        more = {"name": "z", "type": "work", "config": {"given": 3}, "depends_on": ["b"]}
        lacking = {**document({"name": "b", "type": "work"}), "metadata": {"name": "test", "version": "3.0.0"}}
        for version in (chain("2.0.0", more), lacking):
            await registry.register(definition(version), draft=False, at=0, by="ada")
        assert (await handle.migrate("2.0.0", dry_run=True)).moved is False
        refused = await handle.migrate("3.0.0")
        assert list(refused.problems) == ["step 'a' has run, and that version has no 'a' (known: b)"]
        moved = await handle.migrate("2.0.0", reason="the new form")
        assert (moved.moved, moved.version, moved.to) == (True, "1.0.0", "2.0.0")
        for _ in range(3):
            await gates.go.put(None)
        report = await handle.result()
        assert (report["version"], report["completed_steps"]) == ("2.0.0", ["a", "b", "z"])
        with pytest.raises(NotFound):
            await handle.migrate("9.0.0")


async def test_an_execution_that_another_engine_runs_is_asked_there(tmp_path: Path) -> None:
    gates = Gates()
    store = {"state_store": {"type": "sqlite", "path": str(tmp_path / "s.db")}}
    async with WorkflowEngine(store, tasks=[gates.task()]) as runs:
        id_ = await runs.start_workflow(chain())
        await gates.begun.get()
        async with WorkflowEngine(store, tasks=[gates.task()]) as other:
            answer = await other.handle(id_).pause("from afar", by="bob")
            assert (answer.status, answer.said) == ("paused", "paused; 1 running step may still end")
            with pytest.raises(Conflict) as caught:
                await other.handle(id_).retry()
            assert caught.value.code == "not-failed"
            assert (await other.get_workflow_status(id_)).report["paused"]["by"] == "bob"


async def test_an_engine_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    store = {"state_store": {"type": "sqlite", "path": str(tmp_path / "s.db")}}
    gates = Gates()
    async with WorkflowEngine(store, tasks=[gates.task()]) as runs:
        id_ = await runs.start_workflow(chain())
        await gates.begun.get()
        session = await runs._open()
        session.engine._inbox._look = asyncio.Event()  # nobody looks any more
        operators = Operators(session.store, session.codec, session.definitions, SystemClock(), owner_name(), 50_000)
        with pytest.raises(NoAnswer, match="has not answered within 50ms") as caught:
            await operators.ask(id_, Pause(by="ada"))
        assert caught.value.exit_status == 3


def test_a_mapping_of_names_is_written_as_pairs() -> None:
    assert names_of(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    for wrong in (["a"], ["=b"], ["a="], ["a=b", "a=c"]):
        with pytest.raises(UsageError):
            names_of(wrong)
