"""Kinds of finding about documents in other dialects, beside those of the native one."""

from __future__ import annotations

from stepwell.definition.code import Code, an_error

DIALECT_CODES: dict[str, Code] = {
    "unknown-dialect": an_error("There is no dialect of this name.", "Choose one of those that the message names."),
    "ambiguous-dialect": an_error(
        "The document has keys of two dialects.", "Remove those of the other one, or say `dialect: NAME`."
    ),
}
"""By code; each is used in `stepwell.dialects`."""
