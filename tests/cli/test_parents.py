"""Which execution started which."""

from __future__ import annotations

import asyncio

from stepwell.store.sqlite.store import SqliteStore
from tests.cli.conftest import Stepwell
from tests.conformance.store import scene_on


def test_executions_are_listed_by_the_one_that_started_them(stepwell: Stepwell) -> None:
    async def write() -> None:
        store = SqliteStore("stepwell.db")
        await store.open()
        scene = await scene_on(store)
        for name, parent in (("one", "a/call"), ("two", "a/call[1]"), ("other", "ab/call")):
            await scene.create(name, parent=parent)
        await scene.create("fork", forked_from="one")
        await store.close()

    asyncio.run(write())
    items = stepwell("execution", "list", "--parent", "a", "-o", "json").json()["items"]
    assert [(item["execution_id"], item["parent"]) for item in items] == [("two", "a/call[1]"), ("one", "a/call")]
    items = stepwell("execution", "list", "-o", "json").json()["items"]
    assert (items[0]["execution_id"], items[0]["forked_from"], items[0]["parent"]) == ("fork", "one", None)
