"""`approval`: questions to people, and their answers."""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from stepwell.cli.options import Setup
from stepwell.cli.sending import how_to_answer
from stepwell.execution.event import ANSWER
from stepwell.execution.history import ApprovalRequested
from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, write_workflow

SCHEMA = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}


def asking(**config: Any) -> dict[str, Any]:
    return {"name": "ask", "type": "approval", "config": {"prompt": "Ship \x1b[31m7?", **config}}


def waiting(stepwell: Stepwell, *more: Any, **config: Any) -> str:
    """An execution that has asked its question, and that nobody runs; its id."""
    write_workflow("ship.json", asking(**config), *more, output={"values": {"by": "{{ steps.ask.output.by }}"}})
    done = stepwell("run", "ship.json", "--timeout", "200ms", "-q", "-o", "json")
    assert done.status == 3
    return str(done.json()["execution_id"])


def test_a_store_without_questions_says_so(stepwell: Stepwell) -> None:
    assert stepwell("db", "migrate").status == 0
    assert stepwell("approval", "list") == (0, "nobody is asked anything\n", "")
    assert stepwell("approval", "list", "-o", "json").json() == {"items": [], "next": None}


def test_questions_are_listed_with_what_to_type(stepwell: Stepwell) -> None:
    first = waiting(stepwell, assigned_to=["ada", "bob"], response_schema=SCHEMA, timeout="1h", default={"ok": False})
    second = waiting(stepwell)
    shown = stepwell("approval", "list", "--store", "stepwell.db").out
    assert "\x1b" not in shown
    one, two = shown.split("\n\n")
    lines = one.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "execution", "step", "question", "for", "asked", "until", "without an answer", "answer with",
    ]  # fmt: skip
    assert lines[0].endswith(f"  {first} (demo 1.0.0)")
    assert lines[3].endswith("  ada, bob")
    assert lines[6] == 'without an answer  {"ok": false}'
    typed = f"""stepwell approval respond {first} ask --response '{{"ok": true}}' --by ada --store stepwell.db"""
    assert lines[7].endswith(typed)
    assert two.splitlines()[3:] == [
        "for          anybody",
        two.splitlines()[4],
        f"answer with  stepwell approval respond {second} ask --response true --store stepwell.db",
    ]
    page = stepwell("approval", "list", "--limit", "1", "-o", "json").json()
    assert [item["execution_id"] for item in page["items"]] == [first]
    assert stepwell("approval", "list", "--limit", "1").out.endswith(f"\n\nmore with --cursor {page['next']}\n")
    rest = stepwell("approval", "list", "--cursor", page["next"], "-o", "json").json()
    assert [item["execution_id"] for item in rest["items"]] == [second]


def test_questions_are_listed_by_who_may_answer_and_by_what_asks(stepwell: Stepwell) -> None:
    first, second = waiting(stepwell, assigned_to=["ada"]), waiting(stepwell, assigned_to=["bob"])

    def listed(*wanted: str) -> list[str]:
        items = stepwell("approval", "list", *wanted, "-o", "json").json()["items"]
        assert all(item["claimed_by"] is None for item in items)
        return [item["execution_id"] for item in items]

    assert listed("--person", "bob") == [second]
    assert listed("--workflow", "demo") == [first, second]
    assert listed("--workflow", "another") == []
    assert listed("--execution", first) == [first]
    assert stepwell("approval", "list", "--person", "eve").out == "nobody is asked anything\n"


def test_an_answer_is_kept_until_the_execution_goes_on(stepwell: Stepwell) -> None:
    execution = waiting(stepwell, value("then", depends_on="ask"), assigned_to="ada", response_schema=SCHEMA)
    done = stepwell("approval", "respond", execution, "ask", "--response", '{"ok": true}', "--by", "ada")
    assert (done.status, done.out) == (0, f"{execution} has the answer of ada to step ask\n")
    assert done.err == (
        "no engine is running on this store: the answer is kept, and taken when the execution goes on: "
        f"stepwell run --resume {execution}\n"
    )
    assert "answered   by ada; it is taken when the execution goes on\n" in stepwell("approval", "list").out
    again = stepwell("approval", "respond", execution, "ask", "--response", '{"ok": true}', "--by", "ada")
    assert again.status == 2
    assert again.err.startswith(
        f"error[already-answered]: step 'ask' of execution {execution} was answered already by ada\nhint: "
    )
    resumed = stepwell("run", "--resume", execution)
    assert resumed.status == 0
    assert "answered by ada\n" in resumed.out + resumed.err
    assert stepwell("approval", "list").out == "nobody is asked anything\n"


@pytest.mark.parametrize(
    ("response", "by", "said"),
    [
        ('{"ok": 1}', "ada", "error[invalid-answer]: step 'ask' cannot take this answer: ok: 1 is not of type "),
        ('{"ok": true}', "eve", "error[invalid-answer]: step 'ask' cannot take this answer: eve may not answer; "),
        ('{"ok": ', "ada", "error[invalid-json]: the response is not JSON: "),
    ],
)
def test_a_wrong_answer_is_refused_at_once(stepwell: Stepwell, response: str, by: str, said: str) -> None:
    execution = waiting(stepwell, assigned_to="ada", response_schema=SCHEMA)
    events = stepwell("db", "status", "-o", "json").json()["events"]
    done = stepwell("approval", "respond", execution, "ask", "--response", response, "--by", by)
    assert (done.status, done.out, done.err[: len(said)]) == (2, "", said)
    assert stepwell("db", "status", "-o", "json").json()["events"] == events


def test_who_answers_is_the_user_unless_it_is_said(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    execution = waiting(stepwell, assigned_to=["ada"])
    done = stepwell("approval", "respond", execution, "ask", "--response", "true", "-o", "json", "-q")
    assert (done.status, done.err) == (0, "")
    document = done.json()
    assert document.pop("event_id")
    assert document == {"execution_id": execution, "step": "ask", "by": "ada", "engine_present": False}


@pytest.mark.usefixtures("folder")
def test_the_store_and_the_execution_must_be_there(stepwell: Stepwell) -> None:
    arguments = ("approval", "respond", "nobody", "ask", "--response", "1")
    assert stepwell(*arguments).status == 4
    stepwell("db", "migrate")
    done = stepwell(*arguments)
    assert (done.status, done.err.split(":")[0]) == (2, "error[unknown-execution]")
    assert stepwell("approval", "list", "--cursor", "x").err.startswith("error[invalid-cursor]: 'x' is not a cursor")


def test_somebody_at_a_terminal_is_told_how_to_answer() -> None:
    asked = ApprovalRequested(0, "ask[1]", {"prompt": "Ship?", "assigned_to": "ada"}, {}, None)
    assert how_to_answer(asked, "x", Setup(store="my store.db")) == (
        "ask[1] waits for an answer; to give it from another terminal:\n"
        "    stepwell approval respond x 'ask[1]' --response true --by ada --store 'my store.db'"
    )


def test_a_wait_that_is_no_question_is_not_listed(stepwell: Stepwell) -> None:
    hold = {"name": "hold", "type": "wait_for_event", "config": {"event_type": ANSWER, "timeout": "1h"}}
    write_workflow("hold.json", hold)
    assert stepwell("run", "hold.json", "--timeout", "200ms", "-q").status == 3
    assert stepwell("approval", "list").out == "nobody is asked anything\n"
