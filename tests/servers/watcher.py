"""Servers end with the process that has started them, however that ends: a signal leaves it no time to do so itself.

A process beside it, of which it has one end of a pipe, is told which servers there are. When the pipe is closed, which
the system sees to, that process ends those that are left, and deletes their files. Run as a program, this is it.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def note(pid: int, folder: Path | None = None) -> None:
    """A server was started: it ends with this process, and its folder goes if it has one of its own."""
    _tell(f"+ {pid} {folder or ''}\n")


def forget(pid: int) -> None:
    """A server has ended: somebody else may have its number now."""
    _tell(f"- {pid}\n")


def _tell(line: str) -> None:
    watcher = _watcher()
    assert watcher.stdin is not None, "it is a pipe"
    with suppress(BrokenPipeError, ValueError):  # it has ended, and with it every server
        watcher.stdin.write(line.encode())
        watcher.stdin.flush()


@functools.cache
def _watcher() -> subprocess.Popen[bytes]:
    """The one of this process; with a session of its own, so that no signal for a group of processes reaches it."""
    watcher = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(watcher.communicate)  # which closes the pipe
    return watcher


def _watch() -> None:
    left: dict[int, str] = {}
    for line in sys.stdin:
        sign, number, folder = f"{line.rstrip()} ".split(" ", 2)
        if sign == "+":
            left[int(number)] = folder.rstrip()
        else:
            left.pop(int(number), None)
    for pid in left:
        for each in family(pid):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    for folder in filter(None, left.values()):
        shutil.rmtree(folder, ignore_errors=True)


def family(pid: int) -> list[int]:
    """A process and those that it has started, and those that they have, where the system tells."""
    children: dict[int, list[int]] = {}
    for each, parent in parents():
        children.setdefault(parent, []).append(each)
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return found


def parents() -> list[tuple[int, int]]:
    """Each process, and who has started it."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                found.append((int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])))
    return found


if __name__ == "__main__":
    _watch()
