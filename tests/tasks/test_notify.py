"""Steps of type `notify`, and the channels that need no library."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from stepwell.base.values import SecretRef, SecretText
from stepwell.ports.notices import Notice, Notifier
from stepwell.ports.work import TaskContext, TaskError
from stepwell.tasks.client import HttpClient
from stepwell.tasks.notifiers import LogNotifier, WebhookNotifier
from stepwell.tasks.notify import TRIES, NotifyHandler
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import answering


class Recorder(Notifier):
    """Remembers what it was to send, and does what it is told: each answer is for one try."""

    def __init__(self, *answers: Exception | None) -> None:
        self.sent: list[tuple[str, Notice]] = []
        self._answers = list(answers)
        self.closed = 0

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        self.sent.append((url, notice))
        answer = self._answers.pop(0) if self._answers else None
        if answer is not None:
            raise answer

    async def close(self) -> None:
        self.closed += 1


class Bench:
    """A handler whose naps take no time."""

    def __init__(self, *answers: Exception | None, channels: Mapping[str, Any] | None = None) -> None:
        self.notifier = Recorder(*answers)
        self.naps: list[float] = []
        self.channels = {"slack": "chat://token-1234", "email": "chat://other-5678"} if channels is None else channels
        self.handler = NotifyHandler(self.channels, {"chat": self.notifier}, Recorder(), self._nap)

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def tell(self, secrets: Mapping[str, str] | None = None, **config: Any) -> Any:
        config = {"message": "hello", **config}
        return (await self.handler.run(config, PlainContext(secrets))).value


def flaky() -> TaskError:
    return TaskError("undelivered", "the service is busy", retryable=True)


async def test_every_recipient_is_told_over_every_channel_once() -> None:
    bench = Bench()
    result = await bench.tell(channels=["slack", "email", "slack"], recipients=["ada", "bob", "ada"])
    sent = [(url, notice.recipient) for url, notice in bench.notifier.sent]
    assert sent == [
        ("chat://token-1234", "ada"), ("chat://token-1234", "bob"),
        ("chat://other-5678", "ada"), ("chat://other-5678", "bob"),
    ]  # fmt: skip
    assert (result["delivered"], result["undelivered"]) == (4, 0)
    assert result["deliveries"][1] == {"channel": "slack", "recipient": "bob", "delivered": True, "reason": None}


async def test_without_channels_all_are_meant_and_without_recipients_whoever_they_lead_to() -> None:
    bench = Bench()
    result = await bench.tell(title="T", priority="high")
    assert [each["channel"] for each in result["deliveries"]] == ["email", "slack"]
    notice = bench.notifier.sent[0][1]
    assert (notice.recipient, notice.title, notice.message, notice.priority) == ("", "T", "hello", "high")
    assert (notice.workflow, notice.execution) == ("shop", "e1")


async def test_lists_in_lists_are_one_list_and_nobody_is_nobody() -> None:
    bench = Bench()
    await bench.tell(channels="slack", recipients=["ada", ["bob", None, ["ada", ""]]])
    assert [notice.recipient for _, notice in bench.notifier.sent] == ["ada", "bob"]


async def test_a_delivery_has_the_same_key_in_every_try_and_another_one_has_another() -> None:
    bench = Bench(flaky(), flaky())
    await bench.tell(channels=["slack"], recipients=["ada", "bob"])
    keys = {notice.recipient: set[str]() for _, notice in bench.notifier.sent}
    for _, notice in bench.notifier.sent:
        keys[notice.recipient].add(notice.key)
    assert keys == {"ada": {"e1/call/1"}, "bob": {"e1/call/2"}}


async def test_what_may_pass_is_tried_again_after_a_while() -> None:
    bench = Bench(flaky(), flaky())
    result = await bench.tell(channels=["slack"])
    assert result["delivered"] == 1
    assert bench.naps == [1.0, 3.0]


async def test_a_delivery_that_fails_for_good_is_said_in_the_result_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(*(flaky() for _ in range(TRIES.max_attempts)))
    result = await bench.tell(channels=["slack"], recipients=["ada"])
    (told,) = result["deliveries"]
    assert told == {"channel": "slack", "recipient": "ada", "delivered": False, "reason": "the service is busy"}
    assert len(bench.notifier.sent) == TRIES.max_attempts
    (line,) = caplog.messages
    assert line == "e1/call/1: nothing was delivered to ada over the channel 'slack': the service is busy"


async def test_what_will_not_pass_is_not_tried_again() -> None:
    bench = Bench(TaskError("invalid_channel", "no such thing"))
    result = await bench.tell(channels=["slack"])
    assert (result["undelivered"], bench.naps) == (1, [])


async def test_a_channel_that_is_not_configured_is_recorded_with_the_nearest_that_is() -> None:
    result = await Bench().tell(channels=["slak", "email"])
    first, second = result["deliveries"]
    assert "no channel 'slak'" in first["reason"]
    assert "'slack'" in first["reason"]
    assert second["delivered"] is True


async def test_a_notifier_that_breaks_breaks_only_its_delivery() -> None:
    bench = Bench(RuntimeError("it has a bug"))
    result = await bench.tell(channels=["slack", "email"])
    assert [each["reason"] for each in result["deliveries"]] == ["RuntimeError: it has a bug", None]


async def test_a_try_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.tasks.notify.LONGEST", 1)

    class Stuck(Recorder):
        async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
            await asyncio.Event().wait()

    bench = Bench()
    handler = NotifyHandler(bench.channels, {"chat": Stuck()}, Stuck(), bench._nap)
    result = (await handler.run({"message": "hello", "channels": ["slack"]}, PlainContext())).value
    assert "not done within" in result["deliveries"][0]["reason"]
    assert len(bench.naps) == TRIES.max_attempts - 1


async def test_settings_that_are_wrong_are_an_error() -> None:
    for wrong in ({"priority": "soon"}, {"message": 5}, {"colour": "red"}, {"recipients": [5]}, {"channels": {"a": 1}}):
        with pytest.raises(TaskError) as raised:
            await Bench().tell(**wrong)
        assert raised.value.type == "invalid_config"


async def test_every_notifier_is_closed_once() -> None:
    notifier, other = Recorder(), Recorder()
    await NotifyHandler({}, {"a": notifier, "b": notifier}, other).close()
    assert (notifier.closed, other.closed) == (1, 1)


# Secrets


async def test_secrets_in_the_url_of_a_channel_are_fetched_when_it_is_used() -> None:
    bench = Bench(channels={"slack": SecretText(("chat://x/", SecretRef("TOKEN")))})
    await bench.tell({"TOKEN": "s3cr3t-token"}, channels=["slack"])
    assert bench.notifier.sent[0][0] == "chat://x/s3cr3t-token"


async def test_a_secret_that_is_not_there_leaves_the_delivery_undone() -> None:
    bench = Bench(channels={"slack": SecretRef("TOKEN")})
    result = await bench.tell(channels=["slack"])
    assert "TOKEN" in result["deliveries"][0]["reason"]


@pytest.mark.parametrize("url", ["chat://user:hunter2hunter2@example.com/x", "chat://tokentoken/x?key=hunter2hunter2"])
async def test_no_secret_of_a_url_is_shown_whatever_the_notifier_says(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    problem = TaskError("undelivered", f"cannot reach {url}: hunter2hunter2 was refused, tokentoken too")
    bench = Bench(problem, channels={"slack": url})
    result = await bench.tell(channels=["slack"])
    for shown in (json.dumps(result), caplog.text):
        assert "hunter2" not in shown
        assert url not in shown
    assert "tokentoken" not in json.dumps(result) or "example.com" in url


# The log


async def test_the_channel_log_writes_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    handler = NotifyHandler({"log": "log:", "quiet": "log:info"}, {"log": LogNotifier()}, Recorder())
    config = {"title": "T", "message": "one\ntwo", "recipients": ["ada"]}
    result = (await handler.run(config, PlainContext())).value
    assert result["delivered"] == 2
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "[ada] T: one two"),
        ("INFO", "[ada] T: one two"),
    ]


async def test_what_was_opened_for_a_step_is_not_written_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    context = PlainContext({"TOKEN": "hunter2hunter2"})
    text = context.open(SecretText(("it is ", SecretRef("TOKEN"))))
    await NotifyHandler({"log": "log:"}, {"log": LogNotifier()}, Recorder()).run({"message": text}, context)
    assert caplog.messages == ["it is ***"]


async def test_nothing_that_a_terminal_would_act_on_gets_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    handler = NotifyHandler({"log": "log:"}, {"log": LogNotifier()}, Recorder())
    config = {"message": "\x1b[31mred\r\nalert", "channels": ["log", "gone"], "recipients": ["\x1b[2J"]}
    await handler.run(config, PlainContext())
    assert all(line.isprintable() for line in caplog.messages)
    assert caplog.messages[0] == "[?[2J] ?[31mred alert"


async def test_the_channel_log_knows_its_levels() -> None:
    handler = NotifyHandler({"log": "log:loud"}, {"log": LogNotifier()}, Recorder())
    result = (await handler.run({"message": "x"}, PlainContext())).value
    assert "info, warning, error" in result["deliveries"][0]["reason"]


# Webhooks


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


def webhook(client: HttpClient, url: str) -> NotifyHandler:
    async def nap(seconds: float) -> None:
        pass

    return NotifyHandler({"hook": url}, {"json": WebhookNotifier(lambda: client)}, Recorder(), nap)


async def test_a_webhook_gets_the_notice_as_json(client: HttpClient, serve: Serve) -> None:
    server = await serve(answering(status=204))
    url = server.url.replace("http://", "json://ann:pass@") + "/in"
    config = {"title": "T", "message": "hello", "recipients": ["ada"]}
    result = (await webhook(client, url).run(config, PlainContext())).value
    assert result["delivered"] == 1
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/in")
    assert seen.headers["idempotency-key"] == "e1/call/1"
    assert seen.headers["authorization"].startswith("Basic ")
    assert json.loads(seen.body) == {
        "title": "T", "message": "hello", "priority": "normal", "recipient": "ada",
        "workflow": "shop", "execution_id": "e1", "key": "e1/call/1",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1)])
async def test_a_webhook_that_refuses_is_said_without_its_address(
    client: HttpClient, serve: Serve, status: int, tries: int
) -> None:
    server = await serve(answering(text="the-body-of-the-answer", status=status))
    url = server.url.replace("http://", "json://") + "/hunter2hunter2"
    result = (await webhook(client, url).run({"message": "x"}, PlainContext())).value
    assert result["deliveries"][0]["reason"] == f"the server answered {status}"
    assert len(server.seen) == tries


async def test_a_webhook_that_cannot_be_reached_is_said_without_its_address(client: HttpClient) -> None:
    result = (await webhook(client, "json://127.0.0.1:1/hunter2").run({"message": "x"}, PlainContext())).value
    assert result["deliveries"][0]["reason"] == "the server cannot be reached"
