"""What a PostgreSQL store says when it cannot be used: what was seen, where, what to do; and never a password."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from stepwell.base.errors import ConfigurationError, StepwellError, StoreError
from stepwell.store.postgres.database import database_of
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import NOW, SECOND, TTL
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.proxy import Proxy


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
async def administrator(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url())
    yield connection
    await connection.close()


async def refusal(url: str, kind: type[StepwellError] = StoreError) -> StepwellError:
    with pytest.raises(kind) as raised:
        await PostgresStore(url).open()
    assert raised.value.hint
    assert "hunter2" not in str(raised.value)
    return raised.value


# ── The URL ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "location", "schema"),
    [
        ("postgresql://h/d", "postgresql://h/d", "stepwell"),
        ("postgres://ada:hunter2@h:1234/d", "postgresql://ada@h:1234/d", "stepwell"),
        ("postgresql://ada:p%40ss%2F@h/d?schema=shop", "postgresql://ada@h/d?schema=shop", "shop"),
        ("postgresql://ada:hunter2@one:1,two:2/d?sslmode=require", "postgresql://ada@one:1,two:2/d", "stepwell"),
        ("postgresql:///d?host=/run/postgresql&user=ada", "postgresql://ada@/run/postgresql/d", "stepwell"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d", "stepwell"),
        (" postgresql://h/?dbname=d ", "postgresql://h/d", "stepwell"),
    ],
)
def test_a_url_names_server_database_and_schema(url: str, location: str, schema: str) -> None:
    database = database_of(url)
    assert (database.location, database.schema) == (location, schema)
    assert "schema=" not in database.dsn


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@h",
        "postgresql://ada:hunter2@h/",
        "postgresql://ada:hunt/er2@h/d",
        "postgresql://ada:hunter2@h:port/d",
        "postgresql://ada:hunter2@h/d?schema=Shop",
        "postgresql://ada:hunter2@h/d?schema=",
        "postgresql://ada:hunter2@h/d?schema=pg_catalog",
        "postgresql://ada:hunter2@h/d?schema=a%22b",
        "postgresql://ada:hunter2@[h/d",
        "mysql://ada:hunter2@h/d",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        database_of(url)
    assert raised.value.code == "invalid-store"
    assert "hunt" not in str(raised.value)
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in str(raised.value)


@pytest.mark.parametrize("option", ["nonsense=1", "sslmode=maybe", "work_mem=lots"])
async def test_an_option_that_nobody_knows_is_refused(server: PostgresServer, option: str) -> None:
    error = await refusal(f"{server.url()}?{option}", ConfigurationError)
    assert error.code == "invalid-store"
    assert option.partition("=")[0] in error.message


# ── The server ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_password_is_refused(server: PostgresServer, administrator: asyncpg.Connection) -> None:
    await administrator.execute("DROP ROLE IF EXISTS asked_for_password")
    await administrator.execute("CREATE ROLE asked_for_password LOGIN PASSWORD 'right'")
    error = await refusal(server.url(user="asked_for_password:hunter2"))
    assert error.code == "store-permission"
    assert "asked_for_password" in error.message
    with pytest.raises(StoreError, match="there is no store at"):
        await PostgresStore(server.url(user="asked_for_password:right", schema="nothing")).status()


async def test_an_unknown_user_is_refused(server: PostgresServer) -> None:
    assert (await refusal(server.url(user="nobody:hunter2"))).code == "store-permission"


async def test_an_unknown_host_is_refused() -> None:
    error = await refusal("postgresql://ada:hunter2@no-such-host.invalid/d")
    assert error.code == "store-unavailable"
    assert "host is unknown" in error.message


async def test_where_nobody_listens_there_is_no_store() -> None:
    async with Proxy(1) as proxy:
        port = proxy.port
    error = await refusal(f"postgresql://ada:hunter2@127.0.0.1:{port}/d")
    assert error.code == "store-unavailable"
    assert "connection refused" in error.message


async def test_what_is_no_postgresql_is_refused(server: PostgresServer) -> None:
    async with Proxy(server.port) as proxy:
        proxy.refuses = True
        assert (await refusal(f"postgresql://ada:hunter2@127.0.0.1:{proxy.port}/d")).code == "store-unavailable"


async def test_an_unknown_database_is_refused(server: PostgresServer) -> None:
    error = await refusal(server.url("nowhere"))
    assert error.code == "store-missing"
    assert "nowhere" in error.message


async def test_a_database_with_another_encoding_is_refused(
    server: PostgresServer, administrator: asyncpg.Connection
) -> None:
    await administrator.execute("DROP DATABASE IF EXISTS latin")
    await administrator.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    assert (await refusal(server.url("latin"))).code == "store-encoding"


async def test_who_may_not_make_a_schema_is_refused(server: PostgresServer, administrator: asyncpg.Connection) -> None:
    await _role(administrator, "mallory")
    error = await refusal(server.url(user="mallory", schema="forbidden"))
    assert error.code == "store-permission"


async def test_who_may_not_write_is_refused(server: PostgresServer, administrator: asyncpg.Connection) -> None:
    url = server.fresh_url()
    schema = database_of(url).schema
    store = PostgresStore(url)
    await store.open()
    await store.close()
    await _role(administrator, "reader")
    await administrator.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    await administrator.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    reading = PostgresStore(server.url(user="reader", schema=schema))
    await reading.open()
    with pytest.raises(StoreError) as raised:
        await reading.acquire(None, "engine", NOW, TTL)
    assert raised.value.code == "store-permission"
    await reading.close()
    await administrator.execute("DROP OWNED BY reader")


async def test_a_server_that_takes_no_writes_is_named_so(
    server: PostgresServer, administrator: asyncpg.Connection
) -> None:
    store = PostgresStore(f"{server.fresh_url()}&default_transaction_read_only=on")
    with pytest.raises(StoreError) as raised:
        await store.open()
    assert raised.value.code == "store-read-only"


async def test_a_server_without_a_connection_left_is_waited_for(
    server: PostgresServer, administrator: asyncpg.Connection
) -> None:
    await _role(administrator, "crowd")
    await administrator.execute("ALTER ROLE crowd CONNECTION LIMIT 1")
    async with _held(server.url(user="crowd")):
        error = await refusal(server.url(user="crowd", schema="x"))
    assert error.code == "store-unavailable"
    assert "too many connections" in error.message
    store = PostgresStore(server.url(user="postgres", schema="x"), reconnect=SECOND)
    await store.open()
    await store.close()


def _held(url: str) -> asyncpg.pool.Pool:
    """A connection while it lasts."""
    return asyncpg.create_pool(url, min_size=1, max_size=1)


async def _role(administrator: asyncpg.Connection, name: str) -> None:
    known = await administrator.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
    if not known:
        await administrator.execute(f"CREATE ROLE {name} LOGIN")
