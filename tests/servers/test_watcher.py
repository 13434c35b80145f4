"""Nothing is left of a server whose test run was ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.nats import nats_binary
from tests.servers.postgres import programs

ROOT = Path(__file__).parents[2]
RUN = """
import signal
from {module} import {name}
server = {name}()
print(server._process.pid, server._folder, flush=True)
signal.pause()
"""
PATIENCE = 20


@pytest.mark.parametrize(
    ("module", "name"), [("tests.servers.postgres", "postgres_server"), ("tests.servers.nats", "shared_server")]
)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_the_process_that_started_it(module: str, name: str, end: signal.Signals) -> None:
    programs()
    nats_binary()
    run = subprocess.Popen(
        [sys.executable, "-c", RUN.format(module=module, name=name)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pid, folder = run.stdout.readline().split()
    assert Path(folder).is_dir()
    run.send_signal(end)
    run.wait(PATIENCE)
    run.stdout.close()
    until = time.monotonic() + PATIENCE
    while Path(folder).exists() or _lives(int(pid)):
        assert time.monotonic() < until, "it is still there"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
