"""The dialect of `workflow/v1` documents: the language itself."""

from __future__ import annotations

from typing import Any, Final

from stepwell.dialects.dialect import Dialect, Reading, Writing


def claims(document: Any) -> bool:
    """Whether it says that it is one, or has the body of one."""
    return isinstance(document, dict) and any(key in document for key in ("apiVersion", "kind", "spec"))


def read(reading: Reading) -> Any:
    """The document itself, but for the key that names the dialect."""
    (_, document) = reading.documents[0]
    return {key: value for key, value in document.items() if key != "dialect"}


def write(writing: Writing) -> Any:
    """The native document of a definition."""
    from stepwell.dialects.native.writing import write as write_document  # imported when one is written

    return write_document(writing)


NATIVE: Final = Dialect(
    name="native",
    title="a native workflow",
    like="`apiVersion: workflow/v1`, `kind: Workflow`",
    claims=claims,
    read=read,
    write=write,
)
