"""What SQLite says, as errors of stepwell: a code, what happened, what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import apsw

from stepwell.base.errors import StoreError


class _Meaning(NamedTuple):
    code: str
    what: str
    hint: str | None


_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL: Final = _Meaning("store-full", "cannot grow: the disk or a quota is full", "make room; nothing is lost")
_DAMAGED: Final = "stop using it, keep a copy, and restore a backup; `stepwell db verify` says what is damaged"
_MEANINGS: Final[dict[type[apsw.Error], _Meaning]] = {
    apsw.BusyError: _Meaning("store-busy", "is locked by another process", "try again; something writes for very long"),
    apsw.LockedError: _Meaning("store-busy", "is locked", "try again"),
    apsw.FullError: _FULL,
    apsw.ReadOnlyError: _Meaning(
        "store-read-only", "cannot be written", "check the permissions of the file and of its directory"
    ),
    apsw.PermissionsError: _Meaning("store-permission", "may not be used", "check its permissions"),
    apsw.CorruptError: _Meaning("store-damaged", "is damaged", _DAMAGED),
    apsw.NotADBError: _Meaning("not-a-store", "is not a database", "name another file; this one was not touched"),
    apsw.CantOpenError: _Meaning(
        "store-unavailable", "cannot be opened", "check the permissions of the file and of its directory"
    ),
    apsw.TooBigError: _Meaning("store-too-big", "cannot hold a value of this size", None),
    apsw.ConstraintError: _Meaning("store-conflict", "holds something that contradicts the request", None),
}


@contextmanager
def translated(location: str, connection: apsw.Connection | None = None) -> Iterator[None]:
    """Let no error of SQLite out, only `StoreError`.

    Args:
        location: the database, as the user knows it.
        connection: asked for what the system said.
    """
    try:
        yield
    except apsw.Error as error:
        number = connection.system_errno if connection is not None and isinstance(error, apsw.IOError) else 0
        raise store_error(error, location, number) from error


def store_error(error: apsw.Error, location: str, number: int = 0) -> StoreError:
    """The error in stepwell's words. `number` is the system's error number, where one is known."""
    if isinstance(error, apsw.IOError):
        said = os.strerror(number) if number else str(error)
        meaning = _FULL if number in _NO_SPACE else _Meaning("store-failed", f"cannot be read or written: {said}", None)
    else:
        unknown = _Meaning("store-failed", f"cannot be used: {error}", None)
        meaning = next((found for kind, found in _MEANINGS.items() if isinstance(error, kind)), unknown)
    text = f"{location} {meaning.what}"
    if meaning.code in ("store-damaged", "store-conflict"):
        text += f": {error}"
    return StoreError(text, code=meaning.code, hint=meaning.hint)
