"""Workflows that are steps of others: which are known, and which execution belongs to which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, wait, write_workflow


def call(name: str, workflow: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "workflow", "config": {"name": workflow}, **more}


def write(name: str, *steps: dict[str, Any], **spec: Any) -> Path:
    return write_workflow(f"{name}.json", *steps, name=name, **spec)


def warnings(stepwell: Stepwell, *arguments: str) -> list[tuple[str, str, str | None]]:
    items = stepwell("validate", *arguments, "-o", "json").json()["items"]
    found = [(item["pointer"], item["message"], item["hint"]) for item in items if item["code"] == "unknown-workflow"]
    assert all(item["severity"] == "warning" for item in items if item["code"] == "unknown-workflow")
    return found


def test_a_workflow_that_is_not_registered_is_warned_of_with_the_nearest_name(stepwell: Stepwell) -> None:
    write("shipping", value("a"))
    write("order", call("ship", "shiping"))
    assert warnings(stepwell, "order.json") == [], "without a store it cannot be known"
    assert stepwell("workflow", "apply", "shipping.json").status == 0
    expected = ("/spec/steps/0/config/name", "there is no workflow 'shiping'", "did you mean 'shipping'?")
    assert warnings(stepwell, "order.json") == [expected]
    assert stepwell("validate", "order.json").status == 0, "it may be registered before it is needed"
    write("order", call("ship", "shipping"))
    assert warnings(stepwell, "order.json") == []


def test_a_workflow_that_compensates_is_looked_for_too(stepwell: Stepwell) -> None:
    write("cleanup", value("a"))
    stepwell("workflow", "apply", "cleanup.json")
    failing = {"name": "a", "type": "fail", "config": {"message": "no"}}
    write("order", {**failing, "on_failure": {"action": "compensate", "compensation_workflow": "cleanupp"}})
    ((_, message, hint),) = warnings(stepwell, "order.json")
    assert (message, hint) == ("there is no workflow 'cleanupp'", "did you mean 'cleanup'?")


def test_workflows_that_are_registered_together_know_each_other(stepwell: Stepwell) -> None:
    write("shipping", call("again", "shipping", when=False))
    write("order", call("ship", "shipping"), call("bill", "billing"))
    done = stepwell("workflow", "apply", "order.json", "shipping.json")
    assert done.status == 0
    assert done.err.count("unknown-workflow") == 1
    assert "there is no workflow 'billing'" in done.err


@pytest.mark.parametrize("damage", ["nothing is in it", ""])
def test_a_store_that_cannot_be_read_keeps_nobody_from_validating(stepwell: Stepwell, damage: str) -> None:
    Path("stepwell.db").write_text(damage)
    write("order", call("ship", "shipping"))
    done = stepwell("validate", "order.json")
    assert (done.status, done.out) == (0, "order.json: ok\n")


def test_parent_and_children_are_shown(stepwell: Stepwell) -> None:
    write("shipping", value("pack"))
    write("order", call("ship", "shipping"), value("then", depends_on="ship"))
    stepwell("workflow", "apply", "order.json", "shipping.json")
    report = stepwell("run", "order", "-o", "json", "-q").json()
    (child,) = report["children"]
    assert (report["status"], report["parent"], child["step"]) == ("completed", None, "ship")
    assert report["steps"][0]["child"] == child["execution_id"]
    shown = stepwell("execution", "show", report["execution_id"])
    assert f"execution {child['execution_id']}\n" in shown.out
    of_child = stepwell("execution", "show", child["execution_id"], "-o", "json").json()
    assert (of_child["parent"], of_child["children"]) == (f"{report['execution_id']}/ship", [])
    text = stepwell("execution", "show", child["execution_id"]).out
    assert f"started by  step ship of {report['execution_id']}\n" in text
    lines = stepwell("execution", "list").out.splitlines()
    assert lines[0].split("  ")[-2:] != ["started by", "error"]
    assert "started by" in lines[0]
    assert any(f"ship of {report['execution_id'][:8]}" in line for line in lines[1:])
    listed = stepwell("execution", "list", "--parent", report["execution_id"], "-o", "json").json()["items"]
    assert [item["execution_id"] for item in listed] == [child["execution_id"]]


def test_a_step_that_waits_says_for_which_execution(stepwell: Stepwell) -> None:
    write("shipping", wait("hold"), {"name": "ask", "type": "approval", "config": {"prompt": "?"}})
    write("order", call("ship", "shipping"))
    stepwell("workflow", "apply", "order.json", "shipping.json")
    report = stepwell("run", "order", "--timeout", "200ms", "-o", "json", "-q").json()
    child = report["children"][0]["execution_id"]
    assert f"for execution {child}\n" in stepwell("execution", "show", report["execution_id"]).out
    of_child = stepwell("execution", "show", child).out
    assert "for go, until " in of_child
    assert "for an answer\n" in of_child


def test_a_list_without_sub_workflows_has_no_column_for_them(stepwell: Stepwell) -> None:
    write("shipping", value("pack"))
    stepwell("run", "shipping.json")
    assert "started by" not in stepwell("execution", "list").out
