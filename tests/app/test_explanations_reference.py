"""The reference page of `plan`, `why` and `compare` names every key that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.app.comparing import comparison_document
from stepwell.app.endings import ENDINGS
from stepwell.app.explanation import explanation_document
from stepwell.app.planning import figures_document
from stepwell.app.reasons import REASONS
from tests.app import test_comparing, test_explaining, test_planning
from tests.decider.story import begun, step, workflow

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "explanations.md").read_text("utf-8")


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


def plan() -> Any:
    figures = test_planning.planned(
        test_planning.work("a", timeout=None), compensation={"steps": [test_planning.work("u")]}
    )
    return figures_document(figures)


def why() -> Any:
    return explanation_document(test_explaining.why(begun(workflow(step("a")))))


def comparison() -> Any:
    document = comparison_document(test_comparing.compared(test_comparing.chain(1), test_comparing.chain(2)))
    del document["definition"]
    return {**document, "steps": [{**one, "a": {**one["a"], "instances": {}}, "b": {}} for one in document["steps"]]}


@pytest.mark.parametrize("document", [plan, why, comparison], ids=lambda make: make.__name__)
def test_every_key_is_in_the_reference(document: Any) -> None:
    missing = {key for key in keys(document()) if f"`{key}`" not in PAGE}
    assert not missing


def test_every_kind_of_reason_is_documented() -> None:
    sources = {Path(rule.__code__.co_filename) for rule in (*REASONS, *ENDINGS)}
    kinds = {kind for source in sources for kind in re.findall(r'kind="(\w+)"', source.read_text("utf-8"))}
    how_to = (DOCS / "how-to" / "explain.md").read_text("utf-8")
    assert len(kinds) > 15
    assert {kind for kind in kinds if f"`{kind}`" not in PAGE + how_to} == set()
