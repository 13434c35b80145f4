"""What a definition means, without where it stands: for comparing definitions."""

from __future__ import annotations

from typing import Any

import msgspec

from stepwell.base.spans import Source
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load

_PLACES = {"path", "source", "spans", "digest", "dialect"}


def meaning(part: Any) -> Any:
    """The part as plain values, without places."""
    if isinstance(part, msgspec.Struct):
        fields = {name: meaning(getattr(part, name)) for name in part.__struct_fields__ if name not in _PLACES}
        return {"kind": type(part).__name__, **fields}
    if isinstance(part, dict):
        return {key: meaning(value) for key, value in part.items()}
    return [meaning(value) for value in part] if isinstance(part, (list, tuple)) else part


def definition_of(text: str, name: str = "test.yaml", dialect: str | None = None) -> WorkflowDefinition:
    """The definition in a text, which must be right."""
    loaded = load(Source(name, text, dialect))
    assert loaded.definition is not None, [finding.message for finding in loaded.diagnostics]
    return loaded.definition
