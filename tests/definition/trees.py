"""Reading a text into a tree, for the tests of both notations."""

from __future__ import annotations

from typing import Any

from stepwell.base.spans import Source
from stepwell.definition.diagnostics import Diagnostic
from stepwell.definition.findings import Findings
from stepwell.definition.parsing import read_tree
from stepwell.definition.tree import Tree


def read(text: str, name: str = "w.yaml") -> tuple[Tree | None, list[Diagnostic]]:
    source = Source(name, text)
    findings = Findings(source)
    return read_tree(source, findings), list(findings.sorted())


def tree(text: str, name: str = "w.yaml") -> Tree:
    found, findings = read(text, name)
    assert found is not None
    assert not findings, [str(finding) for finding in findings]
    return found


def value(text: str, name: str = "w.yaml") -> Any:
    return tree(text, name).value


def only(text: str, name: str = "w.yaml") -> Diagnostic:
    _, findings = read(text, name)
    assert len(findings) == 1, [str(finding) for finding in findings]
    return findings[0]
