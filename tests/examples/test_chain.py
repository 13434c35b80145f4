"""`examples/chain`: long definitions, made and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.command import EXAMPLES, python, stepwell

MAKE_CHAIN = EXAMPLES / "chain" / "make_chain.py"


def test_a_chain_of_a_thousand_steps_runs_in_order(tmp_path: Path) -> None:
    made = python(MAKE_CHAIN, "1000", folder=tmp_path)
    (tmp_path / "chain.yaml").write_text(made.output, "utf-8")
    flags: list[str | Path] = ["--import", EXAMPLES / "chain" / "steps.py", "--store", "sqlite:chain.db", "-o", "json"]
    done = stepwell("run", "chain.yaml", *flags, folder=tmp_path)
    assert done.status == 0, done.messages
    steps = done.report["steps"]
    assert [step["name"] for step in steps] == [f"step_{number}" for number in range(1, 1_001)]
    assert {(step["status"], step["attempts"]) for step in steps} == {("completed", 1)}
    ends = [step["completed_at"] for step in steps]
    assert ends == sorted(ends)


def test_it_runs_with_one_command(tmp_path: Path) -> None:
    done = python(MAKE_CHAIN, "20", "--run", folder=tmp_path)
    assert done.status == 0, done.messages
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["0"], ["-3"], ["many"], ["10", "--walk"]])
def test_wrong_arguments_are_told_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = python(MAKE_CHAIN, *arguments, folder=tmp_path)
    assert (done.status, done.output) == (2, "")
    assert "usage" in done.messages
