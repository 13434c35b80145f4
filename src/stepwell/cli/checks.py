"""What `doctor` looks at beside the store."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Final, Literal, NamedTuple

import apsw

from stepwell.app.configuration import Configuration
from stepwell.base.clock import SystemClock
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.base.version import VERSION
from stepwell.cli.opening import store_file
from stepwell.services.cipher import KEY_VARIABLE, LazyKeyFile, environment_key, missing_key
from stepwell.store.factory import is_on_server, without_password

OLDEST_PYTHON: Final = (3, 11)
OLDEST_SQLITE: Final = (3, 51, 3)
"""Before this a reset of the write-ahead log could lose it."""
_BUILT: Final = from_rfc3339("2026-11-01T00:00:00Z")
"""No clock that is right shows an earlier time."""

_LIBRARIES: Final = ("aiohttp", "apsw", "click", "cryptography", "msgspec", "pydantic", "PyYAML", "rich")


class Check(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    check: str
    status: Literal["ok", "warn", "fail"]
    message: str
    hint: str | None = None


def python_check() -> Check:
    """The interpreter and stepwell itself."""
    found = f"stepwell {VERSION} on Python {platform.python_version()} ({sys.platform}, {platform.machine()})"
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "fail", found, "Python 3.11 or later is needed")
    return Check("python", "ok", found)


def library_checks() -> Iterator[Check]:
    """The libraries that stepwell stands on."""
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Check("libraries", "fail", f"{name} is not installed", "install stepwell again")
    yield Check("libraries", "ok", ", ".join(found))


def sqlite_check() -> Check:
    """The SQLite that the store uses."""
    version = apsw.sqlite_lib_version()
    found = f"SQLite {version}"
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        return Check("sqlite", "fail", found, "an apsw with SQLite 3.51.3 or later is needed: upgrade apsw")
    return Check("sqlite", "ok", found)


def clock_check() -> Check:
    """The machine's clock, as far as a machine can tell by itself."""
    now = SystemClock().now()
    if now < _BUILT:
        return Check("clock", "fail", f"the clock shows {to_rfc3339(now)}", "set it: timers and leases go by it")
    return Check("clock", "ok", to_rfc3339(now - now % 1_000_000))


def key_check(configuration: Configuration) -> Check:
    """The key that encrypts secret values in the store.

    Raises:
        ConfigurationError: there is one, and it is none; there is none, and the store needs one (code `missing-key`).
    """
    if environment_key(os.environ) is not None:
        return Check("key", "ok", f"from the environment variable {KEY_VARIABLE}")
    url = configuration.state_store.url
    if is_on_server(url):
        raise missing_key(without_password(url))
    database = store_file(configuration)
    if database is None:
        return Check("key", "ok", "made anew for every process: the store is in memory")
    file = LazyKeyFile(database.with_name(f"{database.name}.key"), lambda message: None)
    if file.read() is None:
        return Check("key", "ok", f"{file.path} is made when the first secret value is stored")
    mode = stat.S_IMODE(file.path.stat().st_mode)
    if mode & 0o077:
        return Check("key", "warn", f"{file.path} can be read by others (mode {mode:03o})", f"chmod 600 {file.path}")
    return Check("key", "ok", f"{file.path}, private")
