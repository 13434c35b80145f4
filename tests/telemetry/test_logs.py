"""Log lines: which are written, and as what."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from stepwell.app.configuration import configuration_from
from stepwell.app.telemetry import LifecycleLines
from stepwell.base.errors import ConfigurationError, ErrorInfo
from stepwell.base.values import Sealed
from stepwell.execution.history import ExecutionStarted, StepFailed
from stepwell.ports.attempts import CURRENT
from stepwell.ports.work import TaskContext
from stepwell.telemetry.logs import LEVELS, LONGEST, JsonFormatter, Wanted, about, level_name, level_number
from tests.telemetry.test_metrics import definition


def record(
    name: str, level: int = logging.INFO, message: str = "hello you", extra: dict[str, Any] | None = None
) -> logging.LogRecord:
    """A line as a logger makes it."""
    made = logging.LogRecord(name, level, "file.py", 1, message, (), None)
    made.__dict__.update(extra or {})
    return made


class Attempt:
    """An attempt of a step, whose secret is `hunter2`."""

    execution = "exec-1"
    workflow = "team.orders"
    step = "pay[3]"
    attempt = 2

    def hide(self, text: str) -> str:
        return text.replace("hunter2", "***")


@pytest.fixture
def attempt() -> Iterator[None]:
    token = CURRENT.set(cast("TaskContext", Attempt()))
    yield
    CURRENT.reset(token)


def test_a_line_of_json_has_the_fields_that_are_promised() -> None:
    extra = about("exec-1", "team.orders", "pay[3]", 2)
    line = json.loads(
        JsonFormatter("n1", lambda execution: "t" * 32).format(record("stepwell.engine.engine", extra=extra))
    )
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "component": "engine",
        "workflow_id": "team.orders",
        "activity": "pay",
        "message": "hello you",
        "execution": "exec-1",
        "step": "pay[3]",
        "attempt": 2,
        "node": "n1",
        "trace_id": "t" * 32,
    }


@pytest.mark.usefixtures("attempt")
def test_what_a_task_logs_belongs_to_its_attempt_and_shows_no_secret() -> None:
    made = record("somebody", logging.INFO, "x" * (LONGEST - 3) + " hunter2")
    line = json.loads(JsonFormatter("n").format(made))
    assert (line["component"], line["execution"], line["activity"], line["attempt"]) == ("tasks", "exec-1", "pay", 2)
    assert line["message"].endswith("x **…")


def test_an_exception_is_part_of_the_line_and_the_line_stays_one() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        made = logging.LogRecord("stepwell.app", logging.ERROR, "f", 1, "it failed", (), (ValueError, error, None))
    text = JsonFormatter("n").format(made)
    assert "\n" not in text
    assert "two\nlines" in json.loads(text)["exception"]


def test_further_fields_are_kept_but_replace_none() -> None:
    line = json.loads(JsonFormatter("n").format(record("stepwell.app", extra={"order": 7, "level": "odd"})))
    assert (line["order"], line["level"]) == (7, "info")


@pytest.mark.parametrize(
    ("level", "components", "name", "severity", "expected"),
    [
        (logging.INFO, [], "stepwell.engine.engine", logging.INFO, True),
        (logging.INFO, [], "stepwell.engine.engine", logging.DEBUG, False),
        (logging.INFO, [], "aiohttp.access", logging.INFO, False),
        (logging.INFO, [], "aiohttp.access", logging.WARNING, True),
        (logging.INFO, ["worker"], "stepwell.engine.engine", logging.ERROR, False),
        (logging.INFO, ["workflow_engine"], "stepwell.engine.engine", logging.INFO, True),
        (logging.INFO, ["state_manager"], "stepwell.store.sqlite.store", logging.INFO, True),
        (logging.INFO, ["activity_executor"], "stepwell.lifecycle.step", logging.INFO, True),
        (logging.INFO, ["activity_executor"], "stepwell.lifecycle.execution", logging.INFO, False),
        (logging.INFO, ["engine", "app"], "stepwell.app.session", logging.INFO, True),
    ],
)
def test_lines_are_wanted_by_level_and_component(
    level: int, components: list[str], name: str, severity: int, expected: bool
) -> None:
    assert Wanted(level, components).filter(record(name, severity)) is expected


@pytest.mark.usefixtures("attempt")
def test_what_a_library_says_while_a_task_calls_it_is_the_tasks() -> None:
    assert Wanted(logging.INFO, ["tasks"]).filter(record("aiohttp.client"))


def test_levels_have_names_and_numbers() -> None:
    assert [level_name(level_number(name)) for name in LEVELS] == list(LEVELS)
    assert level_name(logging.CRITICAL) == "error"
    assert level_name(5) == "debug"


def test_what_happens_to_executions_is_written_with_what_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    error = ErrorInfo("boom", Sealed("hunter2"))  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        LifecycleLines().committed("exec-1", definition(), [ExecutionStarted(1), StepFailed(2, "a", 1, error)])
    lines = [json.loads(JsonFormatter("n").format(each)) for each in caplog.records]
    assert [(line["component"], line["level"], line["message"]) for line in lines] == [
        ("engine", "info", "started"),
        ("worker", "error", "failed: boom: ***"),
    ]
    assert {line["execution"] for line in lines} == {"exec-1"}
    assert lines[1]["activity"] == "a"


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"level": "loud"}, "logging.level"),
        ({"components": ["everything"]}, "logging.components"),
        ({"format": "xml"}, "logging.format"),
        ({"executions": {"keep": "0s"}}, "logging.executions.keep"),
        ({"executions": {"level": "loud"}}, "logging.executions.level"),
    ],
)
def test_an_unknown_level_component_or_format_is_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigurationError, match=where.replace(".", r"\.")):
        configuration_from({"logging": values})
