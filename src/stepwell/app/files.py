"""Definitions in files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stepwell.base.errors import UsageError
from stepwell.base.spans import Source
from stepwell.definition.text import MAX_TEXT

_MOST_BYTES: Final = 4 * MAX_TEXT
"""No character takes more than four. What has more is not read to its end, which some files do not have."""


def read_file(path: Path) -> Source:
    """The text of a file. Bytes that are not UTF-8 are kept as lone surrogates, so that loading can point at them.

    Raises:
        UsageError: code `unreadable-file`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", code="unreadable-file") from None
    if len(content) > _MOST_BYTES:
        message = f"{path}: has more than {_MOST_BYTES:,} bytes; a document has at most {MAX_TEXT:,} characters"
        raise UsageError(message, code="unreadable-file")
    return Source(str(path), content.decode("utf-8", errors="surrogateescape"))
