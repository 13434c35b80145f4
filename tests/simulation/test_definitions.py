"""Random definitions use the whole language that the engine runs, and are documents like any other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stepwell.base.spans import Source
from stepwell.definition.loading import load
from tests.simulation.language import PARTS, document, spoken
from tests.simulation.scenario import yaml_text
from tests.simulation.telling import saved
from tests.simulation.trial import scenario_of

IMPLIED = frozenset({"nested"})
"""Parts that say where others may stand."""


def test_every_part_of_the_language_is_used() -> None:
    used: Counter[str] = Counter()
    for seed in range(600):
        used += scenario_of(seed).used
    assert sorted(spoken() - IMPLIED - set(used)) == []


@pytest.mark.parametrize("part", sorted(PARTS))
def test_the_smallest_document_with_a_part_of_the_language_is_valid(part: str) -> None:
    loaded = load(Source("part.yaml", yaml_text(document(PARTS[part]))))
    assert [finding.message for finding in loaded.diagnostics if finding.severity == "error"] == []


def test_documents_can_be_saved_and_loaded_as_yaml(tmp_path: Path) -> None:
    for seed in range(20):
        for file in saved(scenario_of(seed), tmp_path):
            loaded = load(Source(file.name, file.read_text("utf-8")))
            assert loaded.definition is not None, file.name
