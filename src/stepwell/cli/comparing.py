"""`workflow diff`: what two definitions mean differently."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from stepwell.app.difference import difference
from stepwell.cli.documents import emit
from stepwell.cli.narration import one_line
from stepwell.cli.opening import catalogue_for_checking, configuration_of
from stepwell.cli.options import Setup
from stepwell.cli.sources import source_of
from stepwell.cli.streams import output_kept_clean, takes_colour
from stepwell.cli.words import count
from stepwell.dialects.loading import load_or_raise

_LONGEST: Final = 200
_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}

Document = Mapping[str, Any]


def show_difference(old: str, new: str, setup: Setup, output: str) -> int:
    """Print what differs between two files or registered workflows."""
    with output_kept_clean():
        configuration = configuration_of(setup)
        known = catalogue_for_checking(setup).known()
    before, after = [load_or_raise(source_of(given, configuration, setup), known=known) for given in (old, new)]
    document = difference(before, after)
    emit(document, output, lambda: "\n".join(_lines(document)))
    return 0


def _lines(document: Document) -> Iterator[str]:
    old, new = [f"{each['workflow']} {each['version']}" for each in (document["from"], document["to"])]
    yield f"{old} -> {new}: {_tally(document)}"
    if document["same"]:
        return
    steps = document["steps"]
    for sign, names in (("+", steps["added"]), ("-", steps["removed"])):
        for step in names:
            place = f" in {step['place']}" if step["place"] else ""
            yield _marked(sign, f"step {step['name']} ({step['type']}){place}")
    for step in steps["changed"]:
        yield _marked("~", f"step {step['name']}")
        yield from (f"    {_change(change)}" for change in step["changes"])
    for change in document["workflow"]:
        yield _marked("~", _change(change))


def _tally(document: Document) -> str:
    if document["same"]:
        return "the same, however it is written"
    steps: Mapping[str, Sequence[Any]] = document["steps"]
    parts = [f"{count(len(found), 'step')} {what}" for what, found in steps.items() if found]
    if document["workflow"]:
        parts.append(f"{count(len(document['workflow']), 'other change')}")
    return ", ".join(parts)


def _change(change: Document) -> str:
    if "from" not in change:
        return f"{change['path']}: now {_shown(change['to'])}"
    if "to" not in change:
        return f"{change['path']}: no longer {_shown(change['from'])}"
    return f"{change['path']}: {_shown(change['from'])} -> {_shown(change['to'])}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value.strip() else json.dumps(value, ensure_ascii=False, default=str)
    text = one_line(text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _marked(sign: str, text: str) -> str:
    return click.style(f"{sign} {text}", fg=_STYLES[sign]) if takes_colour(sys.stdout) else f"{sign} {text}"
