"""`workflow apply` and what follows from it: workflows by name and version."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepwell.app import who
from tests.cli.conftest import Stepwell
from tests.cli.workflows import value, wait, write_workflow


def write(path: str, version: str = "1.0.0", name: str = "shop", result: Any = 1, **metadata: Any) -> Path:
    """A definition of this version in a JSON file."""
    write_workflow(path, value("one", result), name=name, output={"values": {"n": "{{ steps.one.output }}"}})
    document = json.loads(Path(path).read_text())
    document["metadata"] |= {"version": version, **metadata}
    Path(path).write_text(json.dumps(document, indent=1))
    return Path(path)


def apply(stepwell: Stepwell, version: str = "1.0.0", *options: str, **more: Any) -> None:
    """Register a version."""
    shown = stepwell("workflow", "apply", write(f"{version}.json", version, **more), *options)
    assert shown.status == 0, shown.err


def listed(stepwell: Stepwell, *options: str) -> list[tuple[str, str, bool]]:
    """(version, lifecycle, default) of what is listed."""
    items = stepwell("workflow", "list", "-o", "json", *options).json()["items"]
    return [(item["version"], item["lifecycle"], item["default"]) for item in items]


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "host")


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_applying_registers_and_applying_again_changes_nothing(stepwell: Stepwell, folder: Path) -> None:
    write("shop.json")
    assert stepwell("workflow", "apply", "shop.json") == (0, "shop@1.0.0 registered\n", "")
    again = stepwell("workflow", "apply", "shop.json", "--draft")
    assert again == (0, "shop@1.0.0 is registered already with this content, and is active\n", "")
    assert listed(stepwell) == [("1.0.0", "active", True)]


def test_several_files_are_registered_at_once(stepwell: Stepwell) -> None:
    write("a.json", "1.0.0")
    write("b.json", "2.0.0")
    shown = stepwell("workflow", "apply", "a.json", "b.json", "--draft", "-o", "json")
    items = shown.json()["items"]
    assert [(item["file"], item["version"], item["outcome"], item["lifecycle"]) for item in items] == [
        ("a.json", "1.0.0", "registered", "draft"),
        ("b.json", "2.0.0", "registered", "draft"),
    ]
    assert all(len(item["digest"]) == 64 and item["error"] is None for item in items)
    assert listed(stepwell) == [("2.0.0", "draft", False), ("1.0.0", "draft", False)]


def test_the_same_version_with_other_content_is_refused_and_the_others_are_registered(stepwell: Stepwell) -> None:
    apply(stepwell, result=1)
    write("other.json", "1.0.0", result=2)
    write("next.json", "1.1.0")
    shown = stepwell("workflow", "apply", "other.json", "next.json", "-o", "json")
    refused, registered = shown.json()["items"]
    assert shown.status == 2
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "version-exists")
    assert (registered["outcome"], registered["version"]) == ("registered", "1.1.0")
    first = stepwell("workflow", "show", "shop@1.0.0", "-o", "json").json()
    assert shown.err == (
        f"error[version-exists]: shop 1.0.0 is registered with the content {first['digest'][:12]}; other.json has the "
        f"content {refused['digest'][:12]}\nhint: a version never changes: give the new content a new version\n"
    )


def test_with_an_invalid_file_nothing_is_registered(stepwell: Stepwell, folder: Path) -> None:
    write("good.json")
    write_workflow("bad.json", value("one", depends_on="none"))
    shown = stepwell("workflow", "apply", "good.json", "bad.json", "gone.json")
    assert (shown.status, shown.out) == (2, "")
    assert "error[unknown-step]" in shown.err
    assert "error[unreadable-file]" in shown.err
    assert shown.err.endswith("nothing was registered\n")
    assert not (folder / "stepwell.db").exists()


def test_nothing_is_registered_in_memory(stepwell: Stepwell) -> None:
    write("shop.json")
    shown = stepwell("workflow", "apply", "shop.json", "--store", "memory:")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[store-missing]: ")


# ── list and show ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lists_show_versions_tags_lifecycles_and_the_default(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", tags=["red"])
    apply(stepwell, "1.10.0", tags=["red", "blue"])
    apply(stepwell, "1.9.0", "--draft")
    lines = stepwell("workflow", "list").out.splitlines()
    assert lines[0].split() == ["workflow", "version", "lifecycle", "tags", "registered", "by"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["shop", "1.10.0", "default"],
        ["shop", "1.9.0", "draft"],
        ["shop", "1.0.0", "active"],
    ]
    assert lines[1].endswith("ada@host")
    assert [version for version, _, _ in listed(stepwell, "--tag", "red")] == ["1.10.0", "1.0.0"]
    assert [version for version, _, _ in listed(stepwell, "--lifecycle", "draft")] == ["1.9.0"]
    assert stepwell("workflow", "list", "--name", "bank").out == "no workflows\n"


def test_show_prints_the_text_as_it_was_given_or_the_record(stepwell: Stepwell) -> None:
    given = "# A comment.\n" + yaml.safe_dump(json.loads(write("x.json", tags=["t"]).read_text()))
    Path("shop.yaml").write_text(given)
    stepwell("workflow", "apply", "shop.yaml", "--reason", "first")
    assert stepwell("workflow", "show", "shop").out == given
    record = stepwell("workflow", "show", "shop@1.0.0", "-o", "json").json()
    (deed,) = record.pop("log")
    assert (deed["what"], deed["by"], deed["reason"]) == ("active", "ada@host", "first")
    assert record.pop("registered_at") == deed["at"]
    assert len(record.pop("digest")) == 64
    assert record == {
        "name": "shop", "version": "1.0.0", "lifecycle": "active", "default": True, "default_chosen": False,
        "tags": ["t"], "registered_by": "ada@host", "dialect": "native", "source_name": "shop.yaml", "text": given,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("shpo", "unknown-workflow", "did you mean 'shop'?"),
        ("shop@1.0.1", "unknown-version", "did you mean '1.0.0'?"),
        ("a b", "usage", "write NAME or NAME@VERSION"),
    ],
)
def test_what_is_not_registered_is_said_with_the_nearest_name(
    stepwell: Stepwell, name: str, code: str, hint: str
) -> None:
    apply(stepwell)
    shown = stepwell("workflow", "show", name)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(f"error[{code}]: ")
    assert shown.err.endswith(f"\nhint: {hint}\n")


# ── Lifecycle ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_goes_from_draft_to_retired_and_every_move_is_recorded(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", "--draft")
    assert stepwell("workflow", "activate", "shop@1.0.0").out == "shop@1.0.0 is active, and the default\n"
    assert stepwell("workflow", "deprecate", "shop@1.0.0", "--reason", "old").out.startswith("shop@1.0.0 is deprecated")
    assert stepwell("workflow", "retire", "shop@1.0.0", "--reason", "too old").out == "shop@1.0.0 is retired\n"
    log = stepwell("workflow", "show", "shop@1.0.0", "-o", "json").json()["log"]
    assert [(deed["what"], deed["by"], deed["reason"]) for deed in log] == [
        ("draft", "ada@host", None),
        ("active", "ada@host", None),
        ("deprecated", "ada@host", "old"),
        ("retired", "ada@host", "too old"),
    ]


def test_a_move_that_makes_no_sense_is_refused_with_what_would(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", "--draft")
    shown = stepwell("workflow", "deprecate", "shop@1.0.0")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err == (
        "error[illegal-lifecycle]: shop 1.0.0 is draft and cannot become deprecated\n"
        "hint: it can become active or retired\n"
    )


@pytest.mark.parametrize("verb", ["activate", "deprecate", "retire", "default"])
def test_a_version_must_be_named(stepwell: Stepwell, verb: str) -> None:
    apply(stepwell)
    shown = stepwell("workflow", verb, "shop")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[usage]: 'shop' names no version\nhint: write NAME@VERSION")


def test_a_chosen_default_is_what_the_name_means(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", result="first")
    apply(stepwell, "2.0.0", result="second")
    assert stepwell("run", "shop", "-q").out == '{\n  "n": "second"\n}\n'
    assert stepwell("workflow", "default", "shop@1.0.0").out == "shop@1.0.0 is active, and the default\n"
    assert listed(stepwell) == [("2.0.0", "active", False), ("1.0.0", "active", True)]
    assert stepwell("run", "shop", "-q").out == '{\n  "n": "first"\n}\n'


# ── Where a name may stand for a file ────────────────────────────────────────────────────────────────────────────────


def test_a_registered_workflow_is_run_by_its_name_and_version(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", result="first")
    apply(stepwell, "2.0.0", result="second")
    Path("1.0.0.json").unlink()
    shown = stepwell("run", "shop@1.0.0", "-o", "json")
    assert (shown.status, shown.json()["version"], shown.json()["output"]) == (0, "1.0.0", {"n": "first"})


def test_a_file_of_that_name_comes_first(stepwell: Stepwell) -> None:
    apply(stepwell, result="registered")
    Path("shop").write_text(write("x.json", result="from the file").read_text())
    assert json.loads(stepwell("run", "shop", "-q").out) == {"n": "from the file"}


def test_a_draft_and_a_retired_version_are_not_run(stepwell: Stepwell) -> None:
    apply(stepwell, "1.0.0", "--draft")
    shown = stepwell("run", "shop")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err == (
        "error[version-draft]: shop@1.0.0 is a draft\n"
        "hint: `stepwell workflow activate shop@1.0.0` makes it ready to be started\n"
    )
    stepwell("workflow", "retire", "shop@1.0.0", "--reason", "it charged twice")
    for name in ("shop", "shop@1.0.0"):
        shown = stepwell("run", name)
        assert (shown.status, shown.out) == (2, "")
        assert shown.err.startswith("error[version-retired]: shop@1.0.0 is retired: it charged twice\nhint: ")
    assert stepwell("execution", "list").out == "no executions\n"


def test_a_deprecated_version_is_run_with_a_warning(stepwell: Stepwell) -> None:
    apply(stepwell)
    stepwell("workflow", "deprecate", "shop@1.0.0", "--reason", "use bank")
    shown = stepwell("run", "shop")
    assert shown.status == 0
    assert shown.err.startswith("warning: shop@1.0.0 is deprecated: use bank\n")
    assert stepwell("run", "shop", "-q").err == ""


def test_what_is_neither_a_file_nor_registered_is_said_so(stepwell: Stepwell) -> None:
    commands = (("run",), ("plan",), ("validate",), ("workflow", "graph"), ("workflow", "diff", "x.json"))
    write("x.json")
    for command in commands:
        shown = stepwell(*command, "shop", "--store", "sqlite:none.db")
        assert shown.status == 2
        assert "error[unreadable-file]: there is no file 'shop', and no store at none.db in which" in shown.err
    apply(stepwell, name="bank")
    for command in commands:
        shown = stepwell(*command, "shop")
        assert shown.status == 2
        assert "error[unknown-workflow]: there is no file 'shop', and no workflow 'shop' is registered\n" in shown.err


def test_a_registered_workflow_is_validated_planned_and_drawn(stepwell: Stepwell, folder: Path) -> None:
    apply(stepwell, "1.0.0", "--draft")
    Path("1.0.0.json").unlink()
    assert stepwell("validate", "shop") == (0, "shop: ok\n", "")
    assert stepwell("validate", "shop@1.0.1", "-o", "json").json()["items"][0]["code"] == "unknown-version"
    assert stepwell("plan", "shop@1.0.0").out.startswith("shop 1.0.0: 1 step\n")
    assert "one" in stepwell("workflow", "graph", "shop").out


# ── diff ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_difference_of_two_versions_is_shown(stepwell: Stepwell) -> None:
    write_workflow("a.json", value("one", 1), value("two"), name="shop")
    write_workflow("b.json", value("one", 2), wait("three"), name="shop", config={"timeout": "1m"})
    stepwell("workflow", "apply", "a.json")
    shown = stepwell("workflow", "diff", "shop", "b.json")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out == (
        "shop 1.0.0 -> shop 1.0.0: 1 step added, 1 step removed, 1 step changed, 1 other change\n"
        "+ step three (wait_for_event)\n"
        "- step two (transform)\n"
        "~ step one\n"
        "    config.value: 1 -> 2\n"
        "~ config.timeout: now 1m\n"
    )
    document = stepwell("workflow", "diff", "shop@1.0.0", "b.json", "-o", "json").json()
    assert document["steps"]["changed"] == [{"name": "one", "changes": [{"path": "config.value", "from": 1, "to": 2}]}]
    assert stepwell("workflow", "diff", "b.json", "shop").out.splitlines()[-1] == "~ config.timeout: no longer 1m"


def test_definitions_that_mean_the_same_are_said_to_be_the_same(stepwell: Stepwell) -> None:
    write("a.json")
    Path("b.yaml").write_text(yaml.safe_dump(json.loads(Path("a.json").read_text())))
    shown = stepwell("workflow", "diff", "a.json", "b.yaml")
    assert shown == (0, "shop 1.0.0 -> shop 1.0.0: the same, however it is written\n", "")


def test_a_user_without_a_name_is_recorded_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert who.this_user() == "unknown@host"
