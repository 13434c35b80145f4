"""What `doctor` looks at in the store and the file system below it. Nothing is left behind, and no store is made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stepwell.app.configuration import Configuration
from stepwell.app.session import open_store
from stepwell.base.errors import StepwellError
from stepwell.cli.checks import Check
from stepwell.cli.opening import store_file
from stepwell.cli.words import count, size
from stepwell.ports.records import StoreStatus
from stepwell.store.factory import is_on_server

_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "glusterfs", "ceph", "fuse.sshfs"})
_TRY_LOCK: Final = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def store_checks(configuration: Configuration) -> Iterator[Check]:
    """Whether the store can be used, and whether its file system is fit for it."""
    if is_on_server(configuration.state_store.url):
        yield _existing(configuration)
        return
    path = store_file(configuration)
    if path is None:
        yield Check("store", "warn", "in memory: nothing outlives the process", "name a file with --store sqlite:PATH")
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        yield Check("store", "fail", f"{folder} is not a directory", "make it, or name another store with --store")
        return
    if path.exists():
        yield _existing(configuration)
    elif os.access(folder, os.W_OK | os.X_OK):
        yield Check("store", "ok", f"{path} is not there yet; the first run makes it")
    else:
        yield Check("store", "fail", f"{path} is not there, and {folder} may not be written", "name another --store")
        return
    yield _locking(folder)


def _existing(configuration: Configuration) -> Check:
    async def look() -> StoreStatus:
        async with open_store(configuration, migrate=False) as store:
            return await store.status()

    try:
        status = asyncio.run(look())
    except StepwellError as error:
        works = error.code in ("store-outdated", "store-missing")
        return Check("store", "warn" if works else "fail", error.message, error.hint)
    executions = count(sum(status.executions.values()), "execution")
    used = f", {size(status.size_bytes)}" if status.size_bytes is not None else ""
    engines = count(len(status.owners), "engine")
    return Check("store", "ok", f"{status.location}: schema {status.schema_version}, {executions}{used}, {engines}")


def _locking(folder: Path) -> Check:
    """Whether one process sees another's locks there, which is what keeps two writers apart."""
    kind = _file_system(folder)
    if kind in _NETWORK:
        hint = "put the store on a local disk: locks over a network are not to be trusted"
        return Check("file system", "warn", f"{folder} is on a network file system ({kind})", hint)
    try:
        sees = _locks_are_seen(folder)
    except (ImportError, OSError) as error:
        return Check("file system", "warn", f"{folder}: locking could not be tried: {error}")
    if not sees:
        hint = "put the store on a file system that supports locks"
        return Check("file system", "fail", f"{folder}: locks of one process are not seen by another", hint)
    return Check("file system", "ok", f"{folder}: locks work" + (f" ({kind})" if kind else ""))


def _locks_are_seen(folder: Path) -> bool:
    import fcntl

    with tempfile.NamedTemporaryFile(dir=folder, prefix=".stepwell-doctor-") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tried = subprocess.run(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-I", "-c", _TRY_LOCK, file.name], capture_output=True, check=False
        )
        return tried.returncode != 0


def _file_system(folder: Path) -> str | None:
    """The type of the file system that the folder is on, where the system tells (Linux)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind
