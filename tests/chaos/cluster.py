"""Nodes and workers: real processes, as somebody would run them."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

import aiohttp

from tests.chaos.documents import QUEUE

TASKS: Final = Path(__file__).with_name("tasks.py")
STEPWELL: Final = (sys.executable, "-m", "stepwell")
READY_WITHIN: Final = 90.0


class Member:
    """A process that can be ended, frozen, and started again.

    Args:
        log: what it says is written there.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = _started(self._command, self._environment, log)

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The last error that it wrote, or line."""
        lines = self._log.read_text(errors="replace").splitlines() or [""]
        return next((line for line in reversed(lines) if line.startswith("error")), lines[-1])

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Have it do nothing until `thaw`."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._send(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def _started(command: list[str], environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=environment, cwd=log.name.rpartition("/")[0], stdout=subprocess.DEVNULL, stderr=log
    )


class Node(Member):
    """`stepwell serve` on a port of its own."""

    def __init__(self, name: str, store: str, folder: Path, environment: dict[str, str]) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [*STEPWELL, "serve", "--port", str(port), "--store", store, "--import", str(TASKS)]
        super().__init__(name, command, environment, folder / f"{name}.log")

    async def is_ready(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it does not, or has ended.
        """
        until = time.monotonic() + READY_WITHIN
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while time.monotonic() < until and self.lives:
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.name} does not come up:\n{self._log.read_text()[-4_000:]}")


def worker(name: str, folder: Path, environment: dict[str, str], server: str | None) -> Member:
    """`stepwell worker`; without a server it fetches through NATS, as the environment says."""
    command = [*STEPWELL, "worker", "--queue", QUEUE, "--import", str(TASKS), "--concurrency", "20"]
    return Member(name, command + (["--server", server] if server else []), environment, folder / f"{name}.log")


def environment_for(folder: Path, nats: str | None) -> dict[str, str]:
    """Of all processes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
    more = {"STEPWELL_NATS": nats} if nats is not None else {}
    return {
        **kept,
        **more,
        "STEPWELL_KEY": base64.b64encode(bytes(32)).decode(),
        "CHAOS_LEDGER": str(folder / "ledger"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
