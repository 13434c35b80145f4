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
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or memory:"
)
_POSTGRES: Final = ("postgresql", "postgres")
_PASSWORD: Final = re.compile(r"(//)([^:/@]*):.*@", re.DOTALL)
_PASSWORD_OPTION: Final = re.compile(r"([?&])password=[^&]*&?")


def store_for(
    url: str,
    others: Mapping[str, Callable[[str], Store]] | None = None,
    *,
    reconnect: int | None = None,
    outlasts: bool = False,
) -> Store:
    """The store that `url` means, not yet open.

    `memory:`; `sqlite:PATH`; `sqlite:///PATH` (a fourth slash makes the path absolute, as other Python programs have
    it); a path that ends in `.db`, `.sqlite` or `.sqlite3`; `postgresql://...` (`store.postgres.database`).

    Args:
        others: by the scheme of their URLs, what makes stores of other kinds.
        reconnect: of a store that is reached over a network, how long an outage is sat out, in microseconds; None for
            the usual time.
        outlasts: the process is one that outlasts the server of such a store: it waits for it when it starts, and an
            outage is then sat out as long as it takes.

    Raises:
        ConfigurationError: (code `invalid-store`) it is none of these; the message does not repeat a password. (code
            `missing-library`) what PostgreSQL needs is not installed.
    """
    scheme, _ = _split(url.strip())
    if others and scheme is not None and scheme in others:
        return others[scheme](url)
    if scheme in _POSTGRES:
        return _postgres_store(url, {"reconnect": reconnect} if reconnect is not None else {}, outlasts)
    path = sqlite_path(url)
    if path is None:
        from stepwell.store.memory.store import MemoryStore

        return MemoryStore()
    from stepwell.store.sqlite.store import SqliteStore

    return SqliteStore(path)


def sqlite_path(url: str) -> Path | None:
    """The database file that `url` means, or None for the store in memory and for one on a server.

    Raises:
        ConfigurationError: (code `invalid-store`) it is nothing of these.
    """
    scheme, rest = _split(url.strip())
    if is_in_memory(url) or is_on_server(url):
        return None
    if scheme == "sqlite" and (path := _path_of(rest)):
        return Path(path)
    if scheme is None and rest.endswith(_SUFFIXES):
        return Path(rest)
    raise ConfigurationError(_problem(scheme, url), code="invalid-store", hint=_FORMS)


def is_in_memory(url: str) -> bool:
    """Whether it means a store that ends with its process."""
    return _split(url.strip()) in (("memory", ""), ("memory", "//"))


def is_on_server(url: str) -> bool:
    """Whether it means a database that processes on several machines share."""
    return _split(url.strip())[0] in _POSTGRES


def without_password(url: str) -> str:
    """The URL of a store, to be shown. What stands up to the last `@` is not shown, wherever that is: a password may
    hold characters that it should not."""
    if _split(url.strip())[0] in (None, "sqlite", "memory"):
        return url
    return _PASSWORD_OPTION.sub(r"\1", _PASSWORD.sub(r"\1\2@", url)).rstrip("?&")


def _postgres_store(url: str, patience: Mapping[str, int], outlasts: bool) -> Store:
    try:
        from stepwell.store.postgres.store import PostgresStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "stepwell":
            raise
        raise ConfigurationError(
            f"a store on PostgreSQL needs {error.name}, which is not installed",
            code="missing-library",
            hint="pip install 'stepwell[postgres]'",
        ) from None
    return PostgresStore(url, outlasts=outlasts, **patience)


def _split(url: str) -> tuple[str | None, str]:
    """The scheme, if there is one, and the rest. A single letter is a drive, not a scheme."""
    match = _SCHEME.match(url)
    return (match[1].lower(), url[match.end() :]) if match else (None, url)


def _path_of(rest: str) -> str | None:
    if not rest.startswith("//"):
        return rest
    return rest[3:] if rest.startswith("///") else None


def _problem(scheme: str | None, url: str) -> str:
    if scheme == "sqlite":
        return f"{url!r} names no database file"
    if scheme is not None:
        return f"there is no store of the kind {scheme!r}"
    return f"{url!r} is not a store"
