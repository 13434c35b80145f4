"""`plan`: what is printed of a workflow before it runs."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from stepwell.definition.loading import without_collection
from tests.cli.conftest import Stepwell
from tests.cli.terminal import Terminal
from tests.cli.workflows import task, value, wait, write_workflow


def call(name: str, **more: Any) -> dict[str, Any]:
    config = {"url": "http://127.0.0.1:9/", **more.pop("config", {})}
    return {"name": name, "type": "http", "config": config, **more}


def a_plan(**spec: Any) -> Path:
    retry = {"max_attempts": 3, "backoff": "constant", "initial_delay": "2s"}
    return write_workflow(
        "w.json",
        call("create", config={"method": "POST"}, retry=retry),
        call("look", depends_on="create"),
        task("pay", "charge", depends_on="create", timeout="5s"),
        wait("paid", timeout="1d", depends_on=["pay", "look"]),
        task("tidy", "tidy", depends_on="paid", retry=retry),
        compensation={"steps": [value("undo", "{{ steps.pay.output.id }}")]},
        **spec,
    )


def test_a_plan_is_a_document_for_programs(stepwell: Stepwell) -> None:
    plan = stepwell("plan", a_plan(), "-o", "json").json()
    assert plan["batches"] == [["create"], ["look", "pay"], ["paid"], ["tidy"]]
    assert (plan["critical_path"], plan["critical_path_by"]) == (["create", "look", "paid", "tidy"], "steps")
    joins = [(step["name"], step["join"], step["after"]) for step in plan["steps"] if step["join"] is not None]
    assert joins == [("paid", "all", ["pay", "look"])]
    assert {step["name"]: (step["max_attempts"], step["max_backoff_ms"]) for step in plan["steps"]} == {
        "create": (3, 4_000), "look": (1, 0), "pay": (1, 0), "paid": (1, 0), "tidy": (3, 4_000),
    }  # fmt: skip
    assert (plan["worst_case_attempts"], plan["worst_case_ms"]) == (8, None)
    assert plan["without_timeout"] == ["tidy"]
    assert plan["without_compensation"] == ["create", "tidy"]
    assert plan["warnings"] == []


def test_a_plan_is_a_table_for_people(stepwell: Stepwell) -> None:
    shown = stepwell("plan", a_plan())
    assert shown.status == 0
    assert shown.out.splitlines() == [
        "demo 1.0.0: 5 steps",
        "",
        "batch  step    type            after            tries  timeout  at worst",
        "1      create  http                             3      30.0 s   1 m 34 s",
        "2      look    http            create                  30.0 s   30.0 s",
        "       pay     python          create                  5.0 s    5.0 s",
        "3      paid    wait_for_event  pay, look (all)         1 d 0 h  1 d 0 h",
        "4      tidy    python          paid             3               any",
        "",
        "compensation",
        "",
        "batch  step  type",
        "1      undo  transform",
        "",
        "longest chain     create > look > paid > tidy (4 steps, by number)",
        "at worst          8 attempts, any time",
        "unbounded         tidy: it has no timeout",
        "workflow timeout  none",
        "not undone        create, tidy",
        "undoing           1 attempt, at once",
    ]


def test_nested_steps_stand_below_the_step_that_they_are_nested_in(stepwell: Stepwell) -> None:
    pack = {"items": [1, 2, 3], "steps": [task("pack", "pack", timeout="20s"), value("label", depends_on="pack")]}
    branches = {
        "condition": True,
        "then": [{"name": "each", "type": "loop", "config": pack}],
        "else": [{"name": "refuse", "type": "fail", "config": {"message": "no"}}],
    }
    write_workflow(
        "w.json",
        value("check"),
        {"name": "choose", "type": "conditional", "config": branches, "depends_on": "check"},
    )
    assert stepwell("plan", "w.json").out.splitlines()[2:11] == [
        "batch  step         type         after  runs  timeout  at worst",
        "1      check        transform",
        "2      choose       conditional  check                 1 m 00 s",
        "         then:",
        "2.1        each     loop                               1 m 00 s",
        "2.1.1        pack   python              3     20.0 s   20.0 s",
        "2.1.2        label  transform    pack   3",
        "         else:",
        "2.1        refuse   fail",
    ]


def test_what_bounds_the_whole_is_named(stepwell: Stepwell) -> None:
    deadline = stepwell("plan", a_plan(config={"deadline": "2d"})).out
    assert "at worst          8 attempts, 2 d 0 h, ended by its deadline\n" in deadline
    timeout = stepwell("plan", a_plan(config={"timeout": "30m"})).out
    assert "at worst          8 attempts, 1 d 0 h, ended by the workflow's timeout\n" in timeout


def test_a_plan_needs_nothing_but_a_valid_definition(stepwell: Stepwell) -> None:
    """What this engine cannot run, tasks that are not known and services that are not configured do not hinder it."""
    write_workflow(
        "w.json",
        {"name": "a", "type": "sql", "config": {"connection": "c", "query": "DELETE FROM t"}},
        {"name": "b", "type": "my_own_task"},
        {"name": "c", "type": "service_call", "config": {"service": "s", "endpoint": "/"}},
        {"name": "d", "type": "dynamic", "config": {"task": "steps"}},
    )
    shown = stepwell("plan", "w.json")
    assert (shown.status, shown.err) == (0, "")
    assert "not undone        a, b\n" in shown.out


def test_the_timeouts_of_configured_services_and_of_the_engine_count(stepwell: Stepwell) -> None:
    Path("stepwell.yaml").write_text(
        "services: {s: {url: 'http://127.0.0.1:9', timeout: 3s}}\nexecution: {default_timeout: 1h}\n"
    )
    write_workflow("w.json", {"name": "c", "type": "service_call", "config": {"service": "s", "endpoint": "/"}})
    plan = stepwell("plan", "w.json", "-o", "json").json()
    assert (plan["worst_case_ms"], plan["timeout_ms"]) == (3_000, 3_600_000)


def test_a_plan_of_an_invalid_definition_shows_the_findings(stepwell: Stepwell) -> None:
    write_workflow("wrong.json", value("a", depends_on="b"))
    shown = stepwell("plan", "wrong.json", "-o", "json")
    assert (shown.status, shown.out) == (2, "")
    assert "error[unknown-step]" in shown.err


def test_warnings_go_to_standard_error_and_into_the_document(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("a"), value("b", "{{ steps.a.output }}"))
    shown = stepwell("plan", "w.json", "-o", "json")
    assert "warning[step-not-upstream]" in shown.err
    assert [finding["code"] for finding in shown.json()["warnings"]] == ["step-not-upstream"]


def test_a_narrow_terminal_leaves_out_the_types_and_cuts_what_a_step_comes_after(folder: Path) -> None:
    names = [f"a_step_with_a_long_name_{number}" for number in range(6)]
    write_workflow("w.json", *(value(name) for name in names), value("last", depends_on=names))
    command = ["-c", "from stepwell.cli.main import main; main()", "plan", "w.json"]
    terminal = Terminal([sys.executable, *command], columns=60, rows=30, folder=folder, environment={})
    assert terminal.end() == 0
    lines = terminal.screen.text().splitlines()
    assert all(len(line) <= 60 for line in lines if line.startswith(("batch", "1", "2", " ")))
    assert any(line.endswith("…") for line in lines)
    assert "type" not in terminal.screen.text()


def test_ten_thousand_steps_are_planned_and_printed_in_a_fraction_of_the_time_that_reading_them_takes(
    stepwell: Stepwell,
) -> None:
    names = [f"s{number}" for number in range(10_000)]
    steps = [task(names[0], "work", timeout="1s")]
    steps += [task(name, "work", timeout="1s", depends_on=before) for before, name in pairwise(names)]
    document = write_workflow("w.json", *steps)
    with without_collection():  # as in a process of its own
        began = process_time()
        validated = stepwell("validate", document)
        read = process_time()
        planned = stepwell("plan", document)
        done = process_time()
    assert (validated.status, planned.status) == (0, 0)
    assert "longest chain     s0 > s1 > s2 > s3 > s4 > s5 > ... > s9994 > " in planned.out
    assert "at worst          10,000 attempts, 2 h 46 m\n" in planned.out
    assert done - read < 2.5 * (read - began), "planning costs little more than reading once more"


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_document_of_a_plan_has_every_step(stepwell: Stepwell, output: str) -> None:
    shown = stepwell("plan", a_plan(), "-o", output)
    assert shown.status == 0
    assert shown.out.count("max_attempts") == 6
    if output == "json":
        assert json.loads(shown.out)["workflow"] == "demo"
