"""Definitions in files."""

from __future__ import annotations

from pathlib import Path

from stepwell.base.errors import UsageError
from stepwell.base.spans import Source


def read_file(path: Path) -> Source:
    """The text of a file. Bytes that are not UTF-8 are kept as lone surrogates, so that loading can point at them.

    Raises:
        UsageError: code `unreadable-file`.
    """
    try:
        return Source(str(path), path.read_bytes().decode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", code="unreadable-file") from None
