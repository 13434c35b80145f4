"""Channels of the notification library."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from stepwell.ports.notices import Notice
from stepwell.ports.work import TaskError
from stepwell.tasks import notify_apprise
from stepwell.tasks.notify_apprise import AppriseNotifier
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import answering

pytest.importorskip("apprise", reason="the extra stepwell[notify] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the library itself


def notice(**changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "recipient": "", "title": "T", "message": "hello", "priority": "normal",
        "key": "e1/call/1", "workflow": "shop", "execution": "e1",
    }  # fmt: skip
    return Notice(**(fields | changes))


async def failure(url: str, **changes: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await AppriseNotifier().send(url, notice(**changes), PlainContext())
    return raised.value


async def test_the_library_delivers(serve: Serve) -> None:
    server = await serve(answering(status=200))
    url = server.url.replace("http://", "json://") + "/in"
    await AppriseNotifier().send(url, notice(recipient="ops", priority="urgent"), PlainContext())
    (seen,) = server.seen
    said = json.loads(seen.body)
    assert (said["title"], said["message"], said["type"]) == ("T", "[ops] hello", "failure")


async def test_the_recipient_stands_where_the_url_wants_it(serve: Serve) -> None:
    server = await serve(answering(status=200))
    url = server.url.replace("http://", "json://") + "/to/{recipient}"
    await AppriseNotifier().send(url, notice(recipient="a/b?c@example.com"), PlainContext())
    (seen,) = server.seen
    assert seen.path in ("/to/a%2Fb%3Fc%40example.com", "/to/a%2Fb%3Fc@example.com")
    assert json.loads(seen.body)["message"] == "hello"


async def test_a_service_that_refuses_is_tried_again(serve: Serve) -> None:
    server = await serve(answering(status=500))
    error = await failure(server.url.replace("http://", "json://") + "/hunter2hunter2")
    assert (error.type, error.retryable) == ("undelivered", True)
    assert "the service did not take it" in str(error)


async def test_a_url_that_the_library_does_not_know_is_no_channel() -> None:
    error = await failure("nobody-knows://hunter2hunter2")
    assert (error.type, error.retryable) == ("invalid_channel", False)
    assert "hunter2" not in str(error)


class Lines(logging.Handler):
    """What reaches the root of all logs; what test servers write about requests left out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("aiohttp"):
            self.lines.append(record.getMessage())


async def test_the_library_writes_nothing_into_our_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Lines()
    logging.getLogger().addHandler(seen)
    try:
        server = await serve(answering(status=500))
        await failure(server.url.replace("http://", "json://") + "/hunter2hunter2")
        await failure("slack://hunter2hunter2")
    finally:
        logging.getLogger().removeHandler(seen)
    assert [line for line in seen.lines if "hunter2" in line] == []


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    notify_apprise._library.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    yield
    notify_apprise._library.cache_clear()


@pytest.mark.usefixtures("without_library")
async def test_without_the_library_it_is_said_what_to_install() -> None:
    error = await failure("slack://token")
    assert (error.type, error.retryable) == ("missing_library", False)
    assert "stepwell[notify]" in str(error)


def test_the_library_is_imported_only_when_it_is_used() -> None:
    program = """
import sys
import stepwell.tasks.notify, stepwell.tasks.notifiers, stepwell.tasks.notify_apprise
print([name for name in ("apprise", "aiohttp", "requests") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
