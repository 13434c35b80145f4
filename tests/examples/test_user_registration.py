"""`examples/user-registration`, first as a user runs it, then against other services that answer as each test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.examples.command import EXAMPLES, Done, python, stepwell
from tests.examples.stubs import Answer, Reply, Request, Stubs, stubs

EXAMPLE = EXAMPLES / "user-registration"
PASSWORD = "correct horse battery staple"
GIVEN = {"username": "grace", "email": "grace@example.com", "password": PASSWORD, "verify_within": "1h"}
SERVICES = ("user-service", "profile-service", "notification-service")
STEPS = [
    "check_unused",
    "create_account",
    "create_profile",
    "send_welcome_email",
    "wait_for_verification",
    "activate_account",
    "announce",
]  # fmt: skip


# As a user runs it


def test_it_registers_a_user(tmp_path: Path) -> None:
    done = python(EXAMPLE / "run.py", "-o", "json", folder=tmp_path)
    assert done.status == 0, done.messages
    assert done.report["status"] == "completed"
    assert done.report["completed_steps"] == STEPS
    assert done.report["output"]["status"] == "active"
    assert done.report["output"]["user_id"] == outputs(done.report)["create_account"]["user_id"]
    assert_nowhere(PASSWORD, tmp_path, done)


def test_a_mail_server_that_is_down_does_not_keep_a_user_out(tmp_path: Path) -> None:
    done = python(EXAMPLE / "run.py", "--fail-email", "-o", "json", folder=tmp_path)
    assert done.status == 0, done.messages
    assert done.report["status"] == "completed"
    assert done.report["failed_steps"] == ["send_welcome_email"]
    email = step(done.report, "send_welcome_email")
    assert (email["attempts"], email["error"]["details"]["status"]) == (3, 503)
    assert log_of(tmp_path).count("POST /emails 503") == 3


def test_a_user_who_never_verifies_leaves_nothing_behind(tmp_path: Path) -> None:
    done = python(EXAMPLE / "run.py", "--no-event", "-o", "json", folder=tmp_path)
    assert done.status == 1
    assert done.report["status"] == "failed"
    assert done.report["compensation"] == "done"
    assert done.report["error"]["message"] == "ada@example.com was not verified within 2s"
    user = outputs(done.report)["create_account"]["user_id"]
    requests = [line.split(": ", 1)[1] for line in log_of(tmp_path).splitlines()]
    assert requests[-2:] == [f"DELETE /users/{user} 204", f"DELETE /profiles/of-user/{user} 204"]


def test_the_switches_of_stepwell_run_are_passed_on(tmp_path: Path) -> None:
    done = python(EXAMPLE / "run.py", "--no-such-switch", folder=tmp_path)
    assert done.status == 2
    assert "--no-such-switch" in done.messages


# Against other services


def answer(request: Request) -> Reply:
    """What services answer when all goes well."""
    match request.line.split("/")[0], request.path.split("/")[1]:
        case "user-service POST ", "validations":
            return 200, {"valid": True}
        case "user-service POST ", "users":
            return 201, {"id": "u-17", "status": "pending"}
        case "user-service PUT ", "users":
            return 200, {"id": "u-17", "status": "active", "activated_at": "2026-11-20T10:00:00Z"}
        case _, ("profiles" | "emails" | "notifications" | "users"):
            return 200, {}
        case unexpected:
            raise AssertionError(unexpected)


def with_answers(**others: Callable[[Request], Reply]) -> Answer:
    """As `answer`, but for paths that begin with one of the given names."""

    def chosen(request: Request) -> Reply:
        return others.get(request.path.split("/")[1], answer)(request)

    return chosen


def verify(folder: Path, user: str = "u-17") -> None:
    """What the service behind the link in the e-mail does."""
    data = json.dumps({"user_id": user})
    done = stepwell("event", "publish", "user.email_verified", "-d", data, "--store", "sqlite:run.db", folder=folder)
    assert done.status == 0, done.messages


def register(services: Stubs, folder: Path, **changes: Any) -> Done:
    """Run the workflow against these services."""
    configuration = services.write_configuration(folder / "services.yaml", *SERVICES)
    flags: list[str | Path] = ["--config", configuration, "--store", "sqlite:run.db", "-o", "json"]
    given = json.dumps({**GIVEN, **changes})
    return stepwell("run", EXAMPLE / "workflow.yaml", "-i", "-", *flags, folder=folder, given=given)


def verifying_email(folder: Path) -> Callable[[Request], Reply]:
    """The user is quicker than the service's answer, so that the event comes before the wait for it begins."""

    def send(request: Request) -> Reply:
        verify(folder)
        return 202, {}

    return send


def test_every_service_is_called_once_and_in_order(tmp_path: Path) -> None:
    with stubs(with_answers(emails=verifying_email(tmp_path))) as services:
        done = register(services, tmp_path)
    assert done.status == 0, done.messages
    assert done.report["output"] == {"user_id": "u-17", "status": "active", "activated_at": "2026-11-20T10:00:00Z"}
    assert sorted(services.lines[:2]) == [
        "user-service POST /validations/unique_email",
        "user-service POST /validations/unique_username",
    ]
    assert services.lines[2] == "user-service POST /users"
    assert sorted(services.lines[3:5]) == ["notification-service POST /emails", "profile-service POST /profiles"]
    assert services.lines[5:] == [
        "user-service PUT /users/u-17/activation",
        "notification-service POST /notifications",
    ]


def test_the_event_of_an_early_user_is_not_lost(tmp_path: Path) -> None:
    with stubs(with_answers(emails=verifying_email(tmp_path))) as services:
        done = register(services, tmp_path)
    assert step(done.report, "wait_for_verification")["output"] == {"event_data": {"user_id": "u-17"}}


def test_an_event_about_another_user_is_not_taken(tmp_path: Path) -> None:
    def send(request: Request) -> Reply:
        verify(tmp_path, "u-18")
        return 202, {}

    with stubs(with_answers(emails=send)) as services:
        done = register(services, tmp_path, verify_within="50ms")
    assert done.report["status"] == "failed"
    assert step(done.report, "wait_for_verification")["error"]["type"] == "timeout"


def test_the_account_is_made_with_a_hash_and_never_with_the_password(tmp_path: Path) -> None:
    with stubs(with_answers(emails=verifying_email(tmp_path))) as services:
        done = register(services, tmp_path)
    (created,) = services.of("user-service POST /users")
    assert created.body["password_hash"].startswith("$scrypt$")
    assert created.body | {"password_hash": ""} == {
        "username": "grace",
        "email": "grace@example.com",
        "password_hash": "",
        "status": "pending",
    }
    assert PASSWORD not in str(services.requests)
    assert_nowhere(PASSWORD, tmp_path, done)


def test_a_repeated_request_carries_the_same_idempotency_key(tmp_path: Path) -> None:
    failures = [503, 500]

    def create(request: Request) -> Reply:
        return (failures.pop(), {"error": "not now"}) if failures and request.method == "POST" else answer(request)

    with stubs(with_answers(users=create, emails=verifying_email(tmp_path))) as services:
        done = register(services, tmp_path)
    assert done.status == 0, done.messages
    assert step(done.report, "create_account")["attempts"] == 3
    keys = {request.headers["Idempotency-Key"] for request in services.of("user-service POST /users")}
    assert keys == {f"{done.report['execution_id']}/create_account"}


def test_a_taken_name_ends_the_registration_before_anything_is_made(tmp_path: Path) -> None:
    def taken(request: Request) -> Reply:
        return 200, {"valid": request.path != "/validations/unique_username", "message": "is taken"}

    with stubs(with_answers(validations=taken)) as services:
        done = register(services, tmp_path)
    assert done.status == 1
    assert done.report["error"]["message"].startswith("This registration cannot be accepted: ")
    assert "username" in done.report["error"]["message"]
    assert {line.rpartition("/")[0] for line in services.lines} == {"user-service POST /validations"}


def test_a_profile_that_cannot_be_stored_undoes_the_account_only(tmp_path: Path) -> None:
    def refuse(request: Request) -> Reply:
        return 422, {"error": "too long"}

    with stubs(with_answers(profiles=refuse)) as services:
        done = register(services, tmp_path)
    assert done.status == 1
    assert done.report["compensation"] == "done"
    assert [line for line in services.lines if "DELETE" in line] == ["user-service DELETE /users/u-17"]
    assert len(services.of("profile-service POST /profiles")) == 1


def test_nothing_is_undone_when_no_account_was_made(tmp_path: Path) -> None:
    def refuse(request: Request) -> Reply:
        return 400, {"error": "no"}

    with stubs(with_answers(users=refuse)) as services:
        done = register(services, tmp_path)
    assert done.status == 1
    assert done.report["compensation"] == "nothing"
    assert not [line for line in services.lines if "DELETE" in line]
    (delete_account, _) = done.report["compensation_steps"]
    assert delete_account["status"] == "skipped"
    assert "create_account" in delete_account["reason"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"email": "not an address"}, "email"),
        ({"password": "Xy7-q"}, "password"),
        ({"username": None}, "username"),
        ({"usrname": "ada"}, "usrname"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_stored(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with stubs(answer) as services:
        done = register(services, tmp_path, **changes)
    assert done.status == 2
    assert "invalid-input" in done.messages
    assert named in done.messages
    assert "Xy7-q" not in done.messages
    assert services.lines == []
    listed = stepwell("execution", "list", "--store", "sqlite:run.db", "-o", "json", folder=tmp_path)
    assert listed.status == 4 or listed.report["items"] == []


def log_of(folder: Path) -> str:
    return (folder / "build/user-registration/services.log").read_text("utf-8")


def step(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in report["steps"] if step["name"] == name)
    return found


def outputs(report: dict[str, Any]) -> dict[str, Any]:
    return {step["name"]: step["output"] for step in report["steps"]}


def assert_nowhere(secret: str, folder: Path, done: Done) -> None:
    """The secret is in no file of the folder, and was not printed."""
    assert secret not in done.output + done.messages
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes(), file
