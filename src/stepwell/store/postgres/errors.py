"""What PostgreSQL says, as errors of stepwell: a code, what happened, what to do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import asyncpg

from stepwell.base.errors import ConfigurationError, StepwellError, StoreError


class _Meaning(NamedTuple):
    what: str
    code: str
    hint: str | None


GRANT: Final = (
    "who uses it needs USAGE on the schema and on its sequences, and SELECT, INSERT, UPDATE and DELETE on its tables; "
    "who makes or migrates it needs CREATE on the database, or on the schema"
)
_MEANINGS: Final[dict[str, _Meaning]] = {
    "28P01": _Meaning("refused the password of the user", "store-permission", "check user and password in its URL"),
    "28000": _Meaning("refused the user", "store-permission", "check the user in its URL, and pg_hba.conf"),
    "3D000": _Meaning("is not there", "store-missing", "make the database, for instance with `createdb`"),
    "42501": _Meaning("may not be used so", "store-permission", GRANT),
    "25006": _Meaning("cannot be written", "store-read-only", "name the server that takes writes, not a standby"),
    "53100": _Meaning("cannot grow: the server's disk is full", "store-full", "make room; nothing is lost"),
    "42P01": _Meaning("lacks a table", "store-damaged", "`stepwell db verify` says what is missing"),
    "54000": _Meaning("cannot hold a value of this size", "store-too-big", None),
    "XX001": _Meaning("is damaged", "store-damaged", "stop using it, and restore a backup"),
    "XX002": _Meaning("is damaged", "store-damaged", "REINDEX the database; `stepwell db verify` says what is damaged"),
}
_OUTAGES: Final = frozenset({"57P01", "57P02", "57P03", "53300", "25P03", "57P05"})
"""Shut down, crashed, starting up, no connection left, in a transaction for too long, idle for too long."""
_REDO: Final = frozenset({"40001", "40P01", "55P03"})
"""Not serializable, deadlock, lock not available."""


def is_outage(error: BaseException) -> bool:
    """Whether the connection is gone or could not be had, and another one may do."""
    if isinstance(error, asyncpg.PostgresError):
        state = _state(error)
        return state in _OUTAGES or state.startswith("08")
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    if isinstance(error, asyncpg.InternalClientError):  # the server's last words came while nothing was asked of it
        return True
    return isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError)


def is_broken(connection: asyncpg.Connection, error: BaseException) -> bool:
    """Whether what failed so may be tried again on another connection."""
    return is_outage(error) or (
        connection.is_closed() and isinstance(error, Exception) and not isinstance(error, StepwellError)
    )


def is_to_be_redone(error: BaseException) -> bool:
    """Whether the transaction was given up for the sake of another one, and may be run again."""
    return isinstance(error, asyncpg.PostgresError) and _state(error) in _REDO


def connection_error(error: Exception, location: str) -> StepwellError:
    """Why there is no connection."""
    if isinstance(error, asyncpg.ClientConfigurationError | ValueError) or _state(error) in ("42704", "22023"):
        return ConfigurationError(
            f"the URL of {location} has an option that cannot be used: {error}",
            code="invalid-store",
            hint="check what stands behind the `?` in it",
        )
    if isinstance(error, socket.gaierror):
        return _unreachable(location, f"its host is unknown ({error.strerror})", "check the host in its URL")
    if isinstance(error, ssl.SSLError):
        return _unreachable(location, f"there is no encrypted connection: {error}", "check sslmode and sslrootcert")
    if isinstance(error, asyncpg.PostgresError) and not is_outage(error):
        return store_error(error, location)
    said = "it does not answer in time" if isinstance(error, TimeoutError) else _said(error)
    return _unreachable(location, said, "check that the server runs, and host and port in its URL")


def store_error(error: Exception, location: str) -> StoreError:
    """The error in stepwell's words."""
    meaning = _MEANINGS.get(_state(error))
    if meaning is None:
        return StoreError(f"{location} cannot be used: {_said(error)}", code="store-failed")
    return StoreError(f"{location} {meaning.what}: {_said(error)}", code=meaning.code, hint=meaning.hint)


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Let no error of PostgreSQL out, nor of the connection to it, only `StoreError`."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise (connection_error if is_outage(error) else store_error)(error, location) from error


def violated(error: asyncpg.PostgresError) -> str | None:
    """The name of the constraint or index that the error is about."""
    name = getattr(error, "constraint_name", None)
    return name if isinstance(name, str) else None


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _said(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _unreachable(location: str, why: str, hint: str) -> StoreError:
    return StoreError(f"{location} cannot be reached: {why}", code="store-unavailable", hint=hint)
