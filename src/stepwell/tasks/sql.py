"""`sql {connection, query, params, fetch}`: one statement, in one transaction, with values that are bound.

A definition names a connection of the configuration, and its query holds no expressions: values can only be given as
parameters, so that nothing in them is ever read as SQL.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from stepwell.base.suggest import hint_for
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import invalid_config, read_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine
    from sqlalchemy.sql.elements import TextClause

MAX_ROWS: Final = 10_000
"""More rows are an error: what a step returns is stored."""

Fetch = Literal["all", "one", "value", "none"]


class _SqlSettings(msgspec.Struct, forbid_unknown_fields=True):
    connection: str
    query: str
    params: dict[str, Any] | list[dict[str, Any]] | None = None
    fetch: Fetch | None = None


class SqlHandler(TaskHandler):
    """Runs statements on databases through SQLAlchemy.

    The result is `{rows, row_count}`: with `fetch: all` (which is usual) the rows as objects; with `one` the only row
    or null as `row`, with `value` its only value as `value`, with `none` neither. Instants and dates are RFC 3339 text,
    decimal numbers are text, bytes are Base64.

    `:idempotency_key` in a statement is the step's own, the same for every try, so that a statement can tell whether it
    was run before.

    Args:
        connections: the URLs of the databases by name, as SQLAlchemy has them; may be `SecretText` and `SecretRef`.
    """

    def __init__(self, connections: Mapping[str, Any]) -> None:
        self._connections = connections
        self._engines: dict[str, Engine] = {}

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Run the statement, and commit.

        Raises:
            TaskError: `unknown_connection`, `missing_library`, `invalid_config`; `connection_error` (may be tried
                again); `integrity_error`, `sql_error` (may be tried again when the database says that it may pass);
                `too_many_rows`, `too_many_columns`.
        """
        settings = read_settings(config, _SqlSettings, "sql")
        engine = await self._engine(settings.connection, context)
        running: list[Connection] = []
        try:
            return TaskResult(await context.run_sync(_run, engine, settings, context.idempotency_key, running))
        except asyncio.CancelledError:
            _interrupt(running)
            raise

    async def close(self) -> None:
        engines, self._engines = self._engines, {}
        for engine in engines.values():
            await asyncio.to_thread(engine.dispose)

    async def _engine(self, name: str, context: TaskContext) -> Engine:
        if name not in self._connections:
            hint = hint_for(name, self._connections)
            raise TaskError("unknown_connection", f"there is no connection {name!r} in the configuration ({hint})")
        url = context.open(self._connections[name])
        if url not in self._engines:
            made = await context.run_sync(_engine, name, url)  # what it imports takes long
            self._engines.setdefault(url, made)
        return self._engines[url]


def _engine(name: str, url: str) -> Engine:
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError:
        message = "steps of type sql need SQLAlchemy: pip install 'stepwell[sql]'"
        raise TaskError("missing_library", message) from None
    try:
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except ImportError as error:
        message = f"the driver of connection {name!r} is not installed: {error.name}"
        raise TaskError("missing_library", message) from None
    except (ArgumentError, NoSuchModuleError):  # their texts may show the URL
        message = f"the URL of connection {name!r} is not one of a database that SQLAlchemy knows"
        raise TaskError("invalid_config", message) from None


def _run(engine: Engine, settings: _SqlSettings, key: str, running: list[Connection]) -> dict[str, Any]:
    from sqlalchemy import exc

    statement, given = _bound(settings, key)
    try:
        with engine.begin() as connection:
            running.append(connection)
            return _fetched(connection.execute(statement, given), settings.fetch or "all")
    except exc.IntegrityError as error:
        raise TaskError("integrity_error", _said(error)) from None
    except exc.DBAPIError as error:
        if not running or error.connection_invalidated:
            raise TaskError("connection_error", _said(error), retryable=True) from None
        may_pass = isinstance(error, exc.OperationalError) and not _is_wrong_for_sqlite(error.orig)
        raise TaskError("sql_error", _said(error), retryable=may_pass) from None
    except exc.SQLAlchemyError as error:
        raise TaskError("sql_error", _said(error)) from None
    finally:
        running.clear()


def _bound(settings: _SqlSettings, key: str) -> tuple[TextClause, Any]:
    """The statement, and what is bound in it; a list is bound as so many values, for `IN :names`."""
    from sqlalchemy import bindparam, text

    statement = text(settings.query)
    named = set(statement._bindparams)  # noqa: SLF001 - there is no public way to ask for the names
    own = {"idempotency_key": key} if "idempotency_key" in named else {}
    given = settings.params if settings.params is not None else {}
    rows = given if isinstance(given, list) else [given]
    for row in rows:
        _check_names(row, named - own.keys())
    lists = {name for row in rows for name, value in row.items() if isinstance(value, list)}
    statement = statement.bindparams(*(bindparam(name, expanding=True) for name in sorted(lists)))
    if isinstance(given, list):
        return statement, [{**row, **own} for row in given]
    return statement, {**given, **own}


def _check_names(given: Mapping[str, Any], named: set[str]) -> None:
    for name in sorted(named - given.keys()):
        raise invalid_config("sql", f"the query has :{name}, and params has no such value")
    for name in sorted(given.keys() - named):
        raise invalid_config("sql", f"params has {name!r}, and the query has no :{name} ({hint_for(name, named)})")
    for name, value in given.items():
        if isinstance(value, dict):
            raise invalid_config("sql", f"the value of {name!r} is an object, and cannot be bound as it stands")


def _fetched(result: CursorResult[Any], fetch: Fetch) -> dict[str, Any]:
    if not result.returns_rows or fetch == "none":
        count = result.rowcount
        return {"row_count": count if count >= 0 else None, **({"rows": []} if fetch == "all" else {})}
    rows = result.mappings().fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise TaskError("too_many_rows", f"the statement returned more than {MAX_ROWS} rows: add a LIMIT")
    if fetch == "all":
        return {"row_count": len(rows), "rows": [_plain_row(row) for row in rows]}
    if len(rows) > 1:
        raise TaskError("too_many_rows", f"`fetch: {fetch}` takes one row at most, and there were {len(rows)}")
    if fetch == "one":
        return {"row_count": len(rows), "row": _plain_row(rows[0]) if rows else None}
    return {"row_count": len(rows), "value": _only_value(rows)}


def _only_value(rows: Sequence[Mapping[Any, Any]]) -> Any:
    if not rows:
        return None
    values = list(rows[0].values())
    if len(values) != 1:
        raise TaskError("too_many_columns", f"`fetch: value` takes one column, and there were {len(values)}")
    return _plain(values[0])


def _plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    match value:
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case _:
            return value


def _is_wrong_for_sqlite(error: Any) -> bool:
    """Whether SQLite's driver means a wrong statement: it calls that, too, what others call a failure that may pass."""
    return getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR"


def _said(error: Any) -> str:
    """What the database said, without the statement and its values."""
    original = getattr(error, "orig", None)
    return f"{type(original or error).__name__}: {str(original or error).strip()}"


def _interrupt(running: Sequence[Connection]) -> None:
    """Have the database end what it is doing, with drivers that can."""
    for connection in running:
        raw = connection.connection.dbapi_connection
        for name in ("interrupt", "cancel"):  # as SQLite's and PostgreSQL's drivers call it
            stop = getattr(raw, name, None)
            if stop is not None:
                with contextlib.suppress(Exception):
                    stop()
                return
