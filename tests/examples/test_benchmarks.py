"""`make bench`, in its tiny size, and how figures are held against the bars."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.figures import BARS_ON_POSTGRES, Bar, Workload, missed, percentile, read_bars
from benchmarks.postgres.workloads import WORKLOADS
from tests.examples.command import ROOT, run


def test_a_quick_run_measures_every_workload_and_every_figure_that_has_a_bar(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    done = run(sys.executable, "-m", "benchmarks", "--quick", "--output", output, "--folder", tmp_path, folder=ROOT)
    assert done.status == 0, done.messages
    results = json.loads(output.read_text("utf-8"))
    assert results["quick"] is True
    workloads = results["workloads"]
    assert list(workloads) == ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8"]
    for bar in read_bars():
        workload, figure = bar.split(".")
        assert isinstance(workloads[workload]["figures"][figure], int | float)
    assert workloads["W5"]["figures"]["repeated_steps"] == 0
    assert workloads["W5"]["figures"]["missing_steps"] == 0
    assert list(tmp_path.iterdir()) == [output]


def test_a_missed_bar_is_named() -> None:
    work = Workload(name="W1", title="", figures={"ratio": 0.1, "time": 3.0})
    bars = {"W1.ratio": Bar(at_least=0.12), "W1.time": Bar(at_most=3), "W2.other": Bar(below=1)}
    assert missed([work], bars) == ["W1.ratio: 0.1, must be ≥ 0.12"]


def test_a_figure_that_was_not_measured_misses_its_bar() -> None:
    work = Workload(name="W1", title="", figures={"time": 3.0})
    assert missed([work], {"W1.ratio": Bar(at_least=0.12)}) == ["W1.ratio: not measured, must be ≥ 0.12"]


@pytest.mark.parametrize(
    ("bar", "figure", "met"),
    [
        (Bar(at_least=1), 1, True),
        (Bar(at_least=1), 0.99, False),
        (Bar(at_most=1), 1, True),
        (Bar(at_most=1), 1.01, False),
        (Bar(below=1), 1, False),
        (Bar(below=1), 0.99, True),
    ],
)
def test_a_bar_says_what_meets_it(bar: Bar, figure: float, met: bool) -> None:
    assert bar.is_met(figure) is met


def test_a_percentile_is_a_value_that_so_many_are_not_above() -> None:
    values = [float(value) for value in range(1, 201)]
    assert percentile(values, 95) == 190
    assert percentile(values, 50) == 100
    assert percentile([7.0], 95) == 7


def test_a_quick_run_on_postgresql_measures_one_of_its_layouts(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    what = ("--postgres", "--only", "W1", "--layout", "one node")
    command = (sys.executable, "-m", "benchmarks", "--quick", *what, "--output", output, "--folder", tmp_path)
    done = run(*command, folder=ROOT)
    assert done.status == 0, done.messages
    figures = json.loads(output.read_text("utf-8"))["workloads"]["W1 one node"]["figures"]
    assert figures["steps_per_second"] > 0
    assert figures["ratio_to_raw"] > 0


def test_every_bar_on_postgresql_is_that_of_a_workload_there() -> None:
    names = {bar.partition(".")[0] for bar in read_bars(BARS_ON_POSTGRES)}
    assert names <= WORKLOADS.keys()
