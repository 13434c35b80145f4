"""How findings are shown."""

from __future__ import annotations

import pytest

from stepwell.base.spans import Source, Span
from stepwell.definition.diagnostics import Diagnostic, render
from tests.definition.documents import HEAD, the


def shown(text: str, line: int, start: int, end: int, **more: str) -> list[str]:
    finding = Diagnostic("wrong-type", "it is wrong", Span(line, start, line, end), source_name="w.yaml", **more)  # type: ignore[arg-type]
    return render(finding, Source("w.yaml", text)).splitlines()


def test_a_finding_is_shown_with_its_line_a_caret_and_a_hint() -> None:
    assert shown("a: 1\nbc: def\n", 2, 5, 8, hint="do it") == [
        "w.yaml:2:5: error[wrong-type]: it is wrong",
        "    bc: def",
        "        ^~~",
        "    hint: do it",
    ]


def test_a_warning_says_so() -> None:
    assert shown("a", 1, 1, 2, severity="warning")[0] == "w.yaml:1:1: warning[wrong-type]: it is wrong"


def test_a_finding_over_several_lines_is_underlined_to_the_end_of_the_first() -> None:
    finding = Diagnostic("wrong-type", "x", Span(1, 4, 3, 2))
    assert render(finding, Source("w", "a: [b,\nc\n]")).splitlines()[1:] == ["    a: [b,", "       ^~~"]


def test_a_finding_at_the_end_of_a_line_has_its_caret_behind_it() -> None:
    assert shown("a: [1", 1, 6, 7)[1:] == ["    a: [1", "         ^"]


def test_a_finding_on_an_empty_line_is_shown_without_one() -> None:
    assert shown("\n\n", 2, 1, 2) == ["w.yaml:2:1: error[wrong-type]: it is wrong"]


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("\ta: b", 5, "           ^"),
        ("日本: b", 5, "          ^"),
        ("e\u0301: b", 5, "       ^"),
        ("é: b", 4, "       ^"),
        ("😀: b", 4, "        ^"),
    ],
)
def test_the_caret_stands_under_its_character_whatever_is_before_it(line: str, column: int, expected: str) -> None:
    assert shown(line, 1, column, column + 1)[2] == expected


def test_wide_characters_are_underlined_as_wide() -> None:
    assert shown("a: 日本", 1, 4, 6)[2] == "       ^~~~"


def test_a_long_line_is_cut_around_the_caret() -> None:
    line = "".join(str(number % 10) for number in range(1_000))
    _, source, caret = shown(line, 1, 501, 504)
    assert len(source) < 120
    assert source.startswith("    ...")
    assert source.endswith("...")
    assert source[caret.index("^") :].startswith("012")
    assert caret.strip() == "^~~"


def test_a_long_span_is_underlined_only_as_far_as_it_is_shown() -> None:
    _, source, caret = shown("x" * 1_000, 1, 1, 1_000)
    assert len(caret) <= len(source)


def test_a_long_line_is_not_cut_before_a_caret_at_its_start() -> None:
    assert shown("y" * 1_000, 1, 3, 4)[2] == "      ^"


def test_nothing_is_printed_that_a_terminal_would_obey() -> None:
    finding = Diagnostic("wrong-type", "saw \x1b[31m\u202e", Span(1, 1, 1, 2), hint="\x07", source_name="w")
    assert all(character not in render(finding, Source("w", "\x1b]0;x\x07 a")) for character in "\x1b\x07\u202e")


def test_a_finding_as_json_has_a_pointer() -> None:
    finding = Diagnostic("wrong-type", "m", Span(1, 2, 3, 4), path=("spec", "steps", 0, "a/b~c"), source_name="w.yaml")
    assert finding.as_dict() == {
        "code": "wrong-type", "severity": "error", "message": "m", "hint": None, "file": "w.yaml", "line": 1,
        "column": 2, "end_line": 3, "end_column": 4, "pointer": "/spec/steps/0/a~1b~0c",
    }  # fmt: skip


def test_a_long_value_is_quoted_in_part() -> None:
    text = HEAD + f"spec: {{steps: [{{name: a, type: noop, join: {'x' * 5_000}}}]}}"
    assert len(the(text, "wrong-value").message) < 200
