"""The examples of workflows of activities."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.command import ROOT

FOLDER = ROOT / "examples" / "dialects" / "execution"


def run(file: str, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "stepwell", "run", str(FOLDER / file), "--import", str(FOLDER / "activities.py"),
        "-i", json.dumps(given), "-o", "json", "-q",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize(
    ("reason", "skipped"), [("damaged", []), ("lost", ["call_back_parcel"])], ids=["damaged", "lost"]
)
def test_a_complaint_is_taken_care_of(reason: str, skipped: list[str], tmp_path: Path) -> None:
    report = run("complaint.yaml", {"order": "o7", "value": 250, "reason": reason}, tmp_path)
    assert (report["status"], report["skipped_steps"]) == ("completed", skipped)
    assert report["variables"] == {"case": "case-o7"}
    assert report["steps"][2]["output"] == {"order": "o7", "amount": 250, "case": "case-o7"}


def test_what_was_done_is_undone_when_the_money_is_not_there(tmp_path: Path) -> None:
    report = run("complaint.yaml", {"order": "o7", "value": 9000, "reason": "damaged"}, tmp_path)
    assert (report["status"], report["compensation"], report["steps"][2]["attempts"]) == ("failed", "done", 3)
    undone = [(step["name"], step["output"]) for step in report["compensation_steps"]]
    assert undone == [("call_back_parcel[undo]", "released p-o7"), ("open_case[undo]", "closed case-o7")]


def test_the_workflow_of_the_api_does_the_same(tmp_path: Path) -> None:
    good = run("complaint.json", {"order": "o7", "value": 250, "reason": "lost"}, tmp_path)
    assert (good["status"], good["skipped_steps"]) == ("completed", ["step_2"])
    bad = run("complaint.json", {"order": "o7", "value": 9000, "reason": "lost"}, tmp_path)
    assert [step["output"] for step in bad["compensation_steps"]] == ["closed case-o7"]


def test_events_start_it() -> None:
    command = [sys.executable, str(FOLDER / "publish.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "o7 started ",
        "o7 completed {'case': 'case-o7'}",
        'o8 filtered its filter asks for {"value": {"~gte": 100}}',
    ]
