"""The logs of executions, as a caller reads and searches them."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from stepwell.app.log_keeping import MOST, LogKeeper
from stepwell.tasks.registry import task
from stepwell.telemetry.logs import LogLine
from tests.api.conftest import OpenServer, Server
from tests.api.test_monitoring import workflow

SECOND = 1_000_000
_log = logging.getLogger("somebodys.tasks")


@task("talk")
async def talk(word: str = "hello") -> str:
    _log.debug("not kept")
    _log.info("said %s", word)
    _log.warning("a warning")
    return word


@task("talk_in_thread")
def talk_in_thread() -> str:
    _log.info("from %s", "a thread" if threading.current_thread() is not threading.main_thread() else "the loop")
    return "done"


@task("fall_over")
async def fall_over() -> None:
    try:
        raise KeyError("inner")
    except KeyError:
        _log.exception("it is about to fall")
    raise ValueError("it fell over")


@task("use_secret")
async def use_secret(password: str) -> None:
    _log.info("%s%s", "x" * 3_995, password)
    _log.info("the password is %s", password)


TASKS = (talk, talk_in_thread, fall_over, use_secret)


@pytest.fixture
async def talking(open_test_server: OpenServer) -> Any:
    async with open_test_server(tasks=TASKS) as server:
        yield server


async def run(server: Server, name: str, document: dict[str, Any], given: dict[str, Any] | None = None) -> str:
    await server.post("/api/v1/workflows", json=document)
    started = await server.post(f"/api/v1/workflows/{name}/executions", json={"input": given or {}})
    execution: str = started.json()["execution_id"]
    await server.parts.session.engine.ended(execution)
    await server.advance(SECOND)
    return execution


async def lines(server: Server, execution: str, **query: Any) -> dict[str, Any]:
    answered = await server.get(f"/api/v1/executions/{execution}/logs", params=query)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


async def test_the_log_of_an_execution_tells_its_history_and_what_its_tasks_logged(talking: Server) -> None:
    execution = await run(talking, "w", workflow("w", "talk"))
    found = await lines(talking, execution)
    assert [(line["component"], line["message"]) for line in found["items"]] == [
        ("engine", "started"),
        ("worker", "started"),
        ("worker", "completed"),
        ("engine", "completed"),
        ("tasks", "said hello"),
        ("tasks", "a warning"),
    ]  # the clock stands still: at one instant the history comes first
    said = next(line for line in found["items"] if line["message"] == "said hello")
    assert {key: said[key] for key in ("workflow_id", "activity", "step", "type", "attempt", "level")} == {
        "workflow_id": "w",
        "activity": "only",
        "step": "only",
        "type": "talk",
        "attempt": 1,
        "level": "info",
    }
    assert said["execution_id"] == execution
    assert found["next"] is None


async def test_what_a_task_logs_in_a_thread_belongs_to_its_attempt(talking: Server) -> None:
    execution = await run(talking, "w", workflow("w", "talk_in_thread"))
    found = await lines(talking, execution, text="FROM A THREAD")
    assert [line["step"] for line in found["items"]] == ["only"]


async def test_lines_are_filtered_by_level_step_type_error_and_time(talking: Server) -> None:
    execution = await run(talking, "w", workflow("w", "fall_over"))
    assert {line["level"] for line in (await lines(talking, execution, level="error"))["items"]} == {"error"}
    assert len((await lines(talking, execution, errors="true"))["items"]) >= 2
    assert (await lines(talking, execution, step="nobody"))["items"] == []
    assert {line["step"] for line in (await lines(talking, execution, type="fall_over"))["items"]} == {"only"}
    assert (await lines(talking, execution, since="2099-01-01T00:00:00Z"))["items"] == []
    assert (await lines(talking, execution, until="2001-01-01T00:00:00Z"))["items"] == []


async def test_errors_are_counted_by_type(talking: Server) -> None:
    execution = await run(talking, "w", workflow("w", "fall_over"))
    assert (await lines(talking, execution, limit=1))["errors"]["ValueError"] >= 1


async def test_a_log_is_read_page_by_page_without_losing_or_repeating_a_line(talking: Server) -> None:
    execution = await run(talking, "w", workflow("w", "talk"))
    whole = (await lines(talking, execution))["items"]
    paged: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await lines(talking, execution, limit=1, **cursor)
        paged += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert paged == whole


async def test_a_secret_is_masked_before_a_line_is_cut(talking: Server) -> None:
    document = workflow("w", "use_secret")
    document["spec"]["input"] = {"schema": {"properties": {"password": {"type": "string", "secret": True}}}}
    document["spec"]["steps"][0]["config"] = {"password": "{{ input.password }}"}
    execution = await run(talking, "w", document, {"password": "hunter2hunter2"})
    messages = [line["message"] for line in (await lines(talking, execution))["items"]]
    assert "the password is ***" in messages
    assert not any("hunter2" in message or message.endswith("xhunte…") for message in messages)


async def test_logs_of_all_executions_are_searched_newest_first(talking: Server) -> None:
    first = await run(talking, "w", workflow("w", "talk"))
    second = await run(talking, "team.v", workflow("team.v", "fall_over"))
    found = (await talking.get("/api/v1/logs")).json()
    assert {line["execution_id"] for line in found["items"]} == {first, second}
    assert found["items"][0]["execution_id"] == second
    assert found["dropped"] == 0
    of_one = (await talking.get("/api/v1/logs", params={"workflow": "w", "level": "warning"})).json()["items"]
    assert [line["message"] for line in of_one] == ["a warning"]
    failed = (await talking.get("/api/v1/logs", params={"errors": "true"})).json()
    assert failed["errors"].get("ValueError", 0) >= 1
    a_page = (await talking.get("/api/v1/logs", params={"limit": 1})).json()
    after = (await talking.get("/api/v1/logs", params={"limit": 1, "cursor": a_page["next"]})).json()
    assert [*a_page["items"], *after["items"]] == found["items"][:2]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "1001"}, {"level": "loud"}, {"since": "yesterday"}, {"cursor": "x"}, {"unknown": "1"}],
)
async def test_a_query_that_makes_no_sense_is_refused(talking: Server, query: dict[str, str]) -> None:
    execution = await run(talking, "w", workflow("w", "talk"))
    for path in (f"/api/v1/executions/{execution}/logs", "/api/v1/logs"):
        assert (await talking.get(path, params=query)).status_code == 400


async def test_the_log_of_an_execution_that_is_not_there_is_not_found(talking: Server) -> None:
    refused = await talking.get("/api/v1/executions/nobody/logs")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown-execution")


async def test_lines_beyond_what_can_wait_are_dropped_and_counted(talking: Server) -> None:
    keeper = talking.parts.service(LogKeeper)
    line = LogLine(level="info", component="tasks", workflow="w", message="again")
    for _ in range(MOST + 5):
        keeper.keep("e", 1, line)
    assert keeper.dropped == 5
    await talking.advance(SECOND)
    found = (await talking.get("/api/v1/logs", params={"text": "lines were dropped"})).json()
    assert [each["message"] for each in found["items"]] == ["5 lines were dropped: too many came at once"]
    assert found["dropped"] == 5


async def test_lines_are_kept_as_long_as_configured(open_test_server: OpenServer) -> None:
    configuration = {"logging": {"executions": {"keep": "2h"}}}
    async with open_test_server(configuration, tasks=TASKS) as server:
        server.parts.service(LogKeeper).keep(
            "e", server.clock.now(), LogLine(level="info", component="tasks", workflow="w", message="old")
        )
        await server.advance(SECOND)
        assert len((await server.get("/api/v1/logs")).json()["items"]) == 1
        await server.advance(4 * 3_600 * SECOND)
        assert (await server.get("/api/v1/logs")).json()["items"] == []


async def test_what_tasks_log_below_the_level_is_not_kept(open_test_server: OpenServer) -> None:
    async with open_test_server({"logging": {"executions": {"level": "warning"}}}, tasks=TASKS) as server:
        await run(server, "w", workflow("w", "talk"))
        kept = (await server.get("/api/v1/logs")).json()["items"]
        assert [line["message"] for line in kept] == ["a warning"]
