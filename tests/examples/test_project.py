"""The project's own commands: the Makefile, the environment, the lock, and what is generated."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.examples.command import ROOT, Done, run

LOCK = ROOT / "requirements.lock"


def test_make_alone_shows_every_target(tmp_path: Path) -> None:
    done = run("make", "-C", ROOT, "--no-print-directory", folder=tmp_path)
    assert done.status == 0
    for target in ("run", "test", "check", "bench", "serve", ".venv"):
        assert re.search(rf"^  make {re.escape(target)} +\S", done.output, re.MULTILINE), target


def test_the_lock_pins_every_requirement_of_the_project() -> None:
    done = run(sys.executable, "scripts/lock.py", "--check", folder=ROOT)
    assert done.status == 0, done.messages


def test_the_lock_names_versions_and_no_place_to_get_them_from() -> None:
    for line in LOCK.read_text("utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line


@pytest.mark.parametrize("script", ["lock.py", "generated.py"])
def test_a_script_without_its_flag_tells_the_usage(script: str) -> None:
    done = run(sys.executable, f"scripts/{script}", folder=ROOT)
    assert done.status == 2
    assert "usage" in done.messages


def with_pythons(folder: Path, **versions: str) -> Done:
    """Prepare an environment on a machine whose only Pythons, by name, are of these versions, and have no venv."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("dirname", "rm", "touch", "sh"):
        (commands / name).symlink_to(shutil.which(name) or name)
    for name, version in versions.items():
        _write_python(commands / name.replace("_", "."), version)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv.sh", folder / "scripts")
    return run(str(commands / "sh"), "scripts/venv.sh", folder=folder, path=str(commands))


def _write_python(file: Path, version: str) -> None:
    """A stand-in that knows its version, and its place; everything else it is asked fails."""
    recent = "true" if tuple(map(int, version.split("."))) >= (3, 11) else "false"
    file.write_text(
        f"""#!/bin/sh
case "$*" in
    *version_info*) {recent} ;;
    *sys.executable*) echo "$0" ;;
    *--version*) echo "Python {version}" ;;
    *) exit 1 ;;
esac
""",
        "ascii",
    )
    file.chmod(0o755)


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    done = with_pythons(tmp_path, python3="3.9.2")
    assert done.status == 2
    assert "needs Python 3.11 or later" in done.messages
    assert "Python 3.9.2" in done.messages


def test_a_newer_python_beside_an_old_one_is_found(tmp_path: Path) -> None:
    done = with_pythons(tmp_path, python3="3.9.2", python3_12="3.12.4")
    assert "making .venv with Python 3.12.4" in done.messages


def test_a_python_that_cannot_make_environments_is_told_what_to_install(tmp_path: Path) -> None:
    done = with_pythons(tmp_path, python3="3.11.2")
    assert done.status == 2
    assert "apt-get install python3-venv" in done.messages


def test_no_python_at_all_is_said_plainly(tmp_path: Path) -> None:
    done = with_pythons(tmp_path)
    assert done.status == 2
    assert "needs Python 3.11 or later" in done.messages
