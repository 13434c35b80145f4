"""Starting other processes on a database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


@contextmanager
def child(deed: str, place: Path | str, *, powerless: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that does one of the deeds of `tests.store.child`; killed at the end.

    Args:
        place: a file, or the URL of a store.
        powerless: not as root, for whom no permission counts.
    """
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.store.child", deed, str(place), *(["powerless"] if powerless else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        said_by(process).close()


def said_by(process: subprocess.Popen[str]) -> IO[str]:
    """What the process says."""
    assert process.stdout is not None, "the output of a child is read"
    return process.stdout


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that the process says."""
    return said_by(process).readline().strip()
