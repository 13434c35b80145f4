"""A RabbitMQ server for tests: Debian's package `rabbitmq-server`, on free ports of the loopback interface, under a
name of its own, with its files in a temporary folder and an `epmd` of its own.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import pytest

from tests.servers import watcher
from tests.servers.certificates import certificates

PATIENCE: Final = 90.0
"""Seconds that the server has to come up."""
LARGEST: Final = 1_000_000
"""So many bytes may a message have."""

_SCRIPT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_numbers = itertools.count(1)


class RabbitServer:
    """One server. It can be ended and started again on its port, with what it kept."""

    def __init__(self) -> None:
        self._epmd_binary = _epmd()
        self._folder = Path(tempfile.mkdtemp(prefix="stepwell-rabbitmq-"))
        self._port, self._distribution, self._epmd_port, self._tls_port = (_free_port() for _ in range(4))
        self._name = f"stepwell-{os.getpid()}-{next(_numbers)}@localhost"
        own = certificates()
        settings = {
            "max_message_size": LARGEST,
            "listeners.ssl.default": f"127.0.0.1:{self._tls_port}",
            "ssl_options.cacertfile": own.authority,
            "ssl_options.certfile": own.server,
            "ssl_options.keyfile": own.server_key,
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        }
        (self._folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        (self._folder / "plugins").write_text("[].")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    @property
    def tls_url(self) -> str:
        """Where it listens for encrypted connections of clients that have a certificate."""
        return f"amqps://guest:guest@127.0.0.1:{self._tls_port}/"

    @property
    def port(self) -> int:
        """The port of that."""
        return self._port

    def start(self) -> None:
        """Start it.

        Raises:
            RuntimeError: it does not come up; with what it logged.
        """
        environment = self._environment()
        with (self._folder / "server.log").open("ab") as log:
            if self._epmd is None:
                self._epmd = subprocess.Popen([self._epmd_binary], env=environment, stdout=log, stderr=log)
                watcher.note(self._epmd.pid, self._folder)
            self._server = subprocess.Popen(
                [str(_SCRIPT)], env=environment, stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
            watcher.note(self._server.pid, self._folder)
        until = time.monotonic() + PATIENCE
        while not _answers(self._port):
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"RabbitMQ does not come up:\n{(self._folder / 'server.log').read_text()[-4_000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)  # a session of its own, of nothing but this server
            self._server.wait(PATIENCE)
            watcher.forget(self._server.pid)
            self._server = None

    def close(self) -> None:
        """End it and delete its files."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(PATIENCE)
            watcher.forget(self._epmd.pid)
            self._epmd = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/no-more-environment",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }


def new_server() -> RabbitServer:
    """A server of a test's own, running; whoever asks for it closes it. A test that needs one is skipped where
    RabbitMQ is not installed."""
    server = RabbitServer()
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


@functools.cache
def shared_server() -> RabbitServer:
    """The server that the tests of this process share; it ends with the process."""
    server = new_server()
    atexit.register(server.close)
    return server


def new_queue(name: str) -> str:
    """The name of a queue that no other test uses."""
    return f"{name}-{os.getpid()}-{next(_numbers)}"


def _epmd() -> str:
    found = shutil.which("epmd")
    if not _SCRIPT.exists() or found is None:
        pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
    return found


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether it speaks AMQP by now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False
