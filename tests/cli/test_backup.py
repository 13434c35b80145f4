"""Copying a store that is in use, and going on with the copy."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine
from stepwell.store.sqlite.backup import back_up
from stepwell.store.sqlite.file import Database
from tests.cli.conftest import Stepwell

WORKFLOW: dict[str, Any] = {
    "apiVersion": "workflow/v1",
    "kind": "Workflow",
    "metadata": {"name": "pay", "version": "1.0.0"},
    "spec": {
        "input": {"schema": {"properties": {"token": {"type": "string", "x-secret": True}}}},
        "steps": [
            {"name": "first", "type": "noop"},
            {"name": "wait", "type": "wait_for_event", "depends_on": "first", "config": {"event_type": "paid"}},
            {"name": "last", "type": "set", "depends_on": "wait", "config": {"values": {"t": "{{ input.token }}"}}},
        ],
    },
}


async def started(store: Path) -> str:
    """The id of an execution that waits for an event, in a store that no engine has open."""
    async with WorkflowEngine({"state_store": {"type": "sqlite", "path": str(store)}}) as engine:
        return await engine.start_workflow(WORKFLOW, {"token": "s3cret-t0ken"})


async def go_on(store: Path, execution: str) -> str:
    async with WorkflowEngine({"state_store": {"type": "sqlite", "path": str(store)}}) as engine:
        await engine.publish_event("paid")
        return str((await engine.result(execution))["status"])


def test_a_copy_goes_on_where_the_store_was(stepwell: Stepwell, folder: Path) -> None:
    execution = asyncio.run(started(folder / "a.db"))
    copied = stepwell("db", "backup", "copies.db", "--store", "sqlite:a.db", "-o", "json")
    assert copied.status == 0, copied.err
    assert copied.json()["key"] == "copies.db.key"
    for name in ("copies.db", "copies.db.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stepwell("db", "verify", "--store", "sqlite:copies.db").status == 0
    assert asyncio.run(go_on(folder / "copies.db", execution)) == "completed"
    assert (
        stepwell("execution", "show", execution, "--store", "sqlite:a.db", "-o", "json").json()["status"] == "waiting"
    )


async def test_a_copy_can_be_made_while_engines_write_and_is_taken_up_at_once(folder: Path) -> None:
    async with WorkflowEngine({"state_store": {"type": "sqlite", "path": "a.db"}}) as engine:
        waiting = await engine.start_workflow(WORKFLOW, {"token": "x"})

        async def write() -> None:
            while True:
                await engine.execute_workflow(
                    {**WORKFLOW, "spec": {"steps": [{"name": name, "type": "noop"} for name in "abc"]}}
                )

        writing = asyncio.create_task(write())
        for number in range(5):
            copy = folder / f"copy{number}.db"
            assert await asyncio.to_thread(back_up, Database(folder / "a.db", 1_000_000), copy) > 0
            (folder / f"copy{number}.db.key").write_bytes((folder / "a.db.key").read_bytes())
            assert await go_on(copy, waiting) == "completed"
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


def test_nothing_is_overwritten(stepwell: Stepwell, folder: Path) -> None:
    asyncio.run(started(folder / "a.db"))
    (folder / "there.db").write_text("mine")
    refused = stepwell("db", "backup", "there.db", "--store", "sqlite:a.db")
    assert (refused.status, "backup-exists" in refused.err) == (4, True)
    assert (folder / "there.db").read_text() == "mine"
    (folder / "new.db.key").write_text("mine")
    assert stepwell("db", "backup", "new.db", "--store", "sqlite:a.db").status == 4
    assert not (folder / "new.db").exists()


@pytest.mark.parametrize("target", ["no/such/folder/x.db", "/proc/x.db"])
def test_where_nothing_can_be_written_nothing_is_left(stepwell: Stepwell, folder: Path, target: str) -> None:
    asyncio.run(started(folder / "a.db"))
    refused = stepwell("db", "backup", target, "--store", "sqlite:a.db")
    assert (refused.status, "backup-failed" in refused.err) == (4, True)
    assert sorted(path.name for path in folder.iterdir() if "partial" in path.name) == []


def test_what_is_not_there_cannot_be_copied(stepwell: Stepwell) -> None:
    assert "store-missing" in stepwell("db", "backup", "x.db", "--store", "sqlite:none.db").err
    assert "store-missing" in stepwell("db", "backup", "x.db", "--store", "memory:").err
