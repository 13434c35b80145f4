"""Every example in the documentation is run.

A fenced block whose info string names a file (```` ```yaml hello.yaml ````) is written to a folder of the page's own; a
`console` block is run there, command by command, and what follows a command must be its output. `...` stands for
anything. A page that speaks of `$DATABASE_URL` gets a PostgreSQL database.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers.postgres import postgres_server

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _commands(block: str) -> list[tuple[str, str]]:
    """(command, expected output) pairs of a console block."""
    pairs: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], []))
        else:
            pairs[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in pairs]


def _pattern(expected: str) -> re.Pattern[str]:
    return re.compile(r"[\s\S]*".join(re.escape(part.strip("\n")) for part in expected.strip().split("...")))


def _run(command: str, folder: Path, settings: Mapping[str, str]) -> str:
    environment = {
        **settings,
        **{name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    settings = {"DATABASE_URL": postgres_server().fresh_url()} if "$DATABASE_URL" in text else {}
    for kind, name, content in _BLOCK.findall(text):
        if name:
            (tmp_path / name).write_text(content, "utf-8")
        elif kind == "console":
            for command, expected in _commands(content):
                output = _run(command, tmp_path, settings)
                assert _pattern(expected).fullmatch(output), f"$ {command}\n{output}\n--- expected ---\n{expected}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
