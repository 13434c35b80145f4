"""Calling the command line in this process, in a folder of its own."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stepwell.cli.main import call


class Outcome(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Stepwell = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, no environment, UTC, and imports that are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    for name in ("STEPWELL_STORE", "STEPWELL_SERVER", "STEPWELL_TOKEN", "STEPWELL_KEY", "STEPWELL_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    path, modules, handlers = list(sys.path), set(sys.modules), list(logging.getLogger().handlers)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    logging.getLogger().handlers[:] = handlers
    logging.getLogger("stepwell").setLevel(logging.NOTSET)


@pytest.fixture
def stepwell(capfd: pytest.CaptureFixture[str]) -> Stepwell:
    """Run a command: `stepwell("run", "x.yaml")`."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        status = call([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return run
