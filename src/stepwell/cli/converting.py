"""`workflow convert`: a definition in another dialect."""

from __future__ import annotations

import sys
from typing import Literal

from stepwell.cli.findings import tally, write_findings
from stepwell.cli.opening import catalogue_for_checking, configuration_of
from stepwell.cli.options import Setup
from stepwell.cli.sources import source_of
from stepwell.cli.streams import output_kept_clean, say, write
from stepwell.dialects.loading import load_or_raise
from stepwell.dialects.table import DIALECTS
from stepwell.dialects.writing import write as written_in


def convert(given: str, dialect: str, setup: Setup, notation: Literal["yaml", "json"] | None, *, lossy: bool) -> int:
    """Print a definition in another dialect; 2, and nothing printed, when that cannot say something that matters.

    Args:
        lossy: print it without what cannot be said.
    """
    with output_kept_clean():
        configuration = configuration_of(setup)
        known = catalogue_for_checking(setup).known()
    definition = load_or_raise(source_of(given, configuration, setup), known=known)
    converted = written_in(definition, dialect, notation)
    findings = converted.findings(definition, dialect)
    write_findings(findings, definition.source, sys.stderr)
    refused = any(finding.severity == "error" for finding in findings) and not lossy
    if not refused:
        write(converted.text)
        return 0
    say(f"{tally(findings)}: {given} was not converted to {DIALECTS[dialect].title}")
    say("hint: --lossy converts it without what cannot be said")
    return 2
