"""Several documents of one source as one: each says a part, and the parts of the same name are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import describe
from stepwell.dialects.dialect import Document
from stepwell.dialects.origin import Taken


def merged(documents: Sequence[Document], findings: Findings) -> dict[str, Any]:
    """The documents as one mapping of `Taken` values.

    Mappings of the same name are merged at every depth; any other value may be said twice only if it is the same.
    """
    whole: dict[str, Any] = {}
    for path, document in documents:
        if document is None:
            continue  # nothing stands between two separators
        if not isinstance(document, dict):
            findings.add("wrong-type", f"expected a mapping, saw {describe(document)}", path)
            continue
        _merge(whole, document, path, findings)
    return whole


def _merge(into: dict[str, Any], more: dict[str, Any], path: Path, findings: Findings) -> None:
    for key, value in more.items():
        place = (*path, key)
        known = into.get(key)
        if known is None:
            into[key] = _taken(value, place)
        elif isinstance(known.value, dict) and isinstance(value, dict):
            _merge(known.value, value, place, findings)
        elif _plain(known.value) != value:
            message = f"`{key}` is said twice, and not the same: first in {findings.place(known.path)}"
            findings.add("conflicting-keys", message, place, hint="keep one of them", key=True)


def _taken(value: Any, path: Path) -> Taken:
    if isinstance(value, dict):
        return Taken({key: _taken(part, (*path, key)) for key, part in value.items()}, path)
    return Taken(value, path)


def _plain(value: Any) -> Any:
    """A merged value without the marks."""
    if isinstance(value, Taken):
        return _plain(value.value)
    return {key: _plain(part) for key, part in value.items()} if isinstance(value, dict) else value
