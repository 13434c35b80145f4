"""The command line through a server: the same output as on its store."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.cli.main import call
from stepwell.execution.event import LARGEST_DATA
from tests.cli.conftest import Outcome, Stepwell
from tests.cli.served import Server, made_key, serving
from tests.cli.workflows import value, wait, write_workflow

TASKS = """
from stepwell import task

@task
def half(of: int) -> float:
    if of % 2:
        raise ValueError("odd")
    return of / 2
"""

QUESTION: dict[str, Any] = {
    "name": "ask",
    "type": "approval",
    "config": {"prompt": "Go?", "response_schema": {"type": "boolean"}, "assigned_to": ["tests"]},
}
HALVING = {"name": "halve", "type": "python", "config": {"task": "half", "args": {"of": "{{ input.of }}"}}}
OF = {"schema": {"required": ["of"], "properties": {"of": {"type": "integer"}}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with a key, so that it asks who calls; all tests of this file use it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "tasks.py").write_text(TASKS)
    token = made_key(f"sqlite:{folder / 'server.db'}")
    with serving(folder, token) as running:
        yield running


class There:
    """Runs commands through a server, and the same ones on its store."""

    def __init__(self, stepwell: Stepwell, server: Server) -> None:
        self._stepwell = stepwell
        self._server = server
        self.server = server

    def __call__(self, *arguments: str | Path) -> Outcome:
        return self._stepwell(*arguments, "--server", self._server.url, "--token", self._server.token)

    def here(self, *arguments: str | Path) -> Outcome:
        return self._stepwell(*arguments, "--store", self._server.store)

    def started(self, name: str, given: str = "{}", *more: str) -> str:
        """The id of an execution that was started."""
        shown = self("execution", "start", name, "-i", given, "-o", "json", *more)
        assert shown.status == 0, shown.err
        return str(shown.json()["execution_id"])

    def ended(self, name: str, given: str = "{}") -> str:
        """The id of an execution that has ended."""
        id_ = self.started(name, given)
        self("execution", "watch", id_, "-q")
        return id_


@pytest.fixture
def there(stepwell: Stepwell, server: Server, monkeypatch: pytest.MonkeyPatch) -> There:
    monkeypatch.setenv("COLUMNS", "140")
    return There(stepwell, server)


@pytest.fixture(scope="module")
def halved(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An execution that completed, and one that failed."""
    file = write_workflow(str(tmp_path_factory.mktemp("files") / "halving.json"), HALVING, name="halving", input=OF)
    at = ("--server", server.url, "--token", server.token)
    _quietly("workflow", "apply", str(file), *at)
    good, bad = [
        json.loads(_quietly("execution", "start", "halving", "-i", given, "--wait", "-o", "json", *at))
        for given in ('{"of": 8}', '{"of": 7}')
    ]
    return good["execution_id"], bad["execution_id"]


def _quietly(*arguments: str) -> str:
    """What a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        call(arguments)
    return printed.getvalue()


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize(
    "command",
    [
        ("execution", "list", "--workflow", "halving", "--limit", "2"),
        ("execution", "list", "--status", "failed", "--limit", "1"),
        ("execution", "show", "COMPLETED"),
        ("execution", "show", "FAILED"),
        ("execution", "history", "FAILED"),
        ("execution", "history", "COMPLETED", "--after", "2"),
        ("execution", "why", "FAILED"),
        ("execution", "compare", "COMPLETED", "FAILED"),
        ("execution", "logs", "FAILED"),
        ("execution", "logs", "FAILED", "--level", "error", "--follow"),
        ("execution", "watch", "COMPLETED"),
        ("execution", "watch", "FAILED", "-q"),
        ("dlq", "list", "--execution", "FAILED"),
        ("dlq", "show", "LETTER"),
        ("workflow", "list", "--name", "halving"),
        ("workflow", "show", "halving"),
        ("approval", "list", "--limit", "1"),
        ("schedule", "list"),
        ("secret", "list"),
        ("audit", "list", "--limit", "2"),
    ],
    ids=" ".join,
)
def test_what_is_shown_through_a_server_is_what_its_store_shows(
    there: There, halved: tuple[str, str], command: tuple[str, ...], output: str
) -> None:
    letter = there.here("dlq", "list", "--execution", halved[1], "-o", "json").json()["items"][0]["id"]
    names = {"COMPLETED": halved[0], "FAILED": halved[1], "LETTER": letter}
    arguments = [names.get(each, each) for each in command]
    if command[:2] == ("workflow", "show"):
        output = {"table": "text"}.get(output, output)
    one, other = there(*arguments, "-o", output), there.here(*arguments, "-o", output)
    assert (one.status, _without_place(one.out), _without_place(one.err)) == (
        other.status,
        _without_place(other.out),
        _without_place(other.err),
    )
    assert one.out or one.err, "there is something to compare"


def _without_place(text: str) -> str:
    """Commands that are shown name the server, or the store."""
    return re.sub(r" --(server|store) \S+", "", text)


def test_an_execution_is_started_followed_and_ends_with_its_status(there: There) -> None:
    write_workflow("twice.json", HALVING, name="twice", input=OF)
    there("workflow", "apply", "twice.json")
    good = there("execution", "start", "twice@1.0.0", "-i", '{"of": 4}', "--wait", "-o", "json")
    bad = there("execution", "start", "twice", "-i", '{"of": 5}', "--wait", "-q")
    assert (good.status, good.json()["status"], good.json()["steps"][0]["output"]) == (0, "completed", 2.0)
    assert bad.status == 1
    assert "odd" in bad.err


def test_progress_of_what_a_server_runs_is_told_line_by_line(there: There, halved: tuple[str, str]) -> None:
    one, other = there("execution", "watch", halved[1]), there.here("execution", "watch", halved[1])
    assert one.out == other.out
    assert re.search(r"halve .*failed.*ValueError: odd", one.out)


def test_a_key_starts_once_on_both_ways(there: There, halved: tuple[str, str]) -> None:
    first = there.started("halving", '{"of": 2}', "--key", "monday")
    again = there("execution", "start", "halving", "-i", '{"of": 2}', "--key", "monday", "-o", "json").json()
    here = there.here("execution", "start", "halving", "-i", '{"of": 2}', "--key", "monday", "-o", "json").json()
    other = there("execution", "start", "halving", "-i", '{"of": 6}', "--key", "monday")
    assert (again["execution_id"], again["started_before"]) == (first, True)
    assert (here["execution_id"], here["started_before"]) == (first, True)
    assert other.status == 2
    assert "error[start-key-reused]" in other.err
    other = there.here("execution", "start", "halving", "-i", '{"of": 6}', "--key", "monday")
    assert "error[start-key-reused]" in other.err


def test_what_is_started_in_the_store_is_run_by_the_server_beside_it(there: There, halved: tuple[str, str]) -> None:
    done = there.here("execution", "start", "halving", "-i", '{"of": 6}', "--wait", "-o", "json")
    assert (done.status, done.json()["output"], done.json()["steps"][0]["output"]) == (0, None, 3.0)


def test_input_that_does_not_fit_is_told_alike(there: There, halved: tuple[str, str]) -> None:
    one = there("execution", "start", "halving", "-i", '{"of": "many"}')
    other = there.here("execution", "start", "halving", "-i", '{"of": "many"}')
    assert (one.status, one.err) == (2, other.err)
    assert "error[invalid-input]" in one.err


@pytest.mark.parametrize(
    "command",
    [
        ("execution", "show", "nobody"),
        ("execution", "history", "nobody"),
        ("execution", "watch", "nobody"),
        ("execution", "why", "nobody"),
        ("execution", "pause", "nobody"),
        ("execution", "logs", "nobody"),
        ("dlq", "show", "no/body/7"),
        ("dlq", "show", "nobody"),
        ("dlq", "discard", "no/body/7"),
        ("workflow", "show", "nothing"),
        ("workflow", "show", "halving@9.9.9"),
        ("workflow", "deprecate", "nothing@1.0.0"),
        ("approval", "respond", "nobody", "ask", "--response", "true"),
        ("execution", "list", "--cursor", "rubbish"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_the_same_error(there: There, halved: tuple[str, str], command: tuple[str, ...]) -> None:
    one, other = there(*command), there.here(*command)
    assert one.status == other.status == 2
    assert _code(one.err) == _code(other.err)


def _code(err: str) -> str:
    found = re.search(r"error\[([a-z-]+)\]", err)
    assert found is not None, err
    return found[1]


@pytest.fixture
def parked(there: There) -> str:
    """An execution that waits for an event, then for another, and then ends."""
    write_workflow(
        "parked.json", wait("first"), wait("second", "on", depends_on=["first"]), value("last", depends_on=["second"]),
        name="parked",
    )  # fmt: skip
    there("workflow", "apply", "parked.json")
    return there.started("parked")


def test_operators_have_their_way_through_a_server(there: There, parked: str) -> None:
    paused = there("execution", "pause", parked, "--reason", "why not", "-o", "json").json()
    assert (paused["status"], paused["changed"], paused["next"]) == ("paused", True, None)
    assert there("execution", "show", parked, "-o", "json").json()["paused"] == {"by": "tests", "reason": "why not"}
    assert there("execution", "pause", parked, "-o", "json").json()["changed"] is False
    assert there("execution", "resume", parked).out == f"{parked}: resumed\n"
    skipped = there("execution", "skip-step", parked, "last", "--force", "--reason", "not needed")
    assert skipped.status == 0, skipped.err
    assert there("execution", "retry", parked).status == 2
    assert there("execution", "terminate", parked, "-o", "json").json()["status"] == "cancelled"


def test_a_signal_reaches_one_execution(there: There, parked: str) -> None:
    other = there.started("parked")
    sent = there("execution", "signal", parked, "go", "-d", '{"n": 1}', "-o", "json").json()
    assert (sent["execution_id"], sent["type"]) == (parked, "go")
    assert there.here("execution", "signal", parked, "on").out == f"on sent to execution {parked}\n"
    assert there("execution", "watch", parked, "-q").status == 0
    assert there("execution", "show", other, "-o", "json").json()["status"] == "waiting"


def test_steps_are_completed_rerun_and_forked_from_through_a_server(there: There, parked: str) -> None:
    done = there("execution", "complete-step", parked, "first", "--output", '{"by": "hand"}', "--force")
    assert done.status == 0, done.err
    assert there("event", "publish", "on", "-d", "1", "-o", "json").json()["waits"] >= 1
    assert there("execution", "watch", parked, "-q").status == 0
    shown = there("execution", "show", parked, "-o", "json").json()
    assert shown["steps"][0]["output"] == {"by": "hand"}
    assert there("execution", "rerun", parked, "--from", "last").status == 0
    forked = there("execution", "fork", parked, "--at", "2", "-o", "json").json()
    assert (forked["forked_from"], forked["next"]) == (parked, None)
    assert there("execution", "show", forked["execution_id"], "-o", "json").json()["forked_from"] == parked


def test_executions_are_migrated_through_a_server(there: There, parked: str) -> None:
    text = json.loads(Path("parked.json").read_text())
    text["metadata"]["version"] = "2.0.0"
    text["spec"]["steps"].append(value("more", depends_on=["last"]))
    Path("newer.json").write_text(json.dumps(text))
    there("workflow", "apply", "newer.json")
    looked = there("execution", "migrate", parked, "--to", "2.0.0", "--dry-run", "-o", "json").json()["items"]
    moved = there("execution", "migrate", "--workflow", "parked", "--from", "1.0.0", "--to", "2.0.0", "-o", "json")
    again = there("execution", "migrate", parked, "--to", "2.0.0", "-o", "json")
    assert (looked[0]["moved"], looked[0]["problems"]) == (False, [])
    assert parked in [each["execution"] for each in moved.json()["items"] if each["moved"]]
    assert (again.status, again.json()["items"][0]["problems"]) == (1, ["it runs version 2.0.0 already"])


def test_who_asks_is_who_has_the_token(there: There, parked: str) -> None:
    refused = there("execution", "pause", parked, "--by", "somebody")
    assert (refused.status, _code(refused.err)) == (2, "usage")
    assert "a server knows by the token who asks" in refused.err


def test_dead_letters_are_retried_and_discarded_through_a_server(there: There, halved: tuple[str, str]) -> None:
    failed = there.ended("halving", '{"of": 11}')
    letter = there("dlq", "list", "--execution", failed, "-o", "json").json()["items"][0]["id"]
    assert there("dlq", "retry", letter, "--input", '{"args": {"of": 10}}').status == 0
    assert there("execution", "watch", failed, "-o", "json").json()["steps"][0]["output"] == 5.0
    failed = there.ended("halving", '{"of": 9}')
    letter = there("dlq", "list", "--execution", failed, "-o", "json").json()["items"][0]["id"]
    discarded = there("dlq", "discard", letter, "--reason", "told by phone", "-o", "json").json()["items"][0]
    assert (discarded["outcome"], discarded["discarded"]["reason"]) == ("discarded", "told by phone")
    assert there("dlq", "discard", letter).out == f"{letter} was discarded before, by tests\n"


def test_questions_are_answered_through_a_server(there: There, stepwell: Stepwell) -> None:
    write_workflow("asking.json", QUESTION, name="asking")
    there("workflow", "apply", "asking.json")
    id_ = there.started("asking")
    page = there("approval", "list", "--limit", "1000", "-o", "json").json()["items"]
    (asked,) = [each for each in page if each["execution_id"] == id_]
    assert asked["respond"].endswith(f" --server {there.server.url}")
    assert there.server.token not in json.dumps(page)
    wrong = there("approval", "respond", id_, "ask", "--response", '"maybe"')
    assert (wrong.status, _code(wrong.err)) == (2, "invalid-answer")
    somebody = there("approval", "respond", id_, "ask", "--response", "true", "--by", "grace")
    assert (somebody.status, _code(somebody.err)) == (2, "not-yourself")
    given = there("approval", "respond", id_, "ask", "--response", "true", "-o", "json").json()
    assert (given["by"], given["engine_present"]) == ("tests", True)
    assert there("execution", "watch", id_, "-q").status == 0


def test_events_are_published_through_a_server(there: There, parked: str) -> None:
    first = there("event", "publish", "order.paid", "-d", '{"n": 1}', "--id", "e-1", "-o", "json").json()
    again = there.here("event", "publish", "order.paid", "-d", '{"n": 1}', "--id", "e-1", "-o", "json").json()
    assert {**first, "duplicate": True} == again
    told = there("event", "publish", "order.sent", "-d", "1")
    assert "nothing waits for it yet, and it is kept for waits that begin later" in told.out
    for run in (there, there.here):
        refused = run("event", "publish", "stepwell.approval.answered", "-d", "{}")
        assert (refused.status, _code(refused.err)) == (2, "reserved-event")
        for send in (("event", "publish", "order.paid"), ("execution", "signal", parked, "go")):
            refused = run(*send, "-d", json.dumps("x" * LARGEST_DATA))
            assert (refused.status, _code(refused.err)) == (2, "event-too-large")


def test_definitions_live_at_a_server_as_they_do_in_a_store(there: There) -> None:
    write_workflow("life.json", value("one"), name="life")
    applied = there("workflow", "apply", "life.json", "--draft", "-o", "json").json()["items"][0]
    assert (applied["outcome"], applied["lifecycle"], applied["file"]) == ("registered", "draft", "life.json")
    assert there.here("workflow", "apply", "life.json", "-o", "json").json()["items"] == [
        {**applied, "outcome": "unchanged"}
    ]
    assert there("execution", "start", "life").status == 2
    assert there("workflow", "activate", "life@1.0.0").out == "life@1.0.0 is active, and the default\n"
    assert (
        there("workflow", "deprecate", "life@1.0.0", "--reason", "old").out
        == "life@1.0.0 is deprecated, and the default\n"
    )
    assert "warning: life@1.0.0 is deprecated: old" in there("execution", "start", "life@1.0.0").err
    assert there("workflow", "activate", "life@1.0.0").status == 0
    assert there("workflow", "default", "life@1.0.0", "-o", "json").json()["default_chosen"] is True
    write_workflow("life.json", value("two"), name="life")
    changed = there("workflow", "apply", "life.json", "-o", "json")
    assert (changed.status, changed.json()["items"][0]["error"]["code"]) == (2, "version-exists")
    for words in (("graph", "life"), ("diff", "life", "life.json"), ("convert", "life", "--to", "native")):
        assert there("workflow", *words).out == there.here("workflow", *words).out != ""
    assert there("plan", "life").out == there.here("plan", "life").out
    assert there("validate", "life").status == 0


def test_a_definition_that_a_server_would_not_run_is_shown_with_its_lines(there: There) -> None:
    write_workflow("odd.json", {"name": "one", "type": "python", "config": {"task": "unheard_of"}}, name="odd")
    write_workflow("fine.json", value("one"), name="fine")
    shown = there("workflow", "apply", "fine.json", "odd.json")
    assert shown.status == 2
    assert re.search(r"odd\.json:\d+:\d+: error\[unknown-task\]", shown.err)
    assert '"task": "unheard_of"' in shown.err
    assert "nothing was registered" in shown.err
    assert there("workflow", "show", "fine").status == 2


def test_run_has_a_server_do_it(there: There) -> None:
    write_workflow("there.json", HALVING, name="there", input=OF)
    done = there("run", "there.json", "-i", '{"of": 12}', "-o", "json")
    assert (done.status, done.json()["steps"][0]["output"]) == (0, 6.0)
    assert there("run", "there@1.0.0", "-i", '{"of": 3}', "-q").status == 1
    assert there("run", "there.json", "--import", "tasks.py").status == 2
    assert "`stepwell execution watch` follows it" in there("run", "--resume", "x").err


def test_secrets_and_keys_are_kept_through_a_server(
    there: There, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = there("key", "create", "ci", "--role", "viewer", "--namespace", "payments", "--expires", "1d", "-o", "json")
    key = made.json()
    assert (key["role"], key["namespaces"], key["status"]) == ("viewer", ["payments"], "active")
    weak = [*("execution", "list"), "--server", server.url, "--token", key["token"]]
    listed = {each["id"]: each["name"] for each in there("key", "list", "-o", "json").json()["items"]}
    assert listed[key["id"]] == "ci"
    assert "ci" in there.here("key", "list").out
    newer = there("key", "rotate", key["id"], "-o", "json").json()
    assert newer["replaces"] == key["id"]
    assert there("key", "revoke", newer["id"]).out == f"{newer['id']} revoked\n"
    assert weak[-1] not in there("audit", "list", "-o", "json").out
    command = [sys.executable, "-m", "stepwell", "secret", "set", "CRM", "--server", server.url]
    done = subprocess.run(
        command, input="s3cret\n", env={**os.environ, "STEPWELL_TOKEN": server.token}, text=True, check=True
    )
    assert done.returncode == 0
    assert [each["name"] for each in there("secret", "list", "-o", "json").json()["items"]] == ["CRM"]
    assert there("secret", "delete", "CRM", "-o", "json").json() == {"deleted": ["CRM"]}
    assert there("secret", "delete", "CRM").status == 2


def test_schedules_are_kept_through_a_server(there: There, halved: tuple[str, str]) -> None:
    made = there("schedule", "create", "halving", "--every", "1h", "--id", "hourly", "-i", '{"of": 2}', "-o", "json")
    assert made.status == 0, made.err
    assert (
        there("schedule", "show", "hourly", "-o", "json").json()
        == there.here("schedule", "show", "hourly", "-o", "json").json()
    )
    assert there("schedule", "delete", "hourly").status == 0


def test_doctor_examines_a_server(there: There, stepwell: Stepwell) -> None:
    checks = {each["check"]: each["status"] for each in there("doctor", "-o", "json").json()["items"]}
    assert (checks["server"], checks["readiness"], checks["token"]) == ("ok", "ok", "ok")
    nameless = stepwell("doctor", "--server", there.server.url, "-o", "json")
    checks = {each["check"]: each["status"] for each in nameless.json()["items"]}
    assert (nameless.status, checks["server"], checks["token"]) == (1, "ok", "fail")


def test_the_environment_names_server_and_token(
    stepwell: Stepwell, server: Server, monkeypatch: pytest.MonkeyPatch, halved: tuple[str, str]
) -> None:
    monkeypatch.setenv("STEPWELL_SERVER", f"{server.url}/api/v1")
    monkeypatch.setenv("STEPWELL_STORE", "sqlite:elsewhere.db")
    Path("token.txt").write_text(f"{server.token}\n")
    monkeypatch.setenv("STEPWELL_TOKEN", "@token.txt")
    assert stepwell("execution", "show", halved[0]).status == 0
    assert stepwell("execution", "show", halved[0], "--store", server.store).status == 0
    assert "error[store-missing]" in stepwell("execution", "list", "--store", "sqlite:elsewhere.db").err
