"""API keys, secrets and the audit log on the command line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import apsw
import pytest

from tests.cli.conftest import Stepwell


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


def test_a_key_is_printed_once_and_alone_on_standard_output(stepwell: Stepwell) -> None:
    made = stepwell("key", "create", "ci", "--role", "developer", "--namespace", "payments", "--expires", "90d")
    assert made.status == 0
    token = made.out.strip()
    assert token.startswith("stepwell_")
    assert "not shown again" in made.err
    listed = stepwell("key", "list")
    assert token not in listed.out
    assert "ci" in listed.out
    assert "payments" in listed.out
    (item,) = stepwell("key", "list", "-o", "json").json()["items"]
    assert (item["role"], item["status"], item["namespaces"]) == ("developer", "active", ["payments"])
    assert "token" not in item


def test_a_key_is_rotated_and_revoked(stepwell: Stepwell) -> None:
    first = stepwell("key", "create", "ci", "--role", "viewer", "-o", "json").json()
    second = stepwell("key", "rotate", first["id"], "--overlap", "1d", "-o", "json").json()
    assert second["replaces"] == first["id"]
    revoked = stepwell("key", "revoke", first["id"], second["id"])
    assert revoked.out.splitlines() == [f"{first['id']} revoked", f"{second['id']} revoked"]
    assert {item["status"] for item in stepwell("key", "list", "-o", "json").json()["items"]} == {"revoked"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("key", "revoke", "nobody"), "unknown-key"),
        (("key", "create", "x", "--role", "viewer", "--namespace", "a.b"), "invalid-namespace"),
        (("key", "create", "", "--role", "viewer"), "invalid-key-name"),
        (("key", "create", "x"), "usage"),
        (("secret", "delete", "NONE"), "unknown-secret"),
        (("audit", "list", "--since", "yesterday"), "usage"),
        (("audit", "list", "--cursor", "x"), "invalid-cursor"),
    ],
)
def test_what_is_wrong_is_said(stepwell: Stepwell, arguments: tuple[str, ...], code: str) -> None:
    stepwell("db", "migrate")
    refused = stepwell(*arguments)
    assert refused.status == 2
    assert f"error[{code}]" in refused.err


def test_a_secret_comes_from_standard_input_and_a_workflow_uses_it(
    stepwell: Stepwell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, b"hunter2hunter2\n")
    assert stepwell("secret", "set", "CRM").out == "CRM set\n"
    listed = stepwell("secret", "list")
    assert "CRM" in listed.out
    assert "hunter2" not in listed.out
    assert b"hunter2" not in Path("stepwell.db").read_bytes()
    Path("w.yaml").write_text(
        "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: '1.0.0'}\nspec:\n"
        "  steps: [{name: a, type: measure, with: {text: '{{ secrets.CRM }}'}}]\n"
        "  output: {values: {length: '{{ steps.a.output }}'}}\n"
    )
    Path("tasks.py").write_text(
        "from stepwell import task\n@task('measure')\ndef measure(text: str) -> int:\n    return len(text)\n"
    )
    run = stepwell("run", "w.yaml", "--import", "tasks.py", "-o", "json")
    assert run.json()["output"] == {"length": 14}
    assert stepwell("secret", "delete", "CRM").status == 0
    assert stepwell("secret", "list").out == "no secrets\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 70_000])
def test_a_value_that_cannot_be_one_is_refused(
    stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    typed(monkeypatch, content)
    refused = stepwell("secret", "set", "CRM")
    assert refused.status == 2
    assert "error[invalid-secret]" in refused.err


def test_the_key_of_secrets_is_changed_and_the_old_one_is_kept(
    stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B"):
        typed(monkeypatch, b"hunter2hunter2")
        stepwell("secret", "set", name)
    before = {item["key"] for item in stepwell("secret", "list", "-o", "json").json()["items"]}
    rotated = stepwell("secret", "rotate-key", "-o", "json")
    assert rotated.json() == {"secrets": 2, "encrypted_anew": 2}
    after = {item["key"] for item in stepwell("secret", "list", "-o", "json").json()["items"]}
    assert len(before) == len(after) == 1
    assert before != after
    assert len(Path("stepwell.db.key").read_text().split()) == 2


def test_what_was_done_is_in_the_audit_log(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"hunter2hunter2")
    stepwell("secret", "set", "CRM")
    stepwell("key", "create", "ci", "--role", "viewer")
    listed = stepwell("audit", "list", "-o", "json").json()
    assert [item["what"] for item in listed["items"]] == ["key.create", "secret.set"]
    assert {item["proof"] for item in listed["items"]} == {"system"}
    assert "hunter2" not in str(listed)
    assert "secret:CRM" in stepwell("audit", "list", "--what", "secret.").out
    assert stepwell("audit", "verify", "-o", "json").json() == {"ok": True, "entries": 2, "problems": []}


def test_an_entry_that_was_changed_is_found(stepwell: Stepwell) -> None:
    for name in ("a", "b", "c"):
        stepwell("key", "create", name, "--role", "viewer")
    connection = apsw.Connection("stepwell.db")
    connection.execute("UPDATE journal SET body = replace(body, 'key.create', 'key.revoke') WHERE number = 2")
    connection.close()
    verified = stepwell("audit", "verify")
    assert verified.status == 1
    assert "entry 2" in verified.out
    assert stepwell("db", "verify").status == 1


def test_what_commands_change_in_a_store_is_in_the_audit_log(stepwell: Stepwell, folder: Path) -> None:
    Path("w.yaml").write_text(
        "apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: w, version: '1.0.0'}\nspec:\n"
        "  steps: [{name: a, type: approval, with: {prompt: x}}]\n"
    )
    stepwell("workflow", "apply", "w.yaml")
    stepwell("workflow", "apply", "w.yaml")
    stepwell("workflow", "deprecate", "w@1.0.0")
    stepwell("event", "publish", "go")
    stepwell("run", "w.yaml", "--timeout", "50ms")
    (execution,) = stepwell("execution", "list", "-o", "json").json()["items"]
    id_ = execution["execution_id"]
    stepwell("execution", "pause", id_)
    stepwell("execution", "cancel", id_)
    items = stepwell("audit", "list", "-o", "json").json()["items"]
    assert [(item["what"], item["on"]) for item in reversed(items)] == [
        ("workflow.apply", "workflow:w/version:1.0.0"),
        ("workflow.deprecated", "workflow:w/version:1.0.0"),
        ("event.publish", "event:go"),
        ("execution.pause", f"execution:{id_}"),
        ("execution.cancel", f"execution:{id_}"),
    ]
