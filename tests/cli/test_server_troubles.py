"""The command line when a server is not there, not what it should be, slow, or does not know who calls."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from stepwell.cli.options import Setup, Token
from stepwell.cli.remote import client as client_module
from stepwell.cli.remote import following
from stepwell.cli.remote.address import base_of, is_in_the_clear, quoted, token_of
from stepwell.cli.subjects import questions
from tests.cli.conftest import Outcome, Stepwell
from tests.cli.served import Server, answering, made_key, pretending, serving
from tests.cli.workflows import value, wait, write_workflow
from tests.tasks.certificates import make_certificates

PAGE = '{"items": [], "next": null}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with a key, so that it asks who calls."""
    folder = tmp_path_factory.mktemp("server")
    token = made_key(f"sqlite:{folder / 'server.db'}")
    with serving(folder, token) as running:
        yield running


def _listed(stepwell: Stepwell, url: str, *more: str) -> Outcome:
    return stepwell("execution", "list", "--server", url, *more)


def test_without_a_token_it_is_said_how_to_give_one(stepwell: Stepwell, server: Server) -> None:
    shown = _listed(stepwell, server.url)
    assert shown.status == 2
    assert shown.err.startswith(f"error[unauthenticated]: {server.url}: ")
    assert "give an API key with --token or STEPWELL_TOKEN" in shown.err


def test_a_wrong_token_is_refused_and_not_repeated(stepwell: Stepwell, server: Server) -> None:
    shown = _listed(stepwell, server.url, "--token", "stepwell_wrong_token")
    assert shown.status == 2
    assert "the token given with --token or STEPWELL_TOKEN is not, or no longer, good here" in shown.err
    assert "stepwell_wrong_token" not in shown.err


def test_who_may_not_is_told_so(stepwell: Stepwell, server: Server) -> None:
    weak = made_key(server.store, "weak", "viewer")
    assert _listed(stepwell, server.url, "--token", weak).status == 0
    write_workflow("one.json", value("one"))
    for command in (("workflow", "apply", "one.json"), ("event", "publish", "go"), ("key", "list")):
        shown = stepwell(*command, "--server", server.url, "--token", weak)
        assert (shown.status, "--token" in shown.err, weak in shown.err) == (2, True, False)
        assert shown.err.startswith("error[forbidden]")


def test_no_server_is_as_no_store(stepwell: Stepwell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        shown = _listed(stepwell, url)
    assert shown.status == 4
    assert shown.err.startswith(f"error[server-unreachable]: no server answers at {url}: connection refused")


def test_a_name_that_is_none_cannot_be_reached(stepwell: Stepwell) -> None:
    shown = _listed(stepwell, "http://nowhere.invalid")
    assert (shown.status, shown.err[:26]) == (4, "error[server-unreachable]:")


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (200, "<html>Welcome</html>", "text/html"),
        (200, "not JSON", "application/json"),
        (404, "<html>Not found</html>", "text/html"),
        (404, '{"error": "not found"}', "application/json"),
        (404, "[]", "application/json"),
        (502, "<html>Bad gateway</html>", "text/html"),
        (301, "", "text/plain"),
        (204, "", "text/plain"),
    ],
)
def test_whatever_else_answers_there_is_no_server_of_stepwell(
    stepwell: Stepwell, status: int, body: str, content_type: str
) -> None:
    with pretending(answering(status, body, content_type, Location="http://elsewhere.invalid/")) as url:
        shown = _listed(stepwell, url, "--token", "secret-token")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[not-a-server]")
    assert "secret-token" not in shown.err


@pytest.mark.parametrize("body", ["{}", "[]", '"text"', '{"items": 7, "next": null}', "null"])
def test_json_that_is_no_answer_is_an_error_and_not_a_defect(stepwell: Stepwell, body: str) -> None:
    with pretending(answering(200, body)) as url:
        shown = _listed(stepwell, url)
        history = stepwell("execution", "history", "x", "--server", url)
        why = stepwell("execution", "why", "x", "--server", url)
    assert [each.status for each in (shown, history, why)] == [4, 4, 4]
    assert all(each.err.startswith("error[not-a-server]") for each in (shown, history, why))


@pytest.mark.parametrize(
    ("status", "code", "exit_status"),
    [
        (404, "unknown-execution", 2),
        (409, "shard-owned", 2),
        (412, "changed-meanwhile", 2),
        (422, "invalid-answer", 2),
        (504, "no-answer", 3),
        (429, "too-many-requests", 4),
        (500, "internal-error", 4),
        (503, "store-unavailable", 4),
    ],
)
def test_a_problem_is_the_error_that_it_names(stepwell: Stepwell, status: int, code: str, exit_status: int) -> None:
    body = json.dumps({"status": status, "code": code, "detail": "it went wrong", "hint": "try this"})
    with pretending(answering(status, body, "application/problem+json")) as url:
        shown = stepwell("execution", "show", "x", "--server", url)
    assert shown.status == exit_status
    assert shown.err.startswith(f"error[{code}]: ")
    assert "it went wrong" in shown.err
    assert shown.err.endswith("hint: try this\n")


def test_fields_that_are_wrong_are_named(stepwell: Stepwell) -> None:
    errors = [{"parameter": "limit", "message": "limit is too large"}]
    problem = {"status": 400, "code": "invalid-parameter", "detail": "not as described: limit", "errors": errors}
    with pretending(answering(400, json.dumps(problem), "application/problem+json")) as url:
        shown = _listed(stepwell, url)
    assert shown.err == "error[invalid-parameter]: not as described: limit: limit is too large\n"


def test_a_server_that_is_too_slow_is_given_up(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE", 0.05)
    over = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        over.wait(5)
        handler.close_connection = True

    with pretending(slowly) as url:
        shown = _listed(stepwell, url)
        asked = stepwell("execution", "pause", "x", "--wait", "50ms", "--server", url)
        over.set()
    assert (shown.status, shown.err.partition(":")[0]) == (4, "error[server-timeout]")
    assert (asked.status, asked.err.partition(":")[0]) == (3, "error[no-answer]")


def test_a_server_must_show_a_certificate_that_is_trusted(folder: Path) -> None:
    files = make_certificates(folder)
    with pretending(answering(200, PAGE), files.server_context()) as url:
        command = [sys.executable, "-m", "stepwell", "execution", "list", "--server", url]
        refused = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
        trusting = {**os.environ, "SSL_CERT_FILE": files.authority}
        listed = subprocess.run(command, env=trusting, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.partition(":")[0]) == (4, "error[server-untrusted]")
    assert "SSL_CERT_FILE" in refused.stderr
    assert (listed.returncode, listed.stdout) == (0, "no executions\n")


class Counting:
    """Breaks so many connections off before it answers."""

    def __init__(self, broken: int) -> None:
        self.calls: list[str] = []
        self._broken = broken

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.calls.append(handler.command)
        if len(self.calls) > self._broken:
            answering(200, PAGE)(handler)
        else:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)


def test_only_what_changes_nothing_is_tried_again(stepwell: Stepwell) -> None:
    answer = Counting(2)
    with pretending(answer) as url:
        assert _listed(stepwell, url).status == 0
        assert answer.calls == ["GET"] * 3
    answer = Counting(1)
    with pretending(answer) as url:
        shown = stepwell("event", "publish", "go", "--server", url)
        assert (shown.status, shown.err.partition(":")[0]) == (4, "error[server-unreachable]")
        assert answer.calls == ["POST"]
    answer = Counting(9)
    with pretending(answer) as url:
        assert _listed(stepwell, url).status == 4
        assert set(answer.calls) == {"GET"}
        assert len(answer.calls) <= 6, "three times, and the HTTP library may do each twice"


def test_a_watch_outlives_a_restart_of_the_server(folder: Path, stepwell: Stepwell) -> None:
    token = made_key(f"sqlite:{folder / 'server.db'}")
    write_workflow("parked.json", wait("first"), value("last", depends_on=["first"]), name="parked")
    with serving(folder, token) as before:
        at = ("--server", before.url, "--token", token)
        stepwell("workflow", "apply", "parked.json", *at)
        id_ = stepwell("execution", "start", "parked", "-o", "json", *at).json()["execution_id"]
        command = [sys.executable, "-m", "stepwell", "execution", "watch", id_, "--server", before.url]
        environment = {**os.environ, "STEPWELL_TOKEN": token, "COLUMNS": "200"}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as seen:
            assert seen.stdout is not None
            assert seen.stderr is not None
            while "first" not in seen.stdout.readline():
                pass
            before.process.send_signal(signal.SIGTERM)
            before.process.wait(20)
            assert "is gone; it is followed again when it is back" in seen.stderr.readline()
            with serving(folder, token, before.port):
                assert stepwell("event", "publish", "go", *at).status == 0
                out, err = seen.communicate(timeout=30)
    assert (seen.returncode, err) == (0, "")
    assert "last" in out
    assert "parked 1.0.0 completed" in out
    assert out.count("received go") == 1


def test_a_server_that_does_not_come_back_ends_the_watch(
    stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.1)
    write_workflow("parked.json", wait("first"), name="parked")
    with serving(folder, "") as running:
        stepwell("workflow", "apply", "parked.json", "--server", running.url)
        id_ = stepwell("execution", "start", "parked", "-q", "--server", running.url).out.strip()
        timer = threading.Timer(0.5, running.process.kill)
        timer.start()
        shown = stepwell("execution", "watch", id_, "--server", running.url)
        timer.join()
    assert shown.status == 4
    assert "error[server-unreachable]" in shown.err.splitlines()[-1]


def test_at_a_server_that_asks_nobody_the_user_of_the_machine_answers(
    folder: Path, stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = {"prompt": "Go?", "response_schema": {"type": "boolean"}}
    write_workflow("asking.json", {"name": "ask", "type": "approval", "config": question}, name="asking")
    with serving(folder, "") as running:
        at = ("--server", running.url)
        stepwell("workflow", "apply", "asking.json", *at)
        id_ = stepwell("execution", "start", "asking", "-q", *at).out.strip()
        monkeypatch.setattr(questions, "user_name", lambda: "ada")
        given = stepwell("approval", "respond", id_, "ask", "--response", "true", "-o", "json", *at)
        assert given.json()["by"] == "ada"
        monkeypatch.setattr(client_module, "_PAGE", 2)
        there = stepwell("execution", "history", id_, "-o", "json", *at).json()
        here = stepwell("execution", "history", id_, "-o", "json", "--store", running.store).json()
    assert there == here
    assert len(here["items"]) > 4, "more than two pages"


# What the user says


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/api/v1", "http://127.0.0.1:8080"),
        ("https://example.org/flows/api/v1/", "https://example.org/flows"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_a_server_is_named_by_its_url(given: str, base: str) -> None:
    assert base_of(given) == base


@pytest.mark.parametrize(
    "given",
    [
        *("127.0.0.1:8080", "localhost", "ftp://x", "http://", "http://x:99999", "http://x:y", "http://x?a=1"),
        *("http://x#a", "http://u:secret@x", "u:secret@x", "http://[::1", "", " "),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(stepwell: Stepwell, given: str) -> None:
    shown = _listed(stepwell, given or " ")
    assert (shown.status, shown.err.partition(":")[0]) == (2, "error[invalid-server]")
    assert "secret" not in shown.err


def test_what_is_not_encrypted_is_in_the_clear_unless_it_stays_here() -> None:
    assert is_in_the_clear("http://example.org")
    assert not is_in_the_clear("https://example.org")
    assert not any(map(is_in_the_clear, ("http://127.0.0.1:1", "http://localhost", "http://[::1]:1")))


def test_a_token_may_be_in_a_file(folder: Path) -> None:
    Path("token").write_text("abc\n")
    assert token_of(Token("@token")) == "abc"
    assert token_of(Token(" abc ")) == "abc"
    assert token_of(None) is None


@pytest.mark.parametrize("given", ["@missing", "@empty", "two words", "é", "a\nb"])
def test_what_is_no_token_is_refused_without_showing_it(stepwell: Stepwell, given: str) -> None:
    Path("empty").write_text("")
    shown = _listed(stepwell, "http://127.0.0.1:1", "--token", given)
    assert shown.status == 2
    assert shown.err.startswith(("error[invalid-token]", "error[unreadable-file]"))
    assert "two words" not in shown.err


def test_server_and_store_are_one_or_the_other(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch) -> None:
    both = _listed(stepwell, "http://127.0.0.1:1", "--store", "x.db")
    alone = stepwell("execution", "list", "--store", "x.db", "--token", "abc")
    assert both.status == alone.status == 2
    assert both.err.startswith("error[usage]: --server and --store contradict each other")
    assert alone.err.startswith("error[usage]: --token goes with --server")


def test_a_token_is_shown_nowhere_by_accident() -> None:
    setup = Setup(server="http://127.0.0.1:1", token=Token("s3cret"))
    assert "s3cret" not in f"{setup!r} {setup.again()} {setup.same_store()}"
    assert setup.same_store() == " --server http://127.0.0.1:1"


def test_parts_of_paths_are_quoted_whole() -> None:
    assert quoted("a/b ?#%..é") == "a%2Fb%20%3F%23%25..%C3%A9"
