"""The dialect of step maps."""

from __future__ import annotations

from typing import Any, Final

from stepwell.dialects.dialect import Dialect, Reading, Writing


def claims(document: Any) -> bool:
    """Whether it has steps by name; or an `id` and steps, whatever these are."""
    if not isinstance(document, dict) or "steps" not in document:
        return False
    return isinstance(document["steps"], dict) or "id" in document


def read(reading: Reading) -> Any:
    """The native document that means the same."""
    # Imported when one comes: most definitions are native.
    from stepwell.dialects.step_map.reading import read as read_document

    return read_document(reading)


def write(writing: Writing) -> Any:
    """The document that means the same as a definition."""
    from stepwell.dialects.step_map.writing import write as write_document

    return write_document(writing)


STEP_MAP: Final = Dialect(
    name="step-map",
    title="a step map",
    like="`id`, `steps` by name",
    claims=claims,
    read=read,
    write=write,
    any_step_name=True,
    hints={
        "cycle": "take one of the names out of `depends_on`",
        "self-dependency": "take it out of `depends_on`; to run it again when it fails, use `max_retries`",
    },
)
