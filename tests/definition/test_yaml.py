"""YAML: what is read, what is refused, and where everything stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.definition import yaml_tree
from tests.definition.trees import only, read, tree, value


@pytest.fixture(params=["C", "Python"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the C library's parser and with the one in Python, used where the library is missing."""
    if request.param == "Python":
        monkeypatch.setattr(yaml_tree, "_LOADER", yaml.SafeLoader)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on", "on"), ("yes", "yes"), ("Off", "Off"), ("y", "y"), ("true", True), ("FALSE", False), ("12:30", "12:30"),
        ("010", 10), ("0o17", 15), ("0x1F", 31), ("-7", -7), ("+3", 3), ("1_000", "1_000"), ("1e3", 1000.0),
        (".5", 0.5), ("3.", 3.0), ("-1.5e-3", -0.0015), ("2026-11-20", "2026-11-20"), ("1.2.0", "1.2.0"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"), ("~", None), ("null", None), ("'null'", "null"),
        ('"5"', "5"), ("-", None), ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
        ("=", "="), ("1e", "1e"), ("0b1", "0b1"), (".", "."), ("+", "+"), ("!!str 5", "5"), ("! 5", "5"),
        ("!!int '5'", 5), ("!!float 5", 5.0), ("!!null ''", None), ("!!bool 'true'", True),
    ],
)  # fmt: skip
def test_plain_words_mean_what_the_core_schema_says(text: str, expected: Any) -> None:
    read_value = value(f"a: {text}\n")["a"] if text != "-" else value("- a\n-")[1]
    assert read_value == expected
    assert type(read_value) is type(expected)


@pytest.mark.parametrize(
    "text", [".nan", "-.inf", ".INF", "1e999", "18446744073709551616", "9" * 5_000, "0x" + "f" * 99]
)
def test_numbers_that_cannot_be_stored_are_refused(text: str) -> None:
    assert only(f"a: {text}").code == "bad-number"


def test_a_mapping_keeps_the_order_of_its_keys() -> None:
    assert list(value("z: 1\na: 2\nm: 3")) == ["z", "a", "m"]


def test_an_anchor_is_repeated_by_its_alias() -> None:
    assert value("a: &x [1, {b: 2}]\nc: *x") == {
        "a": [1, {"b": 2}], "c": [1, {"b": 2}],
    }  # fmt: skip


def test_a_merge_key_adds_what_is_not_there() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nall: {x: 0, <<: [*b, *m]}\none: {<<: *b}"
    assert value(text)["all"] == {"x": 0, "y": 2, "z": 4}
    assert value(text)["one"] == {"x": 1, "y": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert value('a: {"<<": 1}') == {"a": {"<<": 1}}


def test_what_is_merged_in_stands_where_it_was_written() -> None:
    read_tree = tree("base: &b {x: 1}\nuse: {<<: *b}")
    assert read_tree.span(("use", "x")) == read_tree.span(("base", "x"))


@pytest.mark.parametrize("text", ["a: {b: *b}", "a: &a [*a]", "a: &a {b: {c: *a}}", "*a : 1"])
def test_an_alias_of_nothing_or_of_itself_is_refused(text: str) -> None:
    assert only(text).code == "bad-alias"


@pytest.mark.parametrize(
    "text", ["a: &x {b: 1}\n*x : 2", "{1: a}", "null: a", "true: a", "? [a]\n: b", "? {a: b}\n: c"]
)
def test_keys_that_are_not_text_are_refused(text: str) -> None:
    _, findings = read(text)
    assert [finding.code for finding in findings] == ["bad-key"]


@pytest.mark.parametrize("tag", ["!secret", "!!binary", "!!python/object:os.system", "!!set", "!!timestamp", "!<x>"])
def test_tags_that_mean_nothing_are_refused(tag: str) -> None:
    assert only(f"a: {tag} abc").code == "unknown-tag"
    assert only(f"a: {tag} [abc]").code == "unknown-tag"


def test_a_tag_that_does_not_fit_its_value_is_refused() -> None:
    assert only("a: !!int abc").message == "'abc' is not a value of the tag !!int"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a: {{ input.x }}", "{{ input.x }}"), ("a: {{x}}", "{{x}}"), ("a: {{{ x }}}", "{{{ x }}}"),
     ("- {{ a }}", "{{ a }}"), ("a: [{{ b }}, c]", "{{ b }}"), ("a: {{ a: b }}", "{{ a: b }}")],
)  # fmt: skip
def test_an_expression_without_quotes_is_explained(text: str, expected: str) -> None:
    finding = only(text)
    assert finding.code == "unquoted-expression"
    assert finding.hint == f'quote it: "{expected}"'


def test_the_hint_chooses_quotes_that_the_expression_does_not_have() -> None:
    assert only('a: {{ f("x") }}').hint == """quote it: '{{ f("x") }}'"""


def test_an_expression_without_quotes_is_read_on_as_text() -> None:
    found, _ = read("a: {{ input.x }}\nb: 1")
    assert found is not None
    assert found.value == {"a": "{{ input.x }}", "b": 1}


def test_a_mapping_in_a_mapping_is_no_expression() -> None:
    assert value("a: { b: {c: d} }") == {"a": {"b": {"c": "d"}}}


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a:\n\tb: 1", 2, 1, "a tab cannot be used for indentation"),
        ("a: @x", 1, 4, "cannot begin with '@'"),
        ("a: `x`", 1, 4, "cannot begin with '`'"),
        ("a: b: c", 1, 5, "a `:` that YAML takes for a key"),
        ("a: [1, 2\nb: 3", 2, 2, "(begun in line 1)"),
        ("a: 'x\nb: 1", 2, 5, "a quoted text is not closed"),
        ("a:\n  - b\n - c", 3, 2, "this line does not fit"),
        ("a: |\n  x\n y", 3, 2, "this line does not fit"),
        ('a: "\\q"', 1, 5, "an escape that YAML does not know"),
        ('a: "\\ud83d"', 1, 7, "the escape is half of a character"),
        ("%FOO\n---\na: 1", 1, 5, "not YAML"),
        ("a: b\nc", 2, 2, "a key without `:`"),
    ],
)
def test_what_is_not_yaml_is_explained(
    text: str, line: int, column: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_tree, "_LOADER", yaml.CSafeLoader)  # positions differ a little between the two
    finding = only(text)
    assert finding.code == "yaml-syntax"
    assert (finding.span.line, finding.span.column) == (line, column)
    assert said in finding.message


@pytest.mark.parametrize("text", ["a: {", "a: [1", "a:\n\tb: 1", "a: 'x", 'a: "\\ud83d"', "a: b: c", "- a\nb: c"])
def test_what_is_not_yaml_is_refused(text: str) -> None:
    assert only(text).severity == "error"


@pytest.mark.parametrize("text", ["a: {{ x }} and {{ y }}", 'a: {{ f(", ") }}', "a: {{ x }}/y\nb: 1", "- {{ x }} y"])
def test_a_syntax_error_after_an_unquoted_expression_says_to_quote_it(text: str) -> None:
    _, findings = read(text)
    assert findings[-1].code == "yaml-syntax"
    assert findings[-1].hint == 'quote the whole text that begins with `{{`: "{{ ... }} ..."'


def test_line_ends_of_every_system_are_counted_as_lines() -> None:
    read_tree = tree("a: 1\r\nb: 2\rc: 3\nd: 4")
    assert [read_tree.span((key,)).line for key in "abcd"] == [1, 2, 3, 4]


def test_a_line_separator_inside_a_text_is_not_counted_as_a_line() -> None:
    read_tree = tree('a: "x\u2028y\u0085z"\nb: 2')
    assert read_tree.span(("b",)).line == 2


def test_a_byte_order_mark_is_dropped() -> None:
    assert value("\ufeffa: 1") == {"a": 1}


def test_every_value_and_key_has_its_place() -> None:
    read_tree = tree("steps:\n  - name: a\n    config: {url: 'x', n: [1, 22]}\n  - name: b\n")
    assert _place(read_tree.span(("steps", 0, "name"))) == (2, 11, 2, 12)
    assert _place(read_tree.key_span(("steps", 0, "config"))) == (3, 5, 3, 11)
    assert _place(read_tree.span(("steps", 0, "config"))) == (3, 13, 3, 35)
    assert _place(read_tree.span(("steps", 0, "config", "n", 1))) == (3, 31, 3, 33)
    assert _place(read_tree.span(("steps", 1))) == (4, 5, 4, 12)
    assert _place(read_tree.span(("steps", 9, "x"))) == _place(read_tree.span(("steps",)))


def _place(span: Any) -> tuple[int, int, int, int]:
    return span.line, span.column, span.end_line, span.end_column


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: '{{ one }} {{ two }}'", 1, 18),
        ('a: "it\\"s {{ one }}\\n {{ two }}"', 1, 26),
        ("a: it's {{ one }} {{ two }}", 1, 22),
        ("a: |\n  {{ one }}\n    and {{ two }}\n", 3, 12),
        ("a: >\n  folded {{ one }}\n  and {{ two }}\n", 3, 10),
        ("a: 'it''s {{ one }}\n\n  {{ two }}'", 3, 6),
        ("a: &x '{{ one }} {{ two }}'", 1, 21),
    ],
)
def test_an_offset_in_a_text_becomes_a_place(text: str, line: int, column: int) -> None:
    read_tree = tree(text)
    span = read_tree.offset_span(("a",), read_tree.value["a"].index("two"))
    assert (span.line, span.column) == (line, column)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


class _Quoting(yaml.SafeDumper):
    """Quotes every text: which ones need it is another matter in the YAML 1.1 that this dumper knows (`0E0`)."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(JSON_VALUES)
@settings(max_examples=60, deadline=None)
def test_what_is_written_as_yaml_is_read_back(written: Any) -> None:
    text = yaml.dump({"a": written}, Dumper=_Quoting, allow_unicode=True, default_flow_style=None, sort_keys=False)
    expected = json.dumps({"a": written})
    read_value, findings = read(text)
    if findings and "<<" in expected:
        return  # a merge key
    assert read_value is not None
    assert json.dumps(read_value.value) == expected


@given(st.text(st.sampled_from("ab:{}[]-, \n\t'\"&*!#|>%@`?<~0.{{}}\\\u2028\ufeff\x00é😀"), max_size=60))
@settings(max_examples=400, deadline=None)
def test_garbage_is_read_or_refused_and_never_a_crash(text: str) -> None:
    found, findings = read(text)
    assert found is not None or findings
