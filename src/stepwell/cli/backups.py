"""`db backup`: a copy of a store that may be in use."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from stepwell.app.configuration import Configuration
from stepwell.base.errors import StoreError
from stepwell.cli.documents import emit
from stepwell.cli.opening import configuration_of, require_store, store_file
from stepwell.cli.options import Setup
from stepwell.services.cipher import KEY_VARIABLE
from stepwell.store.factory import is_on_server, without_password
from stepwell.store.sqlite.backup import back_up
from stepwell.store.sqlite.file import Database
from stepwell.store.sqlite.store import BUSY_TIMEOUT


def back_up_store(target: Path, setup: Setup, output: str) -> int:
    """Copy the store, and the file of its key when there is one."""
    configuration = configuration_of(setup)
    require_store(configuration)
    if is_on_server(configuration.state_store.url):
        raise _done_by_the_server(configuration, target)
    path = store_file(configuration)
    assert path is not None, "a store in memory was refused"
    key = Path(f"{path}.key")
    kept = Path(f"{target}.key")
    if key.exists() and kept.exists():
        raise StoreError(f"{kept} exists already", code="backup-exists", hint="name a file that does not")
    size = back_up(Database(path, BUSY_TIMEOUT), target)
    if key.exists():
        _copy_key(key, kept)
    report = {"store": str(path), "backup": str(target), "bytes": size, "key": str(kept) if key.exists() else None}
    emit(report, output, lambda: _line(report))
    return 0


def _done_by_the_server(configuration: Configuration, target: Path) -> StoreError:
    from stepwell.store.postgres.database import database_of

    database = database_of(configuration.state_store.url)
    words = [
        "pg_dump",
        "--format=custom",
        f"--schema={database.schema}",
        f"--file={target}",
        without_password(database.dsn),
    ]
    return StoreError(
        f"{database.location} is backed up with PostgreSQL's own tools, which can do so while engines are at work",
        code="backup-elsewhere",
        hint=f"{shlex.join(words)}  (pg_restore brings it back; keep {KEY_VARIABLE} elsewhere)",
    )


def _copy_key(key: Path, target: Path) -> None:
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with key.open("rb") as source, os.fdopen(handle, "wb") as copy:
        shutil.copyfileobj(source, copy)


def _line(report: dict[str, Any]) -> str:
    line = f"{report['store']} was copied to {report['backup']} ({report['bytes']} bytes)"
    if report["key"] is None:
        return line
    return f"{line}\nits key was copied to {report['key']}: whoever has both can read what is secret in it"
