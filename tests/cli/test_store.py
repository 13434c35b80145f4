"""`execution`, `event`, `db` and `doctor`: looking at a store, and writing to it from outside."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stepwell.cli import store_checks
from tests.cli.conftest import Stepwell
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow


@pytest.fixture
def ids(stepwell: Stepwell) -> dict[str, str]:
    """A store with an execution that completed, one that failed and one that waits."""
    write_tasks("tasks_store.py")
    write_workflow("good.json", value("one", {"n": 1}), name="good", output={"values": {"n": 1}})
    write_workflow("bad.json", task("boom", "boom"), name="bad")
    write_workflow("held.json", wait("hold", filter={"n": 1}), name="held")
    made = {}
    for name, more in (("good", ()), ("bad", ("--import", "tasks_store.py")), ("held", ("--timeout", "200ms"))):
        made[name] = stepwell("run", f"{name}.json", "-o", "json", "-q", *more).json()["execution_id"]
    return made


LOOKING = [
    ("execution", "list"),
    ("execution", "show", "x"),
    ("execution", "history", "x"),
    ("execution", "watch", "x"),
    ("event", "publish", "x"),
    ("workflow", "list"),
    ("workflow", "show", "x"),
    ("workflow", "retire", "x@1.0.0"),
    ("workflow", "default", "x@1.0.0"),
    ("dlq", "list"),
    ("dlq", "show", "x"),
    ("dlq", "discard", "x"),
    ("db", "status"),
    ("db", "verify"),
]


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_looking_makes_no_store(stepwell: Stepwell, folder: Path, command: tuple[str, ...]) -> None:
    shown = stepwell(*command, "--store", "sqlite:none.db")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err == (
        "error[store-missing]: there is no store at none.db\n"
        "hint: name the store with --store URL; the first `stepwell run` makes one\n"
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_file_of_another_program_is_not_touched(stepwell: Stepwell, folder: Path, command: tuple[str, ...]) -> None:
    with closing(sqlite3.connect("other.db")) as database, database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = Path("other.db").read_bytes()
    shown = stepwell(*command, "--store", "other.db")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[not-a-store]: ")
    assert Path("other.db").read_bytes() == before


def test_the_store_may_be_named_by_the_environment(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_STORE", "sqlite:from_environment.db")
    assert "from_environment.db" in stepwell("db", "status").err
    assert "flag.db" in stepwell("db", "status", "--store", "sqlite:flag.db").err, "the flag wins"


@pytest.mark.parametrize("look", ["show", "history", "watch"])
def test_an_unknown_execution_exits_2(stepwell: Stepwell, ids: dict[str, str], look: str) -> None:
    shown = stepwell("execution", look, "nope")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[unknown-execution]: there is no execution 'nope' in this store\nhint: ")


def test_lists_are_filtered_and_go_on_where_they_ended(stepwell: Stepwell, ids: dict[str, str]) -> None:
    def listed(*filters: str) -> list[str]:
        page = stepwell("execution", "list", "-o", "json", *filters).json()
        return [item["workflow"] for item in page["items"]]

    assert listed() == ["held", "bad", "good"]
    assert listed("--workflow", "bad") == ["bad"]
    assert listed("--status", "failed", "--status", "waiting") == ["held", "bad"]
    first = stepwell("execution", "list", "-o", "json", "--limit", "2").json()
    assert [item["execution_id"] for item in first["items"]] == [ids["held"], ids["bad"]]
    assert listed("--limit", "2", "--cursor", first["next"]) == ["good"]
    assert stepwell("execution", "list", "-o", "json").json()["next"] is None


def test_a_list_is_a_table_for_people(stepwell: Stepwell, ids: dict[str, str]) -> None:
    heading, *lines = stepwell("execution", "list").out.splitlines()
    assert heading.split() == ["id", "workflow", "status", "created", "took", "error"]
    assert lines[0].split()[:5] == [ids["held"], "held", "1.0.0", "◷", "waiting"]
    assert lines[1].endswith("step 'boom' failed: it went �[31mboom")
    page = stepwell("execution", "list", "--limit", "1").out
    cursor = stepwell("execution", "list", "--limit", "1", "-o", "json").json()["next"]
    assert page.endswith(f"\n\nmore with --cursor {cursor}\n")
    assert stepwell("execution", "list", "--workflow", "none").out == "no executions\n"


def test_a_cursor_of_nowhere_is_refused(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("execution", "list", "--cursor", "x")
    assert (shown.status, shown.out) == (2, "")


def test_an_execution_is_shown_to_people(stepwell: Stepwell, ids: dict[str, str]) -> None:
    good = stepwell("execution", "show", ids["good"]).out
    assert f"execution  {ids['good']}\nworkflow   good 1.0.0\nstatus     ✓ completed\n" in good
    assert "\n✓  one   completed " in good
    assert good.endswith('\noutput\n{\n  "n": 1\n}\n')
    assert "✗  boom  failed" in stepwell("execution", "show", ids["bad"]).out
    held = stepwell("execution", "show", ids["held"]).out
    assert "status     ◷ waiting" in held
    assert "for go, until " in held


def test_a_step_says_how_its_failure_was_handled(stepwell: Stepwell) -> None:
    write_tasks("tasks_handled.py")
    handled = {"action": "fallback", "fallback": 7}
    write_workflow("w.json", task("boom", "boom", on_failure=handled))
    made = stepwell("run", "w.json", "-o", "json", "-q", "--import", "tasks_handled.py").json()
    assert [(step["handled"], step["output"]) for step in made["steps"]] == [("fallback", 7)]
    assert "; its fallback stands in\n" in stepwell("execution", "show", made["execution_id"]).out


def test_a_history_is_numbered_and_can_be_read_on(stepwell: Stepwell, ids: dict[str, str]) -> None:
    whole = stepwell("execution", "history", ids["good"], "-o", "json").json()
    assert whole["next"] is None
    assert [item["event"] for item in whole["items"]] == [
        "ExecutionCreated", "ExecutionStarted", "StepScheduled", "StepCompleted", "ExecutionCompleted",
    ]  # fmt: skip
    rest = stepwell("execution", "history", ids["good"], "--after", "3", "-o", "json").json()
    assert rest["items"] == whole["items"][3:]
    table = stepwell("execution", "history", ids["good"], "--after", "3").out.splitlines()
    assert table[1].split()[0::2] == ["4", "StepCompleted", 'output={"n":']
    assert all(item["at"].endswith("Z") for item in whole["items"])


def test_watching_what_has_ended_shows_it_whole(stepwell: Stepwell, ids: dict[str, str]) -> None:
    good = stepwell("execution", "watch", ids["good"])
    assert good.status == 0
    assert " one        completed in " in good.out
    assert good.out.endswith('{\n  "n": 1\n}\n')
    bad = stepwell("execution", "watch", ids["bad"], "-o", "json")
    assert (bad.status, bad.json()["failed_steps"]) == (1, ["boom"])
    assert " boom       failed: RuntimeError" in bad.err
    assert stepwell("execution", "watch", ids["good"], "-q") == (0, '{\n  "n": 1\n}\n', "")


def test_watching_may_end_by_time(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("execution", "watch", ids["held"], "--timeout", "300ms")
    assert (shown.status, shown.err) == (3, "error[timed-out]: the execution has not ended within 300ms\n")
    assert " hold       waits for go until " in shown.out


# Events


def test_an_event_is_accepted_once(stepwell: Stepwell, ids: dict[str, str]) -> None:
    first = stepwell("event", "publish", "go", "-d", '{"n": 1}', "--id", "e1", "--source", "shop")
    again = stepwell("event", "publish", "go", "-d", '{"n": 1}', "--id", "e1", "--source", "shop")
    other = stepwell("event", "publish", "go", "-d", '{"n": 2}', "--id", "e2", "--source", "shop")
    assert first == (
        0,
        "event e1 accepted; it is for 1 wait\n",
        "no engine is running on this store: the event is kept, and is seen when the execution is resumed\n",
    )
    assert again == (0, "event e1 from shop was accepted before; nothing was done\n", "")
    assert other == (
        0,
        "event e2 accepted; nothing waits for it yet, and it is kept for 7d for waits that begin later\n",
        "",
    )
    resumed = stepwell("run", "--resume", ids["held"], "-o", "json").json()
    assert resumed["steps"][0]["output"] == {"event_data": {"n": 1}}


def test_an_event_as_json_says_what_became_of_it(stepwell: Stepwell, ids: dict[str, str]) -> None:
    published = stepwell("event", "publish", "go", "-d", '{"n": 1}', "--subject", "s", "-o", "json", "-q")
    document = published.json()
    assert document.pop("id")
    assert document == {
        "type": "go", "source": "stepwell-cli", "subject": "s", "duplicate": False, "waits": 1, "engine_present": False,
        "firings": [],
    }  # fmt: skip
    assert published.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["go", "-d", "{n: 1}"], "error[invalid-json]: the data is not JSON: "),
        (["go", "-d", "1e999"], "error[invalid-event]: the data is inf, which JSON cannot hold\n"),
        (["go", "-d", '"\\ud800"'], "error[invalid-event]: the data holds a lone surrogate"),
        ([" "], "error[usage]: TYPE must not be empty\n"),
        (["go", "--source", ""], "error[usage]: --source must not be empty\n"),
    ],
)
def test_an_event_that_is_none_is_refused(
    stepwell: Stepwell, ids: dict[str, str], arguments: list[str], message: str
) -> None:
    shown = stepwell("event", "publish", *arguments)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(message)
    assert stepwell("db", "status", "-o", "json").json()["events"] == 0


# The store itself


def test_migrating_makes_a_store_and_says_so(stepwell: Stepwell) -> None:
    made = stepwell("db", "migrate", "--store", "new.db")
    assert made.status == 0
    assert made.out.startswith("new.db: made, schema ")
    again = stepwell("db", "migrate", "--store", "new.db", "-o", "json").json()
    assert (again["created"], again["location"]) == (False, "new.db")


def test_the_status_counts_what_is_there(stepwell: Stepwell, ids: dict[str, str]) -> None:
    shown = stepwell("db", "status")
    assert "executions    3 (1 completed, 1 failed, 1 waiting)\n" in shown.out
    assert "waits         1\n" in shown.out
    assert "workflows     0 versions\n" in shown.out
    assert stepwell("db", "status", "-o", "json").json()["executions"] == {"completed": 1, "failed": 1, "waiting": 1}


def test_a_store_by_its_longer_url_has_its_key_beside_it(stepwell: Stepwell, folder: Path) -> None:
    schema = {"properties": {"password": {"type": "string"}}}
    write_workflow("w.json", value("one", "{{ input.password }}"), input={"schema": schema})
    assert stepwell("run", "w.json", "-i", '{"password": "x"}', "--store", "sqlite:///kept.db").status == 0
    assert (folder / "kept.db").exists()
    assert (folder / "kept.db.key").exists()


def test_verifying_finds_what_is_wrong(stepwell: Stepwell, ids: dict[str, str]) -> None:
    assert stepwell("db", "verify") == (0, "", "sqlite:stepwell.db: all is well\n")
    with closing(sqlite3.connect("stepwell.db")) as database, database:
        database.execute("UPDATE executions SET status = 'running', finished_at = NULL WHERE status = 'completed'")
    database.close()
    shown = stepwell("db", "verify")
    assert shown.status == 1
    assert f"execution {ids['good']}: " in shown.out
    assert stepwell("db", "verify", "-o", "json", "-q").json()["ok"] is False


def test_verifying_finds_a_journal_that_was_tampered_with(stepwell: Stepwell, ids: dict[str, str]) -> None:
    with closing(sqlite3.connect("stepwell.db")) as database, database:
        database.execute("INSERT INTO journal VALUES (1, 'audit', 'k', 0, 'forged', zeroblob(32))")
        database.execute("INSERT INTO chains VALUES ('audit', 1, 1, zeroblob(32))")
    database.close()
    shown = stepwell("db", "verify")
    assert shown.status == 1
    assert shown.out.startswith("journal of 'audit': entry 1 does not follow from the beginning: ")


def test_a_damaged_database_exits_with_what_is_known(stepwell: Stepwell, ids: dict[str, str]) -> None:
    database = Path("stepwell.db")
    content = bytearray(database.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    database.write_bytes(bytes(content))
    shown = stepwell("db", "verify")
    assert shown.status in (1, 4)
    assert "Traceback" not in shown.err
    assert "internal-error" not in shown.err


# doctor


def findings(stepwell: Stepwell, *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    shown = stepwell("doctor", "-o", "json", *arguments)
    items = json.loads(shown.out)["items"]
    return shown.status, {item["check"]: (item["status"], item["message"]) for item in items}


def test_the_doctor_finds_nothing_wrong_and_leaves_nothing_behind(stepwell: Stepwell, folder: Path) -> None:
    status, found = findings(stepwell)
    assert status == 0
    assert {how for how, _ in found.values()} == {"ok"}
    assert list(found) == [
        "python", "libraries", "sqlite", "clock", "configuration", "modules", "plug-ins", "store", "file system", "key",
    ]  # fmt: skip
    assert found["store"] == ("ok", "stepwell.db is not there yet; the first run makes it")
    assert list(folder.iterdir()) == []


def test_the_doctor_looks_at_a_store_that_is_there(stepwell: Stepwell, ids: dict[str, str]) -> None:
    status, found = findings(stepwell, "--import", "tasks_store.py")
    assert status == 0
    assert found["store"][1].startswith("stepwell.db: schema ")
    assert ", 3 executions, " in found["store"][1]
    assert found["modules"] == ("ok", "tasks_store.py: 3 tasks, 1 rule")
    assert stepwell("db", "status", "-o", "json").json()["owners"] == []


def test_the_doctor_says_what_does_not_work_and_what_to_do(stepwell: Stepwell) -> None:
    with closing(sqlite3.connect("other.db")) as database, database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    shown = stepwell("doctor", "--store", "other.db", "--import", "no_module_of_this_name")
    assert shown.status == 1
    assert "✗ fail  modules        the module 'no_module_of_this_name' cannot be imported" in shown.out
    assert "✗ fail  store          other.db is a database of another program" in shown.out
    assert "give a dotted module name" in shown.out


def test_the_doctor_stops_at_a_wrong_configuration(stepwell: Stepwell) -> None:
    Path("stepwell.yaml").write_text("state_store: {tpye: sqlite}")
    status, found = findings(stepwell)
    assert (status, found["configuration"][0]) == (1, "fail")
    assert "did you mean 'type'?" in found["configuration"][1]
    assert "store" not in found


def test_the_doctor_warns_of_a_key_that_others_can_read(stepwell: Stepwell) -> None:
    key = Path("stepwell.db.key")
    key.write_text("A" * 43 + "=\n")
    key.chmod(0o644)
    status, found = findings(stepwell)
    assert (status, found["key"]) == (0, ("warn", "stepwell.db.key can be read by others (mode 644)"))
    key.chmod(0o600)
    assert findings(stepwell)[1]["key"][0] == "ok"
    key.write_text("no key")
    assert findings(stepwell)[1]["key"][0] == "fail"


def test_the_doctor_warns_of_network_file_systems(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_checks, "_file_system", lambda folder: "nfs4")
    status, found = findings(stepwell)
    assert (status, found["file system"][0]) == (0, "warn")
    monkeypatch.setattr(store_checks, "_file_system", lambda folder: "ext4")
    monkeypatch.setattr(store_checks, "_locks_are_seen", lambda folder: False)
    status, found = findings(stepwell)
    assert (status, found["file system"][0]) == (1, "fail")


def test_the_doctor_names_a_store_that_cannot_be(stepwell: Stepwell) -> None:
    assert findings(stepwell, "--store", "sqlite:/nowhere/x.db")[1]["store"] == ("fail", "/nowhere is not a directory")
    assert findings(stepwell, "--store", "memory:")[1]["store"][0] == "warn"
    assert findings(stepwell, "--store", "tape:")[1]["store"][0] == "fail"
