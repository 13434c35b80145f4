"""The example step maps: by their script, on the command line, and as native documents."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stepwell import WorkflowExecutionEngine
from stepwell.dialects.writing import write
from tests.dialects.meaning import definition_of
from tests.examples.command import stepwell

FOLDER = Path(__file__).parents[2] / "examples" / "dialects" / "step-map"
MAPS = ("greeting", "analysis")
MEMORY = {"state_store": {"type": "memory"}}


def without_times(results: Any) -> Any:
    text = json.dumps(results)
    return json.loads(re.sub(r'"timestamp": "[^"]*"', '"timestamp": ""', text))


def test_the_script_prints_statuses_results_and_timings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "greetings.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in (r"greeting: completed after \d+\.\d+ s", r"  shout \(\d+\.\d+ s\): .*HELLO.*", r"  count .*words.*"):
        assert re.search(f"^{line}$", done.stdout, re.MULTILINE), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MAPS)
def test_a_step_map_is_run_on_the_command_line(name: str, tmp_path: Path) -> None:
    done = stepwell("run", FOLDER / f"{name}.json", "-o", "json", folder=tmp_path)
    assert done.status == 0, done.messages
    assert done.report["status"] == "completed"
    assert done.report["output"].keys() == {step["name"] for step in done.report["steps"]}


@pytest.mark.parametrize("name", MAPS)
def test_as_a_native_document_it_gives_the_same(name: str) -> None:
    text = (FOLDER / f"{name}.json").read_text("utf-8")
    native = write(definition_of(text, f"{name}.json"), "native")
    assert native.unsaid == []
    engine = WorkflowExecutionEngine(config=MEMORY)
    results = engine.run(text)["results"]
    report = engine.run(native.text, dialect="native")
    assert without_times(report["output"]) == without_times(results)
