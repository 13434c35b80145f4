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
    "overwritten-data": a_warning(
        "Two dependencies of a step of a step map give a field of the same name.",
        "Give the step `data` of its own, or collect under different names; the later dependency wins.",
    ),
    "unlinked-compensation": a_warning(
        "Activities that undo are linked to no activity, so all of them run, whatever was done.",
        "Say with each activity what undoes it: `compensation`, or under `compensation_activities`.",
    ),
    "output-only": a_warning(
        "A part of the document has the form of what the engine gives out; it is not read.", "Take it out."
    ),
    "not-applied": a_warning(
        "A setting is right, and this version does not apply it.", "Take it out, or wait for a later version."
    ),
}
"""By code; each is used in `stepwell.dialects`."""
