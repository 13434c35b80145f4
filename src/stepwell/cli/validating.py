"""`validate`: everything that is wrong with definitions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from stepwell.app.checking import Catalogue, check
from stepwell.app.configuration import Configuration
from stepwell.base.errors import NotFound, StepwellError, UsageError
from stepwell.cli.documents import emit
from stepwell.cli.failures import labelled
from stepwell.cli.findings import tally, write_findings
from stepwell.cli.opening import catalogue_for_checking, configuration_of
from stepwell.cli.options import Setup
from stepwell.cli.sources import source_of
from stepwell.cli.streams import output_kept_clean, say, write
from stepwell.cli.words import count
from stepwell.definition.diagnostics import Diagnostic


def validate(given: Sequence[str], setup: Setup, output: str, *, quiet: bool) -> int:
    """Print the findings about all files and registered workflows; 2 when there is an error among them."""
    with output_kept_clean():
        configuration, catalogue = configuration_of(setup), catalogue_for_checking(setup)
    findings: list[Diagnostic] = []
    unreadable: list[dict[str, Any]] = []
    for name in given:
        try:
            findings += _check(name, configuration, setup, catalogue, output, quiet=quiet)
        except (UsageError, NotFound) as error:
            unreadable.append(_unread(name, error))
            say(labelled(error.code, error.message, error.hint))
    errors = len(unreadable) + sum(finding.severity == "error" for finding in findings)
    emit({"items": [*(finding.as_dict() for finding in findings), *unreadable]}, output, lambda: "")
    if not quiet and (findings or len(given) > 1):
        say(f"{tally(findings, more=len(unreadable))} in {count(len(given), 'file')}")
    return 2 if errors else 0


def _check(
    given: str, configuration: Configuration, setup: Setup, catalogue: Catalogue, output: str, *, quiet: bool
) -> Sequence[Diagnostic]:
    """Check one definition, and print what was found where that is for people."""
    source = source_of(given, configuration, setup)
    loaded = check(source, catalogue)
    if output == "table":
        write_findings(loaded.diagnostics, source, sys.stdout)
        if not loaded.diagnostics and not quiet:
            write(f"{given}: ok\n")
    return loaded.diagnostics


def _unread(given: str, error: StepwellError) -> dict[str, Any]:
    """What could not be read, in the form of a finding."""
    return {
        "code": error.code,
        "severity": "error",
        "message": error.message,
        "hint": error.hint,
        "file": given,
        "line": None,
        "column": None,
        "end_line": None,
        "end_column": None,
        "pointer": "",
    }
