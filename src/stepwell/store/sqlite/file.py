"""Opening the database file: creating it, knowing it from other people's, and setting it up."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from stepwell.base.errors import StoreError
from stepwell.store.sqlite.errors import translated

APPLICATION_ID: Final = 0x53745765
"""In the header of every stepwell database ("StWe"), so that another product's file is recognised."""

_RETRY_AFTER: Final = 0.005
_STATEMENTS_KEPT: Final = 256
_CHECKPOINT_PAGES: Final = 1_000
_LARGEST_LOG: Final = 64 * 1024 * 1024


class Database(NamedTuple):
    """Where a database is and how it is opened.

    Attributes:
        busy_timeout: how long to wait for another process's lock, in microseconds.
        vfs: SQLite's name of the file system layer to use; None for the usual one.
    """

    path: Path
    busy_timeout: int
    vfs: str | None = None

    @property
    def location(self) -> str:
        """The file, as users know it."""
        return str(self.path)


def connect(database: Database, *, create: bool) -> apsw.Connection:
    """A connection for writing to a stepwell database, or to an empty one.

    Args:
        create: make the file when there is none.

    Raises:
        StoreError: there is none, it is not ours, it cannot be written, or its file system cannot keep it safely.
    """
    created = _prepare_file(database, create=create)
    try:
        return _open(database)
    except StoreError:
        if created and database.path.exists() and database.path.stat().st_size == 0:
            database.path.unlink()
        raise


def connect_for_reading(database: Database) -> apsw.Connection:
    """A connection to a stepwell database that cannot write.

    Raises:
        StoreError: there is none, or it is not ours.
    """
    _refuse_missing(database)
    connection = _connection(database)
    try:
        with translated(database.location, connection):
            connection.pragma("query_only", "ON")
            _refuse_foreign(connection, database)
    except BaseException:
        connection.close()
        raise
    return connection


def identity_of(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one that takes its name later; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(database: Database) -> apsw.Connection:
    connection = _connection(database)
    try:
        with translated(database.location, connection):
            _refuse_foreign(connection, database)
            _refuse_read_only(connection, database)
            _use_wal(connection, database)
            _set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connection(database: Database) -> apsw.Connection:
    """A connection; the path is given as it is, not read as a URI."""
    with translated(database.location):
        connection = apsw.Connection(
            str(database.path),
            flags=apsw.SQLITE_OPEN_READWRITE,
            vfs=database.vfs,
            statementcachesize=_STATEMENTS_KEPT,
        )
        connection.set_busy_timeout(database.busy_timeout // 1_000)
    return connection


def _prepare_file(database: Database, *, create: bool) -> bool:
    """Make the file, readable by its owner only, when there is none and it may be made; whether it was made.

    An existing file is not opened here: closing it again would give up the locks that this process has on it.
    """
    path = database.path
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not create:
            _refuse_missing(database)
        return _create_file(path)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from None
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a file"
        raise StoreError(f"{path} is {kind}", code="store-path", hint=f"name a file, such as {path / 'stepwell.db'}")
    if not os.access(path, os.R_OK):
        raise _unusable(path, PermissionError())
    return False


def _create_file(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return False  # another process was quicker
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from None
    return True


def _refuse_missing(database: Database) -> None:
    if not database.path.exists():
        raise StoreError(
            f"there is no database {database.path}",
            code="store-missing",
            hint="check the path; `stepwell db migrate` makes a new one",
        )


def _unusable(path: Path, error: OSError | ValueError) -> StoreError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return StoreError(
            f"{path} cannot be made: {path.parent} is not a directory", code="store-path", hint="make the directory"
        )
    if isinstance(error, PermissionError):
        return StoreError(
            f"{path} may not be used: permission denied", code="store-permission", hint="check its permissions"
        )
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return StoreError(f"{path} cannot be made: the file system is read-only", code="store-read-only")
    said = error.strerror if isinstance(error, OSError) else str(error)
    return StoreError(f"{str(path)!r} cannot be used: {said}", code="store-unavailable")


def _refuse_foreign(connection: apsw.Connection, database: Database) -> None:
    found, tables = _marks(connection)
    if found == APPLICATION_ID or (found == 0 and not tables):  # ours, or a new one
        return
    what = f"it has the tables {', '.join(tables)}" if tables else f"its application id is {found:#x}"
    raise StoreError(
        f"{database.path} is a database of another program: {what}",
        code="not-a-store",
        hint="name another file; this one was not touched",
    )


def _marks(connection: apsw.Connection) -> tuple[int, list[str]]:
    """The application id and some tables, both of one moment: another process may be making the store right now."""
    connection.execute("BEGIN")
    try:
        found = connection.pragma("application_id")
        query = "SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 3"
        return found, [name for (name,) in connection.execute(query)]
    finally:
        connection.execute("ROLLBACK")


def _refuse_read_only(connection: apsw.Connection, database: Database) -> None:
    """SQLite opens a file for reading when it may not be written, and a log beside it must be made for every write."""
    if connection.readonly("main") or not os.access(database.path.parent, os.W_OK):
        raise StoreError(
            f"{database.path} cannot be written",
            code="store-read-only",
            hint="check the permissions of the file and of its directory",
        )


def _use_wal(connection: apsw.Connection, database: Database) -> None:
    """Write-ahead logging: readers and the writer do not wait for each other, and a commit is one sync.

    Switching it on needs the database for itself, and SQLite does not wait for that.
    """
    deadline = time.monotonic() + database.busy_timeout / 1_000_000
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_AFTER)
    if mode != "wal":
        raise StoreError(
            f"{database.path} is on a file system that cannot do write-ahead logging",
            code="store-no-wal",
            hint="put it on a local disk; network file systems are not safe for SQLite",
        )


def _set_up(connection: apsw.Connection) -> None:
    """What holds for this connection. A commit is synced; on macOS, to the disk and not only to the drive's cache."""
    for setting, value in (
        ("synchronous", "FULL"),
        ("fullfsync", "ON"),
        ("checkpoint_fullfsync", "ON"),
        ("foreign_keys", "ON"),
        ("trusted_schema", "OFF"),
        ("temp_store", "MEMORY"),
        ("cache_size", -4_096),  # KiB: what the system caches need not be kept twice
        ("wal_autocheckpoint", _CHECKPOINT_PAGES),
        ("journal_size_limit", _LARGEST_LOG),
    ):
        connection.pragma(setting, value)
