"""Notifications as a program sees them: configuration, a real channel, a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowEngine, task
from stepwell.app.configuration import configuration_from
from stepwell.app.notifications import channels_of
from stepwell.base.errors import ConfigurationError
from stepwell.base.values import SecretRef, SecretText
from tests.tasks.servers import Server, answering

TOKEN = "hunter2hunter2"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(answering(status=204))
    await server.start()
    yield server
    await server.stop()


@task
def boom() -> None:
    raise ValueError("it went boom")


def document(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "w", "version": "1.0.0"},
        "spec": {"steps": list(steps), **spec},
    }


FAILING = document(
    {"name": "a", "type": "boom"}, config={"on_error": {"notify": {"channels": ["hook"], "recipients": ["ops"]}}}
)


def test_secrets_in_channels_are_left_for_the_worker_to_look_up() -> None:
    given = {"a": "log:", "b": "slack://{{ secrets.T }}/#ops", "c": "{{ secrets.URL }}"}
    channels = channels_of(configuration_from({"notifications": given}))
    assert channels == {
        "a": "log:", "b": SecretText(("slack://", SecretRef("T"), "/#ops")), "c": SecretRef("URL"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "channel", [f"{TOKEN}", [f"slack://{TOKEN}"], {"url": f"slack://{TOKEN}"}, f"slack://{TOKEN}/{{{{ input.x }}}}",
                f"slack://{TOKEN}/{{{{ 1 + }}}}"],
)  # fmt: skip
def test_a_wrong_channel_is_refused_without_being_shown(channel: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        channels_of(configuration_from({"notifications": {"slack": channel}}))
    assert "notifications.slack" in str(raised.value)
    assert TOKEN not in f"{raised.value} {raised.value.hint}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notification library
async def test_a_failure_is_told_over_a_webhook_and_recorded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="stepwell")
    monkeypatch.setenv("STEPWELL_SECRET_TOKEN", TOKEN)
    url = server.url.replace("http://", "json://") + "/{{ secrets.TOKEN }}"
    config = {
        "state_store": {"type": "sqlite", "path": str(tmp_path / "x.db")},
        "notifications": {"hook": url, "gone": f"json://127.0.0.1:1/{TOKEN}", "odd": f"nobody-knows://{TOKEN}"},
    }
    async with WorkflowEngine(config, tasks=[boom]) as engine:
        failed = await engine.start_workflow(FAILING)
        report = await engine.result(failed)
        step = {"name": "n", "type": "notify", "config": {"channels": ["odd"], "message": "m"}}
        told = await engine.execute_workflow(document(step))
    assert report["status"] == "failed"
    assert [seen.path for seen in server.seen] == [f"/{TOKEN}"]
    assert told["status"] == "completed"
    assert told["steps"][0]["output"]["undelivered"] == 1
    async with WorkflowEngine(config, tasks=[boom]) as engine:
        (notification,) = (await engine.get_workflow_status(failed)).report["notifications"]
    (delivery,) = notification["deliveries"]
    assert (delivery["channel"], delivery["recipient"], delivery["status"]) == ("hook", "ops", "delivered")
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("stepwell")]
    shown = f"{report} {told} {notification} {logged}".encode()
    for written in (shown, *(path.read_bytes() for path in tmp_path.iterdir())):
        assert TOKEN.encode() not in written


async def test_true_means_all_configured_channels(server: Server) -> None:
    url = server.url.replace("http://", "json://")
    config = {"state_store": {"type": "memory"}, "notifications": {"b": f"{url}/b", "a": f"{url}/a"}}
    step = {"name": "a", "type": "boom", "on_failure": {"action": "continue", "notify": True}}
    async with WorkflowEngine(config, tasks=[boom]) as engine:
        report = await engine.execute_workflow(document(step))
    assert report["status"] == "completed"
    assert sorted(seen.path for seen in server.seen) == ["/a", "/b"]
