"""`dlq`: steps that failed for good and that nothing handled, and events that were refused."""

from __future__ import annotations

import asyncio
import secrets
import socket
from pathlib import Path

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.codec import Codec
from stepwell.ports.records import DeadLetter
from stepwell.services.cipher import AesCipher
from stepwell.store.sqlite.store import SqliteStore
from tests.cli.conftest import Stepwell
from tests.conformance.store import scene_on
from tests.conformance.store_dead_letters import leaving, letter

PASSWORD = "correct horse battery staple"
INPUT = {
    "amount": 12,
    "card": Sealed(PASSWORD),
    "headers": {"Authorization": SecretText(("Bearer ", SecretRef("TOKEN")))},
    "token": SecretRef("TOKEN"),
}


def leave(*letters: DeadLetter) -> None:
    """Have these dead letters in the store."""

    async def write() -> None:
        store = SqliteStore("stepwell.db")
        await store.open()
        scene = await scene_on(store)
        for id_ in dict.fromkeys(each.execution for each in letters):
            handle = await scene.create(id_)
            await scene.append(leaving(handle, *[each for each in letters if each.execution == id_], seq=20))
        await store.close()

    asyncio.run(write())


@pytest.fixture
def some(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three dead letters of two executions, one with secrets in its input."""
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "host")
    given = Codec(AesCipher(secrets.token_bytes(32))).encode_value(INPUT)
    leave(
        letter("a", seq=17, input=given),
        letter("a", "undo", 19, kind="compensation", attempts=1, input=None, error=ErrorInfo("timeout", "too late")),
        letter("b", workflow="bank"),
    )


def ids(stepwell: Stepwell, *options: str) -> list[str]:
    return [item["id"] for item in stepwell("dlq", "list", "-o", "json", *options).json()["items"]]


@pytest.mark.usefixtures("some")
def test_dead_letters_are_listed_newest_first_and_filtered(stepwell: Stepwell) -> None:
    lines = stepwell("dlq", "list").out.splitlines()
    assert lines[0].split() == ["id", "workflow", "at", "tries", "error"]
    assert [line.split()[0] for line in lines[1:]] == ["b/pay/2", "a/undo/19", "a/pay/17"]
    assert lines[2].endswith("too late")
    assert ids(stepwell, "--workflow", "bank") == ["b/pay/2"]
    assert ids(stepwell, "--execution", "a") == ["a/undo/19", "a/pay/17"]
    assert ids(stepwell, "--error-type", "timeout") == ["a/undo/19"]
    assert stepwell("dlq", "list", "--workflow", "none").out == "no dead letters\n"


@pytest.mark.usefixtures("some")
def test_a_list_of_dead_letters_goes_on_where_it_ended(stepwell: Stepwell) -> None:
    first = stepwell("dlq", "list", "--limit", "2", "-o", "json").json()
    assert ids(stepwell, "--limit", "2", "--cursor", first["next"]) == ["a/pay/17"]
    assert stepwell("dlq", "list", "--limit", "2").out.endswith(f"\nmore with --cursor {first['next']}\n")


@pytest.mark.usefixtures("some")
def test_a_dead_letter_is_shown_with_everything_and_without_secrets(stepwell: Stepwell, folder: Path) -> None:
    shown = stepwell("dlq", "show", "a/pay/17", "--store", "stepwell.db")
    assert shown.status == 0
    for line in (
        "dead letter  a/pay/17",
        "workflow     shop 1.0.0",
        "step         pay",
        "failed       2023-11-14 22:13:20, event 17 of its history",
        "error        http_error: 503 from 'pay' ☃",
        '  "card": "***",',
        "  try it again:     stepwell dlq retry a/pay/17 --store stepwell.db",
        "  what led to it:   stepwell execution history a --after 7 --store stepwell.db",
    ):
        assert f"{line}\n" in shown.out
    document = stepwell("dlq", "show", "a/pay/17", "-o", "json").json()
    assert document["input"] == {"amount": 12, "card": "***", "headers": {"Authorization": "***"}, "token": "***"}
    assert document["error"]["details"] == {"status": 503, "seen": ["***", None]}
    assert (document["seq"], document["attempts"], document["kind"]) == (17, 3, "step")
    for file in folder.iterdir():
        assert PASSWORD.encode() not in file.read_bytes()


@pytest.mark.usefixtures("some")
def test_a_compensation_without_input_is_shown_as_what_it_is(stepwell: Stepwell) -> None:
    shown = stepwell("dlq", "show", "a/undo/19").out
    assert "compensation step  undo\n" in shown
    assert "tried              once\n" in shown
    assert "\ninput\n" not in shown


@pytest.mark.usefixtures("some")
def test_what_is_discarded_is_no_longer_listed_and_says_who_and_why(stepwell: Stepwell) -> None:
    shown = stepwell("dlq", "discard", "a/pay/17", "b/pay/2", "--reason", "paid by hand")
    assert shown == (0, "a/pay/17 discarded\nb/pay/2 discarded\n", "")
    assert ids(stepwell) == ["a/undo/19"]
    assert ids(stepwell, "--discarded") == ["b/pay/2", "a/pay/17"]
    document = stepwell("dlq", "show", "a/pay/17", "-o", "json").json()
    assert (document["input"], document["discarded"]["by"]) == (None, "ada@host")
    text = stepwell("dlq", "show", "a/pay/17").out
    assert "by ada@host: paid by hand\n" in text
    assert "what to do next" not in text
    again = stepwell("dlq", "discard", "a/pay/17", "--reason", "again")
    assert again == (0, "a/pay/17 was discarded before, by ada@host\n", "")


@pytest.mark.usefixtures("some")
def test_one_that_is_not_there_is_said_and_the_others_are_discarded(stepwell: Stepwell) -> None:
    shown = stepwell("dlq", "discard", "a/none/1", "b/pay/2", "-o", "json")
    assert (shown.status, [item["outcome"] for item in shown.json()["items"]]) == (2, ["discarded"])
    assert shown.err.startswith("error[unknown-dead-letter]: there is no dead letter 'a/none/1' in this store\nhint: ")
    assert stepwell("dlq", "show", "a/none/1").status == 2


def test_a_damaged_input_is_said_to_be_damaged(stepwell: Stepwell) -> None:
    leave(letter("a", input=b"\x00\xff"))
    shown = stepwell("dlq", "show", "a/pay/2")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[damaged-dead-letter]: the input of dead letter 'a/pay/2' is damaged: ")


def test_a_hostile_id_is_quoted_in_what_to_type(stepwell: Stepwell) -> None:
    leave(letter("a", "x'; rm -rf ~ #2", 4, input=None))
    out = stepwell("dlq", "show", "a/x'; rm -rf ~ #2/4").out
    assert """stepwell dlq retry 'a/x'"'"'; rm -rf ~ #2/4'""" in out


# Events

TAKING = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: taking, version: 1.0.0}
spec:
  triggers: [{event: paid}]
  input: {schema: {properties: {n: {type: integer}}}}
  steps: [{name: one, type: noop}]
"""


@pytest.fixture
def refused(stepwell: Stepwell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of an event that was refused."""
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "host")
    (folder / "taking.yaml").write_text(TAKING)
    assert stepwell("workflow", "apply", "taking.yaml").status == 0
    sent = stepwell("event", "publish", "paid", "-d", f'{{"n": "x", "password": "{PASSWORD}"}}', "-o", "json")
    assert [each["outcome"] for each in sent.json()["firings"]] == ["refused"]
    (id_,) = ids(stepwell)
    return id_


def test_an_event_that_was_refused_is_listed_and_shown_without_secrets(stepwell: Stepwell, refused: str) -> None:
    assert ids(stepwell, "--workflow", "taking", "--error-type", "invalid-input") == [refused]
    assert "taking 1.0.0" in stepwell("dlq", "list").out
    shown = stepwell("dlq", "show", refused).out
    for line in ("workflow     taking 1.0.0", "trigger      0", '    "password": "***"', "what to do next"):
        assert f"{line}\n" in shown
    assert f"  try it again:     stepwell dlq retry {refused}\n" in shown
    assert PASSWORD not in shown
    assert stepwell("db", "status", "-o", "json").json()["dead_letters"] == 1


def test_an_event_is_tried_again_with_edited_data_and_starts_what_it_should_have(
    stepwell: Stepwell, refused: str
) -> None:
    again = stepwell("dlq", "retry", refused)
    assert again.err.startswith("error[refused-again]: trigger 0 of 'taking' ")
    assert again.status != 0
    done = stepwell("dlq", "retry", refused, "--input", '{"n": 7}', "--reason", "typed", "-o", "json").json()
    assert (done["verb"], done["changed"], done["status"]) == ("retry", True, "pending")
    assert done["message"].endswith("it begins as soon as an engine runs")
    assert stepwell("db", "status", "-o", "json").json()["inbox"] == 1
    assert ids(stepwell) == []
    gone = stepwell("dlq", "retry", refused)
    assert (gone.status, gone.err.startswith("error[unknown-dead-letter]: ")) == (2, True)


def test_an_event_is_discarded_with_who_and_why(stepwell: Stepwell, refused: str) -> None:
    assert stepwell("dlq", "discard", refused, "--reason", "a test") == (0, f"{refused} discarded\n", "")
    assert (ids(stepwell), ids(stepwell, "--discarded")) == ([], [refused])
    document = stepwell("dlq", "show", refused, "-o", "json").json()
    assert (document["input"], document["discarded"]["by"]) == (None, "ada@host")
    again = stepwell("dlq", "retry", refused)
    assert again.err.startswith("error[discarded-dead-letter]: ")
