"""What the files for running a server elsewhere say, as far as that can be told here."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepwell.app.configuration import load_configuration
from stepwell.base.version import VERSION
from stepwell.cli.main import call
from tests.deploy.chart import Chart

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "stepwell"


def test_the_image_installs_extras_that_there_are_and_runs_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extras,) = re.findall(r"ARG EXTRAS=(\S+)", text)
    assert set(extras.split(",")) <= known.keys()
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "10001:10001"
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
    assert 'CMD ["serve"' in text


def test_the_commands_of_the_deployments_are_ones_that_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    chart = rendered("statefulset.yaml")["spec"]["template"]["spec"]["containers"][0]["args"]
    for command in (compose["services"]["stepwell"]["command"], chart):
        name, *arguments = command
        assert call([name, "--help"]) == 0
        shown = capfd.readouterr().out
        for option in (each for each in arguments if each.startswith("--")):
            assert option in shown


def test_the_services_of_the_composition_have_what_they_mount_and_no_default_passwords() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    compose = yaml.safe_load(text)
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
    assert re.findall(r"\$\{(\w+)", text) == re.findall(r"\$\{(\w+):\?", text)


def test_the_configuration_of_the_composition_is_right() -> None:
    assert load_configuration(DEPLOY / "stepwell.yaml", environment={}).databases.keys() == {"main"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / "stepwell.service"
    program = shutil.which("true")
    unit.write_text((DEPLOY / "stepwell.service").read_text().replace("/opt/stepwell/bin/stepwell", str(program)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (verified.stderr.strip(), verified.returncode) == ("", 0)


def values(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return {**found, **changes}


def rendered(name: str, **changes: Any) -> Any:
    """A manifest of the chart."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    scope = {
        "Values": values(**changes),
        "Chart": {"AppVersion": about["appVersion"]},
        "Release": {"Name": "flow", "Service": "Helm"},
    }
    chart = Chart((CHART / "templates" / "_helpers.tpl").read_text(), scope)
    return yaml.safe_load(chart.render((CHART / "templates" / name).read_text()))


@pytest.mark.parametrize("name", sorted(path.name for path in (CHART / "templates").glob("*.yaml")))
@pytest.mark.parametrize("changes", [{}, {"secretName": "keys", "config": {"logging": {"level": "info"}}}])
def test_every_manifest_of_the_chart_is_one(name: str, changes: dict[str, Any]) -> None:
    manifest = rendered(name, **changes)
    assert {"apiVersion", "kind", "metadata"} <= manifest.keys()
    assert manifest["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION


def test_the_chart_mounts_what_its_pod_names_and_gives_it_no_rights() -> None:
    pod = rendered("statefulset.yaml", secretName="keys")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    claims = {claim["metadata"]["name"] for claim in rendered("statefulset.yaml")["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claims | {each["name"] for each in pod["volumes"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert (
        rendered("service.yaml")["spec"]["selector"].items()
        <= rendered("statefulset.yaml")["spec"]["template"]["metadata"]["labels"].items()
    )


def test_the_configuration_of_the_chart_is_read_as_it_was_given() -> None:
    given = {"logging": {"level": "info"}, "execution": {"max_workflows": 5}}
    assert yaml.safe_load(rendered("configmap.yaml", config=given)["data"]["stepwell.yaml"]) == given


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    linted = subprocess.run(["helm", "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
