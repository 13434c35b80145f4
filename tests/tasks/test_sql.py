"""Steps of type `sql`, on a real database."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from stepwell.ports.work import TaskError
from stepwell.tasks import sql
from stepwell.tasks.sql import SqlHandler
from tests.tasks.context import PlainContext


class Following(PlainContext):
    """Knows when the thread of a function has ended, also when nobody waits for it any more."""

    ended: asyncio.Future[Any]

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.ended = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        return await asyncio.shield(self.ended)


class Database:
    """A handler with one connection, `main`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handler = SqlHandler({"main": f"sqlite:///{path}", "bad": "sqlite:///no/such/folder/x.db"})

    async def run(self, query: str, connection: str = "main", **more: Any) -> Any:
        config = {"connection": connection, "query": query, **more}
        return (await self.handler.run(config, PlainContext())).value

    async def failure(self, query: str, **more: Any) -> TaskError:
        with pytest.raises(TaskError) as raised:
            await self.run(query, **more)
        return raised.value


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    made = Database(tmp_path / "x.db")
    await made.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, at TEXT)", fetch="none")
    await made.run("INSERT INTO t VALUES (:id, :name, NULL)", params=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    yield made
    await made.handler.close()


async def test_rows_come_as_objects(database: Database) -> None:
    assert await database.run("SELECT id, name FROM t ORDER BY id") == {
        "row_count": 2,
        "rows": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }


async def test_one_row_one_value_or_none(database: Database) -> None:
    query = "SELECT name FROM t WHERE id = :id"
    assert await database.run(query, params={"id": 1}, fetch="one") == {"row_count": 1, "row": {"name": "a"}}
    assert await database.run(query, params={"id": 9}, fetch="one") == {"row_count": 0, "row": None}
    assert await database.run(query, params={"id": 2}, fetch="value") == {"row_count": 1, "value": "b"}
    assert await database.run("DELETE FROM t", fetch="none") == {"row_count": 2}


async def test_values_are_never_read_as_sql(database: Database) -> None:
    hostile = "x'); DROP TABLE t; --"
    await database.run("INSERT INTO t VALUES (3, :name, NULL)", params={"name": hostile})
    found = await database.run("SELECT name FROM t WHERE name = :name", params={"name": hostile}, fetch="value")
    assert found["value"] == hostile
    assert (await database.run("SELECT count(*) FROM t", fetch="value"))["value"] == 3


async def test_a_list_is_bound_as_so_many_values(database: Database) -> None:
    query = "SELECT count(*) FROM t WHERE id IN :ids"
    assert (await database.run(query, params={"ids": [1, 2, 7]}, fetch="value"))["value"] == 2
    assert (await database.run(query, params={"ids": []}, fetch="value"))["value"] == 0


async def test_a_statement_can_tell_that_it_was_run_before(database: Database) -> None:
    statement = "INSERT OR IGNORE INTO t VALUES (5, :idempotency_key, NULL)"
    assert (await database.run(statement, fetch="none"))["row_count"] == 1
    assert (await database.run(statement, fetch="none"))["row_count"] == 0
    assert (await database.run("SELECT name FROM t WHERE id = 5", fetch="value"))["value"] == "e1/call"


async def test_what_fails_leaves_nothing_behind(database: Database) -> None:
    rows = [{"id": 3, "name": "c"}, {"id": 1, "name": "again"}]
    error = await database.failure("INSERT INTO t VALUES (:id, :name, NULL)", params=rows)
    assert (error.type, error.retryable) == ("integrity_error", False)
    assert (await database.run("SELECT count(*) FROM t", fetch="value"))["value"] == 2


@pytest.mark.parametrize(
    ("query", "params", "said"),
    [
        ("SELECT :a", None, "the query has :a, and params has no such value"),
        ("SELECT :name", {"name": 1, "nam": 2}, "params has 'nam', and the query has no :nam (did you mean 'name'?)"),
        ("SELECT :a", {"a": {"x": 1}}, "the value of 'a' is an object"),
    ],
)
async def test_placeholders_and_values_must_match(database: Database, query: str, params: Any, said: str) -> None:
    error = await database.failure(query, params=params)
    assert error.type == "invalid_config"
    assert said in str(error)


async def test_errors_of_the_database_are_told_without_values(database: Database) -> None:
    error = await database.failure("SELECT absent FROM t WHERE id = :secret", params={"secret": "s3cret"})
    assert "no such column: absent" in str(error)
    assert "s3cret" not in str(error)
    assert (error.type, error.retryable) == ("sql_error", False)


async def test_a_database_that_cannot_be_reached_may_be_tried_again(database: Database) -> None:
    error = await database.failure("SELECT 1", connection="bad")
    assert (error.type, error.retryable) == ("connection_error", True)


@pytest.mark.parametrize(
    ("url", "type_"), [("nonsense", "invalid_config"), ("oracle+nothing://user:s3cret@host/x", "invalid_config")]
)
async def test_a_wrong_url_is_told_without_being_shown(url: str, type_: str) -> None:
    with pytest.raises(TaskError) as raised:
        await SqlHandler({"x": url}).run({"connection": "x", "query": "SELECT 1"}, PlainContext())
    assert raised.value.type == type_
    assert "s3cret" not in str(raised.value)


async def test_an_unknown_connection_names_the_nearest(database: Database) -> None:
    error = await database.failure("SELECT 1", connection="mainn")
    assert (error.type, "did you mean 'main'?" in str(error)) == ("unknown_connection", True)


async def test_too_many_rows_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MAX_ROWS", 1)
    assert (await database.failure("SELECT * FROM t")).type == "too_many_rows"
    assert (await database.failure("SELECT * FROM t", fetch="one")).type == "too_many_rows"
    assert (await database.failure("SELECT 1, 2", fetch="value")).type == "too_many_columns"


async def test_a_stopped_attempt_interrupts_its_statement(database: Database) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(*_: Any) -> int:
        loop.call_soon_threadsafe(begun.set)
        return 1

    engine = await database.handler._engine("main", PlainContext())
    event.listen(engine, "connect", lambda raw, _: raw.create_function("note", 0, note))
    await asyncio.to_thread(engine.dispose)  # so that the next connection has the function
    endless = "WITH RECURSIVE n(i) AS (SELECT note() UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    context = Following()
    task = asyncio.create_task(database.handler.run({"connection": "main", "query": endless}, context))
    await asyncio.wait_for(begun.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TaskError, match="interrupted"):
        await asyncio.wait_for(context.ended, 20)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05Z"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\xff", "/w=="),
        ((1, [b"a"]), [1, ["YQ=="]]),
        ({"a": Decimal(2)}, {"a": "2"}),
        (None, None),
    ],
)
def test_values_become_what_json_has(value: Any, plain: Any) -> None:
    assert sql._plain(value) == plain
