"""A registration as somebody else would write it: nothing marked as secret, an output schema without values, hints that
say what the engine does anyway, and a compensation workflow that nobody has registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.examples.command import Done, stepwell
from tests.examples.stubs import Answer, Reply, Request, Stubs, stubs

DEFINITION = """\
apiVersion: workflow/v1
kind: Workflow
metadata:
  name: member-signup
  version: "2.0.1"
  description: "Signs a member up"
  tags: ["members"]
spec:
  config:
    timeout: "30m"
    retry_policy:
      max_attempts: 2
      backoff: "exponential"
      initial_delay: "10ms"
      max_delay: "5m"
  input:
    schema:
      type: object
      properties:
        login: {type: string, minLength: 3, maxLength: 50}
        mail: {type: string, format: email}
        password: {type: string, minLength: 8}
        about: {type: object}
      required: ["login", "mail", "password"]
  steps:
    - name: check
      type: validation
      config:
        validation_rules:
          - field: "mail"
            rule: "unused_mail"
            service: "members"
          - field: "login"
            rule: "unused_login"
            service: "members"
      on_failure:
        action: "terminate"
        message: "Signup refused"
    - name: add_member
      type: service_call
      depends_on: ["check"]
      config:
        service: "members"
        endpoint: "/v1/members"
        method: "POST"
        payload:
          login: "{{ input.login }}"
          secret_hash: "{{ hash(input.password) }}"
      output:
        user_id: "{{ response.id }}"
      on_failure:
        action: "retry"
        max_attempts: 3
    - name: add_about
      type: service_call
      depends_on: ["add_member"]
      config:
        service: "pages"
        endpoint: "/v1/pages"
        method: "POST"
        payload:
          owner: "{{ steps.add_member.output.user_id }}"
          about: "{{ input.about }}"
      parallel: true
    - name: greet
      type: service_call
      depends_on: ["add_member"]
      config:
        service: "mail"
        endpoint: "/v1/send"
        method: "POST"
        payload:
          to: "{{ input.mail }}"
      parallel: true
      on_failure:
        action: "continue"
    - name: confirmed
      type: wait_for_event
      depends_on: ["greet"]
      config:
        event_type: "member.confirmed"
        timeout: "WAIT"
        filter:
          user_id: "{{ steps.add_member.output.user_id }}"
      on_timeout:
        action: "compensate"
        compensation_workflow: "member-cleanup"
    - name: admit
      type: service_call
      depends_on: ["confirmed", "add_about"]
      config:
        service: "members"
        endpoint: "/v1/members/{{ steps.add_member.output.user_id }}/admit"
        method: "PUT"
  compensation:
    steps:
      - name: remove_member
        type: service_call
        config:
          service: "members"
          endpoint: "/v1/members/{{ steps.add_member.output.user_id }}"
          method: "DELETE"
      - name: remove_about
        type: service_call
        condition: "{{ steps.add_about.completed }}"
        config:
          service: "pages"
          endpoint: "/v1/pages/by-owner/{{ steps.add_member.output.user_id }}"
          method: "DELETE"
  output:
    schema:
      type: object
      properties:
        user_id: {type: string}
        status: {type: string}
        activation_date: {type: string, format: date-time}
"""
PASSWORD = "a password without a mark"
GIVEN = {"login": "mary", "mail": "mary@example.org", "password": PASSWORD, "about": {"likes": ["lace", 2.5, None]}}
ADMITTED = {"status": "active", "activation_date": "2026-11-20T10:00:00Z"}


def members(request: Request) -> Reply:
    match request.method, request.path:
        case "POST", "/validations/unused_mail" | "/validations/unused_login":
            return 200, {"valid": True}
        case "POST", "/v1/members":
            return 201, {"id": "m-1", "login": request.body["login"]}
        case "PUT", "/v1/members/m-1/admit":
            return 200, ADMITTED
        case "DELETE", "/v1/members/m-1":
            return 204, None
        case _:
            return 404, {"error": "no such place"}


def fine(request: Request) -> Reply:
    return 200, {"ok": True}


def broken(request: Request) -> Reply:
    return 500, {"error": "out of order"}


def signup(
    folder: Path,
    *,
    services: dict[str, Answer] | None = None,
    wait: str = "24h",
    given: dict[str, Any] | None = None,
) -> tuple[Done, Stubs]:
    """Run the definition against services that answer well unless something else is given."""
    answers: dict[str, Answer] = {"members": members, "pages": fine, "mail": confirming(folder), **(services or {})}
    (folder / "signup.yaml").write_text(DEFINITION.replace("WAIT", wait), "utf-8")
    with stubs(lambda request: answers[request.service](request)) as running:
        configuration = running.write_configuration(folder / "config.yaml", "members", "pages", "mail")
        flags: list[str | Path] = ["--config", configuration, "--store", "sqlite:run.db", "-o", "json"]
        text = json.dumps(GIVEN if given is None else given)
        return stepwell("run", "signup.yaml", "-i", "-", *flags, folder=folder, given=text), running


def confirming(folder: Path) -> Callable[[Request], Reply]:
    """A mail service whose reader confirms before it has answered."""

    def send(request: Request) -> Reply:
        flags = ["-d", '{"user_id": "m-1"}', "--store", "sqlite:run.db"]
        done = stepwell("event", "publish", "member.confirmed", *flags, folder=folder)
        return (202, {}) if done.status == 0 else (500, {"error": done.messages})

    return send


def test_it_completes_and_gathers_its_output_by_the_schema(tmp_path: Path) -> None:
    done, services = signup(tmp_path)
    assert done.status == 0, done.messages
    assert done.report["output"] == {"user_id": "m-1", **ADMITTED}
    assert services.of("pages POST /v1/pages")[0].body == {"owner": "m-1", "about": GIVEN["about"]}
    assert services.lines[-1] == "members PUT /v1/members/m-1/admit"


def test_a_password_that_nobody_marked_is_kept_secret_all_the_same(tmp_path: Path) -> None:
    done, services = signup(tmp_path)
    listed = stepwell("execution", "show", done.report["execution_id"], "--store", "sqlite:run.db", folder=tmp_path)
    for shown in (done.output, done.messages, listed.output, str(services.requests)):
        assert PASSWORD not in shown
    for file in tmp_path.glob("run.db*"):
        assert PASSWORD.encode() not in file.read_bytes()


def test_a_mail_service_that_is_down_fails_visibly_and_holds_nothing_up(tmp_path: Path) -> None:
    confirm = confirming(tmp_path)

    def down(request: Request) -> Reply:
        confirm(request)
        return broken(request)

    done, services = signup(tmp_path, services={"mail": down})
    assert done.status == 0, done.messages
    assert done.report["failed_steps"] == ["greet"]
    assert len(services.of("mail POST /v1/send")) == 2


def test_without_the_event_what_was_made_is_removed_again(tmp_path: Path) -> None:
    done, services = signup(tmp_path, services={"mail": fine}, wait="50ms")
    assert done.status == 1
    assert (done.report["status"], done.report["compensation"]) == ("failed", "done")
    assert services.lines[-2:] == ["members DELETE /v1/members/m-1", "pages DELETE /v1/pages/by-owner/m-1"]
    assert "member-cleanup" in done.report["compensation_reason"]


def test_what_was_never_made_is_not_removed(tmp_path: Path) -> None:
    done, services = signup(tmp_path, services={"pages": broken, "mail": fine}, wait="1h")
    assert done.status == 1
    assert [line for line in services.lines if "DELETE" in line] == ["members DELETE /v1/members/m-1"]


def test_no_request_is_made_with_an_empty_id(tmp_path: Path) -> None:
    def only_checks(request: Request) -> Reply:
        return members(request) if request.path.startswith("/validations/") else broken(request)

    done, services = signup(tmp_path, services={"members": only_checks})
    assert done.status == 1
    assert len(services.of("members POST /v1/members")) == 3
    assert not [line for line in services.lines if "DELETE" in line]


def test_a_refused_check_gives_the_message_of_its_action(tmp_path: Path) -> None:
    done, services = signup(tmp_path, services={"members": lambda request: (200, {"valid": False, "message": "used"})})
    assert done.status == 1
    assert done.report["error"]["message"] == "Signup refused"
    assert len(services.lines) == 2


def test_a_service_that_answers_nonsense_to_a_rule_is_an_error_of_its_own(tmp_path: Path) -> None:
    done, _ = signup(tmp_path, services={"members": lambda request: (200, {"fine": "I guess"})})
    assert done.status == 1
    (check, *_) = done.report["steps"]
    assert check["error"]["type"] == "invalid_response"


@pytest.mark.parametrize("missing", ["login", "mail", "password"])
def test_input_that_lacks_something_reaches_no_service(tmp_path: Path, missing: str) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    done, services = signup(tmp_path, given=given)
    assert done.status == 2
    assert missing in done.messages
    assert services.lines == []
