"""YAML that programs write is read without places, exactly as the reader with places reads it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.definition.findings import Findings
from stepwell.definition.parsing import read_tree
from stepwell.definition.text import Lines
from stepwell.definition.tree import MAX_DEPTH, MAX_PARTS
from stepwell.definition.yaml_quick import quick_yaml
from stepwell.definition.yaml_tree import read_yaml

KEYS = ("a", "bc", "d-e", "f.g", "_h", "null", "true", "on", "0", "k" * 101)
VALUES = (
    "", "x", "7", "-7", "-x", "0.5", "1e3", "010", "0x1f", "null", "true", "yes", "~", "a b", "a  b", "a, b", "a: b",
    "a:b", "a:", "a #b", "a#b", "'q'", "'it''s'", '"d"', '"a\\nb"', "'{{ x }}'", "{{ x }}", "{}", "[]", "[1, 2]",
    "{a: 1}", "&x 1", "*x", "!!str 1", "|", ">", "- x", "-", "? x", "it's", "http://x/y", "9" * 30, ".inf", "--- x",
    "ä", "'un", "/p", "a\tb",
)  # fmt: skip
LINES = st.one_of(
    st.builds(
        lambda indent, dashes, key, value, end: f"{' ' * indent}{dashes}{key}: {value}{end}",
        st.sampled_from([0, 0, 1, 2, 2, 3, 4, 6]),
        st.sampled_from(["", "", "", "- ", "- - ", "-   "]),
        st.sampled_from(KEYS[:4] * 3 + KEYS),
        st.sampled_from(("", "", "", "x", "7") * 4 + VALUES),
        st.sampled_from(["", "", "", " ", "  # c"]),
    ),
    st.builds(
        lambda indent, dashes, value: f"{' ' * indent}{dashes}{value}",
        st.sampled_from([0, 0, 1, 2, 2, 4]),
        st.sampled_from(["", "- ", "- ", "- - "]),
        st.sampled_from(VALUES),
    ),
    st.sampled_from(["", "  ", "# c", "  # c: d", "---", "...", "%YAML 1.2"]),
)
NAMES = st.from_regex(r"[a-z_][a-zA-Z0-9_.-]{0,9}", fullmatch=True)
TEXTS = st.one_of(st.sampled_from(VALUES), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
WRITTEN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)


def exactly(text: str) -> Any:
    """What the reader with places makes of it; `...` when it finds something wrong."""
    findings = Findings(Source("x", text))
    root = read_yaml(text, Lines(text), findings)
    return ... if root is None or findings.sorted() else root.value


def shown(value: Any) -> str:
    """So that true is not 1, and the order of keys counts."""
    return repr(value)


@given(st.lists(LINES, max_size=8).map("\n".join))
@example("a:\n- x\n- y\nbc: z")
@example("- a: 1\n  bc:\n  - 2\n- 3")
@example("a:\n  bc: 1\n d-e: 2")
@example("a: x\n  bc: y")
@example("- x\na: y")
@example("a:\n- -1")
@example("a: b  c  ")
def test_whatever_is_read_quickly_is_read_as_the_exact_reader_reads_it(text: str) -> None:
    value = quick_yaml(text)
    if value is not ...:
        assert shown(value) == shown(exactly(text))


@given(st.dictionaries(NAMES, WRITTEN, min_size=1, max_size=4))
def test_whatever_programs_write_is_read_as_the_exact_reader_reads_it(document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document, sort_keys=False, width=10_000)
    value = quick_yaml(text)
    if value is not ...:
        assert shown(value) == shown(exactly(text))


SIMPLE = st.recursive(
    st.sampled_from([None, True, 7, "x", "a b", "{{ x }}"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), SIMPLE, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_a_line_that_is_moved_is_read_as_the_exact_reader_reads_it_or_not_at_all(document: Any, chance: Random) -> None:
    lines = yaml.safe_dump(document, sort_keys=False).splitlines()
    assert quick_yaml("\n".join(lines)) == document
    at = chance.randrange(len(lines))
    other = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines[at] = " " * chance.randint(1, 3) + lines[at]
        case 1:
            lines[at] = lines[at].removeprefix(" " * chance.randint(1, 2))
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            del lines[at]
    text = "\n".join(lines)
    value = quick_yaml(text)
    if value is not ...:
        assert shown(value) == shown(exactly(text))


def test_a_document_as_programs_write_it_is_read_quickly() -> None:
    steps = [{"name": f"s{n}", "type": "python", "config": {"args": {"n": "{{ input.n }}"}}, "depends_on": ["s0", "s1"],
              "when": f"input.n > {n}", "retry": {"max_attempts": 3, "jitter": 0.5}} for n in range(3)]  # fmt: skip
    document = {"apiVersion": "workflow/v1", "metadata": {"name": "x", "version": "1.0.0"}, "spec": {"steps": steps}}
    assert quick_yaml(yaml.safe_dump(document, sort_keys=False)) == document


@pytest.mark.parametrize(
    "text",
    ["a: [1]", "a: {b: 1}", "a: &x 1", "a: |\n  x", "a: x\n  y", "a: 1\na: 2", "a: 'x\n  y'", "- a\nb: 1", " a: 1", "x",
     "", "a: !!str 1", "true: 1", "a: {{ x }}", "a:\tb", "a: 1 # c", "---\na: 1", "ä: 1", f"a: {'9' * 30}", 'a: "\\n"'],
)  # fmt: skip
def test_what_is_written_otherwise_is_left_to_the_exact_reader(text: str) -> None:
    assert quick_yaml(text) is ...


def test_the_limits_on_documents_are_those_of_the_exact_reader() -> None:
    deep = "\n".join(f"{' ' * level}a:" for level in range(MAX_DEPTH))
    assert quick_yaml(deep) is not ...
    assert quick_yaml(f"{deep}\n{' ' * MAX_DEPTH}a: 1") is ...
    assert quick_yaml("- 1\n" * MAX_PARTS) is not ...
    assert quick_yaml("- 1\n" * (MAX_PARTS + 1)) is ...


def test_places_are_worked_out_when_one_is_needed() -> None:
    source = Source("x.yaml", "a:\n  b:\n  - c: 1\n    d: 2\n")
    tree = read_tree(source, Findings(source))
    assert tree is not None
    span = tree.span(("a", "b", 0, "d"))
    assert (span.line, span.column) == (4, 8)


def test_examples_are_read_alike_by_both() -> None:
    files = [*Path(__file__).parents[2].glob("examples/**/*.yaml")]
    assert files
    for file in files:
        text = file.read_text()
        value = quick_yaml(text)
        assert value is ... or shown(value) == shown(exactly(text)), file
