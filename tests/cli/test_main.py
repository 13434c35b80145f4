"""The way into the command line: what is imported, usage errors, unexpected errors, help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from stepwell.base.durations import EXPECTED
from stepwell.base.version import VERSION
from stepwell.cli.main import COMMANDS, root
from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, write_workflow

HEAVY = ("asyncio", "rich", "pydantic", "aiohttp", "apsw", "msgspec", "yaml", "logging")
PLAN_HINT = "hint: `stepwell plan --help` shows what it takes\n"
RUN_HINT = "hint: `stepwell run --help` shows what it takes"
DEFECT_HINT = "hint: this is a defect of stepwell; with STEPWELL_DEBUG=1 in the environment it shows where it happened"


def every_command() -> list[tuple[str, ...]]:
    context = click.Context(root)
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = root.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.list_commands(context)]
    return found


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["execution", "list", "--help"]])
def test_nothing_heavy_is_imported_to_say_little(arguments: list[str]) -> None:
    code = (
        "import sys; from stepwell.cli.main import call; status = call(sys.argv[1:]); "
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]; sys.exit(str(heavy) if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_shown(stepwell: Stepwell) -> None:
    assert stepwell("--version") == (0, f"stepwell {VERSION}\n", "")


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "stepwell", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"stepwell {VERSION}\n")


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_has_help_with_an_example(stepwell: Stepwell, command: tuple[str, ...]) -> None:
    shown = stepwell(*command, "--help")
    assert shown.status == 0
    nouns = ("execution", "event", "approval", "workflow", "dlq", "schedule", "subscription")
    groups = (*nouns, "key", "secret", "audit", "db")
    is_group = len(command) == 1 and command[0] in groups
    assert is_group or f"\n  stepwell {' '.join(command)}" in shown.out
    assert stepwell(*command, "-h").out == shown.out


def test_only_what_this_release_does_is_listed() -> None:
    assert [" ".join(command) for command in every_command()] == [
        "run", "serve", "worker", "validate", "plan",
        "execution", "execution cancel", "execution compare", "execution compensate", "execution complete-step",
        "execution fork", "execution history", "execution list", "execution logs", "execution migrate",
        "execution pause",
        "execution rerun", "execution resume", "execution retry", "execution rollback", "execution show",
        "execution signal", "execution skip-step", "execution start", "execution terminate", "execution watch",
        "execution why",
        "event", "event publish", "approval", "approval list", "approval respond",
        "workflow", "workflow activate", "workflow apply", "workflow convert", "workflow default",
        "workflow deprecate", "workflow diff", "workflow graph",
        "workflow list", "workflow retire", "workflow schema", "workflow show",
        "dlq", "dlq discard", "dlq list", "dlq retry", "dlq show",
        "schedule", "schedule backfill", "schedule create", "schedule delete", "schedule firings", "schedule list",
        "schedule pause", "schedule resume", "schedule run-now", "schedule show", "schedule upcoming",
        "subscription", "subscription change", "subscription create", "subscription delete",
        "subscription deliveries", "subscription list", "subscription redeliver", "subscription show",
        "key", "key create", "key list", "key revoke", "key rotate",
        "secret", "secret delete", "secret list", "secret rotate-key", "secret set", "audit", "audit list",
        "audit verify", "cluster",
        "db", "db backup", "db migrate", "db status", "db verify", "doctor", "completion",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plam"], "error[usage]: there is no command 'plam'\nhint: did you mean 'plan'?\n"),
        (["plan"], "error[usage]: missing argument 'FILE|NAME[@VERSION]'\n" + PLAN_HINT),
        (["-o", "json", "plan"], "error[usage]: no such option '-o'\nhint: -o stands after the command's name\n"),
        (["run"], f"error[usage]: give a FILE, or --resume ID\n{RUN_HINT}\n"),
        (
            ["run", "x.yaml", "--timeout", "soon"],
            f"error[usage]: invalid value for '--timeout': 'soon' is not a duration; expected {EXPECTED}\n{RUN_HINT}\n",
        ),
    ],
)
def test_wrong_use_is_said_in_one_form(stepwell: Stepwell, arguments: list[str], message: str) -> None:
    assert stepwell(*arguments) == (2, "", message)


def test_a_command_without_arguments_shows_its_help_on_standard_error(stepwell: Stepwell) -> None:
    shown = stepwell("execution")
    assert (shown.status, shown.out) == (2, "")
    assert "watch" in shown.err


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("stepwell.cli.workflows.print_schema", fail)


@pytest.mark.usefixtures("defect")
def test_a_defect_is_one_line_without_a_traceback(stepwell: Stepwell) -> None:
    assert stepwell("workflow", "schema") == (
        1,
        "",
        f"error[internal-error]: ZeroDivisionError: one\n{DEFECT_HINT}\n",
    )


@pytest.mark.usefixtures("defect")
def test_a_defect_shows_where_it_happened_when_asked_to(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DEBUG", "1")
    shown = stepwell("workflow", "schema")
    assert shown.err.startswith("Traceback (most recent call last):\n")
    assert "\nerror[internal-error]: " in shown.err


def test_ctrl_c_during_a_short_command_says_so(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepwell.cli.workflows.print_schema", interrupted)
    shown = stepwell("workflow", "schema")
    assert (shown.status, shown.err.strip()) == (130, "stopped")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["workflow", "schema"]])
def test_a_full_disk_is_said_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "stepwell", *arguments], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("error[output-failed]: ")
    assert done.stderr.count(b"\n") == 1


def test_nobody_reading_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stepwell", "workflow", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(folder: Path, closed: str) -> None:
    write_workflow("w.json", value("one"))
    done = subprocess.run(f"exec {sys.executable} -m stepwell run w.json {closed}", shell=True, capture_output=True)
    assert done.returncode == 0
    assert b"error" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(stepwell: Stepwell, shell: str) -> None:
    shown = stepwell("completion", shell)
    assert shown.status == 0
    assert "_STEPWELL_COMPLETE" in shown.out


def test_completion_knows_commands_and_options(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_STEPWELL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "stepwell execution li")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert "plain,list" in stepwell().out
