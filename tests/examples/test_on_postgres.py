"""An example runs unchanged on PostgreSQL: only the URL of the store is another one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.examples.command import EXAMPLES, Done, python
from tests.servers.postgres import postgres_server

KEY = base64.b64encode(bytes(range(32))).decode()


def run_on(store: str, folder: Path) -> Done:
    script = EXAMPLES / "user-registration" / "run.py"
    return python(script, "--store", store, "-o", "json", folder=folder, settings={"STEPWELL_KEY": KEY})


def without_what_is_new_each_time(report: dict[str, Any]) -> dict[str, Any]:
    """What a run does and says, but for ids and instants."""
    told = ("workflow", "version", "status", "completed_steps", "failed_steps", "compensation")
    steps = [(step["name"], step["status"], step["attempts"]) for step in report["steps"]]
    return {**{name: report.get(name) for name in told}, "steps": steps, "keys": sorted(report)}


def test_the_same_example_does_the_same_on_sqlite_and_on_postgresql(tmp_path: Path) -> None:
    on_sqlite = run_on("sqlite:here.db", tmp_path)
    on_postgres = run_on(postgres_server().fresh_url(), tmp_path)
    assert on_postgres.status == on_sqlite.status == 0, on_postgres.messages
    assert without_what_is_new_each_time(on_postgres.report) == without_what_is_new_each_time(on_sqlite.report)
