"""Which process owns a shard, and whether it is known to be gone: so that a killed engine's work goes on at once."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final, NamedTuple

_ENDED: Final = ("Z", "X")
"""The states, in `/proc`, of a process that has ended and was not yet asked for its exit status."""


class Process(NamedTuple):
    """A process, recognisable from another one on the same machine.

    Attributes:
        machine: what must be the same for `pid` to mean the same: the boot and the namespace of process ids. None
            where the system does not tell.
        started: when the process began, as the system writes it, so that a later one with its number is another one.
    """

    host: str
    machine: str | None
    pid: int
    started: str | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """The running process."""
    pid = os.getpid()
    stat = _stat(pid)
    return Process(socket.gethostname(), _machine(), pid, stat[1] if stat else None)


def is_gone(process: Process) -> bool:
    """Whether the process is known to have ended. False when it lives or when it cannot be told."""
    if process.machine is None or process.machine != _machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it is somebody else's, so there is one
    stat = _stat(process.pid)
    if stat is None or process.started is None:
        return False
    return stat[0] in _ENDED or stat[1] != process.started


def _machine() -> str | None:
    if sys.platform == "win32":
        return None  # there, asking after a process with `os.kill` ends it
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _stat(pid: int) -> tuple[str, str] | None:
    """The state of a process and when it began, or None where there is no `/proc`."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold anything, brackets too
    return fields[0], fields[19]
