"""`execution logs`: what is printed."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, write_workflow


@pytest.fixture
def execution(stepwell: Stepwell) -> str:
    """The id of an execution that has failed."""
    bad = {"name": "bad", "type": "fail", "config": {"message": "no more"}, "depends_on": "first"}
    file = write_workflow("w.json", value("first"), bad)
    ran = stepwell("run", str(file), "--store", "sqlite:x.db", "-o", "json")
    found: str = json.loads(ran.out)["execution_id"]
    return found


def test_the_log_tells_what_happened_line_by_line(stepwell: Stepwell, execution: str) -> None:
    shown = stepwell("execution", "logs", execution, "--store", "sqlite:x.db")
    assert shown.status == 0
    messages = [line.split(" ", 1)[1] for line in shown.out.splitlines()]
    assert messages[0] == "info    started"
    assert "info    first: completed" in messages
    assert any(message.startswith("error   bad: failed: ") and "no more" in message for message in messages)


def test_the_log_is_filtered_and_followed_to_the_end(stepwell: Stepwell, execution: str) -> None:
    only = stepwell("execution", "logs", execution, "--step", "bad", "--errors", "--store", "sqlite:x.db", "-o", "json")
    document = json.loads(only.out)
    assert {line["step"] for line in document["items"]} == {"bad"}
    assert document["next"] is None
    followed = stepwell("execution", "logs", execution, "--follow", "--store", "sqlite:x.db", "-o", "json")
    whole = stepwell("execution", "logs", execution, "--store", "sqlite:x.db", "-o", "json")
    assert json.loads(followed.out)["items"] == json.loads(whole.out)["items"]


def test_the_log_of_nobody_is_not_found(stepwell: Stepwell, execution: str) -> None:
    assert stepwell("execution", "logs", "nobody", "--store", "sqlite:x.db").status == 2
