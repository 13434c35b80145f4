"""JSON: strict, with places, and the same tree as YAML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.spans import Source
from stepwell.definition.findings import Findings
from stepwell.definition.json_tree import quick_json, read_json
from stepwell.definition.text import Lines
from tests.definition.trees import only, read, tree, value

NAME = "w.json"


@pytest.mark.parametrize(
    "text",
    ['{"a": "\\ud83d\\ude00 \\/ \\t \\u00e9"}', "[]", "{}", " [1, -2, 3.5, 1e3, true, false, null]\n", '"x"', "5",
     '{"a": {"b": [{"c": []}]}}', '\t{\r\n"a"\t:\n1}'],
)  # fmt: skip
def test_json_is_read_as_python_reads_it(text: str) -> None:
    assert value(text, NAME) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ('{"a": 1,}', 9, "a `,` stands before `}`"),
        ("[1,]", 4, "a `,` stands before `]`"),
        ("{'a': 1}", 2, "a key in double quotes"),
        ("{a: 1}", 2, "a key in double quotes"),
        ('{"a" 1}', 6, "expected `:`"),
        ('{"a": tru}', 7, "'tru' is not a JSON value"),
        ('{"a": 01}', 7, "'01' is not a JSON value"),
        ('{"a": .5}', 7, "'.5' is not a JSON value"),
        ('{"a": +1}', 7, "'+1' is not a JSON value"),
        ("[1 2]", 4, "expected `,` or `]`"),
        ('{"a": 1} {}', 10, "something follows"),
        ('{"a": "x', 7, "is not closed"),
        ('{"a": "x\ty"}', 9, "a line break or tab"),
        ('{"a": "\\x41"}', 8, "an escape that JSON does not know"),
        ('{"a": // c\n 1}', 7, "expected a value"),
        ('{"a":', 6, "the document ends here"),
        ("[[1]", 5, "the document ends here"),
    ],
)
def test_what_is_not_json_is_explained(text: str, column: int, said: str) -> None:
    finding = only(text, NAME)
    assert finding.code == "json-syntax"
    assert said in finding.message
    assert finding.span.column == column


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "18446744073709551616", "9" * 6_000]
)
def test_numbers_that_cannot_be_stored_are_refused(number: str) -> None:
    assert only(f'{{"a": {number}}}', NAME).code == "bad-number"


@pytest.mark.parametrize("text", ['{"a": "\\ud83d"}', '{"\\udc00": 1}', '["\\ude00\\ud83d"]'])
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    assert only(text, NAME).code == "unreadable-text"


def test_a_duplicate_key_names_both_places() -> None:
    finding = only('{"a": 1,\n "a": 2}', NAME)
    assert finding.code == "duplicate-key"
    assert finding.message.endswith("the first is in line 1")
    assert (finding.span.line, finding.span.column) == (2, 2)


def test_every_value_and_key_has_its_place() -> None:
    read_tree = tree('{"steps": [\n  {"name": "{{ a }} {{ b }}"}]}', NAME)
    assert read_tree.span(("steps", 0, "name")).column == 12
    assert read_tree.key_span(("steps", 0, "name")).column == 4
    assert read_tree.offset_span(("steps", 0, "name"), 11).column == 24


def test_a_text_that_begins_like_json_is_read_as_json() -> None:
    assert value('{"a": "\\ud83d\\ude00"}', "<string>") == {"a": "😀"}
    assert only('{"a": NaN}', "<string>").code == "bad-number"


def test_a_text_that_begins_like_json_may_still_be_yaml() -> None:
    assert value('{"a": b, # a comment\n c: [d,]}', "<string>") == {"a": "b", "c": ["d"]}


def test_a_text_that_is_neither_is_explained_as_json() -> None:
    assert only('{"a": [1}', "<string>").code == "json-syntax"


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(JSON_VALUES, st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_is_written_as_json_is_read_back(written: Any, ascii_only: bool) -> None:
    text = json.dumps(written, ensure_ascii=ascii_only)
    assert json.dumps(value(text, NAME)) == json.dumps(written)


@given(st.text(st.sampled_from('{}[]:,"\\ \n\ttruefalsn01.-+eE'), max_size=40))
@settings(max_examples=400, deadline=None)
def test_what_is_accepted_is_what_python_accepts(text: str) -> None:
    found, findings = read(text, NAME)
    try:
        expected = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    except ValueError:
        assert findings
        return
    if not findings:
        assert found is not None
        assert found.value == expected
    else:
        assert {finding.code for finding in findings} <= {"duplicate-key", "bad-number"}


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**64), 2**65) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.data(),
)
def test_the_quick_reader_reads_what_the_exact_one_reads_or_leaves_it_to_it(
    document: Any, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    if data.draw(st.booleans()):
        at, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:at] + data.draw(st.sampled_from(["", ",", "0", '"', "]", "\\ud800", "\t", "{}"])) + text[end:]
    findings = Findings(Source(NAME, text))
    root = read_json(text, Lines(text), findings)
    exact = root.value if root is not None and not findings.sorted() else ...
    quick = quick_json(text)
    assert repr(quick) == repr(exact) or quick is ...


@pytest.mark.parametrize(
    "text", ['"\\ud83d\\ude00"', '"\\n \\\\ \\u00e9 \ud83d\ude00"', "[1, -2.5e3, null, {}]", " 5 "]
)
def test_what_is_as_it_should_be_is_read_quickly(text: str) -> None:
    assert quick_json(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '"\\ud83d"', '"\\ude00"', '"\\ud83d\\ud83d\\ude00"', '"\\ud83d\\ude00\\ude00"', '"\\\\ud83d\\ude00"',
        '"\\ud83d\\\\ude00"',
        "NaN", "1e999", "18446744073709551616", '{"a": 1, "a": 2}', "[1,]", "", "[" * 65 + "]" * 65, "[" * 100_000,
        json.dumps([0] * 100_001),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_not_is_left_to_the_exact_reader(text: str) -> None:
    assert quick_json(text) is ...


def test_positions_are_worked_out_when_one_is_needed() -> None:
    document = tree('{"a": [1, {"b": 2}]}', NAME)
    assert "root" not in vars(document)
    assert document.at(("a", 1, "b")) == 2
    assert all(document.at(path) is ... for path in (("a", 2), ("a", "b"), ("a", 0, 0)))
    assert "root" not in vars(document)
    assert document.span(("a", 1, "b")).column == 17
