"""The example workflows of Orquesta, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepwell.dialects.dialect import Writing
from stepwell.dialects.orquesta.writing import write
from stepwell.dialects.writing import as_text
from tests.dialects.meaning import definition_of, meaning
from tests.examples.command import stepwell

FOLDER = Path(__file__).parents[2] / "examples" / "dialects" / "orquesta"
FLAKY = {"release": "1.2", "hosts": ["flaky-1", "web-2"]}


@pytest.mark.parametrize(
    ("given", "status", "output"),
    [
        ({"release": "1.2"}, "completed", {"report": "1.2 runs on web-1, web-2, web-3", "tries": 1}),
        (FLAKY, "completed", {"report": "1.2 runs on flaky-1, web-2", "tries": 2}),
        ({"release": "1.2-dev"}, "failed", {"report": "1.2-dev is not ready", "tries": 1}),
    ],
)
def test_a_release_is_rolled_out(given: dict[str, Any], status: str, output: dict[str, Any], tmp_path: Path) -> None:
    actions = ("--import", FOLDER / "rollout.py")
    done = stepwell("run", FOLDER / "rollout.yaml", *actions, "-i", json.dumps(given), "-o", "json", folder=tmp_path)
    assert (done.report["status"], done.report["output"]) == (status, output), done.messages


def test_a_small_amount_is_paid_without_asking(tmp_path: Path) -> None:
    done = stepwell("run", FOLDER / "approval.yaml", "-i", '{"amount": 20}', "-o", "json", folder=tmp_path)
    assert (done.report["status"], done.report["output"]) == ("completed", {"answer": {"ok": True}})


@pytest.mark.parametrize("name", ["rollout", "approval"])
def test_what_is_written_of_it_means_the_same(name: str) -> None:
    definition = definition_of((FOLDER / f"{name}.yaml").read_text("utf-8"), f"{name}.yaml")
    writing = Writing(definition)
    again = definition_of(as_text(write(writing), "yaml"), f"{name}.yaml")
    assert [each for each in writing.unsaid if each.weight == "lost"] == []
    assert meaning(again) == meaning(definition)
