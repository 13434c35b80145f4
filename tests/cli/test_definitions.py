"""`validate`, `workflow schema` and `workflow graph`: what is said of definitions that do not run."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from tests.cli.conftest import Stepwell
from tests.cli.workflows import task, value, wait, write_tasks, write_workflow

WRONG = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: wrong, version: "1.0.0"}
spec:
  config: {timeout: 1s}
  steps:
    - name: first
      type: transform
      timeout: 5s
      config: {value: 1}
    - {name: second, type: transform, depends_on: frist, config: {value: 2}}
"""


def call(name: str, service: str = "users", method: str = "GET", **more: object) -> dict[str, object]:
    config = {"service": service, "endpoint": "/", "method": method}
    return {"name": name, "type": "service_call", "config": config, **more}


def test_findings_are_printed_with_their_place_and_what_to_do(stepwell: Stepwell) -> None:
    Path("wrong.yaml").write_text(WRONG)
    shown = stepwell("validate", "wrong.yaml")
    assert shown.status == 2
    assert (
        shown.out
        == """\
wrong.yaml:9:16: warning[timeout-too-long]: the step may take 5s, the workflow 1s
          timeout: 5s
                   ^~
    hint: the workflow's timeout ends it first

wrong.yaml:11:51: error[unknown-step]: there is no step 'frist'
        - {name: second, type: transform, depends_on: frist, config: {value: 2}}
                                                      ^~~~~
    hint: did you mean 'first'?

"""
    )
    assert shown.err == "1 error, 1 warning in 1 file\n"


def test_warnings_alone_are_no_failure(stepwell: Stepwell) -> None:
    Path("w.yaml").write_text(WRONG.replace("frist", "first"))
    shown = stepwell("validate", "w.yaml")
    assert (shown.status, shown.err) == (0, "0 errors, 1 warning in 1 file\n")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file without an end is missing")
def test_a_file_without_an_end_is_not_read_for_ever(stepwell: Stepwell) -> None:
    shown = stepwell("validate", "/dev/zero")
    assert shown.status == 2
    assert "error[unreadable-file]: /dev/zero: has more than 33,554,432 bytes" in shown.err


def test_findings_as_json_have_a_place_each(stepwell: Stepwell) -> None:
    Path("wrong.yaml").write_text(WRONG)
    write_workflow("good.json", value("one"))
    shown = stepwell("validate", "wrong.yaml", "good.json", "none.yaml", "-o", "json")
    items = shown.json()["items"]
    assert (shown.status, [item["code"] for item in items]) == (
        2,
        ["timeout-too-long", "unknown-step", "unreadable-file"],
    )
    error = items[1]
    assert (error["file"], error["line"], error["column"], error["severity"]) == ("wrong.yaml", 11, 51, "error")
    assert (error["message"], error["hint"]) == ("there is no step 'frist'", "did you mean 'first'?")
    assert items[2].keys() == error.keys()
    assert shown.err.endswith("2 errors, 1 warning in 3 files\n")


def test_good_files_are_said_to_be_good(stepwell: Stepwell) -> None:
    write_workflow("a.json", value("one"))
    write_workflow("b.json", value("one"))
    assert stepwell("validate", "a.json") == (0, "a.json: ok\n", "")
    assert stepwell("validate", "a.json", "b.json") == (0, "a.json: ok\nb.json: ok\n", "0 errors in 2 files\n")
    assert stepwell("validate", "a.json", "b.json", "-q") == (0, "", "")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 60_000, b"a: &a [*a]", b"\x00", b"- 1\n- 2"])
def test_whatever_a_file_holds_is_a_finding(stepwell: Stepwell, content: bytes) -> None:
    Path("x.yaml").write_bytes(content)
    shown = stepwell("validate", "x.yaml")
    assert shown.status == 2
    assert "x.yaml:" in shown.out
    assert "internal-error" not in shown.out + shown.err


def test_services_are_checked_only_when_there_is_a_configuration(stepwell: Stepwell) -> None:
    write_workflow("w.json", call("one", "user"))
    assert stepwell("validate", "w.json").status == 0
    Path("other.yaml").write_text("services: {users: {url: 'http://127.0.0.1'}}")
    shown = stepwell("validate", "w.json", "--config", "other.yaml")
    assert shown.status == 2
    assert "error[unknown-service]" in shown.out
    assert "did you mean 'users'?" in shown.out


def test_tasks_and_rules_are_checked_only_with_modules(stepwell: Stepwell) -> None:
    rules = {"validation_rules": [{"field": "n", "rule": "even"}, {"field": "n", "rule": "od"}]}
    check = {"name": "check", "type": "validation", "config": rules}
    write_workflow("w.json", task("one", "chaty"), {"name": "two", "type": "chatty"}, check)
    assert stepwell("validate", "w.json").status == 0
    write_tasks("tasks_validate.py")
    shown = stepwell("validate", "w.json", "--import", "tasks_validate.py")
    assert shown.status == 2
    assert "error[unknown-task]" in shown.out
    assert "did you mean 'chatty'?" in shown.out
    assert "error[unknown-rule]" in shown.out
    assert shown.out.count("error[") == 2


def test_actions_of_a_task_graph_are_checked_only_with_modules_too(stepwell: Stepwell) -> None:
    Path("g.yaml").write_text("ref: a.b\nversion: 1.0.0\ntasks: [{name: one, action: ops.build}]\n")
    assert stepwell("validate", "g.yaml").status == 0
    write_tasks("tasks_graph.py")
    shown = stepwell("validate", "g.yaml", "--import", "tasks_graph.py")
    assert (shown.status, shown.out.count("error[")) == (2, 1)
    assert "error[unknown-action]: there is no action 'ops.build'" in shown.out


def test_what_the_configuration_does_not_allow_is_an_error_without_modules_too(stepwell: Stepwell) -> None:
    write_workflow("w.json", {"name": "one", "type": "shell", "config": {"command": "true"}})
    shown = stepwell("validate", "w.json")
    assert shown.status == 2
    assert "error[not-configured]: steps of type 'shell' are not allowed here" in shown.out


def test_the_schema_is_a_schema_and_accepts_a_workflow(stepwell: Stepwell) -> None:
    schema = stepwell("workflow", "schema").json()
    assert jsonschema_rs.meta.is_valid(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid(json.loads(write_workflow("w.json", value("one")).read_text()))
    assert not validator.is_valid({"apiVersion": "workflow/v1", "kind": "Workflow", "stesp": []})


def a_graph() -> Path:
    return write_workflow(
        "w.json",
        value("a"),
        value("b", when="{{ input.x }}", depends_on="a", join="sync"),
        wait("c", depends_on=[{"step": "a", "on": "failure"}]),
        value("d", on_success="b", depends_on="c"),
        compensation={"steps": [value("u"), value("v")]},
    )


def test_a_graph_in_mermaid(stepwell: Stepwell) -> None:
    shown = stepwell("workflow", "graph", a_graph())
    assert (shown.status, shown.out) == (
        0,
        """\
flowchart TD
    s0["a<br/><small>transform</small>"]
    s1{{"b<br/><small>transform</small>"}}
    s2(["c<br/><small>wait_for_event</small>"])
    s3["d<br/><small>transform</small>"]
    s0 --> s1
    s0 -. failure .-> s2
    s2 --> s3
    s3 --> s1
    subgraph compensation["compensation"]
        c0["u<br/><small>transform</small>"]
        c1["v<br/><small>transform</small>"]
        c0 --> c1
    end
""",
    )


def test_a_graph_in_dot(stepwell: Stepwell) -> None:
    lines = stepwell("workflow", "graph", a_graph(), "-o", "dot").out.splitlines()
    assert lines[0] == 'digraph "demo" {'
    assert '    "b" [label="b\\ntransform", shape=hexagon];' in lines
    assert '    "a" -> "c" [label="failure", style=dashed];' in lines
    assert '    subgraph "cluster compensation" {' in lines
    assert lines[-1] == "}"


def test_a_graph_in_json(stepwell: Stepwell) -> None:
    graph = stepwell("workflow", "graph", a_graph(), "-o", "json").json()
    assert [node["name"] for node in graph["nodes"]] == ["a", "b", "c", "d"]
    assert {"from": "a", "to": "c", "on": "failure"} in graph["edges"]
    assert [node["name"] for node in graph["compensation"]] == ["u", "v"]
