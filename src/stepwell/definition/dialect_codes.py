"""Kinds of finding about documents in other dialects, beside those of the native one."""

from __future__ import annotations

from stepwell.definition.code import Code, a_warning, an_error

DIALECT_CODES: dict[str, Code] = {
    "unknown-dialect": an_error("There is no dialect of this name.", "Choose one of those that the message names."),
    "unknown-action": an_error(
        "An action is neither built in nor a registered task or workflow.",
        "Correct the name, import the module that has the task, or register the workflow.",
    ),
    "ambiguous-dialect": an_error(
        "The document has keys of two dialects.", "Remove those of the other one, or say `dialect: NAME`."
    ),
    "cannot-say": an_error(
        "The dialect that a workflow is converted to has no words for this, and without it the workflow would do "
        "something else.",
        "Take it out, convert to another dialect, or accept the loss with `--lossy`.",
    ),
    "left-out": a_warning(
        "The dialect that a workflow is converted to has no place for this, which changes nothing in what it does.",
        "Nothing needs to be done.",
    ),
}
"""By code; each is used in `stepwell.dialects`."""
