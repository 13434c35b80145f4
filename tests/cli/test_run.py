"""`run`: what is printed where, the exit statuses, and what is left behind."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Stepwell
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow

NOT_JSON = """\
error[invalid-json]: the input is not JSON: expecting value at line 1, column 7
    {"n": tru}
          ^
hint: write objects as '{"name": "value"}', in single quotes
"""
UNUSABLE = "error[invalid-json]: the input is not usable JSON"


def nothing_is_left(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if ".db" in path.name]


def test_the_output_follows_a_short_summary(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one", {"name": "ä"}), output={"values": {"got": "{{ steps.one.output.name }}"}})
    ran = stepwell("run", "w.json")
    head, _, rest = ran.out.partition("\n")
    assert ran.status == 0
    assert head.startswith("✓ demo 1.0.0 completed in ")
    assert rest == '{\n  "got": "ä"\n}\n'
    lines = ran.err.splitlines()
    assert lines[0].startswith("demo 1.0.0, execution ")
    assert [line.split(" ", 1)[1].partition(" in ")[0] for line in lines[1:]] == [
        "one        completed",
        "execution  completed",
    ]


def test_quiet_prints_the_output_alone(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one"), output={"values": {"n": "{{ steps.one.output }}"}})
    assert stepwell("run", "w.json", "-q") == (0, '{\n  "n": 1\n}\n', "")


def test_json_is_the_whole_report_and_nothing_else(stepwell: Stepwell) -> None:
    write_tasks("tasks_json.py")
    write_workflow("w.json", task("chat", "chatty"))
    ran = stepwell("run", "w.json", "--import", "tasks_json.py", "-o", "json")
    report = ran.json()
    assert (ran.status, report["status"], report["completed_steps"]) == (0, "completed", ["chat"])
    assert {"execution_id", "workflow", "version", "output", "error", "started_at", "completed_at", "duration_ms",
            "steps", "failed_steps", "skipped_steps", "compensation"} <= report.keys()  # fmt: skip
    assert report == stepwell("execution", "show", report["execution_id"], "-o", "json").json()


def test_what_tasks_and_imports_print_goes_to_standard_error(stepwell: Stepwell) -> None:
    write_tasks("tasks_prints.py")
    write_workflow("w.json", task("chat", "chatty"))
    ran = stepwell("run", "w.json", "--import", "tasks_prints.py", "-o", "json")
    assert ran.json()["status"] == "completed"
    assert all(f"printed by {who}" in ran.err for who in ("a task", "a child", "an import"))


def test_yaml_holds_the_same(stepwell: Stepwell) -> None:
    import yaml

    write_workflow("w.json", value("one"))
    ran = stepwell("run", "w.json", "-o", "yaml", "-q")
    assert yaml.safe_load(ran.out)["status"] == "completed"
    assert ran.out.startswith("execution_id: ")


def test_a_failed_execution_exits_1_and_says_what_failed(stepwell: Stepwell) -> None:
    write_tasks("tasks_fail.py")
    undo = {"steps": [value("undo")]}
    write_workflow("w.json", value("one"), task("bad", "boom", depends_on="one"), compensation=undo)
    ran = stepwell("run", "w.json", "--import", "tasks_fail.py")
    assert ran.status == 1
    assert "✗ demo 1.0.0 failed after " in ran.out
    assert "  ✗ bad: RuntimeError: it went �[31mboom\n" in ran.out
    assert "  ✓ compensation done (undo completed)\n" in ran.out
    assert "execution  compensation begins: step 'bad' failed" in ran.err
    assert "\x1b" not in ran.out + ran.err


def test_a_quiet_failure_is_said_on_standard_error(stepwell: Stepwell) -> None:
    write_workflow("w.json", {"name": "stop", "type": "fail", "config": {"message": "not today"}})
    ran = stepwell("run", "w.json", "-q")
    assert (ran.status, ran.out) == (1, "")
    assert "not today" in ran.err


def test_a_failure_that_was_let_pass_stays_visible(stepwell: Stepwell) -> None:
    write_tasks("tasks_pass.py")
    write_workflow("w.json", task("bad", "boom", on_failure={"action": "continue"}), value("after", depends_on="bad"))
    ran = stepwell("run", "w.json", "--import", "tasks_pass.py")
    assert ran.status == 0
    assert "completed in" in ran.out
    assert "✗ bad: RuntimeError" in ran.out
    assert "; the execution goes on" in ran.err


def test_an_invalid_definition_leaves_nothing_behind(stepwell: Stepwell, folder: Path) -> None:
    write_workflow("w.json", value("one", depends_on="tow"), value("two"))
    ran = stepwell("run", "w.json")
    assert (ran.status, ran.out) == (2, "")
    assert "error[unknown-step]: there is no step 'tow'" in ran.err
    assert "^~~" in ran.err
    assert "hint: did you mean 'two'?" in ran.err
    assert ran.err.endswith("\n1 error in w.json\n")
    assert nothing_is_left(folder)


def test_names_that_are_not_known_say_how_to_make_them_known(stepwell: Stepwell) -> None:
    call = {"name": "call", "type": "service_call", "config": {"service": "users", "endpoint": "/"}}
    write_workflow("w.json", task("one", "unheard_of"), call)
    ran = stepwell("run", "w.json")
    assert ran.status == 2
    assert ran.err.endswith(
        "hint: tasks and rules of your own are made known with --import MODULE; services are named in stepwell.yaml, "
        "or in the file given with --config\n"
    )


def test_every_problem_of_the_input_is_said_and_nothing_left_behind(stepwell: Stepwell, folder: Path) -> None:
    schema = {
        "properties": {"n": {"type": "integer"}, "password": {"type": "string", "minLength": 8}},
        "required": ["n"],
    }
    write_workflow("w.json", value("one"), input={"schema": schema})
    ran = stepwell("run", "w.json", "-i", '{"n": "x", "password": "hunter2"}')
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error[invalid-input]: the input does not satisfy the schema of 'demo'\n    n: ")
    assert "\n    password: *** is shorter than 8 characters\n" in ran.err
    assert "hunter2" not in ran.err
    assert nothing_is_left(folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"n": tru}', NOT_JSON),
        ("[1]", "error[invalid-input]: the input must be a JSON object, not a list\n"),
        ("@none.json", "error[unreadable-file]: the input: none.json cannot be read: No such file or directory\n"),
        ('{"n": NaN}', "error[invalid-json]: the input is not usable JSON: JSON has no NaN\n"),
        (
            '{"n": 1, "n": 2}',
            "error[invalid-json]: the input is not usable JSON: the key 'n' stands twice in an object\n",
        ),
        ("[" * 100_000, "error[invalid-json]: the input is not usable JSON: it is nested too deep\n"),
    ],
)
def test_an_input_that_is_none_is_refused(stepwell: Stepwell, folder: Path, given: str, message: str) -> None:
    write_workflow("w.json", value("one"))
    assert stepwell("run", "w.json", "-i", given) == (2, "", message)
    assert nothing_is_left(folder)


def test_the_input_may_be_a_file_or_standard_input(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    write_workflow("w.json", value("one"), output={"values": {"n": "{{ input.n }}"}})
    Path("input.json").write_bytes(b'\xef\xbb\xbf{"n": 3}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"n": 4}')))
    assert json.loads(stepwell("run", "w.json", "-i", "@input.json", "-q").out) == {"n": 3}
    assert json.loads(stepwell("run", "w.json", "-i", "-", "-q").out) == {"n": 4}


def test_a_module_that_cannot_be_imported_is_a_usage_error(stepwell: Stepwell, folder: Path) -> None:
    Path("broken_module.py").write_text("import nothing_of_this_name")
    write_workflow("w.json", value("one"))
    ran = stepwell("run", "w.json", "--import", "broken_module.py")
    assert ran.status == 2
    assert ran.err.startswith("error[import-failed]: the module 'broken_module.py' cannot be imported: ModuleNotFound")
    assert nothing_is_left(folder)


def test_a_store_that_cannot_be_made_exits_4(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one"))
    ran = stepwell("run", "w.json", "--store", "sqlite:nowhere/x.db")
    assert (ran.status, ran.out) == (4, "")
    assert ran.err.startswith("error[store-path]: ")


def test_a_store_of_an_unknown_kind_exits_2(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one"))
    ran = stepwell("run", "w.json", "--store", "cassandra://x")
    assert ran.status == 2
    assert ran.err.startswith("error[invalid-store]: ")


def test_a_wrong_configuration_names_everything_that_is_wrong(stepwell: Stepwell, folder: Path) -> None:
    write_workflow("w.json", value("one"))
    Path("stepwell.yaml").write_text("exceution: {}\nlogging: {level: loud}\n")
    ran = stepwell("run", "w.json")
    assert ran.status == 2
    assert "did you mean 'execution'?" in ran.err
    assert "logging.level" in ran.err
    assert nothing_is_left(folder)


def test_a_key_starts_once(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one"), output={"values": {"n": "{{ input.n }}"}})
    first = stepwell("run", "w.json", "-i", '{"n": 1}', "--key", "k", "-o", "json").json()
    again = stepwell("run", "w.json", "-i", '{"n": 1}', "--key", "k", "-o", "json")
    other = stepwell("run", "w.json", "-i", '{"n": 2}', "--key", "k", "-o", "json")
    assert again.json() == first
    assert f"the key was used before: this is execution {first['execution_id']}" in again.err
    assert (other.status, other.out) == (2, "")
    assert other.err.startswith("error[start-key-reused]: ")


def test_a_wait_that_takes_too_long_exits_3_and_goes_on_later(stepwell: Stepwell) -> None:
    write_workflow("w.json", value("one"), wait("hold", depends_on="one"))
    ran = stepwell("run", "w.json", "--timeout", "300ms", "--store", "my store.db")
    assert (ran.status, ran.out) == (3, "")
    assert "hold       waits for go until " in ran.err
    message, hint = ran.err.splitlines()[-2:]
    assert message == "error[timed-out]: it has not ended within 300ms"
    command = hint.removeprefix("hint: to go on: ").split(" ", 4)
    assert command[:3] == ["stepwell", "run", "--resume"]
    assert command[4] == "--store 'my store.db'"

    stepwell("event", "publish", "go", "--store", "my store.db")
    resumed = stepwell("run", "--resume", command[3], "--store", "my store.db")
    assert resumed.status == 0
    assert f"demo 1.0.0, execution {command[3]} goes on" in resumed.err
    assert "one  " not in resumed.err, "what is recorded does not happen again"
    assert "hold       received go from stepwell-cli" in resumed.err


def test_programs_get_the_report_of_an_unfinished_execution(stepwell: Stepwell) -> None:
    write_workflow("w.json", wait("hold"))
    ran = stepwell("run", "w.json", "--timeout", "200ms", "-o", "json", "-q")
    assert (ran.status, ran.json()["status"]) == (3, "waiting")
    assert ran.json()["execution_id"] in ran.err


def test_a_finished_execution_is_printed_again(stepwell: Stepwell) -> None:
    write_workflow("w.json", {"name": "stop", "type": "fail", "config": {"message": "not today"}})
    report = stepwell("run", "w.json", "-o", "json").json()
    again = stepwell("run", "--resume", report["execution_id"], "-o", "json")
    assert (again.status, again.json()) == (1, report)


def test_resuming_needs_a_store_and_an_execution(stepwell: Stepwell, folder: Path) -> None:
    missing = stepwell("run", "--resume", "x")
    assert missing.status == 4
    assert missing.err.startswith("error[store-missing]: there is no store at stepwell.db\nhint: ")
    assert nothing_is_left(folder)
    write_workflow("w.json", value("one"))
    stepwell("run", "w.json", "-q")
    unknown = stepwell("run", "--resume", "x")
    assert unknown.status == 2
    assert unknown.err.startswith("error[unknown-execution]: there is no execution 'x' in this store\n")


def test_resuming_without_the_tasks_says_what_is_missing(stepwell: Stepwell) -> None:
    write_tasks("tasks_resume.py")
    write_workflow("w.json", wait("hold"), task("then", "chatty", depends_on="hold"))
    ran = stepwell("run", "w.json", "--import", "tasks_resume.py", "--timeout", "200ms", "-o", "json", "-q")
    execution = ran.json()["execution_id"]
    stepwell("event", "publish", "go")
    resumed = stepwell("run", "--resume", execution)
    assert resumed.status != 0
    assert "chatty" in resumed.err
    assert "Traceback" not in resumed.err
    assert stepwell("run", "--resume", execution, "--import", "tasks_resume.py").status == 0


def test_a_store_in_memory_cannot_be_resumed_and_says_so(stepwell: Stepwell, folder: Path) -> None:
    write_workflow("w.json", wait("hold"))
    ran = stepwell("run", "w.json", "--store", "memory:", "--timeout", "100ms")
    assert ran.status == 3
    assert ran.err.endswith("hint: it was kept in memory only, and is gone\n")
    assert stepwell("run", "--resume", "x", "--store", "memory:").status == 4
    assert nothing_is_left(folder)


def test_a_key_file_that_is_made_is_announced_and_secrets_are_shown_nowhere(stepwell: Stepwell) -> None:
    schema = {"properties": {"password": {"type": "string"}}}
    echo = value("echo", "{{ input.password }}")
    write_workflow("w.json", echo, input={"schema": schema}, output={"values": {"p": "{{ steps.echo.output }}"}})
    ran = stepwell("run", "w.json", "-i", '{"password": "correct horse"}')
    assert "made the key stepwell.db.key" in ran.err
    assert stat.S_IMODE(Path("stepwell.db.key").stat().st_mode) == 0o600
    assert '"p": "***"' in ran.out
    Path("stepwell.db.key").unlink()
    execution = stepwell("execution", "list", "-o", "json").json()["items"][0]["execution_id"]
    for look in (("show", execution), ("history", execution), ("watch", execution)):
        shown = stepwell("execution", *look)
        assert shown.status == 0, "looking needs no key"
        assert "correct horse" not in ran.out + ran.err + shown.out + shown.err
    with closing(sqlite3.connect("stepwell.db")) as database, database:
        assert b"correct horse" not in "".join(database.iterdump()).encode()


def test_warnings_are_shown_and_the_workflow_runs(stepwell: Stepwell) -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    write_workflow("w.json", value("one", "{{ input.b | default('x') }} {{ input.aa }}"), input={"schema": schema})
    ran = stepwell("run", "w.json", "-i", '{"aa": "y"}')
    assert ran.status == 0
    assert "warning[undeclared-input]" in ran.err


def test_symbols_are_ascii_where_the_terminal_knows_no_more(
    stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workflow("w.json", value("one", "✓"), output={"values": {"n": "{{ steps.one.output }}"}})
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii"))
    assert stepwell("run", "w.json").status == 0
    assert out.getvalue().startswith(b"+ demo 1.0.0 completed")
    assert out.getvalue().endswith(b'"n": "\\u2713"\n}\n')
