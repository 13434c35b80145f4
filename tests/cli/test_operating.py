"""Operators' verbs on the command line: beside a process that runs the execution, and where none does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome, Stepwell

HEAD = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: shop, version: "VERSION"}
spec:
  config: {on_error: {strategy: terminate}}
  input: {schema: {properties: {fails: {type: boolean}}}}
  steps:
"""
STEPS = """
    - {name: a, type: transform, config: {value: 1}, checkpoint: begun}
    - {name: b, type: wait_for_event, config: {event_type: go}, depends_on: [a]}
    - {name: c, type: transform, config: {value: "{{ steps.b.output }}"}, depends_on: [b]}
"""
GATED = """
    - {name: a, type: gate, config: {}}
    - {name: b, type: transform, config: {value: 2}, depends_on: [a]}
"""
TASKS = """
import os, time
from stepwell import task

@task
def gate() -> str:
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "went"
"""

HALF = """
from stepwell import task

@task
def half(of: int) -> float:
    if of % 2:
        raise ValueError("odd")
    return of / 2
"""


def write(path: str, steps: str, version: str = "1.0.0") -> None:
    Path(path).write_text(HEAD.replace("VERSION", version) + steps)


@pytest.fixture
def parked(stepwell: Stepwell) -> str:
    """An execution that waits for an event, and that no process runs."""
    write("shop.yaml", STEPS)
    shown = stepwell("run", "shop.yaml", "--timeout", "1ms", "-q", "-o", "json")
    assert shown.status == 3
    return str(stepwell("execution", "list", "-o", "json").json()["items"][0]["execution_id"])


@pytest.fixture
def at_work(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An execution whose first step waits for a file, run by another process."""
    write("gated.yaml", GATED)
    Path("tasks.py").write_text(TASKS)
    process = subprocess.Popen(
        [sys.executable, "-m", "stepwell", "run", "gated.yaml", "--import", "tasks.py"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        found = next(match for line in process.stderr if (match := re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", line)))
        yield process, found.group()
    finally:
        process.kill()
        process.communicate()


def until(stepwell: Stepwell, holds: Callable[[dict[str, Any]], bool], id_: str) -> dict[str, Any]:
    """What is shown of the execution, once that holds."""
    for _ in range(500):
        shown: dict[str, Any] = stepwell("execution", "show", id_, "-o", "json").json()
        if holds(shown):
            return shown
        time.sleep(0.01)  # another process in real time: there is nothing else to wait for
    raise AssertionError(f"it did not come to that: {shown}")


def told(outcome: Outcome, id_: str) -> str:
    """The one line that was printed, without the id."""
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.out.removeprefix(f"{id_}: ").removesuffix("\n")


# Beside a running engine


def test_an_execution_that_another_process_runs_is_paused_and_resumed(
    at_work: tuple[subprocess.Popen[str], str], stepwell: Stepwell
) -> None:
    process, id_ = at_work
    until(stepwell, lambda shown: shown["steps"][0]["status"] == "running", id_)
    assert told(stepwell("execution", "pause", id_, "--reason", "look"), id_) == "paused; 1 running step may still end"
    assert told(stepwell("execution", "pause", id_), id_) == "it is paused already: look"
    Path("go").touch()
    shown = until(stepwell, lambda shown: shown["steps"][0]["status"] == "completed", id_)
    assert (shown["status"], shown["steps"][1]["status"]) == ("paused", "pending")
    assert told(stepwell("execution", "resume", id_), id_) == "resumed"
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert "paused by" in err
    shown = until(stepwell, lambda shown: shown["status"] == "completed", id_)
    assert stepwell("db", "verify").status == 0


def test_an_execution_that_another_process_runs_is_terminated_and_that_ends(
    at_work: tuple[subprocess.Popen[str], str], stepwell: Stepwell
) -> None:
    process, id_ = at_work
    refused = stepwell("execution", "resume", id_)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == (
        f"error[not-paused]: execution {id_} cannot be resumed: it is running\n"
        "hint: possible now: pause, cancel, terminate, rerun, rollback, fork, skip-step, complete-step, migrate\n"
    )
    done = stepwell("execution", "terminate", id_, "-o", "json", "--by", "ada", "--reason", "a test")
    assert done.json() == {
        "execution_id": id_,
        "verb": "terminate",
        "changed": True,
        "message": "terminated",
        "status": "cancelled",
        "next": None,
    }
    process.communicate(timeout=30)
    assert process.returncode == 1
    last = stepwell("execution", "history", id_, "-o", "json").json()["items"][-1]
    assert (last["event"], last["by"], last["reason"]) == ("ExecutionCancelled", "ada", "a test")


def test_what_was_asked_of_a_process_that_is_killed_is_done_without_it(
    at_work: tuple[subprocess.Popen[str], str], stepwell: Stepwell
) -> None:
    process, id_ = at_work
    until(stepwell, lambda shown: shown["steps"][0]["status"] == "running", id_)
    process.kill()
    process.wait()
    done = stepwell("execution", "skip-step", id_, "a", "--force")
    assert done.out.startswith(f"{id_}: step 'a' is skipped\nno engine runs it: stepwell run --resume {id_}\n")
    resumed = stepwell("run", "--resume", id_, "--import", "tasks.py", "-o", "json", "-q")
    assert (resumed.status, resumed.json()["skipped_steps"]) == (0, ["a"])


# Where no engine runs it


def test_a_parked_execution_is_changed_at_once(stepwell: Stepwell, parked: str) -> None:
    assert told(stepwell("execution", "pause", parked, "--reason", "why", "--by", "ada"), parked) == "paused"
    assert "\npaused     by ada: why\n" in stepwell("execution", "show", parked).out
    assert "‖ paused" in stepwell("execution", "list", "--status", "paused").out
    assert stepwell("execution", "resume", parked).out == (
        f"{parked}: resumed\nno engine runs it: stepwell run --resume {parked}\n"
    )
    done = stepwell("execution", "complete-step", parked, "b", "--output", '{"n": 7}', "-o", "json")
    assert (done.json()["verb"], done.json()["status"]) == ("complete-step", "running")
    resumed = stepwell("run", "--resume", parked, "-o", "json", "-q").json()
    assert resumed["steps"][2]["output"] == {"n": 7}
    again = stepwell(
        "execution", "rerun", parked, "--from", "c", "--input", '{"value": 8}', "--reason", "a typing error"
    )
    assert again.out.startswith(f"{parked}: run again: c\n")
    assert stepwell("run", "--resume", parked, "-o", "json", "-q").json()["steps"][2]["output"] == 8
    assert stepwell("execution", "rollback", parked, "--to", "begun").out.startswith(
        f"{parked}: rolled back to 'begun'"
    )
    assert told(stepwell("execution", "cancel", parked), parked) == "cancelled"
    assert stepwell("db", "verify").status == 0


def test_a_fork_is_another_execution(stepwell: Stepwell, parked: str) -> None:
    forked = stepwell("execution", "fork", parked, "--at", "4", "-o", "json").json()
    assert (forked["forked_from"], forked["seq"]) == (parked, 6)
    assert forked["next"] == f"stepwell run --resume {forked['execution_id']}"
    shown = stepwell("execution", "fork", parked, "--at", "4").out
    assert f": forked from {parked} at event 6 (the turn of event 4 ends there)\nto run it: stepwell run" in shown
    shown = stepwell("execution", "show", forked["execution_id"], "-o", "json").json()
    assert [step["status"] for step in shown["steps"]] == ["completed", "waiting", "pending"]
    assert stepwell("execution", "fork", parked, "--at", "99").err.startswith("error[unknown-event]: ")
    assert stepwell("db", "verify").status == 0


def test_who_forks_or_moves_an_execution_and_why_is_in_its_history(stepwell: Stepwell, parked: str) -> None:
    write("shop2.yaml", STEPS, "2.0.0")
    assert stepwell("workflow", "apply", "shop.yaml", "shop2.yaml").status == 0
    who = ("--by", "ada", "--reason", "what if")
    other = stepwell("execution", "fork", parked, "--at", "4", *who, "-o", "json").json()["execution_id"]
    assert stepwell("execution", "migrate", parked, "--to", "2.0.0", *who).status == 0
    for id_, kind in ((other, "ExecutionForked"), (parked, "ExecutionMigrated")):
        items = stepwell("execution", "history", id_, "-o", "json").json()["items"]
        (said,) = [item for item in items if item["event"] == kind]
        assert (said["by"], said["reason"]) == ("ada", "what if")


COUNTED = """
    - {name: good, type: transform, config: {value: 1}}
    - {name: bad, type: fail, on_failure: {action: continue}}
    - {name: off, type: noop, when: false}
    - {name: held, type: wait_for_event, config: {event_type: go}}
    - {name: later, type: noop, depends_on: held}
"""


def test_the_status_lists_what_completed_failed_was_skipped_waits_and_is_to_come(stepwell: Stepwell) -> None:
    write("counted.yaml", COUNTED)
    stepwell("run", "counted.yaml", "--timeout", "300ms", "-q")
    id_ = stepwell("execution", "list", "-o", "json").json()["items"][0]["execution_id"]
    shown = stepwell("execution", "show", id_, "-o", "json").json()
    lists = (shown["completed_steps"], shown["failed_steps"], shown["skipped_steps"])
    assert lists == (["good"], ["bad"], ["off"])
    assert {step["name"]: step["status"] for step in shown["steps"]} == {
        "good": "completed", "bad": "failed", "off": "skipped", "held": "waiting", "later": "pending",
    }  # fmt: skip
    assert (shown["status"], shown["paused"]) == ("waiting", None)
    stepwell("execution", "pause", id_, "--reason", "look", "--by", "ada")
    shown = stepwell("execution", "show", id_, "-o", "json").json()
    assert (shown["status"], shown["paused"]) == ("paused", {"by": "ada", "reason": "look"})


def test_executions_are_moved_to_another_version_after_a_look(stepwell: Stepwell, parked: str) -> None:
    write("shop2.yaml", STEPS.replace("name: c", "name: last"), "2.0.0")
    write("shop3.yaml", STEPS.replace("name: a", "name: first").replace("[a]", "[first]"), "3.0.0")
    assert stepwell("workflow", "apply", "shop.yaml", "shop2.yaml", "shop3.yaml").status == 0
    many = ("--workflow", "shop", "--from", "1.0.0")
    looked = stepwell("execution", "migrate", *many, "--to", "2.0.0", "--dry-run")
    assert (looked.status, looked.out) == (0, f"{parked}: shop 1.0.0 → 2.0.0 can be\n")
    refused = stepwell("execution", "migrate", *many, "--to", "3.0.0")
    assert refused.status == 1
    assert refused.out.startswith(
        f"{parked}: shop 1.0.0 → 3.0.0 cannot be: step 'a' has run, and that version has no 'a'"
    )
    assert stepwell("execution", "migrate", parked, "--to", "3.0.0", "--map", "a=first", "--dry-run").status == 0
    moved = stepwell("execution", "migrate", *many, "--to", "2.0.0", "-o", "json")
    assert [(move["moved"], move["to"]) for move in moved.json()["items"]] == [(True, "2.0.0")]
    assert stepwell("execution", "migrate", *many, "--to", "2.0.0").out == "no executions\n"
    assert stepwell("execution", "list", "-o", "json").json()["items"][0]["version"] == "2.0.0"
    stepwell("event", "publish", "go", "-d", "5")
    assert stepwell("run", "--resume", parked, "-o", "json", "-q").json()["steps"][2]["name"] == "last"
    assert stepwell("execution", "migrate", parked, *many, "--to", "2.0.0").status == 2
    assert stepwell("execution", "migrate", "--workflow", "shop", "--to", "2.0.0").status == 2
    assert stepwell("execution", "migrate", parked, "--to", "7.0.0").err.startswith("error[unknown-version]: ")
    assert stepwell("execution", "migrate", "none", "--to", "2.0.0").err.startswith("error[unknown-execution]: ")


def test_a_dead_letter_is_retried_with_edited_input(stepwell: Stepwell) -> None:
    Path("tasks.py").write_text(HALF)
    write("half.yaml", "    - {name: h, type: half, config: {of: 3}}\n")
    failed = stepwell("run", "half.yaml", "--import", "tasks.py", "-o", "json", "-q")
    id_ = failed.json()["execution_id"]
    (letter,) = stepwell("dlq", "list", "-o", "json").json()["items"]
    retried = stepwell("dlq", "retry", letter["id"], "--input", '{"of": 4}', "--reason", "a typing error")
    assert retried.out == f"{id_}: tried again: h\nno engine runs it: stepwell run --resume {id_}\n"
    assert stepwell("dlq", "list").out == "no dead letters\n"
    resumed = stepwell("run", "--resume", id_, "--import", "tasks.py", "-o", "json", "-q").json()
    assert (resumed["status"], resumed["steps"][0]["output"], resumed["steps"][0]["attempts"]) == ("completed", 2.0, 2)
    assert stepwell("dlq", "retry", letter["id"]).err.startswith("error[unknown-dead-letter]: ")
    assert stepwell("execution", "retry", id_).err.startswith("error[not-failed]: ")


UNDONE = """
    - {name: a, type: transform, config: {value: 1}, compensate: {type: noop}}
    - {name: b, type: transform, config: {value: "{{ steps.a.output.missing }}"}, depends_on: [a]}
"""


def test_a_dead_letter_of_an_execution_that_was_undone_says_how_to_begin_before_it(stepwell: Stepwell) -> None:
    write("undone.yaml", UNDONE)
    Path("undone.yaml").write_text(Path("undone.yaml").read_text().replace("terminate", "compensate"))
    id_ = stepwell("run", "undone.yaml", "-o", "json", "-q").json()["execution_id"]
    (letter,) = stepwell("dlq", "list", "-o", "json").json()["items"]
    shown = stepwell("dlq", "show", letter["id"]).out
    assert f"  begin before it:  stepwell execution fork {id_} --at N, N being an event before it\n" in shown
    assert "dlq retry" not in shown
    refused = stepwell("dlq", "retry", letter["id"])
    assert refused.err.startswith(f"error[compensated]: execution {id_} cannot be retried: ")
    assert refused.err.endswith("\nhint: possible now: fork\n")
    assert stepwell("execution", "fork", id_, "--at", "3").status == 0


PAUSES = """
    - {name: a, type: transform, config: {value: "{{ input.missing }}"}, on_failure: {action: pause, message: look}}
"""


def test_a_compensation_that_waits_for_an_operator_says_how_it_is_started(stepwell: Stepwell) -> None:
    write("undone.yaml", UNDONE)
    text = Path("undone.yaml").read_text().replace("terminate}}", "compensate}}\n  compensation: {mode: manual}")
    Path("undone.yaml").write_text(text)
    ran = stepwell("run", "undone.yaml", "--timeout", "300ms")
    id_ = stepwell("execution", "list", "-o", "json").json()["items"][0]["execution_id"]
    command = f"stepwell execution compensate {id_}"
    assert f"\nhint: its compensation waits to be started; to start it: {command}; to go on: stepwell run" in ran.err
    assert told(stepwell(*command.split()[1:]), id_).startswith("its compensation ")


def test_an_execution_that_is_paused_says_why_and_how_it_goes_on(stepwell: Stepwell) -> None:
    write("pauses.yaml", PAUSES)
    ran = stepwell("run", "pauses.yaml", "--timeout", "50ms")
    id_ = stepwell("execution", "list", "-o", "json").json()["items"][0]["execution_id"]
    assert ran.status == 3
    assert f"\nhint: it is paused; to end the pause: stepwell execution resume {id_}; to go on: stepwell run" in ran.err
    assert "\npaused     step 'a' failed: look\n" in stepwell("execution", "show", id_).out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("pause", "none"), "error[unknown-execution]: "),
        (("rerun", "ID", "--from", "c"), "error[never-executed]: "),
        (("rerun", "ID", "--from", "a", "--input", "3"), "error[usage]: the input must be a JSON object"),
        (("rerun", "ID", "--from", "a", "--input", "{"), "error[invalid-json]: "),
        (("rerun", "ID"), "error[usage]: missing option '--from'"),
        (("skip-step", "ID", "bb"), "error[unknown-step]: "),
        (("complete-step", "ID", "a"), "error[step-ended]: "),
        (("rollback", "ID", "--to", "none"), "error[unknown-checkpoint]: "),
        (("compensate", "ID"), "error[illegal-verb]: "),
        (("migrate", "ID", "--to", "1", "--map", "x"), "error[usage]: --map takes old=new, not 'x'"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    stepwell: Stepwell, parked: str, arguments: tuple[str, ...], error: str
) -> None:
    shown = stepwell("execution", *(parked if each == "ID" else each for each in arguments))
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(error)


def test_a_store_that_is_not_there_is_not_made(stepwell: Stepwell) -> None:
    shown = stepwell("execution", "pause", "x")
    assert (shown.status, shown.err.split("]")[0]) == (4, "error[store-missing")
    assert not Path("stepwell.db").exists()


def test_a_history_with_an_event_from_outside_is_shown(stepwell: Stepwell, parked: str) -> None:
    stepwell("event", "publish", "go", "-d", '{"n": 1}')
    stepwell("run", "--resume", parked, "-q")
    (received,) = [
        event
        for event in stepwell("execution", "history", parked, "-o", "json").json()["items"]
        if event["event"] == "EventReceived"
    ]
    assert received["received"]["data"] == {"n": 1}
    assert "EventReceived" in stepwell("execution", "history", parked).out
