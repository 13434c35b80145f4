"""Notifications and reused results on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, write_workflow
from tests.tasks.servers import Server

FAIL = {"name": "a", "type": "fail", "config": {"message": "it went boom"}}


def configure(**channels: str) -> None:
    Path("stepwell.yaml").write_text(json.dumps({"notifications": channels}))


def notify(*channels: str) -> dict[str, Any]:
    return {"config": {"on_error": {"notify": {"channels": list(channels), "recipients": ["ops"]}}}}


def test_what_was_sent_and_what_was_not_is_shown(stepwell: Stepwell) -> None:
    configure(log="log:")
    write_workflow("w.json", FAIL, **notify("log", "pager"))
    ran = stepwell("run", "w.json", "-o", "json")
    report = ran.json()
    assert ran.status == 1
    assert "warning: [ops] demo failed: step 'a' failed: it went boom" in ran.err
    (told,) = report["notifications"]
    assert [(each["channel"], each["status"]) for each in told["deliveries"]] == [
        ("log", "delivered"), ("pager", "undelivered"),
    ]  # fmt: skip
    shown = stepwell("execution", "show", report["execution_id"], "-o", "json").json()
    assert shown["notifications"] == report["notifications"]
    text = stepwell("execution", "show", report["execution_id"]).out
    assert "demo failed" in text
    assert "there is no channel 'pager' in the configuration" in text
    history = stepwell("execution", "history", report["execution_id"], "-o", "json").json()
    kinds = [event["event"] for event in history["items"]]
    assert kinds.count("NotificationSettled") == 2
    assert kinds.index("NotificationRequested") < kinds.index("NotificationSettled")


def test_validating_warns_of_channels_that_the_configuration_lacks(stepwell: Stepwell) -> None:
    write_workflow("w.json", FAIL, **notify("log", "pager"))
    assert "unknown-channel" not in stepwell("validate", "w.json").err
    configure(log="log:")
    checked = stepwell("validate", "w.json")
    assert checked.status == 0
    assert "warning[unknown-channel]: there is no channel 'pager'" in f"{checked.out}{checked.err}"


def test_a_reused_result_says_where_it_comes_from(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one", {"n": 1}, cache={"key": "k", "ttl": "1h"}))
    first = stepwell("run", "w.json", "-o", "json").json()
    second = stepwell("run", "w.json", "-o", "json").json()
    assert "from_cache" not in first["steps"][0]
    assert second["steps"][0]["from_cache"]["execution_id"] == first["execution_id"]
    assert second["steps"][0]["output"] == {"n": 1}
    assert f"from the cache, of execution {first['execution_id']}" in " ".join(
        stepwell("execution", "show", second["execution_id"]).out.split()
    )


class Hook(Server):
    """A webhook that does not answer before it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        super().__init__(self._answer_later)

    async def _answer_later(self, request: web.Request) -> web.StreamResponse:
        self.asked.set()
        await self.answers.wait()
        return web.Response(status=204)

    def keys(self) -> list[str]:
        return [seen.headers["idempotency-key"] for seen in self.seen]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    await hook.start()
    yield hook
    hook.answers.set()
    await hook.stop()


async def run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stepwell", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


async def test_a_killed_process_has_lost_nothing_that_was_to_be_told(hook: Hook) -> None:
    """Killed while the webhook does not answer; then the execution, which has ended, is resumed."""
    configure(hook=hook.url.replace("http://", "json://"), log="log:")
    write_workflow("w.json", FAIL, **notify("log", "hook"))
    killed = await run("run", "w.json", "--store", "sqlite:x.db")
    async with asyncio.timeout(30):
        await hook.asked.wait()
    listed = await run("execution", "list", "--store", "sqlite:x.db", "-o", "json")
    execution = json.loads((await listed.communicate())[0])["items"][0]["execution_id"]
    async with asyncio.timeout(30):
        while [each["status"] for each in await deliveries(execution)] != ["delivered", "pending"]:
            await asyncio.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    hook.answers.set()
    resumed = await run("run", "--resume", execution, "--store", "sqlite:x.db", "-o", "json")
    out, err = await resumed.communicate()
    assert resumed.returncode == 1, err.decode()
    assert [each["status"] for each in json.loads(out)["notifications"][0]["deliveries"]] == ["delivered", "delivered"]
    assert hook.keys() == [f"{execution}/@1.2/1"] * 2
    assert b"[ops] demo failed" not in err
    again = await run("run", "--resume", execution, "--store", "sqlite:x.db", "-o", "json")
    await again.communicate()
    assert len(hook.keys()) == 2


async def deliveries(execution: str) -> list[dict[str, Any]]:
    shown = await run("execution", "show", execution, "--store", "sqlite:x.db", "-o", "json")
    report = json.loads((await shown.communicate())[0])
    found: list[dict[str, Any]] = report["notifications"][0]["deliveries"]
    return found
