"""Running what a user would run, as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LONGEST = 120
"""Seconds after which a command is taken for hanging, on a busy machine too."""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    messages: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        report: dict[str, Any] = json.loads(self.output)
        return report


def run(
    *command: str | Path,
    folder: Path,
    given: str | None = None,
    path: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Done:
    """Run a command in a folder and wait for its end.

    Args:
        path: where it finds other commands, when not as usual.
        settings: more for its environment.
    """
    surroundings = {**environment(), **({} if path is None else {"PATH": path}), **(settings or {})}
    done = subprocess.run(
        command,
        cwd=folder,
        env=surroundings,
        input=given,
        text=True,
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def python(script: Path, *arguments: str | Path, folder: Path, settings: Mapping[str, str] | None = None) -> Done:
    """Run a Python script."""
    return run(sys.executable, script, *arguments, folder=folder, settings=settings)


def stepwell(*arguments: str | Path, folder: Path, given: str | None = None) -> Done:
    """Run the command line."""
    return run(Path(sys.executable).with_name("stepwell"), *arguments, folder=folder, given=given)


def environment() -> dict[str, str]:
    """This environment without what would change the meaning of a command."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
