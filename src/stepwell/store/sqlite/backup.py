"""A copy of a database that is in use, as it was at one moment."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from stepwell.base.errors import StoreError
from stepwell.store.sqlite.errors import translated
from stepwell.store.sqlite.file import Database, connect_for_reading

_PAGES_AT_ONCE: Final = 4_000
"""Writers wait for no longer than copying so many pages takes."""


def back_up(database: Database, target: Path) -> int:
    """Copy the database to a file that is whole or not there; its size in bytes.

    Nobody owns a shard in the copy, so that an engine can take it up at once, wherever it is.

    Raises:
        StoreError: the database cannot be read, or the copy not be written (code `backup-exists`, `backup-failed`).
    """
    if target.exists():
        raise StoreError(f"{target} exists already", code="backup-exists", hint="name a file that does not")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    source = connect_for_reading(database)
    try:
        with translated(database.location, source):
            _copy(source, partial)
        partial.replace(target)
        _make_lasting(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}", code="backup-failed") from None
    finally:
        source.close()
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(source: apsw.Connection, partial: Path) -> None:
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy = apsw.Connection(str(partial))
    try:
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES_AT_ONCE)
        copy.pragma("journal_mode", "DELETE")
        copy.execute("UPDATE shards SET owner = NULL, wake_port = NULL")
        copy.pragma("synchronous", "FULL")
    finally:
        copy.close()
    handle = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_lasting(folder: Path) -> None:
    """A file's name is durable when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
