"""Workflows by name from Python."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepwell import WorkflowEngine
from stepwell.app.registry import Reference, Registry, reference_of, reference_unless_file
from stepwell.base.errors import Conflict, NotFound
from stepwell.base.spans import Source
from stepwell.dialects.loading import load_or_raise
from stepwell.store.sqlite.store import SqliteStore

TEXT = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: shop, version: "%s"}
spec:
  steps:
    - {name: one, type: transform, config: {value: "%s"}}
  output: {values: {from: "{{ steps.one.output }}"}}
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "stepwell.db")
    await store.open()
    for version, draft in (("1.0.0", False), ("1.1.0", False), ("2.0.0", True)):
        definition = load_or_raise(Source(f"{version}.yaml", TEXT % (version, version)))
        await Registry(store).register(definition, draft=draft, at=0, by="ada")
    yield store
    await store.close()


@pytest.fixture
async def engine(store: SqliteStore, tmp_path: Path) -> AsyncIterator[WorkflowEngine]:
    async with WorkflowEngine({"state_store": {"type": "sqlite", "path": str(tmp_path / "stepwell.db")}}) as engine:
        yield engine


@pytest.mark.parametrize(("name", "version"), [("shop", "1.1.0"), ("shop@1.0.0", "1.0.0")])
async def test_a_workflow_is_started_by_its_name(engine: WorkflowEngine, name: str, version: str) -> None:
    report = await engine.execute_workflow(name)
    assert (report["version"], report["output"]) == (version, {"from": version})


async def test_what_must_not_be_started_is_refused(engine: WorkflowEngine) -> None:
    with pytest.raises(Conflict) as refused:
        await engine.start_workflow("shop@2.0.0")
    assert refused.value.code == "version-draft"
    for name, code in (("shop@3.0.0", "unknown-version"), ("shpo", "unknown-workflow")):
        with pytest.raises(NotFound) as missing:
            await engine.start_workflow(name)
        assert missing.value.code == code


async def test_starting_a_deprecated_version_is_logged(
    engine: WorkflowEngine, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.set_lifecycle("shop", "1.0.0", "deprecated", at=0, by="ada", reason="1.1.0 is better")
    with caplog.at_level(logging.WARNING, "stepwell"):
        await engine.start_workflow("shop@1.0.0")
    assert [record.message for record in caplog.records] == ["shop@1.0.0 is deprecated: 1.1.0 is better"]


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("shop", Reference("shop")),
        ("shop.v2@1.0.0-rc.1+b", Reference("shop.v2", "1.0.0-rc.1+b")),
        ("shop@", None),
        ("@1.0.0", None),
        ("shop@1@2", None),
        ("./shop", None),
        ("1shop", None),
        ("shop\n", None),
        ("", None),
    ],
)
def test_references_are_read(text: str, reference: Reference | None) -> None:
    assert reference_of(text) == reference
    assert reference is None or str(reference) == text


@pytest.mark.parametrize("text", ["shop.yaml", "shop.yml", "shop.json", "folder/shop", "there"])
def test_what_is_or_looks_like_a_file_is_no_reference(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text != "there" or reference_unless_file(text) == Reference("there")
    Path("there").touch()
    assert reference_unless_file(text) is None
    assert reference_unless_file("x" * 300) == Reference("x" * 300), "no file's name is so long"
