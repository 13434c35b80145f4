"""The largest workflows are checked and planned by the command line in reasonable time, everything counted."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.definition.test_size import CONDITIONS
from tests.definition.trees import value

BOUND = 5.0
"""Seconds of processor time, on a machine that is busy with other tests too; alone it takes about one and a half."""

NOT_NEEDED = {"asyncio", "aiohttp", "apsw", "jinja2", "cryptography", "jsonschema_rs", "re2", "stepwell.decider.plan"}

COMMAND = "from stepwell.cli.main import main; main()"


@pytest.mark.parametrize(("command", "notation"), [("validate", "yaml"), ("plan", "yaml"), ("plan", "json")])
def test_ten_thousand_steps_are_checked_and_planned_in_time(command: str, notation: str, tmp_path: Path) -> None:
    file = tmp_path / f"large.{notation}"
    file.write_text(CONDITIONS if notation == "yaml" else json.dumps(value(CONDITIONS)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, command, file], capture_output=True, cwd=tmp_path, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr.decode()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < BOUND


def test_what_runs_workflows_is_not_imported_for_checking_and_planning(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(CONDITIONS.split("  steps:")[0] + "  steps: [{name: a, type: noop}]\n")
    code = (
        "import sys\nfrom stepwell.cli.main import call\n"
        "assert call(sys.argv[1:]) == 0\n"
        f"print(*{NOT_NEEDED} & sys.modules.keys())\n"
    )
    for command in ("validate", "plan"):
        done = subprocess.run(
            [sys.executable, "-c", code, command, file], capture_output=True, cwd=tmp_path, check=True
        )
        assert done.stdout.decode().splitlines()[-1] == ""
