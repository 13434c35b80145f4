"""`validate`: everything that is wrong with definitions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepwell.app.checking import Catalogue, check
from stepwell.app.definitions import read_file
from stepwell.base.errors import UsageError
from stepwell.cli.documents import emit
from stepwell.cli.failures import labelled
from stepwell.cli.findings import tally, write_findings
from stepwell.cli.opening import catalogue_for_checking
from stepwell.cli.options import Setup
from stepwell.cli.streams import output_kept_clean, say, write
from stepwell.cli.words import count
from stepwell.definition.diagnostics import Diagnostic


def validate(files: Sequence[Path], setup: Setup, output: str, *, quiet: bool) -> int:
    """Print the findings about all files; 2 when there is an error among them."""
    with output_kept_clean():
        catalogue = catalogue_for_checking(setup)
    findings: list[Diagnostic] = []
    unreadable: list[dict[str, Any]] = []
    for file in files:
        try:
            findings += _check(file, catalogue, output, quiet=quiet)
        except UsageError as error:
            unreadable.append(_unread(file, error))
            say(labelled(error.code, error.message, error.hint))
    errors = len(unreadable) + sum(finding.severity == "error" for finding in findings)
    emit({"items": [*(finding.as_dict() for finding in findings), *unreadable]}, output, lambda: "")
    if not quiet and (findings or len(files) > 1):
        say(f"{tally(findings, more=len(unreadable))} in {count(len(files), 'file')}")
    return 2 if errors else 0


def _check(file: Path, catalogue: Catalogue, output: str, *, quiet: bool) -> Sequence[Diagnostic]:
    """Check one file, and print what was found where that is for people."""
    source = read_file(file)
    loaded = check(source, catalogue)
    if output == "table":
        write_findings(loaded.diagnostics, source, sys.stdout)
        if not loaded.diagnostics and not quiet:
            write(f"{file}: ok\n")
    return loaded.diagnostics


def _unread(file: Path, error: UsageError) -> dict[str, Any]:
    """A file that could not be read, in the form of a finding."""
    return {
        "code": error.code,
        "severity": "error",
        "message": error.message,
        "hint": error.hint,
        "file": str(file),
        "line": None,
        "column": None,
        "end_line": None,
        "end_column": None,
        "pointer": "",
    }
