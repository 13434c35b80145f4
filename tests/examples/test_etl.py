"""`examples/etl`, as a user runs it, and cut off in the middle."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.examples.command import EXAMPLES, LONGEST, Done, environment, python, stepwell

EXAMPLE = EXAMPLES / "etl"
ROWS = 3 * 1_000
DAMAGED = 6
STORE = ("--store", "sqlite:etl.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the CSV files of the example."""
    made = python(EXAMPLE / "make_data.py", "build/etl/sales", folder=tmp_path)
    assert made.status == 0, made.messages
    return tmp_path


def run(folder: Path, *flags: str, tasks: Path = EXAMPLE / "tasks.py") -> Done:
    given = f"@{EXAMPLE / 'input.json'}"
    command: list[str | Path] = [
        "run",
        EXAMPLE / "workflow.yaml",
        "--import",
        tasks,
        "-i",
        given,
        *STORE,
        "-o",
        "json",
        *flags,
    ]
    return stepwell(*command, folder=folder)


def test_the_report_is_what_the_files_add_up_to(folder: Path) -> None:
    done = run(folder)
    assert done.status == 0, done.messages
    assert done.report["output"]["rows"] == ROWS - DAMAGED
    assert done.report["output"]["rejected"] == DAMAGED
    report = json.loads((folder / done.report["output"]["report"]).read_text("utf-8"))
    assert report["by"] == sums_of(folder)
    assert Decimal(report["total"]) == sum(map(Decimal, report["by"]["shop"].values()))


def test_nothing_but_whole_files_is_left(folder: Path) -> None:
    done = run(folder)
    names = sorted(file.name.split("-")[0] for file in (folder / "build/etl/report").iterdir())
    assert names == ["by", "by", "by", "report", "sales"]
    assert done.report["output"]["report"].endswith(".json")


def test_too_many_damaged_rows_end_it_before_anything_is_summed_up(folder: Path) -> None:
    (folder / "build/etl/sales/broken.csv").write_text("day,shop,product,quantity,price\n" + "nonsense\n" * 5, "utf-8")
    done = run(folder)
    assert done.status == 1
    assert "too many rows are unusable" in done.report["error"]["message"]
    assert done.report["completed_steps"] == ["extract"]


def test_files_that_are_not_there_are_looked_for_three_times(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.status == 1
    extract = done.report["steps"][0]
    assert (extract["attempts"], extract["error"]["type"]) == (3, "FileNotFoundError")
    assert "there is no CSV file in build/etl/sales" in done.report["error"]["message"]


DYING_TASKS = """
import os, sys
sys.path.insert(0, {example!r})
import tasks
from stepwell import TaskContext, task
from tasks import extract_sales, sum_sales

@task("write_report")
def write_report(folder: str, sums: dict[str, str], context: TaskContext) -> None:
    tasks.write_report(folder, sums, context)
    os.kill(os.getpid(), 9)
"""


def test_a_run_that_is_killed_after_its_last_effect_goes_on_and_leaves_one_report(folder: Path) -> None:
    dying = folder / "dying.py"
    dying.write_text(DYING_TASKS.format(example=str(EXAMPLE)), "utf-8")
    killed = run(folder, tasks=dying)
    assert killed.status == -9
    (report,) = reports(folder)
    written_at = report.stat().st_mtime_ns
    (execution,) = listed(folder)

    done = stepwell(
        "run",
        "--resume",
        execution["execution_id"],
        "--import",
        EXAMPLE / "tasks.py",
        *STORE,
        "-o",
        "json",
        folder=folder,
    )
    assert done.status == 0, done.messages
    assert reports(folder) == [report]
    assert report.stat().st_mtime_ns == written_at
    assert done.report["output"]["report"] == str(report.relative_to(folder))
    assert [step["attempts"] for step in done.report["steps"]] == [1] * 6


def test_a_run_that_is_interrupted_says_how_to_go_on(folder: Path) -> None:
    """Ctrl-C while the first step waits for its next try."""
    for file in (folder / "build/etl/sales").iterdir():
        file.unlink()
    given = f"@{EXAMPLE / 'input.json'}"
    flags = ["-i", given, "--import", str(EXAMPLE / "tasks.py"), *STORE]
    command = [str(Path(sys.executable).with_name("stepwell")), "run", str(EXAMPLE / "workflow.yaml"), *flags]
    process = subprocess.Popen(command, cwd=folder, env=environment(), text=True, stderr=subprocess.PIPE)
    assert process.stderr is not None
    seen = ""
    while "attempt 1 failed" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(2)
    _, rest = process.communicate(timeout=LONGEST)
    assert process.returncode == 130
    (execution,) = listed(folder)
    assert f"--resume {execution['execution_id']}" in rest


def reports(folder: Path) -> list[Path]:
    return sorted((folder / "build/etl/report").glob("report-*.json"))


def listed(folder: Path) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = stepwell("execution", "list", *STORE, "-o", "json", folder=folder).report["items"]
    return items


def sums_of(folder: Path) -> dict[str, dict[str, str]]:
    """The sums, worked out in another way."""
    sums: dict[str, defaultdict[str, Decimal]] = {by: defaultdict(Decimal) for by in ("day", "product", "shop")}
    for file in (folder / "build/etl/sales").glob("*.csv"):
        _, *rows = csv.reader(file.read_text("utf-8").splitlines())
        for day, shop, product, *numbers in rows:
            if product and len(numbers) == 2 and numbers[0].isdigit():
                amount = int(numbers[0]) * Decimal(numbers[1])
                for by, value in (("day", day), ("product", product), ("shop", shop)):
                    sums[by][value] += amount
    return {by: {value: str(amount) for value, amount in part.items()} for by, part in sums.items()}


def test_the_tasks_can_be_tested_without_an_engine(tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(EXAMPLE)!r})
from tasks import clean_row
row = {{"day": " 2026-10-01", "shop": "north", "product": "rug", "quantity": "2", "price": "1.50 "}}
assert clean_row(row) == ["2026-10-01", "north", "rug", "2", "1.50"]
for wrong in ({{"quantity": "0"}}, {{"quantity": "x"}}, {{"price": "NaN"}}, {{"price": "-1"}}, {{"shop": ""}}):
    assert clean_row(row | wrong) is None, wrong
"""
    file = tmp_path / "check.py"
    file.write_text(script, "utf-8")
    done = python(file, folder=tmp_path)
    assert done.status == 0, done.messages
