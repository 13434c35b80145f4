"""Which database a URL means, and connecting to it."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from stepwell.base.errors import ConfigurationError, StoreError
from stepwell.store.postgres.errors import connection_error, is_outage

Connection: TypeAlias = asyncpg.Connection

SCHEMES: Final = ("postgresql", "postgres")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_HOST: Final = r"(?:\[[0-9a-fA-F:.]+\]|[^\s@:/?#\[\],]*)(?::\d{1,5})?"
_HOSTS: Final = re.compile(f"{_HOST}(?:,{_HOST})*")
_DEFAULT_SCHEMA: Final = "stepwell"
_OLDEST_SERVER: Final = 14
_CONNECT_WITHIN: Final = 20.0
"""Seconds."""
_STATEMENTS_KEPT: Final = 256
_FIRST_OF_USERS: Final = 16_384
"""Types with lower numbers are PostgreSQL's own."""
_UNREADABLE: Final = (  # without what could not be read: it may be part of a password
    "the URL of the PostgreSQL store cannot be read; in a password, write %40 for @, %2F for /, %3A for :, %3F for ?, "
    "%23 for # and %25 for %"
)
_FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, if need be with ?schema=NAME or ?sslmode=require"

_SESSION: Final = {
    "application_name": "stepwell",
    "default_transaction_isolation": "read committed",
    "jit": "off",
    # A statement waits for locks, or for a large table, as long as it takes; and connections wait for work.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    # Whoever is frozen or cut off in the middle of a transaction must not keep its locks from the others.
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}
_KEEPALIVES: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000))
"""So that a server that is gone without a word is noticed within half a minute."""


class PostgresDatabase(NamedTuple):
    """A schema of a database, and how it is reached.

    Attributes:
        dsn: as asyncpg takes it; holds the password.
        schema: where the tables are.
        location: the same for people, without the password.
    """

    dsn: str
    schema: str
    location: str

    @property
    def channel(self) -> str:
        """The name under which the owners of inboxes are notified."""
        return f"stepwell.{self.schema}"[:63]


def database_of(url: str) -> PostgresDatabase:
    """The database that a URL means: `postgresql://user:password@host:port/database?schema=name`.

    Raises:
        ConfigurationError: (code `invalid-store`) it is not such a URL; the message does not repeat a password.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise _invalid(_UNREADABLE) from None
    if parts.scheme not in SCHEMES:
        raise _invalid(f"{parts.scheme!r} is not the scheme of a PostgreSQL store")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", _DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise _invalid(f"{schema!r} cannot be the schema: it has to be a name of lower-case letters, digits and _")
    account, _, hosts = parts.netloc.rpartition("@")
    if not _HOSTS.fullmatch(hosts):
        raise _invalid(_UNREADABLE)
    name = unquote(parts.path.strip("/")) or options.get("dbname") or options.get("database")
    user = unquote(account.partition(":")[0]) or options.get("user")
    where = f"postgresql://{f'{user}@' if user else ''}{hosts or options.get('host', '')}/{name or ''}"
    if not name:
        raise _invalid(f"{where} names no database")
    dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(options, quote_via=quote, safe="/"), ""))
    return PostgresDatabase(dsn, schema, where + (f"?schema={schema}" if schema != _DEFAULT_SCHEMA else ""))


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no type hints
    """A connection that asks once in a process, and not once in each connection, what PostgreSQL's own types are made
    of: these have the same numbers in every database. It takes three queries, one of them slow."""

    _known: ClassVar[dict[frozenset[int], Any]] = {}

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float) -> Any:  # noqa: ASYNC109 - asyncpg's own
        asked = frozenset(typeoids)
        if asked in self._known:
            return self._known[asked], SimpleNamespace(name="")  # of the statement that was run to find out: none
        found, statement = await super()._introspect_types(typeoids, timeout)
        if max(asked) < _FIRST_OF_USERS:
            self._known[asked] = found
        return found, statement


async def connect(database: PostgresDatabase, within: float = _CONNECT_WITHIN) -> Connection:
    """A connection to it, with its schema as the only place where names are looked up.

    Args:
        within: the longest time that it may take, in seconds.

    Raises:
        ConfigurationError: (code `invalid-store`) an option in its URL is unknown or wrong.
        StoreError: there is no answer, it is refused, or the server is not one that can be used.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: no connection for now (`is_outage`); another try may
            help.
    """
    try:
        connection = await asyncpg.connect(
            database.dsn,
            timeout=within,
            connection_class=_Connection,
            statement_cache_size=_STATEMENTS_KEPT,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=_SESSION | {"search_path": database.schema},
        )
    except Exception as error:
        if is_outage(error):
            raise
        raise connection_error(error, database.location) from error
    try:
        _keep_alive(connection)
        _check_server(connection, database)
    except BaseException:
        connection.terminate()
        raise
    return connection


@asynccontextmanager
async def one_moment(connection: Connection) -> AsyncIterator[None]:
    """What several statements read belongs to one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


def _keep_alive(connection: Connection) -> None:
    """Have the system notice when the other side is gone without a word; where it can be told so."""
    transport = getattr(connection, "_transport", None)
    found: Any = transport.get_extra_info("socket") if transport is not None else None
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVES:
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _check_server(connection: Connection, database: PostgresDatabase) -> None:
    version = connection.get_server_version()
    if version.major < _OLDEST_SERVER:
        raise StoreError(
            f"{database.location} is on PostgreSQL {version.major}; {_OLDEST_SERVER} or later is needed",
            code="store-server-too-old",
            hint="use a newer server",
        )
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise StoreError(
            f"{database.location} keeps its texts in {encoding}; UTF8 is needed",
            code="store-encoding",
            hint="make the database with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
        )


def _invalid(message: str) -> ConfigurationError:
    return ConfigurationError(message, code="invalid-store", hint=f"it has the form {_FORM}")
