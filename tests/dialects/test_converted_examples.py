"""Every example, converted to every other dialect: it does the same there, or what cannot be said is named.

The work of their steps is played: whatever a step runs gives an answer that is the same in every dialect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from stepwell.base.spans import Source
from stepwell.definition.context import Known
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.dialects.native.writing import document_of
from stepwell.dialects.table import DIALECTS
from stepwell.dialects.writing import as_text, write
from stepwell.execution.work import Assignment
from tests.decider.played import Played

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
GIVEN: Final = {"text": "some text", "n": 3, "ok": True}


class Anything(frozenset[str]):
    """Has every name."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


KNOWN: Final = Known(tasks=Anything(), workflows=Anything(), services=Anything())


def _read(text: str, name: str, dialect: str | None = None) -> WorkflowDefinition | None:
    return load(Source(name, text, dialect), known=KNOWN).definition


def _examples() -> Iterator[str]:
    for path in sorted(EXAMPLES.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and _read(path.read_text(), path.name) is not None:
            yield str(path.relative_to(EXAMPLES))


WAYS: Final = [(name, to) for name in _examples() for to in DIALECTS]


def _answers(text: str) -> Callable[[Assignment], Any]:
    """What the work gives: something for every field that is read anywhere in the document."""
    fields = dict.fromkeys(re.findall(r"\.([a-z_]\w*)", text), 3)

    def work(assignment: Assignment) -> Any:
        return {**fields, **GIVEN, "of": assignment.step.partition("[")[0].partition("#")[0]}

    return work


def _ends(definition: WorkflowDefinition, work: Callable[[Assignment], Any]) -> Any:
    """How it ends, or what it cannot be started for."""
    text = as_text(document_of(definition), "yaml")
    schema = definition.input_schema or {}
    given = {name: _value(each) for name, each in (schema.get("properties") or {}).items()}
    try:
        story = Played(text, given, replays=False).go(work)
    except AssertionError:
        raise
    except Exception as error:  # the same for both
        return type(error).__name__
    ran = sorted(key.partition("[")[0] for key in story.ran if "__" not in key)
    return story.status, story.output, ran


def _value(schema: Any) -> Any:
    kinds = {"integer": 3, "number": 3, "boolean": True, "array": [], "object": {}, "string": "x"}
    if "default" in schema:
        return schema["default"]
    return schema["enum"][0] if "enum" in schema else kinds.get(str(schema.get("type")), "x")


def test_there_are_examples_of_every_dialect() -> None:
    names = {name for name, _ in WAYS}
    dialects = {definition.dialect for name in names if (definition := _read((EXAMPLES / name).read_text(), name))}
    assert dialects == set(DIALECTS)


@pytest.mark.parametrize(("name", "to"), WAYS)
def test_an_example_does_the_same_in_another_dialect_or_what_that_cannot_say_is_named(name: str, to: str) -> None:
    original = _read((EXAMPLES / name).read_text(), Path(name).name)
    assert original is not None
    written = write(original, to)
    lost = [each.what for each in written.unsaid if each.weight == "lost"]
    if lost:
        assert all(lost)
        return
    converted = _read(written.text, "converted.yaml", to)
    assert converted is not None, [str(each) for each in load(Source("x", written.text, to), known=KNOWN).diagnostics]
    work = _answers(as_text(document_of(original), "yaml"))
    assert _ends(converted, work) == _ends(original, work)
