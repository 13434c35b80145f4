"""Telling dialects apart, and the places of what is found."""

from __future__ import annotations

import pytest

from stepwell.base.spans import Source
from stepwell.definition.findings import Findings
from stepwell.dialects.loading import load
from stepwell.dialects.origin import Taken, settle, source_path
from stepwell.dialects.table import DIALECTS, dialect_named

NATIVE = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: w, version: "1.0.0"}
spec: {steps: [{name: a, type: noop}]}
"""


def test_a_native_document_may_say_that_it_is_one() -> None:
    loaded = load(Source("w.yaml", NATIVE + "dialect: native\n"))
    assert loaded.definition is not None
    assert loaded.definition.dialect == "native"


def test_an_unknown_dialect_is_found_where_it_is_named() -> None:
    (finding,) = load(Source("w.yaml", NATIVE + "dialect: nativ\n")).diagnostics
    assert (finding.code, finding.span.line) == ("unknown-dialect", 5)
    assert finding.hint is not None
    assert "native" in finding.hint


def test_what_the_user_says_wins() -> None:
    (finding,) = load(Source("w.yaml", NATIVE, "prose")).diagnostics
    assert finding.code == "unknown-dialect"


def test_a_document_that_is_like_none_names_what_each_looks_like() -> None:
    (finding,) = load(Source("w.yaml", "tasks_to_do: [1]\n")).diagnostics
    assert finding.code == "not-a-workflow"
    assert finding.hint is not None
    assert "apiVersion: workflow/v1" in finding.hint


def test_a_list_is_no_workflow() -> None:
    (finding,) = load(Source("w.yaml", "- 1\n")).diagnostics
    assert finding.message == "a workflow is a mapping; this is a list"


@pytest.mark.parametrize("text", ["-1", "x", "[]", "[[]]", "null", "true", "1.5", "{}", "{1: 2}", "dialect: [1]"])
@pytest.mark.parametrize("dialect", [None, *DIALECTS])
def test_what_is_no_mapping_is_a_finding_in_every_dialect(dialect: str | None, text: str) -> None:
    loaded = load(Source("x.yaml", text, dialect))
    assert loaded.definition is None
    assert loaded.diagnostics


def test_a_second_native_document_is_refused_where_it_begins() -> None:
    (finding,) = load(Source("w.yaml", NATIVE + "---\nmore: 1\n")).diagnostics
    assert (finding.code, finding.span.line) == ("several-documents", 6)


def test_a_leading_mark_and_comments_make_no_second_document() -> None:
    assert load(Source("w.yaml", "# hello\n---\n" + NATIVE)).definition is not None


def test_an_unknown_key_is_a_warning_when_lenient() -> None:
    text = NATIVE + "extra: 1\n"
    assert load(Source("w.yaml", text)).definition is None
    loaded = load(Source("w.yaml", text, lenient=True))
    assert loaded.definition is not None
    assert [(each.code, each.severity) for each in loaded.diagnostics] == [("unknown-key", "warning")]


def test_a_dialect_has_a_letter_too() -> None:
    found = dialect_named("C")
    assert found is not None
    assert found.name == "native"
    assert dialect_named("Z") is None


def test_values_know_where_they_were_taken_from() -> None:
    settled = settle({"a": Taken({"b": 1, "c": Taken(2, ("y",))}, ("x",)), "d": 3})
    assert settled.document == {"a": {"b": 1, "c": 2}, "d": 3}
    assert source_path(("a", "b"), settled.origins) == ("x", "b")
    assert source_path(("a", "c"), settled.origins) == ("y",)
    assert source_path(("d",), settled.origins) == ()


def test_findings_are_lenient_only_about_keys() -> None:
    findings = Findings(Source("w.yaml", "", lenient=True))
    findings.add("missing-key", "no")
    findings.add("unknown-key", "odd")
    assert findings.has_errors()
    assert sorted(each.severity for each in findings.sorted()) == ["error", "warning"]
