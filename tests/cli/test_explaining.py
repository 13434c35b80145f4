"""`execution why` and `execution compare`: what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.explanation import Explanation, Reason
from stepwell.cli.explaining import explained
from tests.cli.conftest import Stepwell
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow

SECOND = 1_000_000
NOW = 1_000_000 * SECOND


def explanation(*reasons: Reason, **more: Any) -> Explanation:
    return Explanation(execution="x1", workflow="order", version="1.0.0", created_at=0, reasons=reasons, **more)


def test_each_reason_says_since_when_until_when_and_what_wakes_it(folder: Path) -> None:
    waits = Reason(
        kind="event",
        step="paid",
        text="it waits for an event 'paid'",
        since=NOW - 65 * SECOND,
        until=NOW + 3_600 * SECOND,
        wakes="stepwell event publish paid",
    )
    joins = Reason(kind="join", step="ship", text="its join (all) is open", wakes="the end of 'paid'")
    shown = explained(explanation(waits, joins, status="waiting", engine="process 7 on here"), NOW)
    assert shown.splitlines() == [
        "◷ order 1.0.0 (x1) is waiting, run by process 7 on here",
        "",
        "  paid: it waits for an event 'paid'",
        "    since 13:45:35 (1 m 05 s ago), until 14:46:40 (in 1 h 00 m)",
        "    wakes it: stepwell event publish paid",
        "",
        "  ship: its join (all) is open",
        "    wakes it: the end of 'paid'",
    ]


def test_an_execution_that_is_waited_for_is_explained_below(folder: Path) -> None:
    inner = explanation(Reason(kind="timer", step="nap", text="it waits", until=NOW - SECOND), status="waiting")
    outer = Reason(kind="workflow", step="sub", text="it waits for an execution", why=inner)
    assert explained(explanation(outer, status="waiting"), NOW).splitlines() == [
        "◷ order 1.0.0 (x1) is waiting",
        "",
        "  sub: it waits for an execution",
        "    ◷ order 1.0.0 (x1) is waiting",
        "",
        "      nap: it waits",
        "        until 13:46:39 (that is now)",
    ]


def test_an_execution_that_has_ended_says_when(folder: Path) -> None:
    reason = Reason(kind="step_failed", step="a", text="it failed: boom", since=NOW)
    assert explained(explanation(reason, status="failed", ended_at=NOW), NOW + SECOND).splitlines() == [
        "✗ order 1.0.0 (x1) failed at 13:46:40", "", "  a: it failed: boom", "    at 13:46:40",
    ]  # fmt: skip


def test_of_many_reasons_the_first_are_shown(folder: Path) -> None:
    reasons = [Reason(kind="attempt", step=f"s{number}", text="runs") for number in range(60)]
    lines = explained(explanation(*reasons, status="running"), NOW).splitlines()
    assert lines[-1] == "  and 10 more; -o json shows all"


def test_what_a_terminal_would_act_on_is_made_harmless(folder: Path) -> None:
    shown = explained(explanation(Reason(kind="x", text="it failed:\n\x1b[31mred"), status="failed"), NOW)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3


@pytest.fixture
def ids(stepwell: Stepwell) -> dict[str, str]:
    """A store with an execution that waits, one that failed, and two that completed."""
    write_tasks("tasks_why.py")
    schema = {"schema": {"properties": {"n": {"type": "integer"}, "pin": {"type": "string", "secret": True}}}}
    write_workflow("held.json", wait("hold", filter={"n": 1, "kind": {"~in": ["a"]}}), name="held")
    write_workflow("bad.json", task("boom", "boom"), name="bad")
    write_workflow("good.json", value("one", {"n": "{{ input.n }}"}), value("two", depends_on="one"), input=schema)
    calls = {
        "held": ("held.json", "--timeout", "200ms"),
        "bad": ("bad.json", "--import", "tasks_why.py"),
        "good": ("good.json", "-i", '{"n": 1, "pin": "first secret"}'),
        "better": ("good.json", "-i", '{"n": 2, "pin": "other secret"}'),
    }
    return {name: stepwell("run", *call, "-o", "json", "-q").json()["execution_id"] for name, call in calls.items()}


def test_a_waiting_execution_can_be_woken_and_resumed_by_the_commands_it_gives(
    stepwell: Stepwell, ids: dict[str, str]
) -> None:
    shown = stepwell("execution", "why", ids["held"], "--store", "stepwell.db")
    assert shown.status == 0
    resume, wake = (shlex.split(line) for line in re.findall(r"wakes it: (.*)", shown.out))
    assert (resume[0], wake[0]) == ("stepwell", "stepwell")
    assert stepwell(*wake[1:]).status == 0
    assert stepwell(*resume[1:], "-q").status == 0
    ended = stepwell("execution", "why", ids["held"])
    assert ended.out.splitlines()[2] == "  it came to its end: every step ended well or was skipped"


def test_why_is_a_document_for_programs(stepwell: Stepwell, ids: dict[str, str]) -> None:
    document = stepwell("execution", "why", ids["bad"], "-o", "json").json()
    assert (document["status"], document["engine"]) == ("failed", None)
    assert [(reason["kind"], reason["step"]) for reason in document["reasons"]] == [
        ("failed", None), ("step_failed", "boom"),
    ]  # fmt: skip
    assert document["reasons"][1]["text"].startswith("it failed: RuntimeError: it went ")
    assert stepwell("execution", "why", ids["bad"], "-o", "yaml").out.startswith("execution_id: ")


@pytest.mark.parametrize("command", [("why", "nope"), ("compare", "nope", "nope")], ids=" ".join)
def test_an_unknown_execution_exits_2(stepwell: Stepwell, ids: dict[str, str], command: tuple[str, ...]) -> None:
    shown = stepwell("execution", *command)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[unknown-execution]: there is no execution 'nope' in this store\nhint: ")


@pytest.mark.parametrize("command", [("why", "x"), ("compare", "x", "y")], ids=" ".join)
def test_looking_makes_no_store(stepwell: Stepwell, folder: Path, command: tuple[str, ...]) -> None:
    assert stepwell("execution", *command).status == 4
    assert list(folder.iterdir()) == []


def test_two_executions_are_shown_side_by_side(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("execution", "compare", ids["good"], ids["better"])
    assert shown.status == 0
    lines = [re.sub(r" +", " ", line) for line in shown.out.splitlines()]
    assert lines[:4] == [
        " a b",
        f"execution {ids['good']} {ids['better']}",
        "workflow demo 1.0.0 demo 1.0.0",
        "status ✓ completed ✓ completed",
    ]
    assert lines[8:] == [
        "definition",
        "the same",
        "",
        "input",
        "path a b",
        "input.n 1 2",
        "",
        "where they part",
        "nowhere: the same happened to both",
        "",
        "steps",
        "step a b",
        "one completed completed",
        "",
        "outputs of steps, the first difference of each",
        "path a b",
        "one.n 1 2",
    ]
    assert "secret" not in shown.out


def test_executions_of_different_workflows_can_be_compared(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("execution", "compare", ids["bad"], ids["good"])
    assert "only in a: boom\nonly in b: one, two\n" in shown.out
    assert "a  #3 StepScheduled boom\nb  #3 StepScheduled one\n" in shown.out
    document = stepwell("execution", "compare", ids["bad"], ids["good"], "-o", "json").json()
    assert document["definition"]["same"] is False
    assert document["parting"]["a"]["step"] == "boom"
    assert document["a"]["error"]["type"] == "RuntimeError"


def test_one_that_has_not_ended_is_compared_as_far_as_it_is(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("execution", "compare", ids["held"], ids["held"]).out
    assert re.search(r"^took +not ended +not ended$", shown, re.MULTILINE)
