"""The sample plug-in in `examples/plugin`, installed and used by real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.installed import SAMPLE, broken_package, install

WORKFLOW = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: slugs, version: "1.0.0"}
spec:
  input: {schema: {properties: {title: {type: string}}}}
  steps:
    - {name: slug, type: slugify, config: {text: "{{ input.title }}"}}
    - {name: loud, type: shout, depends_on: [slug], config: {text: "{{ steps.slug.output.slug }}", times: 2}}
    - name: told
      type: notify
      depends_on: [loud]
      config: {channels: [team], recipients: [ann], title: Done, message: "{{ secrets.SLUG_GREETING }}"}
  output: {values: {slug: "{{ steps.slug.output.slug }}", loud: "{{ steps.loud.output }}"}}
"""
CONFIGURATION = """
notifications: {team: "memo:notes.txt"}
plugins: {slugify: {separator: _}}
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(SAMPLE, tmp_path_factory.mktemp("sample"))


def stepwell(folder: Path, packages: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "slugs.yaml").write_text(WORKFLOW)
    return subprocess.run(
        [sys.executable, "-m", "stepwell", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(packages), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_its_step_types_channel_and_secrets_are_used(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "stepwell.yaml").write_text(CONFIGURATION)
    done = stepwell(tmp_path, packages, "run", "slugs.yaml", "-i", '{"title": "Crème brûlée!"}', "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == {"slug": "creme_brulee", "loud": "CREME_BRULEE!!"}
    assert (tmp_path / "notes.txt").read_text() == "ann: Done: good morning\n"


def test_the_settings_of_its_steps_are_checked_before_anything_runs(packages: Path, tmp_path: Path) -> None:
    folder = tmp_path
    text = WORKFLOW.replace('config: {text: "{{ input.title }}"}', "config: {txt: 1}")
    stepwell(folder, packages, "--version")
    (folder / "slugs.yaml").write_text(text)
    found = subprocess.run(
        [sys.executable, "-m", "stepwell", "validate", "slugs.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(packages), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 2
    assert "slugs.yaml:8:43: error[wrong-value]" in found.stdout
    assert '"text" is a required property' in found.stdout


DISPATCHER = """
from stepwell.ports.work import TaskError, TaskResult

class Batch:
    settings_schema = {"type": "object"}

    def __init__(self, settings=None):
        self.cluster = (settings or {}).get("cluster", "none")

    async def run(self, config, context):
        if context.step == "wrong":
            raise TaskError("no_cluster", "it is not there")
        return TaskResult({"cluster": self.cluster, "type": context.assignment.type, "config": config})
"""
ELSEWHERE = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: elsewhere, version: "1.0.0"}
spec:
  steps:
    - {name: far, type: transcode, queue: batch, config: {a: "{{ 1 + 1 }}"}}
    - {name: wrong, type: transcode, queue: batch, depends_on: far, on_failure: {action: continue}}
    - {name: near, type: transform, depends_on: wrong, config: {value: 5}}
  output: {values: {far: "{{ steps.far.output }}"}}
"""


def test_a_dispatcher_has_the_steps_of_its_queue_done(tmp_path: Path) -> None:
    broken_package(tmp_path / "brought", "[stepwell.dispatchers]\nbatch = broken_plugin:Batch\n", DISPATCHER)
    (tmp_path / "elsewhere.yaml").write_text(ELSEWHERE)
    (tmp_path / "stepwell.yaml").write_text("plugins: {batch: {cluster: c1}}\n")
    done = stepwell(tmp_path, tmp_path / "brought", "run", "elsewhere.yaml", "-o", "json")
    found = json.loads(done.stdout)
    assert found["output"] == {"far": {"cluster": "c1", "type": "transcode", "config": {"a": 2}}}, done.stderr
    assert [step["error"]["type"] for step in found["steps"] if step["error"]] == ["no_cluster"]


def test_a_broken_plug_in_is_told_and_disturbs_nothing(packages: Path, tmp_path: Path) -> None:
    entry_points = "[stepwell.tasks]\nslugify2 = broken_plugin:Nothing\nnoop = json:loads\n"
    broken_package(tmp_path / "broken", entry_points, "raise RuntimeError('out of order')\n")
    (tmp_path / "stepwell.yaml").write_text(CONFIGURATION)
    both = Path(f"{packages}{os.pathsep}{tmp_path / 'broken'}")
    done = stepwell(tmp_path, both, "run", "slugs.yaml", "-i", '{"title": "A b"}', "-o", "json")
    assert done.returncode == 0, done.stderr
    examined = stepwell(tmp_path, both, "doctor", "-o", "json")
    checks = {check["check"]: check for check in json.loads(examined.stdout)["items"]}
    assert examined.returncode == 0
    assert checks["plug-ins"]["status"] == "warn"
    assert "RuntimeError: out of order" in checks["plug-ins"]["message"]
    assert "'noop' is a built-in step type" in checks["plug-ins"]["message"]


def test_a_workflow_that_needs_a_broken_plug_in_says_so(tmp_path: Path) -> None:
    broken_package(tmp_path / "broken", "[stepwell.tasks]\nslugify = broken_plugin:Nothing\n")
    done = stepwell(tmp_path, tmp_path / "broken", "run", "slugs.yaml")
    assert done.returncode == 2
    assert "the step type 'slugify' is brought by a plug-in that cannot be used (broken-plugin 0.1" in done.stderr
    assert "has no attribute 'Nothing'" in done.stderr


def test_settings_for_a_plug_in_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "stepwell.yaml").write_text("plugins: {slugfy: {separator: _}}")
    done = stepwell(tmp_path, tmp_path, "run", "slugs.yaml")
    assert done.returncode == 2
    assert "plugins.slugfy: no installed package brings a plug-in of this name" in done.stderr


def test_wrong_settings_of_a_plug_in_are_told_where_it_is_needed(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "stepwell.yaml").write_text("plugins: {slugify: {separator: long}}")
    done = stepwell(tmp_path, packages, "validate", "slugs.yaml", "--config", "stepwell.yaml")
    assert done.returncode == 2
    assert "its settings are wrong: plugins.slugify.separator" in done.stdout
