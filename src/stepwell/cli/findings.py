"""Findings about definitions on a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final, TextIO

import click

from stepwell.base.spans import Source
from stepwell.cli.streams import say, takes_colour, write
from stepwell.cli.words import count
from stepwell.definition.diagnostics import Diagnostic, render_all

_LABEL: Final = re.compile(r"^([^\n]*?:\d+:\d+: )((error|warning)\[[^\]\n]*\])", re.MULTILINE)
_COLOURS: Final = {"error": "red", "warning": "yellow"}


def write_findings(findings: Iterable[Diagnostic], source: Source, stream: TextIO) -> None:
    """Every finding with its source line and a caret."""
    text = render_all(findings, source)
    if not text:
        return
    if takes_colour(stream):
        text = _LABEL.sub(lambda found: found[1] + click.style(found[2], fg=_COLOURS[found[3]], bold=True), text)
    write(text + "\n\n", stream)


def say_findings(findings: Iterable[Diagnostic], source: Source) -> None:
    """The same on standard error, and how many there are."""
    kept = tuple(findings)
    write_findings(kept, source, sys.stderr)
    say(f"{tally(kept)} in {source.name}")


def tally(findings: Iterable[Diagnostic], *, more: int = 0) -> str:
    """`2 errors, 1 warning`; `more` are errors that are no findings."""
    severities = [finding.severity for finding in findings]
    errors, warnings = severities.count("error") + more, severities.count("warning")
    return count(errors, "error") + (f", {count(warnings, 'warning')}" if warnings else "")
