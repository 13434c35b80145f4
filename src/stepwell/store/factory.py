"""Which store a URL means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stepwell.base.errors import ConfigurationError
from stepwell.ports.store import Store

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_SUFFIXES: Final = (".db", ".sqlite", ".sqlite3")
_FORMS: Final = (
    "a store is a file such as stepwell.db, or sqlite:PATH, sqlite:///relative/path.db, sqlite:////absolute/path.db, "
    "or memory:"
)
_LATER: Final = ("postgres", "postgresql")


def store_for(url: str, others: Mapping[str, Callable[[str], Store]] | None = None) -> Store:
    """The store that `url` means, not yet open.

    `memory:`; `sqlite:PATH`; `sqlite:///PATH` (a fourth slash makes the path absolute, as other Python programs have
    it); a path that ends in `.db`, `.sqlite` or `.sqlite3`.

    Args:
        others: by the scheme of their URLs, what makes stores of other kinds.

    Raises:
        ConfigurationError: (code `invalid-store`) it is none of these; the message does not repeat a password.
    """
    scheme, _ = _split(url.strip())
    if others and scheme is not None and scheme in others:
        return others[scheme](url)
    path = sqlite_path(url)
    if path is None:
        from stepwell.store.memory import MemoryStore

        return MemoryStore()
    from stepwell.store.sqlite import SqliteStore

    return SqliteStore(path)


def sqlite_path(url: str) -> Path | None:
    """The database file that `url` means, or None for the store in memory.

    Raises:
        ConfigurationError: (code `invalid-store`) it is neither.
    """
    scheme, rest = _split(url.strip())
    if scheme == "memory" and rest in ("", "//"):
        return None
    if scheme == "sqlite" and (path := _path_of(rest)):
        return Path(path)
    if scheme is None and rest.endswith(_SUFFIXES):
        return Path(rest)
    raise ConfigurationError(_problem(scheme, url), code="invalid-store", hint=_FORMS)


def _split(url: str) -> tuple[str | None, str]:
    """The scheme, if there is one, and the rest. A single letter is a drive, not a scheme."""
    match = _SCHEME.match(url)
    return (match[1].lower(), url[match.end() :]) if match else (None, url)


def _path_of(rest: str) -> str | None:
    if not rest.startswith("//"):
        return rest
    return rest[3:] if rest.startswith("///") else None


def _problem(scheme: str | None, url: str) -> str:
    if scheme in _LATER:
        return f"this version has SQLite and memory stores only, no {scheme}"
    if scheme == "sqlite":
        return f"{url!r} names no database file"
    if scheme is not None:
        return f"there is no store of the kind {scheme!r}"
    return f"{url!r} is not a store"
