"""Packs and task graphs on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Stepwell

EXAMPLES = Path(__file__).parents[2] / "examples" / "dialects" / "task-graph"


@pytest.fixture
def examples(folder: Path) -> Path:
    """The examples, in the current folder."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    (folder / "stepwell.yaml").write_text("packs: [packs]\n")
    return folder


def test_a_workflow_of_a_configured_pack_is_run_by_its_name(examples: Path, stepwell: Stepwell) -> None:
    for _ in range(2):
        ran = stepwell("run", "delivery.nightly", "-q")
        assert (ran.status, ran.err) == (0, "")
    listed = stepwell("workflow", "list", "-o", "json").json()["items"]
    assert [each["name"] for each in listed] == [
        "delivery.every_night", "delivery.nightly", "delivery.on_tag", "delivery.release",
    ]  # fmt: skip


def test_a_graph_uses_the_actions_of_packs_and_of_imported_modules(examples: Path, stepwell: Stepwell) -> None:
    (examples / "x.yaml").write_text(
        'ref: t.x\nversion: "1.0.0"\ntasks: [{name: a, action: delivery.build, input: {version: "3"}}]\n'
        'output_map: {artifact: "{{ task.a.result.artifact }}"}\n'
    )
    assert stepwell("run", "x.yaml", "-q").json() == {"artifact": "app-3.tar"}
    given = '{"version": "2.1", "hosts": [{"name": "a"}, {"name": "b"}]}'
    assert (
        stepwell("run", "deploy.yaml", "--import", "shipping_tasks.py", "-q", "-i", given).json()["report"]
        == "1 batches"
    )


def test_an_action_that_nothing_brings_is_refused_and_says_what_may_be_missing(
    folder: Path, stepwell: Stepwell
) -> None:
    (folder / "x.yaml").write_text('ref: t.x\nversion: "1.0.0"\ntasks: [{name: a, action: core.ech}]\n')
    ran = stepwell("run", "x.yaml")
    assert ran.status == 2
    assert "error[unknown-action]: there is no action 'core.ech'" in ran.err
    assert "hint: did you mean 'core.echo'?" in ran.err
    assert "--import MODULE" in ran.err


def test_what_is_wrong_with_a_pack_is_said_before_anything_runs(folder: Path, stepwell: Stepwell) -> None:
    (folder / "stepwell.yaml").write_text("packs: [nowhere]\n")
    (folder / "x.yaml").write_text('ref: t.x\nversion: "1.0.0"\ntasks: [{name: a, action: core.noop}]\n')
    ran = stepwell("run", "x.yaml")
    assert (ran.status, ran.err.split("\n")[0]) == (2, "error[invalid-pack]: there is no pack in nowhere")
