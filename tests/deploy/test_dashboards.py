"""Dashboards and alert rules ask for metrics and labels that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from stepwell.execution.status import ExecutionStatus, StepStatus
from tests.telemetry.test_metrics import NAMES, full, samples

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus"

OF_TARGET: Final = {"job", "instance"}
"""Labels that Prometheus adds."""
STATUSES: Final = {each.value for each in (*ExecutionStatus, *StepStatus)} | {
    "done",
    "nothing",
    "accepted",
    "duplicate",
}

_METRIC: Final = re.compile(r"\b((?:stepwell|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def exported() -> Mapping[str, set[str]]:
    """Every name that can be asked for, and its labels."""
    known: dict[str, set[str]] = {"up": set()}
    for name, labels in samples(full()):
        known.setdefault(name, set()).update(label for label, _ in labels)
    return known


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of the files, with where it stands."""
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for text in _in_dashboard(json.loads(path.read_text("utf-8"))):
            yield path.name, text
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def _in_dashboard(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("expr", "query") and isinstance(each, str) and each != "prometheus":
                yield each
            else:
                yield from _in_dashboard(each)
    elif isinstance(value, list):
        for each in value:
            yield from _in_dashboard(each)


EXPRESSIONS: Final = list(expressions())


def test_there_are_dashboards_and_rules_to_check() -> None:
    assert len(EXPRESSIONS) > 40


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_there_are(where: str, expression: str) -> None:
    known = exported()
    found = _METRIC.findall(re.sub(r"^label_values\((.*), ([a-z]+)\)$", r"max by (\2) (\1)", expression))
    assert found, f"{where}: no metric in {expression}"
    labels: set[str] = set(OF_TARGET)
    for name, matchers in found:
        assert name in known, f"{where}: there is no metric {name}"
        labels |= known[name]
        for label, _, value in _MATCHER.findall(matchers):
            assert label in known[name] | OF_TARGET, f"{where}: {name} has no label {label}"
            if label == "status":
                assert set(value.split("|")) <= STATUSES, f"{where}: there is no status {value}"
    for grouped in _GROUPED.findall(expression):
        assert {label.strip() for label in grouped.split(",")} <= labels, f"{where}: {grouped}"


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_is_whole(where: str, expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing), f"{where}: {expression}"
    for name in re.findall(r"histogram_quantile\(.*?\b(stepwell_[a-z_]+)", expression, re.DOTALL):
        assert name.endswith("_bucket"), f"{where}: a quantile of {name}"


def test_every_metric_is_on_a_dashboard() -> None:
    shown = " ".join(text for where, text in EXPRESSIONS if where.endswith(".json"))
    assert [name for name in NAMES if name not in shown] == []


def test_a_rule_says_how_bad_it_is_and_names_only_labels_that_its_expression_keeps() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        kept = {label.strip() for grouped in _GROUPED.findall(rule["expr"]) for label in grouped.split(",")} | OF_TARGET
        said = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.([a-z_]+)", said)) <= kept, rule["alert"]


def test_a_dashboard_has_no_two_panels_of_one_id_and_no_panel_over_another() -> None:
    for path in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
        panels = json.loads(path.read_text("utf-8"))["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            taken |= cells


def test_prometheus_scrapes_what_the_rules_are_about() -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    (job,) = configuration["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("stepwell", "/metrics")
    assert configuration["rule_files"] == ["alerts.yml"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong() -> None:
    for what, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        checked = subprocess.run(
            ["promtool", "check", what, str(PROMETHEUS / name)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "stepwell.yaml").read_text("utf-8"))["providers"]
    mounts = (DEPLOY / "compose.yaml").read_text("utf-8")
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert source["isDefault"] is True
