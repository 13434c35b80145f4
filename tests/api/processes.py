"""A real server, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.servers import watcher

STEPWELL = Path(sys.executable).with_name("stepwell")
_SERVING = re.compile(r"serving (http://\S+)/api/v1")


class Serving:
    """`stepwell serve` on a free port."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        command: tuple[str | Path, ...] = (STEPWELL, "serve"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*command, "--port", "0", *flags],
            cwd=folder,
            env={**inherited, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        watcher.note(self.process.pid)
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            found = _SERVING.search(line)
            if found is not None:
                return found[1]
        raise AssertionError(f"the server did not start: {self.said}")

    def kill(self) -> None:
        """`kill -9`."""
        os.killpg(self.process.pid, signal.SIGKILL)  # also what it has started
        self._reap()

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def stop_waiting(self) -> int:
        """Wait for the end of what was told to end; its exit status."""
        return self._reap()

    def _reap(self) -> int:
        _, rest = self.process.communicate(timeout=60)
        watcher.forget(self.process.pid)
        self.said += rest.splitlines()
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.stop()  # what it started itself ends with it then


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Serving]:
    """A server that ends with the block."""
    with Serving(folder, *flags) as server:
        yield server
