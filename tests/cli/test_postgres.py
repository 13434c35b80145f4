"""The command line on a PostgreSQL store."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from stepwell.store.postgres import schema as postgres_schema
from stepwell.store.statements import Migration
from tests.cli.conftest import Stepwell
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow
from tests.servers.postgres import postgres_server

KEY = base64.b64encode(bytes(range(32))).decode()
LOOKING = [
    ("execution", "list"),
    ("execution", "show", "x"),
    ("event", "publish", "x"),
    ("workflow", "list"),
    ("dlq", "list"),
    ("secret", "list"),
    ("schedule", "list"),
    ("db", "status"),
    ("db", "verify"),
]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> str:
    """A schema that nobody has used; with a password, which the server does not ask for."""
    monkeypatch.setenv("STEPWELL_KEY", KEY)
    url = postgres_server().fresh_url().replace("postgres@", "postgres:hunter2@")
    monkeypatch.setenv("STEPWELL_STORE", url)
    return url


def shown(store: str) -> str:
    """The store as it is shown."""
    return store.replace(":hunter2", "")


def test_executions_are_run_listed_shown_explained_and_verified(stepwell: Stepwell, store: str) -> None:
    write_tasks("tasks_postgres.py")
    write_workflow("good.json", value("one", {"n": 1}), name="good", output={"values": {"n": 1}})
    write_workflow("bad.json", task("boom", "boom"), name="bad")
    write_workflow("held.json", wait("hold", filter={"n": 1}), name="held")
    ids = {}
    for name, more in (("good", ()), ("bad", ("--import", "tasks_postgres.py")), ("held", ("--timeout", "200ms"))):
        ids[name] = stepwell("run", f"{name}.json", "-o", "json", "-q", *more).json()["execution_id"]
    listed = stepwell("execution", "list", "-o", "json").json()["items"]
    assert [(item["workflow"], item["status"]) for item in listed] == [
        ("held", "waiting"),
        ("bad", "failed"),
        ("good", "completed"),
    ]
    assert stepwell("execution", "show", ids["good"], "-o", "json").json()["output"] == {"n": 1}
    assert "hold" in stepwell("execution", "why", ids["held"]).out
    assert "it went" in stepwell("execution", "history", ids["bad"]).out
    assert len(stepwell("dlq", "list", "-o", "json").json()["items"]) == 1
    published = stepwell("event", "publish", "go", "--data", '{"n": 1}')
    assert published.status == 0, published.err
    resumed = stepwell("run", "--resume", ids["held"], "-o", "json", "-q")
    assert resumed.json()["status"] == "completed", resumed.err
    verified = stepwell("db", "verify")
    assert (verified.status, verified.err) == (0, f"{shown(store)}: all is well\n")


def test_a_registered_workflow_is_run_by_its_name(stepwell: Stepwell, store: str) -> None:
    write_workflow("shop.json", value("one", {"n": 1}), name="shop", output={"values": {"n": 1}})
    assert stepwell("run", "shop").err.startswith(f"error[store-missing]: there is no store at {shown(store)}")
    assert "there is no store" in stepwell("db", "status").err, "looking for it made none"
    assert stepwell("workflow", "apply", "shop.json").out == "shop@1.0.0 registered\n"
    Path("shop.json").unlink()
    assert stepwell("run", "shop", "-q").out == '{\n  "n": 1\n}\n'
    assert stepwell("validate", "shop").status == 0
    assert stepwell("run", "shpo").err.startswith("error[unknown-workflow]: ")


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_looking_makes_no_store(stepwell: Stepwell, store: str, command: tuple[str, ...]) -> None:
    looked = stepwell(*command)
    assert (looked.status, looked.out) == (4, "")
    assert looked.err == (
        f"error[store-missing]: there is no store at {shown(store)}\n"
        "hint: name the store with --store URL; `stepwell db migrate` makes one, and so does the first `stepwell run`\n"
    )


def test_a_store_is_made_and_migrated_on_demand_only(
    stepwell: Stepwell, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = len(postgres_schema.MIGRATIONS)
    made = stepwell("db", "migrate")
    assert made.out == f"{shown(store)}: made, schema {number}\n"
    assert stepwell("db", "migrate", "-o", "json").json()["created"] is False
    more = Migration(number + 1, "more", "c", "CREATE TABLE more (x INTEGER)")
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", [*postgres_schema.MIGRATIONS, more])
    monkeypatch.setattr(postgres_schema, "CURRENT", number + 1)
    write_workflow("good.json", value("one"))
    refused = stepwell("run", "good.json")
    assert refused.status == 4
    assert refused.err.startswith(f"error[store-outdated]: the schema of {shown(store)} is older than stepwell ")
    assert refused.err.endswith("hint: `stepwell db migrate` brings it up to date\n")
    assert f"schema        {number} (this version uses {number + 1}" in stepwell("db", "status").out
    assert stepwell("db", "migrate").out == f"{shown(store)}: up to date, schema {number + 1}\n"
    assert stepwell("run", "good.json").status == 0


def test_a_backup_is_for_the_tools_of_the_server(stepwell: Stepwell, store: str, folder: Path) -> None:
    stepwell("db", "migrate")
    refused = stepwell("db", "backup", "x.dump")
    assert (refused.status, refused.out) == (4, "")
    assert refused.err.startswith(f"error[backup-elsewhere]: {shown(store)} is backed up with PostgreSQL's own tools")
    schema = store.rpartition("schema=")[2]
    command = f"pg_dump --format=custom --schema={schema} --file=x.dump {shown(store).partition('?')[0]}"
    assert command in refused.err
    assert not (folder / "x.dump").exists()


def test_without_a_key_nothing_is_run_and_everything_is_shown(
    stepwell: Stepwell, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workflow("good.json", value("one"))
    assert stepwell("run", "good.json").status == 0
    monkeypatch.delenv("STEPWELL_KEY")
    refused = stepwell("run", "good.json")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"error[missing-key]: no key is given for what is secret in {shown(store)}")
    assert stepwell("execution", "list").status == 0
    assert stepwell("db", "verify").status == 0
    doctor = stepwell("doctor")
    assert doctor.status == 1
    assert "no key is given" in doctor.out
    monkeypatch.setenv("STEPWELL_KEY", base64.b64encode(bytes(32)).decode())
    assert stepwell("run", "good.json").err.startswith("error[wrong-key]: ")


def test_doctor_looks_at_it(stepwell: Stepwell, store: str) -> None:
    assert "there is no store at" in stepwell("doctor").out
    stepwell("db", "migrate")
    examined = stepwell("doctor")
    assert examined.status == 0
    assert re.search(rf"store +{re.escape(shown(store))}: schema \d+, 0 executions, .* 0 engines", examined.out)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://u:hunter2@127.0.0.1:1/x",
            "error[store-unavailable]: postgresql://u@127.0.0.1:1/x cannot be reached",
        ),
        ("postgresql://u:hunter2@127.0.0.1:1", "error[invalid-store]: "),
        ("postgresql://u:hun/ter2@127.0.0.1/x", "error[invalid-store]: "),
    ],
)
def test_what_cannot_be_reached_is_said_without_the_password(
    stepwell: Stepwell, store: str, url: str, said: str
) -> None:
    write_workflow("good.json", value("one"))
    for command in (("run", "good.json"), ("db", "status"), ("db", "migrate"), ("doctor",), ("execution", "list")):
        tried = stepwell(*command, "--store", url)
        assert tried.status in (1, 2, 4)
        assert said in tried.err or command == ("doctor",)
        assert "hunter2" not in tried.err + tried.out
        assert "ter2" not in tried.err + tried.out
        assert "Traceback" not in tried.err


def test_the_options_that_are_repeated_hold_no_password(stepwell: Stepwell, store: str) -> None:
    write_workflow("held.json", wait("hold"), name="held")
    held = stepwell("run", "held.json", "--timeout", "100ms", "--store", store)
    assert f"--store '{shown(store)}'" in held.err
    assert "hunter2" not in held.err
