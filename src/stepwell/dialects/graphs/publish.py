"""The forms in which variables are published: a list of mappings, names, a mapping, or one line of text."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import bad_name, describe
from stepwell.definition.shapes import NAME
from stepwell.dialects.graphs.inline import Delimiters, InlineError, pairs


class Whole(Enum):
    """Stands for the whole result, which is what a name without a value publishes."""

    RESULT = "result"


WHOLE: Final = Whole.RESULT


class Published(NamedTuple):
    """A variable, its value as it is written (or `WHOLE`), and where that stands."""

    name: str
    value: Any
    path: Path


def published(written: Any, path: Path, findings: Findings, delimiters: Delimiters) -> list[Published]:
    """The variables that are published at `path`, in order, each once. What is wrong is recorded."""
    if isinstance(written, dict):
        found = [Published(name, value, (*path, name)) for name, value in written.items()]
    elif isinstance(written, str):
        found = _line(written, path, findings, delimiters)
    elif isinstance(written, list):
        found = [
            each
            for position, entry in enumerate(written)
            for each in _entry(entry, (*path, position), findings, delimiters)
        ]
    else:
        _wrong(written, path, findings)
        found = []
    return _once(found, findings)


def _entry(entry: Any, path: Path, findings: Findings, delimiters: Delimiters) -> list[Published]:
    if isinstance(entry, dict):
        return [Published(name, value, (*path, name)) for name, value in entry.items()]
    if isinstance(entry, str):
        return _line(entry, path, findings, delimiters)
    _wrong(entry, path, findings)
    return []


def _line(text: str, path: Path, findings: Findings, delimiters: Delimiters) -> list[Published]:
    if NAME.fullmatch(text.strip()):
        return [Published(text.strip(), WHOLE, path)]
    try:
        return [Published(pair.name, pair.value, path) for pair in pairs(text, delimiters)]
    except InlineError as error:
        findings.add("wrong-value", f"a list of `name=value` was expected: {error}", path, offset=error.offset)
        return []


def _once(found: list[Published], findings: Findings) -> list[Published]:
    kept: dict[str, Published] = {}
    for each in found:
        if not NAME.fullmatch(each.name):
            findings.add("bad-name", bad_name(each.name), each.path)
        elif each.name in kept:
            message = f"the variable {each.name!r} is published twice here"
            findings.add("conflicting-keys", message, each.path, hint="only the last value would be kept; take one out")
        else:
            kept[each.name] = each
    return list(kept.values())


def _wrong(value: Any, path: Path, findings: Findings) -> None:
    message = f"expected variables as `- name: value`, saw {describe(value)}"
    findings.add("wrong-type", message, path, hint="a name alone publishes the whole result")
