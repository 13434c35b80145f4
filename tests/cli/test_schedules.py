"""`schedule`: schedules in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.processes import serving
from tests.cli.conftest import Stepwell

WORKFLOW = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: report, version: "1.0.0"}
spec:
  input: {schema: {properties: {region: {type: string}}}}
  steps: [{name: only, type: noop}]
"""


@pytest.fixture(autouse=True)
def registered(stepwell: Stepwell, folder: Path) -> None:
    (folder / "report.yaml").write_text(WORKFLOW)
    assert stepwell("workflow", "apply", "report.yaml").status == 0


def create(stepwell: Stepwell, *more: str) -> None:
    options = ("--id", "nightly", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "-i", '{"region": "eu"}')
    assert stepwell("schedule", "create", "report", *options, *more).status == 0


def test_a_schedule_is_made_listed_shown_and_deleted(stepwell: Stepwell) -> None:
    assert stepwell("schedule", "list").out.startswith("no schedules")
    create(stepwell)
    (item,) = stepwell("schedule", "list", "-o", "json").json()["items"]
    assert (item["id"], item["cron"], item["timezone"], item["input"]) == (
        "nightly",
        "0 2 * * *",
        "Europe/Berlin",
        {"region": "eu"},
    )
    line = stepwell("schedule", "list").out.splitlines()[1]
    assert line.startswith("nightly  report    active  0 2 * * * Europe/Berlin  ")
    assert "missed times  one\n" in stepwell("schedule", "show", "nightly").out
    assert len(stepwell("schedule", "upcoming", "nightly", "--count", "3").out.splitlines()) == 3
    assert stepwell("schedule", "delete", "nightly").out == "schedule nightly deleted\n"
    gone = stepwell("schedule", "show", "nightly")
    assert (gone.status, gone.err.startswith("error[unknown-schedule]")) == (2, True)


def test_a_schedule_is_paused_and_resumed(stepwell: Stepwell) -> None:
    create(stepwell, "--paused")
    assert stepwell("schedule", "resume", "nightly").out.startswith("schedule nightly goes on; next ")
    stepwell("schedule", "pause", "nightly", "--reason", "holidays")
    assert ": holidays\n" in stepwell("schedule", "show", "nightly").out


def test_what_is_fired_without_an_engine_waits_for_one(stepwell: Stepwell) -> None:
    create(stepwell)
    fired = stepwell("schedule", "run-now", "nightly", "-o", "json")
    assert fired.status == 0
    assert fired.json()["outcome"] == "started"
    assert "an engine" in fired.err
    filled = stepwell(
        "schedule",
        "backfill",
        "nightly",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-03T00:00:00Z",
        "-o",
        "json",
    ).json()
    assert [item["due_at"] for item in filled["items"]] == ["2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"]
    firings = stepwell("schedule", "firings", "--schedule", "nightly", "-o", "json").json()["items"]
    assert [item["outcome"] for item in firings] == ["started"] * 3
    assert stepwell("schedule", "firings").out.splitlines()[0].split()[:4] == ["at", "workflow", "trigger", "outcome"]


def test_all_of_it_can_be_done_through_a_server(stepwell: Stepwell, folder: Path) -> None:
    with serving(folder, "--store", "stepwell.db") as server:
        here = ("--server", server.url)
        create(stepwell, *here)
        (item,) = stepwell("schedule", "list", "-o", "json", *here).json()["items"]
        assert stepwell("schedule", "show", "nightly", "-o", "json", *here).json() == item
        assert stepwell("schedule", "run-now", "nightly", *here).status == 0
        ended = stepwell(
            "schedule", "backfill", "nightly", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", *here
        )
        assert ended.out.startswith("2026-01-01 01:00:00 started: execution ")
        assert "paused" in stepwell("schedule", "pause", "nightly", *here).out
        assert "goes on" in stepwell("schedule", "resume", "nightly", *here).out
        assert len(stepwell("schedule", "upcoming", "nightly", *here).out.splitlines()) == 10
        firings = stepwell("schedule", "firings", "-o", "json", *here).json()["items"]
        assert [each["outcome"] for each in firings] == ["started", "started"]
        assert stepwell("schedule", "delete", "nightly", *here).status == 0
        assert stepwell("schedule", "show", "nightly", *here).err.startswith("error[unknown-schedule]")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "report", "--cron", "61 * * * *"), "bad-schedule"),
        (("create", "report", "--every", "1h", "--timezone", "Mars/Olympus"), "bad-schedule"),
        (("create", "report"), "bad-schedule"),
        (("create", "none", "--every", "1h"), "unknown-workflow"),
        (("create", "report", "--every", "1h", "-i", '{"region": 7}'), "invalid-input"),
        (("create", "report", "--every", "1h", "--catch-up", "never"), "usage"),
        (("backfill", "none", "--from", "x", "--to", "y"), "usage"),
        (("pause", "none"), "unknown-schedule"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(stepwell: Stepwell, arguments: tuple[str, ...], code: str) -> None:
    refused = stepwell("schedule", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"error[{code}]")
