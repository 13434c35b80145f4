"""What a person sees on a terminal, and what Ctrl-C does: real processes on a pseudo-terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.cli.conftest import Stepwell
from tests.cli.terminal import Screen, Terminal
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow

STEPWELL = (sys.executable, "-m", "stepwell")
ENVIRONMENT = {**os.environ, "TZ": "UTC", "NO_COLOR": "1"}
OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def terminal(folder: Path) -> Iterator[OpenTerminal]:
    opened: list[Terminal] = []

    def open_(*arguments: str, columns: int = 80, rows: int = 24) -> Terminal:
        made = Terminal([*STEPWELL, *arguments], columns=columns, rows=rows, folder=folder, environment=ENVIRONMENT)
        opened.append(made)
        return made

    yield open_
    for each in opened:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def process(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A command whose output is read while it runs."""
    opened: list[subprocess.Popen[str]] = []

    def open_(*arguments: str) -> subprocess.Popen[str]:
        made = subprocess.Popen([*STEPWELL, *arguments], stdout=-1, stderr=-1, text=True, env=ENVIRONMENT)
        opened.append(made)
        return made

    yield open_
    for each in opened:
        each.kill()
        each.communicate()


def read_until(lines: IO[str] | None, text: str) -> None:
    """Read lines until one holds the text."""
    assert lines is not None
    read: list[str] = []
    while not read or text not in read[-1]:
        read.append(lines.readline())
        assert read[-1], f"{text!r} did not come; what came: {read}"


def shows(*texts: str) -> Callable[[Screen], bool]:
    """Whether all of these stand on the screen at once."""
    return lambda screen: all(text in general(screen.text()) for text in texts)


def general(text: str) -> str:
    """The screen without what differs from run to run, and without what only aligns."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    # Of another day the date is shown, and not the seconds; in the last hour of a day that is when the waits here end.
    text = re.sub(r"\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)
    text = re.sub(r"\b\d+(\.\d+)? m?s\b", "T", text)
    return re.sub(r"(?<=\S)  +", "  ", text)


def test_a_table_lives_and_a_wait_says_how_its_event_is_sent(terminal: OpenTerminal, stepwell: Stepwell) -> None:
    write_tasks("tasks_terminal.py")
    write_workflow(
        "w.json",
        value("first"),
        task("flaky_call", "flaky", retry={"max_attempts": 3, "initial_delay": "10ms"}),
        task("bad", "boom", on_failure={"action": "continue"}),
        wait("hold", filter={"user": "{{ input.user }}"}, depends_on="first"),
        value("last", depends_on=["hold", "bad"]),
        output={"values": {"ok": True}},
    )
    run = terminal("run", "w.json", "-i", '{"user": "ada"}', "--import", "tasks_terminal.py", rows=30)
    run.read_until(
        shows(
            "hold waits for the event go; to send it from another terminal:\n"
            '    stepwell event publish go -d \'{"user": "ada"}\'\n'
            "demo 1.0.0  running  T  ID\n"
            "   step  status  tries  time\n",
            "\n✓  first  completed  T\n",
            "\n✓  flaky_call  completed  3  T\n",
            "\n✗  bad  failed  T  RuntimeError: it went �[31mboom; the …\n",
            "\n◷  hold  waiting  T  waits for go until TIME\n",
            "\n·  last  pending",
        )
    )
    assert not run.screen.cursor_visible
    stepwell("event", "publish", "go", "-d", '{"user": "ada"}')
    assert run.end() == 0
    seen = general(run.screen.text())
    assert "\n✓  last  completed  T\n✓ demo 1.0.0 completed in T (ID)\n  ✗ bad: Runtime" in seen
    assert "running" not in seen
    assert seen.endswith('{\n  "ok": true\n}')
    assert run.screen.cursor_visible


def test_many_steps_are_shown_in_short(terminal: OpenTerminal, stepwell: Stepwell) -> None:
    write_tasks("tasks_many.py")
    waits = [wait(f"hold_{number}") for number in range(30)]
    write_workflow("w.json", *waits, task("bad", "boom", on_failure={"action": "continue"}), value("good"))
    run = terminal("run", "w.json", "--import", "tasks_many.py", rows=20)
    run.read_until(
        shows(
            "\n█░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 2 of 32 steps  30 waiting  1 failed\n",
            "\n◷  hold_0  waiting  T  waits for go until TIME\n",
            "\nand 22 more\nlast failures:\n✗ bad: RuntimeError",
        )
    )
    stepwell("event", "publish", "go")
    assert run.end() == 0
    assert "██████████████████████████████ 32 of 32 steps  1 failed" in run.screen.text()


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(terminal: OpenTerminal, stepwell: Stepwell) -> None:
    write_workflow("w.json", wait("hold"))
    run = terminal("run", "w.json", columns=120)
    run.read_until(shows("◷  hold"))
    run.type("\x03")
    assert run.end() == 130
    assert run.screen.cursor_visible
    message, hint = run.screen.text().splitlines()[-2:]
    assert message == "error[interrupted]: the execution was interrupted"
    resume = hint.removeprefix("hint: to go on: stepwell ").split()
    published = stepwell("event", "publish", "go")
    assert "no engine is running on this store" in published.err
    assert stepwell(*resume).status == 0


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(folder: Path) -> None:
    write_workflow("w.json", value("one"))
    run = Terminal(
        [*STEPWELL, "run", "w.json"], columns=80, rows=24, folder=folder, environment={**ENVIRONMENT, "TERM": "dumb"}
    )
    assert run.end() == 0
    assert "TIME one  completed in T" in general(run.screen.text())


def test_colours_are_for_terminals_that_want_them(folder: Path) -> None:
    write_workflow("w.json", value("one", depends_on="tow"))
    plain = {name: text for name, text in ENVIRONMENT.items() if name != "NO_COLOR"}
    for environment, coloured in ((plain, True), (ENVIRONMENT, False)):
        run = Terminal([*STEPWELL, "validate", "w.json"], columns=80, rows=24, folder=folder, environment=environment)
        assert run.end() == 2
        assert ("\x1b[31m" in run.received) == coloured


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_run_without_a_terminal(
    process: Callable[..., subprocess.Popen[str]], stepwell: Stepwell, number: signal.Signals
) -> None:
    write_workflow("w.json", wait("hold"))
    run = process("run", "w.json", "-o", "json")
    read_until(run.stderr, "waits for go")
    run.send_signal(number)
    out, err = run.communicate(timeout=20)
    report = json.loads(out)
    assert (run.returncode, report["status"]) == (130, "waiting")
    assert err == (
        "error[interrupted]: the execution was interrupted\n"
        f"hint: to go on: stepwell run --resume {report['execution_id']}\n"
    )
    assert stepwell("db", "status", "-o", "json").json()["owners"] == [], "the shard was given up"


def test_what_was_killed_goes_on_where_it_was(
    process: Callable[..., subprocess.Popen[str]], stepwell: Stepwell
) -> None:
    write_workflow("w.json", value("one", "{{ uuid() }}"), wait("hold", depends_on="one"))
    run = process("run", "w.json")
    read_until(run.stderr, "waits for go")
    before = stepwell("execution", "list", "-o", "json").json()["items"][0]
    execution = before["execution_id"]
    owned = stepwell("run", "--resume", execution)
    assert owned.status == 2
    assert f"[shard-owned]: the execution is being run: shard 0 is owned by process {run.pid} on " in owned.err
    assert owned.err.endswith(f"hint: to follow it: stepwell execution watch {execution}\n")

    watch = process("execution", "watch", execution)
    read_until(watch.stdout, "waits for go")
    step = stepwell("execution", "show", execution, "-o", "json").json()["steps"][0]
    run.kill()
    run.wait()
    assert "no engine is running on this store" in stepwell("event", "publish", "go").err
    resumed = stepwell("run", "--resume", execution, "-o", "json").json()
    assert (resumed["status"], resumed["steps"][0]) == ("completed", step)
    followed, _ = watch.communicate(timeout=20)
    assert watch.returncode == 0
    assert " hold       received go from stepwell-cli\n" in followed
    assert "\n✓ demo 1.0.0 completed in " in followed


def test_an_event_wakes_what_another_process_runs(
    process: Callable[..., subprocess.Popen[str]], stepwell: Stepwell
) -> None:
    write_workflow(
        "w.json", wait("hold", filter={"n": 1}), output={"values": {"data": "{{ steps.hold.output.event_data }}"}}
    )
    run = process("run", "w.json", "-q")
    while '"waiting"' not in stepwell("execution", "list", "-o", "json").out:
        pass
    published = stepwell("event", "publish", "go", "-d", '{"n": 1}', "-o", "json")
    assert (published.json()["waits"], published.json()["engine_present"], published.err) == (1, True, "")
    out, err = run.communicate(timeout=20)
    assert (run.returncode, json.loads(out), err) == (0, {"data": {"n": 1}}, "")


def test_ctrl_c_ends_watching_and_not_the_execution(
    process: Callable[..., subprocess.Popen[str]], stepwell: Stepwell
) -> None:
    write_workflow("w.json", wait("hold"))
    execution = stepwell("run", "w.json", "--timeout", "100ms", "-o", "json", "-q").json()["execution_id"]
    watch = process("execution", "watch", execution)
    read_until(watch.stdout, "waits for go")
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=20)
    assert (watch.returncode, err) == (130, "error[interrupted]: watching has ended; the execution has not\n")


def test_who_resumes_or_watches_at_a_terminal_is_told_what_it_waits_for(
    terminal: OpenTerminal, stepwell: Stepwell
) -> None:
    write_workflow("w.json", wait("hold"), compensation={"steps": [value("undo")]})
    execution = stepwell("run", "w.json", "--timeout", "100ms", "-o", "json", "-q").json()["execution_id"]
    told = "hold waits for the event go; to send it from another terminal:\n    stepwell event publish go -d '{}'\n"
    watch = terminal("execution", "watch", execution)
    watch.read_until(shows(told, "\n◷  hold  waiting"))
    resume = terminal("run", "--resume", execution)
    resume.read_until(shows(told, "\n◷  hold  waiting"))
    stepwell("event", "publish", "go")
    assert (resume.end(), watch.end()) == (0, 0)
    assert "\n✓  hold  completed" in general(watch.screen.text())


def test_a_question_says_at_a_terminal_how_it_is_answered(terminal: OpenTerminal, stepwell: Stepwell) -> None:
    write_workflow("w.json", {"name": "ask", "type": "approval", "config": {"prompt": "Ship?", "assigned_to": "ada"}})
    run = terminal("run", "w.json", rows=30, columns=120)
    told = "ask waits for an answer; to give it from another terminal:\n    stepwell approval respond ID ask --response"
    run.read_until(shows(told + " true --by ada\n", "\n◷  ask  waiting  T  asks: Ship?"))
    (item,) = stepwell("approval", "list", "-o", "json").json()["items"]
    answered = stepwell("approval", "respond", item["execution_id"], "ask", "--response", "true", "--by", "ada")
    assert (answered.status, answered.err) == (0, "")
    assert run.end() == 0
    assert "\n✓  ask  completed" in general(run.screen.text())
